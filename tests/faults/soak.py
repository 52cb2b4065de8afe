#!/usr/bin/python3
"""A soak in accelerated time: nothing may grow. SOAK_HOURS (24) rounds, and in each what a day and more brings in earnest: every user
renews ten times because somebody asks and once because it is due, distribution goes off and on again, a user leaves a device, another
comes and goes, the second device's daemon and agents are started again; devices renew their own identity. Certificates live seconds.

What is watched, at rest after each round: memory, descriptors and threads of the server, the first device's daemon and its users'
agents (they run through), files of all, rows of the server. Compared is what was after the warm-up with what is at the end.
"""
import contextlib
import json
import os
import pathlib
import sqlite3
import stat
import statistics
import subprocess
import sys
import time
from typing import Any

sys.dont_write_bytecode = True
ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from harness import accounts, programs, waiting  # noqa: E402
from harness.world import Device, World  # noqa: E402

SERVER = {"issue": {"user_lifetime": "20s", "renew_after": "6s", "device_lifetime": "30s", "superseded_grace": "1s", "keep_expired": "0s",
                    "hourly_limit": 1000000},
          "push": {"rate": 100000, "ping": "1s"}}
ROOM = {"limits": {"requests_per_hour": 1000000}, "server": {"state_poll": "1s"}}
ASKED = 10  # renewals in a round, and user
MEMORY_KIB = 512  # more than that is growth: in 24 rounds, of half a KiB per renewal
PAGES_KIB = 2 * 2000  # SQLite keeps so much of a database in memory, for the server's writer and for its reader; ours is smaller at first
DESCRIPTORS = 8  # connections that are kept for a while come and go; one lost per renewal would be hundreds
DISK_KIB = 64
TABLES = ("settings", "users", "devices", "assignments", "tokens", "certificates", "audit")
SETTLE_S = 3  # longer than any renewal takes
MAINTENANCE_S = 60  # the server's round (server/maintenance.c)
GROWING = ("audit",)  # by what administrators do, for ever: that is what it is for


def status_of(program: programs.Program) -> dict[str, int]:
    """anonymous_kib: what it has asked for; rss_kib: with the pages of its libraries, which come and go."""
    process = pathlib.Path(f"/proc/{program.pid}")
    memory = dict(line.split(":", 1) for line in (process / "smaps_rollup").read_text(encoding="ascii").splitlines()[1:])
    return {"anonymous_kib": int(memory["Anonymous"].split()[0]), "rss_kib": int(memory["Rss"].split()[0]),
            "threads": len(list((process / "task").iterdir())), "descriptors": len(list((process / "fd").iterdir()))}


class Soak:
    def __init__(self) -> None:
        self.world = World(SERVER)
        self.first = self.world.setup("alice", "bob", device_settings=ROOM)
        self.second = self.world.add_device(ROOM).start()
        self.second.enroll(self.world.server)
        self.world.manage("carol", self.second)
        self.second.agent("carol")
        self.renewals = 0
        self.at_rest()

    def watched(self) -> dict[str, programs.Program]:
        return {"server": self.world.server.program, "daemon": self.first.program,
                "agent": self.first.agents["alice"].program, "other agent": self.first.agents["bob"].program}

    def users(self) -> list[tuple[Device, str]]:
        return [(self.first, "alice"), (self.first, "bob"), (self.second, "carol")]

    def at_rest(self) -> None:
        for device, user in self.users():
            device.wait_user(user, state="installed", agent_attached=True)
            device.wait_status(lambda status: status["push"]["connected"], "the push channel")
        waiting.until(lambda: not any(any((device.state_dir / "reports").glob("*")) for device in self.world.devices), "all reports sent")

    # --- a round ---

    def ask(self, device: Device, user: str) -> None:
        old = device.wait_user(user, state="installed")["serial"]

        def renewed() -> bool:
            now = device.user(user)
            if now["state"] == "installed" and now["serial"] != old:
                return True
            if now["state"] in ("installed", "waiting"):
                device.ctl("renew", uid=accounts.uid_of(user))
            return False
        waiting.until(renewed, f"a renewal of {user}")
        self.renewals += 1

    def by_itself(self, since: float) -> None:
        for device, user in self.users()[:2]:
            device.agents[user].program.wait_log("A new certificate is asked for.*due", since)
            self.renewals += 1

    def off_and_on(self) -> None:
        self.world.server.distribution("off")
        for device, user in self.users():
            device.wait_gone(user)
        self.world.server.distribution("on")
        self.at_rest()

    def churn(self, number: int) -> None:
        server = self.world.server
        server.cli("unassign", "u-bob", self.first.uuid)
        self.first.wait_gone("bob")
        person = f"guest-{number}"  # somebody new, with bob's account
        server.cli("user", "add", person)
        server.cli("assign", person, self.first.uuid, "bob")
        self.first.wait_user("bob", id=person, state="installed")
        server.cli("user", "remove", person)
        self.first.wait_gone("bob")
        server.cli("assign", "u-bob", self.first.uuid, "bob")
        self.at_rest()

    def restarts(self) -> None:
        self.second.agents["carol"].stop()
        self.second.stop()
        self.second.start()
        self.second.agents["carol"].start()
        self.at_rest()

    def round(self, number: int) -> None:
        since = time.monotonic()
        for _ in range(ASKED):
            for device, user in self.users():
                self.ask(device, user)
        self.off_and_on()
        self.churn(number)
        self.restarts()
        self.by_itself(since)
        self.at_rest()

    # --- what is compared ---

    def files(self) -> dict[str, int]:
        """Path → bytes of what stays, without the server's database: its rows are counted. Users and devices renew by themselves at any
        moment, and so there is more for as long as that takes."""
        found = self.listing()
        until = time.monotonic() + SETTLE_S
        while time.monotonic() < until:
            time.sleep(0.1)
            found = {path: size for path, size in self.listing().items() if path in found}
        return found

    def listing(self) -> dict[str, int]:
        bases = [self.world.server.state_dir, accounts.home("alice"), accounts.home("bob"), accounts.home("carol")]
        bases += [device.state_dir for device in self.world.devices] + [device.policy_dir for device in self.world.devices]
        found = {}
        for path in (path for base in bases for path in base.rglob("*")):
            with contextlib.suppress(FileNotFoundError):
                status = path.stat()
                if stat.S_ISREG(status.st_mode) and not path.name.startswith("server.db"):
                    found[str(path)] = status.st_size
        return found

    def rows(self) -> dict[str, int]:
        """After the maintenance that a start of the server begins with: of the past, nothing is left."""
        server = self.world.server
        server.stop()
        server.start()
        self.at_rest()
        expired_by = int(time.time()) - 5
        with contextlib.closing(sqlite3.connect(f"file:{server.database}?mode=ro", uri=True)) as database:
            def count(table: str, where: str = "1") -> int:
                return database.execute(f"SELECT count(*) FROM {table} WHERE {where}").fetchone()[0]
            # those that have expired since that start wait for the next
            waiting.until(lambda: count("certificates", f"not_after < {expired_by} AND kind = 2") == 0, "no expired certificates",
                          MAINTENANCE_S + waiting.PATIENCE)
            return {table: count(table) for table in TABLES}


