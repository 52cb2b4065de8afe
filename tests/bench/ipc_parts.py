"""What bench.py measures of the local IPC: round trips of ipc_bench, where raw sockets, sd-bus and ours take turns of a few milliseconds;
and what callers of the real daemon pay while somebody watches."""
import contextlib
import json
import os
import pathlib
import subprocess
from typing import Any, Iterator

from harness import programs, waiting, world

SIZES = (64, 1500, 8192)
SIDES = {
    "raw": "a raw socket pair, blocking, no protocol: the floor",
    "bare": "the system calls of ours, and nothing else: what no code of ours can save",
    "sdbus": "sd-bus at both ends of a socket pair, no broker",
    "varlink": "devtrustd's Varlink server and the blocking client, both by tables",
    "varlink_uv": "the same server and the agent's client on a loop, with json-c's objects",
}
RATIOS = {
    "ratio": ("varlink", "raw", "ours ÷ the raw socket of the same round"),
    "to_bare": ("varlink", "bare", "ours ÷ the same system calls of the same round"),
    "to_sdbus": ("varlink", "sdbus", "ours ÷ sd-bus of the same round"),
}
# in the report of ipc_bench → in our names
PLACEMENTS = {"apart": "", "together": "_one_cpu"}
WHERE = {"apart": "", "together": ", both processes on one processor"}

WATCHED = {"getinfo": "org.varlink.service.GetInfo", "getstatus": "io.devtrust.Device.GetStatus"}
WATCHED_TRIPS = 2000

NAMES = {
    **{f"ipc_{size}{suffix}_{side}": f"a text of {size} bytes there and back: {what}{WHERE[placement]}"
       for size in SIZES for placement, suffix in PLACEMENTS.items() for side, what in SIDES.items()},
    **{f"ipc_{size}{suffix}_{name}": f"{size} bytes: {what}{WHERE[placement]}"
       for size in SIZES for placement, suffix in PLACEMENTS.items() for name, (_, _, what) in RATIOS.items()},
    **{f"ipc_pipelined_{side}": f"calls per second of 64 bytes with 16 in flight: {what}" for side, what in SIDES.items()},
    **{f"ipc_{name}_alone": f"{method} of devtrustd, called again and again" for name, method in WATCHED.items()},
    **{f"ipc_{name}_watched": "the same while `devtrustctl ipc monitor` is attached" for name in WATCHED},
    **{f"ipc_{name}_monitor_cost": "what that adds: watched ÷ alone of the same round" for name in WATCHED},
}


def measure_round_trips(results: Any, program: pathlib.Path, rounds: int) -> None:
    """Samples are the medians of the rounds; min and p99 are of all round trips."""
    done = subprocess.run([str(program), str(rounds)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for entry in json.loads(done.stdout):
        for placement, suffix in PLACEMENTS.items():
            prefix, sides = f"ipc_{entry['bytes']}{suffix}", entry[placement]
            for side in SIDES:
                results.add(f"{prefix}_{side}", sides[side]["round_medians_us"], "us", min=sides[side]["min_us"], p99=sides[side]["p99_us"])
            for name, (ours, theirs, _) in RATIOS.items():
                pairs = zip(sides[ours]["round_medians_us"], sides[theirs]["round_medians_us"])
                results.add(f"{prefix}_{name}", [a / b for a, b in pairs], "times")
        for side, rates in entry["calls_per_s"].items():
            results.add(f"ipc_pipelined_{side}", rates, "1/s")


@contextlib.contextmanager
def monitor(device: world.Device) -> Iterator[None]:
    """Somebody watches: everything, and reads it."""
    def attached() -> bool:
        connections = device.call("io.devtrust.Debug.ListConnections")["connections"]
        return any(connection.get("stream") == "io.devtrust.Debug.Monitor" for connection in connections)
    watcher = subprocess.Popen([str(programs.RUN / "bin/devtrustctl"), "ipc", "monitor", "--socket", str(device.socket)],
                               stdout=subprocess.DEVNULL)
    try:
        waiting.until(attached, "the monitor is attached")
        yield
    finally:
        watcher.terminate()
        watcher.wait()
    waiting.until(lambda: not attached(), "the monitor has left")


def measure_monitor(results: Any, program: pathlib.Path, device: world.Device, rounds: int) -> None:
    """In each round alone and watched, one after the other; daemon and caller each on a processor of its own, the monitor on any."""
    processors = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(device.program.pid, {processors[-1]})

    def median(method: str) -> float:
        done = subprocess.run([str(program), str(device.socket), method, str(WATCHED_TRIPS)], capture_output=True, text=True, check=False,
                              preexec_fn=lambda: os.sched_setaffinity(0, {processors[0]}))
        assert done.returncode == 0, done.stderr
        return float(json.loads(done.stdout)["median_us"])
    alone: dict[str, list[float]] = {name: [] for name in WATCHED}
    watched: dict[str, list[float]] = {name: [] for name in WATCHED}
    for _ in range(rounds):
        for name, method in WATCHED.items():
            alone[name].append(median(method))
        with monitor(device):
            for name, method in WATCHED.items():
                watched[name].append(median(method))
    for name in WATCHED:
        results.add(f"ipc_{name}_alone", alone[name], "us")
        results.add(f"ipc_{name}_watched", watched[name], "us")
        results.add(f"ipc_{name}_monitor_cost", [100 * (b / a - 1) for a, b in zip(alone[name], watched[name])], "%")
