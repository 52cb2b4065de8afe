"""What is walked: a device's first enrolment with its user's first certificate, a renewal, a removal. Each can be brought back to its
beginning in a fraction of a second, played, driven to its end after whatever happened, and held against what must always be so."""
import contextlib
import json
import os
import pathlib
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time
from typing import Any, Callable

from harness import accounts, nss, programs, waiting
from harness.world import Failed, World

from .control import Control

ROOM = {"limits": {"requests_per_hour": 1000000}}
SERVER_ROOM = {"issue": {"hourly_limit": 1000000}, "push": {"rate": 100000}}
PROGRAMS = ("daemon", "agent", "server")
USER, UID = "alice", 1000
PROFILE = pathlib.Path(".mozilla/firefox/one.default")  # a second store, beside Chromium's database, which the agent makes
PERSON = "u-alice"
STATES = {1: "issued", 2: "installed", 3: "superseded", 4: "revoked"}  # server/certificate.h
WORLD_LASTS = 150  # plays; then a new one, so that the lists at the server stay short
MAX_BACKOFF_S = 60  # of a first failure
Over = Callable[[], bool]


class Broken(AssertionError):
    """Something that must always hold did not."""


def roll_back(folder: pathlib.Path) -> None:
    """What every program that opens a database for writing does with a transaction that a killed one left half done. certutil opens it
    for reading only, and then calls it bad."""
    for name in ("cert9.db", "key4.db"):
        with contextlib.closing(sqlite3.connect(folder / name)) as database:
            database.execute("SELECT count(*) FROM sqlite_master").fetchone()


def make_profile() -> None:
    """In the user's home, which is fresh; as Firefox makes it, but once for all."""
    template = programs.RUN / "profile"
    if not template.exists():
        made = nss.Database(USER, accounts.home(USER) / "template").create()
        shutil.move(made.directory, template)
    folder = accounts.home(USER) / PROFILE
    shutil.copytree(template, folder)
    (folder.parent / "profiles.ini").write_text(f"[Profile0]\nName=one\nIsRelative=1\nPath={PROFILE.name}\nDefault=1\n", encoding="ascii")
    for path in (folder.parent.parent, folder.parent, folder, *folder.parent.iterdir(), *folder.iterdir()):
        os.chown(path, UID, UID)


def stores() -> list[nss.Database]:
    return [nss.Database(USER), nss.Database(USER, accounts.home(USER) / PROFILE)]


