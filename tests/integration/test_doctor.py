"""devtrustctl doctor and repair: one bad day per check of the device's, made for real; the right check says so, and repair mends what is
safe to mend."""
import contextlib
import datetime
import email.utils
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest
from harness import accounts, certs, doctor, programs, varlink, waiting
from harness.doctor import Doctor
from harness.peer import Peer
from harness.relay import Relay
from harness.world import POLICY_ROOT

ALICE, BOB, CAROL = 1000, 1001, 1002
ROOM = {"limits": {"requests_per_hour": 10000}}
DEVICE_CHECKS = {"daemon", "versions", "device-certificate", "permissions", "disk", "server", "clock", "push", "state", "policy", "browser"}
OURS = POLICY_ROOT / "zz-devtrust.json"


@pytest.fixture
def well(world):
    """A device where all is well, with alice's certificate installed."""
    device = world.setup("alice", device_settings=ROOM)
    device.wait_user("alice", state="installed")
    return device


@pytest.fixture
def behind(world):
    """The same with a peer between device and server."""
    world.start_server()
    peer = world.peer = Peer(world.server)
    device = world.add_device(ROOM).start()
    peer.device = device
    device.enroll(world.server, peer.url)
    world.manage("alice", device)
    device.agent("alice")
    world.server.distribution("on")
    device.wait_user("alice", state="installed")
    device.wait_status(lambda status: status["push"]["connected"], "connected")
    yield device
    peer.clear()
    peer.stop()


def reason_text(code):
    done = programs.run([str(programs.RUN / "bin/devtrustctl"), "explain", code, "--json"])
    return json.loads(done.stdout)["text"]


def repair(device, *arguments, uid=0):
    """The actions; the status is the doctor's."""
    return Doctor(device, *arguments, uid=uid, command="repair")


# ---- well ----

def test_a_healthy_device(well):
    for arguments, uid in ((["--user", "alice"], 0), (["--all-users"], 0), ([], ALICE)):
        look = doctor.wait_well(well, *arguments, uid=uid)
        assert DEVICE_CHECKS <= {check["id"] for check in look.checks if "user" not in check}
        assert look.one("user", user="alice")["result"] == "ok" and look.one("agent", user="alice")["result"] == "ok"
        assert look.one("store-key", user="alice")["result"] == "ok"
        counts = [sum(check["result"] == result for check in look.checks) for result in ("ok", "warning", "failure", "not_applicable")]
        assert counts == [look.answer[name] for name in ("ok", "warnings", "failures", "not_applicable")]
    root = doctor.wait_well(well)
    assert not any("user" in check for check in root.checks), "root is nobody's user"
    done = well.ctl("doctor", uid=ALICE)
    assert done.returncode == 0 and not done.stderr and "\x1b" not in done.stdout
    assert all(len(line) <= 80 for line in done.stdout.splitlines())
    assert " 0 warnings, 0 failures" in done.stdout.splitlines()[-1], done.stdout
    nothing = repair(well, uid=ALICE)
    assert nothing.status == 0 and nothing.answer["actions"] == []
    assert well.user("alice")["serial"] in well.agents["alice"].database.serials(), "what is well is not renewed"


def test_whom_it_looks_at(world):
    device = world.setup("alice", "bob")
    for name in ("alice", "bob"):
        device.wait_user(name, state="installed")
    look = doctor.wait_well(device, "--all-users")
    assert {check.get("user") for check in look.checks} == {None, "alice", "bob"}
    assert {check.get("user") for check in doctor.wait_well(device, uid=BOB).checks} == {None, "bob"}
    for arguments in (["doctor", "--user", "bob"], ["doctor", "--all-users"], ["repair", "--user", "bob"]):
        done = device.ctl(*arguments, uid=ALICE)
        assert done.returncode == 4 and "root" in done.stderr, (arguments, done)
    assert device.ctl("doctor", "--user", "nobody-of-that-name").returncode == 1
    for parameters in ({"user": "bob"}, {"all": True}):
        with pytest.raises(varlink.VarlinkError, match="not-permitted"):
            device.call("io.devtrust.Device.Diagnose", parameters, uid=ALICE)
    with pytest.raises(varlink.VarlinkError, match="not-permitted"):
        device.call("io.devtrust.Device.Repair", {"user": "bob"}, uid=ALICE)


