"""Versions side by side: what an older agent may expect of a newer daemon, and the reverse (docs/IPC.md, versioning).

The older side is played from tests/recordings; the newer side is today's programs with a relay that adds what nobody knows yet.
"""
import json
import re

import pytest
from harness import idl, nss, programs, recording, varlink, waiting
from harness.player import OLD, OldCallers, OldDaemon, lost_fields
from harness.relay import STRANGERS
from recordings import stories

AGENT, DEVICE = "io.devtrust.Agent", "io.devtrust.Device"
ALICE = 1000
VERSIONS = sorted(path.name for path in recording.FOLDER.iterdir() if (path / "enrolment.jsonl").exists())
OLD_COMMANDS = {"status", "cert show", "enroll", "renew", "remove", "ipc call", "ipc info", "ipc introspect"}
for_each_version = pytest.mark.parametrize("version", VERSIONS)


# ---- growth: the interfaces, and what is really sent ----

@for_each_version
def test_interfaces_only_grow_by_what_is_optional(version):
    today = idl.shipped()
    for path in sorted((recording.FOLDER / version).glob("*.varlink")):
        old = idl.parse(path.read_text(encoding="utf-8"))
        assert idl.broken_promises(old, today[old.name]) == []


@pytest.mark.parametrize("new, promise", [
    ("type T (a: int, b: ?string, c: ?int) method M(t: T, x: ?int) -> (e: (one, two, three)) method N() -> () error E (a: int)", None),
    ("type T (a: int) method M(t: T) -> (e: (one, two)) error E (a: int)", "T.b is gone"),
    ("type T (a: string, b: ?string) method M(t: T) -> (e: (one, two)) error E (a: int)", "T.a: int became string"),
    ("type T (a: int, b: string) method M(t: T) -> (e: (one, two)) error E (a: int)", "T.b: maybe became string"),
    ("type T (a: int, b: ?string, c: int) method M(t: T) -> (e: (one, two)) error E (a: int)", "T.c is new and not optional"),
    ("type T (a: int, b: ?string) method M(t: T, x: int) -> (e: (one, two)) error E (a: int)", "M().x is new and not optional"),
    ("type T (a: int, b: ?string) method M(t: T) -> (e: (one, three)) error E (a: int)", "M() ->.e: two is gone"),
    ("type T (a: int, b: ?string) type U (a: int) method M(t: U) -> (e: (one, two)) error E (a: int)", "M().t: T became U"),
    ("type T (a: int, b: ?string) method N(t: T) -> (e: (one, two)) error E (a: int)", "method M is gone"),
    ("type T (a: int, b: ?string) method M(t: T) -> (e: (one, two))", "error E is gone")])
def test_a_broken_promise_is_seen(new, promise):
    old = idl.parse("interface a.b type T (a: int, b: ?string) method M(t: T) -> (e: (one, two)) error E (a: int)")
    found = idl.broken_promises(old, idl.parse(f"interface a.b {new}"))
    assert found == [] if promise is None else any(promise in text for text in found), found


def told(lines):
    """Per method, and for its calls, its answers and each error: the fields that ever came."""
    found = {}
    for method, call, replies in recording.exchanges(lines):
        found.setdefault((method, "call"), set()).update(recording.fields(call))
        for reply in replies:
            found.setdefault((method, reply.get("error", "reply")), set()).update(recording.fields(reply))
    return found


@for_each_version
@pytest.mark.parametrize("story", stories.STORIES, ids=lambda story: story.__name__)
def test_what_was_told_is_told_today(world, version, story):
    """The same happens, and every field of the recording is there with its type, in the calls too: an older daemon needs them."""
    relay = story(world)
    today = told(recording.from_log(relay.log()))
    relay.end()
    for what, fields in told(recording.load(version, story.__name__)).items():
        assert what in today, f"{what} does not come any more"
        assert fields <= today[what], (what, fields - today[what])


# ---- older callers, today's daemon ----

