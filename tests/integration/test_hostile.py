"""Local users who mean harm: each limit is met, seen in the log and in the statistics, and nobody else notices."""
import contextlib
import itertools
import os
import pathlib
import re
import socket

import pytest

from harness import hostile, programs, varlink, waiting

HOSTILE = 2001  # and on: uids without an account, for who somebody is needs none
INFO, DESCRIPTION = "org.varlink.service.GetInfo", "org.varlink.service.GetInterfaceDescription"
ROOM = {"limits": {"requests_per_hour": 1000}}


@pytest.fixture
def device(world):
    """A daemon without a server."""
    return world.add_device().start()


def quota(device, uid):
    quotas = device.call("io.devtrust.Debug.ListConnections")["quotas"]
    return next((one for one in quotas if one["uid"] == uid), None)


def limits(device):
    return device.call("io.devtrust.Debug.ListConnections")["limits"]


def descriptors(device):
    return len(os.listdir(f"/proc/{device.program.pid}/fd"))


def ended(connection):
    """The daemon has closed it; what it sent before is passed over."""
    try:
        while connection.socket.recv(1 << 20):
            pass
    except ConnectionResetError:
        pass
    return True


# ---- limits, one by one ----

def test_past_his_rate_a_user_waits_and_loses_nothing(device):
    burst = limits(device)["messages_burst"]
    numbers = itertools.count()
    with varlink.Connection(device.socket, HOSTILE) as greedy, varlink.Connection(device.socket, HOSTILE + 1) as honest:
        def delayed():
            """Faster than the rate, however fast that is here."""
            names = [f"a.n{next(numbers)}" for _ in range(burst)]
            greedy.send_raw(b"".join(hostile.message(DESCRIPTION, interface=name) for name in names))
            assert [greedy.receive()["parameters"]["interface"] for _ in names] == names
            return quota(device, HOSTILE)["delayed"] > 0
        waiting.until(delayed, "he has to wait")
        honest.call(INFO)
        used = quota(device, HOSTILE)
        assert used["refused"] == 0 and used["messages_left"] < burst
        assert quota(device, HOSTILE + 1)["delayed"] == 0
        assert quota(device, 0)["delayed"] == 0


def test_too_many_connections(device):
    allowed = limits(device)["connections"]
    with contextlib.ExitStack() as stack:
        taken = [stack.enter_context(varlink.Connection(device.socket, HOSTILE)) for _ in range(allowed)]
        for one in taken:
            one.call(INFO)
        more = stack.enter_context(varlink.Connection(device.socket, HOSTILE))
        assert ended(more)
        assert quota(device, HOSTILE)["connections"] == allowed and quota(device, HOSTILE)["refused"] == 1
        device.program.wait_log(r"too many connections open; a new one was refused.*PEER_UID=2001")
        varlink.call(device.socket, INFO, uid=HOSTILE + 1)
        taken.pop().close()
        waiting.until(lambda: quota(device, HOSTILE)["connections"] == allowed - 1, "one is free again")
        varlink.call(device.socket, INFO, uid=HOSTILE)


def test_who_connects_too_often_is_refused(device):
    def some_at_once():
        """Faster than the rate, however fast that is here."""
        with contextlib.ExitStack() as stack:
            connections = [stack.enter_context(varlink.Connection(device.socket, HOSTILE)) for _ in range(10)]
            for one in connections:
                one.send(INFO)
            for one in connections:
                one.answer()
    with pytest.raises((varlink.Disconnected, ConnectionError)):
        for _ in range(500):
            some_at_once()
    device.program.wait_log(r"connects too often; a connection was refused.*PEER_UID=2001")
    waiting.until(lambda: quota(device, HOSTILE)["connections"] == 0, "those that he had are closed")
    assert 1 <= quota(device, HOSTILE)["refused"] <= 10
    device.status(uid=HOSTILE + 1)
    waiting.until(lambda: varlink.call(device.socket, INFO, uid=HOSTILE), "after a while he may connect again")


def test_who_never_reads_is_cut_off(device):
    with varlink.Connection(device.socket, HOSTILE) as deaf:
        with contextlib.suppress(OSError):
            for _ in range(2000):
                deaf.send("org.varlink.service.GetInterfaceDescription", {"interface": "io.devtrust.Device"})
        device.program.wait_log(r"it does not read its answers.*PEER_UID=2001")
        assert quota(device, HOSTILE)["refused"] == 1 and quota(device, HOSTILE)["bytes"] == 0
        assert ended(deaf)


def test_one_who_reads_on_none_of_many_connections(device):
    """Each of them is far from the limit of one connection."""
    allowed = limits(device)["bytes"]
    with contextlib.ExitStack() as stack:
        deaf = [stack.enter_context(varlink.Connection(device.socket, HOSTILE, timeout=0.2)) for _ in range(16)]
        for round_ in range(4000):
            one = deaf[round_ % len(deaf)]
            with contextlib.suppress(OSError):
                one.send("org.varlink.service.GetInterfaceDescription", {"interface": "io.devtrust.Device"})
            if round_ % 100 == 0 and device.program.logged(r"too many bytes in flight.*PEER_UID=2001"):
                break
        device.program.wait_log(r"too many bytes in flight.*PEER_UID=2001")
        assert quota(device, HOSTILE)["bytes"] <= allowed
        assert quota(device, HOSTILE)["connections"] > 0, "the others stay"


