"""Recordings of Varlink conversations: made from a relay's log, kept as files, held against what programs say today.

A recording is a file of JSON lines in the order in which the messages passed, {"connection": n, "from": "alice", "call": {…}} and
{"connection": n, "reply": {…}}. What differs from run to run is a placeholder that keeps its JSON type in its name: "<int not_after>"
for a number, "<request 1>" for a text; the same text is the same placeholder in the whole file.
"""
import itertools
import json
import pathlib
import pwd
import re
from typing import Any, Iterator

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "recordings"

# numbers and texts that are never twice the same, by the name of their field
NUMBERS = {"revision", "now", "since", "generation", "last_event_s", "not_before", "not_after", "renew_at", "retry_at", "retry_after_s",
           "deadline", "install_not_before", "renew_after_s", "id", "pid", "calls", "outstanding", "bytes_in", "bytes_out"}
TEXTS = {"request_id": "request", "request_ids": "request", "request.id": "request", "current": "request", "inspection.id": "inspection",
         "id": "inspection", "device_uuid": "device", "epoch": "epoch", "csr": "csr", "leaf": "leaf", "der": "leaf", "root": "root",
         "intermediates": "intermediate", "issuer": "intermediate", "serial": "serial", "issuer_spki_sha256": "spki",
         "root_spki_sha256": "spki", "path": "store", "url": "url", "token": "token", "ca_pin": "pin", "version": "version"}
PLAIN = {"users.id", "policies.path"}  # no per-run value, though its name says so
NAMES = re.compile(r"(Device Trust (?:Certificate -|CA)) [0-9a-f]{8}")  # in the text of a subject or issuer
PLACEHOLDER = re.compile(r"^<(int )?([a-z_]+)( \d+)?>$")


class Names:
    """Numbers the per-run texts of one recording by their first appearance."""

    def __init__(self) -> None:
        self.known: dict[str, str] = {}
        self.counts: dict[str, int] = {}

    def name(self, kind: str, value: str) -> str:
        if value not in self.known:
            self.counts[kind] = self.counts.get(kind, 0) + 1
            self.known[value] = f"<{kind} {self.counts[kind]}>"
        return self.known[value]


def generalised(value: Any, names: Names, key: str = "", parent: str = "") -> Any:
    """The same with placeholders."""
    if isinstance(value, dict):
        return {name: generalised(member, names, name, key) for name, member in value.items()}
    if isinstance(value, list):
        return [generalised(item, names, key, parent) for item in value]
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return f"<int {key}>" if key in NUMBERS else value
    kind = TEXTS.get(f"{parent}.{key}") or TEXTS.get(key)
    if isinstance(value, str) and kind and value and f"{parent}.{key}" not in PLAIN and not value.startswith("CN="):
        return names.name(kind, value)
    return NAMES.sub(r"\1 00000000", value) if isinstance(value, str) else value


def from_log(log: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The recording of what a relay has seen. Left out is what depends on chance: a snapshot that differs from the one before only in
    its revision, and a report that is repeated since the snapshot that ends its request was late; replies that no call stands between
    are in the order of their connections."""
    names, numbers, lines = Names(), {}, []
    newest: dict[int, Any] = {}
    reported: list[Any] = []
    repeated: set[int] = set()
    for entry in log:
        if entry["kind"] not in ("call", "reply"):
            continue
        number = numbers.setdefault(entry["connection"], len(numbers) + 1)
        message = generalised(entry["message"], names)
        if entry["kind"] == "call" and message in reported:
            repeated.add(number)
        elif entry["kind"] == "call":
            lines.append({"connection": number, "from": pwd.getpwuid(entry["uid"]).pw_name, "call": message})
            if entry["method"].endswith(".Report"):
                reported.append(message)
        elif number in repeated:
            repeated.remove(number)
        elif not (message.get("continues") and newest.get(number) == message):
            lines.append({"connection": number, "reply": message})
            newest[number] = message
    return [line for has_call, group in itertools.groupby(lines, lambda line: "call" in line)
            for line in (group if has_call else sorted(group, key=lambda line: line["connection"]))]


def save(lines: list[dict[str, Any]], path: pathlib.Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")


def load(version: str, story: str) -> list[dict[str, Any]]:
    text = (FOLDER / version / f"{story}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def exchanges(lines: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any], list[dict[str, Any]]]]:
    """Each call with its replies: (method, call, replies)."""
    open_calls: dict[int, list[tuple[dict[str, Any], list[dict[str, Any]]]]] = {}
    for line in lines:
        waiting = open_calls.setdefault(line["connection"], [])
        if "call" in line:
            waiting.append((line["call"], []))
            continue
        call, replies = waiting[0]
        replies.append(line["reply"])
        if not line["reply"].get("continues"):
            yield call["method"], *waiting.pop(0)
    for waiting in open_calls.values():
        for call, replies in waiting:
            yield call["method"], call, replies


def decoded(raw: bytes) -> dict[str, Any]:
    return json.loads(raw)


def encoded(message: dict[str, Any]) -> bytes:
    return json.dumps(message).encode() + b"\0"


# ---- types ----

def type_name(value: Any) -> str:
    if isinstance(value, str):
        found = PLACEHOLDER.match(value)
        return "int" if found and found[1] else "string"
    return {bool: "bool", int: "int", float: "float", list: "array", dict: "object", type(None): "null"}[type(value)]


def fields(value: Any, path: str = "") -> set[str]:
    """Every field with its type, "users[].not_after: int"; items of an array count as one."""
    found: set[str] = set()
    if isinstance(value, dict):
        for name, member in value.items():
            below = f"{path}.{name}" if path else name
            found.add(f"{below}: {type_name(member)}")
            found |= fields(member, below)
    elif isinstance(value, list):
        for item in value:
            found.add(f"{path}[]: {type_name(item)}")
            found |= fields(item, f"{path}[]")
    return found


# ---- filling in ----

def bind(recorded: Any, actual: Any, values: dict[str, Any]) -> None:
    """Learns what the placeholders of a recorded message stand for today."""
    if isinstance(recorded, dict) and isinstance(actual, dict):
        for name, member in recorded.items():
            if name in actual:
                bind(member, actual[name], values)
    elif isinstance(recorded, list) and isinstance(actual, list):
        for one, other in zip(recorded, actual):
            bind(one, other, values)
    elif isinstance(recorded, str) and PLACEHOLDER.match(recorded):
        values[recorded] = actual


def filled(recorded: Any, values: dict[str, Any]) -> Any:
    """A recorded message with today's values; one that has none is a KeyError."""
    if isinstance(recorded, dict):
        return {name: filled(member, values) for name, member in recorded.items()}
    if isinstance(recorded, list):
        return [filled(item, values) for item in recorded]
    if isinstance(recorded, str) and PLACEHOLDER.match(recorded):
        return values[recorded]
    return recorded


class Invented(dict[str, Any]):
    """Values of the right types for placeholders that nobody knows."""

    def __missing__(self, placeholder: str) -> Any:
        return 1 if type_name(placeholder) == "int" else placeholder.strip("<>")
