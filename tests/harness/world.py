"""A world: one server, devices with their daemons, users with their agents. Everything in /run/dt/<n>, all of it ended by end()."""
import contextlib
import itertools
import json
import os
import pathlib
import shutil
import time
import uuid
from typing import Any, Iterator

from . import accounts, nss, programs, varlink, waiting
from .programs import Program

ORGANISATION = "Example"
CHECK_DOMAIN = "check.localhost"
PASSPHRASE = "correct horse battery staple"
POLICY_ROOT = pathlib.Path("/etc/chromium/policies/managed")
FIREFOX_POLICY = pathlib.Path("/etc/firefox/policies/policies.json")
_numbers = itertools.count(1)


class Failed(AssertionError):
    """A command line that should have worked."""


def ini(sections: dict[str, dict[str, object]]) -> str:
    lines = []
    for section, values in sections.items():
        lines.append(f"[{section}]")
        lines += [f"{key} = {value}" for key, value in values.items() if value is not None]
    return "\n".join(lines) + "\n"


class Server:
    """devtrust-server. `settings` adds to or replaces keys of server.conf, by section."""

    def __init__(self, base: pathlib.Path, settings: dict[str, dict[str, object]] | None = None) -> None:
        self.base = base
        self.base.mkdir(parents=True)
        self.device_port, self.portal_port, self.admin_port = (programs.free_port() for _ in range(3))
        self.url = f"https://localhost:{self.device_port}"
        self.portal_url = f"https://localhost:{self.portal_port}"
        self.state_dir = base / "state"
        self.socket = programs.RUN / f"{base.parent.name}-admin.sock"  # short enough for a socket, wherever the base lies
        self.config = base / "server.conf"
        self.root_keys = base / "root-keys"
        self.tls_ca = self.state_dir / "tls-ca.pem"
        self.ca_pin = ""
        sections: dict[str, dict[str, object]] = {
            "listen": {"devices": f"127.0.0.1:{self.device_port}", "portal": f"127.0.0.1:{self.portal_port}",
                       "admin": f"127.0.0.1:{self.admin_port}"},
            "paths": {"state_dir": self.state_dir, "socket": self.socket}, "log": {"level": "debug"}}
        for section, values in (settings or {}).items():
            sections.setdefault(section, {}).update(values)
        self.sections = sections
        self.write_config()
        self.program = Program("server", [str(programs.RUN / "bin/devtrust-server"), "--config", str(self.config), "serve"], notify=True)

    @property
    def database(self) -> pathlib.Path:
        found = [path for path in self.state_dir.iterdir() if path.suffix in (".db", ".sqlite", ".sqlite3")]
        return found[0]

    def write_config(self) -> None:
        self.config.write_text(ini(self.sections), encoding="utf-8")

    def init(self, url: str | None = None) -> None:
        """`url`: where devices shall find the server, when something stands between."""
        passphrase = self.base / "passphrase"
        passphrase.write_text(PASSPHRASE + "\n", encoding="ascii")
        passphrase.chmod(0o600)
        answer = self.cli("init", "--organisation", ORGANISATION, "--url", url or self.url, "--portal-url", self.portal_url,
                          "--check-domain", CHECK_DOMAIN, "--root-keys-dir", str(self.root_keys), "--passphrase-file", str(passphrase))
        self.ca_pin = answer["ca_pin"]
        passphrase.unlink()

    def start(self) -> "Server":
        self.program.start()
        return self

    def stop(self) -> None:
        assert self.program.stop() == 0, f"the server did not end well\n{self.program.tail()}"

    def kill(self) -> None:
        self.program.kill()

    def try_cli(self, *arguments: str, uid: int = 0) -> "programs.subprocess.CompletedProcess[str]":
        return programs.run([str(programs.RUN / "bin/devtrust-server"), "--config", str(self.config), *arguments], uid=uid)

    def cli(self, *arguments: str) -> Any:
        """The command line with --json; its answer."""
        done = self.try_cli(*arguments, "--json")
        if done.returncode != 0:
            raise Failed(f"devtrust-server {' '.join(arguments)}: status {done.returncode}\n{done.stdout}{done.stderr}{self.program.tail(10)}")
        return json.loads(done.stdout) if done.stdout.strip() else None

    def token(self, *arguments: str) -> str:
        """A token as id.secret."""
        done = self.try_cli("token", "create", *arguments)
        if done.returncode != 0:
            raise Failed(f"token create: {done.stderr}")
        return next(word for line in done.stdout.splitlines() for word in line.split() if "." in word)

    def distribution(self, value: str) -> None:
        self.cli("distribution", value)

    def certificates(self) -> list[dict[str, Any]]:
        answer = self.cli("certificate", "list")
        return answer["certificates"] if isinstance(answer, dict) else answer


