"""What bench.py measures of a machine's life: the daemon restarted under fifty users, beside certmonger with fifty requests, a login, and
the end of a suspend."""
import contextlib
import ctypes
import os
import pathlib
import shutil
import struct
import time
from typing import Any, Callable

from harness import accounts, programs, varlink, waiting, world

USERS = 50
FIRST_UID = 5000

NAMES = {
    "restart_50_users_served": "devtrustd started → each of 50 users with a certificate has been answered (Watch) on a connection of its own",
    "restart_50_agents_back": "devtrustd restarted under 50 agents → the last one is attached again; their jitter of 0–100 ms included",
    "certmonger_restart_50": "certmonger started → getcert list shows its 50 requests as monitored",
    "login_to_installed": "the agent of an assigned user started → certificate in the database, verified, reported",
    "resume_to_rechecked": "the agent's timer fires, as after a suspend over its time → its stores were looked at and a signature tested",
    "login_to_attached": "the agent of a user who has a certificate started → attached",
}


def installed(device: world.Device) -> bool:
    return all(user["state"] == "installed" for user in device.status()["users"])


def ask_all(device: world.Device, program: programs.Program, uids: list[int]) -> None:
    """Asks for every user, as his agent would, until all have their answer."""
    with contextlib.ExitStack() as stack:
        connections: list[varlink.Connection] = []
        while not connections:
            try:
                connections.append(stack.enter_context(varlink.Connection(device.socket, uids[0])))
            except OSError:
                program.check_alive()
        connections += [stack.enter_context(varlink.Connection(device.socket, uid)) for uid in uids[1:]]
        for connection in connections:
            connection.send("io.devtrust.Agent.Watch", {"version": "bench"}, more=True)
        for connection in connections:  # each change is told; the account is verified once it says so
            while connection.answer()["parameters"]["mode"] != "certificate":
                pass


def serve_all(device: world.Device, uids: list[int]) -> float:
    program = programs.Program("devtrustd", device.program.argv)
    begin = time.monotonic()
    program.start()
    try:
        ask_all(device, program, uids)
        return (time.monotonic() - begin) * 1000
    finally:
        program.stop()


def restart_under_agents(device: world.Device) -> float:
    """From the start of the new daemon; the old one has just ended."""
    device.stop()
    begin = time.monotonic()
    device.start()
    waiting.until(lambda: all(user["agent_attached"] for user in device.status()["users"]), "all are back")
    return (time.monotonic() - begin) * 1000


def measure_restart(results: Any, samples: int, fresh: Callable[..., Any]) -> None:
    names = [f"restart{number}" for number in range(USERS)]
    for number, name in enumerate(names):
        accounts.add(name, FIRST_UID + number)
    with fresh(*names) as made:
        device = made.device
        made.server.distribution("on")
        waiting.until(lambda: installed(device), "all installed", 300)
        results.add("restart_50_agents_back", [restart_under_agents(device) for _ in range(samples)], "ms")
        for agent in device.agents.values():
            agent.stop()
        device.stop()
        uids = [accounts.uid_of(name) for name in names]
        results.add("restart_50_users_served", [serve_all(device, uids) for _ in range(samples)], "ms")
        device.start()


def measure_login(results: Any, samples: int, fresh: Callable[..., Any]) -> None:
    with fresh("alice") as made:
        device, agent = made.device, made.device.agents["alice"]
        made.server.distribution("on")
        device.wait_user("alice", state="installed")
        first, later = [], []
        for _ in range(samples):
            agent.stop()
            begin = time.monotonic()
            agent.start()
            device.wait_user("alice", agent_attached=True)
            later.append((time.monotonic() - begin) * 1000)
            made.server.cli("unassign", "u-alice", device.uuid)
            device.wait_gone("alice")
            agent.stop()
            made.server.cli("assign", "u-alice", device.uuid, "alice")
            device.wait_user("alice", state="waiting")
            begin = time.monotonic()
            agent.start()
            device.program.wait_log(r"\bTO=installed\b", begin)
            first.append((time.monotonic() - begin) * 1000)
        results.add("login_to_installed", first, "ms")
        results.add("login_to_attached", later, "ms")


def wall_timer_of(pid: int) -> int:
    """The process's timer on the wall clock, as a descriptor of ours."""
    folder = pathlib.Path(f"/proc/{pid}")
    number = next(int(entry.name) for entry in (folder / "fdinfo").iterdir()
                  if "timerfd" in os.readlink(folder / "fd" / entry.name) and "clockid: 0\n" in entry.read_text(encoding="ascii"))
    libc = ctypes.CDLL(None, use_errno=True)
    process = os.pidfd_open(pid)
    try:
        timer = libc.syscall(ctypes.c_long(438), process, number, 0)  # pidfd_getfd(2), the same number on all machines
        assert timer >= 0, os.strerror(ctypes.get_errno())
        return timer
    finally:
        os.close(process)


def fire(timer: int) -> None:
    """Due since 1970: what a timer is at once when a machine wakes up after its time."""
    libc = ctypes.CDLL(None, use_errno=True)
    absolute = 1
    then = struct.pack("@qqqq", 0, 0, 1, 0)
    assert libc.timerfd_settime(timer, absolute, then, None) == 0, os.strerror(ctypes.get_errno())


def measure_resume(results: Any, samples: int, fresh: Callable[..., Any]) -> None:
    with fresh("alice") as made:
        device, agent = made.device, made.device.agents["alice"]
        made.server.distribution("on")
        device.wait_user("alice", state="installed")
        agent.program.wait_log(r"EVENT=acknowledged")
        timer = wall_timer_of(agent.program.pid)
        took = []
        for _ in range(samples):
            time.sleep(0.2)  # at rest, its stores closed again
            begin = time.monotonic()
            fire(timer)
            agent.program.wait_log(r"EVENT=checked", begin)
            took.append((time.monotonic() - begin) * 1000)
        os.close(timer)
        results.add("resume_to_rechecked", took, "ms")


def multiply_requests(folder: pathlib.Path) -> None:
    """certmonger's own requests, copied under further names until there are fifty: each costs a second to make."""
    made = sorted(path for path in folder.iterdir() if path.is_file())
    for number in range(len(made), USERS):
        source = made[number % len(made)]
        text = source.read_text(encoding="utf-8")
        identifier = next(line.split("=", 1)[1] for line in text.splitlines() if line.startswith("id="))
        copy = folder / f"{source.name}-{number}"
        copy.write_text(text.replace(f"id={identifier}\n", f"id={identifier}-{number}\n"), encoding="utf-8")
        shutil.copymode(source, copy)


def measure_certmonger_restart(results: Any, samples: int, start: Callable[[], programs.Program], environment: dict[str, str]) -> None:
    """`start` starts the daemon, which must not run now."""
    multiply_requests(pathlib.Path("/var/lib/certmonger/requests"))

    def monitored(daemon: programs.Program) -> bool:
        listed = programs.run(["getcert", "list", "-s"], environment=environment).stdout
        daemon.check_alive()
        return listed.count("status: MONITORING") == USERS
    took = []
    for _ in range(samples):
        begin = time.monotonic()
        daemon = start()
        waiting.until(lambda: monitored(daemon), "certmonger watches all")
        took.append((time.monotonic() - begin) * 1000)
        daemon.kill()
    results.add("certmonger_restart_50", took, "ms")