@for_each_version
def test_an_older_agent_is_served(world, version):
    """Enrolled, renewed twice, asked, removed: by the calls that agents and tools of that version made."""
    world.start_server()
    device = world.add_device(stories.ROOM).start()
    old = OldCallers(device, "alice", {"<url 1>": world.server.url, "<pin 1>": world.server.ca_pin, "<token 1>": world.server.token()})
    lines = recording.load(version, "enrolment")
    begin = next(i for i, line in enumerate(lines) if line.get("call", {}).get("method") == f"{AGENT}.Watch")
    old.play(lines[:begin])
    world.manage("alice", device)
    device.wait_status(lambda status: status["users"], "alice is known")
    idle = next(i for i, line in enumerate(lines) if shows(line, "certificate"))
    old.play(lines[begin:idle])  # the agent waits before there is anything to do
    world.server.distribution("on")
    device.wait_user("alice", agent_attached=False)
    old.play([line for line in lines[begin:] if not shows(line, "idle")])
    first = device.wait_user("alice", state="installed")["serial"]
    assert first == nss.serial_of(old.leaf)
    old.play(recording.load(version, "renewal"))
    device.wait_user("alice", state="installed", serial=nss.serial_of(old.leaf))
    assert first != nss.serial_of(old.leaf)
    world.manage("bob", device)
    device.wait_status(lambda status: len(status["users"]) == 2, "bob is known")
    old.play(recording.load(version, "inspection"))
    old.play([line for line in recording.load(version, "status")])
    device.wait_user("alice", agent_attached=False)
    old.play(recording.load(version, "removal"))
    device.wait_gone("alice")


def shows(line, mode):
    """Whether a line is a snapshot of this mode."""
    return line.get("reply", {}).get("parameters", {}).get("mode") == mode


def test_a_lost_field_is_seen_by_the_older_agent():
    """The check in the player can fail."""
    recorded = {"parameters": {"revision": "<int revision>", "settings": {"a": "<spki 1>", "list": [{"b": True}]}}}
    assert lost_fields(recorded, {"parameters": {"revision": 1, "settings": {"a": "x", "list": [{"b": False, "c": 1}], "d": 1}}}) == set()
    assert lost_fields(recorded, {"parameters": {"revision": "1", "settings": {"a": "x", "list": [{}]}}}) == {
        "parameters.revision: int", "parameters.settings.list[].b: bool"}


def test_an_older_agent_is_diagnosed(world):
    """It knows nothing of a full inspection, and answers as it always has: doctor says what it can, and why not more."""
    device, relay = stories.installed(world, ())
    with varlink.Connection(device.socket, ALICE) as watch, varlink.Connection(device.socket, ALICE) as calls:
        snapshots = watch.stream(f"{AGENT}.Watch", {"version": OLD})
        assert next(snapshots)["mode"] == "certificate"
        doctor = programs.Program("doctor", [str(programs.RUN / "bin/devtrustctl"), "doctor", "--user", "alice", "--json", "--socket",
                                             str(device.socket)]).start()
        inspection = next(snapshot["inspection"] for snapshot in snapshots if snapshot.get("inspection"))
        calls.call(f"{AGENT}.Inspected", {"id": inspection["id"], "certificates": [], "stores": []})
        doctor.process.wait(waiting.PATIENCE)
        doctor.reader.join()
    checks = {check["id"]: check for check in json.loads(doctor.log())["checks"] if check.get("user") == "alice"}
    assert checks["agent"]["code"] == "version-mismatch" and OLD in checks["agent"]["text"], checks
    assert checks["store"]["result"] == "not_applicable" and "older" in checks["store"]["text"], checks
    relay.end()


# ---- an older daemon, today's callers ----

@pytest.fixture
def before(world, request):
    """Today's agent and devtrustctl before an older daemon."""
    world.server.init()
    device = world.add_device()
    daemon = OldDaemon(request.param, device.socket, world.server, "alice")
    yield world, device, daemon
    daemon.end()


with_old_daemon = pytest.mark.parametrize("before", VERSIONS, indirect=True)


def run(device, *arguments, uid=0, status=0):
    done = device.ctl(*arguments, uid=uid)
    assert done.returncode == status, (arguments, done.returncode, done.stdout, done.stderr)
    return done.stdout + done.stderr


def enrolled_by(world, device, daemon):
    """The first story: today's devtrustctl enrols, today's agent installs."""
    daemon.play("enrolment")
    assert "not enrolled" in run(device, "status", status=1)
    done = device.try_enroll(world.server.url, "some.token", "0" * 64)
    assert done.returncode == 0 and daemon.values.device in done.stdout, done
    agent = device.agent("alice")
    daemon.finish()
    assert kept(agent, daemon.serial)
    return agent


