"""Processes under test: started with exact arguments, watched by their own output, ended by pid."""
import io
import itertools
import os
import pathlib
import random
import re
import select
import shutil
import signal
import socket
import subprocess
import threading
import time

from . import accounts, waiting

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
RUN = pathlib.Path("/run/dt")
PROGRAMS = ("devtrustd", "devtrust-agent", "devtrustctl", "devtrust-server")
MAX_LINES = 20000
PIPE_SIZE = 1 << 16  # what a pipe holds: pipe(7)
_numbers = itertools.count(1)


def build_dir() -> pathlib.Path:
    """The build under test: BIN, relative to the repository (build, build/asan …)."""
    return ROOT / os.environ.get("BIN", "build")


def sanitized() -> bool:
    return build_dir().name == "asan"


def install_programs() -> pathlib.Path:
    """Copies the programs where ordinary users can run them (a clone may lie in a private folder)."""
    target = RUN / "bin"
    if target.exists():
        return target
    built = [name for name in PROGRAMS if (build_dir() / name).exists()]
    if len(built) < len(PROGRAMS) and "PARTIAL" not in os.environ:
        raise SystemExit(f"{', '.join(set(PROGRAMS) - set(built))} not found in {build_dir()}: run make first")
    target.mkdir(parents=True)
    RUN.chmod(0o755)
    for name in built:
        shutil.copy(build_dir() / name, target / name)
        (target / name).chmod(0o755)
    return target


