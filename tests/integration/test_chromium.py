"""Real Chromium, already running and having visited the portal before there was a certificate: never a prompt, never a restart. The
page's own words are the evidence; a prompt would show as a page that never loads."""
import shutil
import time

import pytest
from harness import accounts, browser, certs, est, nss, waiting

HOME = accounts.home("alice")
# a browser that runs has up to this long to read its policy before anything is imported (POLICY_SETTLE_S, and its own 5 to 9 s)
SETTLE = 60
LOOKS_LIKE_OURS = "Example Device Trust Certificate - deadbeef"


@pytest.fixture
def started(world):
    """Server and enrolled device; nobody is managed, the switch is on."""
    world.start_server()
    device = world.add_device({"limits": {"requests_per_hour": 1000}}).start()
    device.enroll(world.server)
    world.server.distribution("on")
    return world


@pytest.fixture
def with_policy(started):
    """Carol is managed, so that the policy stands already: alice's browser need not be given time to read it."""
    started.manage("carol", started.device)
    waiting.until(started.device.policy_files, "the policy")
    return started


def portal(world):
    return world.server.portal_url + "/"


def database(world, user="alice", directory=None):
    """The user's, with the test's TLS CA in it."""
    made = nss.Database(user, directory).create()
    made.trust_tls_ca(world.server.tls_ca)
    return made


def manage(world, user="alice"):
    """From here on the user is managed, with an agent."""
    world.manage(user, world.device)
    world.device.agent(user)


def installed(world, user="alice", other_than=None):
    return world.device.wait_user(user, SETTLE, state="installed", serial=lambda serial: serial not in (None, other_than))


def renew(world, old, user="alice"):
    assert world.device.ctl("renew", uid=accounts.uid_of(user)).returncode == 0
    return installed(world, user, old["serial"])


def shows(chromium, user):
    """The page comes to be trusted with this certificate; its fields."""
    def page():
        status, fields = chromium.revisit()
        return fields if status == "trusted" and fields["serial"] == user["serial"] else None
    return waiting.until(page, "the page shows the certificate")


def test_first_installation_three_renewals_removal_and_return(started):
    device, mine = started.device, database(started)
    with browser.Browser("alice") as chromium:
        status, fields = chromium.visit(portal(started))
        assert status == "unmanaged" and fields["reason"] and fields["remedy"], fields
        assert chromium.client_certificates() == 0
        process = chromium.chromium_pids()[0]

        manage(started)  # the policy comes while the browser runs
        user = installed(started)
        fields = shows(chromium, user)
        assert fields["device"] == device.uuid and "u-alice" in fields["user"] and fields["expires"]
        for _ in range(3):
            user = renew(started, user)
            shows(chromium, user)
            assert chromium.client_certificates() == 1, "never ours twice"
            assert mine.serials() == [user["serial"]]

        started.server.cli("unassign", "u-alice", device.uuid)
        device.wait_gone("alice")
        status, fields = chromium.revisit()
        assert status == "unmanaged" and fields["reason"] and fields["remedy"], fields
        assert chromium.client_certificates() == 0

        manage(started)
        user = installed(started, other_than=user["serial"])
        shows(chromium, user)
        assert chromium.client_certificates() == 1
        assert chromium.chromium_pids()[0] == process, "the same browser all the time"


def test_profiles_and_private_window(with_policy):
    """Each with cached choices of its own; all read the one database."""
    database(with_policy)
    with browser.Browser("alice") as plain, browser.Browser("alice", arguments=("--profile-directory=Profile 2",)) as second, \
            browser.Browser("alice", arguments=("--incognito",)) as private:
        windows = (plain, second, private)
        for chromium in windows:
            assert chromium.visit(portal(with_policy))[0] == "unmanaged"
        manage(with_policy)
        user = installed(with_policy)
        for chromium in windows:
            shows(chromium, user)
        user = renew(with_policy, user)
        for chromium in windows:
            shows(chromium, user)
        with_policy.server.cli("unassign", "u-alice", with_policy.device.uuid)
        with_policy.device.wait_gone("alice")
        for chromium in windows:
            assert chromium.revisit()[0] == "unmanaged"


def test_two_users_at_once(with_policy):
    for name in ("alice", "bob"):
        database(with_policy, name)
    with browser.Browser("alice") as hers, browser.Browser("bob") as his:
        for chromium in (hers, his):
            assert chromium.visit(portal(with_policy))[0] == "unmanaged"
        for name in ("alice", "bob"):
            manage(with_policy, name)
        for name, chromium in (("alice", hers), ("bob", his)):
            assert f"u-{name}" in shows(chromium, installed(with_policy, name))["user"]
        with_policy.server.cli("unassign", "u-bob", with_policy.device.uuid)
        with_policy.device.wait_gone("bob")
        assert his.revisit()[0] == "unmanaged"
        assert hers.revisit()[0] == "trusted"


def test_somebody_elses_certificates_stay_and_are_not_in_the_way(with_policy):
    """One of another CA that looks like ours, and one that our CA gave to another device: the portal would take that, too."""
    mine, server = database(with_policy), with_policy.server
    other = est.RawDevice(server).enroll()
    server.cli("user", "add", "u-other")
    server.cli("assign", "u-other", other.uuid, "other")
    chain, key, leaf = other.issue_user("u-other")
    issued = time.time()
    with browser.Browser("alice") as chromium:
        assert chromium.visit(portal(with_policy))[0] == "unmanaged"
        mine.import_key(*certs.self_signed(certs.scratch(), LOOKS_LIKE_OURS), LOOKS_LIKE_OURS)
        mine.import_key(chain, key, "of another device")
        before = mine.contents()
        est.wait_until(issued + 1)  # Chromium takes the newest, to the second
        manage(with_policy)
        user = installed(with_policy)
        shows(chromium, user)
        assert chromium.client_certificates() == 3
        user = renew(with_policy, user)
        shows(chromium, user)
        assert chromium.client_certificates() == 3, "ours once, theirs as they were"
        server.cli("unassign", "u-alice", with_policy.device.uuid)
        with_policy.device.wait_gone("alice")
        assert mine.contents() == before
        assert chromium.revisit("trusted")[1]["serial"] == nss.serial_of(leaf), "theirs is left to speak for itself"


def test_the_older_place_of_the_database_wins_until_an_upgrade_moves_it(started):
    """Chromium reads ~/.pki/nssdb where that is, even beside the newer place. Moved, the certificate comes along or anew."""
    older, newer = database(started, directory=HOME / ".pki/nssdb"), nss.Database("alice").create()
    before = older.contents()
    manage(started)
    user = installed(started)
    with browser.Browser("alice") as chromium:
        assert chromium.visit(portal(started), "trusted")[1]["serial"] == user["serial"]
        user = renew(started, user)
        shows(chromium, user)
        assert len(older.contents().ours) == 1
    shutil.rmtree(newer.directory)
    older.directory.rename(newer.directory)
    older.directory.parent.rmdir()
    started.device.wait_user("alice", stores=lambda stores: [store["path"] for store in stores] == [str(newer.directory)])
    with browser.Browser("alice") as chromium:
        assert chromium.visit(portal(started))[0] == "trusted"
        user = renew(started, user)
        shows(chromium, user)
        assert chromium.client_certificates() == 1
    assert newer.serials() == [user["serial"]] and len(newer.contents().keys) == 1
    assert not older.directory.parent.exists(), "never made: it would hide the newer"
    started.server.cli("unassign", "u-alice", started.device.uuid)
    started.device.wait_gone("alice")
    assert newer.contents() == before
