"""python_peer.py service|client PATH: org.varlink.certification with python-varlink, which shares no code with ours.

It needs the module varlink (Debian: python3-varlink). What is compared here is what the library makes of the messages.
"""
import math
import pathlib
import sys
from typing import Any, Iterator

import varlink

CERTIFICATION = "org.varlink.certification"
STRUCT = {"bool": False, "int": 2, "float": math.pi, "string": "a lot of string"}
MAP = {"foo": "Foo", "bar": "Bar"}
SET = {"one", "two", "three"}
MYTYPE = {"object": {"method": f"{CERTIFICATION}.Test09", "parameters": {"map": MAP}}, "enum": "two", "struct": {"first": 1, "second": "2"},
          "array": ["one", "two", "three"], "dictionary": MAP, "stringset": SET, "nullable": None, "nullable_array_struct": None,
          "interface": {"foo": [None, {"foo": "foo", "bar": "bar"}, None, {"one": "foo", "two": "bar"}], "anon": {"foo": True, "bar": False}}}
REPLIES = [{"bool": True}, {"int": 1}, {"float": 1.0}, {"string": "ping"}, STRUCT, {"struct": STRUCT}, {"map": MAP}, {"set": SET},
           {"mytype": MYTYPE}]
TEXTS = [f"Reply number {number}" for number in range(1, 11)]


def plain(value: Any) -> Any:
    """Without members that are null, which may be absent."""
    if isinstance(value, dict):
        return {name: plain(member) for name, member in value.items() if member is not None}
    return [plain(item) for item in value] if isinstance(value, list) else value


# ---- service ----

class Handler:
    """Test01 to Test09 are added below: all do the same."""

    def __init__(self) -> None:
        self.next = 1

    def check(self, step: int, *brought: Any) -> None:
        wanted = list(REPLIES[step - 2].values()) if 2 <= step <= 10 else [TEXTS] if step == 11 else []
        if step != self.next or plain(list(brought)) != plain(wanted):
            print(f"step {step} instead of {self.next}, with {brought} instead of {wanted}", flush=True)
            raise varlink.VarlinkError({"error": f"{CERTIFICATION}.CertificationError",
                                        "parameters": {"wants": {"step": self.next}, "got": {"step": step}}})
        self.next += 1

    def Start(self) -> dict[str, Any]:
        self.next = 1
        return {"client_id": "the only one"}

    def Test10(self, client_id: str, mytype: Any, _more: bool = False) -> Iterator[dict[str, Any]]:
        self.check(10 if _more else 0, mytype)
        for text in TEXTS:
            yield {"string": text, "_continues": text != TEXTS[-1]}

    def Test11(self, client_id: str, last_more_replies: list[str], _oneway: bool = False) -> None:
        self.check(11 if _oneway else 0, last_more_replies)

    def End(self, client_id: str) -> dict[str, Any]:
        self.check(12)
        return {"all_ok": True}


def add_test(step: int) -> None:
    def test(self: Handler, client_id: str, *brought: Any) -> dict[str, Any]:
        self.check(step, *brought)
        return REPLIES[step - 1]

    # python-varlink passes what the interface names, by position
    setattr(Handler, f"Test{step:02}", test)


def serve(path: str) -> None:
    service = varlink.Service(vendor="tests", product="python-varlink", version="1", url="",
                              interface_dir=str(pathlib.Path(__file__).parent))
    for step in range(1, 10):
        add_test(step)
    service.interface(CERTIFICATION)(Handler)
    handler = type("RequestHandler", (varlink.RequestHandler,), {"service": service})
    with varlink.ThreadingServer(f"unix:{path}", handler) as server:
        server.serve_forever()


# ---- client ----

def drive(path: str) -> None:
    with varlink.Client.new_with_address(f"unix:{path}") as client, client.open(CERTIFICATION) as service:
        client_id = service.Start()["client_id"]
        last: dict[str, Any] = {}
        for step, wanted in enumerate(REPLIES, 1):
            last = getattr(service, f"Test{step:02}")(client_id, *last.values())
            assert plain(last) == plain(wanted), (step, last)
            last = {name: last[name] for name in wanted}  # in the order of the interface
        texts = [reply["string"] for reply in service.Test10(client_id, *last.values(), _more=True)]
        assert texts == TEXTS, texts
        assert service.Test11(client_id, texts, _oneway=True) is None
        assert service.End(client_id) == {"all_ok": True}
    print("all_ok")


if __name__ == "__main__":
    {"service": serve, "client": drive}[sys.argv[1]](sys.argv[2])