class Scene:
    """A world with the shim in front of its three programs."""
    name = ""

    def __init__(self) -> None:
        self.world: World | None = None
        self.plays = 0
        self.since = 0.0
        self.victim = ""  # whose calls are walked
        self.controls: dict[str, Control] = {}

    @property
    def device(self) -> Any:
        return self.world.device

    @property
    def server(self) -> Any:
        return self.world.server

    @property
    def agent(self) -> Any:
        return self.device.agents[USER]

    def owner(self, name: str) -> Any:
        return {"daemon": self.device, "agent": self.agent, "server": self.server}[name]

    def program(self, name: str) -> programs.Program:
        return self.owner(name).program

    def end(self) -> None:
        if self.world:
            self.world.end()
        self.world = None

    def make(self) -> None:
        """A new world: the server runs, the device does not yet."""
        self.end()
        self.world = World(SERVER_ROOM)
        self.server.init()
        self.world.add_device(ROOM)
        agent = self.device.make_agent(USER)
        make_profile()
        for name, program in (("server", self.server.program), ("daemon", self.device.program), ("agent", agent.program)):
            self.controls[name] = Control(program, self.world.base / f"faults-{name}")
        self.server.start()
        self.plays = 0

    def reset(self) -> None:
        """To the beginning, whatever was before."""
        if not self.world or self.plays >= WORLD_LASTS:
            self.make()
        self.plays += 1

    def act(self, over: Over) -> None:
        """Plays it; returns at its end or when `over` says so. Asks the programs nothing beyond what belongs to it."""
        raise NotImplementedError

    def converge(self) -> None:
        """To its end, as users and administrators would: by doing again what has not happened."""
        raise NotImplementedError

    def kept(self) -> None:
        """What must hold at any moment, before anything was started again."""

    def verify(self) -> None:
        """What must hold at rest."""

    # --- steps that scenes share ---

    def begin(self) -> None:
        """What is in the logs until now is of a play before."""
        self.since = max(self.program(name).mark() for name in PROGRAMS)

    def finished(self) -> bool:
        """By the logs alone: to ask the programs would be points of its own."""
        return (self.device.program.logged(r"\bTO=installed\b", self.since)
                and self.server.program.logged(r"A certificate is installed\..*USER=u-alice.*CHANGED=1", self.since)
                and self.agent.program.logged(r"STATE=idle EVENT=acknowledged", self.since))

    def until_finished(self, over: Over) -> None:
        waiting.until(lambda: over() or self.finished(), f"the end of a {self.name}")

    def connected(self) -> None:
        self.device.wait_user(USER, agent_attached=True)
        self.device.wait_status(lambda status: status["push"]["connected"], "the push channel")

    def certificates(self) -> list[tuple[str, str]]:
        """Serial and state of the user's certificates on this device, as the server's database has them."""
        with contextlib.closing(sqlite3.connect(f"file:{self.server.database}?mode=ro", uri=True)) as database:
            rows = database.execute("SELECT serial, state FROM certificates WHERE kind = 2 AND device = ?", (self.device.uuid,)).fetchall()
        return [(serial, STATES[state]) for serial, state in rows]

    def confirmed(self, serial: str) -> None:
        """The server knows that it is installed, and nothing beside it waits for that."""
        waiting.until(lambda: [entry for entry in self.certificates() if entry[1] in ("issued", "installed")] == [(serial, "installed")],
                      f"{serial} alone and confirmed at the server")

    def installed(self) -> str:
        """The one serial number of a device at rest with a certificate."""
        return self.device.wait_user(USER, state="installed", agent_attached=True)["serial"]

    def nudge(self, wanted: Callable[[dict[str, Any]], bool], unfinished: Callable[[dict[str, Any]], bool]) -> None:
        """Until the user's status is as wanted; where a back-off is on or nothing has begun, the user asks again."""
        def look() -> bool:
            user = self.device.user(USER)
            if not user:
                return False
            if wanted(user):
                return True
            if user["state"] == "waiting" and user.get("retry_at"):
                if user["retry_at"] > time.time() + MAX_BACKOFF_S:
                    raise Broken(f"it waits until {user['retry_at']}: {user}")
            if user["agent_attached"] and (user["state"] == "waiting" or unfinished(user)):
                self.device.ctl("renew", uid=UID)
            return False
        try:
            waiting.until(look, f"convergence of a {self.name}")
        except waiting.Timeout as error:
            raise Broken(f"{error}\n{json.dumps(self.device.status(), indent=1)}") from None

    # --- what must hold ---

    def nothing_left_over(self) -> None:
        def odd() -> list[str]:
            found = []
            for base in (self.server.state_dir, self.device.state_dir, self.device.policy_dir, accounts.home(USER)):
                found += [str(path) for path in base.rglob("*")
                          if path.name.endswith((".tmp", ".new", "~", "-journal")) or path.name.startswith("pending")
                          or "broken" in path.name]
            return found
        try:
            waiting.until(lambda: not odd(), "no file left over")
        except waiting.Timeout:
            raise Broken(f"left over: {odd()}") from None

    def rest_with(self, serial: str) -> None:
        """One certificate and one key in each store, the same at the server, and the status says so."""
        def is_alone(database: nss.Database) -> bool:
            contents = database.contents()
            return (len(contents.ours) == 1 and len(contents.keys) == 1 and contents.keys[0].label != "(orphan)"
                    and nss.serial_of(database.certificate(contents.ours[0])) == serial)
        try:
            waiting.until(lambda: all(map(is_alone, stores())), "one certificate and one key")
        except waiting.Timeout:
            raise Broken(f"not one certificate and key of {serial}: {[store.contents() for store in stores()]}") from None
        self.confirmed(serial)
        waiting.until(lambda: "intent" not in json.loads(self.agent.record.read_text(encoding="utf-8")), "no intent of the agent")
        status = self.device.wait_status(lambda status: status["push"]["connected"], "the push channel")
        user = next(user for user in status["users"] if user["name"] == USER)
        if (user["state"], user["serial"], user["agent_attached"]) != ("installed", serial, True) or \
                user.get("code", "none") != "none" or len(user["stores"]) != len(stores()) or not all(store["ok"] for store in user["stores"]):
            raise Broken(f"the status is not true: {user}")
        if status["enrolment"]["state"] != "enrolled" or [policy["installed"] for policy in status["policies"]] != [True] \
                or not self.device.policy_files():
            raise Broken(f"the status is not true: {status['enrolment']}, {status['policies']}, {self.device.policy_files()}")
        if self.device.ctl("status").returncode != 0 or self.device.ctl("cert", "show", uid=UID).returncode != 0:
            raise Broken(f"devtrustctl disagrees: {self.device.ctl('status').stdout}")
        self.nothing_left_over()


