"""Real Firefox, already running and having visited the portal before there was a certificate: never a prompt, never a restart where
root has opted in; one question, with one certificate, where not. The page's own words are the evidence."""
import time

import pytest
from harness import browser, certs, firefox, nss, waiting
from harness.world import FIREFOX_POLICY

OPT_IN = {"policy": {"firefox_auto_select": "yes"}, "limits": {"requests_per_hour": 1000}}
NO_OPT_IN = {"limits": {"requests_per_hour": 1000}}


def start(world, settings, *users):
    """Server, enrolled device, these users managed with their agents attached, the switch off."""
    world.start_server()
    device = world.add_device(settings).start()
    device.enroll(world.server)
    for user in users or ("alice",):
        world.manage(user, device)
        device.agent(user)
        device.wait_user(user, agent_attached=True)
    return world


@pytest.fixture
def silent(world):
    """With root's opt-in."""
    return start(world, OPT_IN)


@pytest.fixture
def asking(world):
    """Without it."""
    return start(world, NO_OPT_IN)


def portal(world):
    return world.server.portal_url + "/"


def profile(world, user="alice"):
    return firefox.Profile(user).trust_tls_ca(world.server.tls_ca)


def policy(device):
    """Firefox's part of the status."""
    return next(entry for entry in device.status()["policies"] if entry["family"] == "firefox")


def renew(world, user, old):
    assert world.device.ctl("renew", uid=firefox.accounts.uid_of(user)).returncode == 0
    return world.device.wait_user(user, state="installed", serial=lambda serial: serial not in (None, old))


def shows(fox, serial):
    """The page is trusted with this certificate, and nothing was asked on the way."""
    waiting.until(lambda: fox.revisit("trusted")[1]["serial"] == serial, "the page shows the certificate")
    assert fox.prompt() is None


def test_first_installation_three_renewals_removal_and_return(silent):
    server, device = silent.server, silent.device
    mine = profile(silent)
    with firefox.Firefox(mine) as fox:
        assert fox.visit(portal(silent))[0] == "unmanaged"
        server.distribution("on")
        user = device.wait_user("alice", state="installed")
        status, fields = waiting.until(lambda: (lambda page: page[0] == "trusted" and page)(fox.revisit()), "trusted")
        assert fields["serial"] == user["serial"] and fields["device"] == device.uuid
        for _ in range(3):
            user = renew(silent, "alice", user["serial"])
            assert mine.database.serials() == [user["serial"]], "Firefox takes the first that fits: the old one must be gone"
            shows(fox, user["serial"])
        server.distribution("off")
        device.wait_gone("alice")
        assert fox.revisit()[0] == "unmanaged" and fox.prompt() is None
        assert mine.database.contents().ours == [] and mine.database.contents().keys == ()
        server.distribution("on")
        user = device.wait_user("alice", state="installed", serial=lambda serial: serial not in (None, user["serial"]))
        shows(fox, user["serial"])
        assert fox.program.running(), "the same Firefox all the time"


def goes_and_comes_back(world, old, *foxes):
    """Removal, and return; the windows stay open."""
    world.server.distribution("off")
    world.device.wait_gone("alice")
    for fox in foxes:
        assert fox.revisit()[0] == "unmanaged" and fox.prompt() is None
    world.server.distribution("on")
    user = world.device.wait_user("alice", state="installed", serial=lambda serial: serial not in (None, old))
    for fox in foxes:
        shows(fox, user["serial"])
    return user


