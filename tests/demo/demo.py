#!/usr/bin/python3
"""The whole way with real parts: server, daemon, agent, Chromium. Run by `make demo` inside tests/harness/sandbox.

With KEEP=1 it then stays until Ctrl-C and writes build/demo/env and build/demo/enter.
"""
import os
import pathlib
import shlex
import shutil
import signal
import sys
import threading
import time
from typing import Any, Callable

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from harness import accounts, nss, programs, waiting, world  # noqa: E402
from harness.browser import Browser  # noqa: E402

USER = "alice"
PERSON = "alice@example.com"
OUT = programs.ROOT / "build" / "demo"


class Steps:
    """One line per step, with the milliseconds that it took."""

    def __init__(self) -> None:
        self.started = time.monotonic()

    def __call__(self, text: str, action: Callable[[], Any]) -> Any:
        before = time.monotonic()
        try:
            result = action()
        except Exception:
            print(f"  FAILED   {text}", flush=True)
            raise
        print(f"{(time.monotonic() - before) * 1000:6.0f} ms  {text.format(result)}", flush=True)
        return result


class Demo:
    def __init__(self) -> None:
        self.step = Steps()
        # kept, it lies where root outside finds it by plain paths; the sandbox removes it at the end, however that comes
        self.world = world.World(default_socket=True, where=OUT / "world" if os.environ.get("KEEP") else None)
        self.server = self.world.server
        self.database = nss.Database(USER)
        self.browser = Browser(USER)
        self.before: tuple[nss.Contents, dict[str, str]] | None = None

    def run(self) -> None:
        step, server = self.step, self.server
        step("server: two roots, two issuing CAs, database", server.init)
        step("server: serving devices at " + server.url, server.start)
        device = self.world.add_device()
        step("devtrustd: running as root, answers on its socket", device.start)
        token = step("server: one-time enrolment token made", server.token)
        step("device enrolled: {}", lambda: self._enroll(token))
        self._people(device)
        self.before = (self.database.contents(), device.policy_files())
        step(f"devtrust-agent: running as {USER} (uid {self.database.uid}), attached",
             lambda: (device.agent(USER), device.wait_user(USER, agent_attached=True)))
        pushed = step("distribution switched on: pushed, signed, installed, verified; serial {}", self._switch_on)
        self._check_installed(device, pushed)
        step("Chromium: started, headless, as " + USER, self.browser.start)
        page = step("Chromium: the portal says {0[0]}: user {0[1][user]}, device {0[1][device]}, no prompt",
                    lambda: self._visit("trusted"))
        self._same(page[1]["serial"], pushed, "serial on the page")
        self._same(page[1]["device"], device.uuid, "device on the page")
        renewed = step("renewed under the running Chromium: serial {}", lambda: self._renew(device, pushed))
        step("Chromium: the portal shows the new serial", lambda: waiting.until(
            lambda: self.browser.revisit("trusted")[1]["serial"] == renewed, "the new serial on the page"))
        step("distribution switched off: removed from database and policy", lambda: self._switch_off(device))
        step("Chromium: the portal says {0[0]}: {0[1][reason]}", lambda: waiting.until(
            lambda: (lambda page: page if page[0] == "unmanaged" else None)(self.browser.revisit()), "the page says unmanaged"))
        step("database and policy directory are as they were", lambda: self._as_before(device))

    def _enroll(self, token: str) -> str:
        done = self.world.device.try_enroll(self.server.url, token, self.server.ca_pin)
        if done.returncode != 0:
            raise AssertionError(f"devtrustctl enroll: {done.stdout}{done.stderr}")
        return self.world.device.uuid

    def _people(self, device: world.Device) -> None:
        """Alice, her browser's database (with the demo's TLS CA, as an administrator would spread it), and her assignment."""
        self.step("NSS database of " + USER, lambda: self.database.create().trust_tls_ca(self.server.tls_ca))
        self.step(f"server: {PERSON} added and assigned to the device as local user {USER}", lambda: (
            self.server.cli("user", "add", PERSON, "--name", "Alice"), self.server.cli("assign", PERSON, device.uuid, USER)))

    def _switch_on(self) -> str:
        self.server.distribution("on")
        return self.world.device.wait_user(USER, state="installed")["serial"]

    def _check_installed(self, device: world.Device, serial: str) -> None:
        contents = self.step("NSS database: exactly one certificate and key of ours; one policy file", self.database.contents)
        self._same(self.database.serials(), [serial], "serials in the database")
        self._same(len(contents.keys), 1, "keys in the database")
        self._same(len(device.policy_files()), 1, "policy files")

    def _visit(self, wanted: str) -> tuple[str, dict[str, str]]:
        return self.browser.visit(self.server.portal_url + "/", wanted)

    def _renew(self, device: world.Device, old: str) -> str:
        done = device.ctl("renew", uid=self.database.uid)
        if done.returncode != 0:
            raise AssertionError(f"devtrustctl renew: {done.stdout}{done.stderr}")
        user = device.wait_user(USER, state="installed", serial=lambda serial: serial not in (None, old))
        waiting.until(lambda: self.database.serials() == [user["serial"]], "only the new certificate is in the database")
        return user["serial"]

    def _switch_off(self, device: world.Device) -> None:
        self.server.distribution("off")
        device.wait_gone(USER)
        waiting.until(lambda: not device.policy_files(), "the policy is gone", alive=device.program.check_alive)

    def _as_before(self, device: world.Device) -> None:
        self._same((self.database.contents(), device.policy_files()), self.before, "database and policy directory")

    @staticmethod
    def _same(found: object, wanted: object, what: str) -> None:
        if found != wanted:
            raise AssertionError(f"{what}: {found!r}, not {wanted!r}")

    def close(self) -> None:
        self.browser.close()
        self.world.end()


