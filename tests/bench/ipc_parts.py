"""What bench.py measures of the local IPC: round trips of ipc_bench, where raw sockets, sd-bus and ours take turns of a few milliseconds."""
import json
import pathlib
import subprocess
from typing import Any

SIZES = (64, 1500, 8192)
SIDES = {
    "raw": "a raw socket pair, blocking, no protocol: the floor",
    "sdbus": "sd-bus at both ends of a socket pair, no broker",
    "varlink": "devtrustd's Varlink server and devtrustctl's blocking client",
    "varlink_uv": "the same server and the agent's client on a loop",
}
RATIOS = {
    "ratio": ("varlink", "raw", "ours ÷ the raw socket of the same round"),
    "to_sdbus": ("varlink", "sdbus", "ours ÷ sd-bus of the same round"),
}
# in the report of ipc_bench → in our names
PLACEMENTS = {"apart": "", "together": "_one_cpu"}
WHERE = {"apart": "", "together": ", both processes on one processor"}

NAMES = {
    **{f"ipc_{size}{suffix}_{side}": f"a text of {size} bytes there and back: {what}{WHERE[placement]}"
       for size in SIZES for placement, suffix in PLACEMENTS.items() for side, what in SIDES.items()},
    **{f"ipc_{size}{suffix}_{name}": f"{size} bytes: {what}{WHERE[placement]}"
       for size in SIZES for placement, suffix in PLACEMENTS.items() for name, (_, _, what) in RATIOS.items()},
    **{f"ipc_pipelined_{side}": f"calls per second of 64 bytes with 16 in flight: {what}" for side, what in SIDES.items()},
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
