"""Several users on one device, and the same name on another."""
import pytest
from harness import accounts, est, nss, varlink, waiting


def test_two_managed_one_not(world):
    device = world.setup("alice", "bob", on=False)
    device.agent("carol")
    world.server.distribution("on")
    serials = {name: device.wait_user(name, state="installed")["serial"] for name in ("alice", "bob")}
    assert serials["alice"] != serials["bob"]
    for name, serial in serials.items():
        assert nss.Database(name).serials() == [serial]
        assert len(nss.Database(name).contents().keys) == 1
    assert not (nss.Database("carol").directory / "cert9.db").exists(), "nothing is made for an unmanaged user"
    users = [entry for entry in world.server.certificates() if entry.get("user") not in (None, "")]
    assert sorted(entry["user"] for entry in users) == ["u-alice", "u-bob"], "one request each, none for the other"

    for name, serial in serials.items():
        own = device.status(uid=accounts.uid_of(name))["users"]
        assert [(user["name"], user["serial"]) for user in own] == [(name, serial)], "each sees only its own"
    assert device.status(uid=accounts.uid_of("carol"))["users"] == []
    assert sorted(user["name"] for user in device.status()["users"]) == ["alice", "bob"]


def test_a_user_cannot_ask_for_another(world):
    device = world.setup("alice", "bob")
    for name in ("alice", "bob"):
        device.wait_user(name, state="installed")
    alice = accounts.uid_of("alice")
    for method, parameters in (("GetCertificates", {"user": "bob"}), ("GetCertificates", {"all": True}), ("Renew", {"user": "bob"}),
                               ("Remove", {"user": "bob"}), ("Remove", {}),
                               ("Enroll", {"url": "https://localhost:1", "token": "a.b"})):
        with pytest.raises(varlink.VarlinkError) as error:
            device.call(f"io.devtrust.Device.{method}", parameters, uid=alice)
        assert "PermissionDenied" in error.value.name or error.value.parameters.get("code") == "not-permitted", (method, error.value)
    for method in ("ListConnections", "GetUserMachine"):
        with pytest.raises(varlink.VarlinkError, match="PermissionDenied"):
            device.call(f"io.devtrust.Debug.{method}", {"user": "bob"} if method == "GetUserMachine" else None, uid=alice)


def test_unmanaged_user_gets_not_managed(world):
    device = world.setup("alice")
    device.wait_user("alice", state="installed")
    carol = accounts.uid_of("carol")
    for method, parameters in (("Submit", {"request_id": "x", "csr": "AAAA"}), ("Renew", {"reason": "user"}),
                               ("Report", {"outcome": "installed", "stores": []})):
        with pytest.raises(varlink.VarlinkError) as error:
            device.call(f"io.devtrust.Agent.{method}", parameters, uid=carol)
        assert "NotManaged" in error.value.name or "PermissionDenied" in error.value.name, error.value


def test_the_same_name_on_another_device_gets_nothing(world):
    """Alice is assigned on the first device. The second has an account alice too, and nobody assigned."""
    first = world.setup("alice", on=False)
    second = world.add_device().start()
    second.enroll(world.server)
    first.agents["alice"].stop()
    stranger = second.agent("alice")
    world.server.distribution("on")
    first.wait_status(lambda status: status["users"] and status["desired"]["distribution"] == "on", "the first device knows")
    second.wait_status(lambda status: status["desired"]["distribution"] == "on", "the second device knows")
    assert second.status()["users"] == []
    assert second.policy_files() == {}
    assert stranger.program.running()
    assert not (stranger.database.directory / "cert9.db").exists()
    # and the server does not sign for her there, whatever the device says
    raw = est.RawDevice(world.server).enroll()
    key = est.certs.key(raw.folder / "k")
    reply = raw.sign(est.certs.request(key, f"/UID=u-alice/serialNumber={raw.uuid}"))
    assert (reply.status, reply.code) == (403, "not-managed")


@pytest.mark.parametrize("name, code", [("root", "user-refused"), ("nobody", "user-refused"), ("daemon", "user-refused"),
                                        ("nosuchuser", "user-unknown")])
def test_accounts_that_are_never_served(world, name, code):
    device = world.setup()
    world.server.cli("user", "add", "u1")
    world.server.cli("assign", "u1", device.uuid, name)
    device.wait_user(name, code=code)
    assert device.user(name)["remedy"]


def test_an_account_that_changes_its_uid_stops(world):
    accounts.add("dave", 2001)
    try:
        device = world.setup("dave")
        device.wait_user("dave", state="installed")
        device.agents["dave"].stop()
        accounts.remove("dave")
        accounts.add("dave", 2002)
        device.stop()
        device.start()
        device.wait_user("dave", code="user-changed")
    finally:
        accounts.remove("dave")


def test_an_account_that_appears_later_is_served(world):
    device = world.setup()
    world.server.cli("user", "add", "u1")
    world.server.cli("assign", "u1", device.uuid, "erin")
    device.wait_user("erin", code="user-unknown")
    accounts.add("erin", 2003)
    try:
        device.agent("erin")
        device.wait_user("erin", state="installed")
    finally:
        device.agents["erin"].kill()
        accounts.remove("erin")


def test_newer_agent_replaces_the_older(world):
    """One agent per user: a second one does not start while the first runs; on a second Watch the first hears Replaced."""
    device = world.setup("alice")
    device.wait_user("alice", state="installed")
    alice = accounts.uid_of("alice")
    with varlink.Connection(device.socket, alice) as older, varlink.Connection(device.socket, alice) as newer:
        first = older.stream("io.devtrust.Agent.Watch", {"version": "test"})
        next(first)
        second = newer.stream("io.devtrust.Agent.Watch", {"version": "test"})
        next(second)
        with pytest.raises(varlink.VarlinkError, match="Replaced"):
            waiting.until(lambda: next(first) and False, "Replaced")


def test_second_agent_of_a_user_does_not_start(world):
    from harness.world import Agent
    device = world.setup("alice")
    device.wait_user("alice", state="installed")
    second = Agent(device, "alice")
    second.program.start()
    second.program.expected_end = True
    second.program.process.wait(waiting.PATIENCE)
    assert device.user("alice")["agent_attached"]
