#!/usr/bin/python3
"""Everything that can go wrong once, goes wrong once: each call by which the daemon, the agent or the server leaves a trace on a disk or
at a peer, in a first enrolment, a renewal and a removal, with a kill before it, a kill after it, a full disk from it on, an input/output
error at it, and half of its bytes. After each the program is started again, and all must end as it should (see scenes.py).

    walk.py                                   all (make faults)
    walk.py --commits                         of these the commits, renames and sends (make check)
    walk.py renewal agent                     all kinds
    walk.py renewal agent kill-before 17      one point, with the programs' logs

A walk is one scene, program and kind; JOBS of them run at a time, each in a sandbox of its own.
"""
import argparse
import concurrent.futures
import itertools
import os
import pathlib
import re
import subprocess
import sys
import time
import traceback

sys.dont_write_bytecode = True
ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from faults.control import KINDS, RECEIVE, SEND, Point, commits  # noqa: E402
from faults.scenes import PROGRAMS, SCENES, Broken, Scene  # noqa: E402
from harness import waiting  # noqa: E402

GRACE_S = 0.25  # after an error, for the program to get over it by itself, before it is started again
LOG_LINES = 60
# of each program at least: what it keeps, behind all libraries that are in between, and whom it speaks to
FILES = {"daemon": ".json", "agent": "key4.db", "server": "server.db"}
PEERS = {"daemon": "tcp ", "agent": "unix ", "server": "tcp "}
SANITIZER = re.compile(r"ERROR: (Address|Leak)Sanitizer|runtime error:")


class Walk:
    """One scene, one program, one kind."""

    def __init__(self, scene: Scene, name: str, kind: str) -> None:
        self.scene, self.name, self.kind = scene, name, kind
        self.kills = kind.startswith("kill")
        scene.victim = name

    def play(self, at: int, wanted: int | None = None) -> tuple[bool, list[Point]]:
        """The scene, with this point hit. Returns whether it was reached, and the points of this play."""
        scene = self.scene
        scene.reset()
        control, program = scene.controls[self.name], scene.program(self.name)
        fired_at: list[float] = []

        def over() -> bool:
            if self.kills:
                return control.fired and not program.running()
            if self.kind not in ("short", "count") and control.fired and not fired_at:
                fired_at.append(time.monotonic())
            return bool(fired_at) and time.monotonic() > fired_at[0] + GRACE_S
        program.expected_end = True
        scene.begin()
        control.arm(self.kind, at, wanted)
        try:
            scene.act(over)
        finally:
            reached, points = control.fired, control.points()
            if self.kind != "ENOSPC":
                control.disarm()
        if self.kills and reached:  # it says so just before it dies
            waiting.until(lambda: not program.running(), f"the end of the {self.name}")
        try:
            if reached or self.kind == "count":
                scene.kept()
                self.restart()
        finally:
            control.disarm()
        scene.converge()
        scene.verify()
        return reached, points

    def restart(self) -> None:
        """The program ended by its fault, or ends well now; and comes back, on a disk with room again."""
        program, control = self.scene.program(self.name), self.scene.controls[self.name]
        if SANITIZER.search(program.log()):
            raise Broken(f"a sanitizer's finding\n{program.tail()}")
        if self.kills:
            program.kill()
        elif program.running():
            control.disarm()
            self.scene.owner(self.name).stop()
        elif program.process and (program.process.returncode or 0) < 0:
            raise Broken(f"{self.name} ended by signal {-program.process.returncode}")
        control.disarm()
        if program.process:
            self.scene.owner(self.name).start()
        if self.name == "server" and not self.kills:
            # a server that ends well asks for patience: the daemon would wait for as long as it was told
            self.scene.device.stop()
            self.scene.device.start()

    def try_play(self, at: int, wanted: int | None = None) -> tuple[bool, list[Point], str]:
        """With what broke, as text; the world is given up then."""
        try:
            return *self.play(at, wanted), ""
        except (AssertionError, OSError, KeyError, ValueError) as error:
            points = self.scene.controls[self.name].points() if self.scene.controls else []
            what = points[at - 1] if 0 < at <= len(points) else ""
            text = f"BROKEN: walk.py {self.scene.name} {self.name} {self.kind} {at} ({what})\n"
            text += f"{error}\n" if isinstance(error, AssertionError) else traceback.format_exc()
            text += self.scene.world.logs(LOG_LINES) if self.scene.world else ""
            self.scene.end()
            return True, points, text


