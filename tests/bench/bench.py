#!/usr/bin/python3
"""Measures the real programs, and beside them certmonger and the command-line floor. Run by `make bench` inside the sandbox.

Everything is measured in one run on one machine, with state, homes and databases on the disk that holds the repository. Prints a table
and writes build/bench.json: name → {"median", "p95", "unit", "n"}. What each name means stands in NAMES.
"""
import contextlib
import http.client
import json
import os
import pathlib
import re
import shutil
import socket
import statistics
import subprocess
import sys
import threading
import time
from typing import Callable, Iterator

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from harness import accounts, browser, firefox, nss, programs, waiting, world  # noqa: E402
import hostile  # noqa: E402
import ipc_parts  # noqa: E402
import life_parts  # noqa: E402
from faults import soak  # noqa: E402

N = int(os.environ.get("BENCH_N", "20"))
REST_S = 60
CROWD = 100
OUT = programs.ROOT / "build" / "bench.json"
DISK = programs.ROOT / "build" / "bench.tmp"
ROOM = {"limits": {"requests_per_hour": 1000000}}
SERVER_ROOM = {"issue": {"hourly_limit": 1000000}}

NAMES = {
    "push_to_installed": "switched on at the server → certificate in the database, verified, reported; no browser running",
    "push_to_trusted_page": "assigned at the server → the running Chromium's page says trusted; the policy was in place",
    "push_to_trusted_page_new_policy": "the same where the policy came with the switch: the browser gets 10 s to read it",
    "stage_command": "administrator's command → its answer (a commit)",
    "stage_push_to_state": "administrator's command → the daemon has taken the new desired state",
    "stage_state_to_request": "state taken → policy written, request made",
    "stage_request_to_csr": "request → the agent has made key and request, the daemon has checked it",
    "stage_csr_to_bundle": "EST post → certificate issued, checked",
    "stage_bundle_to_verified": "bundle → imported, read back, test signature",
    "stage_verified_to_reported": "verified → recorded, reported, installed in the daemon's state",
    "renew_to_installed": "renewal asked for over the IPC → the new one installed and the old one deleted",
    "certmonger_request": "certmonger: getcert request -w, SelfSign CA, EC key, NSS database",
    "cli_floor": "openssl key, CSR, signature, PKCS#12, then pk12util into an NSS database",
    "children_per_request": "processes started by daemon, agent and server in a renewal",
    "fsyncs_per_request": "fsync and fdatasync of daemon, agent and server in a renewal",
    "start_0_users": "devtrustd started → GetStatus answered",
    "start_50_users": "the same with 50 users in the state",
    "agents_100_installed": "switched on → 100 attached agents have all installed",
    "daemon_wakeups_60s": "voluntary context switches of devtrustd in 60 s at rest (the server pings every 30 s)",
    "agent_wakeups_60s": "the same of the agent",
    "daemon_wakeups_hour": "daemon_wakeups_60s × 60: an hour at rest is sixty such minutes and one fetch of the state in a few hours",
    "agent_wakeups_hour": "the same of the agent",
    "push_to_trusted_page_cold": "assigned at the server → installed → Chromium started then: its page says trusted",
    "cold_to_trusted_page": "of that, from the start of Chromium on",
    "firefox_push_to_trusted_page": "assigned at the server → the running Firefox's page says trusted; root has opted in",
    "firefox_push_to_trusted_page_cold": "assigned at the server → installed → Firefox started then: its page says trusted",
    "firefox_cold_to_trusted_page": "of that, from the start of Firefox on",
    "renew_to_installed_11_stores": "renew_to_installed with ten Firefox profiles beside Chromium's database",
    "installed_per_additional_store": "(that − the same with Chromium's database alone) ÷ 10",
    **{f"soak_{name}_anonymous": f"anonymous memory of the {name} at the end of a soak (make soak)" for name in ("server", "daemon", "agent")},
    "agent_11_stores_pss_anon": "the agent's own memory at rest, eleven stores served and watched",
    "agent_11_stores_pss": "the same with its share of the libraries that others use, too",
    "agent_11_stores_rss": "the same with all of those libraries' pages that it has touched",
    "agent_11_stores_wakeups_60s": "voluntary context switches of the agent in 60 s at rest, eleven stores served and watched",
    "exposure_devtrustd": "systemd-analyze security of the unit, 0 (enclosed) to 10; the same for the others",
    "exposure_devtrust-server": "",
    "exposure_devtrust-agent": "a user's unit, in which what wants a namespace or root's rights has no effect and is left out",
    **hostile.NAMES,
    **ipc_parts.NAMES,
    **life_parts.NAMES,
}


