"""Removal of users who are not signed in: devtrust-agent --remove, and devtrustctl remove --everywhere, which runs it."""
import ctypes
import errno
import json
import os
import platform
import pty
import shutil
import signal

from harness import accounts, nss, programs, waiting


def remove_as(device, name, *more):
    return programs.run([str(programs.RUN / "bin/devtrust-agent"), "--remove", "--socket", str(device.socket), *more],
                        uid=accounts.uid_of(name), environment=programs.user_environment(name, accounts.uid_of(name)))


def install(world, *names):
    device = world.setup(*names)
    for name in names:
        device.wait_user(name, state="installed")
    return device


def test_everything_on_record_goes_and_nothing_else(world):
    database = nss.Database("alice").create()
    world.start_server()
    database.trust_tls_ca(world.server.tls_ca)
    before = database.contents()
    device = world.add_device().start()
    device.enroll(world.server)
    world.manage("alice", device)
    device.agent("alice")
    world.server.distribution("on")
    device.wait_user("alice", state="installed")
    agent = device.agents["alice"]
    agent.stop()
    device.stop()
    done = remove_as(device, "alice")
    assert done.returncode == 0, done.stderr
    assert "could not be told" in done.stderr, "there is no daemon; the removal does not need one"
    assert database.contents() == before and not agent.record.parent.exists()
    assert remove_as(device, "alice").returncode == 0, "a second time there is nothing to do"


def test_a_running_agent_keeps_its_stores(world):
    device = install(world, "alice")
    done = remove_as(device, "alice")
    assert done.returncode == 1 and "running already" in done.stderr, done
    assert len(device.agents["alice"].database.contents().ours) == 1


def test_what_cannot_be_removed_is_said(world):
    device = install(world, "alice")
    agent = device.agents["alice"]
    agent.stop()
    database = agent.database.directory / "cert9.db"
    good = database.read_bytes()
    database.write_bytes(b"no database" * 1000)
    done = remove_as(device, "alice")
    assert done.returncode == 1 and "[store-corrupt]" in done.stderr, done
    assert agent.record.exists(), "it stays on record"
    database.write_bytes(good)
    assert remove_as(device, "alice").returncode == 0
    assert agent.database.contents().ours == []


def test_a_home_that_is_away_is_no_success(world):
    device = install(world, "alice")
    device.agents["alice"].stop()
    home = accounts.home("alice")
    away = home.with_name("away")
    home.rename(away)
    try:
        done = remove_as(device, "alice")
        assert done.returncode == 1 and "[store-missing]" in done.stderr, done
    finally:
        away.rename(home)


def test_a_record_that_is_lost(world):
    """It was deleted, or lies where only the session's environment points: what it would name is no less there."""
    device = install(world, "alice")
    agent = device.agents["alice"]
    agent.stop()
    agent.record.unlink()
    device.stop()
    done = remove_as(device, "alice")
    assert done.returncode == 1 and "[record-missing]" in done.stderr, (done, "nobody says what is ours")
    assert len(agent.database.contents().ours) == 1
    device.start()
    done = device.ctl("remove", "--everywhere")
    assert done.returncode == 0, (done.stdout, done.stderr)
    assert agent.database.contents().ours == [] and agent.database.contents().keys == ()
    device.wait_user("alice", state="absent")


def test_a_record_of_a_newer_version_and_a_broken_one(world):
    device = install(world, "alice")
    agent = device.agents["alice"]
    agent.stop()
    record = json.loads(agent.record.read_text(encoding="utf-8"))
    agent.record.write_text(json.dumps(record | {"version": 99}), encoding="utf-8")
    done = remove_as(device, "alice")
    assert done.returncode == 78 and "[newer-state]" in done.stderr, done
    assert len(agent.database.contents().ours) == 1
    agent.record.write_text("{", encoding="utf-8")
    done = remove_as(device, "alice")
    assert done.returncode == 1 and "[broken-state]" in done.stderr, done


