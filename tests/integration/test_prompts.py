"""The questions that a person may see, as real browsers draw them: each lists one certificate, and it is ours. The pictures go to
build/screenshots; tests/screenshots/renew.sh makes those of docs/PROMPTS.md from them."""
import os
import pathlib
import re
import threading

import pytest
from harness import browser, firefox, nss, screen, waiting

PICTURES = pathlib.Path(__file__).resolve().parent.parent.parent / "build/screenshots"


@pytest.fixture
def monitor():
    with screen.Screen() as one:
        yield one


def portal(world):
    return world.server.portal_url + "/"


def visit_asked(monitor, visit, picture, *keys):
    """Visits in the background, since a driver waits for the page; takes the question's picture and answers it with these keys, once
    more if they came before the question took any."""
    background = threading.Thread(target=visit, daemon=True)
    background.start()
    monitor.question().save(PICTURES / picture)

    def answered():
        monitor.press(*keys)
        background.join(5)
        return not background.is_alive()
    waiting.until(answered, "the question is answered")


def test_chromium_without_a_policy_of_ours(world, monitor):
    """Its chooser is no page, so keys tell what is in it: End goes to the last row, Return takes it, and that is our certificate, the
    first and only one."""
    device = world.setup("alice", device_settings={"policy": {"owner": "external"}})
    user = device.wait_user("alice", state="installed")
    nss.Database("alice").trust_tls_ca(world.server.tls_ca)
    with browser.Browser("alice", screen=monitor) as chromium:
        visit_asked(monitor, lambda: chromium.get(portal(world)), "chromium.png", "End", "Return")
        status, fields = chromium.page("trusted")
        assert (status, fields["serial"]) == ("trusted", user["serial"])


def test_firefox_without_the_opt_in(world, monitor):
    device = world.setup("alice")
    mine = firefox.Profile("alice").trust_tls_ca(world.server.tls_ca)
    waiting.until(lambda: mine.database.contents().ours, "the certificate is in the profile")
    user = device.wait_user("alice", state="installed", serial=lambda serial: [serial] == mine.database.serials())
    with firefox.Firefox(mine, screen=monitor) as fox:
        fox.open(portal(world))
        question = waiting.until(fox.prompt, "the question")
        monitor.question().save(PICTURES / "firefox.png")
        assert len(question["certificates"]) == 1, question
        assert re.match(rf"Example Device Trust Certificate - {user['serial'][:8]} ", question["certificates"][0]), question
        assert question["remember"] == "For this session"
        fox.answer("accept")
        waiting.until(lambda: fox.status() == "trusted", "trusted")
        assert fox.page("trusted")[1]["serial"] == user["serial"]


def change_password(database, old, new):
    for name, word in (("old", old), ("new", new)):
        file = database.directory / name
        file.write_text(f"{word}\n", encoding="ascii")
        os.chown(file, database.uid, database.uid)
    done = database.tool("-W", "-f", str(database.directory / "old"), "-@", str(database.directory / "new"))
    assert done.returncode == 0, done.stderr


def test_firefox_with_a_primary_password(world, monitor):
    """Firefox's own question, not ours: such a profile is left as it is, and status says so."""
    world.start_server()
    device = world.add_device().start()
    device.enroll(world.server)
    world.manage("alice", device)
    mine = firefox.Profile("alice").trust_tls_ca(world.server.tls_ca)
    change_password(mine.database, "", "secret")
    device.agent("alice")
    world.server.distribution("on")
    device.wait_user("alice", state="installed", stores=lambda stores: "store-password" in [store.get("code") for store in stores])
    told = device.ctl("status", uid=1000).stdout
    assert f"Firefox ESR, profile {mine.name}: not installed." in told and "[store-password]" in told, told
    with firefox.Firefox(mine, screen=monitor) as fox:
        visit_asked(monitor, lambda: fox.open(portal(world)), "firefox-password.png", *"secret", "Return")
        waiting.until(lambda: fox.status() == "unmanaged", "it goes on, with no certificate of ours in this profile")
        assert fox.page()[1]["code"] == "no-certificate"
    change_password(mine.database, "secret", "")
    assert device.ctl("repair", uid=1000).returncode == 0, "what the remedy says"
    assert mine.database.serials() == [device.user("alice")["serial"]]