def test_several_profiles_and_one_that_was_never_started(silent):
    profiles = [profile(silent), profile(silent)]
    never = firefox.Profile("alice")
    assert not (never.directory / "cert9.db").exists()
    with firefox.Firefox(profiles[0]) as one, firefox.Firefox(profiles[1]) as other:
        for fox in (one, other):
            assert fox.visit(portal(silent))[0] == "unmanaged"
        silent.server.distribution("on")
        user = silent.device.wait_user("alice", state="installed")
        assert sorted(store["kind"] for store in user["stores"]) == ["nss_chromium"] + ["nss_firefox"] * 3
        assert all(store["ok"] for store in user["stores"])
        for fox in (one, other):
            shows(fox, user["serial"])
        user = renew(silent, "alice", user["serial"])
        for fox in (one, other):
            shows(fox, user["serial"])
        user = goes_and_comes_back(silent, user["serial"], one, other)
    # Firefox takes the database over that the agent has made
    with firefox.Firefox(never.trust_tls_ca(silent.server.tls_ca)) as fox:
        assert fox.visit(portal(silent), "trusted")[1]["serial"] == user["serial"]
        user = renew(silent, "alice", user["serial"])
        shows(fox, user["serial"])
    for each in (*profiles, never):
        assert each.database.serials() == [user["serial"]] and len(each.database.contents().keys) == 1


def test_private_window(silent):
    with firefox.Firefox(profile(silent)) as fox:
        fox.private_window()
        assert fox.visit(portal(silent))[0] == "unmanaged"
        silent.server.distribution("on")
        user = silent.device.wait_user("alice", state="installed")
        shows(fox, user["serial"])
        user = renew(silent, "alice", user["serial"])
        shows(fox, user["serial"])
        goes_and_comes_back(silent, user["serial"], fox)


def test_two_users_at_once(make_world):
    world = start(make_world(), OPT_IN, "alice", "bob")
    with firefox.Firefox(profile(world, "alice")) as hers, firefox.Firefox(profile(world, "bob")) as his:
        for fox in (hers, his):
            assert fox.visit(portal(world))[0] == "unmanaged"
        world.server.distribution("on")
        for name, fox in (("alice", hers), ("bob", his)):
            user = world.device.wait_user(name, state="installed")
            status, fields = waiting.until(lambda fox=fox: (lambda page: page[0] == "trusted" and page)(fox.revisit()), "trusted")
            assert fields["serial"] == user["serial"] and f"u-{name}" in fields["user"]
        world.server.cli("unassign", "u-bob", world.device.uuid)
        world.device.wait_gone("bob")
        assert his.revisit()[0] == "unmanaged"
        assert hers.revisit()[0] == "trusted"


def test_somebody_elses_certificate_stays_and_is_not_in_the_way(silent):
    mine = profile(silent)
    name = "Example Device Trust Certificate - deadbeef"
    mine.database.import_key(*certs.self_signed(certs.scratch(), name), name)
    before = mine.database.contents()
    with firefox.Firefox(mine) as fox:
        assert fox.visit(portal(silent))[0] == "unmanaged"
        silent.server.distribution("on")
        user = silent.device.wait_user("alice", state="installed")
        shows(fox, user["serial"])
        user = renew(silent, "alice", user["serial"])
        shows(fox, user["serial"])
        silent.server.distribution("off")
        silent.device.wait_gone("alice")
        assert mine.database.contents() == before


def test_chromium_of_the_same_user_at_the_same_time(silent):
    nss.Database("alice").create().trust_tls_ca(silent.server.tls_ca)
    with firefox.Firefox(profile(silent)) as fox, browser.Browser("alice") as chromium:
        for one in (fox, chromium):
            assert one.visit(portal(silent))[0] == "unmanaged"
        silent.server.distribution("on")
        user = silent.device.wait_user("alice", state="installed", timeout=60)
        shows(fox, user["serial"])
        waiting.until(lambda: chromium.revisit("trusted")[1]["serial"] == user["serial"], "in Chromium")
        user = renew(silent, "alice", user["serial"])
        shows(fox, user["serial"])
        waiting.until(lambda: chromium.revisit("trusted")[1]["serial"] == user["serial"], "in Chromium")


# --- without the opt-in ---------------------------------------------------------------------------------------------------------------

