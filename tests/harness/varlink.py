"""A Varlink client of a few lines, independent of the product's: one JSON object, one NUL byte (varlink.org)."""
import json
import os
import socket
import struct
from typing import Any, Iterator

from . import waiting


class VarlinkError(Exception):
    def __init__(self, name: str, parameters: dict[str, Any]) -> None:
        super().__init__(f"{name} {parameters}")
        self.name = name
        self.parameters = parameters


class Disconnected(OSError):
    """The service closed the connection."""


class Connection:
    """`uid`: connects with that effective uid, so that the service's kernel sees it."""

    def __init__(self, path: str | os.PathLike[str], uid: int = 0, timeout: float | None = None) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        # a connect that may wait, should the service's backlog be full; Python's own timeout would have it fail
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", int(waiting.PATIENCE), 0))
        self.pending = b""
        try:
            if uid:
                os.setegid(uid)
                os.seteuid(uid)
            try:
                self.socket.connect(os.fspath(path))
            finally:
                if uid:
                    os.seteuid(0)
                    os.setegid(0)
            self.socket.settimeout(waiting.PATIENCE if timeout is None else timeout)
        except OSError:
            self.socket.close()
            raise

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def send_raw(self, data: bytes) -> None:
        self.socket.sendall(data)

    def send(self, method: str, parameters: dict[str, Any] | None = None, **flags: bool) -> None:
        call: dict[str, Any] = {"method": method, **flags}
        if parameters is not None:
            call["parameters"] = parameters
        self.send_raw(json.dumps(call).encode() + b"\0")

    def receive(self) -> dict[str, Any]:
        while b"\0" not in self.pending:
            data = self.socket.recv(65536)
            if not data:
                raise Disconnected("the service closed the connection")
            self.pending += data
        message, self.pending = self.pending.split(b"\0", 1)
        return json.loads(message)

    def answer(self) -> dict[str, Any]:
        reply = self.receive()
        if "error" in reply:
            raise VarlinkError(reply["error"], reply.get("parameters", {}))
        return reply

    def call(self, method: str, parameters: dict[str, Any] | None = None) -> dict[str, Any]:
        self.send(method, parameters)
        return self.answer().get("parameters", {})

    def stream(self, method: str, parameters: dict[str, Any] | None = None) -> Iterator[dict[str, Any]]:
        self.send(method, parameters, more=True)
        while True:
            reply = self.answer()
            yield reply.get("parameters", {})
            if not reply.get("continues"):
                return


def call(path: str | os.PathLike[str], method: str, parameters: dict[str, Any] | None = None, uid: int = 0) -> dict[str, Any]:
    with Connection(path, uid) as connection:
        return connection.call(method, parameters)
