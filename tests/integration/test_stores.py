"""Certificate stores in every bad condition: never recreated, never damaged, named, and used once they are well again."""
import json
import os
import pathlib
import shutil
import subprocess

import pytest
from harness import accounts, certs, nss, programs, waiting

HOME = accounts.home("alice")


@pytest.fixture
def ready(world):
    """Alice is managed, her agent is attached, the switch is off."""
    device = world.setup("alice", on=False)
    device.wait_user("alice", agent_attached=True)
    return world


def store_code(world, *codes):
    """Until alice's status names a store, or what is wrong besides, with one of these codes; and tells her what it is and what to do."""
    def named(user):
        return next((code for code in (*[store.get("code") for store in user["stores"]], user.get("code")) if code in codes), None)
    world.device.wait_status(lambda status: any(user["name"] == "alice" and named(user) for user in status["users"]), f"{codes}")
    user = world.device.user("alice")
    code = named(user)
    meaning = json.loads(world.device.ctl("explain", code, "--json").stdout)
    told = " ".join(world.device.ctl("status", uid=1000).stdout.split())
    assert f"{meaning['text']} [{code}]" in told and meaning["remedy"] in told.partition("What to do")[2], told
    return user


def fill():
    """Not a byte of the home's file system stays free."""
    ballast = os.open(HOME / "ballast", os.O_WRONLY | os.O_CREAT)
    for size in (4096, 1):
        try:
            while os.write(ballast, b"x" * size):
                pass
        except OSError:
            continue
    os.close(ballast)


def well_again(world):
    world.device.ctl("renew")
    user = world.device.wait_user("alice", state="installed")
    contents = nss.Database("alice").contents()
    assert len(contents.ours) == 1 and len(contents.keys) == 1
    return user


def test_no_database_at_all(ready):
    """The agent makes it where Chromium will look, as Chromium would."""
    ready.server.distribution("on")
    ready.device.wait_user("alice", state="installed")
    database = nss.Database("alice")
    assert database.directory.stat().st_mode & 0o777 == 0o700
    assert (database.directory / "key4.db").stat().st_mode & 0o777 == 0o600
    assert not (HOME / ".pki").exists(), "never made: it would hide the other"
    assert len(database.contents().ours) == 1


def test_the_older_place_wins_where_it_exists(ready):
    old = nss.Database("alice", HOME / ".pki/nssdb").create()
    newer = nss.Database("alice").create()
    ready.server.distribution("on")
    ready.device.wait_user("alice", state="installed")
    assert len(old.contents().ours) == 1
    assert len(newer.contents().ours) in (0, 1)


def test_snaps_flatpaks_and_thunderbird_beside_the_distributions_own(ready):
    """Homes as they have them; each browser gets the certificate where it looks, Thunderbird only if told, and all of it goes again."""
    profiles = ["snap/firefox/common/.mozilla/firefox", ".var/app/org.mozilla.firefox/config/mozilla/firefox", ".config/mozilla/firefox"]
    places = [f"{root}/abcd.default" for root in profiles] + [
        ".local/share/pki/nssdb", "snap/chromium/current/.local/share/pki/nssdb", ".var/app/org.chromium.Chromium/data/pki/nssdb",
        ".var/app/com.google.Chrome/.pki/nssdb", ".var/app/com.microsoft.Edge/data/pki/nssdb", ".var/app/com.brave.Browser/data/pki/nssdb",
        "snap/brave/current/.pki/nssdb", ".var/app/com.vivaldi.Vivaldi/.pki/nssdb", "snap/opera/current/.local/share/pki/nssdb"]
    thunderbird = nss.Database("alice", HOME / ".thunderbird/abcd.default").create()
    databases = [nss.Database("alice", HOME / place) for place in places]
    for snap in ("chromium", "brave", "opera"):
        programs.run(["mkdir", "-p", "-m", "0700", HOME / f"snap/{snap}/7"], uid=1000)
        programs.run(["ln", "-s", "7", HOME / f"snap/{snap}/current"], uid=1000)
    for database in databases:
        database.create()
    for root in (*profiles, ".thunderbird"):
        programs.run(["tee", HOME / root / "profiles.ini"], uid=1000, stdin="[Profile0]\nName=default\nIsRelative=1\nPath=abcd.default\n")
    ready.server.distribution("on")
    user = ready.device.wait_user("alice", state="installed", stores=lambda stores: len(stores) == len(places))
    assert sorted(store["path"] for store in user["stores"]) == sorted(str(database.directory) for database in databases)
    for database in databases:
        assert database.serials() == [user["serial"]] and len(database.contents().keys) == 1
    assert not thunderbird.contents().certificates

    agent = ready.device.agents["alice"]
    agent.stop()
    agent.program.argv.append("--thunderbird")
    agent.start()
    user = ready.device.wait_user("alice", state="installed", stores=lambda stores: len(stores) == len(places) + 1)
    databases.append(thunderbird)
    assert all(database.serials() == [user["serial"]] for database in databases)
    ready.server.distribution("off")
    ready.device.wait_gone("alice")
    assert not any(database.contents().certificates or database.contents().keys for database in databases)


