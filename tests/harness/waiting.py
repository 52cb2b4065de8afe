"""Waiting for a condition, never for time: the deadline only says when to give up."""
import os
import time
from typing import Callable, TypeVar

T = TypeVar("T")

# A deadline is for what hangs, so it is generous: longer than our programs' own waits (a server that ends asks for up to 30 s), on a
# machine that does much else; a sanitizer build is slow.
PATIENCE = float(os.environ.get("PATIENCE", "60"))
POLL_S = 0.004


class Timeout(AssertionError):
    """The condition did not come true; the message says what was last seen."""


def until(condition: Callable[[], T], what: str, timeout: float | None = None, alive: Callable[[], None] | None = None) -> T:
    """The condition's first true value. `alive` may raise, when waiting on has become pointless."""
    deadline = time.monotonic() + (PATIENCE if timeout is None else timeout)
    last: object = None
    while True:
        try:
            last = condition()
            if last:
                return last
        except (OSError, KeyError, IndexError, LookupError) as error:
            last = error
        if alive:
            alive()
        if time.monotonic() > deadline:
            raise Timeout(f"not within {PATIENCE if timeout is None else timeout:g} s: {what}; last seen: {last!r}")
        time.sleep(POLL_S)


def stays(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """For what must not happen: the condition holds the whole time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert condition(), f"did not stay so: {what}"
        time.sleep(POLL_S)