def test_root_never_opens_a_users_store(well):
    """Neither the daemon nor the tool touches a path in a home, or loads what a store's pkcs11.txt names; whatever is found there, the
    user's agent has found."""
    database = well.agents["alice"].database
    (database.directory / "pkcs11.txt").write_text(f"library={accounts.home('alice')}/trap.so\nname=trap\n\n", encoding="utf-8")
    trace = programs.RUN / "doctor.strace"
    tool = subprocess.Popen(["strace", "-f", "-qq", "-e", "trace=file", "-o", trace, "-p", str(well.program.pid)], stdin=subprocess.DEVNULL,
                            stderr=subprocess.PIPE, text=True)
    try:
        waiting.until(lambda: f"TracerPid:\t{tool.pid}" in open(f"/proc/{well.program.pid}/status", encoding="ascii").read(), "attached")
        look = Doctor(well, "--all-users")
        actions = repair(well)
    finally:
        tool.terminate()
        tool.wait(waiting.PATIENCE)
    assert look.one("store-key", user="alice")["result"] == "ok" and actions.status == 0
    traced = trace.read_text(encoding="utf-8", errors="replace")
    assert str(POLICY_ROOT) in traced, "the trace sees what the daemon looks at"
    assert str(accounts.home("alice")) not in traced
    # a process that is traced cannot look for leaks
    done = programs.run(["strace", "-f", "-qq", "-e", "trace=file,connect", "-o", trace, str(programs.RUN / "bin/devtrustctl"), "doctor",
                         "--all-users", "--socket", str(well.socket)], environment={**programs.base_environment(), "ASAN_OPTIONS": "detect_leaks=0"})
    assert done.returncode == 0, done.stdout
    assert "io.devtrust" in trace.read_text(encoding="utf-8", errors="replace")
    assert str(accounts.home("alice")) not in trace.read_text(encoding="utf-8", errors="replace")
    for program in (well.program, well.agents["alice"].program):
        maps = open(f"/proc/{program.pid}/maps", encoding="utf-8").read()
        assert "trap.so" not in maps and (program is not well.program or "libnss3" not in maps)


# ---- the server ----

def test_server_down(well, world):
    world.server.stop()
    well.wait_status(lambda status: not status["push"]["connected"], "seen as away")
    look = doctor.wait_bad(well, [("push", "push-down"), ("server", "server-unreachable")], uid=ALICE)
    assert look.status == 1
    assert look.one("server")["subject"] == world.server.url
    assert look.one("clock")["result"] == look.one("state")["result"] == "not_applicable"
    assert look.one("user", user="alice")["result"] == "ok", "a certificate stays good"
    told = repair(well, uid=ALICE)
    assert told.status == 1 and [(action["id"], action["code"]) for action in told.answer["actions"]] == [("server", "server-unreachable")]
    done = well.ctl("doctor", uid=ALICE)
    assert done.returncode == 1 and "[server-unreachable]" in done.stdout and "Codes:" in done.stdout
    world.server.start()
    assert repair(well, uid=ALICE).bad() == []


def test_server_hangs(well, world):
    world.server.program.signal(signal.SIGSTOP)
    try:
        look = Doctor(well, uid=ALICE)
        assert ("server", "server-timeout") in look.failures() and look.status == 1, look.checks
        assert look.one("store-key", user="alice")["result"] == "ok", "the rest is there all the same"
    finally:
        world.server.program.signal(signal.SIGCONT)
    doctor.wait_well(well, uid=ALICE)


def test_another_ca(behind, world):
    folder = certs.scratch()
    certificate, key = certs.self_signed(folder, "impostor")
    world.peer.tls.load_cert_chain(certificate, key)
    look = doctor.wait(behind, lambda look: look.has("server", "failure", "server-tls"), "named", uid=ALICE)
    assert look.status == 1 and "certificate" in look.one("server")["text"]
    world.peer.tls.load_cert_chain(world.server.state_dir / "tls.pem", world.server.state_dir / "tls.key")
    repair(behind, uid=ALICE)
    doctor.wait_well(behind, uid=ALICE)


def test_the_wrong_name(behind, world):
    chain, key = certs.tls_leaf(certs.scratch(), world.server.tls_ca, world.server.state_dir / "tls-ca.key", "DNS:other.example")
    world.peer.tls.load_cert_chain(chain, key)
    doctor.wait(behind, lambda look: look.has("server", "failure", "server-tls"), "named")


