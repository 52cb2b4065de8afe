"""Fixtures of the integration tests. They run as root of tests/harness/sandbox; a failing test shows the programs' logs."""
import os
import pathlib
import sys
from typing import Any, Callable, Iterator

import pytest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from harness import programs, waiting  # noqa: E402
from harness.world import World  # noqa: E402

if programs.sanitized():
    waiting.PATIENCE *= 3


def pytest_configure(config: pytest.Config) -> None:
    if "DEVTRUST_SANDBOX" not in os.environ:
        pytest.exit("Run these through the sandbox: tests/harness/sandbox -- /usr/bin/python3 -m pytest tests/integration", 2)


@pytest.fixture
def make_world(request: pytest.FixtureRequest) -> Iterator[Callable[..., World]]:
    """Worlds that end with the test."""
    made: list[World] = []

    def make(*arguments: Any, **options: Any) -> World:
        made.append(World(*arguments, **options))
        return made[-1]

    yield make
    report = getattr(request.node, "call_report", None)
    if report is not None and report.failed:
        for world in made:
            print(f"--- logs of {world.base}\n{world.logs(80)}")
    problems = [problem for world in made for problem in sanitizer_findings(world)]
    for world in made:
        world.end()
    assert not problems, "\n".join(problems)


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    """One world with nothing started, and room for many requests."""
    return make_world()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: Any) -> Iterator[None]:
    outcome = yield
    report = outcome.get_result()
    if report.when == "call":
        item.call_report = report


def sanitizer_findings(world: World) -> list[str]:
    """What ASan, LSan or UBSan wrote into any log: a failure, whatever the test thought."""
    found = []
    everyone = [world.server.program] + [device.program for device in world.devices]
    everyone += [agent.program for device in world.devices for agent in device.agents.values()]
    for program in everyone:
        text = program.log()
        if "ERROR: AddressSanitizer" in text or "ERROR: LeakSanitizer" in text or "runtime error:" in text:
            found.append(f"{program.name}: sanitizer finding\n{text[-6000:]}")
    return found