def test_an_empty_older_place_counts(ready):
    programs.run(["mkdir", "-p", "-m", "0700", str(HOME / ".pki/nssdb")], uid=1000)
    ready.server.distribution("on")
    ready.device.wait_user("alice", state="installed")
    assert len(nss.Database("alice", HOME / ".pki/nssdb").contents().ours) == 1


def test_others_certificates_are_never_touched(ready):
    name = "Example Device Trust Certificate - deadbeef"
    database = nss.Database("alice").create()
    database.import_key(*certs.self_signed(certs.scratch(), name), name)
    before = database.contents()
    ready.server.distribution("on")
    user = ready.device.wait_user("alice", state="installed")
    ready.device.ctl("renew", uid=1000)
    ready.device.wait_user("alice", state="installed", serial=lambda serial: serial != user["serial"])
    assert set(before.certificates) <= set(database.contents().certificates) and set(before.keys) <= set(database.contents().keys)
    ready.server.distribution("off")
    ready.device.wait_gone("alice")
    assert database.contents() == before


def test_master_password(ready):
    database = nss.Database("alice").create("secret")
    before = database.files_hash()
    ready.server.distribution("on")
    store_code(ready, "store-password")
    assert database.files_hash() == before, "left as it is"
    shutil.rmtree(database.directory)
    database.create()
    well_again(ready)


@pytest.mark.parametrize("file", ["key4.db", "cert9.db"])
def test_corrupt_database(ready, file):
    database = nss.Database("alice").create()
    path = database.directory / file
    data = bytearray(path.read_bytes())
    data[:200] = b"this is no database any more".ljust(200, b"!")
    path.write_bytes(data)
    before = database.files_hash()
    ready.server.distribution("on")
    store_code(ready, "store-corrupt")
    assert database.files_hash() == before, "left as it is"
    shutil.rmtree(database.directory)
    well_again(ready)


def test_read_only_database(ready):
    database = nss.Database("alice").create()
    for path in database.directory.iterdir():
        path.chmod(0o400)
    database.directory.chmod(0o500)
    before = database.files_hash()
    ready.server.distribution("on")
    store_code(ready, "store-read-only")
    assert database.files_hash() == before
    database.directory.chmod(0o700)
    for path in database.directory.iterdir():
        path.chmod(0o600)
    well_again(ready)


def overwrite(database):
    path = database.directory / "cert9.db"
    path.write_bytes(b"!" * path.stat().st_size)


def forbid(database):
    for path in (*database.directory.iterdir(), database.directory):
        path.chmod(0o500)


@pytest.mark.parametrize("password, spoil, code", [
    ("secret", lambda database: None, "store-password"), (None, overwrite, "store-corrupt"), (None, forbid, "store-read-only"),
], ids=["locked", "corrupt", "read-only"])
def test_the_others_work(ready, password, spoil, code):
    shared = nss.Database("alice").create(password)
    spoil(shared)
    before = shared.files_hash()
    profile = nss.Database("alice", HOME / ".mozilla/firefox/abcd.default").create()
    programs.run(["tee", profile.directory.parent / "profiles.ini"], uid=1000, stdin="[Profile0]\nIsRelative=1\nPath=abcd.default\n")
    ready.server.distribution("on")
    user = ready.device.wait_user("alice", state="installed")
    assert profile.serials() == [user["serial"]] and len(profile.contents().keys) == 1
    store_code(ready, code)
    told = ready.device.ctl("status", uid=1000).stdout
    assert told.startswith("Trusted until ") and "profile default: installed" in told, told
    assert shared.files_hash() == before, "left as it is"


def test_read_only_file_system(ready):
    nss.Database("alice").create()
    agent = ready.device.agents["alice"]
    agent.stop()
    subprocess.run(["mount", "--bind", str(HOME), str(HOME)], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(HOME)], check=True)
        agent.start()
        ready.server.distribution("on")
        store_code(ready, "store-read-only", "record-write")
    finally:
        agent.stop()
        subprocess.run(["umount", str(HOME)], check=True)
    agent.start()
    well_again(ready)


def test_home_is_full(ready):
    agent = ready.device.agents["alice"]
    agent.stop()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k,mode=0700,uid=1000,gid=1000", "tmpfs", str(HOME)], check=True)
    try:
        database = nss.Database("alice").create()
        fill()
        agent.start()
        ready.server.distribution("on")
        store_code(ready, "store-full", "record-write", "storage")
        assert database.contents().keys == () and database.contents().ours == [], "nothing half done"
        (HOME / "ballast").unlink()
        user = well_again(ready)
        assert database.serials() == [user["serial"]]
    finally:
        agent.stop()
        subprocess.run(["umount", str(HOME)], check=True)