@pytest.mark.parametrize("status, code", [(503, "server-error"), (404, "server-answer"), (302, "redirect")])
def test_a_server_that_answers_badly(behind, world, status, code):
    world.peer.on("GET", "/v1/state", lambda exchange: exchange.reply(status, b"no", "text/plain", {"Location": "https://other.example/"}))
    look = doctor.wait(behind, lambda look: look.has("server", "failure", code), code)
    assert look.status == 1


def test_a_device_that_was_suspended(behind, world):
    body = json.dumps({"status": 403, "code": "device-suspended"}).encode()
    world.peer.on("GET", "/v1/state", lambda exchange: exchange.reply(403, body, "application/problem+json"))
    doctor.wait(behind, lambda look: look.has("server", "failure", "device-suspended"), "named")


def shifted(seconds):
    def rule(exchange):
        answer = exchange.forward()
        answer.headers = {name: value for name, value in answer.headers.items() if name.lower() != "date"}
        now = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=seconds)
        answer.headers["Date"] = email.utils.format_datetime(now, usegmt=True)
        exchange.send(answer)
    return rule


@pytest.mark.parametrize("seconds, result, says", [(7200, "failure", "119 minutes ahead|2 hours ahead"), (-7230, "failure", "2 hours behind"),
                                                   (125, "warning", "2 minutes ahead")])
def test_clock(behind, world, seconds, result, says):
    world.peer.on("GET", "/v1/state", shifted(seconds))
    look = Doctor(behind)
    assert look.has("clock", result, "clock"), look.checks
    assert any(words in look.one("clock")["text"] for words in says.split("|")), look.one("clock")
    assert look.status == (1 if result == "failure" else 0)
    world.peer.clear()
    # the daemon's own view follows at its next answer
    repair(behind)
    doctor.wait_well(behind)


# ---- push and state ----

def cut_push(world, device):
    """The stream is cut, and its successor told to wait for an hour."""
    world.peer.on("GET", "/v1/events", lambda exchange: exchange.reply(503, headers={"Retry-After": "3600"}))
    world.peer.end_streams()
    device.wait_status(lambda status: status["push"].get("code") == "server-error", "the hour has begun")
    world.peer.clear()


def test_push_cut_and_repaired(behind, world):
    cut_push(world, behind)
    look = doctor.wait_bad(behind, [("push", "push-down")], uid=ALICE)
    assert look.status == 1 and "devtrustctl repair" in look.one("push")["remedy"]
    done = behind.ctl("doctor", uid=ALICE)
    assert done.stdout.rstrip().endswith("Next:    devtrustctl repair")
    told = repair(behind, uid=ALICE)
    assert told.status == 0 and [action["id"] for action in told.answer["actions"]] == ["push"], told.answer
    assert "code" not in told.answer["actions"][0]
    doctor.wait_well(behind, uid=ALICE)


def test_a_newer_state_that_nobody_told_of(behind, world):
    """The stream stands and says nothing."""
    world.peer.on("GET", "/v1/events", lambda exchange: (exchange.begin_stream(), exchange.hold()))
    fetched = world.peer.count("GET /v1/state")
    world.peer.end_streams()
    world.peer.wait_stream()
    world.peer.wait_ended("GET /v1/state", fetched + 1)  # what it asks for when the stream is open again
    behind.wait_status(lambda status: status["push"]["connected"], "connected again")
    world.server.cli("user", "add", "u-poke")
    world.server.cli("assign", "u-poke", behind.uuid, "bob")
    look = doctor.wait_bad(behind, [("state", "state-behind")], uid=ALICE)
    assert look.status == 0, "a warning is no failure"
    # bob is not managed yet as far as the device knows, and may repair nevertheless
    told = repair(behind, uid=BOB)
    assert "state" in [action["id"] for action in told.answer["actions"]], told.answer
    doctor.wait_well(behind, uid=ALICE)
    assert behind.user("bob")


def test_a_server_with_an_older_state(behind, world):
    def older(exchange):
        answer = exchange.forward()
        state = json.loads(answer.body)
        state["generation"] -= 1
        exchange.reply_json(state)
    world.peer.on("GET", "/v1/state", older)
    doctor.wait_bad(behind, [("state", "state-ahead")])


