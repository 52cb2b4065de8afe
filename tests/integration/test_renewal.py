"""Renewal by the agent's own wall-clock timer, seen with short lives."""
import pytest
from harness import accounts, est, varlink, waiting

ROOM = {"limits": {"requests_per_hour": 10000}}
SHORT = {"issue": {"user_lifetime": "30s", "renew_after": "4s", "superseded_grace": "0s"}}


def test_renewed_by_itself_before_it_expires(make_world):
    world = make_world(SHORT)
    device = world.setup("alice", device_settings=ROOM)
    seen = [device.wait_user("alice", state="installed")["serial"]]
    agent = device.agents["alice"]
    for _ in range(3):
        user = device.wait_user("alice", 20 + waiting.PATIENCE, state="installed", serial=lambda serial: serial not in seen)
        seen.append(user["serial"])
        assert user["not_after"] - user["renew_at"] > 0
    # it goes on being renewed
    waiting.until(lambda: agent.database.serials() == [device.user("alice")["serial"]] and len(agent.database.contents().keys) == 1,
                  "exactly one")
    waiting.until(lambda: [entry["serial"] for entry in world.server.certificates() if entry.get("kind") == "user" and
                           entry["state"] in ("issued", "installed")] == [device.user("alice")["serial"]], "one good one at the server")
    keys = {entry["serial"] for entry in world.server.certificates() if entry.get("kind") == "user"}
    assert len(keys) >= 4


def test_renewal_goes_on_when_the_server_was_away(make_world):
    world = make_world(SHORT)
    device = world.setup("alice", device_settings=ROOM)
    database = device.agents["alice"].database
    device.wait_user("alice", state="installed")
    world.server.stop()
    waiting.until(lambda: device.user("alice")["state"] in ("requested", "signing"), "due while the server is away", 20 + waiting.PATIENCE)
    old = device.user("alice")
    assert database.serials() == [old["serial"]]
    world.server.start()
    device.wait_user("alice", 60 + waiting.PATIENCE, state="installed", serial=lambda serial: serial != old["serial"])
    waiting.until(lambda: database.serials() == [device.user("alice")["serial"]], "exactly one")  # it goes on being renewed


def test_expired_while_away_is_renewed_like_any_other(make_world):
    world = make_world({"issue": {"user_lifetime": "6s", "renew_after": "4s"}})
    device = world.setup("alice", device_settings=ROOM)
    old = device.wait_user("alice", state="installed")
    agent = device.agents["alice"]
    agent.stop()
    est.wait_until(old["not_after"] + 1)
    assert len(agent.database.contents().ours) == 1, "expiry alone never deletes"
    agent.start()
    new = device.wait_user("alice", state="installed", serial=lambda serial: serial != old["serial"])
    waiting.until(lambda: device.user("alice")["serial"] in agent.database.serials(), "the new one is in")
    assert new["not_after"] > old["not_after"]


def test_an_agent_hears_of_an_end_that_only_the_server_could_put_off(make_world):
    """What it tells the person at the screen."""
    world = make_world({"issue": {"user_lifetime": "6s", "renew_after": "4s"}})
    device = world.setup("alice", device_settings=ROOM)
    user = device.wait_user("alice", state="installed")
    device.agents["alice"].stop()
    world.server.stop()
    device.wait_status(lambda status: not status["push"]["connected"], "the server is away")
    est.wait_until(user["not_after"])
    with varlink.Connection(device.socket, accounts.uid_of("alice")) as agent:
        snapshots = agent.stream("io.devtrust.Agent.Watch", {"version": "test"})
        expiry = waiting.until(lambda: next(snapshots).get("expiry"), "the end")
        assert expiry["not_after"] == user["not_after"] and 0 < expiry["unreachable_since"] <= user["not_after"] + waiting.PATIENCE, expiry
        world.server.start()
        waiting.until(lambda: "expiry" not in next(snapshots), "the server is back")


def test_limit_of_requests_per_hour(make_world):
    world = make_world()
    device = world.setup("alice", device_settings={"limits": {"requests_per_hour": 3}})
    device.wait_user("alice", state="installed")
    codes = [device.ctl("renew", uid=1000).returncode for _ in range(2)]
    serials = {entry["serial"] for entry in world.server.certificates() if entry.get("kind") == "user"}
    for _ in range(6):
        device.ctl("renew", uid=1000)
        device.wait_user("alice", state=lambda state: state in ("installed", "waiting"))
    issued = [entry for entry in world.server.certificates() if entry.get("kind") == "user"]
    assert len(issued) <= 3, (codes, serials)
    # the count survives a restart
    device.stop()
    device.start()
    device.wait_user("alice", agent_attached=True)
    done = device.ctl("renew", uid=1000)
    assert done.returncode != 0 and "Too many requests" in done.stderr, done
    assert len(device.agents["alice"].database.contents().ours) == 1


@pytest.mark.parametrize("key_type, mark", [("p384", "secp384r1"), ("rsa2048", "2048 bit")])
def test_another_key_type_is_ordered(make_world, key_type, mark):
    from harness import certs
    world = make_world()
    device = world.setup("alice", device_settings=ROOM)
    old = device.wait_user("alice", state="installed")["serial"]
    world.server.sections["issue"] = {"key_type": key_type}
    world.server.write_config()
    world.server.stop()
    world.server.start()
    device.wait_user("alice", state="installed", serial=lambda serial: serial != old)
    agent = device.agents["alice"]
    waiting.until(lambda: len(agent.database.contents().ours) == 1, "one")
    leaf = agent.database.certificate(agent.database.contents().ours[0])
    assert mark in certs.openssl("x509", "-inform", "DER", "-noout", "-text", stdin=leaf).decode()
