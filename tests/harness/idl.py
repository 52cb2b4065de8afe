"""The Varlink interface language, read strictly (varlink.org, Interface Definition), and values held against its types.

Refused besides what the grammar refuses: what some tool of the field cannot read ([string](), [][]T, arrays of nullables).
"""
import dataclasses
import pathlib
import re
from typing import Any

FOLDER = pathlib.Path(__file__).resolve().parent.parent.parent / "ipc"

INTERFACE = re.compile(r"[A-Za-z](-*[A-Za-z0-9])*(\.[A-Za-z0-9](-*[A-Za-z0-9])*)+")
MEMBER = re.compile(r"[A-Z][A-Za-z0-9]*")
FIELD = re.compile(r"[A-Za-z](_?[A-Za-z0-9])*")
TOKEN = re.compile(r"\s+|#[^\n]*\n|->|\[string\]|\[\]|[?(),:]|[A-Za-z][A-Za-z0-9._-]*")
PRIMITIVES = ("bool", "int", "float", "string", "object")

# ("bool",) … ("named", "Type"), ("maybe", type), ("array", type), ("map", type), ("struct", {name: type}), ("enum", [name, …])
Type = tuple[Any, ...]
EMPTY: Type = ("struct", {})


class Fault(ValueError):
    """The text is no interface, or one that not every tool can read."""


@dataclasses.dataclass
class Interface:
    name: str
    types: dict[str, Type]
    methods: dict[str, tuple[Type, Type]]
    errors: dict[str, Type]


class Parser:
    def __init__(self, text: str) -> None:
        self.tokens: list[str] = []
        at = 0
        while at < len(text):
            found = TOKEN.match(text, at)
            if not found:
                raise Fault(f"not understood: {text[at:at + 30]!r}")
            if not found[0].isspace() and not found[0].startswith("#"):
                self.tokens.append(found[0])
            at = found.end()
        self.tokens.append("")

    def take(self, wanted: "str | re.Pattern[str] | None" = None) -> str:
        token = self.tokens[0]
        if (isinstance(wanted, str) and token != wanted) or (isinstance(wanted, re.Pattern) and not wanted.fullmatch(token)):
            raise Fault(f"{token!r} instead of {wanted!r}, before {self.tokens[1:6]}")
        return self.tokens.pop(0)

    def type(self) -> Type:
        token = self.tokens[0]
        if token == "(":
            return self.struct_or_enum()
        self.take()
        if token in PRIMITIVES:
            return (token,)
        if token == "?":
            inner = self.type()
            if inner[0] == "maybe":
                raise Fault("??")
            return ("maybe", inner)
        if token == "[]":
            inner = self.type()
            if inner[0] in ("array", "map", "maybe"):
                raise Fault(f"[] of {inner[0]}: systemd cannot read it")
            return ("array", inner)
        if token == "[string]":
            inner = self.type()
            if inner[0] not in PRIMITIVES and inner[0] != "named":
                raise Fault(f"[string] of {inner[0]}: systemd cannot read it")
            return ("map", inner)
        if not MEMBER.fullmatch(token):
            raise Fault(f"{token!r} is no type")
        return ("named", token)

    def struct_or_enum(self) -> Type:
        self.take("(")
        fields: dict[str, Type] = {}
        names: list[str] = []
        while self.tokens[0] != ")":
            name = self.take(FIELD)
            if name in names:
                raise Fault(f"{name} twice")
            names.append(name)
            if self.tokens[0] == ":":
                self.take()
                fields[name] = self.type()
            if self.tokens[0] != ")":
                self.take(",")
                if self.tokens[0] == ")":
                    raise Fault("a comma before )")
        self.take(")")
        if fields and len(fields) < len(names):
            raise Fault(f"neither struct nor enum: {names}")
        return ("enum", names) if names and not fields else ("struct", fields)

    def struct(self) -> Type:
        found = self.struct_or_enum()
        if found[0] != "struct":
            raise Fault(f"an enum where a struct must be: {found[1]}")
        return found

    def interface(self) -> Interface:
        self.take("interface")
        made = Interface(self.take(INTERFACE), {}, {}, {})
        while self.tokens[0]:
            keyword, name = self.take(), self.take(MEMBER)
            if name in made.types or name in made.methods or name in made.errors:
                raise Fault(f"{name} is declared twice")
            if keyword == "type":
                made.types[name] = self.struct_or_enum()
            elif keyword == "method":
                parameters = self.struct()
                self.take("->")
                made.methods[name] = (parameters, self.struct())
            elif keyword == "error":
                made.errors[name] = self.struct()
            else:
                raise Fault(f"{keyword!r} instead of type, method or error")
        if not made.methods:
            raise Fault("no methods: varlink-go cannot read it")
        return made


def named(type_: Type) -> set[str]:
    """The named types that a type uses."""
    if type_[0] == "named":
        return {type_[1]}
    if type_[0] == "struct":
        return {name for member in type_[1].values() for name in named(member)}
    return named(type_[1]) if type_[0] in ("maybe", "array", "map") else set()


