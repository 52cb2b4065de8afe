"""devtrustctl doctor and repair: users, agents and stores on bad days; and the report for a support ticket."""
import json
import os
import shutil
import signal
import sqlite3
import threading

import pytest
from harness import accounts, doctor, nss, programs, varlink, waiting
from harness.doctor import Doctor

ALICE, BOB, CAROL = 1000, 1001, 1002
HOME = accounts.home("alice")
ROOM = {"limits": {"requests_per_hour": 10000}}


@pytest.fixture
def well(world):
    """A device where all is well, with alice's certificate installed."""
    device = world.setup("alice", device_settings=ROOM)
    device.wait_user("alice", state="installed")
    doctor.wait_well(device, uid=ALICE)
    return device


def repair(device, *arguments, uid=0):
    return Doctor(device, *arguments, uid=uid, command="repair")


def heals(device, *arguments, uid=ALICE):
    """One repair, and a second doctor says ok; exactly one certificate and one key."""
    told = repair(device, *arguments, uid=uid)
    assert told.status == 0 and told.bad() == [], (told.answer, device.tail())
    doctor.wait_well(device, uid=ALICE)
    contents = device.agents["alice"].database.contents()
    assert len(contents.ours) == 1 and len(contents.keys) == 1, contents
    assert device.agents["alice"].database.serials() == [device.user("alice")["serial"]]
    return told.answer["actions"]


# ---- users ----

def test_a_user_whom_nobody_manages(well):
    look = Doctor(well, uid=CAROL)
    assert look.failures() == [("user", "not-managed")] and look.status == 1
    assert "administrator" in look.one("user")["remedy"]
    done = well.ctl("doctor", uid=CAROL)
    assert done.returncode == 1 and "\nYou\n" in done.stdout
    told = repair(well, uid=CAROL)
    assert [action["code"] for action in told.answer["actions"]] == ["not-managed"]


def test_a_user_who_was_unassigned(well, world):
    world.server.cli("unassign", "u-alice", well.uuid)
    well.wait_gone("alice")
    look = doctor.wait(well, lambda look: look.has("user", "failure", "not-managed"), "named", uid=ALICE)
    assert look.failures() == [("user", "not-managed")]
    assert doctor.wait_well(well, "--all-users").find("user") == []


def test_accounts_that_are_never_served(well, world):
    world.server.cli("user", "add", "u-root")
    world.server.cli("assign", "u-root", well.uuid, "root")
    doctor.wait(well, lambda look: look.has("user", "failure", "user-refused"), "named", "--all-users")


def test_a_user_whom_the_server_refuses(world):
    from harness.peer import Peer
    world.start_server()
    peer = Peer(world.server)
    try:
        body = json.dumps({"status": 403, "code": "server-refused"}).encode()
        peer.on("POST", "/.well-known/est/user/simpleenroll", lambda exchange: exchange.reply(403, body, "application/problem+json"))
        device = world.add_device(ROOM).start()
        peer.device = device
        device.enroll(world.server, peer.url)
        world.manage("alice", device)
        device.agent("alice")
        world.server.distribution("on")
        look = doctor.wait(device, lambda look: look.has("user", "failure", "server-refused"), "refused", uid=ALICE)
        assert look.status == 1
        told = repair(device, uid=ALICE)
        assert ("user", "server-refused") in [(action["id"], action.get("code")) for action in told.answer["actions"]], told.answer
    finally:
        peer.stop()


def test_a_user_who_has_not_signed_in_yet(world):
    """No certificate without an agent: that is a failure, whoever asks."""
    device = world.setup(device_settings=ROOM)
    world.manage("alice", device)
    look = doctor.wait(device, lambda look: look.has("user", "failure", "no-agent"), "waits for the agent", "--all-users")
    assert look.has("agent", "failure", "no-agent"), look.checks
    device.agent("alice")
    device.wait_user("alice", state="installed")
    doctor.wait_well(device, uid=ALICE)


def test_a_user_who_waits_for_the_server(world):
    """The server says: in an hour. On its way is no failure."""
    from harness.peer import Peer
    world.start_server()
    peer = Peer(world.server)
    try:
        peer.on("POST", "/.well-known/est/user/simpleenroll", lambda exchange: exchange.reply(202, headers={"Retry-After": "3600"}))
        device = world.add_device(ROOM).start()
        peer.device = device
        device.enroll(world.server, peer.url)
        world.manage("alice", device)
        device.agent("alice")
        world.server.distribution("on")
        device.wait_user("alice", state="signing")
        peer.wait_ended("POST /.well-known/est/user/simpleenroll")
        look = doctor.wait(device, lambda look: look.has("user", "warning", "user-waiting"), "waits", uid=ALICE)
        assert ("user", "user-waiting") in look.bad() and not [entry for entry in look.failures() if entry[0] == "user"]
    finally:
        peer.stop()


