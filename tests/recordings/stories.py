"""What a recording tells: each story is acted by the real programs, with a relay between daemon and callers that writes it down.

A story that has an agent begins with the agent's start, so that each can be played by itself. `rules`: what the relay changes.
"""
import base64
from typing import Any, Callable

from harness import certs, varlink, waiting
from harness.peer import Exchange, Peer
from harness.relay import Relay
from harness.world import Device, World

AGENT, DEVICE = "io.devtrust.Agent", "io.devtrust.Device"
ALICE, CAROL = 1000, 1002
Rules = tuple[dict[str, Any], ...]
ROOM = {"limits": {"requests_per_hour": 10000}}


def calls(relay: Relay, method: str) -> list[dict[str, Any]]:
    return relay.messages("call", method)


def newest(relay: Relay) -> dict[str, Any]:
    """What Watch showed last."""
    return relay.messages("reply", f"{AGENT}.Watch")[-1]["parameters"]


def shown(relay: Relay, condition: Callable[[dict[str, Any]], object], what: str) -> None:
    waiting.until(lambda: condition(newest(relay)), f"Watch shows {what}")


def nothing_more(relay: Relay) -> None:
    shown(relay, lambda snapshot: not snapshot.get("request") and not snapshot.get("inspection"), "no more to do")


def tool(device: Device, *arguments: str, uid: int = 0, status: int = 0) -> None:
    done = device.ctl(*arguments, uid=uid)
    assert done.returncode == status, (arguments, done.returncode, done.stdout, done.stderr)


def raw(relay: Relay, uid: int, method: str, parameters: dict[str, Any] | None, error: str | None = None, **flags: bool) -> dict[str, Any]:
    """A call by hand, with the error that it must meet."""
    with varlink.Connection(relay.path, uid) as connection:
        connection.send(method, parameters, **flags)
        reply = connection.receive()
        assert reply.get("error", "").rpartition(".")[2] == (error or ""), (method, parameters, reply)
        return reply.get("parameters", {})


def installed(world: World, rules: Rules) -> tuple[Device, Relay]:
    """Alice has her certificate, and her agent is away; nothing of that is recorded."""
    device = world.setup("alice", device_settings=ROOM)
    device.wait_user("alice", state="installed")
    device.agents.pop("alice").stop()
    device.wait_user("alice", agent_attached=False)
    return device, Relay(device, *rules)


def attached(device: Device, relay: Relay) -> None:
    device.agent("alice")
    waiting.until(lambda: newest(relay), "the agent is attached")
    device.wait_user("alice", agent_attached=True)


# ---- stories ----

def enrolment(world: World, *rules: dict[str, Any]) -> Relay:
    """An empty device becomes one whose user has a certificate."""
    world.start_server()
    device = world.add_device(ROOM).start()
    relay = Relay(device, *rules)
    tool(device, "status", status=1)
    device.enroll(world.server)
    world.manage("alice", device)
    device.wait_status(lambda status: status["users"], "alice is known")
    attached(device, relay)
    shown(relay, lambda snapshot: snapshot["mode"] == "idle", "idle")
    world.server.distribution("on")
    device.wait_user("alice", state="installed")
    nothing_more(relay)
    return relay


def renewal(world: World, *rules: dict[str, Any]) -> Relay:
    """The user asks for a new certificate; then one that was lost from the store is replaced at the agent's own wish."""
    device, relay = installed(world, rules)
    attached(device, relay)
    old = device.user("alice")["serial"]
    tool(device, "renew", uid=ALICE)
    new = device.wait_user("alice", state="installed", serial=lambda serial: serial != old)["serial"]
    nothing_more(relay)
    agent = device.agents["alice"]
    agent.stop()
    database = agent.database
    assert database.tool("-F", "-n", database.contents().ours[0]).returncode == 0
    agent.start()
    device.wait_user("alice", state="installed", serial=lambda serial: serial != new)
    nothing_more(relay)
    return relay


