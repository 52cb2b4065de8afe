"""Stands between devtrustd and its callers, passes every Varlink message on, and writes each down.

Used as a class it starts itself as a process of its own (`relay.py LISTEN UPSTREAM LOG RULES`): towards the daemon it connects with the
caller's effective uid, and a process has but one.

The log has one JSON object per line: {"connection": n, "uid": n, "kind": "open|call|reply|close", "method": …, "message": {…}}. Of
requests `text` is the message byte by byte.

Rules, a JSON list in a file that may change at any time, are applied in order to what passes:
  {"on": "call|reply", "method": M, "set": [key, …], "to": value}   sets a value in the parameters, where the object before it exists; of an
                                                                    array that of its first item
  {"on": "call|reply", "strangers": true}                           adds unknown fields to every object of the parameters
"""
import collections
import json
import os
import pathlib
import socket
import struct
import sys
import threading
from typing import Any, Iterator

STRANGERS: dict[str, Any] = {"x_new_text": "from a later version", "x_new_object": {"list": [1, "two", None, {"deep": True}], "float": 2.5},
                             "x_new_null": None, "x_new_int": 2 ** 53}
FREE_FORM = ("machine", "x_new_object")  # objects whose members are no fields of an interface


# ---- for tests ----

class Relay:
    """In front of a device: its agents and devtrustctl connect here from now on."""

    def __init__(self, device: Any, *rules: dict[str, Any]) -> None:
        from . import programs
        folder = device.base / "relay"
        folder.mkdir(mode=0o755)
        self.path = folder / "io.devtrust"
        self.log_file = folder / "log.jsonl"
        self.rules_file = folder / "rules.json"
        self.rules(*rules)
        self.program = programs.Program("relay", ["/usr/bin/python3", __file__, str(self.path), str(device.socket), str(self.log_file),
                                                  str(self.rules_file)], environment=programs.base_environment())
        self.program.start()
        self.program.wait_log("^listening$")
        device.front = self.path

    def rules(self, *rules: dict[str, Any]) -> None:
        """These, instead of those before."""
        new = self.rules_file.with_suffix(".new")
        new.write_text(json.dumps(rules), encoding="utf-8")
        new.rename(self.rules_file)

    def log(self) -> list[dict[str, Any]]:
        """What has passed until now."""
        text = self.log_file.read_text(encoding="utf-8") if self.log_file.exists() else ""
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def messages(self, kind: str, method: str) -> list[dict[str, Any]]:
        """All calls or replies of one method."""
        return [entry["message"] for entry in self.log() if entry["kind"] == kind and entry.get("method") == method]

    def end(self) -> None:
        self.program.kill()


# ---- the process ----

def strange(value: Any, key: str = "") -> Any:
    if isinstance(value, list):
        return [strange(item, key) for item in value]
    if not isinstance(value, dict) or key in FREE_FORM:
        return value
    return {**{name: strange(member, name) for name, member in value.items()}, **STRANGERS}


def apply(rules: list[dict[str, Any]], kind: str, method: str, message: dict[str, Any]) -> dict[str, Any]:
    for rule in rules:
        if rule["on"] != kind or rule.get("method", method) != method:
            continue
        if rule.get("strangers"):
            message = {**message, "parameters": strange(message.get("parameters", {}))}
        if "set" in rule:
            replace(message.get("parameters", {}), rule["set"], rule["to"])
    return message


def replace(target: Any, path: list[str], value: Any) -> None:
    for name in path[:-1]:
        if isinstance(target, list) and target:
            target = target[0]
        target = target.get(name) if isinstance(target, dict) else None
    if isinstance(target, list) and target:
        target = target[0]
    if isinstance(target, dict):
        target[path[-1]] = value


def messages_of(end: socket.socket) -> Iterator[bytes]:
    pending = b""
    while True:
        try:
            data = end.recv(65536)
        except OSError:
            return
        if not data:
            return
        *whole, pending = (pending + data).split(b"\0")
        yield from whole


class Process:
    def __init__(self, upstream: str, log: str, rules: str) -> None:
        self.upstream = upstream
        self.log = open(log, "w", encoding="utf-8")
        self.rules_file = pathlib.Path(rules)
        self.lock = threading.Lock()

    def note(self, connection: int, uid: int, kind: str, **more: Any) -> None:
        with self.lock:
            self.log.write(json.dumps({"connection": connection, "uid": uid, "kind": kind, **more}) + "\n")
            self.log.flush()

    def rules(self) -> list[dict[str, Any]]:
        return json.loads(self.rules_file.read_text(encoding="utf-8"))

    def connect_as(self, uid: int) -> socket.socket:
        """Only the main thread does this; the others open nothing."""
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        os.seteuid(uid)
        try:
            made.connect(self.upstream)
        finally:
            os.seteuid(0)
        return made

    def accept(self, number: int, caller: socket.socket) -> None:
        _, uid, _ = struct.unpack("3i", caller.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        try:
            service = self.connect_as(uid)
        except OSError:
            caller.close()
            return
        self.note(number, uid, "open")
        methods: "collections.deque[str]" = collections.deque()
        threading.Thread(target=self.pass_calls, args=(number, uid, caller, service, methods), daemon=True).start()
        threading.Thread(target=self.pass_replies, args=(number, uid, service, caller, methods), daemon=True).start()

    def pass_calls(self, number: int, uid: int, caller: socket.socket, service: socket.socket, methods: "collections.deque[str]") -> None:
        for raw in messages_of(caller):
            message = json.loads(raw)
            method = message["method"]
            changed = apply(self.rules(), "call", method, message)
            if not message.get("oneway"):
                methods.append(method)
            self.note(number, uid, "call", method=method, message=changed, text=raw.decode())
            self.send(service, changed)
        self.shut(service)
        self.note(number, uid, "close")

    def pass_replies(self, number: int, uid: int, service: socket.socket, caller: socket.socket, methods: "collections.deque[str]") -> None:
        for raw in messages_of(service):
            message = json.loads(raw)
            method = methods[0]
            if not message.get("continues"):
                methods.popleft()
            changed = apply(self.rules(), "reply", method, message)
            self.note(number, uid, "reply", method=method, message=changed)
            self.send(caller, changed)
        self.shut(caller)

    @staticmethod
    def send(end: socket.socket, message: dict[str, Any]) -> None:
        try:
            end.sendall(json.dumps(message).encode() + b"\0")
        except OSError:
            pass  # it has left; reading notices

    @staticmethod
    def shut(end: socket.socket) -> None:
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def main() -> None:
    listen, upstream, log, rules = sys.argv[1:]
    process = Process(upstream, log, rules)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(listen)
        os.chmod(listen, 0o666)
        listener.listen(64)
        print("listening", flush=True)
        number = 0
        while True:
            caller, _ = listener.accept()
            number += 1
            process.accept(number, caller)


if __name__ == "__main__":
    main()