def test_rate_limit_stands_in_the_way_of_a_repair(make_world):
    world = make_world()
    device = world.setup("alice", device_settings={"limits": {"requests_per_hour": 1}})
    device.wait_user("alice", state="installed")
    shutil.rmtree(device.agents["alice"].database.directory)
    told = repair(device, uid=ALICE)
    assert ("user", "rate-limited") in [(action["id"], action.get("code")) for action in told.answer["actions"]], told.answer
    assert told.status == 1


# ---- agents ----

def test_agent_away(well):
    well.agents["alice"].stop()
    well.wait_user("alice", agent_attached=False)
    own = doctor.wait_bad(well, [("agent", "no-agent")], uid=ALICE)
    assert own.status == 1 and own.one("agent")["result"] == "failure"
    assert own.one("user")["result"] == "ok", "the certificate stays good"
    root = Doctor(well, "--user", "alice")
    assert root.one("agent")["result"] == "warning" and root.status == 0, "who is not signed in is no failure"
    told = repair(well, uid=ALICE)
    assert [(action["id"], action["code"]) for action in told.answer["actions"]] == [("agent", "no-agent")] and told.status == 1
    well.agent("alice")
    well.wait_user("alice", agent_attached=True)
    doctor.wait_well(well, uid=ALICE)


def test_agent_hangs(well):
    """Whoever asks it is answered, and told why there is no more; not with an error that only says that time is up."""
    well.agents["alice"].program.signal(signal.SIGSTOP)
    try:
        with varlink.Connection(well.socket, ALICE) as certificates, varlink.Connection(well.socket, ALICE) as mending:
            certificates.send("io.devtrust.Device.GetCertificates")
            mending.send("io.devtrust.Device.Repair")
            look = Doctor(well, uid=ALICE)
            assert certificates.answer()["parameters"] == {"certificates": [], "missing": [{"user": "alice", "code": "agent-timeout"}]}
            assert [(action["id"], action["code"]) for action in mending.answer()["parameters"]["actions"]] == [("agent", "agent-timeout")]
        assert look.failures() == [("agent", "agent-timeout")] and look.status == 1
        assert look.one("server")["result"] == "ok", "the rest is there all the same"
    finally:
        well.agents["alice"].program.signal(signal.SIGCONT)
    doctor.wait_well(well, uid=ALICE)


def test_agent_goes_while_it_is_asked(well):
    """Nobody waits for one who has gone."""
    well.agents["alice"].program.signal(signal.SIGSTOP)
    answers = []
    thread = threading.Thread(target=lambda: answers.append(Doctor(well, uid=ALICE)))
    thread.start()
    waiting.until(lambda: any(entry["uid"] == ALICE and entry["outstanding"] > 0 and not entry.get("stream") for entry in
                              well.call("io.devtrust.Debug.ListConnections")["connections"]), "it waits")
    well.agents["alice"].kill()
    thread.join(waiting.PATIENCE)
    assert answers and answers[0].failures() == [("agent", "no-agent")]


class FakeAgent:
    """An agent of another version: watches, and answers inspections as told."""

    def __init__(self, device, version, answer, uid=ALICE):
        self.device, self.answer, self.uid = device, answer, uid
        self.watch = varlink.Connection(device.socket, uid)
        self.stream = self.watch.stream("io.devtrust.Agent.Watch", {"version": version})
        self.orders = []
        next(self.stream)
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        try:
            for snapshot in self.stream:
                if "inspection" in snapshot:
                    self.orders.append(snapshot["inspection"])
                    self.device.call("io.devtrust.Agent.Inspected", {"id": snapshot["inspection"]["id"], "certificates": [], "stores": [],
                                                                     **self.answer}, uid=self.uid)
        except (OSError, varlink.VarlinkError):
            pass

    def end(self):
        self.watch.socket.shutdown(2)
        self.thread.join(waiting.PATIENCE)
        self.watch.close()


@pytest.fixture
def fake(well):
    well.agents["alice"].stop()
    well.wait_user("alice", agent_attached=False)
    made = []

    def make(version, **answer):
        made.append(FakeAgent(well, version, answer))
        return made[-1]
    yield make
    for agent in made:
        agent.end()