class Results:
    def __init__(self) -> None:
        self.values: dict[str, dict[str, float | int | str]] = {}

    def add(self, name: str, samples: list[float], unit: str, **more: float) -> None:
        ordered = sorted(samples)
        p95 = ordered[min(len(ordered) - 1, round(0.95 * (len(ordered) - 1)))]
        self.values[name] = {"median": round(statistics.median(ordered), 3), "p95": round(p95, 3), "unit": unit, "n": len(ordered), **more}
        entry = self.values[name]
        print(f"{name:34} {entry['median']:>12g} {entry['p95']:>12g}  {unit:6} {len(ordered):>4}  {NAMES.get(name, '')}", flush=True)

    def write(self) -> None:
        temporary = OUT.with_suffix(".new")
        temporary.write_text(json.dumps(self.values, indent=1) + "\n", encoding="utf-8")
        temporary.rename(OUT)


# --- the world ---------------------------------------------------------------------------------------------------------------------

def on_disk(path: pathlib.Path) -> None:
    """The folder of this name lies on the repository's disk from now on, in place of the sandbox's memory."""
    real = DISK / str(path).strip("/").replace("/", "-")
    real.mkdir(parents=True)
    path.mkdir(parents=True, exist_ok=True)
    status = path.stat()
    subprocess.run(["mount", "--bind", str(real), str(path)], check=True)
    os.chown(path, status.st_uid, status.st_gid)
    path.chmod(0o755 if status.st_uid == 0 else 0o700)


@contextlib.contextmanager
def fresh(*users: str, server: dict | None = None, device_settings: dict | None = None) -> Iterator[world.World]:
    """Server, device, these users' agents; switched off, all connected."""
    made = world.World({**SERVER_ROOM, **(server or {})}, default_socket=True, where=DISK)
    try:
        made.start_server()
        device = made.add_device({**ROOM, **(device_settings or {})}).start()
        device.enroll(made.server)
        for name in users:
            made.manage(name, device)
            device.agent(name)
        device.wait_status(lambda status: status["push"]["connected"], "connected")
        for name in users:
            device.wait_user(name, agent_attached=True)
        yield made
    except BaseException:
        print(made.server.program.tail(20), *[device.program.tail(20) for device in made.devices], sep="\n", file=sys.stderr)
        raise
    finally:
        made.end()


