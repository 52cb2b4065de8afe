"""A machine with a real systemd as PID 1, in a container of its own (systemd-nspawn): for units, sessions and their managers.

The tree is made once from Debian's packages (build/box/tree, about a minute) and booted with everything that changes in memory, so each
boot is a fresh machine. Its only network is a loopback of its own. Needs root.
"""
import contextlib
import functools
import itertools
import os
import pathlib
import select
import shutil
import signal
import subprocess
from typing import Any, Iterator

from . import waiting

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PLACE = ROOT / "build" / "box"
TREE = PLACE / "tree"
# a small system with sessions, and what our programs link; the tests look at databases with certutil
PACKAGES = ("systemd", "systemd-sysv", "libpam-systemd", "dbus", "dbus-user-session", "login", "passwd", "util-linux", "procps", "iproute2",
            "libcurl4", "libjson-c5", "libuv1", "libsystemd0", "libinih1", "libpsl5", "publicsuffix", "libnss3", "libnss3-tools", "libssl3",
            "libevent-2.1-7", "libevent-openssl-2.1-7", "libsqlite3-0", "ca-certificates", "rpm")
USERS = {"alice": 1000, "bob": 1001}
_numbers = itertools.count(1)


def build_tree() -> pathlib.Path:
    """Makes the tree unless it is there, whole, and of these packages."""
    stamp = TREE / ".complete"
    if stamp.exists() and stamp.read_text(encoding="ascii").split() == list(PACKAGES):
        return TREE
    shutil.rmtree(TREE, ignore_errors=True)
    PLACE.mkdir(parents=True, exist_ok=True)
    sources = [str(file) for file in (pathlib.Path("/etc/apt/sources.list"), *sorted(pathlib.Path("/etc/apt/sources.list.d").glob("*.sources")))
               if file.exists() and file.stat().st_size > 0]
    codename = next(line.split("=")[1].strip() for line in open("/etc/os-release", encoding="utf-8") if line.startswith("VERSION_CODENAME="))
    done = subprocess.run(["mmdebstrap", "--mode=root", "--variant=minbase", "--aptopt=APT::Install-Recommends \"false\"",
                           "--aptopt=Acquire::Retries \"5\"",
                           f"--include={','.join(PACKAGES)}", codename, str(TREE), *sources],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"mmdebstrap failed:\n{done.stderr[-3000:]}"
    stamp.write_text(" ".join(PACKAGES) + "\n", encoding="ascii")
    return TREE


def control_groups() -> list[pathlib.Path]:
    """This process's places in the hierarchies that a systemd works with; none where this machine's own systemd sees to that."""
    if pathlib.Path("/run/systemd/system").is_dir():
        return []
    found = []
    for line in pathlib.Path("/proc/self/cgroup").read_text(encoding="ascii").splitlines():
        _, kind, path = line.split(":", 2)
        roots = {"": ("/sys/fs/cgroup/unified", "/sys/fs/cgroup"), "name=systemd": ("/sys/fs/cgroup/systemd",)}.get(kind, ())
        found += [pathlib.Path(root + path) for root in roots if pathlib.Path(root, "cgroup.procs").exists()][:1]
    return found


def clear(work: pathlib.Path) -> None:
    """Nothing stays of a machine that has ended."""
    for mounted in (work / "root", work / "memory"):
        subprocess.run(["umount", "--lazy", str(mounted)], stderr=subprocess.DEVNULL, check=False)
    for parent in control_groups():
        for folder, _, _ in os.walk(parent / work.name, topdown=False):
            with contextlib.suppress(OSError):  # the last process may still be on its way out
                os.rmdir(folder)
    shutil.rmtree(work, ignore_errors=True)


@functools.cache
def sweep() -> None:
    """Before the first machine: what runs have left that were killed. Their machines died with them."""
    for work in PLACE.glob("box-*-*"):
        pid = work.name.split("-")[1]
        if pid == str(os.getpid()) or not pathlib.Path("/proc", pid).exists():
            clear(work)


class Failed(AssertionError):
    """A command in the box that should have worked."""


class Box:
    """One booted machine. `files`: what lies over the tree, a folder such as `make install` fills."""

    def __init__(self, files: pathlib.Path | None = None) -> None:
        sweep()
        self.tree = build_tree()
        self.files = files
        self.work = PLACE / f"box-{os.getpid()}-{next(_numbers)}"  # also the machine's name: letters, digits and dashes
        self.work.mkdir(mode=0o700)
        self.root = self.work / "root"
        self.console = self.work / "console.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.leader = 0
        self.guard: subprocess.Popen[bytes] | None = None  # ends the machine when this process ends without having done so
        self.sessions: list[subprocess.Popen[bytes]] = []
        # of its own: a session in a group that another box has, too, would never be over
        self.groups = [group / self.work.name for group in control_groups()]

    def mount(self) -> None:
        """The tree below, ours in the middle, memory on top."""
        memory = self.work / "memory"
        for folder in (self.root, memory):
            folder.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", str(memory)], check=True)
        for folder in ("upper", "work"):
            (memory / folder).mkdir()
        lower = f"{self.files}:{self.tree}" if self.files else str(self.tree)
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o",
                        f"lowerdir={lower},upperdir={memory}/upper,workdir={memory}/work", str(self.root)], check=True)

    def start(self) -> "Box":
        self.mount()
        for name, uid in USERS.items():
            subprocess.run(["useradd", "--root", str(self.root), "--uid", str(uid), "--create-home", "--shell", "/bin/sh", name], check=True)
        (self.root / "etc/machine-id").write_text("uninitialized\n", encoding="ascii")
        # where systemd runs this machine, the container wants a scope of its own from it
        scope = [] if pathlib.Path("/run/systemd/system").is_dir() else ["--keep-unit"]
        for group in self.groups:
            group.mkdir(exist_ok=True)

        def enclose() -> None:
            """In the child."""
            for group in self.groups:
                (group / "cgroup.procs").write_text(str(os.getpid()), encoding="ascii")
        with open(self.console, "wb") as output:
            self.process = subprocess.Popen(
                ["systemd-nspawn", "--quiet", f"--directory={self.root}", "--register=no", *scope, f"--machine={self.work.name}",
                 "--private-network", "--boot", "systemd.log_level=info", "systemd.log_target=console"],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, preexec_fn=enclose,
                env=os.environ | {"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"})
        self.leader = waiting.until(self.find_leader, "the container's first process", alive=self.check_alive)
        self.guard = subprocess.Popen(["/bin/sh", "-c", 'read -r told || kill -KILL "$0"', str(self.leader)], stdin=subprocess.PIPE,
                                      start_new_session=True)
        waiting.until(lambda: self.run("systemctl", "is-system-running", check=False).stdout.strip() in ("running", "degraded"),
                      "the box has booted", 180, alive=self.check_alive)
        return self

    def check_alive(self) -> None:
        assert self.process and self.process.poll() is None, f"the box ended:\n{self.console.read_text(errors='replace')[-3000:]}"

    def find_leader(self) -> int:
        assert self.process
        for child in pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text(encoding="ascii").split():
            # nspawn's helpers on the way there share our namespace
            if os.readlink(f"/proc/{child}/ns/pid") != os.readlink("/proc/self/ns/pid"):
                return int(child)
        return 0

    def command(self, *argv: str) -> list[str]:
        return ["nsenter", f"--target={self.leader}", "--mount", "--pid", "--ipc", "--uts", "--net", "--cgroup", "--", *argv]

    def run(self, *argv: str, check: bool = True, stdin: str | None = None, timeout: float = 300) -> "subprocess.CompletedProcess[str]":
        """As root of the box."""
        done = subprocess.run(self.command(*argv), input=stdin, stdin=None if stdin is not None else subprocess.DEVNULL, capture_output=True,
                              text=True, check=False, timeout=timeout, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"})
        if check and done.returncode != 0:
            raise Failed(f"{' '.join(argv)}: status {done.returncode}\n{done.stdout}{done.stderr}{self.journal()}")
        return done

    def as_user(self, name: str, *argv: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
        """As this user, in an environment such as a session's."""
        uid = USERS[name]
        return self.run("runuser", "-u", name, "--", "env", f"HOME=/home/{name}", f"XDG_RUNTIME_DIR=/run/user/{uid}",
                        f"DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/{uid}/bus", *argv, check=check)

    def login(self, name: str, seat: str = "") -> "subprocess.Popen[bytes]":
        """A session of this user, through PAM and logind, until logout(); at a screen where one is named."""
        place = ("env", f"XDG_SEAT={seat}") if seat else ()
        session = subprocess.Popen(self.command(*place, "su", "--login", name, "--command", "echo open; exec sleep infinity"),
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True)
        self.sessions.append(session)
        # a su that is ended while it opens a session leaves that behind, and the user signed in
        assert session.stdout and select.select([session.stdout], [], [], waiting.PATIENCE)[0], f"no session of {name}"
        assert session.stdout.readline() == b"open\n", f"no session of {name}"
        waiting.until(lambda: self.as_user(name, "systemctl", "--user", "is-system-running", check=False).stdout.strip() in
                      ("running", "degraded"), f"the user manager of {name}")
        return session

    def logout(self, session: "subprocess.Popen[bytes]") -> None:
        """Ends the session as a terminal that closes does. nsenter stays, to wait for su: another parent may leave it as a zombie, and the
        session is closing for as long."""
        for child in pathlib.Path(f"/proc/{session.pid}/task/{session.pid}/children").read_text(encoding="ascii").split():
            os.kill(int(child), signal.SIGTERM)
        session.wait(timeout=waiting.PATIENCE)
        if session.stdout:
            session.stdout.close()
        self.sessions.remove(session)

    def journal(self, *arguments: str) -> str:
        """The journal's last lines; with arguments, what journalctl says. What was logged before is in it."""
        subprocess.run(self.command("journalctl", "--sync"), capture_output=True, check=False, stdin=subprocess.DEVNULL)
        chosen = arguments or ("--lines=60",)
        return subprocess.run(self.command("journalctl", "--no-pager", "--quiet", *chosen), capture_output=True, text=True, check=False,
                              stdin=subprocess.DEVNULL).stdout

    def add_library(self, source: str, name: str) -> None:
        """Compiles a C source into the library folder of the box."""
        made = self.work / name
        subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", str(made), "-x", "c", "-"], input=source, text=True, check=True)
        folder = next((self.tree / "usr/lib").glob("*-linux-gnu")).relative_to(self.tree)
        shutil.copy(made, pathlib.Path(f"/proc/{self.leader}/root") / folder / name)

    def show(self, unit: str, name: str) -> str:
        return self.run("systemctl", "show", "--value", f"--property={name}", unit).stdout.strip()

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            for session in list(self.sessions):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(session.pid, signal.SIGKILL)
                session.wait()
            # the machine has nothing worth an orderly end: its first process takes all others with it
            with contextlib.suppress(ProcessLookupError):
                if self.leader:
                    os.kill(self.leader, signal.SIGKILL)
            self.process.wait(timeout=waiting.PATIENCE)
        if self.guard:
            self.guard.communicate(b"told\n")
        clear(self.work)


@contextlib.contextmanager
def booted(*arguments: Any, **options: Any) -> Iterator[Box]:
    box = Box(*arguments, **options)
    try:
        yield box.start()
    finally:
        box.stop()