def run(hours: int) -> tuple[dict[str, Any], list[str]]:
    """The figures, and what has grown."""
    soak = Soak()
    try:
        warm_up = max(1, hours // 4)
        for number in range(warm_up):
            soak.round(number)
        rows, samples = soak.rows(), []
        soak.round(warm_up)  # of the server that has just started
        files = soak.files()
        for number in range(warm_up, hours):
            soak.round(number + 1)
            samples.append({name: status_of(program) for name, program in soak.watched().items()})
            print(f"  hour {number + 1} of {hours}: " + ", ".join(f"{name} {values['anonymous_kib']} KiB" for name, values in samples[-1].items()),
                  flush=True)
        last_files, last_rows = soak.files(), soak.rows()
    finally:
        soak.world.end()
    return judge(soak.renewals, samples, (files, last_files), (rows, last_rows))


def judge(renewals: int, samples: list[dict[str, dict[str, int]]], files: tuple[dict[str, int], dict[str, int]],
          rows: tuple[dict[str, int], dict[str, int]]) -> tuple[dict[str, Any], list[str]]:
    grown = []
    figures: dict[str, Any] = {"renewals": renewals}
    part = max(1, len(samples) // 3)
    for name in samples[0]:
        for what, room in (("anonymous_kib", MEMORY_KIB), ("rss_kib", 2 * MEMORY_KIB), ("descriptors", DESCRIPTORS), ("threads", 0)):
            before = statistics.median(sample[name][what] for sample in samples[:part])
            after = statistics.median(sample[name][what] for sample in samples[-part:])
            figures[f"{name} {what}"] = [before, after]
            if after > before + room + (PAGES_KIB if name == "server" and what.endswith("_kib") else 0):
                grown.append(f"{name}: {what} from {before:g} to {after:g}")
    figures["files"] = [len(files[0]), len(files[1])]
    figures["files_kib"] = [sum(listing.values()) // 1024 for listing in files]
    if set(files[1]) - set(files[0]):
        grown.append(f"files: {sorted(set(files[1]) - set(files[0]))}")
    if figures["files_kib"][1] > figures["files_kib"][0] + DISK_KIB:
        grown.append(f"bytes of files: {files}")
    for table in TABLES:
        figures[f"rows of {table}"] = [rows[0][table], rows[1][table]]
    for table in set(TABLES) - {*GROWING, "certificates"}:  # of certificates, those that have not expired
        if rows[1][table] > rows[0][table]:
            grown.append(f"rows of {table}: from {rows[0][table]} to {rows[1][table]}")
    return figures, grown


def main() -> int:
    hours = int(os.environ.get("SOAK_HOURS", "24"))
    if "DEVTRUST_SANDBOX" not in os.environ:
        return subprocess.run([ROOT / "tests/harness/sandbox", "--", sys.executable, __file__], cwd=ROOT, check=False).returncode
    started = time.monotonic()
    figures, grown = run(hours)
    for name, value in figures.items():
        print(f"{name:24} " + (f"{value[0]:g} → {value[1]:g}" if isinstance(value, list) else f"{value}"))
    (programs.ROOT / "build").mkdir(exist_ok=True)
    (programs.ROOT / "build" / "soak.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    for what in grown:
        print(f"GROWN: {what}")
    print(f"soak: {hours} hours in {time.monotonic() - started:.0f} s, {len(grown)} grown")
    return 1 if grown else 0


if __name__ == "__main__":
    sys.exit(main())
