"""Removal is exact: whichever way it comes, every store and every policy file is as it was before; and what is out of reach waits for it."""
import hashlib
import json
import pathlib
import subprocess

import pytest
from harness import accounts, certs, nss, programs, waiting

HOME = accounts.home("alice")
PROFILES = HOME / ".mozilla/firefox"
FIREFOX_POLICY = pathlib.Path("/etc/firefox/policies/policies.json")
# to the byte: indentation, order and the missing newline are the administrator's
ADMIN_FIREFOX = '{\r\n\t"policies": { "DisableTelemetry":true,"Preferences" : {"a.b": {"Value":1}} }}'
ADMIN_CHROMIUM = '{ "AutoSelectCertificateForUrls" : ["{\\"pattern\\":\\"https://intranet.example\\",\\"filter\\":{}}"] }'


def own_certificate(database):
    """Somebody else's, with its key, of nearly our name."""
    folder = certs.scratch()
    certificate, key = certs.self_signed(folder, "Example Device Trust Certificate - deadbeef")
    bundle = folder / "mine.p12"
    certs.openssl("pkcs12", "-export", "-in", certificate, "-inkey", key, "-out", bundle, "-passout", "pass:x", "-name", "mine")
    folder.chmod(0o755)
    bundle.chmod(0o644)
    done = database.tool("-i", str(bundle), "-W", "x", "-K", "", name="pk12util")
    assert done.returncode == 0, done.stdout + done.stderr


def make_stores():
    """Chromium's database and two Firefox profiles, each with what is the user's own; and the directory of all programs' state, which stays."""
    for path in (PROFILES / "one.default", PROFILES / "two", HOME / ".local/state"):
        programs.run(["mkdir", "-p", "-m", "0700", str(path)], uid=1000)
    ini = PROFILES / "profiles.ini"
    done = programs.run(["tee", str(ini)], uid=1000, stdin="[Profile0]\nName=one\nIsRelative=1\nPath=one.default\nDefault=1\n\n"
                        "[Profile1]\nName=two\nIsRelative=1\nPath=two\n\n[General]\nStartWithLastProfile=1\nVersion=2\n")
    assert done.returncode == 0, done.stderr
    stores = [nss.Database("alice").create(), nss.Database("alice", PROFILES / "one.default").create(), nss.Database("alice", PROFILES / "two").create()]
    for store in stores:
        own_certificate(store)
    return stores


def policies():
    """Every file and directory of browsers' policies, byte for byte."""
    found = {}
    for root in (pathlib.Path("/etc/chromium"), pathlib.Path("/etc/firefox"), pathlib.Path("/run/policies")):
        for path in sorted(root.rglob("*")):
            status = path.stat()
            found[str(path)] = (oct(status.st_mode), status.st_uid, path.read_bytes() if path.is_file() else None)
    return found


def home():
    """Names, owners and modes; contents, too, but of databases, which NSS dumps."""
    found = {}
    for path in sorted(HOME.rglob("*")):
        status = path.stat()
        whole = path.is_file() and path.suffix not in (".db", ".db-journal")
        found[str(path)] = (oct(status.st_mode), status.st_uid, hashlib.sha256(path.read_bytes()).hexdigest() if whole else None)
    return found


def look(stores):
    return [(store.contents(), [store.certificate(name) for name, _ in store.contents().certificates]) for store in stores], policies(), home()


@pytest.fixture
def prepared(world):
    """Everything there and switched on but alice's agent; what it all looked like before any of it: (world, stores, look)."""
    FIREFOX_POLICY.parent.mkdir(parents=True, exist_ok=True)
    FIREFOX_POLICY.write_bytes(ADMIN_FIREFOX.encode())
    accounts.make_home("alice")
    stores = make_stores()
    world.start_server()
    device = world.add_device({"policy": {"firefox_auto_select": "yes"}, "limits": {"requests_per_hour": 10000}})
    device.policy_dir.mkdir(parents=True, exist_ok=True)
    (device.policy_dir / "50-corp.json").write_text(ADMIN_CHROMIUM, encoding="utf-8")
    before = look(stores)
    device.start()
    device.enroll(world.server)
    world.manage("alice", device)
    world.server.distribution("on")
    yield world, stores, before
    FIREFOX_POLICY.unlink()


def installed(device, stores):
    device.wait_user("alice", state="installed", stores=lambda found: len(found) == 3 and all(store["ok"] for store in found))
    assert all(len(store.contents().ours) == 1 and len(store.contents().keys) == 2 for store in stores)
    assert b"default_personal_cert" in FIREFOX_POLICY.read_bytes() and len(device.policy_files()) == 2


