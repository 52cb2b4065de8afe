"""What bench.py measures of an honest user's calls while others flood the daemon: they on one processor, daemon and caller on the other."""
import contextlib
import os
import time
from typing import Any

from harness import hostile, varlink, world

CALLS = 500    # per round
GAP_S = 0.006  # below the rate at which he would wait for himself
HONEST = 1000
FIRST = 2001   # of the hostile uids, which need no account

CROWDS = {"hostile": list(hostile.KINDS), "doctors": ["patient"] * 8}

NAMES = {
    "quiet_p50_us": "GetInfo of an ordinary user, sent → answered, nobody else about: the median of a round",
    "quiet_p99_us": "the same: 99 of 100 are answered within",
    "hostile_p50_us": f"the same while {len(hostile.KINDS)} other users do what hostile.py can think of, one each: the median of a round",
    "hostile_p99_us": "the same: 99 of 100 are answered within",
    "doctors_p50_us": "the same while 8 other users ask for what is the most work, diagnoses: the median of a round",
    "doctors_p99_us": "the same: 99 of 100 are answered within",
}


def percentiles(connection: varlink.Connection) -> tuple[float, float]:
    samples = []
    for _ in range(CALLS):
        begin = time.perf_counter()
        connection.call("org.varlink.service.GetInfo")
        samples.append((time.perf_counter() - begin) * 1e6)
        time.sleep(GAP_S)
    samples.sort()
    return samples[CALLS // 2], samples[CALLS * 99 // 100]


def met_limits(connection: varlink.Connection) -> dict[int, int]:
    """{uid: how often it was refused something or made to wait}."""
    quotas = connection.call("io.devtrust.Debug.ListConnections")["quotas"]
    return {one["uid"]: one["refused"] + one["delayed"] for one in quotas}


def everyone_is_at_it(connection: varlink.Connection, uids: set[int], before: dict[int, int]) -> None:
    """All have met a limit since."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        now = met_limits(connection)
        if all(now.get(uid, 0) > before.get(uid, 0) for uid in uids):
            return
        time.sleep(0.05)
    raise AssertionError("some of the hostile users have not met a limit")


def measure(results: Any, rounds: int) -> None:
    """Quiet and hostile rounds take turns, so that all see the same machine."""
    samples: dict[str, list[float]] = {name: [] for name in NAMES}
    theirs, ours = 0, os.cpu_count() - 1
    made = world.World()
    before, usual = os.sched_getaffinity(0), os.getpriority(os.PRIO_PROCESS, 0)
    try:
        device = made.setup("alice")
        device.wait_user("alice", state="installed")
        for pid in (device.program.pid, 0):
            os.sched_setaffinity(pid, {ours})
            # the daemon's own delays are asked for, not those of whatever else this processor has to do
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, pid, -20)
        for _ in range(rounds):
            with varlink.Connection(device.socket, HONEST) as honest, varlink.Connection(device.socket) as root:
                note(samples, "quiet", percentiles(honest))
                for name, kinds in CROWDS.items():
                    crowd = [(kind, FIRST + number) for number, kind in enumerate(kinds)]
                    before_them = met_limits(root)
                    with hostile.crowd(device.socket, crowd, theirs):
                        everyone_is_at_it(root, {uid for _, uid in crowd}, before_them)
                        note(samples, name, percentiles(honest))
    finally:
        os.sched_setaffinity(0, before)
        os.setpriority(os.PRIO_PROCESS, 0, usual)
        made.end()
    for name, values in samples.items():
        results.add(name, values, "us")


def note(samples: dict[str, list[float]], name: str, both: tuple[float, float]) -> None:
    for percentile, value in zip(("p50", "p99"), both):
        samples[f"{name}_{percentile}_us"].append(value)