def test_home_full_at_renewal_keeps_the_old_credential(ready):
    agent = ready.device.agents["alice"]
    agent.stop()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k,mode=0700,uid=1000,gid=1000", "tmpfs", str(HOME)], check=True)
    try:
        agent.start()
        ready.server.distribution("on")
        old = ready.device.wait_user("alice", state="installed")
        fill()
        ready.device.ctl("renew")
        store_code(ready, "store-full", "record-write", "storage")
        (HOME / "ballast").unlink()
        database = nss.Database("alice")
        assert database.serials() == [old["serial"]] and len(database.contents().keys) == 1
        new = well_again(ready)
        waiting.until(lambda: database.serials() == [new["serial"]], "renewed at last")
    finally:
        agent.stop()
        subprocess.run(["umount", str(HOME)], check=True)


def test_home_is_missing(ready):
    shutil.rmtree(HOME)
    ready.server.distribution("on")
    store_code(ready, "store-missing", "record-write", "store-none")
    assert not HOME.exists(), "a home is never made"
    accounts.make_home("alice")
    well_again(ready)


def test_home_of_somebody_else(ready):
    os.chown(HOME, 1001, 1001)
    ready.server.distribution("on")
    waiting.until(lambda: (ready.device.user("alice") or {}).get("code") not in (None, "none"), "named")
    assert not (HOME / ".local").exists()
    os.chown(HOME, 1000, 1000)
    well_again(ready)


def test_symbolic_link_in_the_way_of_the_record(ready):
    programs.run(["mkdir", "-p", str(HOME / ".local/state")], uid=1000)
    target = accounts.home("bob") / "stolen"
    programs.run(["ln", "-s", str(target), str(HOME / ".local/state/devtrust")], uid=1000)
    ready.server.distribution("on")
    waiting.until(lambda: (ready.device.user("alice") or {}).get("code") not in (None, "none")
                  or ready.device.user("alice")["state"] == "installed", "an end")
    assert not target.exists()


def test_pkcs11_module_of_the_user_is_not_loaded(ready):
    """The agent opens stores without the modules that pkcs11.txt names."""
    database = nss.Database("alice").create()
    trap = HOME / "trap.so"
    text = (database.directory / "pkcs11.txt").read_text(encoding="utf-8")
    (database.directory / "pkcs11.txt").write_text(f"{text}\nlibrary={trap}\nname=trap\n\n", encoding="utf-8")
    ready.server.distribution("on")
    ready.device.wait_user("alice", state="installed")
    maps = pathlib.Path("/proc", str(ready.device.agents["alice"].program.pid), "maps").read_text(encoding="utf-8")
    assert "trap.so" not in maps and "trap" in (database.directory / "pkcs11.txt").read_text(encoding="utf-8")


def test_record_lost_is_rebuilt_from_the_stores(ready):
    ready.server.distribution("on")
    user = ready.device.wait_user("alice", state="installed")
    agent = ready.device.agents["alice"]
    agent.stop()
    agent.record.unlink()
    agent.start()
    waiting.until(agent.record.exists, "rebuilt")
    ready.device.wait_user("alice", agent_attached=True)
    assert agent.database.serials() == [user["serial"]] and len(agent.database.contents().keys) == 1


@pytest.mark.parametrize("text", ["", "{", '{"format": "other", "version": 1}', "\0\0\0"])
def test_record_broken_is_rebuilt(ready, text):
    ready.server.distribution("on")
    user = ready.device.wait_user("alice", state="installed")
    agent = ready.device.agents["alice"]
    agent.stop()
    agent.record.write_text(text, encoding="ascii")
    agent.start()
    waiting.until(lambda: user["serial"] in agent.record.read_text(encoding="utf-8"), "rebuilt")
    assert agent.database.serials() == [user["serial"]]


def test_certificate_deleted_by_hand_is_made_anew(ready):
    ready.server.distribution("on")
    user = ready.device.wait_user("alice", state="installed")
    agent = ready.device.agents["alice"]
    agent.stop()
    shutil.rmtree(agent.database.directory)
    agent.start()
    new = ready.device.wait_user("alice", state="installed", serial=lambda serial: serial != user["serial"])
    assert agent.database.serials() == [new["serial"]] and len(agent.database.contents().keys) == 1


def test_a_new_store_asks_for_a_renewal(ready):
    ready.server.distribution("on")
    user = ready.device.wait_user("alice", state="installed")
    agent = ready.device.agents["alice"]
    agent.stop()
    added = nss.Database("alice", HOME / ".pki/nssdb").create()
    agent.start()
    new = ready.device.wait_user("alice", state="installed", serial=lambda serial: serial != user["serial"])
    waiting.until(lambda: added.serials() == [new["serial"]], "in the new store")
    waiting.until(lambda: agent.database.serials() in ([], [new["serial"]]), "no old one is left")