@with_old_daemon
def test_an_older_daemon_is_enough(before):
    """First certificate, renewal, one that was lost, inspection, status, removal."""
    world, device, daemon = before
    agent = enrolled_by(world, device, daemon)
    daemon.play("renewal")
    waiting.until(lambda: daemon.calls[-1][0] == f"{AGENT}.Watch", "the agent is back")
    run(device, "renew", uid=ALICE)
    old = daemon.serial
    waiting.until(lambda: daemon.serial != old and daemon.calls[-1][0] == f"{AGENT}.Report", "reported")
    assert kept(agent, daemon.serial)
    agent.stop()
    assert agent.database.tool("-F", "-n", agent.database.contents().ours[0]).returncode == 0
    agent.start()
    daemon.finish()
    assert kept(agent, daemon.serial)

    daemon.play("inspection")
    waiting.until(lambda: daemon.calls[-1][0] == f"{AGENT}.Watch", "the agent is back")
    assert daemon.serial in run(device, "cert", "show", uid=ALICE)
    assert "bob" in run(device, "cert", "show", "--all-users", status=1)
    daemon.finish()

    daemon.play("status")
    waiting.until(lambda: daemon.calls[-1][0] == f"{AGENT}.Watch", "the agent is back")
    for uid, status, words in ((0, 1, ("enrolled", "alice", "bob")), (ALICE, 0, ("installed", "alice")), (1002, 1, ("not managed",))):
        text = run(device, "status", uid=uid, status=status)
        assert all(word in text for word in words), text
    assert "devtrustd" in run(device, "ipc", "info", uid=ALICE)
    assert "interface org.varlink.service" in run(device, "ipc", "introspect", "org.varlink.service", uid=ALICE)
    assert "limit_per_uid" in run(device, "ipc", "call", "io.devtrust.Debug.ListConnections")
    daemon.finish()

    daemon.play("removal")
    waiting.until(lambda: [method for method, _ in daemon.calls][-1] == f"{AGENT}.Watch", "the agent is back")
    run(device, "remove")
    daemon.finish()
    waiting.until(lambda: agent.database.contents().keys == () and agent.database.contents().ours == [], "removed")
    waiting.until(lambda: not agent.record.exists(), "nothing is left")


@with_old_daemon
@pytest.mark.parametrize("story", ["patience", "refused"])
def test_an_older_daemon_puts_off_and_refuses(before, story):
    _, device, daemon = before
    daemon.play(story)
    agent = device.agent("alice")
    daemon.finish()
    if story == "patience":
        assert kept(agent, daemon.serial)
    else:
        agent.program.wait_log("STATE=idle EVENT=cancelled")
        assert agent.database.contents().ours == []
    assert agent.program.running()


@with_old_daemon
def test_what_an_older_daemon_cannot_do_is_said(before):
    """In plain words, with what to do, and with the exit status of a "no"."""
    _, device, daemon = before
    text = run(device, "ipc", "call", f"{DEVICE}.GetNothing", status=1)
    assert "MethodNotFound" in text
    text = programs.run([str(programs.RUN / "bin/devtrustctl"), "--help"]).stdout
    commands = re.findall(r"^  ([a-z]+(?: [a-z]+)*)  ", text, re.M)
    assert OLD_COMMANDS <= set(commands)
    for command in set(commands) - OLD_COMMANDS - {"report"}:
        asked = daemon.not_found
        done = device.ctl(*command.split())
        if daemon.not_found > asked:
            assert done.returncode == 1 and re.search("does not know|older", done.stdout + done.stderr), (command, done)


@with_old_daemon
def test_a_report_of_an_older_daemon_says_what_is_missing(before):
    """What is there is written all the same."""
    world, device, _ = before
    path = world.base / "report"
    run(device, "report", str(path))
    report = json.loads(path.read_text(encoding="utf-8"))
    assert report["status"]["users"] and {"checks of devtrustd", "log"} <= {part["part"] for part in report["missing"]}
    versions = next(check for check in report["doctor"]["checks"] if check["id"] == "versions")
    assert versions["result"] != "ok" and OLD in versions["text"], versions


# ---- newer programs ----

@pytest.mark.parametrize("story", [story for story in stories.STORIES if story is not stories.refusals], ids=lambda story: story.__name__)
def test_unknown_fields_are_ignored(world, story):
    """Everywhere in the parameters of every message, as newer daemons send them, and newer agents and tools: the story ends as ever."""
    relay = story(world, {"on": "reply", "strangers": True}, {"on": "call", "strangers": True})
    messages = [entry["message"] for entry in relay.log() if entry["kind"] in ("call", "reply")]
    assert messages and all(STRANGERS.items() <= message["parameters"].items() for message in messages), "they were there"
    relay.end()


@pytest.fixture
def newer(world):
    """A device whose user has a certificate, with a relay before it that can change messages; the agent's Watch is open."""
    device, relay = stories.installed(world, ())
    stories.attached(device, relay)
    yield device, relay, device.agents["alice"]
    relay.end()


def set_in(kind, method, path, value):
    return {"on": kind, "method": method, "set": path.split("."), "to": value}


def kept(agent, serial):
    return agent.database.serials() == [serial] and len(agent.database.contents().keys) == 1