def base_environment() -> dict[str, str]:
    """Nothing of the caller's leaks in but what sanitizers need."""
    environment = {"PATH": f"{RUN}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8",
                   "HOME": "/root", "MALLOC_ARENA_MAX": "1"}
    environment |= {name: os.environ[name] for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS") if name in os.environ}
    return environment


def user_environment(name: str, uid: int) -> dict[str, str]:
    return base_environment() | {"HOME": str(accounts.home(name)), "USER": name, "LOGNAME": name, "XDG_RUNTIME_DIR": f"/run/user/{uid}"}


class _Output:
    """A pipe from a process. It can be emptied at any moment, not only when a thread gets round to it."""

    def __init__(self, pipe: "io.FileIO") -> None:
        self.pipe = pipe
        self.rest = b""
        self.ended = False
        os.set_blocking(pipe.fileno(), False)

    def take(self) -> list[bytes]:
        """The lines that have come; at the end also one without a newline. Of a program that writes without end, what it had written
        before."""
        taken = 0
        while not self.ended and taken <= PIPE_SIZE:
            data = self.pipe.read(PIPE_SIZE)
            if data is None:
                break
            self.ended = not data
            self.rest += data or (b"\n" if self.rest else b"")
            taken += len(data)
        *lines, self.rest = self.rest.split(b"\n")
        return lines

    def wait(self) -> None:
        """Until there is something to take, or the end."""
        poll = select.poll()
        poll.register(self.pipe, select.POLLIN)
        poll.poll()


class Program:
    """One process with its output collected by line: who has seen an effect of the process finds here all that it wrote before.
    With `notify`, start() returns when it has said READY=1."""

    def __init__(self, name: str, argv: list[str], *, uid: int = 0, environment: dict[str, str] | None = None,
                 notify: bool = False) -> None:
        self.name = name
        self.argv = [str(argument) for argument in argv]
        self.uid = uid
        self.environment = environment or base_environment()
        self.notify = notify
        self.process: subprocess.Popen[bytes] | None = None
        self.lines: list[tuple[float, str]] = []
        self.dropped = 0  # lines before those
        self.changed = threading.Condition()
        self.output: _Output | None = None
        self.reader: threading.Thread | None = None
        self.expected_end = False

    @property
    def pid(self) -> int:
        assert self.process, f"{self.name} was not started"
        return self.process.pid

    def start(self) -> "Program":
        environment = dict(self.environment)
        ready = None
        if self.notify:
            path = RUN / f"notify-{next(_numbers)}"
            ready = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            ready.bind(str(path))
            path.chmod(0o666)
            environment["NOTIFY_SOCKET"] = str(path)
        self.expected_end = False
        self.process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0,
                                        env=environment, cwd="/", user=self.uid, group=self.uid, extra_groups=[])
        self.output = _Output(self.process.stdout)
        self.reader = threading.Thread(target=self._read, args=(self.output,), daemon=True)
        self.reader.start()
        if ready:
            try:
                self._await_ready(ready)
            finally:
                ready.close()
                path.unlink()
        return self

    def _await_ready(self, ready: socket.socket) -> None:
        deadline = time.monotonic() + waiting.PATIENCE
        pidfd = os.pidfd_open(self.pid)
        try:
            while time.monotonic() < deadline:
                readable, _, _ = select.select([ready, pidfd], [], [], deadline - time.monotonic())
                if ready in readable:
                    if b"READY=1" in ready.recv(4096).split(b"\n"):
                        return
                elif pidfd in readable:
                    raise AssertionError(f"{self.name} ended while starting, status {self.process.wait()}\n{self.tail()}")
        finally:
            os.close(pidfd)
        raise AssertionError(f"{self.name} did not say that it is ready\n{self.tail()}")

    def _take(self, output: _Output | None) -> None:
        """With the lock held."""
        lines = output.take() if output else []
        now = time.monotonic()
        self.lines += [(now, line.decode("utf-8", "replace")) for line in lines]
        self.dropped += max(0, len(self.lines) - MAX_LINES)
        del self.lines[:-MAX_LINES]
        if lines:
            self.changed.notify_all()

    def _read(self, output: _Output) -> None:
        while not output.ended:
            output.wait()
            with self.changed:
                self._take(output)
        output.pipe.close()

    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def state(self) -> str:
        """The kernel's letter for it: S sleeps, T is stopped."""
        return pathlib.Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0]

    def check_alive(self) -> None:
        if not self.expected_end and not self.running():
            raise AssertionError(f"{self.name} has ended, status {self.process.returncode if self.process else None}\n{self.tail()}")

    def log(self) -> str:
        with self.changed:
            self._take(self.output)
            return "\n".join(line for _, line in self.lines)

    def tail(self, count: int = 40) -> str:
        with self.changed:
            self._take(self.output)
            return "\n".join(f"  {self.name}: {line}" for _, line in self.lines[-count:])

    def mark(self) -> float:
        """Now, for wait_log(since)."""
        with self.changed:
            self._take(self.output)
        return time.monotonic()

    def logged(self, pattern: str, since: float = 0.0) -> bool:
        """Whether a line after `since` matches."""
        regex = re.compile(pattern)
        with self.changed:
            self._take(self.output)
            return any(at >= since and regex.search(line) for at, line in self.lines)

    def wait_log(self, pattern: str, since: float = 0.0, timeout: float | None = None) -> re.Match[str]:
        """The first line after `since` that matches."""
        regex = re.compile(pattern)
        deadline = time.monotonic() + (waiting.PATIENCE if timeout is None else timeout)
        seen = 0  # of all lines there ever were
        with self.changed:
            while True:
                ended = not self.running()
                self._take(self.output)
                for at, line in self.lines[max(0, seen - self.dropped):]:
                    match = regex.search(line)
                    if at >= since and match:
                        return match
                seen = self.dropped + len(self.lines)
                left = deadline - time.monotonic()
                if ended or left <= 0:
                    break
                self.changed.wait(min(left, 0.5))
        raise waiting.Timeout(f"{self.name} did not log {pattern!r}\n{self.tail()}")

    def signal(self, number: int) -> None:
        if self.running():
            self.process.send_signal(number)

    def stop(self) -> int:
        """SIGTERM; the exit status. What does not end is killed and that is a failure."""
        if not self.process:
            return 0
        self.expected_end = True
        self.signal(signal.SIGTERM)
        try:
            status = self.process.wait(waiting.PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} did not end on SIGTERM\n{self.tail()}") from None
        self.reader.join(5)
        return status

    def kill(self) -> None:
        """SIGKILL, and its end is awaited."""
        self.expected_end = True
        if self.process:
            self.signal(signal.SIGKILL)
            self.process.wait()
            self.reader.join(5)


def run(argv: list[str], *, uid: int = 0, environment: dict[str, str] | None = None, timeout: float | None = None,
        stdin: str | None = None) -> "subprocess.CompletedProcess[str]":
    """A command to its end, as this user; output captured."""
    return subprocess.run([str(argument) for argument in argv], input=stdin, stdin=None if stdin is not None else subprocess.DEVNULL,
                          capture_output=True, text=True, env=environment or base_environment(), cwd="/", user=uid, group=uid,
                          extra_groups=[], timeout=waiting.PATIENCE * 2 if timeout is None else timeout, check=False)


_given: set[int] = set()


def free_port() -> int:
    """Below the ports that the kernel gives to outgoing connections (32768 and up): a server that starts again finds its own free."""
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            if port not in _given:
                _given.add(port)
                return port
