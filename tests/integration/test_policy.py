"""Chromium's policy directory: merged with the administrator's files, exactly removed, never written where it is not safe."""
import json
import os
import pathlib
import platform
import shutil
import subprocess

import pytest
from harness import accounts, waiting
from harness.world import FIREFOX_POLICY, POLICY_ROOT

KEY = "AutoSelectCertificateForUrls"
EXTENSIONS = pathlib.Path("/var/lib/flatpak/extension")
# Chrome, Edge, Brave (also their Flatpaks), Chromium as a snap and as a Flatpak; what is used only where it is there
OTHER_FAMILIES = tuple(pathlib.Path(root, "policies/managed") for root in (
    "/etc/opt/chrome", "/etc/opt/edge", "/etc/brave", "/etc/chromium-browser",
    EXTENSIONS / "org.chromium.Chromium.Extension.system-policies" / platform.machine() / "1"))
FIREFOX_FLATPAK = EXTENSIONS / "org.mozilla.firefox.systemconfig" / platform.machine() / "stable/policies"
ADMIN_RULE = json.dumps({"pattern": "https://intranet.example.com", "filter": {"ISSUER": {"CN": "Corp CA"}}})


def ours(device):
    """Our file's name: the one that names our issuer."""
    return [name for name in device.policy_files() if "devtrust" in name]


def effective(device):
    """What Chromium would use: the last file that has the key."""
    found = None
    for text in device.policy_files().values():
        try:
            content = json.loads(text)
        except ValueError:
            continue
        if KEY in content:
            found = content[KEY]
    return found


def wait_effective(device, condition, what):
    return waiting.until(lambda: effective(device) is not None and condition(effective(device)) and effective(device), what,
                         alive=device.program.check_alive)


def admin_file(name, content):
    path = POLICY_ROOT / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    path.chmod(0o644)
    return path


def test_elements_are_strings_with_explicit_patterns(world):
    device = world.setup("alice")
    device.wait_user("alice", state="installed")
    elements = effective(device)
    assert elements and all(isinstance(element, str) for element in elements)
    rules = [json.loads(element) for element in elements]
    assert sorted(rule["pattern"] for rule in rules) == ["https://[*.]check.localhost", "https://localhost"]
    issuers = {json.dumps(rule["filter"]) for rule in rules}
    assert len(issuers) == 1 and "ISSUER" in issuers.pop()
    path = device.policy_dir / ours(device)[0]
    assert path.stat().st_mode & 0o777 == 0o644 and path.stat().st_uid == 0
    policies = device.status()["policies"]
    assert [(entry["path"], entry["installed"]) for entry in policies if entry["installed"]] == [(str(POLICY_ROOT), True)]


def test_an_administrators_rule_is_merged_and_gone_when_withdrawn(world):
    path = admin_file("50-corp.json", {KEY: [ADMIN_RULE], "HomepageLocation": "https://x.example"})
    device = world.setup("alice")
    device.wait_user("alice", state="installed")
    wait_effective(device, lambda elements: ADMIN_RULE in elements and len(elements) > 1, "merged")
    assert "HomepageLocation" not in device.policy_files()[ours(device)[0]], "only our key is ours"

    other = ADMIN_RULE.replace("intranet", "other")
    admin_file("50-corp.json", {KEY: [other]})
    wait_effective(device, lambda elements: other in elements and ADMIN_RULE not in elements, "re-derived")
    path.unlink()
    wait_effective(device, lambda elements: other not in elements and elements, "withdrawn")
    admin_file("50-corp.json", {KEY: [ADMIN_RULE]})
    wait_effective(device, lambda elements: ADMIN_RULE in elements, "merged again")
    world.server.distribution("off")
    device.wait_gone("alice")
    waiting.until(lambda: not ours(device), "our file is gone")
    assert device.policy_files() == {"50-corp.json": json.dumps({KEY: [ADMIN_RULE]})}


def test_an_administrators_change_while_the_daemon_is_away(world):
    path = admin_file("50-corp.json", {KEY: [ADMIN_RULE]})
    device = world.setup("alice")
    device.wait_user("alice", state="installed")
    device.stop()
    path.unlink()
    device.start()
    wait_effective(device, lambda elements: ADMIN_RULE not in elements and elements, "withdrawn")


