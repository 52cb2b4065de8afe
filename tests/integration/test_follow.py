"""The agent follows its home while it runs: what real browsers make at their first start is filled without anybody's doing."""
import shutil

from harness import accounts, nss, programs, waiting
from harness.browser import ARGUMENTS

HOME = accounts.home("alice")


def installed_in(device, database, since):
    """Until a certificate newer than `since` is installed, and is in this store."""
    device.wait_user("alice", state="installed", serial=lambda serial: serial and serial != since)

    def newest():
        """A place that grows slowly may be looked at more than once."""
        serial = device.user("alice")["serial"]
        return serial if database.serials() == [serial] and len(database.contents().keys) == 1 else None
    return waiting.until(newest, "the newest certificate is in the store")


def test_chromium_with_a_home_of_its_own_starts_for_the_first_time(world):
    """As in a snap: HOME is below ~/snap, and Chromium makes its database there."""
    device = world.setup("alice")
    serial = device.wait_user("alice", state="installed")["serial"]
    own = HOME / "snap/chromium/1"
    programs.run(["mkdir", "-p", "-m", "0700", str(own)], uid=1000)
    programs.run(["ln", "-s", "1", str(own.parent / "current")], uid=1000)
    environment = programs.user_environment("alice", 1000) | {"HOME": str(own.parent / "current")}
    done = programs.run(["chromium", *ARGUMENTS, f"--user-data-dir={own}/profile", "--dump-dom", world.server.url], uid=1000,
                        environment=environment)
    assert done.returncode == 0, done.stderr
    made = nss.Database("alice", own / ".local/share/pki/nssdb")
    assert (made.directory / "cert9.db").exists(), "Chromium has made it"
    installed_in(device, made, serial)


def test_a_new_firefox_profile(world):
    device = world.setup("alice")
    serial = device.wait_user("alice", state="installed")["serial"]
    roots = [HOME / ".mozilla/firefox", HOME / ".config/mozilla/firefox"]
    for name in ("first", "second"):
        done = programs.run(["firefox-esr", "--headless", "-CreateProfile", name], uid=1000,
                            environment=programs.user_environment("alice", 1000))
        assert done.returncode == 0, done.stderr
        profile, = [path for root in roots for path in root.glob(f"*.{name}")]
        serial = installed_in(device, nss.Database("alice", profile), serial)
    waiting.until(lambda: nss.Database("alice").serials() == [device.user("alice")["serial"]], "the others have the new one too")


def test_a_database_that_is_deleted_is_filled_again(world):
    device = world.setup("alice")
    serial = device.wait_user("alice", state="installed")["serial"]
    shutil.rmtree(HOME / ".local/share/pki")
    installed_in(device, nss.Database("alice"), serial)


def test_the_older_place_appears(world):
    device = world.setup("alice")
    serial = device.wait_user("alice", state="installed")["serial"]
    older = nss.Database("alice", HOME / ".pki/nssdb").create()
    installed_in(device, older, serial)