def test_a_state_that_is_none(behind, world):
    world.peer.on("GET", "/v1/state", lambda exchange: exchange.reply_json({"epoch": 7}))
    look = Doctor(behind)
    assert look.has("server", "failure", "state-invalid") or look.has("state", "failure", "state-invalid"), look.checks


def test_distribution_off_and_paused(well, world):
    world.server.distribution("paused")
    look = doctor.wait_bad(well, [("state", "distribution-paused")], uid=ALICE)
    assert look.status == 1 and look.one("user", user="alice")["result"] == "not_applicable"
    world.server.distribution("off")
    well.wait_gone("alice")
    look = doctor.wait(well, lambda look: look.has("state", "failure", "distribution-off"), "off", "--all-users")
    assert look.failures() == [("state", "distribution-off")] and look.status == 1
    assert "devtrust-server distribution on" in look.one("state")["remedy"]
    own = Doctor(well, uid=ALICE)
    assert own.failures() == [("state", "distribution-off")], own.checks
    world.server.distribution("on")
    well.wait_user("alice", state="installed")
    doctor.wait_well(well, uid=ALICE)


# ---- the device certificate ----

def test_not_enrolled(world):
    world.start_server()
    device = world.add_device().start()
    look = Doctor(device)
    assert look.failures() == [("device-certificate", "not-enrolled")] and look.status == 1
    assert all(look.one(name)["result"] == "not_applicable" for name in ("server", "clock", "push", "state"))
    assert repair(device).answer["actions"] == [{"id": "server", "code": "not-enrolled", "text": "This device is not enrolled."}]
    stranger = Doctor(device, uid=CAROL)
    assert stranger.one("user")["result"] == "not_applicable"


def test_removed_and_held(well, world):
    assert well.ctl("remove").returncode == 0
    well.wait_gone("alice")
    look = doctor.wait(well, lambda look: look.has("device-certificate", "failure", "held"), "held", "--all-users")
    assert look.failures() == [("device-certificate", "held")]
    repair(well)
    assert well.status()["enrolment"]["state"] == "held", "a repair ends no hold"
    assert well.ctl("renew").returncode == 0
    well.wait_user("alice", state="installed")
    world.server.cli("device", "remove", well.uuid)
    doctor.wait(well, lambda look: look.has("device-certificate", "failure", "device-removed"), "removed")


def test_the_device_certificate_expires_and_is_renewed(make_world):
    """The server is away until it has expired."""
    world = make_world({"issue": {"device_lifetime": "24s"}})
    device = world.setup()
    world.server.stop()
    why = reason_text("server-unreachable")
    doctor.wait(device, lambda look: look.has("device-certificate", "warning", "renewal-overdue")
                and why in look.one("device-certificate")["text"], "overdue, and why")
    look = doctor.wait(device, lambda look: look.has("device-certificate", "failure", "expired"), "expired")
    assert look.status == 1
    world.server.start()
    device.call("io.devtrust.Device.Repair")
    # so short a life is always due for renewal: a warning stays
    look = doctor.wait(device, lambda look: not look.failures(), "renewed")
    assert look.one("server")["result"] == "ok"


def test_the_key_is_gone(well):
    key = well.state_dir / "device.key"
    kept = key.read_bytes()
    key.unlink()
    look = doctor.wait_bad(well, [("permissions", "device-key")])
    assert look.one("permissions")["subject"] == str(key) and look.status == 1
    key.write_bytes(kept)
    key.chmod(0o600)
    doctor.wait_well(well)


# ---- the machine's files ----

def test_state_directory_and_key_open_to_others(well):
    well.state_dir.chmod(0o755)
    (well.state_dir / "device.key").chmod(0o644)
    look = doctor.wait_bad(well, [("permissions", "permissions")] * 2, uid=ALICE)
    assert sorted(check["subject"] for check in look.find("permissions")) == [str(well.state_dir), str(well.state_dir / "device.key")]
    assert {check["text"] for check in look.find("permissions")} == {"Its mode is 0755; it must be 0700.", "Its mode is 0644; it must be 0600."}
    assert repair(well, uid=ALICE).bad() == [("permissions", "permissions")] * 2, "a user changes nothing there"
    told = repair(well)
    assert [action["id"] for action in told.answer["actions"]] == ["permissions"] and told.bad() == []
    assert well.state_dir.stat().st_mode & 0o777 == 0o700 and (well.state_dir / "device.key").stat().st_mode & 0o777 == 0o600
    doctor.wait_well(well)