def check_question(question, user):
    assert len(question["certificates"]) == 1 and user["serial"][:8] in question["certificates"][0], "ours, and ours once"
    assert question["remember"] == "For this session"


def test_asks_once_where_root_has_not_opted_in(asking):
    mine = profile(asking)
    asking.server.distribution("on")
    user = asking.device.wait_user("alice", state="installed")
    with firefox.Firefox(mine) as fox:
        fox.open(portal(asking))
        question = fox.answer("accept")
        check_question(question, user)
        assert "localhost" in question["text"]
        # a second connection that Firefox opens at the same time may ask in the same words
        waiting.until(lambda: fox.prompt("accept") is None and fox.status() == "trusted", "trusted once answered")
        shows(fox, user["serial"])
    assert not FIREFOX_POLICY.exists()
    assert not [entry for entry in asking.device.status()["policies"] if entry["family"] == "firefox"]


def test_presents_nothing_unasked_where_root_has_not_opted_in(asking):
    """A Firefox that has been at the portal before is asked on the fresh host name of each check."""
    with firefox.Firefox(profile(asking)) as fox:
        assert fox.visit(portal(asking))[0] == "unmanaged"
        asking.server.distribution("on")
        user = asking.device.wait_user("alice", state="installed")
        for _ in range(2):
            fox.open(portal(asking))
            check_question(fox.answer("cancel"), user)
            user = renew(asking, "alice", user["serial"])
        assert fox.page()[0] == "unmanaged"
    assert not FIREFOX_POLICY.exists()


def restart_check(device):
    checks = device.call("io.devtrust.Device.Diagnose", {"user": "alice"})["checks"]
    return next(((check["result"], check.get("code")) for check in checks
                 if (check["id"], check.get("subject")) == ("browser-restart", "Firefox ESR")), None)


def says(device, *wanted):
    """Whether the doctor says one of these about a restart; a time-out shows what it said."""
    found = restart_check(device)
    if found not in wanted:
        raise LookupError(found)
    return True


def test_opt_in_that_comes_later_needs_one_restart(asking):
    """What only Firefox's start can change: it reads the file then, and never again."""
    device, mine = asking.device, profile(asking)
    asking.server.distribution("on")
    user = device.wait_user("alice", state="installed")
    with firefox.Firefox(mine) as fox:
        device.stop()
        device.sections["policy"]["firefox_auto_select"] = "yes"
        device.write_config()
        device.start()
        waiting.until(FIREFOX_POLICY.exists, "written")
        fox.open(portal(asking))
        assert len(fox.answer("cancel")["certificates"]) == 1, "still asked"
        waiting.until(lambda: says(device, ("warning", "browser-old-policy")), "the doctor says what to do")
    # In the very second in which the file was written a Firefox may have missed it: the doctor would not call that one well. The
    # kernel tells a start to the last hundredth that was over.
    waiting.until(lambda: time.time() >= policy(device)["since"] + 1.02, "the second of the change is over")
    with firefox.Firefox(mine) as fox:
        assert fox.visit(portal(asking), "trusted")[1]["serial"] == user["serial"]
        assert fox.prompt() is None
        waiting.until(lambda: says(device, ("ok", None), ("ok", "none")), "and that it was done")


def test_a_running_firefox_costs_no_wait(silent):
    """It does not read its policy while it runs, so there is nothing to wait for (Chromium: ten seconds)."""
    with firefox.Firefox(profile(silent)):
        silent.server.distribution("on")
        silent.device.wait_user("alice", state="installed")
        agent = silent.device.agents["alice"].program
        moves = [line for _, line in agent.lines if "STATE=waiting" in line or "STATE=importing" in line]
        assert moves and "EVENT=ready" in moves[-1]
        at = {line.split("STATE=")[1].split()[0]: when for when, line in agent.lines if "STATE=" in line}
        assert at["importing"] - at["waiting"] < 5
