"""Server, daemon and agent killed with SIGKILL at ten moments each, while installing, renewing and removing.

A moment is the n-th system call that leaves a trace (write, fsync, rename, unlink, send …), spread evenly over what a clean run
makes. Whatever the moment: started again, all ends as it should, with one certificate and one key of ours, no orphan key, nothing left
over, and no good credential lost on the way.
"""
import time

import pytest
from harness import nss, programs, waiting
from harness.killer import Tracer

MOMENTS = 4 if programs.sanitized() else 10
ROOM = {"limits": {"requests_per_hour": 10000}}
_clean: dict[tuple[str, str], int] = {}


def victim(world, name):
    return {"server": world.server.program, "daemon": world.device.program, "agent": world.device.agents["alice"].program}[name]


def restart(world, name):
    {"server": world.server, "daemon": world.device, "agent": world.device.agents["alice"]}[name].start()


class Install:
    end = r"\bTO=installed\b"

    @staticmethod
    def prepare(world):
        device = world.setup("alice", on=False, device_settings=ROOM)
        device.wait_user("alice", agent_attached=True)
        device.wait_status(lambda status: status["push"]["connected"], "connected")

    @staticmethod
    def begin(world):
        world.server.try_cli("distribution", "on")

    @staticmethod
    def repeat(world):
        world.server.distribution("on")

    @staticmethod
    def wait(world):
        return world.device.wait_user("alice", state="installed")


class Renew(Install):
    @staticmethod
    def prepare(world):
        device = world.setup("alice", device_settings=ROOM)
        world.old = device.wait_user("alice", state="installed")["serial"]
        confirmed(world, world.old)

    @staticmethod
    def begin(world):
        world.device.ctl("renew", uid=1000)

    @staticmethod
    def repeat(world):
        user = world.device.wait_user("alice", agent_attached=True)
        if user["state"] == "installed" and user["serial"] == world.old:
            done = world.device.ctl("renew", uid=1000)
            assert done.returncode == 0, done.stderr

    @staticmethod
    def wait(world):
        return world.device.wait_user("alice", state="installed", serial=lambda serial: serial != world.old)


class Remove(Install):
    end = r"\bTO=absent\b"

    @staticmethod
    def prepare(world):
        device = world.setup("alice", device_settings=ROOM)
        world.old = device.wait_user("alice", state="installed")["serial"]

    @staticmethod
    def begin(world):
        world.server.try_cli("distribution", "off")

    @staticmethod
    def repeat(world):
        world.server.distribution("off")

    @staticmethod
    def wait(world):
        world.device.wait_gone("alice")


WAYS = {"install": Install, "renew": Renew, "remove": Remove}


def confirmed(world, serial):
    waiting.until(lambda: [entry["state"] for entry in world.server.certificates() if entry["serial"] == serial] == ["installed"],
                  "confirmed at the server")


def calls_of_a_clean_run(make_world, way, name):
    """How many moments there are, found once per kind."""
    if (way, name) not in _clean:
        world = make_world()
        WAYS[way].prepare(world)
        tracer = Tracer(victim(world, name))
        begin = time.monotonic()
        WAYS[way].begin(world)
        world.device.program.wait_log(WAYS[way].end, begin)  # asking for the status would make calls of its own
        _clean[way, name] = max(tracer.counts(), 2)
        tracer.detach()
        world.end()
    return _clean[way, name]


def nothing_left_over(world):
    for base in (world.device.state_dir, world.device.policy_dir, world.device.agents["alice"].record.parent):
        names = [path.name for path in base.rglob("*")] if base.exists() else []
        odd = [name for name in names if "tmp" in name or name.endswith((".new", "~")) or name.startswith("pending")]
        assert odd == [], (base, names)
    database = nss.Database("alice")
    contents = database.contents()
    assert all("orphan" not in key.label for key in contents.keys), contents
    return contents


@pytest.mark.parametrize("moment", range(MOMENTS))
@pytest.mark.parametrize("name", ["server", "daemon", "agent"])
@pytest.mark.parametrize("way", WAYS)
def test_killed(make_world, way, name, moment):
    calls = calls_of_a_clean_run(make_world, way, name)
    world = make_world()
    steps = WAYS[way]
    steps.prepare(world)
    program = victim(world, name)
    tracer = Tracer(program, kill_at=1 + moment * (calls - 1) // (MOMENTS - 1))
    begin = time.monotonic()
    steps.begin(world)
    # a run that needs fewer calls than the clean one did is over before its moment: then it is killed at rest
    waiting.until(lambda: not program.running() or world.device.program.logged(steps.end, begin), "the moment or the end")
    program.kill()
    tracer.detach()
    restart(world, name)
    steps.repeat(world)
    user = steps.wait(world)
    contents = waiting.until(lambda: (lambda found: found if len(found.keys) == (0 if way == "remove" else 1) else None)
                             (nss.Database("alice").contents()), "the database at rest")
    if way == "remove":
        assert contents.ours == [] and world.device.policy_files() == {}
    else:
        assert len(contents.ours) == 1 and nss.Database("alice").serials() == [user["serial"]]
        confirmed(world, user["serial"])
        waiting.until(lambda: [entry["serial"] for entry in world.server.certificates() if entry["kind"] == "user" and
                               entry["state"] in ("issued", "installed")] == [user["serial"]], "one good one at the server")
    nothing_left_over(world)


@pytest.mark.parametrize("name", ["server", "daemon", "agent"])
def test_killed_at_rest_changes_nothing(world, name):
    device = world.setup("alice")
    user = device.wait_user("alice", state="installed")
    confirmed(world, user["serial"])
    before = nss.Database("alice").contents()
    for _ in range(3):
        victim(world, name).kill()
        restart(world, name)
        device.wait_user("alice", state="installed", agent_attached=True)
    assert nss.Database("alice").contents() == before and device.user("alice")["serial"] == user["serial"]


def test_all_three_killed_at_once(world):
    device = world.setup("alice")
    user = device.wait_user("alice", state="installed")
    for name in ("server", "daemon", "agent"):
        victim(world, name).kill()
    for name in ("agent", "daemon", "server"):
        restart(world, name)
    device.wait_user("alice", state="installed", agent_attached=True, serial=user["serial"])
    device.wait_status(lambda status: status["push"]["connected"], "connected")