def test_a_directory_on_the_way_is_open(well):
    well.base.chmod(0o777)
    look = doctor.wait(well, lambda look: look.has("permissions", "failure", "permissions", str(well.base)), "named")
    assert look.bad() == [("permissions", "permissions")], "once, though two paths lead through it"
    well.base.chmod(0o755)
    doctor.wait_well(well)


def test_disk_full(make_world):
    """A state directory on a file system of 4 MiB: little, then nothing."""
    world = make_world()
    world.start_server()
    device = world.add_device(ROOM)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m,mode=0700", "tmpfs", str(device.state_dir)], check=True)
    try:
        device.start()
        device.enroll(world.server)
        world.manage("alice", device)
        device.agent("alice")
        world.server.distribution("on")
        device.wait_user("alice", state="installed")
        look = doctor.wait_bad(device, [("disk", "disk-low")], uid=ALICE)
        assert look.status == 0 and look.one("disk", "state")["subject"] == str(device.state_dir)
        ballast = device.state_dir / "ballast"
        with open(ballast, "wb", buffering=0) as file:
            with pytest.raises(OSError):
                while True:
                    file.write(b"x" * 4096)
        look = doctor.wait_bad(device, [("disk", "disk-full")], uid=ALICE)
        assert look.status == 1 and "are free" in look.one("disk", "state")["text"]
        assert ("disk", "disk-full") in repair(device).bad(), "and nothing breaks"
        ballast.unlink()
        doctor.wait_bad(device, [("disk", "disk-low")])
    finally:
        device.agents["alice"].kill()
        device.kill()
        subprocess.run(["umount", str(device.state_dir)], check=True)


# ---- browsers ----