def test_a_newer_key_type_keeps_the_old_certificate(newer):
    device, relay, agent = newer
    serial = device.user("alice")["serial"]
    relay.rules(set_in("reply", f"{AGENT}.Watch", "request.key_type", "mldsa65"))
    assert device.ctl("renew", uid=ALICE).returncode == 0
    waiting.until(lambda: relay.messages("call", f"{AGENT}.Report"), "the agent says that it cannot")
    assert relay.messages("call", f"{AGENT}.Report")[-1]["parameters"]["outcome"] == "failed"
    assert agent.program.logged("Update devtrust")
    device.wait_user("alice", serial=serial, state="waiting")
    assert kept(agent, serial) and relay.messages("call", f"{AGENT}.Submit") == []
    relay.rules()
    assert device.ctl("renew", uid=ALICE).returncode == 0
    device.wait_user("alice", state="installed", serial=lambda seen: seen != serial)


def test_a_newer_mode_is_not_followed(newer):
    """Whatever it means: nothing is removed, and the agent goes on with the next order that it knows."""
    device, relay, agent = newer
    serial = device.user("alice")["serial"]
    relay.rules(set_in("reply", f"{AGENT}.Watch", "mode", "quarantine"))
    assert device.ctl("renew", uid=ALICE).returncode == 0
    agent.program.wait_log("was not understood and is not followed.*mode")
    assert kept(agent, serial) and relay.messages("call", f"{AGENT}.Submit") == []
    relay.rules()
    assert device.ctl("cert", "show", uid=ALICE).returncode == 0  # any change shows the order again
    device.wait_user("alice", state="installed", serial=lambda seen: seen != serial)


@pytest.mark.parametrize("path, value", [("request.reason", "compliance"), ("settings.trusted_applications", ["/a", 7])])
def test_what_only_the_daemon_means_does_not_stop_the_agent(newer, path, value):
    device, relay, _ = newer
    serial = device.user("alice")["serial"]
    relay.rules(set_in("reply", f"{AGENT}.Watch", path, value))
    assert device.ctl("renew", uid=ALICE).returncode == 0
    device.wait_user("alice", state="installed", serial=lambda seen: seen != serial)


@pytest.mark.parametrize("path, value, word, status", [
    ("enrolment.state", "quarantined", "quarantined", 1), ("desired.distribution", "staged", "staged", 1),
    ("users.state", "dormant", "dormant", 0), ("policies.family", "newbrowser", "newbrowser", 0)])
def test_devtrustctl_shows_a_newer_value_as_it_is(newer, path, value, word, status):
    device, relay, _ = newer
    relay.rules(set_in("reply", f"{DEVICE}.GetStatus", path, value))
    for uid in (0,) if path.startswith("policies") else (0, ALICE):  # those that are in order are no news to a person
        assert word in run(device, "status", uid=uid, status=status)


def test_devtrustctl_shows_what_a_newer_daemon_says_of_a_code_that_it_does_not_know(newer):
    device, relay, _ = newer
    relay.rules(*(set_in("reply", f"{DEVICE}.GetStatus", f"users.{name}", text) for name, text in (
        ("code", "moon-phase"), ("text", "The moon is not right."), ("remedy", "Wait for the next one."))))
    text = run(device, "status", uid=ALICE)
    assert "The moon is not right." in text and "Wait for the next one." in text, text
    relay.rules(set_in("reply", f"{DEVICE}.GetCertificates", "certificates.stores.kind", "vault"))
    assert "(vault)" in run(device, "cert", "show", uid=ALICE)


def test_a_newer_reason_or_outcome_is_refused_by_name(newer):
    """A newer agent falls back to a value that this daemon knows; it learns so from the error."""
    device, _, agent = newer
    for method, parameters, parameter in (("Renew", {"reason": "compliance"}, "reason"),
                                          ("Report", {"outcome": "postponed", "stores": []}, "outcome")):
        with pytest.raises(varlink.VarlinkError, match="InvalidParameter") as caught:
            device.call(f"{AGENT}.{method}", parameters, uid=ALICE)
        assert caught.value.parameters == {"parameter": parameter}
    assert kept(agent, device.user("alice")["serial"])


def test_a_newer_agent_may_name_stores_and_codes_that_are_not_known_here(newer):
    device, relay, _ = newer
    serial = device.user("alice")["serial"]
    relay.rules(set_in("call", f"{AGENT}.Report", "stores.kind", "vault"), set_in("call", f"{AGENT}.Report", "stores.code", "vault-shut"))
    assert device.ctl("renew", uid=ALICE).returncode == 0
    user = device.wait_user("alice", state="installed", serial=lambda seen: seen != serial)
    assert [(store["kind"], store["code"]) for store in user["stores"][:1]] == [("vault", "other")]