class Tally:
    """One walk's figures; its line is read by walk_all()."""

    def __init__(self, scene: str, program: str, kind: str) -> None:
        self.name = f"{scene} {program} {kind}"
        self.walked = self.broken = self.known = 0
        self.started = time.monotonic()

    def note(self, reached: bool, text: str) -> None:
        self.walked += reached
        if text:
            self.broken += 1
            print(text, flush=True)
        elif self.walked % 50 == 0:
            print(f"  {self.name}: {self.walked} of about {self.known}", flush=True)

    def close(self) -> None:
        print(f"{self.name}: {self.walked} points, {self.broken} broken ({time.monotonic() - self.started:.0f} s)", flush=True)


def unseen(program: str, wanted: int, points: list[Point]) -> list[str]:
    """What the shim has not seen of an undisturbed play: a walk that misses it says nothing."""
    marks = [FILES[program], *([PEERS[program]] if wanted & (SEND | RECEIVE) else [])]
    return [mark for mark in marks if not any(mark in point.detail for point in points)]


def count(scene: Scene, program: str, kind: str, wanted: int, tally: Tally) -> list[Point]:
    """The points of an undisturbed play."""
    _, points, text = Walk(scene, program, "count").try_play(0, wanted)
    tally.known = len(points)
    blind = unseen(program, wanted, points)
    if blind and not text:
        text = f"BROKEN: {scene.name} {program} {kind}: the shim sees no call on {blind}"
    if text:
        tally.note(False, text)
    return points


def walk_whole(scene: Scene, program: str, kind: str, wanted: int) -> int:
    """Every point of these classes: on until a play is over before it."""
    tally, this = Tally(scene.name, program, kind), Walk(scene, program, kind)
    reached = bool(count(scene, program, kind, wanted, tally))
    for at in itertools.count(1):
        if not reached:
            break
        reached, _, text = this.try_play(at, wanted)
        tally.note(reached, text)
    tally.close()
    return tally.broken


def walk_point(scene: Scene, program: str, kind: str, at: int) -> int:
    tally, this = Tally(scene.name, program, kind), Walk(scene, program, kind)
    reached, points, text = this.try_play(at)
    print("\n".join(f"{number:4} {point}" for number, point in enumerate(points, 1)))
    tally.known = len(points)
    tally.note(reached, text)
    if scene.world:
        print(scene.world.logs(LOG_LINES))
    tally.close()
    return tally.broken


def walk(options: argparse.Namespace) -> int:
    """In the sandbox."""
    scene = SCENES[options.scene]()
    try:
        if options.point:
            broken = walk_point(scene, options.program, options.kind, options.point)
        else:
            broken = sum(walk_whole(scene, options.program, kind, commits(kind) if options.commits else KINDS[kind][2])
                         for kind in kinds(options))
    finally:
        scene.end()
    return 1 if broken else 0


def kinds(options: argparse.Namespace) -> list[str]:
    """Half a write is no commit."""
    return [options.kind] if options.kind else [kind for kind in KINDS if kind not in ("count", *(["short"] if options.commits else []))]


def walk_all(options: argparse.Namespace) -> int:
    """Each walk in its sandbox; the kinds of commits share one."""
    walks = [[scene, program, *kind] for kind in ([[]] if options.commits and not options.kind else [[kind] for kind in kinds(options)])
             for program in ([options.program] if options.program else PROGRAMS)
             for scene in ([options.scene] if options.scene else SCENES)]
    total = broken = 0

    def run(names: list[str]) -> str:
        arguments = [*names, *([str(options.point)] if options.point else []), *(["--commits"] if options.commits else [])]
        return subprocess.run([ROOT / "tests/harness/sandbox", "--", sys.executable, __file__, *arguments], cwd=ROOT, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False).stdout
    with concurrent.futures.ThreadPoolExecutor(int(os.environ.get("JOBS", "3"))) as pool:
        for future in concurrent.futures.as_completed([pool.submit(run, names) for names in walks]):
            output = future.result()
            lines = re.findall(r"^\w+ \w+ [\w-]+: (\d+) points, (\d+) broken.*$", output, re.M)
            total += sum(int(walked) for walked, _ in lines)
            broken += sum(int(bad) for _, bad in lines) + (not lines)
            good = lines and not any(int(bad) for _, bad in lines) and not options.point
            print("\n".join(line for line in output.splitlines() if not good or not line.startswith("  ")), flush=True)
    print(f"faults: {total} points, {len(kinds(options))} kinds, {broken} broken")
    return 1 if broken else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scene", nargs="?", choices=list(SCENES))
    parser.add_argument("program", nargs="?", choices=PROGRAMS)
    parser.add_argument("kind", nargs="?", choices=[kind for kind in KINDS if kind != "count"])
    parser.add_argument("point", nargs="?", type=int)
    parser.add_argument("--commits", action="store_true", help="commits, renames and sends only")
    options = parser.parse_args()
    if "DEVTRUST_SANDBOX" in os.environ:
        return walk(options)
    return walk_all(options)


if __name__ == "__main__":
    sys.exit(main())