@pytest.mark.parametrize("sent, text", [
    (b"nonsense\0", "what it sent is no JSON object"), (b"\0", "what it sent is no JSON object"), (os.urandom(500) + b"\0", "cut off"),
    (b'{"a":' * 1000 + b"\0", "what it sent is no JSON object"), (b"[" * 60000 + b"\0", "what it sent is no JSON object"),
    (b"x" * 70000 + b"\0", "its message is too large"), (b"x" * 90000, "its message is too large"),
    (b'{"method":"a.B","parameters":' + b'{"a":' * 15 + b"{}" + b"}" * 16 + b"\0", "what it sent is no JSON object")])
def test_what_is_no_call_ends_the_connection(device, sent, text):
    with varlink.Connection(device.socket, HOSTILE) as wrong:
        with contextlib.suppress(OSError):
            wrong.send_raw(sent)
        assert ended(wrong)
    device.program.wait_log(rf"{text}.*PEER_UID=2001")
    assert quota(device, HOSTILE)["refused"] == 1
    varlink.call(device.socket, INFO, uid=HOSTILE)


def test_who_begins_and_does_not_go_on(device):
    """A byte now and then, and not even one: both are cut off, and a peer that only waits for its answer is not."""
    with varlink.Connection(device.socket, HOSTILE) as slow, varlink.Connection(device.socket, HOSTILE) as silent, \
            varlink.Connection(device.socket, HOSTILE + 1) as good:
        slow.socket.settimeout(0.1)
        good.call(INFO)

        def cut_off():
            try:
                slow.send_raw(b" ")
                return slow.socket.recv(1) == b""
            except socket.timeout:
                return False
            except OSError:
                return True

        waiting.until(cut_off, "the slow one is cut off")
        assert ended(silent)
        assert quota(device, HOSTILE)["refused"] == 2
        good.call(INFO)
    assert len(re.findall(r"did not send or finish a message in time", device.program.log())) == 2


def test_agents_that_replace_each_other_do_not_fill_the_log(device):
    """Anybody may watch, and be replaced, as often as he likes."""
    with varlink.Connection(device.socket, HOSTILE) as first, varlink.Connection(device.socket, HOSTILE) as second:
        for number in range(60):
            one = (first, second)[number % 2]
            if number > 1:
                assert one.receive()["error"] == "io.devtrust.Agent.Replaced"
            one.send("io.devtrust.Agent.Watch", {"version": "1"}, more=True)
            assert one.receive()["parameters"]["mode"] == "idle"
    assert 10 <= device.program.log().count("replaces an older one") <= 20, "ten a minute"


def test_descriptors_are_refused(device):
    varlink.call(device.socket, INFO, uid=HOSTILE)
    before = descriptors(device)
    reading, writing = os.pipe()
    for count in (1, 253):
        with varlink.Connection(device.socket, HOSTILE) as passing:
            with contextlib.suppress(OSError):
                socket.send_fds(passing.socket, [hostile.INFO], [writing] * count)
                socket.send_fds(passing.socket, [hostile.INFO], [writing] * count)
            assert ended(passing)
    os.close(writing)
    assert os.read(reading, 1) == b"", "nobody holds the other end"
    os.close(reading)
    device.program.wait_log(r"it sent a file descriptor, and none is ever taken.*PEER_UID=2001")
    waiting.until(lambda: descriptors(device) <= before, "no descriptor is left behind")


# ---- all of them at once ----

def resident_kib(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii"))[1])


def all_met_their_limits(device, uids):
    quotas = device.call("io.devtrust.Debug.ListConnections")["quotas"]
    return uids <= {one["uid"] for one in quotas if one["refused"] + one["delayed"] > 0}


@pytest.mark.parametrize("kinds", [list(hostile.KINDS), ["flood"] * 8, ["heavy"] * 8, ["patient"] * 8, ["calling_storm"] * 8],
                         ids=["mixed", "flood", "heavy", "patient", "storm"])
def test_eight_of_them_and_an_honest_agent(make_world, kinds):
    world = make_world()
    device = world.setup(device_settings=ROOM)
    world.manage("alice", device)
    before = descriptors(device)
    crowd = [(kind, HOSTILE + number) for number, kind in enumerate(kinds)]
    with hostile.crowd(device.socket, crowd):
        waiting.until(lambda: all_met_their_limits(device, {uid for _, uid in crowd}), "all of them meet their limits")
        agent = device.agent("alice")
        first = device.wait_user("alice", state="installed")["serial"]
        own = device.status(uid=1000)
        assert [user["name"] for user in own["users"]] == ["alice"]
        assert device.ctl("renew", uid=1000).returncode == 0
        waiting.until(lambda: (device.user("alice") or {}).get("serial") not in (None, first), "renewed")
        device.wait_user("alice", state="installed")
        assert agent.program.running() and device.program.running()
        for uid in [1000] + [uid for _, uid in crowd]:
            used = quota(device, uid)
            allowed = limits(device)
            assert used["connections"] <= allowed["connections"] and used["bytes"] <= allowed["bytes"], used
        assert quota(device, 1000)["refused"] == 0 and quota(device, 1000)["delayed"] == 0
        assert descriptors(device) < before + (len(crowd) + 1) * 16 + 32
        assert programs.sanitized() or resident_kib(device.program.pid) < 100 * 1024
    waiting.until(lambda: descriptors(device) < before + 16, "what they had open is closed")
    assert len(re.findall("^<[0-6]>", device.program.log(), re.M)) < 100, "the log is not flooded"
