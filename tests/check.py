#!/usr/bin/python3
"""All tests, and one closing line: N passed, N failed, N skipped.

Integration tests wait most of the time, for each other's processes; linters, fuzzers and unit tests compute. So on two cores three jobs of
the first kind run and one of the second, until one kind is done.

Each job's output goes to build/check/<job>.log; a failing one is shown. `check.py NAME…` runs only the jobs whose name starts so.
"""
import dataclasses
import os
import pathlib
import queue
import re
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ElementTree
from typing import Callable

ROOT = pathlib.Path(__file__).resolve().parent.parent
LOGS = ROOT / "build" / "check"
# what these show is what a browser does; our own part of it runs with sanitizers in the others
BROWSER_STORIES = ("test_chromium", "test_firefox")
LONG = ("test_bad_server", "test_lifecycle", "test_compatibility")
ONCE = ("test_prompts",)  # look at browsers, not at our programs: a sanitizer build would show nothing new
FUZZ_SECONDS = int(os.environ.get("FUZZ_SECONDS", "20"))


@dataclasses.dataclass
class Result:
    passed: int = 0
    failed: int = 0
    skipped: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Job:
    name: str
    command: list[str]
    count: Callable[["Job", int, str], Result]
    timeout: int = 1800
    environment: dict[str, str] = dataclasses.field(default_factory=dict)


def count_one(job: Job, status: int, output: str) -> Result:
    """The job is one test."""
    return Result(passed=1) if status == 0 else Result(failed=1)


def count_cmocka(job: Job, status: int, output: str) -> Result:
    """cmocka's closing lines; a crash before them is one failure."""
    passed = re.search(r"^\[  PASSED  \] (\d+) test", output, re.M)
    failed = re.search(r"^\[  FAILED  \] .*?(\d+) test", output, re.M)
    skipped = re.findall(r"^\[  SKIPPED \] ([A-Za-z_]\w*)$", output, re.M)
    result = Result(int(passed[1]) if passed else 0, int(failed[1]) if failed else 0,
                    [f"{job.name}: {name}" for name in dict.fromkeys(skipped)])
    if (status != 0 or not passed) and not result.failed:
        result.failed = 1
    return result


def count_pytest(job: Job, status: int, output: str) -> Result:
    """Cases of the JUnit file that pytest writes; no file, or a status that it does not explain, is a failure."""
    result = Result()
    report = LOGS / f"{job.name}.xml"
    if report.exists():
        for case in ElementTree.parse(report).iter("testcase"):
            skip = case.find("skipped")
            if case.find("failure") is not None or case.find("error") is not None:
                result.failed += 1
            elif skip is not None:
                result.skipped.append(f"{job.name}: {case.get('name')}: {skip.get('message')}")
            else:
                result.passed += 1
    if status != 0 and not result.failed:
        result.failed = 1
    return result


def make_list(variable: str, *arguments: str) -> list[str]:
    """The value of a Makefile variable, as a list."""
    text = subprocess.run(["make", "-s", "--no-print-directory", f"print-{variable}", *arguments], cwd=ROOT, check=True,
                          capture_output=True, text=True).stdout
    return text.split()


def unit_jobs(variant: str) -> list[Job]:
    jobs = []
    for program in make_list("UNIT_PROGRAMS", f"VARIANT={variant}"):
        short = program.split("/unit/")[1].replace("/", "-")
        jobs.append(Job(f"unit-{variant}-{short}", [program], count_cmocka, 900))
    return jobs


def fuzz_jobs() -> list[Job]:
    jobs = []
    for program in make_list("FUZZ_PROGRAMS", "VARIANT=fuzz"):
        name = pathlib.Path(program).name.removeprefix("fuzz_")
        corpus = ROOT / "build" / "fuzz" / "corpus" / name
        corpus.mkdir(parents=True, exist_ok=True)
        seeds = f"tests/fuzz/seeds/{name}"
        jobs.append(Job(f"fuzz-{name}", [program, f"-max_total_time={FUZZ_SECONDS}", "-timeout=60", "-rss_limit_mb=2048",
                                         f"-artifact_prefix=build/check/fuzz-{name}-", "-verbosity=0", "-print_final_stats=1",
                                         str(corpus), seeds], count_one, FUZZ_SECONDS + 600))
    return jobs


def lint_jobs() -> list[Job]:
    sources = make_list("ALL_SRC")
    jobs = [Job("format", ["make", "-s", "format-check"], count_one),
            Job("shellcheck", ["make", "-s", "shellcheck"], count_one),
            Job("install", ["tests/install-test.sh"], count_one),
            Job("docs", ["tests/docs-test.py"], count_one),
            Job("units", ["tests/units-test.sh"], count_one),
            Job("method-table", ["tests/method-table-test.sh"], count_one),
            Job("bench-ipc", ["build/bench/ipc_bench", "2", "20"], count_one)]
    for layer in ("common", "ipc", "daemon", "useragent", "server"):
        files = [source for source in sources if source.startswith(f"{layer}/")]
        if files:
            jobs.append(Job(f"tidy-{layer}", ["tests/tidy.sh", *files], count_one))
    return jobs