def inspection(world: World, *rules: dict[str, Any]) -> Relay:
    """What is in the stores, asked by the user and by root; one agent is away."""
    device, relay = installed(world, rules)
    world.manage("bob", device)
    device.wait_status(lambda status: len(status["users"]) == 2, "bob is known")
    attached(device, relay)
    tool(device, "cert", "show", uid=ALICE)
    nothing_more(relay)
    tool(device, "cert", "show", "--all-users", status=1)
    nothing_more(relay)
    return relay


def status(world: World, *rules: dict[str, Any]) -> Relay:
    """The same device as root, its user, and a stranger see it; and the questions that every service answers. Bob's agent is away."""
    device, relay = installed(world, rules)
    world.manage("bob", device)
    device.wait_user("bob", code="no-agent")
    attached(device, relay)
    for uid, code in ((0, 1), (ALICE, 0), (CAROL, 1)):
        tool(device, "status", uid=uid, status=code)
    tool(device, "ipc", "info", uid=ALICE)
    tool(device, "ipc", "introspect", "org.varlink.service", uid=ALICE)
    raw(relay, 0, "io.devtrust.Debug.ListConnections", None)
    return relay


def removal(world: World, *rules: dict[str, Any]) -> Relay:
    """Root removes; the agent takes its certificate out of the store."""
    device, relay = installed(world, rules)
    attached(device, relay)
    tool(device, "remove")
    device.wait_user("alice", state="absent")
    shown(relay, lambda snapshot: snapshot["mode"] == "idle", "idle")
    return relay


def behind(world: World, rules: Rules, rule: Callable[[Exchange], None], times: int, end: Callable[[Device, Relay], None]) -> Relay:
    """The first `times` signing requests are answered by the rule."""
    world.start_server()
    peer = Peer(world.server)
    try:
        device = peer.device = world.add_device(ROOM).start()
        device.enroll(world.server, peer.url)
        world.manage("alice", device)
        relay = Relay(device, *rules)
        device.agent("alice")
        device.wait_user("alice", agent_attached=True)
        peer.on("POST", "/.well-known/est/user/simpleenroll", rule, times)
        world.server.distribution("on")
        end(device, relay)
        nothing_more(relay)
    finally:
        peer.stop()
    return relay


def patience(world: World, *rules: dict[str, Any]) -> Relay:
    """The server signs at the second asking."""
    return behind(world, rules, lambda exchange: exchange.reply(202, headers={"Retry-After": "1"}), 1,
                  lambda device, relay: device.wait_user("alice", state="installed"))


def refused(world: World, *rules: dict[str, Any]) -> Relay:
    """The server refuses to sign."""
    return behind(world, rules, lambda exchange: exchange.reply(403, b"no", "text/plain"), -1,
                  lambda device, relay: waiting.until(lambda: relay.messages("reply", f"{AGENT}.Submit"), "the agent knows"))


def refusals(world: World, *rules: dict[str, Any]) -> Relay:
    """Everything that is answered with an error."""
    world.start_server()
    device = world.add_device({"limits": {"requests_per_hour": 1}}).start()
    relay = Relay(device, *rules)
    for method in ("Renew", "Remove"):
        raw(relay, 0, f"{DEVICE}.{method}", {}, "Failed")  # not-enrolled
    raw(relay, 0, f"{DEVICE}.Enroll", {"url": world.server.url, "token": "abcdefgh.abcdefghabcdefghabcdefghabcdefgh",
                                       "ca_pin": world.server.ca_pin}, "Failed")
    raw(relay, 0, f"{DEVICE}.Enroll", {"url": "nonsense", "token": "a.b"}, "Failed")
    raw(relay, 0, f"{DEVICE}.Enroll", {"url": world.server.url}, "InvalidParameter")
    device.enroll(world.server)
    world.manage("alice", device)
    world.server.distribution("on")
    device.wait_user("alice", state="waiting")
    refuse_others(relay)
    refuse_bad_requests(relay)
    refuse_what_is_no_call(relay)
    return relay