class Device:
    """devtrustd with its state, socket, machine id and policy directory; and the agents that talk to it."""

    def __init__(self, base: pathlib.Path, policy_dir: pathlib.Path, settings: dict[str, dict[str, object]] | None = None,
                 socket: pathlib.Path | None = None) -> None:
        self.base = base
        self.base.mkdir(parents=True)
        self.base.chmod(0o755)
        self.policy_dir = policy_dir
        self.state_dir = base / "state"
        self.state_dir.mkdir(mode=0o700)
        self.socket = socket or base / "run/io.devtrust"
        self.socket.parent.mkdir(mode=0o755, exist_ok=True)
        self.front = self.socket  # where agents and devtrustctl connect: a relay may stand there
        self.config = base / "devtrustd.conf"
        self.machine_id = base / "machine-id"
        self.machine_id.write_text(uuid.uuid4().hex + "\n", encoding="ascii")
        self.enroll_config = base / "enroll.conf"
        self.sections: dict[str, dict[str, object]] = {
            "policy": {"chromium_directories": policy_dir},
            "paths": {"state_dir": self.state_dir, "socket": self.socket, "machine_id": self.machine_id,
                      "enroll_config": self.enroll_config}, "log": {"level": "debug"}}
        for section, values in (settings or {}).items():
            self.sections.setdefault(section, {}).update(values)
        self.write_config()
        self.program = Program("devtrustd", [str(programs.RUN / "bin/devtrustd"), "--config", str(self.config)], notify=True)
        self.agents: dict[str, Agent] = {}

    def write_config(self) -> None:
        self.config.write_text(ini(self.sections), encoding="utf-8")

    def start(self) -> "Device":
        self.program.start()
        return self

    def stop(self) -> None:
        assert self.program.stop() == 0, f"devtrustd did not end well\n{self.program.tail()}"

    def kill(self) -> None:
        self.program.kill()

    def call(self, method: str, parameters: dict[str, Any] | None = None, uid: int = 0) -> dict[str, Any]:
        return varlink.call(self.socket, method, parameters, uid)

    def status(self, uid: int = 0) -> dict[str, Any]:
        return self.call("io.devtrust.Device.GetStatus", uid=uid)

    def ctl(self, *arguments: str, uid: int = 0) -> "programs.subprocess.CompletedProcess[str]":
        return programs.run([str(programs.RUN / "bin/devtrustctl"), *arguments, "--socket", str(self.front)], uid=uid)

    def ctl_json(self, *arguments: str, uid: int = 0) -> Any:
        done = self.ctl(*arguments, "--json", uid=uid)
        if done.returncode != 0:
            raise Failed(f"devtrustctl {' '.join(arguments)}: status {done.returncode}\n{done.stdout}{done.stderr}{self.program.tail(10)}")
        return json.loads(done.stdout)

    def try_enroll(self, url: str, token: str, pin: str | None) -> "programs.subprocess.CompletedProcess[str]":
        file = self.base / "token"
        file.write_text(token + "\n", encoding="ascii")
        file.chmod(0o600)
        return self.ctl("enroll", url, "--token-file", str(file), *(["--ca-pin", pin] if pin else []))

    def enroll(self, server: Server, url: str | None = None) -> str:
        """With a fresh token; the device's UUID."""
        done = self.try_enroll(url or server.url, server.token(), server.ca_pin)
        if done.returncode != 0:
            raise Failed(f"enroll: status {done.returncode}\n{done.stdout}{done.stderr}{self.program.tail()}{server.program.tail(10)}")
        return self.uuid

    @property
    def uuid(self) -> str:
        return self.status()["enrolment"]["device_uuid"]

    def make_agent(self, user: str) -> "Agent":
        """The user's agent, not started."""
        if user not in self.agents:
            self.agents[user] = Agent(self, user)
        return self.agents[user]

    def agent(self, user: str) -> "Agent":
        """The user's agent, started."""
        return self.make_agent(user).start()

    def user(self, name: str) -> dict[str, Any] | None:
        """The user's part of the status, as root sees it."""
        return next((user for user in self.status()["users"] if user["name"] == name), None)

    def wait_user(self, name: str, timeout: float | None = None, **expected: Any) -> dict[str, Any]:
        """Until the user's status has these values; a callable value is asked."""
        def matches() -> dict[str, Any] | None:
            user = self.user(name)
            good = user is not None and all(wanted(user.get(key)) if callable(wanted) else user.get(key) == wanted
                                            for key, wanted in expected.items())
            return user if good else None
        try:
            return waiting.until(matches, f"{name}: {expected}", timeout, self.program.check_alive)
        except waiting.Timeout as error:
            raise waiting.Timeout(f"{error}\nstatus: {json.dumps(self.status(), indent=1)}\n{self.tail()}") from None

    def wait_gone(self, name: str, timeout: float | None = None) -> None:
        """Until the user is no longer managed and nothing of it is pending."""
        def gone() -> bool:
            user = self.user(name)
            return user is None or user["state"] == "absent"
        try:
            waiting.until(gone, f"{name} gone", timeout, self.program.check_alive)
        except waiting.Timeout as error:
            raise waiting.Timeout(f"{error}\n{json.dumps(self.status(), indent=1)}\n{self.tail()}") from None

    def wait_status(self, condition: Any, what: str, timeout: float | None = None) -> dict[str, Any]:
        """Until condition(status) is true."""
        def matches() -> dict[str, Any] | None:
            status = self.status()
            return status if condition(status) else None
        try:
            return waiting.until(matches, what, timeout, self.program.check_alive)
        except waiting.Timeout as error:
            raise waiting.Timeout(f"{error}\n{json.dumps(self.status(), indent=1)}\n{self.tail()}") from None

    def tail(self) -> str:
        return "\n".join([self.program.tail()] + [agent.program.tail() for agent in self.agents.values()])

    def policy_files(self) -> dict[str, str]:
        """What stands in the policy directory: name → text."""
        if not self.policy_dir.is_dir():
            return {}
        return {path.name: path.read_text(encoding="utf-8") for path in sorted(self.policy_dir.iterdir())}