def command(server: world.Server, name: str, arguments: dict[str, object]) -> tuple[float, float]:
    """An administrator's command without the cost of starting a tool: (sent at, answered at)."""
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(server.socket))
    sent = time.monotonic()
    connection.request("POST", f"/v1/command/{name}", json.dumps(arguments), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    body = answer.read()
    answered = time.monotonic()
    connection.close()
    assert answer.status < 300, body
    return sent, answered


def switch(server: world.Server, value: str) -> tuple[float, float]:
    return command(server, "distribution", {"value": value})


def at(program: programs.Program, pattern: str, since: float) -> float:
    """When the first such line after `since` came."""
    program.wait_log(pattern, since)
    regex = re.compile(pattern)
    with program.changed:
        return next(when for when, line in program.lines if when >= since and regex.search(line))


def moved(device: world.Device, state: str, since: float) -> float:
    return at(device.program, rf"\bTO={state}\b", since)


# --- the way ---------------------------------------------------------------------------------------------------------------------

STAGES = (("stage_push_to_state", "sent", "state"), ("stage_state_to_request", "state", "requested"),
          ("stage_request_to_csr", "requested", "signing"), ("stage_csr_to_bundle", "signing", "delivered"),
          ("stage_bundle_to_verified", "delivered", "verified"), ("stage_verified_to_reported", "verified", "installed"))


def measure_installs(results: Results) -> None:
    total: list[float] = []
    stages: dict[str, list[float]] = {name: [] for name, _, _ in STAGES}
    commands: list[float] = []
    with fresh("alice") as made:
        device, agent = made.device, made.device.agents["alice"]
        for round_number in range(N + 1):
            sent, answered = switch(made.server, "on")
            device.wait_user("alice", state="installed")
            moments = {"sent": sent, "state": at(device.program, "A desired state was taken", sent),
                       "verified": at(agent.program, r"STATE=superseding", sent)}
            moments |= {state: moved(device, state, sent) for state in ("requested", "signing", "delivered", "installed")}
            switch(made.server, "off")
            device.wait_gone("alice")
            if round_number == 0:
                continue  # the first makes the database
            total.append((moments["installed"] - sent) * 1000)
            commands.append((answered - sent) * 1000)
            for name, begin, end in STAGES:
                stages[name].append((moments[end] - moments[begin]) * 1000)
    results.add("push_to_installed", total, "ms")
    results.add("stage_command", commands, "ms")
    for name, samples in stages.items():
        results.add(name, samples, "ms")


def cpu_ns(pid: int) -> int:
    """Time on a processor of all threads so far."""
    return sum(int((task / "schedstat").read_text(encoding="ascii").split()[0]) for task in pathlib.Path(f"/proc/{pid}/task").iterdir())


def renew(device: world.Device, old: str) -> tuple[str, float]:
    begin = time.monotonic()
    device.call("io.devtrust.Device.Renew", {}, uid=1000)
    moved(device, "installed", begin)
    end = time.monotonic()
    serial = device.wait_user("alice", state="installed", serial=lambda serial: serial != old)["serial"]
    return serial, (end - begin) * 1000


def measure_renewals(results: Results) -> None:
    """CPU per request by the kernel's own accounting; then, with strace attached, processes and fsyncs."""
    with fresh("alice") as made:
        device = made.device
        everyone = {"daemon": device.program, "agent": device.agents["alice"].program, "server": made.server.program}
        switch(made.server, "on")
        serial = device.wait_user("alice", state="installed")["serial"]
        times: list[float] = []
        cpu: dict[str, list[float]] = {name: [] for name in everyone}
        for _ in range(N):
            before = {name: cpu_ns(program.pid) for name, program in everyone.items()}
            serial, took = renew(device, serial)
            times.append(took)
            for name, program in everyone.items():
                cpu[name].append((cpu_ns(program.pid) - before[name]) / 1e6)
        results.add("renew_to_installed", times, "ms")
        for name, samples in cpu.items():
            results.add(f"cpu_per_request_{name}", samples, "ms")
        count_calls(results, device, everyone, serial)


def count_calls(results: Results, device: world.Device, everyone: dict[str, programs.Program], serial: str) -> None:
    files = {name: programs.RUN / f"calls-{name}" for name in everyone}
    tracers = []
    for name, program in everyone.items():
        tracer = subprocess.Popen(["strace", "-f", "-o", str(files[name]), "-e", "trace=fsync,fdatasync,clone,clone3,fork,vfork,execve",
                                   "-p", str(program.pid)], stderr=subprocess.PIPE, text=True)
        assert "attached" in tracer.stderr.readline()
        threading.Thread(target=tracer.stderr.read, daemon=True).start()
        tracers.append(tracer)
    fsyncs: dict[str, list[float]] = {name: [] for name in everyone}
    children: list[float] = []
    seen = {name: 0 for name in everyone}
    for _ in range(N):
        serial, _ = renew(device, serial)
        started = 0
        for name, path in files.items():
            text = path.read_text(encoding="utf-8", errors="replace")
            new, seen[name] = text[seen[name]:], len(text)
            fsyncs[name].append(len(re.findall(r"\bf(?:data)?sync\(", new)))
            started += len(re.findall(r"\b(?:fork|vfork|execve)\(|\bclone3?\((?!.*CLONE_THREAD)", new))
        children.append(started)
    for tracer in tracers:
        tracer.terminate()
        tracer.wait()
    results.add("children_per_request", children, "count")
    results.add("fsyncs_per_request", [sum(sample) for sample in zip(*fsyncs.values())], "count")
    for name, samples in fsyncs.items():
        results.add(f"fsyncs_per_request_{name}", samples, "count")


# --- rest --------------------------------------------------------------------------------------------------------------------------

def rollup(pid: int) -> dict[str, int]:
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    return {name: int(value) for name, value in re.findall(r"^(\w+):\s+(\d+) kB", text, re.M)}


def switches(pid: int) -> int:
    return sum(int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", (task / "status").read_text(encoding="ascii"), re.M)[1])
               for task in pathlib.Path(f"/proc/{pid}/task").iterdir())


def measure_rest(results: Results) -> None:
    """A user with a certificate, nothing to do: memory, sampled over the minute in which the wake-ups are counted."""
    with fresh("alice") as made:
        device = made.device
        switch(made.server, "on")
        device.wait_user("alice", state="installed")
        waiting.until(lambda: [entry["state"] for entry in made.server.certificates() if entry["kind"] == "user"] == ["installed"],
                      "confirmed at the server")
        pids = {"daemon": device.program.pid, "agent": device.agents["alice"].program.pid}
        settle(pids)
        before = {name: switches(pid) for name, pid in pids.items()}
        memory: dict[str, list[float]] = {}
        begin = time.monotonic()
        for sample in range(1, N + 1):
            time.sleep(max(0.0, begin + REST_S * sample / N - time.monotonic()))  # the minute is the measurement
            for name, pid in pids.items():
                values = rollup(pid)
                for key, label in (("Pss_Anon", "pss_anon"), ("Pss", "pss")):
                    memory.setdefault(f"{name}_{label}", []).append(values[key])
        for name, samples in sorted(memory.items()):
            results.add(name, samples, "kB")
        for name, pid in pids.items():
            woken = switches(pid) - before[name]
            results.add(f"{name}_wakeups_60s", [woken], "count")
            results.add(f"{name}_wakeups_hour", [woken * 3600 / REST_S], "count")


def measure_soak(results: Results) -> None:
    """N hours of it; whether anything grows is for the soak itself to say."""
    figures, _ = soak.run(max(2, N))
    for name in ("server", "daemon", "agent"):
        results.add(f"soak_{name}_anonymous", [figures[f"{name} anonymous_kib"][1]], "kB", before=figures[f"{name} anonymous_kib"][0])


def settle(pids: dict[str, int]) -> None:
    """Until neither has been scheduled for longer than any pause of the daemon's work after an installation."""
    state = {"at": time.monotonic(), "seen": None}

    def quiet() -> bool:
        now = tuple(switches(pid) for pid in pids.values())
        if now != state["seen"]:
            state["at"], state["seen"] = time.monotonic(), now
        return time.monotonic() - state["at"] > 15
    waiting.until(quiet, "at rest", 120)


def start_once(device: world.Device) -> float:
    program = programs.Program("devtrustd", device.program.argv)
    begin = time.monotonic()
    program.start()
    while True:
        try:
            device.status()
            break
        except (ConnectionError, FileNotFoundError):
            program.check_alive()
    took = (time.monotonic() - begin) * 1000
    program.stop()
    return took


def measure_starts(results: Results) -> None:
    with fresh() as made:
        device = made.device
        device.stop()
        results.add("start_0_users", [start_once(device) for _ in range(N)], "ms")
        device.start()
        for number in range(50):
            accounts.add(f"start{number}", 3000 + number)
            made.manage(f"start{number}", device)
        switch(made.server, "on")
        device.wait_status(lambda status: len(status["users"]) == 50, "50 users")
        waiting.until(lambda: len(list((device.state_dir / "users").iterdir())) == 50, "50 user files")
        device.stop()
        results.add("start_50_users", [start_once(device) for _ in range(N)], "ms")


def measure_crowd(results: Results) -> None:
    names = [f"crowd{number}" for number in range(CROWD)]
    for number, name in enumerate(names):
        accounts.add(name, 4000 + number)
    with fresh(*names) as made:
        device = made.device
        samples = []
        for _ in range(N):
            sent, _ = switch(made.server, "on")
            waiting.until(lambda: all(user["state"] == "installed" for user in device.status()["users"]), "all installed", 300)
            with device.program.changed:
                last = max(when for when, line in device.program.lines if when >= sent and "TO=installed" in line)
            samples.append((last - sent) * 1000)
            switch(made.server, "off")
            waiting.until(lambda: all(user["state"] == "absent" for user in device.status()["users"]), "all gone", 300)
            waiting.until(lambda: not list((device.state_dir / "reports").iterdir()), "the server has heard of it all", 300)
    results.add("agents_100_installed", samples, "ms")


# --- the page ------------------------------------------------------------------------------------------------------------------------

def measure_pages(results: Results) -> None:
    with fresh("alice", "bob") as made:
        device, server = made.device, made.server
        nss.Database("alice").create().trust_tls_ca(server.tls_ca)
        with browser.Browser("alice") as chromium:
            assert chromium.visit(server.portal_url + "/")[0] == "unmanaged"
            samples = []
            for _ in range(N + 1):  # bob is not managed either: the policy comes and goes with the switch
                sent, _ = switch(server, "on")
                samples.append(until_trusted(chromium, sent))
                switch(server, "off")
                device.wait_gone("alice")
                device.wait_gone("bob")
            # the first is left out: a browser that has only just started reads a new policy later
            results.add("push_to_trusted_page_new_policy", samples[1:], "ms")
            switch(server, "on")
            device.wait_user("bob", state="installed")
            until_trusted(chromium, time.monotonic())
            samples = []
            for _ in range(N):  # bob stays, and with him the policy
                unassign(made)
                assert chromium.revisit()[0] == "unmanaged"
                samples.append(until_trusted(chromium, assign(made)))
            results.add("push_to_trusted_page", samples, "ms")
        measure_cold(results, made, "", lambda: browser.Browser("alice", profile="every-day").start_driver())


def unassign(made: world.World) -> None:
    command(made.server, "unassign", {"user": "u-alice", "device": made.device.uuid})
    made.device.wait_gone("alice")


def assign(made: world.World) -> float:
    """When it was asked for."""
    return command(made.server, "assign", {"user": "u-alice", "device": made.device.uuid, "local_name": "alice"})[0]


def measure_cold(results: Results, made: world.World, prefix: str, make: Callable[[], browser.Browser | firefox.Firefox]) -> None:
    """The browser is started as soon as the certificate is there; its first start, which makes the profile, is left out."""
    pushed, cold = [], []
    for _ in range(max(1, N // 4) + 1):
        unassign(made)
        starting = make()
        sent = assign(made)
        made.device.wait_user("alice", state="installed")
        begin = time.monotonic()
        with starting as running:
            running.visit(made.server.portal_url + "/", "trusted")
            end = time.monotonic()
        pushed.append((end - sent) * 1000)
        cold.append((end - begin) * 1000)
    results.add(f"{prefix}push_to_trusted_page_cold", pushed[1:], "ms")
    results.add(f"{prefix}cold_to_trusted_page", cold[1:], "ms")


def until_trusted(running: browser.Pages, since: float) -> float:
    waiting.until(lambda: running.revisit()[0] == "trusted", "trusted", 60)
    return (time.monotonic() - since) * 1000


def measure_firefox(results: Results) -> None:
    with fresh("alice", device_settings={"policy": {"firefox_auto_select": "yes"}}) as made:
        device, server = made.device, made.server
        switch(server, "on")
        serial = device.wait_user("alice", state="installed")["serial"]
        one = []
        for _ in range(N):
            serial, took = renew(device, serial)
            one.append(took)
        profiles = [firefox.Profile("alice") for _ in range(10)]
        user = device.wait_user("alice", state="installed", stores=lambda stores: len(stores) == 11)
        serial = user["serial"]
        eleven = []
        for _ in range(N):
            serial, took = renew(device, serial)
            eleven.append(took)
        results.add("renew_to_installed_11_stores", eleven, "ms")
        results.add("installed_per_additional_store", [(took - statistics.median(one)) / 10 for took in eleven], "ms")
        measure_firefox_pages(results, made, profiles[0].trust_tls_ca(server.tls_ca))
        agent = {"agent": device.agents["alice"].program.pid}
        settle(agent)
        before = switches(agent["agent"])
        time.sleep(REST_S)  # the minute is the measurement
        results.add("agent_11_stores_wakeups_60s", [switches(agent["agent"]) - before], "count")
        memory = rollup(agent["agent"])
        for key, name in (("Pss_Anon", "pss_anon"), ("Pss", "pss"), ("Rss", "rss")):
            results.add(f"agent_11_stores_{name}", [memory[key]], "kB")


def measure_firefox_pages(results: Results, made: world.World, profile: firefox.Profile) -> None:
    device, server = made.device, made.server
    measure_cold(results, made, "firefox_", lambda: firefox.Firefox(profile))
    samples = []
    with firefox.Firefox(profile) as fox:
        fox.visit(server.portal_url + "/")
        for _ in range(N):
            unassign(made)
            assert fox.revisit()[0] == "unmanaged"
            samples.append(until_trusted(fox, assign(made)))
            # the page says trusted as soon as the certificate is there; the rest of the way follows
            device.wait_user("alice", state="installed")
    results.add("firefox_push_to_trusted_page", samples, "ms")


# --- the units -----------------------------------------------------------------------------------------------------------------------

def measure_exposure(results: Results) -> None:
    """Of the unit files; the tests on a machine with systemd hold the running units to the same bound."""
    for unit in ("devtrustd", "devtrust-server", "devtrust-agent"):
        done = programs.run(["systemd-analyze", "security", "--no-pager", "--offline=yes", str(programs.ROOT / f"systemd/{unit}.service")])
        level = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
        assert level, done.stdout + done.stderr
        results.add(f"exposure_{unit}", [float(level[1])], "of 10")


# --- a machine's life ----------------------------------------------------------------------------------------------------------------

def measure_restart(results: Results) -> None:
    life_parts.measure_restart(results, N, fresh)


def measure_login(results: Results) -> None:
    life_parts.measure_login(results, N, fresh)


def measure_resume(results: Results) -> None:
    life_parts.measure_resume(results, N, fresh)


# --- local users who mean harm -----------------------------------------------------------------------------------------------------

def measure_hostile(results: Results) -> None:
    hostile.measure(results, max(3, N // 4))


# --- the local IPC -------------------------------------------------------------------------------------------------------------------

def measure_ipc(results: Results) -> None:
    """The daemon that is watched is enrolled, with one user who has a certificate."""
    program = programs.build_dir() / "bench" / "ipc_bench"
    ipc_parts.measure_round_trips(results, program, 2 * N)
    with fresh("alice") as made:
        switch(made.server, "on")
        made.device.wait_user("alice", state="installed")
        ipc_parts.measure_monitor(results, program, made.device, N)


# --- the others ----------------------------------------------------------------------------------------------------------------------

BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:path=/run/dt/bus</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>
"""


def measure_certmonger(results: Results) -> None:
    """Its daemon on a private bus, its state on the same disk."""
    for path in ("/var/lib/certmonger", "/run/certmonger"):
        pathlib.Path(path).mkdir(parents=True, exist_ok=True)
    on_disk(pathlib.Path("/var/lib/certmonger"))
    for name in ("cas", "requests", "local"):
        pathlib.Path("/var/lib/certmonger", name).mkdir()
    config = programs.RUN / "bus.conf"
    config.write_text(BUS, encoding="ascii")
    environment = programs.base_environment() | {"DBUS_SESSION_BUS_ADDRESS": "unix:path=/run/dt/bus"}
    bus = programs.Program("dbus", ["dbus-daemon", f"--config-file={config}", "--nofork", "--print-address=1"], environment=environment).start()
    bus.wait_log("unix:")

    def start() -> programs.Program:
        return programs.Program("certmonger", ["certmonger", "-s", "-n", "-d", "1"], environment=environment).start()
    daemon = start()
    database = DISK / "certmonger-nssdb"
    database.mkdir()
    try:
        done = programs.run(["certutil", "-N", "--empty-password", "-d", f"sql:{database}"])
        assert done.returncode == 0, done.stderr

        def ready() -> bool:
            return "SelfSign" in programs.run(["getcert", "list-cas", "-s"], environment=environment).stdout
        waiting.until(ready, "certmonger answers", alive=daemon.check_alive)
        samples = []
        for number in range(N):
            begin = time.monotonic()
            done = programs.run(["getcert", "request", "-s", "-w", "-c", "SelfSign", "-d", str(database), "-n", f"cert{number}",
                                 "-G", "ec", "-g", "256", "-N", f"CN=bench{number}"], environment=environment)
            samples.append((time.monotonic() - begin) * 1000)
            assert done.returncode == 0, done.stdout + done.stderr + daemon.tail()
        listed = programs.run(["certutil", "-L", "-d", f"sql:{database}"]).stdout
        assert all(re.search(rf"^cert{number}\s", listed, re.M) for number in range(N)), listed
        results.add("certmonger_request", samples, "ms")
        daemon.kill()
        life_parts.measure_certmonger_restart(results, N, start, environment)
    finally:
        if daemon.running():
            daemon.kill()
        bus.kill()


def measure_floor(results: Results) -> None:
    """The least that command-line tools need for the same: six processes."""
    folder = DISK / "floor"
    folder.mkdir()
    run = lambda *words: programs.run(list(words), environment=programs.base_environment())  # noqa: E731
    good = run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{folder}/ca.key",
               "-out", f"{folder}/ca.pem", "-subj", "/CN=floor CA", "-days", "30")
    assert good.returncode == 0, good.stderr
    assert run("certutil", "-N", "--empty-password", "-d", f"sql:{folder}").returncode == 0
    samples = []
    for number in range(N):
        base = f"{folder}/c{number}"
        begin = time.monotonic()
        for words in (("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", f"{base}.key"),
                      ("openssl", "req", "-new", "-key", f"{base}.key", "-subj", f"/CN=floor {number}", "-out", f"{base}.csr"),
                      ("openssl", "x509", "-req", "-in", f"{base}.csr", "-CA", f"{folder}/ca.pem", "-CAkey", f"{folder}/ca.key",
                       "-CAcreateserial", "-days", "30", "-out", f"{base}.pem"),
                      ("openssl", "pkcs12", "-export", "-in", f"{base}.pem", "-inkey", f"{base}.key", "-name", f"floor {number}",
                       "-out", f"{base}.p12", "-passout", "pass:x"),
                      ("pk12util", "-i", f"{base}.p12", "-d", f"sql:{folder}", "-W", "x", "-K", "")):
            done = run(*words)
            assert done.returncode == 0, (words, done.stderr)
        samples.append((time.monotonic() - begin) * 1000)
    results.add("cli_floor", samples, "ms")


def main() -> int:
    shutil.rmtree(DISK, ignore_errors=True)
    DISK.mkdir(parents=True)
    programs.install_programs()
    on_disk(accounts.home("alice"))
    results = Results()
    kind = subprocess.run(["stat", "-f", "-c", "%T", str(DISK)], capture_output=True, text=True, check=True).stdout.strip()
    print(f"{os.cpu_count()} processors, state on {kind}, {N} samples each\n")
    print(f"{'name':34} {'median':>12} {'p95':>12}  {'unit':6} {'n':>4}", flush=True)
    wanted = sys.argv[1:]
    parts: list[Callable[[Results], None]] = [measure_exposure, measure_installs, measure_renewals, measure_floor, measure_certmonger,
                                              measure_starts, measure_restart, measure_login, measure_resume, measure_soak,
                                              measure_rest, measure_pages, measure_firefox, measure_crowd, measure_hostile,
                                              measure_ipc]
    status = 0
    for part in parts:
        if wanted and part.__name__.removeprefix("measure_") not in wanted:
            continue
        try:
            part(results)
        except Exception as error:  # the others are still worth measuring
            print(f"{part.__name__}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
            status = 1
        results.write()
    subprocess.run(["umount", "-l", str(accounts.home("alice"))], check=False)
    shutil.rmtree(DISK, ignore_errors=True)
    print(f"\nwritten: {OUT.relative_to(programs.ROOT)}")
    return status


if __name__ == "__main__":
    sys.exit(main())
