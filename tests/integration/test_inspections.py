"""Full inspections: what an agent says of stores, browsers and home, and what devtrustd takes of it."""
import fcntl
import json
import os
import shutil
import struct

import pytest
from harness import accounts, nss, programs, varlink, waiting
from harness.fake_daemon import FakeDaemon

HOME = accounts.home("alice")
AGENT = "io.devtrust.Agent."


def check(**fields):
    return {"id": "store", "subject": "/home/alice/.pki/nssdb", "result": "ok", **fields}


@pytest.mark.parametrize("extra, outcome", [
    ({}, "StaleRequest"),
    ({"checks": [], "actions": []}, "StaleRequest"),
    ({"checks": [check()] * 64, "actions": ["swept"] * 16}, "StaleRequest"),
    ({"checks": [check(code="store-busy", detail="ä" * 128), check(result="of the future"), check(id="of-the-future")]}, "StaleRequest"),
    ({"checks": [check()] * 65}, "checks"),
    ({"checks": [check(detail="x" * 257)]}, "checks"),
    ({"checks": [check(code="x" * 33)]}, "checks"),
    ({"checks": [check(code="no code")]}, "checks"),
    ({"checks": [check(subject=7)]}, "checks"),
    ({"checks": [check(id="")]}, "checks"),
    ({"checks": ["store"]}, "checks"),
    ({"checks": {}}, "checks"),
    ({"actions": [7]}, "actions"),
    ({"actions": ["swept"] * 17}, "actions"),
])
def test_what_devtrustd_takes(world, extra, outcome):
    """Nobody has asked: what is well formed is stale, what is not is named."""
    world.start_server()
    device = world.add_device().start()
    with pytest.raises(varlink.VarlinkError) as error:
        varlink.call(device.socket, AGENT + "Inspected", {"id": "x", "certificates": [], "stores": [], **extra}, uid=1000)
    if outcome == "StaleRequest":
        assert error.value.name == AGENT + outcome
    else:
        assert error.value.name == "org.varlink.service.InvalidParameter" and error.value.parameters == {"parameter": outcome}


@pytest.fixture
def asked(world):
    """Alice has a certificate; then a daemon that asks more takes the real one's place."""
    device = world.setup("alice")
    device.wait_user("alice", state="installed")
    agent = device.agents["alice"]
    waiting.until(lambda: "intent" not in json.loads(agent.record.read_text(encoding="utf-8")), "the agent's last write")
    with varlink.Connection(device.socket, uid=1000) as connection:
        snapshot = next(connection.stream(AGENT + "Watch", {"version": "0"}))
    # the one that looked has taken the agent's place, and so ended it
    waiting.until(lambda: not agent.program.running(), "the agent's end")
    device.program.stop()
    with FakeDaemon(device.socket, {key: snapshot[key] for key in ("mode", "settings")}) as daemon:
        agent.start()
        daemon.inspect("settled")  # what the other one was ended at is finished by then
        daemon.heard.clear()
        yield daemon


def results(answer):
    """(id, last parts of the subject) → (result, code)."""
    return {(entry["id"], entry["subject"].removeprefix(f"{HOME}/")): (entry["result"], entry.get("code")) for entry in answer["checks"]}


def test_well(asked):
    answer = asked.inspect("look")
    found = results(answer)
    database = ".local/share/pki/nssdb"
    for name in ("store", "store-certificate", "store-key", "store-single", "store-expiry"):
        assert found[name, database] == ("ok", None), (name, answer)
    assert found["browser-store", "chromium"] == ("ok", None)
    assert found["home-disk", str(HOME)] == ("ok", None) and found["home-permissions", str(HOME)] == ("ok", None)
    assert found["agent-record", ".local/state/devtrust/agent.json"] == ("ok", None)
    assert not any(entry["result"] in ("warning", "failure") for entry in answer["checks"]), answer
    assert len(answer["certificates"]) == 1 and "actions" not in answer
    assert not any(name == "Renew" for name, _ in asked.heard)


def test_a_place_that_comes_later_hides_the_certificate(asked):
    """Only the old place is known to an old browser, which makes it; from then on new ones read there too."""
    nss.Database("alice", HOME / ".pki/nssdb").create()
    found = results(asked.inspect("look"))
    assert found["browser-store", "chromium"] == ("failure", "store-hidden")
    assert found["store-certificate", ".pki/nssdb"] == ("failure", "no-certificate")
    assert found["store-certificate", ".local/share/pki/nssdb"] == ("ok", None)
    answer = asked.inspect("repair", repair=True)
    assert "renewal-store_added" in answer["actions"]
    asked.wait_heard("Renew", reason="store_added")