class Enrolment(Scene):
    name = "enrolment"

    def __init__(self) -> None:
        super().__init__()
        self.token = ""
        self.devices: set[str] = set()

    def make(self) -> None:
        super().make()
        self.server.distribution("on")
        self.server.cli("user", "add", PERSON, "--name", "Alice")

    def reset(self) -> None:
        super().reset()
        self.agent.kill()
        self.device.kill()
        shutil.rmtree(self.device.state_dir)
        self.device.state_dir.mkdir(mode=0o700)
        for path in self.device.policy_dir.iterdir():
            path.unlink()
        accounts.make_home(USER)
        make_profile()
        self.device.start()
        self.token = self.server.token()
        self.devices = self.devices_at_server()
        file = self.device.base / "token"
        file.write_text(self.token + "\n", encoding="ascii")
        file.chmod(0o600)

    def enroll(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen([programs.RUN / "bin/devtrustctl", "enroll", self.server.url, "--token-file", self.device.base / "token",
                                 "--ca-pin", self.server.ca_pin, "--socket", self.device.front],
                                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                env=programs.base_environment())

    def devices_at_server(self) -> set[str]:
        return {entry["uuid"] for entry in self.server.cli("device", "list")["devices"]}

    def new_device(self) -> str:
        new = self.devices_at_server() - self.devices
        if len(new) != 1:
            raise Broken(f"{len(new)} devices at the server instead of one")
        return new.pop()

    def manage(self) -> "subprocess.CompletedProcess[str]":
        return self.server.try_cli("assign", PERSON, self.new_device(), USER)

    def act(self, over: Over) -> None:
        tool = self.enroll()
        try:
            waiting.until(lambda: over() or tool.poll() is not None, "the end of devtrustctl enroll")
        finally:
            if tool.poll() is None:
                tool.kill()
            tool.wait()
        try:
            good = tool.returncode == 0 and self.manage().returncode == 0
        except Failed:  # the server is gone
            good = False
        if not good:
            waiting.until(over, "the fault that made it fail")
            return
        self.agent.start()
        self.until_finished(over)

    def converge(self) -> None:
        enrolment = self.device.status()["enrolment"]["state"]
        if enrolment == "none":  # the administrator tries the same again
            tool = self.enroll()
            if tool.wait(waiting.PATIENCE) != 0:
                raise Broken(f"the same token does not work again: status {tool.returncode}")
        self.device.wait_status(lambda status: status["enrolment"]["state"] == "enrolled", "enrolled")
        if not self.server.cli("assignment", "list", "--device", self.device.uuid)["assignments"]:
            done = self.manage()
            if done.returncode != 0:
                raise Broken(f"assign: {done.stderr}")
        self.agent.start()

        def is_over(user: dict[str, Any]) -> bool:
            return all(store["ok"] for store in user["stores"])
        self.nudge(lambda user: user["state"] == "installed" and is_over(user), lambda user: user["state"] == "installed" and not is_over(user))

    def verify(self) -> None:
        if self.new_device() != self.device.uuid:
            raise Broken("the device at the server is another")
        self.rest_with(self.installed())


class Renewal(Scene):
    name = "renewal"

    def __init__(self) -> None:
        super().__init__()
        self.old = ""

    def make(self) -> None:
        super().make()
        self.device.start()
        self.device.enroll(self.server)
        self.world.manage(USER, self.device)
        self.agent.start()
        self.server.distribution("on")

    def reset(self) -> None:
        super().reset()
        if self.victim == "server":
            self.device.kill()  # its back-offs, which a server that dies again and again makes long, end with it
            self.device.start()
        self.old = self.installed()
        self.confirmed(self.old)
        self.connected()

    def act(self, over: Over) -> None:
        self.device.ctl("renew", "--timeout", "5", uid=UID)
        self.until_finished(over)

    def kept(self) -> None:
        """Each store as it lies there holds a certificate with its key that the server takes for good."""
        with tempfile.TemporaryDirectory(dir=accounts.home(USER)) as folder:
            copies = [pathlib.Path(folder) / str(number) for number, _ in enumerate(stores())]
            self.agent.program.signal(signal.SIGSTOP)  # all files of one moment
            waiting.until(lambda: not self.agent.program.running() or self.agent.program.state() == "T", "the agent stopped")
            for store, copy in zip(stores(), copies):
                shutil.copytree(store.directory, copy)
            self.agent.program.signal(signal.SIGCONT)
            good = {serial for serial, state in self.certificates() if state != "revoked"} \
                if self.server.program.running() and self.device.program.running() else None
            os.chown(folder, UID, UID)
            for copy in copies:
                self.holds_a_good_one(copy, good)

    def holds_a_good_one(self, copy: pathlib.Path, good: set[str] | None) -> None:
        roll_back(copy)
        for path in (copy, *copy.iterdir()):
            os.chown(path, UID, UID)
        database = nss.Database(USER, copy)
        contents = database.contents()
        usable = [name for name, trust in contents.certificates if name in contents.ours and "u" in trust]  # u: its key is there
        serials = [nss.serial_of(database.certificate(name)) for name in usable]
        if not serials or (good is not None and not good & set(serials)):
            raise Broken(f"no valid credential: {contents}, good at the server: {good}")

    def converge(self) -> None:
        """Where one store has got it and the other one could not, the agent asks again by itself, in seconds; nobody waits for them here."""
        def is_over(user: dict[str, Any]) -> bool:
            return user["serial"] != self.old and all(store["ok"] for store in user["stores"])
        self.nudge(lambda user: user["state"] == "installed" and is_over(user), lambda user: user["state"] == "installed" and not is_over(user))

    def verify(self) -> None:
        self.rest_with(self.installed())


class Removal(Renewal):
    name = "removal"

    def finished(self) -> bool:
        return (self.device.program.logged(r"\bTO=absent\b", self.since)
                and self.server.program.logged(r"A user's certificates were removed", self.since)
                and self.agent.program.logged(r"STATE=idle EVENT=acknowledged FROM=removed", self.since))

    def reset(self) -> None:
        if self.world:
            self.server.distribution("on")
        super().reset()

    def act(self, over: Over) -> None:
        self.server.try_cli("distribution", "off")
        self.until_finished(over)

    def kept(self) -> None:
        """Nothing to keep."""

    def converge(self) -> None:
        self.server.distribution("off")
        self.device.wait_gone(USER)

    def verify(self) -> None:
        def gone() -> bool:
            contents = [store.contents() for store in stores()]
            return not any(one.certificates or one.keys for one in contents) and not self.device.policy_files()
        try:
            waiting.until(gone, "nothing in the store")
        except waiting.Timeout:
            raise Broken(f"left: {[store.contents() for store in stores()]}, {self.device.policy_files()}") from None
        waiting.until(lambda: {state for _, state in self.certificates()} == {"revoked"}, "all revoked")
        waiting.until(lambda: not self.agent.record.exists(), "no record of the agent")
        status = self.device.wait_status(lambda status: status["push"]["connected"], "the push channel")
        if [user for user in status["users"] if user["state"] != "absent"] or status["desired"]["distribution"] != "off" \
                or any(policy["installed"] for policy in status["policies"]):
            raise Broken(f"the status is not true: {status}")
        if self.device.ctl("cert", "show", uid=UID).returncode != 1:
            raise Broken("devtrustctl cert show finds one")
        self.nothing_left_over()


SCENES: dict[str, type[Scene]] = {scene.name: scene for scene in (Enrolment, Renewal, Removal)}