def test_a_file_that_sorts_after_ours_is_named(world):
    admin_file("zzz-last.json", {KEY: [ADMIN_RULE]})
    device = world.setup("alice")
    device.wait_status(lambda status: any(entry.get("code") == "policy-conflict" for entry in status["policies"]), "named")


def test_an_administrators_broken_file_is_named_and_left(world):
    admin_file("50-broken.json", '{"AutoSelectCertificateForUrls": [')
    device = world.setup("alice")
    device.wait_user("alice", state="installed")
    entry = next(entry for entry in device.status()["policies"] if entry["path"] == str(POLICY_ROOT))
    assert entry["code"] == "policy-broken-file" and entry["remedy"]
    assert device.policy_files()["50-broken.json"] == '{"AutoSelectCertificateForUrls": ['
    assert effective(device)
    (POLICY_ROOT / "50-broken.json").unlink()
    device.wait_status(lambda status: all(entry.get("code") in (None, "none") for entry in status["policies"] if entry["installed"]), "mended")


def test_an_element_that_would_crash_chromium_is_not_copied(world):
    admin_file("50-object.json", {KEY: [{"pattern": "https://x.example", "filter": {}}, ADMIN_RULE, 7]})
    device = world.setup("alice")
    device.wait_user("alice", state="installed")
    elements = wait_effective(device, lambda elements: ADMIN_RULE in elements, "merged")
    assert all(isinstance(element, str) for element in elements)


def test_missing_directory_is_made_and_removed(world):
    shutil.rmtree(POLICY_ROOT.parent)
    device = world.setup("alice")
    device.wait_user("alice", state="installed")
    assert ours(device)
    assert POLICY_ROOT.stat().st_mode & 0o777 == 0o755
    world.server.distribution("off")
    device.wait_gone("alice")
    waiting.until(lambda: not POLICY_ROOT.parent.exists(), "the directories that we made are gone")


@pytest.mark.parametrize("spoil, mend", [
    (lambda: os.chown(POLICY_ROOT, 1000, 1000), lambda: os.chown(POLICY_ROOT, 0, 0)),
    (lambda: POLICY_ROOT.chmod(0o777), lambda: POLICY_ROOT.chmod(0o755)),
    (lambda: (POLICY_ROOT.rmdir(), POLICY_ROOT.symlink_to(accounts.home("alice"))), lambda: (POLICY_ROOT.unlink(), POLICY_ROOT.mkdir(mode=0o755))),
], ids=["not root-owned", "writable by others", "a symbolic link"])
def test_unsafe_directory_is_not_written_and_named(world, spoil, mend):
    spoil()
    device = world.setup("alice")
    status = device.wait_status(lambda status: any(entry.get("code") == "policy-directory" for entry in status["policies"]), "named")
    assert all(entry["remedy"] for entry in status["policies"] if entry.get("code"))
    assert not list(POLICY_ROOT.iterdir()) or POLICY_ROOT.is_symlink()
    assert device.user("alice")["state"] != "installed", "no certificate before its policy"
    mend()
    device.stop()
    device.start()
    device.wait_user("alice", state="installed")
    assert ours(device)


