"""Firefox's policies.json with root's opt-in: merged into the administrator's, taken out to the byte, never in anybody's way."""
import json
import pathlib
import subprocess

import pytest
from harness import firefox, waiting
from harness.world import FIREFOX_POLICY

PREFERENCE = "security.default_personal_cert"
ADMIN = '{\n  "policies": {\n    "DisableTelemetry": true,\n    "Preferences": {\n      "browser.tabs.warnOnClose": {"Value": false}\n    }\n  }\n}\n'


def start(world):
    """Server and enrolled device, root has opted in; alice is managed, the switch off."""
    device = world.setup("alice", on=False, device_settings={"policy": {"firefox_auto_select": "yes"}})
    device.wait_user("alice", agent_attached=True)
    return device


def admin_file(text=ADMIN):
    FIREFOX_POLICY.parent.mkdir(parents=True, exist_ok=True)
    for path in (FIREFOX_POLICY.parent.parent, FIREFOX_POLICY.parent):
        path.chmod(0o755)
    FIREFOX_POLICY.write_text(text, encoding="utf-8")
    FIREFOX_POLICY.chmod(0o644)


def policy(device):
    """Firefox's part of the status."""
    return next(entry for entry in device.status()["policies"] if entry["family"] == "firefox")


def test_policy_is_merged_into_the_administrators_file_and_taken_out_to_the_byte(world):
    admin_file()
    device = start(world)
    text = waiting.until(lambda: (lambda text: PREFERENCE in text and text)(FIREFOX_POLICY.read_text(encoding="utf-8")), "merged")
    merged = json.loads(text)["policies"]
    assert merged["DisableTelemetry"] is True and "browser.tabs.warnOnClose" in merged["Preferences"]
    assert policy(device)["installed"] and policy(device)["path"] == str(FIREFOX_POLICY)
    with firefox.Firefox(firefox.Profile("alice")) as fox:
        assert fox.preference(PREFERENCE) == "Select Automatically"
        assert fox.preference("browser.tabs.warnOnClose") is False, "the administrator's own part works, too"
    assert device.ctl("remove").returncode == 0
    waiting.until(lambda: FIREFOX_POLICY.read_text(encoding="utf-8") == ADMIN, "as it was")
    assert device.ctl("renew").returncode == 0
    waiting.until(lambda: FIREFOX_POLICY.read_text(encoding="utf-8") == text, "put in again")


def test_without_the_opt_in_nothing_is_touched(world):
    admin_file()
    device = world.setup("alice")
    device.wait_user("alice", state="installed")
    assert FIREFOX_POLICY.read_text(encoding="utf-8") == ADMIN
    assert not [entry for entry in device.status()["policies"] if entry["family"] == "firefox"]


def test_policy_goes_with_the_opt_in(world):
    device = start(world)
    assert PREFERENCE in FIREFOX_POLICY.read_text(encoding="utf-8")
    device.stop()
    device.sections["policy"]["firefox_auto_select"] = "no"
    device.write_config()
    device.start()
    assert not FIREFOX_POLICY.parent.parent.exists(), "with the directories that we made"


def test_policy_goes_when_the_server_removes_the_device(world):
    device = start(world)
    assert FIREFOX_POLICY.exists()
    world.server.cli("device", "remove", device.uuid)
    waiting.until(lambda: not FIREFOX_POLICY.exists(), "gone")


def test_an_administrators_choice_wins(world):
    own = json.dumps({"policies": {"Preferences": {PREFERENCE: {"Value": "Ask Every Time", "Status": "locked"}}}})
    admin_file(own)
    entry = policy(start(world))
    assert not entry["installed"] and entry["code"] == "policy-conflict" and PREFERENCE in entry["remedy"]
    world.server.distribution("on")
    world.device.wait_user("alice", state="installed")
    assert FIREFOX_POLICY.read_text(encoding="utf-8") == own


@pytest.fixture
def folder():
    """Firefox's own, beside the program: empty at first."""
    path = pathlib.Path("/usr/lib/firefox-esr/distribution")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", str(path)], check=True)
    yield path
    subprocess.run(["umount", str(path)], check=True)


def reads_the_administrators():
    """What a Firefox that is started now goes by."""
    with firefox.Firefox(firefox.Profile("alice")) as fox:
        assert fox.preference("browser.tabs.warnOnClose") is False


def test_a_file_of_firefoxs_own_folder_is_not_put_out_of_effect(world, folder):
    """Firefox reads one file only, and the one in /etc first."""
    (folder / "policies.json").write_text(ADMIN, encoding="utf-8")
    entry = policy(start(world))
    assert entry["code"] == "policy-conflict" and str(folder) in entry["text"] and not FIREFOX_POLICY.exists()
    reads_the_administrators()


def test_a_file_that_comes_into_firefoxs_own_folder_later(world, folder):
    """The doctor sees it at once; the next word of the server makes ours give way, and the last word comes when the file has gone."""
    def seen():
        checks = device.call("io.devtrust.Device.Diagnose", {})["checks"]
        return next(check for check in checks if (check["id"], check.get("subject")) == ("policy", str(FIREFOX_POLICY)))
    device = start(world)
    waiting.until(FIREFOX_POLICY.exists, "written")
    assert seen()["result"] == "ok", seen()
    (folder / "policies.json").write_text(ADMIN, encoding="utf-8")
    check = seen()
    assert (check["result"], check["code"]) == ("failure", "policy-conflict") and str(folder) in check["text"], check
    world.server.distribution("on")
    waiting.until(lambda: not FIREFOX_POLICY.exists(), "ours has given way")
    assert policy(device)["code"] == "policy-conflict"
    reads_the_administrators()
    (folder / "policies.json").unlink()
    device.ctl("repair")
    assert PREFERENCE in FIREFOX_POLICY.read_text(encoding="utf-8") and policy(device)["installed"]
    assert seen()["result"] == "ok", seen()