class Agent:
    """devtrust-agent as this user."""

    def __init__(self, device: Device, user: str) -> None:
        self.device = device
        self.user = user
        self.uid = accounts.uid_of(user)
        self.home = accounts.home(user)
        self.database = nss.Database(user)
        self.record = self.home / ".local/state/devtrust/agent.json"
        self.program = Program(f"agent({user})", [str(programs.RUN / "bin/devtrust-agent"), "--verbose", "--socket", str(device.front)],
                               uid=self.uid, environment=programs.user_environment(user, self.uid))
        self.started = 0.0

    def start(self) -> "Agent":
        if not self.program.running():
            self.started = time.monotonic()
            self.program.start()
        return self

    def stop(self) -> None:
        """A SIGTERM before the agent listens for it would end it with the signal's status."""
        if self.program.running():
            self.program.wait_log("The agent has started", since=self.started)
        assert self.program.stop() == 0, f"the agent did not end well\n{self.program.tail()}"

    def kill(self) -> None:
        self.program.kill()


class World:
    def __init__(self, server_settings: dict[str, dict[str, object]] | None = None, *, default_socket: bool = False,
                 where: pathlib.Path | None = None) -> None:
        """`default_socket`: the first device listens where the tools look by themselves. `where`: a folder on a real disk, for the
        benchmark; otherwise memory."""
        programs.install_programs()
        self.base = (where or programs.RUN) / f"w{next(_numbers)}"
        self.server = Server(self.base / "server", server_settings)
        self.devices: list[Device] = []
        self.default_socket = default_socket
        for name in accounts.DEMO:
            accounts.make_home(name)
        shutil.rmtree(FIREFOX_POLICY.parent.parent, ignore_errors=True)
        shutil.rmtree(POLICY_ROOT, ignore_errors=True)
        POLICY_ROOT.mkdir(parents=True)
        for path in (POLICY_ROOT, POLICY_ROOT.parent):
            path.chmod(0o755)

    def start_server(self) -> Server:
        self.server.init()
        return self.server.start()

    def add_device(self, settings: dict[str, dict[str, object]] | None = None) -> Device:
        """A further machine: the first one's policy directory is Chromium's, the others' are their own."""
        number = len(self.devices)
        policy = POLICY_ROOT
        if number:
            policy = self.base / f"policy{number}"
            policy.mkdir(parents=True)
            policy.chmod(0o755)
        socket = pathlib.Path("/run/devtrust/io.devtrust") if self.default_socket and not number else None
        device = Device(self.base / f"device{number}", policy, settings, socket)
        self.devices.append(device)
        return device

    @property
    def device(self) -> Device:
        return self.devices[0]

    def setup(self, *users: str, on: bool = True, device_settings: dict[str, dict[str, object]] | None = None) -> Device:
        """The usual beginning: server, an enrolled device, these users managed with their agents, distribution on."""
        self.start_server()
        device = self.add_device(device_settings).start()
        device.enroll(self.server)
        for user in users:
            self.manage(user, device)
            device.agent(user)
        if on:
            self.server.distribution("on")
        return device

    def manage(self, user: str, device: Device, person: str | None = None) -> str:
        """A person at the server (u-<user>) and an assignment."""
        person = person or f"u-{user}"
        known = self.server.cli("user", "list")
        known = known["users"] if isinstance(known, dict) else known
        if person not in [entry["id"] for entry in known]:
            self.server.cli("user", "add", person, "--name", user.capitalize())
        self.server.cli("assign", person, device.uuid, user)
        return person

    def end(self) -> None:
        """Ends every process. The files go with the sandbox, large ones at once."""
        for device in self.devices:
            for agent in device.agents.values():
                agent.kill()
            device.kill()
        self.server.kill()
        shutil.rmtree(self.base, ignore_errors=True)

    def logs(self, count: int = 60) -> str:
        return "\n".join([self.server.program.tail(count)] + [device.tail() for device in self.devices])


@contextlib.contextmanager
def world(*arguments: Any, **options: Any) -> Iterator[World]:
    made = World(*arguments, **options)
    try:
        yield made
    finally:
        made.end()