def test_an_older_agent(well, fake):
    agent = fake("0.0.1")
    look = Doctor(well, uid=ALICE)
    assert look.has("agent", "warning", "version-mismatch") and "0.0.1" in look.one("agent")["text"]
    assert look.one("store")["result"] == "not_applicable" and "older" in look.one("store")["text"]
    assert look.status == 0
    assert agent.orders[-1]["full"] is True and "repair" not in agent.orders[-1]
    assert well.user("alice")["agent_version"] == "0.0.1"
    well.call("io.devtrust.Device.Repair", uid=ALICE)
    assert agent.orders[-1]["repair"] is True
    well.call("io.devtrust.Device.GetCertificates", uid=ALICE)
    assert "full" not in agent.orders[-1] and "repair" not in agent.orders[-1], "who asks for certificates asks for no more"


def test_a_newer_agent(well, fake):
    fake(well.status()["version"], checks=[
        {"id": "store-colour", "subject": "/home/alice/\x1b[31m", "result": "failure", "code": "store-too-blue", "detail": "very"},
        {"id": "store-colour", "subject": "", "result": "puzzled"}], actions=["painted", "swept"])
    look = Doctor(well, uid=ALICE)
    first, second = look.find("store-colour")
    assert (first["result"], first["code"], first["user"]) == ("failure", "store-too-blue", "alice")
    assert "\x1b" not in first["subject"] and "very" in first["text"]
    assert second["result"] == "warning" and second["code"] == "other"
    actions = well.call("io.devtrust.Device.Repair", uid=ALICE)["actions"]
    texts = [action["text"] for action in actions if action["id"] == "store"]
    assert "The agent says: painted" in texts and any("too many were removed" in text for text in texts)


@pytest.mark.parametrize("length", [62, 63, 64])
def test_an_action_is_cut_between_characters(well, fake, length):
    """A user's agent chooses its words, and root's repair is about everybody: half a character would spoil the whole answer."""
    fake(well.status()["version"], checks=[], actions=["x" * length + "é" * 9])
    actions = well.call("io.devtrust.Device.Repair")["actions"]
    said = next(action["text"] for action in actions if action["text"].startswith("The agent says: "))
    assert said.startswith("The agent says: " + "x" * 60) and said.endswith("…")
    assert well.ctl("repair").returncode in (0, 1)


def test_a_fuller_question_takes_the_place_of_an_open_one(well):
    """Certificates are asked for; before the answer a doctor asks for more: one answer serves both."""
    well.agents["alice"].stop()
    well.wait_user("alice", agent_attached=False)
    with varlink.Connection(well.socket, ALICE) as watch, varlink.Connection(well.socket, ALICE) as one, \
            varlink.Connection(well.socket, ALICE) as two:
        stream = watch.stream("io.devtrust.Agent.Watch", {"version": "1"})
        next(stream)
        one.send("io.devtrust.Device.GetCertificates")
        first = next(snapshot for snapshot in stream if "inspection" in snapshot)["inspection"]
        two.send("io.devtrust.Device.Diagnose")
        second = next(snapshot for snapshot in stream if snapshot.get("inspection", first)["id"] != first["id"])["inspection"]
        assert "full" not in first and second["full"] is True
        with pytest.raises(varlink.VarlinkError, match="StaleRequest"):
            well.call("io.devtrust.Agent.Inspected", {"id": first["id"], "certificates": [], "stores": []}, uid=ALICE)
        well.call("io.devtrust.Agent.Inspected", {"id": second["id"], "certificates": [], "stores": [], "checks": []}, uid=ALICE)
        assert one.answer()["parameters"] == {"certificates": [], "missing": []}
        assert any(check["id"] == "agent" and check["result"] != "failure" for check in two.answer()["parameters"]["checks"])


# ---- stores ----

def test_leaf_deleted(well):
    database = well.agents["alice"].database
    assert database.tool("-D", "-n", database.contents().ours[0]).returncode == 0
    look = doctor.wait(well, lambda look: look.has("store-certificate", "failure", "no-certificate"), "named", uid=ALICE)
    assert look.status == 1 and look.one("store-certificate")["subject"] == str(database.directory)
    heals(well)


def test_key_deleted(well):
    """The certificate alone, imported again without its key."""
    database = well.agents["alice"].database
    name = database.contents().ours[0]
    pem = database.tool("-L", "-n", name, "-a").stdout
    assert database.tool("-F", "-n", name).returncode == 0
    assert database.tool("-A", "-n", name, "-t", ",,", "-a", stdin=pem).returncode == 0
    assert len(database.contents().ours) == 1 and database.contents().keys == ()
    look = doctor.wait(well, lambda look: look.has("store-key", "failure", "store-key"), "named", uid=ALICE)
    assert look.status == 1 and "devtrustctl repair" in look.one("store-key")["remedy"]
    heals(well)