def test_repair_brings_the_record_back(asked):
    record = HOME / ".local/state/devtrust/agent.json"
    before = json.loads(record.read_text(encoding="utf-8"))
    record.unlink()
    assert results(asked.inspect("look"))["agent-record", ".local/state/devtrust/agent.json"] == ("failure", "record-missing")
    answer = asked.inspect("repair", repair=True)
    assert answer["actions"] == ["record-written"]
    assert json.loads(record.read_text(encoding="utf-8"))["current"] == before["current"]
    assert results(answer)["agent-record", ".local/state/devtrust/agent.json"] == ("ok", None)


def test_lost_store(asked):
    shutil.rmtree(HOME / ".local/share/pki")
    found = results(asked.inspect("look"))
    assert found["store", ".local/share/pki/nssdb"] == ("failure", "store-missing")
    assert found["store-key", ".local/share/pki/nssdb"] == ("not_applicable", "store-missing")
    answer = asked.inspect("repair", repair=True)
    assert answer["actions"] == ["renewal-lost"]
    asked.wait_heard("Renew", reason="lost")


def test_locked_store(asked):
    """Another program holds SQLite's locks: named, and never taken for a loss."""
    path = HOME / ".local/share/pki/nssdb/key4.db"
    descriptor = os.open(path, os.O_RDWR)
    lock = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, 0x40000000, 512, 0)
    fcntl.fcntl(descriptor, fcntl.F_SETLKW, lock)
    try:
        answer = asked.inspect("repair", repair=True)
        assert results(answer)["store", ".local/share/pki/nssdb"] == ("failure", "store-busy")
        assert "actions" not in answer
    finally:
        os.close(descriptor)
    answer = asked.inspect("look")
    assert results(answer)["store-key", ".local/share/pki/nssdb"] == ("ok", None)
    assert not any(name == "Renew" for name, _ in asked.heard)


def test_sandboxed_browsers(asked):
    """Prepared homes: the browsers themselves are not to be had here."""
    for path in ("snap/chromium/current/.local/share/pki/nssdb", "snap/firefox/common/.mozilla/firefox", ".config/BraveSoftware/Brave-Browser",
                 ".var/app/org.chromium.Chromium/data", ".var/app/com.brave.Browser/.pki"):
        programs.run(["mkdir", "-p", "-m", "0700", str(HOME / path)], uid=1000)
    found = results(asked.inspect("look"))
    assert found["browser-store", "brave"] == ("ok", None), "reads the user's shared database"
    assert found["browser-store", "chromium-snap"] == ("warning", "no-certificate"), "a database of its own, without a certificate"
    assert found["browser-store", "firefox-snap"] == ("not_applicable", None), "no profile yet"
    assert found["browser-store", "chromium-flatpak"] == ("warning", "no-certificate"), "makes its own when it is started"
    assert found["browser-store", "brave-flatpak"] == ("warning", "no-certificate"), "does not read the user's shared database"
    assert ("browser-store", "opera-snap") not in found


# ---- through the real daemon ----

DEVICE = "io.devtrust.Device."


def diagnose(device, uid=1000):
    answer = varlink.call(device.socket, DEVICE + "Diagnose", {} if uid else {"user": "alice"}, uid=uid)
    return {(entry["id"], entry.get("subject")): entry for entry in answer["checks"] if entry.get("user") == "alice"}


def test_diagnose_shows_what_the_agent_says(world):
    device = world.setup("alice")
    device.wait_user("alice", state="installed")
    database = str(HOME / ".local/share/pki/nssdb")
    for uid in (1000, 0):
        found = diagnose(device, uid)
        for name in ("store", "store-certificate", "store-key", "store-single", "store-expiry"):
            assert found[name, database]["result"] == "ok", found
        assert found["browser-store", "Chromium"]["result"] == "ok", found


def test_repair_brings_a_lost_store_back(world):
    device = world.setup("alice")
    serial = device.wait_user("alice", state="installed")["serial"]
    database = nss.Database("alice")
    shutil.rmtree(database.directory)
    found = diagnose(device)
    quicker = device.agents["alice"].program.logged("A new certificate is asked for.*lost")  # it misses the store by itself in three seconds
    assert quicker or found["store", str(database.directory)]["code"] == "store-missing"
    actions = varlink.call(device.socket, DEVICE + "Repair", {}, uid=1000)["actions"]
    assert quicker or any(action["id"] == "store" and "asked for" in action["text"] for action in actions), actions
    device.wait_user("alice", state="installed", serial=lambda new: new and new != serial)
    contents = database.contents()
    assert len(contents.ours) == 1 and len(contents.keys) == 1
    assert diagnose(device)["store-key", str(database.directory)]["result"] == "ok"
