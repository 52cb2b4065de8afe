"""The Debian packages on a machine with a real systemd: install, upgrade under attached agents, remove, reinstall, purge. One machine for the
file; the tests follow each other."""
import json
import pathlib
import shutil
import subprocess

import pytest

from harness import box as boxes, waiting
from test_systemd import URL, PORTAL, agent_pid, certificates, ctl, wait_user

NAMES = ("devtrust", "devtrust-common", "devtrust-server")
VERSION = "0.1.0"
NEWER = "0.1.0+newer"


def build(place: pathlib.Path) -> dict[str, pathlib.Path]:
    subprocess.run(["systemd/deb.sh", str(place)], cwd=boxes.ROOT, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    return {path.name.split("_")[0]: path for path in place.glob("*.deb")}


@pytest.fixture(scope="module")
def packages() -> dict[str, pathlib.Path]:
    return build(boxes.ROOT / "build/deb")


@pytest.fixture(scope="module")
def machine(packages, tmp_path_factory) -> boxes.Box:
    """A booted machine with the packages in /root, and one of a newer version, which is the same but for its name."""
    with boxes.booted() as box:
        for name in NAMES:
            shutil.copy(packages[name], box.root / "root")
        newer = tmp_path_factory.mktemp("newer") / "tree"
        subprocess.run(["dpkg-deb", "--raw-extract", str(packages["devtrust"]), str(newer)], check=True)
        control = newer / "DEBIAN/control"
        control.write_text(control.read_text(encoding="utf-8").replace(f"Version: {VERSION}\n", f"Version: {NEWER}\n"), encoding="utf-8")
        subprocess.run(["dpkg-deb", "--build", str(newer), str(box.root / "root/newer.deb")], check=True, stdout=subprocess.DEVNULL)
        make_own(box)
        yield box


@pytest.fixture(scope="module")
def before(machine) -> list[str]:
    """Before the packages are installed for the first time."""
    return look(machine)


def install(box: boxes.Box, *files: str) -> str:
    done = box.run("env", "DEBIAN_FRONTEND=noninteractive", "dpkg", "--install", *(f"/root/{file}" for file in files))
    return done.stdout + done.stderr


def version(box: boxes.Box, package: str) -> str:
    return box.run("dpkg-query", "--show", "--showformat=${Version}", package).stdout


def explained(box: boxes.Box) -> str:
    """What the journal says of what it has of devtrust."""
    return box.journal("--catalog", "_COMM=devtrustd")


def policy(box: boxes.Box) -> list[str]:
    return box.run("sh", "-c", "ls -A /etc/chromium/policies/managed 2>/dev/null || true").stdout.split()


# a rule of the administrator's, and a key and certificate of each user's own, of nearly our name
RULE = '{ "AutoSelectCertificateForUrls" : ["{\\"pattern\\":\\"https://intranet.example\\",\\"filter\\":{}}"] }'
OWN = ("mkdir -p -m 700 ~/.local/share/pki/nssdb && certutil -N --empty-password -d sql:$HOME/.local/share/pki/nssdb && head -c 1000 /bin/sh "
       ">~/noise && certutil -S -x -s 'CN=Example Device Trust Certificate - deadbeef' -n mine -t ,, -k ec -q nistp256 -z ~/noise "
       "-d sql:$HOME/.local/share/pki/nssdb && rm ~/noise")


def make_own(box: boxes.Box) -> None:
    box.run("mkdir", "-p", "/etc/chromium/policies/managed")
    box.run("tee", "/etc/chromium/policies/managed/50-corp.json", stdin=RULE)
    for user in boxes.USERS:
        box.as_user(user, "sh", "-c", OWN)


def look(box: boxes.Box) -> list[str]:
    """What is whose: certificates and keys as NSS tells them, names of files in the homes, policies to the byte."""
    found = [box.run("sh", "-c", "find /etc/chromium /etc/firefox -type f -exec sha256sum {} + 2>/dev/null | sort", check=False).stdout]
    for user in boxes.USERS:
        database = f"sql:/home/{user}/.local/share/pki/nssdb"
        found += [box.as_user(user, "certutil", *what, "-d", database).stdout for what in (("-L",), ("-K",), ("-L", "-n", "mine", "-a"))]
        found.append(box.run("find", f"/home/{user}", "-type", "f", "-printf", "%p %U %m\n").stdout)
    return found


def test_two_builds_are_the_same_bytes(packages, tmp_path):
    again = build(tmp_path / "somewhere" / "else")
    assert sorted(again) == sorted(packages)
    for name, path in packages.items():
        assert path.read_bytes() == again[name].read_bytes(), name


def test_lintian_has_no_errors(packages):
    done = subprocess.run(["lintian", "--fail-on=error,warning", "--allow-root", *map(str, packages.values())], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_installed_into_an_open_session_it_works_at_once(machine, packages, before):
    machine.login("alice")
    install(machine, *(packages[name].name for name in NAMES))
    for unit in ("devtrustd.service", "devtrustd.socket"):
        assert machine.show(unit, "ActiveState") == "active" and machine.show(unit, "UnitFileState") == "enabled", machine.journal()
    assert machine.show("devtrust-server.service", "ActiveState") == "inactive", "there is no server to run yet"
    assert agent_pid(machine, "alice"), "alice need not sign in again"
    assert "A program of devtrust has started" in explained(machine), "the package has brought its words into the journal's catalogue"
    machine.run("sh", "-c", "head -c 24 /dev/urandom | base64 > /root/passphrase && chmod 600 /root/passphrase")
    made = json.loads(machine.run("devtrust-server", "init", "--organisation", "Example", "--url", URL, "--portal-url", PORTAL,
                                  "--check-domain", "check.localhost", "--root-keys-dir", "/root/roots", "--passphrase-file",
                                  "/root/passphrase", "--json").stdout)
    machine.run("systemctl", "start", "devtrust-server.service")
    machine.run("sh", "-c", "umask 077; devtrust-server token create > /root/token")
    device = json.loads(machine.run("devtrustctl", "enroll", URL, "--token-file", "/root/token", "--ca-pin", made["ca_pin"],
                                    "--json").stdout)["device_uuid"]
    for user in boxes.USERS:
        machine.run("devtrust-server", "user", "add", f"u-{user}", "--name", user)
        machine.run("devtrust-server", "assign", f"u-{user}", device, user)
    machine.run("devtrust-server", "distribution", "on")
    wait_user(machine, "alice", state="installed", agent_attached=True)
    session = machine.login("bob")
    wait_user(machine, "bob", state="installed", agent_attached=True)
    machine.logout(session)
    wait_user(machine, "bob", agent_attached=False)


def test_an_upgrade_loses_nothing(machine):
    before = wait_user(machine, "alice", state="installed", agent_attached=True)
    agent, daemon = agent_pid(machine, "alice"), machine.show("devtrustd.service", "MainPID")
    install(machine, "newer.deb")
    assert version(machine, "devtrust") == NEWER
    assert machine.show("devtrustd.service", "MainPID") not in ("0", daemon), machine.journal()
    waiting.until(lambda: agent_pid(machine, "alice") not in (0, agent), "alice's agent is the new one")
    after = wait_user(machine, "alice", state="installed", agent_attached=True)
    assert after["serial"] == before["serial"] and len(certificates(machine, "alice")) == 1
    assert policy(machine) == ["50-corp.json", "zz-devtrust.json"]


def test_a_removal_that_is_given_up_leaves_it_working(machine):
    """As by another package's script: prerm has run, the package stays."""
    old = wait_user(machine, "alice", state="installed", agent_attached=True)
    script = "/var/lib/dpkg/info/devtrust.prerm"
    machine.run("sh", "-c", f"cp -p {script} /root/prerm && echo 'exit 1' >>{script}")
    done = machine.run("dpkg", "--remove", "devtrust", check=False)
    assert done.returncode != 0 and "Everything of ours is gone" in done.stdout, done.stdout + done.stderr
    machine.run("cp", "-p", "/root/prerm", script)
    new = wait_user(machine, "alice", state="installed", agent_attached=True)
    assert new["serial"] != old["serial"] and len(certificates(machine, "alice")) == 1
    session = machine.login("bob")
    wait_user(machine, "bob", state="installed", agent_attached=True)
    machine.logout(session)
    wait_user(machine, "bob", agent_attached=False)


def test_removed_it_takes_everything_along(machine, before):
    assert len(certificates(machine, "alice")) == 1 and len(certificates(machine, "bob")) == 1 and look(machine) != before
    done = machine.run("dpkg", "--remove", "devtrust")
    assert "Everything of ours is gone" in done.stdout, done.stdout + done.stderr
    assert look(machine) == before, "bob was not signed in"
    assert agent_pid(machine, "alice") == 0
    assert machine.run("sh", "-c", "command -v devtrustctl devtrustd devtrust-agent || true").stdout == ""
    assert machine.run("sh", "-c", "test -e /run/devtrust/io.devtrust && echo there || true").stdout == ""


def test_installed_again_it_goes_on_where_it_was(machine):
    install(machine, "newer.deb")
    wait_user(machine, "alice", state="installed", agent_attached=True)
    assert len(certificates(machine, "alice")) == 1


def test_what_cannot_be_reached_is_named_and_does_not_hold_it_up(machine):
    session = machine.login("bob")
    wait_user(machine, "bob", state="installed", agent_attached=True)
    machine.logout(session)
    wait_user(machine, "bob", agent_attached=False)
    database = "/home/bob/.local/share/pki/nssdb/cert9.db"
    machine.run("sh", "-c", f"cp -p {database} /root/saved && printf 'no database at all' | tee {database} >/dev/null")
    done = machine.run("dpkg", "--remove", "devtrust")
    assert "bob" in done.stdout and "[store-corrupt]" in done.stderr and "install devtrust again" in done.stderr, done.stdout + done.stderr
    assert certificates(machine, "alice") == []
    machine.run("sh", "-c", f"cat /root/saved > {database}")


def test_a_hold_of_the_administrator_outlives_a_reinstallation(machine):
    install(machine, "newer.deb")
    machine.run("devtrustctl", "remove")
    waiting.until(lambda: certificates(machine, "alice") == [], "alice's certificate is gone")
    machine.run("dpkg", "--remove", "devtrust")
    install(machine, "newer.deb")
    assert ctl(machine, "status")["enrolment"]["state"] == "held"


def test_purged_the_machine_knows_nothing_of_it(machine):
    machine.run("dpkg", "--purge", "devtrust")
    left = machine.run("sh", "-c", "find / -xdev -name '*devtrust*' -not -path '/proc/*' -not -path '/root/*' -not -path '/sys/*' "
                                   "-not -name '*devtrust-server*' -not -path '/var/lib/devtrust-server*' -not -path '/var/log/journal/*' "
                                   "-not -name 'devtrust-common.*' 2>/dev/null").stdout.split()
    others = machine.run("dpkg-query", "--listfiles", "devtrust-common", "devtrust-server").stdout.split()
    assert set(left) <= set(others), set(left) - set(others)
    install(machine, "newer.deb")
    assert ctl(machine, "status")["enrolment"]["state"] == "none"


def test_the_server_keeps_its_ca_until_it_is_purged(machine, packages):
    machine.run("dpkg", "--remove", "devtrust-server")
    assert machine.run("ls", "/var/lib/devtrust-server").stdout
    install(machine, packages["devtrust-server"].name)
    waiting.until(lambda: machine.show("devtrust-server.service", "ActiveState") == "active", "it serves again")
    machine.run("dpkg", "--purge", "devtrust-server")
    assert not machine.run("ls", "/var/lib/devtrust-server", check=False).stdout