def test_everywhere_reaches_who_is_signed_in_and_who_is_not(world):
    device = install(world, "alice", "bob")
    device.agents["bob"].stop()
    device.wait_user("bob", agent_attached=False)
    assert device.policy_files() != {}
    done = device.ctl("remove", "--everywhere")
    assert done.returncode == 0, (done.stdout, done.stderr)
    assert "bob" in done.stdout and "Everything of ours is gone" in done.stdout
    for name in ("alice", "bob"):
        assert device.agents[name].database.contents().ours == []
        assert device.agents[name].database.contents().keys == ()
    device.wait_user("bob", state="absent")
    assert device.policy_files() == {}, "bob's agent has told devtrustd: nobody needs the policy any more"
    waiting.until(lambda: all(entry["state"] == "revoked" for entry in world.server.certificates()
                              if entry["kind"] == "user"),
                  "the server has revoked them")


def test_everywhere_names_who_is_left(world):
    device = install(world, "alice", "bob")
    for name in ("alice", "bob"):
        device.agents[name].stop()
        device.wait_user(name, agent_attached=False)
    (device.agents["bob"].database.directory / "cert9.db").write_bytes(b"no database" * 1000)
    done = device.ctl("remove", "--everywhere", "--json")
    answer = {entry["user"]: entry for entry in json.loads(done.stdout)["users"]}
    assert done.returncode == 1 and answer["alice"]["removed"] and not answer["bob"]["removed"], (answer, done.stderr)
    assert "[store-corrupt]" in done.stderr, "bob's agent says why"
    assert device.user("bob")["state"] == "removing", "it stays pending"
    assert device.policy_files() != {}, "the filters stay while a certificate may be there"


def test_everywhere_waits_no_longer_than_told_for_an_agent_that_hangs(world):
    device = install(world, "alice")
    agent = device.agents["alice"]
    os.kill(agent.program.pid, signal.SIGSTOP)
    try:
        done = device.ctl("remove", "--everywhere", "--timeout", "3", "--json")
        assert done.returncode == 1, done
        assert json.loads(done.stdout)["users"] == [{"user": "alice", "removed": False, "code": "agent-timeout"}]
    finally:
        os.kill(agent.program.pid, signal.SIGCONT)
    device.wait_user("alice", state="absent")


def test_everywhere_does_not_become_another_user(world):
    """The account's uid has changed since: no process runs as whoever has it now."""
    device = install(world, "bob")
    device.agents["bob"].stop()
    device.wait_user("bob", agent_attached=False)
    accounts.remove("bob")
    try:
        done = device.ctl("remove", "--everywhere", "--json")
        assert done.returncode == 1, done
        assert json.loads(done.stdout)["users"][0]["code"] in ("user-changed", "user-unknown")
    finally:
        accounts.add("bob", 1001)


KEYCTL = {"x86_64": 250, "aarch64": 219}.get(platform.machine())  # the system call's number


def new_session_keyring():
    """As pam_keyinit(8) gives one to whoever signs in. Returns its serial number, -1 where there are none."""
    return ctypes.CDLL(None).syscall(KEYCTL, 1, None) if KEYCTL else -1  # KEYCTL_JOIN_SESSION_KEYRING


# in place of the agent: tells what it was handed by devtrustctl, and tries to use it
LOOKING_AROUND = """#!/usr/bin/python3
import ctypes, os, sys
try:
    os.open("/dev/tty", os.O_RDWR)
    print("terminal: open", file=sys.stderr)
except OSError as error:
    print("terminal:", os.strerror(error.errno), file=sys.stderr)
print("uids:", *os.getresuid(), "groups:", *os.getgroups(), file=sys.stderr)
print("session:", "own" if os.getsid(0) == os.getpid() else "shared", file=sys.stderr)
print("streams:", os.readlink("/proc/self/fd/0"), os.readlink("/proc/self/fd/1"),
      os.readlink("/proc/self/fd/2").split(":")[0], file=sys.stderr)
held = []
for fd in range(3, 256):
    try:
        os.fstat(fd)
        held.append(fd)
    except OSError:
        pass
print("descriptors:", *held, file=sys.stderr)
print("keyring:", ctypes.CDLL(None).syscall(KEYCTL, 0, -3, 0), file=sys.stderr)
print("\\x1b]0;title\\x07" + "x" * 100000, file=sys.stderr)
sys.exit(1)
"""


