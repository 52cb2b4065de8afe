"""A devtrustd of a few lines, for what the real one does not ask yet or must never do: it serves io.devtrust.Agent to one agent, shows
what it is told to show, and keeps what it hears. Runs in this process, as root, since an agent obeys nobody else."""
import json
import os
import pathlib
import socket
import threading
from typing import Any

from . import waiting


class FakeDaemon:
    """`snapshot`: what Watch shows; change it with show()."""

    def __init__(self, path: pathlib.Path, snapshot: dict[str, Any]) -> None:
        self.path = path
        self.snapshot = dict(snapshot)
        self.heard: list[tuple[str, dict[str, Any]]] = []
        self.changed = threading.Condition()
        self.revision = 1
        self.ended = False
        self.connections: list[socket.socket] = []
        path.unlink(missing_ok=True)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self.listener.bind(os.fspath(path))
        path.chmod(0o666)
        self.listener.listen(8)
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> "FakeDaemon":
        return self

    def __exit__(self, *_: object) -> None:
        with self.changed:
            self.ended = True
            self.changed.notify_all()
        self.listener.close()
        for connection in self.connections:
            connection.close()

    def show(self, **fields: Any) -> None:
        """Changes the snapshot; None takes a field away."""
        with self.changed:
            self.snapshot.update(fields)
            self.snapshot = {key: value for key, value in self.snapshot.items() if value is not None}
            self.revision += 1
            self.changed.notify_all()

    def wait_heard(self, method: str, **expected: Any) -> dict[str, Any]:
        """The parameters of the first such call with these values."""
        def find() -> dict[str, Any] | None:
            with self.changed:
                return next((parameters for name, parameters in self.heard
                             if name == method and all(parameters.get(key) == value for key, value in expected.items())), None)
        return waiting.until(find, f"{method} {expected}; heard {[name for name, _ in self.heard]}")

    def inspect(self, name: str, *, repair: bool = False) -> dict[str, Any]:
        """What the agent answers to a full inspection."""
        self.show(inspection={"id": name, "full": True, "repair": repair})
        return self.wait_heard("Inspected", id=name)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        pending = b""
        try:
            while data := connection.recv(65536):
                pending += data
                while b"\0" in pending:
                    message, pending = pending.split(b"\0", 1)
                    self._call(connection, json.loads(message))
        except OSError:
            return

    def _call(self, connection: socket.socket, call: dict[str, Any]) -> None:
        method = call["method"].removeprefix("io.devtrust.Agent.")
        with self.changed:
            self.heard.append((method, call.get("parameters", {})))
            self.changed.notify_all()
        if method == "Watch":
            threading.Thread(target=self._watch, args=(connection,), daemon=True).start()
        elif method == "Submit":
            reply(connection, {"retry_after_s": 3600})
        elif method == "Renew":
            reply(connection, {"retry_after_s": 3600}, error="io.devtrust.Agent.TooSoon")
        else:
            reply(connection, {})

    def _watch(self, connection: socket.socket) -> None:
        shown = 0
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self.ended or self.revision != shown)  # pylint: disable=cell-var-from-loop
                if self.ended:
                    return
                shown = self.revision
                parameters = {**self.snapshot, "revision": shown}
            try:
                reply(connection, parameters, continues=True)
            except OSError:
                return


def reply(connection: socket.socket, parameters: dict[str, Any], **fields: Any) -> None:
    connection.sendall(json.dumps({"parameters": parameters, **fields}).encode() + b"\0")