def test_a_directory_that_the_unit_may_not_write_is_named_with_where_to_read_on(world):
    """It looks good from outside the unit's namespace."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro,mode=0755", "tmpfs", POLICY_ROOT], check=True)
    try:
        device = world.setup("alice")
        status = device.wait_status(lambda status: any(entry.get("code") == "policy-directory" for entry in status["policies"]), "named")
        assert "devtrustd.conf(5)" in status["policies"][0]["text"], status["policies"]
    finally:
        subprocess.run(["umount", POLICY_ROOT], check=True)
    device.ctl("repair")
    device.wait_user("alice", state="installed")


def test_our_file_deleted_or_changed_by_hand_is_restored(world):
    device = world.setup("alice")
    device.wait_user("alice", state="installed")
    path = POLICY_ROOT / ours(device)[0]
    text = path.read_text(encoding="utf-8")
    path.unlink()
    waiting.until(lambda: path.exists() and path.read_text(encoding="utf-8") == text, "restored")
    path.write_text("{}", encoding="utf-8")
    waiting.until(lambda: path.read_text(encoding="utf-8") == text, "restored")


def test_external_owner_writes_nothing(make_world):
    world = make_world()
    device = world.setup("alice", device_settings={"policy": {"owner": "external"}})
    device.wait_status(lambda status: status["policies"], "a status")
    device.wait_user("alice", agent_attached=True)
    waiting.stays(lambda: device.policy_files() == {}, 1, "nothing is written")


def test_policy_stays_while_paused_and_while_the_server_is_away(world):
    device = world.setup("alice")
    device.wait_user("alice", state="installed")
    before = device.policy_files()
    world.server.distribution("paused")
    device.wait_status(lambda status: status["desired"]["distribution"] == "paused", "paused")
    world.server.stop()
    device.stop()
    device.start()
    waiting.stays(lambda: device.policy_files() == before, 1, "the policy stands")


# ---- the families' own directories: no browser of theirs is to be had here, so these are prepared by hand -------------------------------

def names_in(directory):
    return sorted(path.name for path in directory.iterdir())


@pytest.fixture
def own_places(world):
    """No directory is configured, so each family's own counts; what lies below /var/lib is the test's."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", "/var/lib"], check=True)
    world.start_server()
    device = world.add_device({"policy": {"firefox_auto_select": "yes"}})
    del device.sections["policy"]["chromium_directories"]
    device.write_config()
    yield world
    world.end()
    for directory in OTHER_FAMILIES[:-1]:
        shutil.rmtree(directory.parent.parent, ignore_errors=True)
    subprocess.run(["umount", "/var/lib"], check=True)


def test_each_familys_own_directory_where_it_is_there(own_places):
    world, device = own_places, own_places.device.start()
    device.enroll(world.server)
    world.manage("alice", device)
    device.agent("alice")
    world.server.distribution("on")
    device.wait_user("alice", state="installed")
    text = device.policy_files()[ours(device)[0]]
    assert not any(directory.parent.exists() for directory in (*OTHER_FAMILIES, FIREFOX_FLATPAK)), "nothing is made for what is not there"

    device.stop()  # as a new directory asks for: the unit's sandbox knows those that are there at its start
    for directory in (*OTHER_FAMILIES, FIREFOX_FLATPAK):
        directory.mkdir(parents=True)
        for path in (directory, directory.parent):
            path.chmod(0o755)
    own = OTHER_FAMILIES[0] / "10-own.json"
    own.write_text(json.dumps({KEY: [ADMIN_RULE]}), encoding="utf-8")
    device.start()
    device.wait_status(lambda status: sum(entry["installed"] for entry in status["policies"]) == len(OTHER_FAMILIES) + 3, "written")
    for directory in OTHER_FAMILIES:
        assert names_in(directory)[-1] == ours(device)[0], directory
        written = json.loads((directory / ours(device)[0]).read_text(encoding="utf-8"))[KEY]
        assert written[-2:] == json.loads(text)[KEY] and (ADMIN_RULE in written) == (directory == own.parent), directory
    assert "Select Automatically" in (FIREFOX_FLATPAK / "policies.json").read_text(encoding="utf-8")
    shown = [(entry["family"], entry["path"]) for entry in device.status()["policies"]]
    assert shown == [*zip(("chromium", "chrome", "edge", "brave", "chromium-snap", "chromium-flatpak"), map(str, (POLICY_ROOT, *OTHER_FAMILIES))),
                     ("firefox", str(FIREFOX_POLICY)), ("firefox-flatpak", str(FIREFOX_FLATPAK / "policies.json"))]
    assert all(entry["installed"] and not entry.get("code") for entry in device.status()["policies"])
    assert not pathlib.Path("/etc/opt/opera").exists() and not pathlib.Path("/etc/vivaldi").exists(), "what is only guessed is not made"

    assert device.ctl("remove").returncode == 0
    waiting.until(lambda: [names_in(directory) for directory in (*OTHER_FAMILIES, FIREFOX_FLATPAK)] == [[own.name], [], [], [], [], []], "as they were")
    assert own.read_text(encoding="utf-8") == json.dumps({KEY: [ADMIN_RULE]})
    assert not FIREFOX_POLICY.exists()
