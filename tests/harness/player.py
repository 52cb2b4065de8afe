"""Plays one side of a recording against the program on the other side, with today's values in it.

OldCallers makes the calls that older agents and tools made; OldDaemon gives the answers that an older devtrustd gave, and knows no
method that was not there then.
"""
import base64
import collections
import os
import pathlib
import socket
import struct
import threading
import time
import uuid
from typing import Any

from . import accounts, certs, idl, nss, recording, varlink, waiting
from .world import Device, Server

WATCH = "io.devtrust.Agent.Watch"
YEAR_S = 365 * 24 * 3600
OLD = "0.0.9"  # what the older side says of its own version


def shape(snapshot: dict[str, Any]) -> tuple[Any, ...]:
    """What a snapshot of Watch tells an agent to do."""
    return snapshot.get("mode"), bool(snapshot.get("request")), bool(snapshot.get("inspection"))


def lost_fields(recorded: dict[str, Any], actual: dict[str, Any]) -> set[str]:
    """Fields of a recorded message that are not in today's, or are of another type."""
    return recording.fields(recorded) - recording.fields(actual)


class OldCallers:
    """Older agents and devtrustctl. What they are told is kept from story to story."""

    def __init__(self, device: Device, user: str, values: dict[str, Any]) -> None:
        """`values`: of the placeholders that stand for what the administrator passes."""
        self.device = device
        self.user = user
        self.values = recording.Invented(values)
        self.values |= {"<version 1>": OLD, "<store 1>": str(accounts.home(user) / ".local/share/pki/nssdb")}
        self.leaf = b""
        self.folder = certs.scratch()

    def play(self, story: list[dict[str, Any]]) -> None:
        """Every call of the story in its order; every answer must have what the recorded one had."""
        for kind in ("request", "csr", "leaf", "serial", "inspection"):
            for name in [name for name in self.values if name.startswith(f"<{kind} ")]:
                del self.values[name]
        connections: dict[int, varlink.Connection] = {}
        watch: varlink.Connection | None = None
        methods: dict[int, str] = {}
        for line in story:
            number = line["connection"]
            if "reply" in line:
                self.expect(connections[number], methods[number], line["reply"])
                continue
            if number not in connections:
                connections[number] = varlink.Connection(self.device.front, accounts.uid_of(line["from"]) if line["from"] != "root" else 0)
            methods[number] = line["call"]["method"]
            if methods[number] == WATCH:
                if watch:
                    watch.close()  # the agent before this one
                watch = connections[number]
            self.call(connections[number], line["call"])
        for connection in connections.values():
            connection.close()

    def call(self, connection: varlink.Connection, recorded: dict[str, Any]) -> None:
        parameters = recorded.get("parameters", {})
        if "csr" in parameters and parameters["csr"] not in self.values:
            key = certs.key(self.folder / f"key-{uuid.uuid4().hex}")
            subject = f"/UID=u-{self.user}/serialNumber={self.values[parameters['request_id']]}"
            self.values[parameters["csr"]] = base64.b64encode(certs.request(key, subject)).decode()
        if "serial" in parameters:
            self.values[parameters["serial"]] = nss.serial_of(self.leaf)
            self.values |= {"<int not_after>": int(time.time()) + YEAR_S, "<int renew_at>": int(time.time()) + YEAR_S // 2}
        for certificate in parameters.get("certificates", []):
            self.values[certificate["leaf"]] = base64.b64encode(self.leaf).decode()
        filled = recording.filled(recorded, self.values)
        connection.send(filled.pop("method"), filled.pop("parameters", None), **filled)

    def expect(self, connection: varlink.Connection, method: str, recorded: dict[str, Any]) -> None:
        """The next answer; of a stream, the next snapshot that tells the same."""
        actual = connection.receive()
        while method == WATCH and "error" not in actual and shape(actual["parameters"]) != shape(recorded["parameters"]):
            actual = connection.receive()
        assert actual.get("error") == recorded.get("error"), (method, actual)
        lost = lost_fields(recorded, actual)
        assert not lost, f"{method}: an older caller looks in vain for {lost} in {actual}"
        recording.bind(recorded, actual, self.values)
        leaf = (actual.get("parameters", {}).get("bundle") or {}).get("leaf")
        if leaf:
            self.leaf = base64.b64decode(leaf)


class OldDaemon:
    """An older devtrustd, as its callers see it, at `path`. It plays one story at a time; whatever else is asked is answered as it was
    answered in some story, and unknown methods are not found."""

    def __init__(self, version: str, path: pathlib.Path, server: Server, user: str) -> None:
        """`server`: initialised; its trust CA signs."""
        self.version = version
        self.server = server
        self.user = user
        self.interfaces = [idl.parse(file.read_text(encoding="utf-8")) for file in sorted((recording.FOLDER / version).glob("*.varlink"))]
        self.folder = certs.scratch()
        self.serial = ""  # of the newest certificate
        self.values = Answers(self)
        self.lock = threading.Condition()
        self.script: "collections.deque[dict[str, Any]]" = collections.deque()
        self.numbers: dict[int, socket.socket] = {}  # of the story's connections
        self.open: list[socket.socket] = []
        self.calls: list[tuple[str, dict[str, Any]]] = []  # everything that was called
        self.not_found = 0  # of them, calls of methods that this version does not have
        self.listener = socket.socket(socket.AF_UNIX)
        path.parent.mkdir(mode=0o755, exist_ok=True)
        self.listener.bind(os.fspath(path))
        path.chmod(0o666)
        self.listener.listen(16)
        threading.Thread(target=self.accept, daemon=True).start()

    def play(self, story: str) -> None:
        """The next story; whoever is connected is cut off, as by a restart."""
        with self.lock:
            assert not self.script, f"not all was played: {self.script[0]}"
            for connection in self.open:
                self.shut(connection)
            self.open, self.numbers = [], {}
            self.values.forget()
            self.script.extend(recording.load(self.version, story))
            self.lock.notify_all()

    def finish(self) -> None:
        """Until the story is over."""
        with self.lock:
            done = self.lock.wait_for(lambda: not self.script, waiting.PATIENCE)
            assert done, f"not played to its end: waits for {self.script[0]}; called until now: {[method for method, _ in self.calls]}"

    def end(self) -> None:
        with self.lock:
            self.script.clear()
            self.listener.close()
            for connection in self.open:
                connection.close()

    # ---- connections ----

    def accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                self.open.append(connection)
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection: socket.socket) -> None:
        from .relay import messages_of
        _, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        for raw in messages_of(connection):
            with self.lock:
                self.take(connection, uid, recording.decoded(raw))
        self.shut(connection)

    def take(self, connection: socket.socket, uid: int, call: dict[str, Any]) -> None:
        self.calls.append((call["method"], call.get("parameters", {})))
        line = self.script[0] if self.script else None
        if not line or line["call"]["method"] != call["method"]:
            self.send(connection, self.unscripted(call))
            return
        self.script.popleft()
        self.numbers[line["connection"]] = connection  # which of its connections a caller takes for a call is its own affair
        recording.bind(line["call"], call, self.values)
        while self.script and "reply" in self.script[0]:
            line = self.script.popleft()
            self.send(self.numbers[line["connection"]], recording.filled(line["reply"], self.values))
        self.lock.notify_all()

    @staticmethod
    def shut(connection: socket.socket) -> None:
        try:
            connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the other side was first

    @staticmethod
    def send(connection: socket.socket, message: dict[str, Any]) -> None:
        try:
            connection.sendall(recording.encoded(message))
        except OSError:
            pass  # it has left

    def unscripted(self, call: dict[str, Any]) -> dict[str, Any]:
        interface, _, method = call["method"].rpartition(".")
        known = [known for known in self.interfaces if known.name == interface]
        self.not_found += not known or method not in known[0].methods
        if not known:
            return {"error": "org.varlink.service.InterfaceNotFound", "parameters": {"interface": interface}}
        if method not in known[0].methods:
            return {"error": "org.varlink.service.MethodNotFound", "parameters": {"method": call["method"]}}
        for story in ("status", "inspection", "renewal", "enrolment", "removal"):
            for name, _, replies in recording.exchanges(recording.load(self.version, story)):
                if name == call["method"]:
                    return recording.filled(replies[0], self.values)
        raise KeyError(call["method"])


