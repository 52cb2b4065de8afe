"""Fixtures of the tests on a machine with a real systemd. They need root, and run one machine per file."""
import os
import pathlib
import shutil
import subprocess
import sys
from typing import Iterator

import pytest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from harness import box as boxes  # noqa: E402


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.geteuid() != 0:
        for item in items:
            item.add_marker(pytest.mark.skip(reason="a machine with a systemd of its own needs root"))


@pytest.fixture(scope="module")
def installed() -> Iterator[pathlib.Path]:
    """What `make install` puts on a machine."""
    target = boxes.PLACE / "installed"
    shutil.rmtree(target, ignore_errors=True)
    subprocess.run(["make", "-s", "--no-print-directory", "install", f"DESTDIR={target}"], cwd=boxes.ROOT, check=True, stdin=subprocess.DEVNULL)
    yield target
    shutil.rmtree(target, ignore_errors=True)


@pytest.fixture(scope="module")
def box(installed: pathlib.Path) -> Iterator[boxes.Box]:
    with boxes.booted(installed) as machine:
        yield machine
