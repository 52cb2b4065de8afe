"""Orders that a device never saw: given and taken back while it was away, or too fast to be fetched."""
from harness import waiting

ROOM = {"limits": {"requests_per_hour": 10000}}


def good_serials(world):
    return [entry["serial"] for entry in world.server.certificates()
            if entry.get("kind") == "user" and entry["state"] in ("issued", "installed", "superseded")]


def wait_good(world, device, name):
    """The user's installed certificate is one that the server takes."""
    def good():
        user = device.user(name)
        return user if user and user["state"] == "installed" and user["serial"] in good_serials(world) else None
    return waiting.until(good, f"{name} has a good certificate")


def expect_one(device, name):
    agent = device.agents[name]
    waiting.until(lambda: agent.database.serials() == [device.user(name)["serial"]], "exactly one certificate")
    assert len(agent.database.contents().keys) == 1


def test_off_and_on_while_the_device_was_away(make_world):
    world = make_world()
    device = world.setup("alice", device_settings=ROOM)
    old = device.wait_user("alice", state="installed")["serial"]
    device.stop()
    world.server.distribution("off")
    world.server.distribution("on")
    assert old not in good_serials(world)
    device.start()
    wait_good(world, device, "alice")
    expect_one(device, "alice")


def test_off_and_on_in_one_breath(make_world):
    world = make_world()
    device = world.setup("alice", device_settings=ROOM)
    device.wait_user("alice", state="installed")
    for _ in range(8):
        world.server.distribution("off")
        world.server.distribution("on")
        wait_good(world, device, "alice")
    expect_one(device, "alice")


def test_unassigned_and_assigned_while_the_device_was_away(make_world):
    world = make_world()
    device = world.setup("alice", device_settings=ROOM)
    device.wait_user("alice", state="installed")
    uuid = device.uuid
    device.stop()
    world.server.cli("unassign", "u-alice", uuid)
    world.server.cli("assign", "u-alice", uuid, "alice")
    device.start()
    wait_good(world, device, "alice")
    expect_one(device, "alice")