def fault_jobs() -> list[Job]:
    """Faults at commits, renames and sends, and a short soak: both in full are targets of their own."""
    return [Job("faults", ["tests/faults/walk.py", "--commits"], count_one, 3600, {"JOBS": "2"}),
            Job("soak", ["tests/faults/soak.py"], count_one, 1800, {"SOAK_HOURS": "2"})]


def system_jobs() -> list[Job]:
    """On machines with a systemd of their own; the first one makes the tree that they boot."""
    name = "system"
    return [Job(name, ["/usr/bin/python3", "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", f"--junitxml={LOGS}/{name}.xml",
                       "tests/system"], count_pytest, 3600, {"PYTHONDONTWRITEBYTECODE": "1"})]


def integration_jobs(variant: str) -> list[Job]:
    """One sandbox per file, so that both cores have work to the end; the longest first. Stories of browsers only without sanitizers."""
    folder = "build" if variant == "gcc" else f"build/{variant}"
    files = [file for file in (ROOT / "tests" / "integration").glob("test_*.py") if variant == "gcc" or file.stem not in BROWSER_STORIES]
    files.sort(key=lambda file: (file.stem not in LONG, file.stem))
    jobs = []
    for file in files:
        if variant != "gcc" and file.stem in ONCE:
            continue
        name = f"integration-{variant}-{file.stem.removeprefix('test_')}"
        jobs.append(Job(name, ["tests/harness/sandbox", "--", "/usr/bin/python3", "-m", "pytest", "-q", "-rs",
                               "-p", "no:cacheprovider", f"--junitxml={LOGS}/{name}.xml", str(file.relative_to(ROOT))],
                        count_pytest, 2400, {"BIN": folder, "PYTHONDONTWRITEBYTECODE": "1"}))
    return jobs


class Runner:
    def __init__(self) -> None:
        self.total = Result()
        self.lock = threading.Lock()

    def run(self, job: Job) -> None:
        log = LOGS / f"{job.name}.log"
        started = time.monotonic()
        environment = {**os.environ, "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0", "UBSAN_OPTIONS": "print_stacktrace=1",
                       **job.environment}
        with open(log, "w", encoding="utf-8") as output:
            try:
                status = subprocess.run(job.command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                        timeout=job.timeout, env=environment, check=False).returncode
            except (subprocess.TimeoutExpired, OSError) as error:
                status = 124
                output.write(f"\n{error}\n")
        text = log.read_text(encoding="utf-8", errors="replace")
        result = job.count(job, status, text)
        with self.lock:
            self.total.passed += result.passed
            self.total.failed += result.failed
            self.total.skipped += result.skipped
            word = "FAILED" if result.failed else "ok"
            print(f"{word:6} {job.name} ({result.passed} passed, {time.monotonic() - started:.1f} s)", flush=True)
            if result.failed:
                print("".join(f"    {line}\n" for line in text.splitlines()[-120:]), end="", flush=True)

    def work(self, *queues: "queue.SimpleQueue[Job]") -> None:
        """One queue to its end, then the next."""
        for jobs in queues:
            try:
                while True:
                    self.run(jobs.get_nowait())
            except queue.Empty:
                pass


def queue_of(jobs: list[Job]) -> "queue.SimpleQueue[Job]":
    """Those that were asked for."""
    prefixes = tuple(sys.argv[1:])
    chosen: "queue.SimpleQueue[Job]" = queue.SimpleQueue()
    for job in jobs:
        if not prefixes or job.name.startswith(prefixes):
            chosen.put(job)
    return chosen


def main() -> int:
    LOGS.mkdir(parents=True, exist_ok=True)
    waiting = queue_of(system_jobs() + fault_jobs() + integration_jobs("asan") + integration_jobs("gcc"))
    computing = queue_of(lint_jobs() + unit_jobs("asan") + fuzz_jobs() + unit_jobs("gcc"))
    for stale in LOGS.glob("*.xml"):
        stale.unlink()
    runner = Runner()
    lanes = [*[(waiting, computing)] * 3, (computing, waiting)]
    workers = [threading.Thread(target=runner.work, args=lane) for lane in lanes]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for reason in runner.total.skipped:
        print(f"skipped: {reason}")
    total = runner.total
    if not total.passed and not total.failed:
        print("no test ran")
        return 1
    print(f"{total.passed} passed, {total.failed} failed, {len(total.skipped)} skipped")
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main())