def refuse_others(relay: Relay) -> None:
    for method, parameters in (("Submit", {"request_id": "x", "csr": "AAAA"}), ("Report", {"outcome": "removed", "stores": []}),
                               ("Renew", {"reason": "user"})):
        raw(relay, CAROL, f"{AGENT}.{method}", parameters, "NotManaged")
    raw(relay, CAROL, f"{AGENT}.Inspected", {"id": "x", "certificates": [], "stores": []}, "StaleRequest")
    raw(relay, CAROL, f"{DEVICE}.Renew", {}, "Failed")
    raw(relay, CAROL, f"{DEVICE}.GetCertificates", {}, "Failed")
    raw(relay, CAROL, f"{DEVICE}.GetCertificates", {"all": True}, "Failed")
    raw(relay, CAROL, f"{DEVICE}.Remove", {}, "PermissionDenied")
    raw(relay, CAROL, f"{DEVICE}.Enroll", {"url": "https://x", "token": "a.b"}, "PermissionDenied")
    raw(relay, 0, f"{DEVICE}.GetCertificates", {"user": "nobody-here"}, "Failed")
    raw(relay, 0, f"{DEVICE}.Renew", {"user": "alice"}, "Failed")  # no-agent


def refuse_bad_requests(relay: Relay) -> None:
    with varlink.Connection(relay.path, ALICE) as older:
        watch = older.stream(f"{AGENT}.Watch", {"version": "0"})
        snapshot = next(watch)
        while not snapshot.get("request"):
            snapshot = next(watch)
        request = snapshot["request"]["id"]
        key = certs.key(certs.scratch() / "key")
        good = base64.b64encode(certs.request(key, f"/UID=u-alice/serialNumber={request}")).decode()
        bad = base64.b64encode(certs.request(key, "/CN=x")).decode()
        raw(relay, ALICE, f"{AGENT}.Submit", {"request_id": request, "csr": bad}, "BadCsr")
        raw(relay, ALICE, f"{AGENT}.Submit", {"request_id": "00000000-0000-4000-8000-000000000000", "csr": good}, "StaleRequest")
        raw(relay, ALICE, f"{AGENT}.Report", {"outcome": "installed", "request_id": request, "serial": "ab", "stores": []}, "StaleRequest")
        raw(relay, ALICE, f"{AGENT}.Inspected", {"id": "x", "certificates": [], "stores": []}, "StaleRequest")
        assert raw(relay, ALICE, f"{AGENT}.Submit", {"request_id": request, "csr": good})["bundle"]
        raw(relay, ALICE, f"{AGENT}.Report", {"outcome": "failed", "request_id": request, "code": "store-locked", "stores": [
            {"kind": "nss_chromium", "path": "/home/alice/.local/share/pki/nssdb", "ok": False, "code": "store-locked"}]})
        raw(relay, ALICE, f"{AGENT}.Renew", {"reason": "user"}, "TooSoon")
        raw(relay, ALICE, f"{DEVICE}.Renew", {}, "Failed")  # rate-limited
        raw(relay, 0, f"{DEVICE}.Remove", {"user": "alice"})
        raw(relay, ALICE, f"{AGENT}.Renew", {"reason": "user"}, "Refused")
        with varlink.Connection(relay.path, ALICE) as newer:
            assert next(newer.stream(f"{AGENT}.Watch", {"version": "0"}))
            try:
                while True:
                    next(watch)
            except varlink.VarlinkError as error:
                assert error.name == f"{AGENT}.Replaced", error


def refuse_what_is_no_call(relay: Relay) -> None:
    raw(relay, ALICE, f"{AGENT}.Watch", {"version": "0"}, "ExpectedMore")
    raw(relay, ALICE, f"{AGENT}.Watch", {}, "InvalidParameter", more=True)
    raw(relay, ALICE, f"{AGENT}.Submit", {"request_id": "x"}, "InvalidParameter")
    raw(relay, ALICE, f"{AGENT}.Report", {"outcome": "else", "stores": []}, "InvalidParameter")
    raw(relay, ALICE, f"{AGENT}.Renew", {"reason": 1}, "InvalidParameter")
    raw(relay, ALICE, f"{AGENT}.Nothing", {}, "MethodNotFound")
    raw(relay, ALICE, "io.devtrust.Nothing.At", {}, "InterfaceNotFound")
    raw(relay, ALICE, "org.varlink.service.GetInterfaceDescription", {"interface": "io.devtrust.Nothing"}, "InterfaceNotFound")


STORIES = (enrolment, renewal, inspection, status, removal, patience, refused, refusals)
