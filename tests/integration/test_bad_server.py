"""A server, or what stands in its place, that answers badly: each answer is named in the status, costs nothing, and is recovered from."""
import base64
import json
import time
import uuid

import pytest
from harness import certs, waiting
from harness.peer import Peer

ENROLL = "/.well-known/est/user/simpleenroll"
ROOM = {"limits": {"requests_per_hour": 10000}}


@pytest.fixture
def behind(world):
    """A world whose device speaks to the server through a peer; alice is managed, the switch is off."""
    world.start_server()
    peer = world.peer = Peer(world.server)
    device = world.add_device(ROOM).start()
    peer.device = device
    device.enroll(world.server, peer.url)
    world.manage("alice", device)
    device.agent("alice")
    device.wait_user("alice", agent_attached=True)
    yield world
    peer.stop()


def one_of_ours(agent):
    contents = agent.database.contents()
    return len(contents.ours) == 1 and len(contents.keys) == 1


def recovers(world):
    """The peer behaves again: alice gets her one certificate."""
    world.peer.clear()
    device = world.device
    device.ctl("renew")  # no need to wait for the back-off to pass
    user = device.wait_user("alice", state="installed")
    assert one_of_ours(device.agents["alice"])
    assert device.agents["alice"].database.serials() == [user["serial"]]
    return user


# --- EST answers ------------------------------------------------------------------------------------------------------------------

class Forge:
    """Answers a signing request with a certificate that is wrong in one way."""

    def __init__(self, world):
        self.world = world
        self.folder = certs.scratch()
        state = world.server.state_dir
        self.trust = state / "trust-ca.pem", state / "trust-ca.key"
        self.device = state / "device-ca.pem", state / "device-ca.key"

    def csr(self, exchange):
        return base64.b64decode(exchange.body)

    def leaf(self, csr, *, ca=None, serial="6b1d7c0a11111111111111111111", cn=None, dates=None, days=30, user="u-alice", device=None, **changes):
        extensions = certs.user_extensions(device or self.world.device.uuid, user, **changes)
        name = cn or f"Example Device Trust Certificate - {serial[:8]}"
        return certs.sign(self.folder, csr, *(ca or self.trust), extensions, subject=f"/CN={name}", serial=serial, days=days, dates=dates)

    def chain(self, kind="trust"):
        state = self.world.server.state_dir
        return [certs.der(state / f"{kind}-ca.pem"), certs.der(state / f"{kind}-root.pem")]

    def answer(self, exchange, leaf, kind="trust"):
        exchange.reply_est(certs.est_body(leaf, *self.chain(kind)))


def html(forge, exchange):
    exchange.reply(200, b"<html><body>Please sign in to the guest network</body></html>", "text/html")


def html_as_est(forge, exchange):
    exchange.reply_est(b"<html><body>Please sign in</body></html>")


