"""The RPM packages on a machine with a real systemd: install, upgrade under an attached agent, remove, install again. One machine for the file;
the tests follow each other. The machine is Debian's, so rpm is told to look neither for Debian nor for what the packages need."""
import json
import pathlib
import re
import shutil
import subprocess

import pytest

from harness import box as boxes, waiting
from test_systemd import URL, PORTAL, agent_pid, certificates, wait_user

NAMES = ("devtrust", "devtrust-common", "devtrust-server")


def build(place: pathlib.Path, *options: str) -> dict[str, pathlib.Path]:
    """Of the programs that are built already."""
    subprocess.run(["systemd/rpm.sh", "--built", *options, str(place)], cwd=boxes.ROOT, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    return {path.name.rsplit("-", 2)[0]: path for path in place.glob("*.rpm")}


def query(package: pathlib.Path, *arguments: str) -> str:
    return subprocess.run(["rpm", "--query", "--package", *arguments, str(package)], check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def packages() -> dict[str, pathlib.Path]:
    return build(boxes.ROOT / "build/rpm-test")


@pytest.fixture(scope="module")
def machine(packages, tmp_path_factory) -> boxes.Box:
    newer = build(tmp_path_factory.mktemp("newer"), "--release", "2")
    with boxes.booted() as box:
        for files in (packages, newer):
            for path in files.values():
                shutil.copy(path, box.root / "root")
        yield box


def rpm(box: boxes.Box, *arguments: str) -> str:
    done = box.run("rpm", "--force-debian", "--nodeps", *arguments)
    return done.stdout + done.stderr


def test_two_builds_are_the_same_bytes(packages, tmp_path):
    again = build(tmp_path / "somewhere" / "else")
    assert sorted(again) == sorted(packages) == list(NAMES)
    for name, path in packages.items():
        assert path.read_bytes() == again[name].read_bytes(), name
        assert query(path, "--queryformat=%{BUILDHOST}") == "localhost"


def test_they_hold_what_make_install_installs(packages, installed):
    """Every file, in one package each, as root's, with its mode."""
    packed = [line.split(" ", 2) for path in packages.values() for line in query(path, "--queryformat=[%{FILEMODES:perms} %{FILEUSERNAME} %{FILENAMES}\n]").splitlines()]
    files = {re.sub(r"\.gz$", "", name): mode for mode, owner, name in packed if not mode.startswith("d") and owner == "root"}
    assert len(files) == len([mode for mode, _, _ in packed if not mode.startswith("d")])
    moved = {"/usr/share/zsh/vendor-completions/_devtrustctl": "/usr/share/zsh/site-functions/_devtrustctl",
             "/usr/share/doc/devtrust/SERVER-API.md": "/usr/share/doc/devtrust-server/SERVER-API.md"}
    wanted = {}
    for path in installed.rglob("*"):
        if path.is_file():
            name = f"/{path.relative_to(installed)}"
            wanted[moved.get(name, name)] = "-rwxr-xr-x" if path.stat().st_mode & 0o111 else "-rw-r--r--"
    assert files == wanted


def test_scriptlets_are_clean_shell(packages):
    for name, path in packages.items():
        for tag in ("POSTIN", "PREUN", "POSTUN"):
            script = query(path, f"--queryformat=%{{{tag}}}")
            assert script == "(none)" or "%{" not in script, (name, tag)
            if script != "(none)":
                done = subprocess.run(["shellcheck", "--severity=warning", "--shell=sh", "-"], input=script, capture_output=True, text=True, check=False)
                assert done.returncode == 0, (name, tag, done.stdout)


def test_installed_into_an_open_session_it_works_at_once(machine, packages):
    machine.login("alice")
    rpm(machine, "--install", *(f"/root/{packages[name].name}" for name in NAMES))
    for unit in ("devtrustd.service", "devtrustd.socket"):
        assert machine.show(unit, "ActiveState") == "active" and machine.show(unit, "UnitFileState") == "enabled", machine.journal()
    assert machine.show("devtrust-server.service", "UnitFileState") == "enabled" and machine.show("devtrust-server.service", "ActiveState") == "inactive"
    assert agent_pid(machine, "alice"), "alice need not sign in again"
    assert "A program of devtrust has started" in machine.journal("--catalog", "_COMM=devtrustd")
    machine.run("sh", "-c", "head -c 24 /dev/urandom | base64 > /root/passphrase && chmod 600 /root/passphrase")
    made = json.loads(machine.run("devtrust-server", "init", "--organisation", "Example", "--url", URL, "--portal-url", PORTAL,
                                  "--check-domain", "check.localhost", "--root-keys-dir", "/root/roots", "--passphrase-file",
                                  "/root/passphrase", "--json").stdout)
    machine.run("systemctl", "start", "devtrust-server.service")
    machine.run("sh", "-c", "umask 077; devtrust-server token create > /root/token")
    device = json.loads(machine.run("devtrustctl", "enroll", URL, "--token-file", "/root/token", "--ca-pin", made["ca_pin"],
                                    "--json").stdout)["device_uuid"]
    machine.run("devtrust-server", "user", "add", "u-alice", "--name", "alice")
    machine.run("devtrust-server", "assign", "u-alice", device, "alice")
    machine.run("devtrust-server", "distribution", "on")
    wait_user(machine, "alice", state="installed", agent_attached=True)


def test_an_upgrade_loses_nothing(machine):
    before = wait_user(machine, "alice", state="installed", agent_attached=True)
    agent, daemon = agent_pid(machine, "alice"), machine.show("devtrustd.service", "MainPID")
    said = rpm(machine, "--upgrade", *(f"/root/{name}-0.1.0-2.{'noarch' if name.endswith('common') else 'x86_64'}.rpm" for name in NAMES))
    assert "gone" not in said, "an upgrade removes nothing"
    assert machine.run("rpm", "--query", "devtrust").stdout.startswith("devtrust-0.1.0-2")
    assert machine.show("devtrustd.service", "MainPID") not in ("0", daemon), machine.journal()
    waiting.until(lambda: agent_pid(machine, "alice") not in (0, agent), "alice's agent is the new one")
    after = wait_user(machine, "alice", state="installed", agent_attached=True)
    assert after["serial"] == before["serial"] and len(certificates(machine, "alice")) == 1
    for unit in ("devtrustd.service", "devtrustd.socket", "devtrust-server.service"):
        assert machine.show(unit, "ActiveState") == "active" and machine.show(unit, "UnitFileState") == "enabled"


def test_removed_it_takes_everything_along_and_installed_again_it_goes_on(machine):
    said = rpm(machine, "--erase", "devtrust")
    assert "Everything of ours is gone" in said, said
    assert certificates(machine, "alice") == [] and agent_pid(machine, "alice") == 0
    assert not machine.run("ls", "-A", "/etc/chromium/policies/managed").stdout
    assert machine.run("sh", "-c", "command -v devtrustctl devtrustd devtrust-agent || true").stdout == ""
    assert not machine.run("sh", "-c", "ls -d /run/devtrust/io.devtrust /etc/systemd/*/*/devtrustd.* /etc/systemd/user/*/devtrust-agent.service || true").stdout
    rpm(machine, "--install", "/root/devtrust-0.1.0-2.x86_64.rpm")
    wait_user(machine, "alice", state="installed", agent_attached=True)
    assert len(certificates(machine, "alice")) == 1