def test_nothing_of_roots_goes_along(world):
    """Whoever bob is could take hold of the process that is to become his agent: it has no terminal of root's and nothing that
    root, or a package manager, has open; and what it says cannot act on root's terminal."""
    device = install(world, "bob")
    device.agents["bob"].stop()
    device.wait_user("bob", agent_attached=False)
    beside = programs.RUN / "looking"
    shutil.copytree(programs.RUN / "bin", beside)
    (beside / "devtrust-agent").write_text(LOOKING_AROUND.replace("KEYCTL", str(KEYCTL or -1)), encoding="utf-8")
    leaked = os.open("/etc/shadow", os.O_RDONLY)
    pid, terminal = pty.fork()
    if pid == 0:
        os.set_inheritable(leaked, True)
        os.write(1, b"root's keyring: %d\n" % new_session_keyring())
        os.execve(beside / "devtrustctl", ["devtrustctl", "remove", "--everywhere", "--socket", str(device.socket)],
                  programs.base_environment())
    os.close(leaked)
    said = b""
    try:
        while chunk := os.read(terminal, 65536):
            said += chunk
    except OSError as error:
        assert error.errno == errno.EIO, error  # its end, on a terminal
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    shutil.rmtree(beside)
    lines = said.decode().splitlines()
    assert os.waitstatus_to_exitcode(status) == 1, lines
    assert f"terminal: {os.strerror(errno.ENXIO)}" in lines
    assert "uids: 1001 1001 1001 groups: 1001" in lines
    assert "session: own" in lines and "streams: /dev/null /dev/null pipe" in lines and "descriptors:" in lines, lines
    roots, own = (int(line.split(":")[1]) for start in ("root's keyring:", "keyring:") for line in lines if line.startswith(start))
    assert roots == -1 or own not in (roots, -1), "it cannot read the keys in root's session keyring"
    assert b"\x1b" not in said and b"\x07" not in said


# in place of the agent: ends, and leaves others behind who never stop talking
ENDLESS = """#!/usr/bin/python3
import fcntl, os
fcntl.fcntl(2, fcntl.F_SETPIPE_SZ, 1 << 20)
for _ in range(8):
    if os.fork() == 0:
        while True:
            os.write(2, b"x" * (1 << 20))
os._exit(1)
"""


def test_words_without_end_keep_nobody(world):
    """Whoever bob is may hold the process's standard error open for as long as he likes, and write there as fast as he can."""
    device = install(world, "bob")
    device.agents["bob"].stop()
    device.wait_user("bob", agent_attached=False)
    beside = programs.RUN / "endless"
    shutil.copytree(programs.RUN / "bin", beside)
    (beside / "devtrust-agent").write_text(ENDLESS, encoding="utf-8")
    done = programs.run([str(beside / "devtrustctl"), "remove", "--everywhere", "--socket", str(device.socket), "--json"])
    shutil.rmtree(beside)
    assert done.returncode == 1, done
    assert json.loads(done.stdout)["users"] == [{"user": "bob", "removed": False, "code": "store-none"}]
    assert len(done.stderr) < 20000, "as much as fits, and no more"


def test_only_root(world):
    device = install(world, "alice")
    assert device.ctl("remove", "--everywhere", uid=1000).returncode == 4
    assert len(device.agents["alice"].database.contents().ours) == 1
