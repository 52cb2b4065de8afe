"""Server, daemon and agent killed with SIGKILL while nothing is going on. In the midst of it: tests/faults/."""
import signal

import pytest
from harness import nss, waiting


def victim(world, name):
    return {"server": world.server, "daemon": world.device, "agent": world.device.agents["alice"]}[name]


def confirmed(world, serial):
    waiting.until(lambda: [entry["state"] for entry in world.server.certificates() if entry["serial"] == serial] == ["installed"],
                  "confirmed at the server")


@pytest.mark.parametrize("name", ["server", "daemon", "agent"])
def test_killed_at_rest_changes_nothing(world, name):
    device = world.setup("alice")
    user = device.wait_user("alice", state="installed")
    confirmed(world, user["serial"])
    before = nss.Database("alice").contents()
    for _ in range(3):
        victim(world, name).kill()
        victim(world, name).start()
        device.wait_user("alice", state="installed", agent_attached=True)
    assert nss.Database("alice").contents() == before and device.user("alice")["serial"] == user["serial"]


def test_all_three_killed_at_once(world):
    device = world.setup("alice")
    user = device.wait_user("alice", state="installed")
    for name in ("server", "daemon", "agent"):
        victim(world, name).kill()
    for name in ("agent", "daemon", "server"):
        victim(world, name).start()
    device.wait_user("alice", state="installed", agent_attached=True, serial=user["serial"])
    device.wait_status(lambda status: status["push"]["connected"], "connected")


@pytest.mark.parametrize("name", ["server", "daemon", "agent"])
def test_two_signals_at_once_end_it(world, name):
    """As from a terminal that is closed while the service manager stops the unit: both are there before the program looks."""
    device = world.setup("alice")
    device.wait_user("alice", state="installed")
    program = victim(world, name).program
    program.expected_end = True
    for number in (signal.SIGSTOP, signal.SIGTERM, signal.SIGINT, signal.SIGCONT):
        program.signal(number)
    try:
        assert program.process.wait(waiting.PATIENCE) == 0
    finally:
        program.kill()
