#!/usr/bin/python3
"""Local peers that mean harm, each a process of a uid of its own: `with hostile.crowd(socket, {"flood": 2001, …}): …`.

A peer goes on until it is ended, and begins again wherever the daemon cuts it off. Its behaviour is one of KINDS.
"""
import contextlib
import errno
import json
import os
import pathlib
import select
import socket
import sys
import time
from typing import Callable, Iterator

BIG = 64 * 1024  # bytes of a message
CONNECTIONS = 16  # what a uid may have


def message(method: str, **parameters: object) -> bytes:
    return json.dumps({"method": method, **({"parameters": parameters} if parameters else {})}).encode() + b"\0"


INFO = message("org.varlink.service.GetInfo")


def connect(path: str, blocking: bool = False) -> socket.socket | None:
    """None: refused, or the backlog is full."""
    one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    one.setblocking(blocking)
    try:
        one.connect(path)
    except OSError:
        one.close()
        return None
    return one


class Crowd:
    """As many connections as may be, made again when they are cut off."""

    def __init__(self, path: str, count: int = CONNECTIONS) -> None:
        self.path = path
        self.count = count
        self.open: list[socket.socket] = []

    def fill(self) -> None:
        while len(self.open) < self.count:
            one = connect(self.path)
            if one is None:
                time.sleep(0.01)
                return
            self.open.append(one)

    def lose(self, one: socket.socket) -> None:
        self.open.remove(one)
        one.close()

    def send(self, one: socket.socket, data: bytes) -> int:
        """Bytes that went out; the connection is dropped where it has ended."""
        try:
            return one.send(data, socket.MSG_NOSIGNAL)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EWOULDBLOCK):
                self.lose(one)
            return 0

    def read(self, one: socket.socket) -> None:
        try:
            if one.recv(1 << 20):
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self.lose(one)


def stream_of(data: bytes, path: str, *, reads: bool) -> None:
    """The same bytes without end on all connections, split wherever the socket is full."""
    crowd = Crowd(path)
    rest: dict[int, int] = {}
    while True:
        crowd.fill()
        progress = 0
        for one in list(crowd.open):
            fd = one.fileno()
            at = rest.get(fd, 0)
            sent = crowd.send(one, data[at:])
            if one not in crowd.open:
                rest.pop(fd, None)
                continue
            rest[fd] = (at + sent) % len(data)
            progress += sent
            if reads:
                crowd.read(one)
                if one not in crowd.open:
                    rest.pop(fd, None)
        if not progress and crowd.open:
            select.select(crowd.open if reads else [], crowd.open, [], 0.05)


def flood(path: str) -> None:
    """Small good calls without end, and reads the answers."""
    stream_of(INFO * 400, path, reads=True)


def deaf(path: str) -> None:
    """The same, and never reads."""
    stream_of(INFO * 400, path, reads=False)


def heavy(path: str) -> None:
    """Calls of as many objects as may be in one."""
    stream_of(message("io.devtrust.Device.GetStatus", x=[{}] * 4000), path, reads=True)


def patient(path: str) -> None:
    """Asks for a diagnosis again and again, which is the most work that anybody may ask for."""
    stream_of(message("io.devtrust.Device.Diagnose") * 100, path, reads=True)


def mender(path: str) -> None:
    """The same with repairs."""
    stream_of(message("io.devtrust.Device.Repair") * 100, path, reads=True)


def restless(path: str) -> None:
    """Agents of one user that take the place of each other, without end."""
    watch = json.dumps({"method": "io.devtrust.Agent.Watch", "parameters": {"version": "1"}, "more": True}).encode() + b"\0"
    crowd = Crowd(path, 2)
    while True:
        crowd.fill()
        for one in list(crowd.open):
            crowd.send(one, watch)
            if one in crowd.open:
                crowd.read(one)
        time.sleep(0.001)


def storm(path: str) -> None:
    """Connects and leaves, as fast as can be."""
    while True:
        one = connect(path)
        if one:
            one.close()


def calling_storm(path: str) -> None:
    """Connects, calls once, leaves without the answer."""
    while True:
        one = connect(path)
        if one:
            with contextlib.suppress(OSError):
                one.send(INFO)
            one.close()


def garbage(path: str) -> None:
    """What is no message: random bytes, bombs of brackets, frames that are too large."""
    pieces = [os.urandom(2000) + b"\0", b'{"a":' * 5000 + b"\0", b"[" * BIG + b"\0", b"x" * (BIG + 1000), b"\0" * 1000,
              b'{"method":"a.B","parameters":' + b'{"a":' * 30 + b"1" + b"}" * 31 + b"\0"]
    crowd = Crowd(path)
    at = 0
    while True:
        crowd.fill()
        for one in list(crowd.open):
            crowd.send(one, pieces[at % len(pieces)])
            at += 1
            if one in crowd.open:
                crowd.read(one)


def loris(path: str) -> None:
    """Begins messages, a byte at a time, and never ends one."""
    crowd = Crowd(path)
    while True:
        crowd.fill()
        for one in list(crowd.open):
            crowd.send(one, b" ")
            if one in crowd.open:
                crowd.read(one)
        time.sleep(0.05)


def passing(path: str) -> None:
    """Sends descriptors along."""
    crowd = Crowd(path, 4)
    with open("/dev/null", "rb") as null:
        while True:
            crowd.fill()
            for one in list(crowd.open):
                try:
                    socket.send_fds(one, [INFO], [null.fileno()] * 50)
                except OSError:
                    crowd.lose(one)
                    continue
                crowd.read(one)


KINDS: dict[str, Callable[[str], None]] = {function.__name__: function for function in
                                           (flood, deaf, heavy, patient, mender, restless, storm, calling_storm, garbage, loris, passing)}


@contextlib.contextmanager
def crowd(path: str | os.PathLike[str], kinds: list[tuple[str, int]], cpu: int | None = None) -> Iterator[list[int]]:
    """A process for each (kind, uid), on one processor if `cpu` says so; their process ids."""
    children: list[int] = []
    try:
        for kind, uid in kinds:
            child = os.fork()
            if child == 0:
                try:
                    if cpu is not None:
                        os.sched_setaffinity(0, {cpu})
                    with contextlib.suppress(OSError):
                        os.setpriority(os.PRIO_PROCESS, 0, 0)  # whatever its parent has
                    null = os.open("/dev/null", os.O_WRONLY)
                    os.dup2(null, 1)
                    os.setgroups([])
                    os.setgid(uid)
                    os.setuid(uid)
                    os.execv(sys.executable, [sys.executable, str(pathlib.Path(__file__).resolve()), kind, os.fspath(path)])
                finally:
                    os._exit(127)
            children.append(child)
        yield children
    finally:
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, 9)
            os.waitpid(child, 0)


if __name__ == "__main__":
    KINDS[sys.argv[1]](sys.argv[2])