def parse(text: str) -> Interface:
    """Raises Fault."""
    made = Parser(text).interface()
    used = [*made.types.values(), *made.errors.values(), *(side for sides in made.methods.values() for side in sides)]
    unknown = {name for type_ in used for name in named(type_)} - set(made.types)
    if unknown:
        raise Fault(f"not declared: {sorted(unknown)}")
    return made


def shipped() -> dict[str, Interface]:
    """The interfaces of the repository, by name."""
    made = [parse(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.varlink"))]
    return {interface.name: interface for interface in made}


# ---- values ----

def faults(interface: Interface, type_: Type, value: Any, path: str = "parameters") -> list[str]:
    """Where a value is not of a type: undeclared members, missing ones, other types, unknown enum values."""
    kind = type_[0]
    if kind == "named":
        return faults(interface, interface.types[type_[1]], value, path)
    if kind == "maybe":
        return [] if value is None else faults(interface, type_[1], value, path)
    if kind == "array" and isinstance(value, list):
        return [fault for i, item in enumerate(value) for fault in faults(interface, type_[1], item, f"{path}[{i}]")]
    if kind == "map" and isinstance(value, dict):
        return [fault for key, item in value.items() for fault in faults(interface, type_[1], item, f"{path}[{key}]")]
    if kind == "struct" and isinstance(value, dict):
        found = [f"{path}.{name} is not declared" for name in value if name not in type_[1]]
        for name, member in type_[1].items():
            if name in value:
                found += faults(interface, member, value[name], f"{path}.{name}")
            elif member[0] != "maybe":
                found.append(f"{path}.{name} is missing")
        return found
    if kind == "enum" and isinstance(value, str):
        return [] if value in type_[1] else [f"{path}: {value} is none of {type_[1]}"]
    wanted = {"bool": bool, "int": int, "float": (int, float), "string": str, "object": dict}.get(kind, ())
    good = isinstance(value, wanted) and (kind == "bool" or not isinstance(value, bool))
    return [] if good else [f"{path}: {value!r} is no {kind}"]


def message_faults(interfaces: dict[str, Interface], method: str, message: dict[str, Any]) -> list[str]:
    """Where a call or a reply (to a call of `method`) does not keep protocol or interface. `interfaces`: by name."""
    is_call = "method" in message
    allowed = {"method", "parameters", "oneway", "more", "upgrade"} if is_call else {"parameters", "continues", "error"}
    found = [f"{key} is no key of a message" for key in message if key not in allowed]
    found += [f"{key}: false is sent" for key in ("more", "oneway", "upgrade", "continues") if message.get(key) is False]
    parameters = message.get("parameters", {})
    name, _, member = method.rpartition(".")
    error_interface, _, error = message.get("error", "").rpartition(".")
    if error and (error_interface not in interfaces or error not in interfaces[error_interface].errors):
        found.append(f"{message['error']} is not declared")
    elif error:
        found += faults(interfaces[error_interface], interfaces[error_interface].errors[error], parameters)
    elif name in interfaces and member in interfaces[name].methods:
        found += faults(interfaces[name], interfaces[name].methods[member][0 if is_call else 1], parameters)
    return [f"{method}: {fault}" for fault in found]


# ---- growth ----

def broken_promises(old: Interface, new: Interface) -> list[str]:
    """Where a newer interface is not the older one with optional additions. Values of an enum may be added, for no reader may choke on
    one that it does not know."""
    found = []
    for name, (parameters, reply) in old.methods.items():
        if name not in new.methods:
            found.append(f"method {name} is gone")
            continue
        found += changes(old, new, parameters, new.methods[name][0], f"{name}()")
        found += changes(old, new, reply, new.methods[name][1], f"{name}() ->")
    for name, parameters in old.errors.items():
        found += [f"error {name} is gone"] if name not in new.errors else changes(old, new, parameters, new.errors[name], f"error {name}")
    for name, type_ in old.types.items():
        found += [f"type {name} is gone"] if name not in new.types else changes(old, new, type_, new.types[name], f"type {name}")
    return found


def changes(old: Interface, new: Interface, before: Type, after: Type, path: str) -> list[str]:
    if before[0] != after[0]:
        return [f"{path}: {before[0]} became {after[0]}"]
    if before[0] == "struct":
        found = [f"{path}.{name} is new and not optional" for name, type_ in after[1].items() if name not in before[1] and
                 type_[0] != "maybe"]
        for name, type_ in before[1].items():
            found += [f"{path}.{name} is gone"] if name not in after[1] else changes(old, new, type_, after[1][name], f"{path}.{name}")
        return found
    if before[0] == "enum":
        return [f"{path}: {name} is gone" for name in before[1] if name not in after[1]]
    if before[0] in ("maybe", "array", "map"):
        return changes(old, new, before[1], after[1], path)
    return [] if before == after else [f"{path}: {before[-1]} became {after[-1]}"]