def test_a_second_certificate_of_ours(well):
    """An old certificate and key come back, as from a backup of the database."""
    database = well.agents["alice"].database
    backup = HOME / "old.p12"
    assert database.tool("-o", str(backup), "-n", database.contents().ours[0], "-W", "x", "-K", "", name="pk12util").returncode == 0
    old = well.user("alice")["serial"]
    assert well.ctl("renew", uid=ALICE).returncode == 0
    well.wait_user("alice", state="installed", serial=lambda serial: serial != old)
    waiting.until(lambda: old not in database.serials(), "superseded")
    assert database.tool("-i", str(backup), "-W", "x", "-K", "", name="pk12util").returncode == 0
    assert len(database.contents().ours) == 2
    look = doctor.wait(well, lambda look: look.has("store-single", "warning", "store-double"), "named", uid=ALICE)
    assert look.status == 0
    serial = well.user("alice")["serial"]
    actions = heals(well)
    assert [action["id"] for action in actions] == ["store"] and well.user("alice")["serial"] == serial, "what is well stays"


def test_master_password(well):
    database = well.agents["alice"].database
    (HOME / "new").write_text("secret\n", encoding="ascii")
    (HOME / "old").write_text("\n", encoding="ascii")
    for name in ("new", "old"):
        os.chown(HOME / name, ALICE, ALICE)
    done = database.tool("-W", "-f", str(HOME / "old"), "-@", str(HOME / "new"))
    assert done.returncode == 0, done.stderr + done.stdout
    look = doctor.wait(well, lambda look: look.has("store", "failure", "store-password"), "named", uid=ALICE)
    assert look.status == 1 and "master password" in look.one("store")["remedy"]
    before = database.files_hash()
    told = repair(well, uid=ALICE)
    assert ("store", "store-password") in told.failures() and database.files_hash() == before, "it is the user's"
    assert told.answer["actions"] == [], "no certificate is asked for that could not be stored"


def test_corrupt(well):
    database = well.agents["alice"].database
    path = database.directory / "key4.db"
    data = bytearray(path.read_bytes())
    data[:200] = b"this is no database any more".ljust(200, b"!")
    path.write_bytes(data)
    look = doctor.wait(well, lambda look: look.has("store", "failure", "store-corrupt"), "named", uid=ALICE)
    assert look.status == 1
    before = path.read_bytes()
    repair(well, uid=ALICE)
    assert path.read_bytes() == before, "never recreated over the user's"
    shutil.rmtree(database.directory)
    heals(well)


def test_read_only(well):
    database = well.agents["alice"].database
    for path in database.directory.iterdir():
        path.chmod(0o400)
    database.directory.chmod(0o500)
    look = doctor.wait(well, lambda look: look.has("store", "failure", "store-read-only"), "named", uid=ALICE)
    assert look.status == 1
    database.directory.chmod(0o700)
    for path in database.directory.iterdir():
        path.chmod(0o600)
    doctor.wait_well(well, uid=ALICE)


def test_open_to_others(well):
    database = well.agents["alice"].database
    database.directory.chmod(0o755)
    (database.directory / "key4.db").chmod(0o644)
    look = doctor.wait(well, lambda look: ("home-permissions", "home-permissions") in look.bad(), "named", uid=ALICE)
    assert any(check["subject"].endswith("key4.db") for check in look.find("home-permissions"))


def test_store_removed_and_repaired_by_root(well, world):
    world.server.kill()  # or the agent, who misses it by himself, might have filled it again before anybody looks
    shutil.rmtree(well.agents["alice"].database.directory)
    doctor.wait(well, lambda look: look.has("store", "failure", "store-missing"), "named", "--user", "alice")
    world.server.start()
    heals(well, "--user", "alice", uid=0)


def test_the_database_is_locked(well):
    """Another program writes for long: named, and nothing is taken for lost."""
    database = well.agents["alice"].database
    serial = well.user("alice")["serial"]
    lock = sqlite3.connect(database.directory / "key4.db", isolation_level=None)
    try:
        lock.execute("BEGIN EXCLUSIVE")
        look = doctor.wait(well, lambda look: look.has("store", "failure", "store-busy"), "named", uid=ALICE)
        assert look.status == 1
        assert not any("asked for" in action["text"] for action in repair(well, uid=ALICE).answer["actions"])
    finally:
        lock.rollback()
        lock.close()
    doctor.wait_well(well, uid=ALICE)
    assert well.user("alice")["serial"] == serial


