"""The push channel: at once, again after every kind of end, nothing lost."""
import signal

from harness import waiting


def test_a_change_is_there_at_once(world):
    """Switched on, installed: by the event, for the next poll is hours away. How soon, the benchmark measures."""
    device = world.setup("alice", on=False)
    device.wait_status(lambda status: status["push"]["connected"], "connected")
    device.wait_user("alice", agent_attached=True)
    world.server.distribution("on")
    device.wait_user("alice", state="installed")


def test_server_restarted(world):
    device = world.setup("alice", on=False)
    device.wait_status(lambda status: status["push"]["connected"], "connected")
    world.server.stop()
    device.wait_status(lambda status: not status["push"]["connected"] and status["push"]["code"] == "server-unreachable", "seen as away")
    assert device.status()["push"]["remedy"]
    world.server.start()
    device.wait_status(lambda status: status["push"]["connected"], "connected again")
    world.server.distribution("on")
    device.wait_user("alice", state="installed")


def test_changed_while_the_device_was_away(world):
    device = world.setup("alice")
    device.wait_user("alice", state="installed")
    device.stop()
    world.server.distribution("off")
    device.start()
    device.wait_gone("alice")
    assert device.agents["alice"].database.contents().keys == ()


def test_changed_while_the_server_was_restarting(world):
    device = world.setup("alice", on=False)
    world.server.kill()
    world.server.start()
    world.server.distribution("on")
    device.wait_user("alice", state="installed")


def test_a_stopped_server_is_noticed(make_world):
    """SIGSTOP: the connection stays up and silent; only the watchdog of 2.5 pings sees it."""
    world = make_world({"push": {"ping": "1s"}})
    device = world.setup("alice")
    device.wait_user("alice", state="installed")
    device.wait_status(lambda status: status["push"]["connected"], "connected")
    world.server.program.signal(signal.SIGSTOP)
    try:
        device.wait_status(lambda status: not status["push"]["connected"], "noticed")
    finally:
        world.server.program.signal(signal.SIGCONT)
    device.wait_status(lambda status: status["push"]["connected"], "connected again")
    assert device.user("alice")["state"] == "installed"


def test_pings_keep_the_stream(make_world):
    """For longer than the watchdog of 2.5 pings would let it live; neither side is so slow that it misses two of them."""
    world = make_world({"push": {"ping": "4s"}})
    device = world.setup()
    device.wait_status(lambda status: status["push"]["connected"], "connected")
    opened = device.program.mark()
    waiting.stays(lambda: not device.program.logged("push stream is closed", opened), 11, "connected through its pings")
    assert device.status()["push"]["connected"]


def test_state_poll_finds_what_no_event_told(make_world):
    """With the event stream swallowed on the way, the poll alone brings the change."""
    from harness.peer import Peer
    world = make_world()
    world.start_server()
    peer = Peer(world.server)
    try:
        device = world.add_device({"server": {"state_poll": "1s"}})
        peer.device = device
        peer.on("GET", "/v1/events", lambda exchange: (exchange.begin_stream(), exchange.hold()))
        device.start()
        device.enroll(world.server, peer.url)
        world.manage("alice", device)
        device.agent("alice")
        world.server.distribution("on")
        device.wait_user("alice", state="installed")
    finally:
        peer.stop()