class Answers(dict[str, Any]):
    """What an older daemon says where the recording has a placeholder."""

    def __init__(self, daemon: OldDaemon) -> None:
        super().__init__()
        self.daemon = daemon
        self.device = str(uuid.uuid4())
        self.trust = [daemon.server.state_dir / f"trust-{name}" for name in ("root.pem", "ca.pem", "ca.key")]

    def forget(self) -> None:
        """Before the next story: only what lasts stays."""
        self.clear()

    def spki(self, certificate: pathlib.Path) -> str:
        public = certs.openssl("x509", "-in", certificate, "-noout", "-pubkey")
        return certs.openssl("dgst", "-sha256", "-r", stdin=certs.openssl("pkey", "-pubin", "-outform", "DER", stdin=public)).split()[0].decode()

    def sign(self, csr: str) -> str:
        daemon = self.daemon
        daemon.serial = f"6b{uuid.uuid4().hex[:26]}"
        leaf = certs.sign(daemon.folder, base64.b64decode(csr), *self.trust[1:], certs.user_extensions(self.device, f"u-{daemon.user}"),
                          subject=f"/CN=Example Device Trust Certificate - {daemon.serial[:8]}", serial=daemon.serial)
        return base64.b64encode(leaf).decode()

    def __missing__(self, placeholder: str) -> Any:
        kind, _, number = placeholder.strip("<>").rpartition(" ")
        now = int(time.time())
        if kind == "int":
            return {"now": now, "revision": len(self.daemon.calls), "deadline": now + 600, "install_not_before": now - 60,
                    "retry_after_s": 1, "generation": 7, "renew_after_s": YEAR_S // 4, "not_before": now - 60, "not_after": now + YEAR_S,
                    "renew_at": now + YEAR_S // 2}.get(number, now)
        make = {"device": lambda: self.device, "version": lambda: OLD, "url": lambda: self.daemon.server.url,
                "spki": lambda: self.spki(self.trust[1] if number == "1" else self.trust[0]),
                "root": lambda: base64.b64encode(certs.der(self.trust[0])).decode(),
                "intermediate": lambda: base64.b64encode(certs.der(self.trust[1])).decode(),
                "leaf": lambda: self.sign(self[f"<csr {number}>"]), "serial": lambda: self.daemon.serial,
                "store": lambda: str(accounts.home(self.daemon.user) / ".local/share/pki/nssdb")}
        self[placeholder] = make.get(kind, lambda: str(uuid.uuid4()))()
        return self[placeholder]