@pytest.fixture
def overlaid(well):
    """Another file system over the policy directory: the daemon's watch does not see it. A daemon that has just started has nothing to
    remind browsers of, and so makes no event itself."""
    well.stop()
    well.start()
    well.wait_status(lambda status: status["push"]["connected"], "connected")
    well.wait_user("alice", state="installed", agent_attached=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", str(POLICY_ROOT)], check=True)
    yield well
    subprocess.run(["umount", str(POLICY_ROOT)], check=True)


def test_policy_file_missing(overlaid):
    look = doctor.wait_bad(overlaid, [("browser", "browser-no-policy"), ("policy", "policy-missing")], uid=ALICE)
    assert look.one("policy")["subject"] == str(OURS) and look.status == 1
    done = overlaid.ctl("doctor", uid=ALICE)
    assert done.stdout.rstrip().endswith("Next:    sudo devtrustctl repair")
    assert ("policy", "policy-missing") in repair(overlaid, uid=ALICE).bad(), "that needs root"
    told = repair(overlaid)
    assert "policy" in [action["id"] for action in told.answer["actions"]] and told.bad() == []
    assert OURS.exists()
    doctor.wait_well(overlaid, uid=ALICE)


@pytest.mark.parametrize("text", ["{", "{}", '{"AutoSelectCertificateForUrls": []}', ""])
def test_policy_file_broken_or_changed(overlaid, text):
    OURS.write_text(text, encoding="ascii")
    OURS.chmod(0o644)
    look = doctor.wait(overlaid, lambda look: look.has("policy", "failure", "policy-changed"), "named")
    assert look.status == 1
    told = repair(overlaid)
    assert told.bad() == [] and "AutoSelectCertificateForUrls" in OURS.read_text(encoding="utf-8")


def test_policy_file_that_browsers_may_not_read(well):
    OURS.chmod(0o600)
    doctor.wait(well, lambda look: look.has("policy", "failure", "policy-changed"), "named")
    assert repair(well).bad() == [] and OURS.stat().st_mode & 0o777 == 0o644


def test_policy_shadowed_and_broken_beside(well):
    other = POLICY_ROOT / "zzz-last.json"
    other.write_text('{"AutoSelectCertificateForUrls": ["x"]}', encoding="ascii")
    look = doctor.wait_bad(well, [("policy", "policy-conflict")])
    assert "zzz-last.json" in look.one("policy")["text"]
    other.unlink()
    broken = POLICY_ROOT / "50-broken.json"
    broken.write_text("{", encoding="ascii")
    look = doctor.wait_bad(well, [("policy", "policy-broken-file")])
    assert look.status == 0 and "50-broken.json" in look.one("policy")["text"]
    repair(well)
    assert broken.read_text(encoding="ascii") == "{", "an administrator's file is never touched"
    broken.unlink()
    doctor.wait_well(well)


@pytest.mark.parametrize("spoil, mend", [
    (lambda: POLICY_ROOT.chmod(0o777), lambda: POLICY_ROOT.chmod(0o755)),
    (lambda: os.chown(POLICY_ROOT, 1000, 1000), lambda: os.chown(POLICY_ROOT, 0, 0)),
], ids=["writable by others", "not root's"])
def test_policy_directory_unsafe(well, spoil, mend):
    spoil()
    look = doctor.wait(well, lambda look: look.has("policy", "failure", "policy-directory"), "named")
    assert look.status == 1 and look.one("policy")["subject"] == str(POLICY_ROOT)
    assert ("policy", "policy-directory") in repair(well).bad(), "not ours to change"
    mend()
    repair(well)
    doctor.wait_well(well)


def test_a_browser_without_a_policy_directory(world):
    """The configuration names another directory than the one that the installed Chromium reads."""
    device = world.add_device(ROOM)
    other = world.base / "elsewhere"
    other.mkdir()
    device.sections["policy"]["chromium_directories"] = other
    device.write_config()
    world.start_server()
    device.start()
    device.enroll(world.server)
    world.manage("alice", device)
    device.agent("alice")
    world.server.distribution("on")
    device.wait_user("alice", state="installed")
    if not shutil.which("chromium"):
        pytest.skip("no Chromium here")
    look = doctor.wait_bad(device, [("browser", "browser-no-policy")], uid=ALICE)
    assert look.one("browser", "Chromium")["result"] == "warning"


def test_another_tool_owns_the_policy(make_world):
    world = make_world()
    device = world.setup("alice", device_settings={"policy": {"owner": "external"}, **ROOM})
    look = doctor.wait(device, lambda look: look.has("policy", "failure", "policy-external"), "named")
    assert look.status == 1
    device.wait_user("alice", state="installed")
    rules = next(entry for entry in device.status()["policies"] if entry.get("code") == "policy-external")["remedy"].partition("install: ")[2]
    (POLICY_ROOT / "intune.json").write_text(rules, encoding="utf-8")
    doctor.wait_well(device, uid=ALICE)


# ---- nobody, or somebody else, behind the socket ----

def test_daemon_down(well):
    well.program.stop()
    for uid in (0, ALICE):
        look = Doctor(well, uid=uid)
        assert look.status == 3 and look.failures() == [("daemon", "daemon-unreachable")]
        assert "systemctl start devtrustd" in look.one("daemon")["remedy"]
    done = well.ctl("doctor", uid=ALICE)
    assert done.returncode == 3 and "[daemon-unreachable]" in done.stdout and not done.stderr
    assert well.ctl("repair", uid=ALICE).returncode == 3
    shutil.rmtree(well.socket.parent)
    assert "has not been started" in Doctor(well).one("daemon")["text"]
    well.socket.parent.mkdir(mode=0o755)
    os.chown(well.socket.parent, BOB, BOB)
    look = Doctor(well)
    assert look.failures() == [("daemon", "socket-directory")] and "bob" in look.one("daemon")["text"] and look.status == 3
    os.chown(well.socket.parent, 0, 0)
    well.start()
    doctor.wait_well(well, uid=ALICE)


def test_daemon_elsewhere(well):
    well.socket.rename(well.socket.with_name("moved"))
    look = Doctor(well)
    assert look.status == 3 and f"pid {well.program.pid}" in look.one("daemon")["text"], look.checks
    well.socket.with_name("moved").rename(well.socket)
    doctor.wait_well(well)


def test_daemon_hangs(well):
    well.program.signal(signal.SIGSTOP)
    try:
        done = well.ctl("doctor", "--timeout", "1", uid=ALICE)
        assert done.returncode == 3 and "did not answer in time" in done.stdout
    finally:
        well.program.signal(signal.SIGCONT)


def test_squatted_socket(world):
    programs.install_programs()
    path = accounts.home("bob") / "s"
    heard = programs.Program("impostor", ["/usr/bin/python3", "-c", "import socket\ns=socket.socket(socket.AF_UNIX)\n"
                                          f"s.bind('{path}')\ns.listen()\nprint('ready',flush=True)\n"
                                          "while True:\n c,_=s.accept()\n print('heard',c.recv(99),flush=True)"], uid=BOB).start()
    try:
        heard.wait_log("ready")
        for arguments in ([], ["--json"]):
            done = programs.run([str(programs.RUN / "bin/devtrustctl"), "doctor", "--socket", str(path), *arguments])
            assert done.returncode == 4 and "daemon-not-root" in done.stdout and "bob" in done.stdout, done
        heard.wait_log(r"heard b''")
        assert not heard.logged(r"heard b'[^']"), "nothing is said to it"
    finally:
        heard.kill()


def test_a_newer_daemon(well):
    relay = Relay(well, {"on": "reply", "method": "io.devtrust.Device.GetStatus", "set": ["version"], "to": "99.0"},
                  {"on": "reply", "method": "io.devtrust.Device.Diagnose", "strangers": True})
    try:
        done = programs.run([str(programs.RUN / "bin/devtrustctl"), "doctor", "--json", "--socket", str(relay.path)], uid=ALICE)
        versions = next(check for check in json.loads(done.stdout)["checks"] if check["id"] == "versions")
        assert versions["result"] == "warning" and versions["code"] == "version-mismatch" and "99.0" in versions["text"]
        assert done.returncode == 0
    finally:
        relay.end()


# ---- many ----

def test_a_crowd_of_doctors_is_no_burden_to_the_server(behind, world):
    """Forty at once: they share a probe."""
    before, begin = world.peer.count("GET /v1/state"), time.monotonic()
    answers = []

    connections = [varlink.Connection(behind.socket) for _ in range(8)]
    try:
        for connection in connections:
            for _ in range(5):
                connection.send("io.devtrust.Device.Diagnose")
        for connection in connections:
            answers += [connection.answer()["parameters"]["checks"] for _ in range(5)]
    finally:
        for connection in connections:
            connection.close()
    assert len(answers) == 40 and all(any(check["id"] == "server" and check["result"] == "ok" for check in answer) for answer in answers)
    rests = (time.monotonic() - begin) / 0.5
    assert world.peer.count("GET /v1/state") - before <= rests + 2, "one at a time, half a second apart"


def test_who_repairs_without_end_is_no_burden_to_the_server(behind, world):
    """Anybody may ask, and does not wait for the answer; what he asks for was done a moment ago."""
    before, began = world.peer.count("GET /v1/state"), time.monotonic()
    turn = 0
    while time.monotonic() < began + 1.5:
        turn += 1
        # many of them, since each one's calls are counted; one beyond that may find the connection closed
        with contextlib.suppress(OSError), varlink.Connection(behind.socket, CAROL + turn % 50) as connection:
            connection.send("io.devtrust.Device.Repair")
            behind.call("org.varlink.service.GetInfo")
    asked, halves = world.peer.count("GET /v1/state") - before, 2 * (time.monotonic() - began)
    assert 0 < asked <= 2 * (halves + 1) + 1, "a probe and a fetch, half a second apart; another may have been on its way"


def test_a_doctor_who_leaves(well):
    """The caller goes before the answer: nothing is left of it."""
    for _ in range(5):
        connection = varlink.Connection(well.socket)
        connection.send("io.devtrust.Device.Diagnose", {"all": True})
        connection.send("io.devtrust.Device.Repair")
        connection.socket.shutdown(socket.SHUT_RDWR)
        connection.close()
    doctor.wait_well(well, uid=ALICE)


def test_stopped_in_the_middle(well, world):
    """The daemon ends while a doctor waits for a server that hangs."""
    world.server.program.signal(signal.SIGSTOP)
    try:
        ended = threading.Event()

        def ask():
            try:
                well.call("io.devtrust.Device.Diagnose", {"all": True})
            except OSError:
                pass
            ended.set()
        threading.Thread(target=ask, daemon=True).start()
        waiting.until(lambda: any(entry["uid"] == 0 and entry["outstanding"] > 0 for entry in
                                  well.call("io.devtrust.Debug.ListConnections")["connections"]), "it waits")
        well.stop()
        assert ended.wait(waiting.PATIENCE)
    finally:
        world.server.program.signal(signal.SIGCONT)