def write_keep_files(demo: Demo) -> None:
    """For whoever wants to look inside from outside, as root (or as the user who started it)."""
    pid = os.environ["DEVTRUST_SANDBOX"]
    outside = f"/proc/{pid}/root"
    values = {"DEVTRUST_SOCKET": f"{outside}{demo.world.device.socket}", "PORTAL_URL": demo.server.portal_url,
              "EST_URL": f"{demo.server.url}/.well-known/est", "SERVER_URL": demo.server.url,
              "ADMIN_URL": f"http://127.0.0.1:{demo.server.admin_port}", "CA_FILE": demo.server.tls_ca,
              "CA_PIN": demo.server.ca_pin, "DEMO_USER": USER, "DEMO_HOME": f"{outside}{accounts.home(USER)}",
              "DEMO_NSSDB": f"{outside}{demo.database.directory}", "DEVICE_UUID": demo.world.device.uuid,
              "DEVICE_STATE": demo.world.device.state_dir, "POLICY_DIR": f"{outside}{demo.world.device.policy_dir}",
              "SERVER_DB": demo.server.database, "SERVER_SOCKET": f"{outside}{demo.server.socket}",
              "SERVER_CONFIG": demo.server.config, "DEVTRUST_SERVER": f"{outside}{programs.RUN}/bin/devtrust-server",
              "DEVTRUSTCTL": f"{outside}{programs.RUN}/bin/devtrustctl", "DEMO_PID": pid}
    namespaces = "--mount --pid" + (" --net" if os.environ.get("DEVTRUST_SANDBOX_NET") == "own" else "")
    user = ""
    if os.environ.get("DEVTRUST_SANDBOX_USERNS") == "1":
        user = 'if [ "$(id -u)" = 0 ]; then user="--user --setuid 0 --setgid 0"; else user="--user --preserve-credentials"; fi'
    enter = f"""#!/bin/sh
# Runs a command inside the running demo, as root there. devtrust-server finds its configuration by itself.
[ -e /proc/{pid}/root{programs.RUN}/bin ] || {{
    echo "enter: the demo is not running (or not yours to enter): start it with make demo KEEP=1" >&2
    exit 1
}}
user=
{user}
exec nsenter --target {pid} $user {namespaces} --root --wd=/ -- /usr/bin/env -i PATH={programs.base_environment()['PATH']} \\
    HOME=/root LANG=C.UTF-8 TERM="$TERM" "$@"
"""
    (OUT / "enter").write_text(enter, encoding="utf-8")
    (OUT / "enter").chmod(0o755)
    # last and in one piece: who waits for this file finds all in place
    temporary = OUT / "env.new"
    temporary.write_text("".join(f"{name}={shlex.quote(str(value))}\n" for name, value in values.items()), encoding="utf-8")
    temporary.rename(OUT / "env")


def keep(demo: Demo) -> None:
    """Switched on again, until somebody ends it."""
    demo.step("distribution switched on again; serial {}", demo._switch_on)
    pathlib.Path("/etc/devtrust").mkdir(exist_ok=True)
    pathlib.Path("/etc/devtrust/server.conf").write_text(demo.server.config.read_text(encoding="utf-8"), encoding="utf-8")
    write_keep_files(demo)
    print(f"""
The portal:      {demo.server.portal_url}/   (CA to trust: CA_FILE in build/demo/env)
The server:      {demo.server.url}
Inside:          build/demo/enter devtrustctl status
                 build/demo/enter devtrust-server distribution off
Shell variables: build/demo/env
Ctrl-C ends it, and nothing is left.
""", flush=True)


def remove_outside() -> None:
    shutil.rmtree(OUT / "world", ignore_errors=True)
    for stale in ("env", "enter"):
        (OUT / stale).unlink(missing_ok=True)


def interrupted(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def main() -> int:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupted)
    OUT.mkdir(parents=True, exist_ok=True)
    remove_outside()
    demo = Demo()
    status = 130
    try:
        demo.run()
        staying = bool(os.environ.get("KEEP"))
        if staying:
            keep(demo)
        status = 0
        print("demo: ok", flush=True)
        if staying:
            threading.Event().wait()
    except KeyboardInterrupt:
        pass
    except Exception as error:  # the one place where any failure becomes a message
        print(f"\ndemo: {type(error).__name__}: {error}\n{demo.world.logs()}\n{demo.browser.driver.tail()}\ndemo: failed", flush=True)
        status = 1
    demo.close()
    remove_outside()
    return status


if __name__ == "__main__":
    sys.exit(main())
