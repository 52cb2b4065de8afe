"""What `devtrustctl doctor` says of a device, and waiting until it says something."""
import json
from typing import Any

from . import waiting, world

RESULTS = ("ok", "warning", "failure", "not_applicable")


class Doctor:
    """One look. `checks`: as in --json, devtrustctl's own included."""

    def __init__(self, device: world.Device, *arguments: str, uid: int = 0, command: str = "doctor") -> None:
        done = device.ctl(command, *arguments, "--json", uid=uid)
        self.status, self.stderr, self.answer = done.returncode, done.stderr, json.loads(done.stdout)
        self.checks: list[dict[str, Any]] = self.answer.get("checks", [])
        for check in self.checks:
            assert check["result"] in RESULTS and check["text"], check
            if check["result"] in ("warning", "failure"):
                assert check["code"] and check["remedy"], f"no code or remedy: {check}"

    def find(self, name: str, subject: str | None = None, user: str | None = None) -> list[dict[str, Any]]:
        """`subject`: a part of it. `user`: None: whoever's."""
        return [check for check in self.checks if check["id"] == name and (subject is None or subject in check.get("subject", ""))
                and (user is None or check.get("user") == user)]

    def one(self, name: str, subject: str | None = None, user: str | None = None) -> dict[str, Any]:
        found = self.find(name, subject, user)
        assert len(found) == 1, (name, subject, self.checks)
        return found[0]

    def has(self, name: str, result: str, code: str | None, subject: str | None = None) -> bool:
        return any(check["result"] == result and check.get("code") == code for check in self.find(name, subject))

    def bad(self) -> list[tuple[str, str]]:
        """(check, code) of every warning and failure."""
        return sorted((check["id"], check["code"]) for check in self.checks if check["result"] in ("warning", "failure"))

    def failures(self) -> list[tuple[str, str]]:
        return sorted((check["id"], check["code"]) for check in self.checks if check["result"] == "failure")


def wait(device: world.Device, condition: Any, what: str, *arguments: str, uid: int = 0) -> Doctor:
    """Until condition(look) is true."""
    last: list[Doctor] = []

    def look() -> Doctor | None:
        last[:] = [Doctor(device, *arguments, uid=uid)]
        return last[0] if condition(last[0]) else None
    try:
        return waiting.until(look, what, alive=device.program.check_alive)
    except waiting.Timeout as error:
        raise waiting.Timeout(f"{error}\n{json.dumps(last[0].checks, indent=1) if last else ''}\n{device.tail()}") from None


def wait_bad(device: world.Device, bad: list[tuple[str, str]], *arguments: str, uid: int = 0) -> Doctor:
    """Until exactly these are not well."""
    return wait(device, lambda look: look.bad() == sorted(bad), f"bad: {bad}", *arguments, uid=uid)


def wait_well(device: world.Device, *arguments: str, uid: int = 0) -> Doctor:
    look = wait_bad(device, [], *arguments, uid=uid)
    assert look.status == 0, look.answer
    return look