# ---- report ----

def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def test_report_of_root(well):
    path = programs.RUN / "ticket.json"
    path.unlink(missing_ok=True)
    done = well.ctl("report", str(path))
    assert done.returncode == 0, done.stderr
    assert path.stat().st_mode & 0o777 == 0o600
    text = path.read_text(encoding="utf-8")
    for name in ("alice", "/home/", "PRIVATE", accounts.home("alice").name):
        assert name not in text, name
    report = json.loads(text)
    assert report["format"] == "devtrust-report" and report["version"] == 1 and report["as_root"] is True and report["missing"] == []
    assert report["versions"]["devtrustd"] == report["versions"]["devtrustctl"] == well.status()["version"]
    assert report["status"]["users"][0]["name"] == "user-1" and report["status"]["users"][0]["id"] == "person-1"
    assert {check.get("user") for check in report["doctor"]["checks"]} == {None, "user-1"}
    assert any(check.get("subject", "").startswith("~user-1/") for check in report["doctor"]["checks"])
    assert any(entry["text"] == "User moves on" for entry in report["log"]["entries"])
    assert report["connections"]["connections"] and report["statistics"]["methods"]
    assert report["replaced"]["users"] >= 1 and report["replaced"]["homes"] >= 1
    assert report["system"]["kernel"] and os.uname().nodename not in json.dumps(report["system"])
    for words in ("In it", "Replaced", "keys and tokens"):
        assert words in done.stdout, done.stdout
    again = well.ctl("report", str(path))
    assert again.returncode == 2 and "exists already" in again.stderr
    assert path.read_text(encoding="utf-8") == text
    path.unlink()
    output = well.ctl("report", "-")
    assert json.loads(output.stdout)["format"] == "devtrust-report" and "Replaced" in output.stderr


def test_report_of_a_user(well):
    path = HOME / "ticket.json"
    done = well.ctl("report", str(path), uid=ALICE)
    assert done.returncode == 0 and path.stat().st_uid == ALICE and path.stat().st_mode & 0o777 == 0o600
    report = read(path)
    assert "alice" not in path.read_text(encoding="utf-8")
    assert sorted((part["part"], part["why"]) for part in report["missing"]) == [
        ("connections", "not-permitted"), ("log", "not-permitted"), ("statistics", "not-permitted")]
    assert "not-permitted" in done.stdout
    assert {check.get("user") for check in report["doctor"]["checks"]} == {None, "user-1"}


def test_report_without_a_daemon(well):
    well.program.stop()
    path = programs.RUN / "ticket.json"
    path.unlink(missing_ok=True)
    assert well.ctl("report", str(path)).returncode == 0
    report = read(path)
    assert [check["code"] for check in report["doctor"]["checks"]] == ["daemon-unreachable"]
    assert {part["part"] for part in report["missing"]} == {"status", "log", "connections", "statistics"}
    path.unlink()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_report_that_is_interrupted(well, number):
    """While the daemon is asked: nothing is left that would stand in the way of the next one."""
    path = programs.RUN / "ticket.json"
    path.unlink(missing_ok=True)
    well.program.signal(signal.SIGSTOP)
    try:
        report = programs.Program("report", [programs.RUN / "bin/devtrustctl", "report", path, "--socket", well.socket]).start()
        waiting.until(path.exists, "it has begun", alive=report.check_alive)
        report.expected_end = True
        report.signal(number)
        assert report.process.wait(waiting.PATIENCE) == -number
        assert not path.exists()
    finally:
        well.program.signal(signal.SIGCONT)
    assert well.ctl("report", str(path)).returncode == 0 and read(path)["format"] == "devtrust-report"
    path.unlink()


def test_report_with_mail_addresses_for_names(world):
    """People at the server are often known by their addresses."""
    device = world.setup(device_settings=ROOM)
    world.server.cli("user", "add", "alice.smith@example.com")
    world.server.cli("assign", "alice.smith@example.com", device.uuid, "alice")
    device.agent("alice")
    device.wait_user("alice", state="installed")
    done = device.ctl("report", "-")
    assert done.returncode == 0
    assert "alice" not in done.stdout and "smith" not in done.stdout and "example.com" not in done.stdout
    report = json.loads(done.stdout)
    assert report["status"]["users"][0]["name"] == "user-1"
    names = {entry["fields"].get("USER_ID") for entry in report["log"]["entries"]} - {None}
    assert names == {report["status"]["users"][0]["id"]}, "the same is always the same"
