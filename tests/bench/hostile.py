"""What bench.py measures of an honest user's calls while eight others flood the daemon: they on one processor, daemon and caller on the other."""
import contextlib
import os
import time
from typing import Any

from harness import hostile, varlink, world

CALLS = 500    # per round
GAP_S = 0.006  # below the rate at which he would wait for himself
HONEST = 1000
FIRST = 2001   # of the hostile uids, which need no account

NAMES = {
    "quiet_p50_us": "GetInfo of an ordinary user, sent → answered, nobody else about: the median of a round",
    "quiet_p99_us": "the same: 99 of 100 are answered within",
    "hostile_p50_us": "the same while 8 other users do what hostile.py can think of, one each: the median of a round",
    "hostile_p99_us": "the same: 99 of 100 are answered within",
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


def everyone_is_at_it(connection: varlink.Connection, uids: set[int]) -> None:
    """All have been refused something or made to wait."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        quotas = connection.call("io.devtrust.Debug.ListConnections")["quotas"]
        if uids <= {one["uid"] for one in quotas if one["refused"] + one["delayed"] > 0}:
            return
        time.sleep(0.05)
    raise AssertionError("some of the hostile users have not met a limit")


def measure(results: Any, rounds: int) -> None:
    """Quiet and hostile rounds take turns, so that both see the same machine."""
    kinds = [(kind, FIRST + number) for number, kind in enumerate(hostile.KINDS)]
    samples: dict[str, list[float]] = {name: [] for name in NAMES}
    theirs, ours = 0, os.cpu_count() - 1
    made = world.World()
    before, usual = os.sched_getaffinity(0), os.getpriority(os.PRIO_PROCESS, 0)
    try:
        device = made.add_device().start()
        for pid in (device.program.pid, 0):
            os.sched_setaffinity(pid, {ours})
            # the daemon's own delays are asked for, not those of whatever else this processor has to do
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, pid, -20)
        for _ in range(rounds):
            with varlink.Connection(device.socket, HONEST) as honest, varlink.Connection(device.socket) as root:
                note(samples, "quiet", percentiles(honest))
                with hostile.crowd(device.socket, kinds, theirs):
                    everyone_is_at_it(root, {uid for _, uid in kinds})
                    note(samples, "hostile", percentiles(honest))
    finally:
        os.sched_setaffinity(0, before)
        os.setpriority(os.PRIO_PROCESS, 0, usual)
        made.end()
    for name, values in samples.items():
        results.add(name, values, "us")


def note(samples: dict[str, list[float]], name: str, both: tuple[float, float]) -> None:
    for percentile, value in zip(("p50", "p99"), both):
        samples[f"{name}_{percentile}_us"].append(value)