def truncated(forge, exchange):
    answer = exchange.forward()
    exchange.reply_est(answer.body[:len(answer.body) // 2])


def empty(forge, exchange):
    exchange.reply_est(b"")


def another_key(forge, exchange):
    key = certs.key(forge.folder / "other.key")
    forge.answer(exchange, forge.leaf(certs.request(key, "/CN=x")))


def a_ca(forge, exchange):
    forge.answer(exchange, forge.leaf(forge.csr(exchange), basicConstraints="critical,CA:TRUE",
                                      keyUsage="critical,digitalSignature,keyCertSign"))


def from_the_device_ca(forge, exchange):
    forge.answer(exchange, forge.leaf(forge.csr(exchange), ca=forge.device), "device")


def expired(forge, exchange):
    now = time.time()
    stamp = [time.strftime("%y%m%d%H%M%SZ", time.gmtime(now - back)) for back in (40 * 86400, 10 * 86400)]
    forge.answer(exchange, forge.leaf(forge.csr(exchange), dates=tuple(stamp)))


def huge(forge, exchange):
    exchange.close_connection = True
    exchange.send_response_only(200)
    exchange.send_header("Content-Type", "application/pkcs7-mime")
    exchange.send_header("Content-Length", str(30 << 20))
    exchange.end_headers()
    for _ in range(30 << 4):
        exchange.wfile.write(b"A" * 65536)


def another_user(forge, exchange):
    forge.answer(exchange, forge.leaf(forge.csr(exchange), user="u-bob"))


def another_device(forge, exchange):
    forge.answer(exchange, forge.leaf(forge.csr(exchange), device=str(uuid.uuid4())))


def another_usage(forge, exchange):
    forge.answer(exchange, forge.leaf(forge.csr(exchange), extendedKeyUsage="clientAuth,serverAuth"))


def another_policy(forge, exchange):
    forge.answer(exchange, forge.leaf(forge.csr(exchange), certificatePolicies=certs.POLICY_DEVICE))


def another_name(forge, exchange):
    forge.answer(exchange, forge.leaf(forge.csr(exchange), cn="Google Root"))


def a_century(forge, exchange):
    forge.answer(exchange, forge.leaf(forge.csr(exchange), days=36500))


def unknown_ca(forge, exchange):
    ca = certs.self_signed(forge.folder, "Example Device Trust CA")
    forge.answer(exchange, forge.leaf(forge.csr(exchange), ca=ca))


def leaf_missing(forge, exchange):
    exchange.reply_est(certs.est_body(*forge.chain()))


BAD_ANSWERS = {
    html: ("server-answer", "bundle-invalid"), html_as_est: ("server-answer", "bundle-invalid"),
    truncated: ("server-answer", "bundle-invalid"), empty: ("server-answer", "bundle-invalid"),
    another_key: ("leaf-key",), a_ca: ("leaf-usage",), from_the_device_ca: ("leaf-chain", "leaf-usage"), expired: ("leaf-lifetime",),
    huge: ("server-answer", "bundle-invalid"), another_user: ("leaf-name",), another_device: ("leaf-name",), another_usage: ("leaf-usage",),
    another_policy: ("leaf-usage",), another_name: ("leaf-name",), a_century: ("leaf-lifetime", "leaf-chain"), unknown_ca: ("leaf-chain",),
    leaf_missing: ("leaf-key", "bundle-invalid", "leaf-chain", "leaf-usage"),
}


@pytest.mark.parametrize("answer", BAD_ANSWERS, ids=lambda answer: answer.__name__)
def test_bad_est_answer(behind, answer):
    forge = Forge(behind)
    behind.peer.on("POST", ENROLL, lambda exchange: answer(forge, exchange))
    behind.server.distribution("on")
    user = behind.device.wait_user("alice", code=lambda code: code in BAD_ANSWERS[answer])
    assert user["remedy"] and user["text"]
    agent = behind.device.agents["alice"]
    assert agent.database.contents().ours == [] and agent.database.contents().keys == ()
    recovers(behind)


def test_bad_answer_at_renewal_costs_no_credential(behind):
    behind.server.distribution("on")
    old = behind.device.wait_user("alice", state="installed")
    agent = behind.device.agents["alice"]
    forge = Forge(behind)
    behind.peer.on("POST", ENROLL, lambda exchange: another_key(forge, exchange))
    assert behind.device.ctl("renew", uid=agent.uid).returncode == 0
    behind.device.wait_user("alice", code="leaf-key")
    assert agent.database.serials() == [old["serial"]] and len(agent.database.contents().keys) == 1
    assert recovers(behind)["serial"] != old["serial"]


@pytest.mark.parametrize("status, code", [(500, "server-error"), (502, "server-error"), (503, "server-error"), (401, None), (403, None),
                                          (404, None), (400, None), (429, None)])
def test_one_http_error_costs_no_credential(behind, status, code):
    behind.server.distribution("on")
    old = behind.device.wait_user("alice", state="installed")
    agent = behind.device.agents["alice"]
    behind.peer.on("POST", ENROLL, lambda exchange: exchange.reply(status, b"no", "text/plain"))
    behind.device.ctl("renew", uid=agent.uid)
    behind.peer.wait_seen(f"POST {ENROLL}", 2)
    user = behind.device.wait_user("alice", code=lambda seen: seen not in (None, "none"))
    assert code is None or user["code"] == code
    assert agent.database.serials() == [old["serial"]]
    behind.peer.clear()
    if status in (401, 403):  # a refusal waits for a new generation
        behind.device.wait_user("alice", state="refused")
        behind.server.cli("user", "add", "someone")
        behind.server.distribution("paused")
        behind.server.distribution("on")
    new = behind.device.wait_user("alice", state="installed", serial=lambda serial: serial != old["serial"])
    assert agent.database.serials() == [new["serial"]]


def test_202_and_retry_after_are_obeyed(behind):
    asked = []

    def rule(exchange):
        asked.append((time.monotonic(), exchange.body))
        if len(asked) == 1:
            exchange.reply(202, headers={"Retry-After": "2"})
        else:
            exchange.send(exchange.forward())
    behind.peer.on("POST", ENROLL, rule)
    behind.server.distribution("on")
    behind.device.wait_user("alice", state="installed")
    assert len(asked) == 2 and asked[1][0] - asked[0][0] >= 1.9
    assert asked[0][1] == asked[1][1], "the same CSR is posted again"


def test_a_lost_reply_to_a_signing_request_gives_one_certificate(behind):
    behind.peer.on("POST", ENROLL, lambda exchange: (exchange.forward(), exchange.drop()), times=2)
    behind.server.distribution("on")
    user = behind.device.wait_user("alice", state="installed")
    issued = [entry for entry in behind.server.certificates() if entry.get("kind") == "user"]
    assert [entry["serial"] for entry in issued] == [user["serial"]]


def test_a_lost_report_is_sent_again(behind):
    behind.peer.on("PUT", "/v1/report", lambda exchange: exchange.drop(), times=2)
    behind.server.distribution("on")
    serial = behind.device.wait_user("alice", state="installed")["serial"]
    waiting.until(lambda: [entry["state"] for entry in behind.server.certificates() if entry["serial"] == serial] == ["installed"],
                  "confirmed at the server")
    assert behind.peer.count("PUT /v1/report") == 3


# --- events ------------------------------------------------------------------------------------------------------------------------

def event(epoch, generation, splay=0, identifier="x", ping=30):
    data = json.dumps({"epoch": epoch, "generation": generation, "splay_s": splay, "ping_s": ping})
    return f"event: state\nid: {identifier}\ndata: {data}\n\n".encode()


def streams(world, rule):
    """From now on the event stream is the rule's; the open one ends."""
    world.peer.wait_stream()
    world.peer.on("GET", "/v1/events", rule)
    world.peer.end_streams()
    world.peer.wait_stream()


def still_works(world):
    """After whatever came: the truth is fetched and acted upon."""
    world.peer.clear()
    world.peer.end_streams()
    world.server.distribution("on")
    world.device.wait_user("alice", state="installed")
    assert one_of_ours(world.device.agents["alice"])


def test_half_a_line_for_ever(make_world):
    """The watchdog of 2.5 pings ends a stream that completes no line, dribbled or silent."""
    world = make_world({"push": {"ping": "1s"}})
    world.start_server()
    world.peer = Peer(world.server)
    try:
        device = world.add_device(ROOM).start()
        world.peer.device = device
        device.enroll(world.server, world.peer.url)
        world.manage("alice", device)
        device.agent("alice")
        device.wait_status(lambda status: status["push"]["connected"] and status["push"].get("last_event_s"), "one good event")

        def dribble(exchange):
            exchange.begin_stream()
            exchange.feed(event(str(uuid.uuid4()), 1, ping=1))
            while not world.peer.stopping.is_set():
                exchange.feed(b"a")
                time.sleep(0.1)
        streams(world, dribble)
        begun = world.peer.count("GET /v1/events")
        world.peer.wait_seen("GET /v1/events", begun + 1)
        streams(world, lambda exchange: (exchange.begin_stream(), exchange.feed(event(str(uuid.uuid4()), 2, ping=1)), exchange.hold()))
        begun = world.peer.count("GET /v1/events")
        world.peer.wait_seen("GET /v1/events", begun + 1)
        still_works(world)
    finally:
        world.peer.stop()


def test_a_ten_mebibyte_line(behind):
    def flood(exchange):
        exchange.begin_stream()
        for _ in range(160):
            exchange.feed(b"d" * 65536)
        exchange.hold()
    streams(behind, flood)
    begun = behind.peer.count("GET /v1/events")
    behind.peer.wait_seen("GET /v1/events", begun + 1)
    still_works(behind)


def test_events_out_of_order_and_repeated(behind):
    """An event is a hint: whatever it says, the fetched state decides."""
    state = behind.device.status()["desired"]

    def disorder(exchange):
        exchange.begin_stream()
        for generation in (state["generation"] + 5, 1, 0, state["generation"], state["generation"] + 5):
            exchange.feed(event(state["epoch"], generation, identifier="odd\tid:[0],-"))
        exchange.hold()
    streams(behind, disorder)
    behind.server.distribution("on")
    streams(behind, disorder)
    behind.device.wait_user("alice", state="installed")
    still_works(behind)


@pytest.mark.parametrize("junk", [b"data: {not json}\n\n", b"data: []\n\n", b'data: {"epoch": 1}\n\n', b"event: other\ndata: x\n\n",
                                  b"\xff\xfe\x00\n\n", b": \n" * 2000, b"data\n" * 500 + b"\n", b"retry: 1\nid: \0\n\n",
                                  event("no uuid", 2), event(str(uuid.uuid4()), 2 ** 63 - 1), event(str(uuid.uuid4()), -1),
                                  b'data: {"epoch":"x","generation":99999999999999999999,"splay_s":0}\n\n'], ids=range(12))
def test_junk_events_change_nothing(behind, junk):
    def rule(exchange):
        exchange.begin_stream()
        exchange.feed(junk)
        exchange.hold()
    streams(behind, rule)
    behind.device.program.check_alive()
    still_works(behind)


def test_a_splay_of_a_year(behind):
    """It is a wait of minutes, and nobody who asks for it now has to wait even so long."""
    def rule(exchange):
        exchange.begin_stream()
        exchange.feed(event(str(uuid.uuid4()), 3, 365 * 86400))
        exchange.hold()
    streams(behind, rule)
    behind.peer.clear()
    open_until = behind.device.program.mark()
    behind.peer.end_streams()
    behind.device.program.wait_log("push stream is closed", open_until)
    behind.server.distribution("on")
    behind.device.ctl("repair")
    behind.device.wait_user("alice", state="installed")
    assert one_of_ours(behind.device.agents["alice"])


# --- the desired state ----------------------------------------------------------------------------------------------------------

def states(world, change):
    """The server's state, changed on its way (a dict, or text). Told from now on."""
    def rule(exchange):
        exchange.headers.replace_header("If-None-Match", "") if "If-None-Match" in exchange.headers else None
        state = json.loads(exchange.forward().body)
        exchange.reply_json(change(state))
    world.peer.on("GET", "/v1/state", rule)


def poke(world):
    """Any change at the server, so that devices fetch."""
    world.server.cli("user", "add", f"poke-{uuid.uuid4()}")
    world.server.distribution("paused")


def replaced(**values):
    return lambda state: {**state, **values}


def duplicate_key(state):
    return json.dumps(state)[:-1] + ', "generation": 1}'


BAD_STATES = {
    "broken": lambda state: json.dumps(state)[:-20], "empty": lambda state: "", "no object": lambda state: "[]",
    "duplicate keys": duplicate_key, "wrong type": replaced(users="alice"), "wrong type of a number": replaced(generation="7"),
    "a number too large": lambda state: json.dumps({**state, "generation": 0}).replace('"generation": 0', '"generation": 9223372036854775808'),
    "negative generation": replaced(generation=-1), "no epoch": lambda state: {k: v for k, v in state.items() if k != "epoch"},
    "unknown distribution": replaced(distribution="maybe"), "invalid UTF-8": lambda state: json.dumps(state).encode()[:-1] + b', "x": "\xff"}',
    "deep": lambda state: '{"a":' * 3000 + "1" + "}" * 3000, "a user without an id": replaced(users=[{"name": "alice"}]),
    "a user id that is a path": replaced(users=[{"id": "../../etc/passwd", "name": "alice"}]),
    "another device": replaced(device=str(uuid.uuid4())), "NUL in a key": lambda state: json.dumps(state)[:-1] + ', "a\\u0000b": 1}',
    "too many users": replaced(users=[{"id": f"u{i}", "name": f"n{i}"} for i in range(300)]),
    "half a megabyte": lambda state: {**state, "padding": "x" * 600000},
}


@pytest.mark.parametrize("name", BAD_STATES)
def test_a_bad_state_changes_nothing(behind, name):
    behind.server.distribution("on")
    old = behind.device.wait_user("alice", state="installed")
    agent = behind.device.agents["alice"]
    contents, policy = agent.database.contents(), behind.device.policy_files()
    desired = behind.device.status()["desired"]
    states(behind, BAD_STATES[name])
    fetched = behind.peer.count("GET /v1/state")
    poke(behind)
    behind.peer.wait_ended("GET /v1/state", fetched + 1)
    status = behind.device.wait_status(lambda status: any(code in json.dumps(status) for code in ("state-invalid", "server-answer")),
                                       "the status names it")
    assert status["desired"] == desired and behind.device.user("alice")["state"] == "installed"
    assert (agent.database.contents(), behind.device.policy_files()) == (contents, policy)
    behind.peer.clear()
    behind.server.distribution("on")
    behind.device.wait_status(lambda status: status["desired"]["generation"] > desired["generation"], "a good one is taken again")
    assert behind.device.user("alice")["serial"] == old["serial"]


def test_unknown_keys_are_ignored(behind):
    states(behind, lambda state: {"future": {"deep": [1, 2.5, None]}, **state, "users": [{**user, "shoe": 43} for user in state["users"]]})
    behind.server.distribution("on")
    behind.device.wait_user("alice", state="installed")


def test_an_older_generation_is_not_taken(behind):
    behind.server.distribution("on")
    behind.device.wait_user("alice", state="installed")
    generation = behind.device.status()["desired"]["generation"]
    states(behind, replaced(generation=generation - 1, distribution="off"))
    fetched = behind.peer.count("GET /v1/state")
    poke(behind)
    behind.peer.wait_ended("GET /v1/state", fetched + 1)
    assert behind.device.status()["desired"]["generation"] == generation
    assert behind.device.user("alice")["state"] == "installed"
    assert one_of_ours(behind.device.agents["alice"])


def test_another_epoch_is_taken_as_it_is(behind):
    behind.server.distribution("on")
    serial = behind.device.wait_user("alice", state="installed")["serial"]
    epoch = str(uuid.uuid4())
    states(behind, replaced(epoch=epoch, generation=0, distribution="on"))
    poke(behind)
    behind.device.wait_status(lambda status: (status["desired"]["epoch"], status["desired"]["generation"]) == (epoch, 0), "the new epoch")
    assert behind.device.user("alice")["serial"] == serial


def test_the_greatest_generation_is_taken(behind):
    states(behind, replaced(generation=2 ** 63 - 1, distribution="on"))
    poke(behind)
    behind.device.wait_status(lambda status: status["desired"]["generation"] == 2 ** 63 - 1, "taken")


@pytest.mark.parametrize("patterns, refused", [(["*"], True), (["https://*"], True), (["https://*.localhost"], True),
                                               (["https://www.example.org"], True), (["http://localhost"], True),
                                               (["https://[*.]org"], True), (["localhost"], True)])
def test_patterns_that_are_never_written(behind, patterns, refused):
    good = []

    def change(state):
        good[:] = state["portal_patterns"]
        return {**state, "portal_patterns": state["portal_patterns"] + patterns}
    states(behind, change)
    behind.server.distribution("on")
    behind.device.wait_user("alice", state="installed")
    text = json.dumps(behind.device.policy_files())
    written = [json.loads(element)["pattern"] for content in behind.device.policy_files().values()
               for element in json.loads(content)["AutoSelectCertificateForUrls"]]
    assert sorted(set(written)) == sorted(set(good)), text
    assert "pattern-refused" in json.dumps(behind.device.status())


def test_only_a_star_means_no_request(behind):
    """Policy first: where no pattern may be written there is no policy, and the status says why."""
    states(behind, replaced(portal_patterns=["*"]))
    behind.server.distribution("on")
    behind.device.wait_status(lambda status: "pattern-refused" in json.dumps(status), "named")
    assert not any('"*"' in text for text in behind.device.policy_files().values())


def test_a_splay_of_a_year_is_clamped_and_kept(behind):
    """The draw is at most 24 h, is on disk, and is not drawn again by a restart."""
    states(behind, replaced(splay_s=365 * 86400))
    behind.server.distribution("on")
    device = behind.device
    machine = waiting.until(lambda: waiting_machine(device), "waiting, with a time")
    now = time.time()
    assert machine["due"] <= now + 86400 + 5
    device.stop()
    device.start()
    assert waiting.until(lambda: waiting_machine(device), "still waiting")["due"] == machine["due"]


def waiting_machine(device):
    if not device.user("alice") or device.user("alice")["state"] != "waiting":
        return None
    machine = device.call("io.devtrust.Debug.GetUserMachine", {"user": "alice"})["machine"]
    return machine if machine.get("due") else None


def test_an_unknown_key_type_keeps_the_old_certificate(behind):
    behind.server.distribution("on")
    serial = behind.device.wait_user("alice", state="installed")["serial"]
    states(behind, replaced(key_type="ml-dsa-65", distribution="on", generation=10 ** 6))
    poke(behind)
    behind.device.wait_status(lambda status: status["desired"]["generation"] == 10 ** 6, "taken")
    assert behind.device.user("alice")["serial"] == serial
    assert one_of_ours(behind.device.agents["alice"])


@pytest.mark.parametrize("status", [301, 401, 403, 404, 500, 503])
def test_an_error_instead_of_the_state_removes_nothing(behind, status):
    behind.server.distribution("on")
    serial = behind.device.wait_user("alice", state="installed")["serial"]
    behind.peer.on("GET", "/v1/state", lambda exchange: exchange.reply(status, b"no", "text/plain", {"Location": "https://localhost/"}))
    fetched = behind.peer.count("GET /v1/state")
    behind.server.distribution("off")
    behind.peer.wait_ended("GET /v1/state", fetched + 1)
    assert behind.device.user("alice")["state"] == "installed" and behind.device.user("alice")["serial"] == serial
    assert one_of_ours(behind.device.agents["alice"])
    behind.peer.clear()
    behind.server.distribution("paused")
    behind.server.distribution("off")
    behind.device.wait_gone("alice")


def test_a_clock_that_disagrees_is_a_state(behind):
    """The server's Date is an hour off: the status says clock, and nothing is lost."""
    def late(exchange):
        answer = exchange.forward()
        answer.headers = {name: value for name, value in answer.headers.items() if name != "Date"}
        answer.headers["Date"] = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 7200))
        exchange.send(answer)
    behind.server.distribution("on")
    serial = behind.device.wait_user("alice", state="installed")["serial"]
    behind.peer.on("GET", "/v1/state", late)
    poke(behind)
    behind.device.wait_status(lambda status: '"clock"' in json.dumps(status), "clock")
    assert behind.device.user("alice")["serial"] == serial