def same(stores, before, firefox_too=True):
    """What stays in Firefox's policy while the device is enrolled is compared when it goes. The agent's last act, once devtrustd knows that
    all is removed, is to remove its record."""
    waiting.until(lambda: not (HOME / ".local/state/devtrust").exists(), "the agent's record is gone")
    now, then = look(stores), before
    if not firefox_too:
        now, then = [(databases, {path: entry for path, entry in files.items() if path != str(FIREFOX_POLICY)}, names) for databases, files, names in (now, then)]
    assert now == then


def test_every_way_leaves_everything_as_it_was(prepared):
    world, stores, before = prepared
    device, server = world.device, world.server
    agent = device.agent("alice")
    installed(device, stores)
    for take, give in ((lambda: server.distribution("off"), lambda: server.distribution("on")),
                       (lambda: server.cli("unassign", "u-alice", device.uuid), lambda: server.cli("assign", "u-alice", device.uuid, "alice")),
                       (lambda: device.ctl("remove"), lambda: device.ctl("renew"))):
        take()
        device.wait_gone("alice")
        held = device.status()["enrolment"]["state"] == "held"
        waiting.until(lambda: len(device.policy_files()) == 1, "our policy is gone")
        waiting.until(lambda: not held or FIREFOX_POLICY.read_bytes() == ADMIN_FIREFOX.encode(), "held: out of Firefox's, too")
        same(stores, before, held)
        give()
        installed(device, stores)
    agent.stop()  # not signed in, as when the package is removed
    device.wait_user("alice", agent_attached=False)
    done = device.ctl("remove", "--everywhere")
    assert done.returncode == 0, (done.stdout, done.stderr)
    same(stores, before)
    device.ctl("renew")
    agent.start()
    installed(device, stores)
    server.cli("device", "remove", device.uuid)
    device.wait_status(lambda status: status["enrolment"]["state"] == "removed", "the tombstone is read")
    device.wait_gone("alice")
    waiting.until(lambda: FIREFOX_POLICY.read_bytes() == ADMIN_FIREFOX.encode(), "out of Firefox's policy")
    same(stores, before)


def test_who_is_not_signed_in_is_cleaned_at_the_next_sign_in(prepared):
    world, stores, before = prepared
    device = world.device
    device.agent("alice")
    installed(device, stores)
    device.agents["alice"].stop()
    world.server.distribution("off")
    device.wait_user("alice", state="removing", code="no-agent")
    assert len(device.policy_files()) == 2, "the filter stays while a certificate may be there"
    device.stop()
    device.start()
    assert device.user("alice")["state"] == "removing", "it stays pending over a restart"
    device.agents["alice"].start()
    device.wait_gone("alice")
    waiting.until(lambda: len(device.policy_files()) == 1, "our policy is gone")
    same(stores, before, False)


@pytest.mark.parametrize("signed_in", [True, False], ids=["while-signed-in", "before-signing-in"])
def test_a_home_that_is_away_is_cleaned_when_it_is_back(prepared, signed_in):
    world, stores, before = prepared
    device = world.device
    agent = device.agent("alice")
    installed(device, stores)
    if not signed_in:
        agent.stop()
    away = HOME.with_name("away")
    HOME.rename(away)
    try:
        world.server.distribution("off")
        if not signed_in:
            device.wait_user("alice", state="removing")
            agent.start()
        device.wait_user("alice", state="removing", code="store-missing")
        assert device.user("alice")["state"] == "removing"
    finally:
        away.rename(HOME)
    agent.stop()  # it would try again by itself, in ten seconds or more
    agent.start()
    device.wait_gone("alice")
    waiting.until(lambda: len(device.policy_files()) == 1, "our policy is gone")
    same(stores, before, False)


def test_a_home_that_is_not_mounted_is_no_success(prepared):
    """The directory is there, and empty: an encrypted home of somebody who is not signed in."""
    world, stores, before = prepared
    device = world.device
    agent = device.agent("alice")
    installed(device, stores)
    agent.stop()
    device.wait_user("alice", agent_attached=False)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0700,uid=1000,gid=1000", "tmpfs", str(HOME)], check=True)
    try:
        done = device.ctl("remove", "--everywhere", "--json")
        assert done.returncode == 1 and json.loads(done.stdout)["users"][0]["removed"] is False, (done.stdout, done.stderr)
        assert "[store-missing]" in done.stderr
        assert device.user("alice")["state"] == "removing"
    finally:
        subprocess.run(["umount", str(HOME)], check=True)
    agent.start()
    device.wait_gone("alice")
    waiting.until(lambda: FIREFOX_POLICY.read_bytes() == ADMIN_FIREFOX.encode() and len(device.policy_files()) == 1, "our policies are gone")
    same(stores, before)
