"""The installed programs under a real systemd: units, socket, sessions, watchdog, journal. One machine for the file; the tests follow each other."""
import json

import pytest

from harness import box as boxes, waiting

URL, PORTAL = "https://localhost:8443", "https://localhost:9443"


def ctl(box: boxes.Box, *arguments: str, user: str | None = None) -> dict:
    """devtrustctl with --json, its answer whatever the exit status."""
    argv = ("devtrustctl", *arguments, "--json")
    done = box.as_user(user, *argv, check=False) if user else box.run(*argv, check=False)
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


def user_status(box: boxes.Box, name: str) -> dict:
    return next((user for user in ctl(box, "status").get("users", []) if user["name"] == name), {})


def wait_user(box: boxes.Box, name: str, **wanted: object) -> dict:
    def holds() -> dict | None:
        status = user_status(box, name)
        return status if status and all(value(status.get(key)) if callable(value) else status.get(key) == value for key, value in wanted.items()) else None
    return waiting.until(holds, f"{name}: {wanted}")


def agent_pid(box: boxes.Box, name: str) -> int:
    shown = box.as_user(name, "systemctl", "--user", "show", "--value", "--property=MainPID", "devtrust-agent.service", check=False)
    return int(shown.stdout.strip() or 0)


def certificates(box: boxes.Box, name: str) -> list[str]:
    """Nicknames in the user's database, as certutil tells the user himself; it calls one bad that is just being made or written to."""
    database = f"/home/{name}/.local/share/pki/nssdb"
    if box.run("test", "-e", f"{database}/cert9.db", check=False).returncode != 0:
        return []

    def read() -> "boxes.subprocess.CompletedProcess[str] | None":
        done = box.as_user(name, "certutil", "-L", "-d", f"sql:{database}", check=False)
        return done if done.returncode == 0 else None
    done = waiting.until(read, f"certutil reads the database of {name}")
    return [line.rsplit(None, 1)[0] for line in done.stdout.splitlines() if "Device Trust Certificate" in line]


def policies(box: boxes.Box) -> list[str]:
    return sorted(box.run("find", "/etc/chromium", "/etc/opt/chrome", "/etc/brave", "/etc/firefox", "-type", "f").stdout.split())


@pytest.fixture(scope="module")
def device(box: boxes.Box) -> boxes.Box:
    """The machine is its own server's device, enrolled by a file; alice is assigned, distribution is on, Chrome and Firefox are served, too;
    nobody has signed in. All of it happens in the units' sandbox."""
    box.run("sh", "-c", "head -c 24 /dev/urandom | base64 > /root/passphrase && chmod 600 /root/passphrase")
    made = json.loads(box.run("devtrust-server", "init", "--organisation", "Example", "--url", URL, "--portal-url", PORTAL, "--check-domain",
                              "check.localhost", "--root-keys-dir", "/root/roots", "--passphrase-file", "/root/passphrase", "--json").stdout)
    box.run("systemctl", "enable", "--now", "devtrust-server.service")
    token = box.run("devtrust-server", "token", "create").stdout.strip()
    box.run("mkdir", "-p", "/etc/opt/chrome/policies/managed")
    box.run("tee", "/etc/devtrust/devtrustd.conf", stdin="[policy]\nfirefox_auto_select = yes\n")
    box.run("sh", "-c", "umask 077; cat > /etc/devtrust/enroll.conf", stdin=f"[enroll]\nurl = {URL}\ntoken = {token}\nca_pin = {made['ca_pin']}\n")
    box.run("systemctl", "enable", "devtrustd.service", "devtrustd.socket")
    box.run("systemctl", "restart", "devtrustd.service")  # a machine's first boot has enabled and started it already
    box.run("systemctl", "--global", "preset", "devtrust-agent.service")
    enrolment = waiting.until(lambda: (lambda found: found["state"] == "enrolled" and found)(ctl(box, "status")["enrolment"]), "enrolled")
    waiting.until(lambda: box.run("ls", "/etc/devtrust").stdout.split() == ["devtrustd.conf"], "the file with the token is gone")
    box.run("devtrust-server", "user", "add", "u1", "--name", "Alice")
    box.run("devtrust-server", "assign", "u1", enrolment["device_uuid"], "alice")
    box.run("devtrust-server", "distribution", "on")
    return box


def test_units_are_well_and_enclosed(device):
    for unit in ("devtrustd.service", "devtrust-server.service"):
        device.run("systemd-analyze", "security", "--no-pager", "--threshold=20", unit)
        assert device.show(unit, "ActiveState") == "active" and device.show(unit, "NRestarts") == "0"
        assert (device.show(unit, "Type"), device.show(unit, "Restart")) == ("notify", "on-failure")
        pid = int(device.show(unit, "MainPID"))
        status = device.run("cat", f"/proc/{pid}/status").stdout
        for line in ("CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"):
            assert line in status, (unit, line, status)
    assert device.show("devtrustd.service", "WatchdogUSec") == "10min", "a test below sets another time"
    assert device.run("stat", "-c", "%a %U", "/run/devtrust", "/run/devtrust/io.devtrust", "/var/lib/devtrust").stdout.split() == [
        "755", "root", "666", "root", "700", "root"]


def test_who_is_not_signed_in_is_said_to_be(device):
    status = wait_user(device, "alice", signed_in=False, code="not-signed-in")
    assert not status["agent_attached"]


def test_a_session_gets_its_certificate_and_two_sessions_have_one_agent(device):
    assert device.run("systemctl", "--global", "is-enabled", "devtrust-agent.service").stdout.strip() == "enabled"
    first = device.login("alice")
    status = wait_user(device, "alice", state="installed", agent_attached=True)
    assert len(certificates(device, "alice")) == 1
    assert policies(device) == ["/etc/chromium/policies/managed/zz-devtrust.json", "/etc/firefox/policies/policies.json",
                                "/etc/opt/chrome/policies/managed/zz-devtrust.json"]
    pid = agent_pid(device, "alice")
    lines = device.run("cat", f"/proc/{pid}/status").stdout
    assert "NoNewPrivs:\t1" in lines and "Seccomp:\t2" in lines, "the user unit's filters are in force"
    second = device.login("alice")
    device.logout(first)
    assert agent_pid(device, "alice") == pid, "the agent lives as long as one session"
    device.logout(second)
    wait_user(device, "alice", agent_attached=False, state="installed", signed_in=False)
    third = device.login("alice")
    again = wait_user(device, "alice", state="installed", agent_attached=True)
    assert again["serial"] == status["serial"], "signing in again is no reason for another certificate"
    device.as_user("alice", "systemctl", "--user", "stop", "devtrust-agent.service")
    wait_user(device, "alice", agent_attached=False, signed_in=True)  # that is something else than not being here
    device.as_user("alice", "systemctl", "--user", "start", "devtrust-agent.service")
    wait_user(device, "alice", agent_attached=True, signed_in=True)
    # who lingers keeps the agent, and counts as here
    pid = agent_pid(device, "alice")
    device.run("loginctl", "enable-linger", "alice")
    device.logout(third)
    waiting.until(lambda: device.run("loginctl", "show-user", "--value", "--property=State", "alice").stdout.strip() == "lingering", "no session is left")
    wait_user(device, "alice", agent_attached=True, signed_in=True)
    assert agent_pid(device, "alice") == pid
    device.run("loginctl", "disable-linger", "alice")


def test_a_browser_that_comes_later_gets_its_policy_as_the_doctor_says(device):
    """The unit's sandbox knows the directories that are there at its start: what the doctor says to do must work in it."""
    policy = "/etc/opt/edge/policies/managed"

    def edge() -> dict:
        return next(check for check in ctl(device, "doctor")["checks"] if (check["id"], check.get("subject")) == ("browser", "Microsoft Edge"))
    device.run("install", "-D", "/bin/true", "/opt/microsoft/msedge/msedge")
    found = edge()
    assert found["code"] == "browser-no-policy" and policy in found["text"], found
    assert found["remedy"].endswith("mode 0755; then run: systemctl restart devtrustd."), found
    device.run("mkdir", "-p", policy)
    device.run("systemctl", "restart", "devtrustd")
    waiting.until(lambda: edge()["result"] == "ok", "Edge has its policy")
    assert device.run("ls", policy).stdout.split() == ["zz-devtrust.json"]


def test_who_is_not_managed_has_an_idle_agent(device):
    session = device.login("bob")
    waiting.until(lambda: agent_pid(device, "bob"), "bob's agent")
    assert ctl(device, "status", user="bob")["users"] == []
    assert not device.run("ls", "-A", "/home/bob/.local/share/pki", check=False).stdout
    device.logout(session)


def message_id(name: str) -> str:
    table = (boxes.ROOT / "common/log_messages.h").read_text(encoding="utf-8")
    return next(line.split('"')[1] for line in table.splitlines() if line.startswith(f"#define {name} "))


def test_two_users_at_one_screen(device):
    """Fast user switching: who is in front changes; each keeps his agent and his certificate."""
    uuid = ctl(device, "status")["enrolment"]["device_uuid"]
    device.run("devtrust-server", "user", "add", "b1", "--name", "Bob")
    device.run("devtrust-server", "assign", "b1", uuid, "bob")
    sessions = {user: device.login(user, seat="seat0") for user in boxes.USERS}
    serials = {user: wait_user(device, user, state="installed", agent_attached=True, signed_in=True)["serial"] for user in boxes.USERS}
    pids = {user: agent_pid(device, user) for user in boxes.USERS}
    assert len(set(serials.values())) == len(set(pids.values())) == 2
    for user in ("alice", "bob", "alice"):
        shown = device.run("loginctl", "show-user", "--value", "--property=Sessions", user).stdout.split()
        front = next(session for session in shown if device.run("loginctl", "show-session", "--value", "--property=Seat", session).stdout.strip())
        device.run("loginctl", "activate", front)
        waiting.until(lambda: device.run("loginctl", "show-seat", "--value", "--property=ActiveSession", "seat0").stdout.strip() == front,
                      f"{user} in front")
        assert {entry["user"] for entry in ctl(device, "cert", "show", "--console-user")["certificates"]} == {user}
        for one in boxes.USERS:
            assert wait_user(device, one, state="installed", agent_attached=True)["serial"] == serials[one]
            assert agent_pid(device, one) == pids[one]
    for session in sessions.values():
        device.logout(session)
    device.run("devtrust-server", "unassign", "b1", uuid)
    session = device.login("bob")  # his agent may have been gone before it was told
    waiting.until(lambda: certificates(device, "bob") == [], "bob has none any more")
    device.logout(session)


def test_everything_is_well_in_the_sandbox(device):
    """What devtrustd looks at and does besides: the units' file systems, filters and flags are in nobody's way."""
    session = device.login("alice")
    before = wait_user(device, "alice", state="installed", agent_attached=True)
    for found in (ctl(device, "doctor"), ctl(device, "doctor", user="alice")):
        assert not [check for check in found["checks"] if check["result"] == "failure"], found
    device.as_user("alice", "devtrustctl", "renew")
    wait_user(device, "alice", state="installed", serial=lambda serial: serial != before["serial"])
    ours, theirs = (f"/etc/chromium/policies/managed/{name}" for name in ("zz-devtrust.json", "50-corp.json"))
    device.run("tee", theirs, stdin='{"AutoSelectCertificateForUrls": ["{\\"pattern\\":\\"https://intranet.example\\",\\"filter\\":{}}"]}')
    waiting.until(lambda: "intranet.example" in device.run("cat", ours).stdout, "an administrator's rule is taken over")
    device.run("rm", theirs)
    waiting.until(lambda: "intranet.example" not in device.run("cat", ours).stdout, "and goes with his")
    device.run("rm", ours)
    waiting.until(lambda: ours in policies(device), "what is deleted by hand is restored")
    device.logout(session)


def events(box: boxes.Box, unit: str = "_SYSTEMD_UNIT=devtrustd.service") -> list[str]:
    """What the programs of this unit have been told by the machine, oldest first."""
    found = box.journal("--output=json", f"MESSAGE_ID={message_id('MSG_MACHINE')}", unit)
    return [json.loads(line)["DEVTRUST_EVENT"] for line in found.splitlines()]


def reopened(box: boxes.Box) -> int:
    """How often devtrustd has opened its push stream anew because of what the machine told. It does so where the stream has lasted a while."""
    return box.journal("--output=json", f"MESSAGE_ID={message_id('MSG_DISCONNECTED')}").count('"opened anew: the network changed"')


def test_waking_from_sleep_is_noticed(device):
    """The real logind goes through a suspend whose service does nothing; the kernel's own state file is not in the box."""
    device.run("mkdir", "-p", "/run/systemd/system/systemd-suspend.service.d")
    device.run("tee", "/run/systemd/system/systemd-suspend.service.d/nothing.conf", stdin="[Service]\nExecStart=\nExecStart=/bin/true\n")
    device.run("systemctl", "daemon-reload")
    assert device.run("stat", "--file-system", "--format=%T", "/sys").stdout.strip() == "tmpfs", "nspawn makes a /sys of chosen folders"
    device.run("mount", "-o", "remount,rw", "/sys")
    device.run("mkdir", "/sys/power")
    device.run("tee", "/sys/power/state", stdin="freeze mem\n")
    device.run("tee", "/sys/power/mem_sleep", stdin="[s2idle]\n")
    device.run("systemctl", "restart", "systemd-logind.service")  # it has a view of its own of what can be written
    session = device.login("alice")
    wait_user(device, "alice", agent_attached=True)
    agent = "_SYSTEMD_USER_UNIT=devtrust-agent.service"
    assert "resume" not in events(device) + events(device, agent)
    before = reopened(device)

    def suspend() -> None:
        """Refused while the one before goes on."""
        device.run("busctl", "call", "org.freedesktop.login1", "/org/freedesktop/login1", "org.freedesktop.login1.Manager", "Suspend", "b", "false",
                   check=False)
    suspend()
    waiting.until(lambda: "resume" in events(device), "devtrustd has heard of it")
    waiting.until(lambda: "resume" in events(device, agent), "alice's agent has heard of it")
    waiting.until(lambda: suspend() or reopened(device) > before, "the push stream is opened anew")
    device.logout(session)
    device.run("mount", "-o", "remount,ro", "/sys")  # or other services would wait for udev


def test_a_network_that_comes_back_is_noticed(device):
    """As the real systemd-networkd sees it, be the port its own or not."""
    device.run("systemctl", "start", "systemd-networkd.service")
    waiting.until(lambda: device.run("busctl", "status", "org.freedesktop.network1", check=False).returncode == 0, "networkd has its name")
    assert "network" not in events(device)
    device.run("ip", "link", "add", "port0", "type", "veth", "peer", "name", "port1")
    device.run("ip", "address", "add", "192.0.2.1/24", "dev", "port0")
    for port in ("port0", "port1"):
        device.run("ip", "link", "set", port, "up")
    waiting.until(lambda: "network" in events(device), "devtrustd has heard of it")
    before = reopened(device)

    def again() -> None:
        for state in ("down", "up"):
            device.run("ip", "link", "set", "port1", state)
    waiting.until(lambda: again() or reopened(device) > before, "the push stream is opened anew")
    device.run("systemctl", "stop", "systemd-networkd.service", "systemd-networkd.socket")


def test_the_bus_may_restart(device):
    wait_user(device, "alice", signed_in=False)
    device.run("systemctl", "restart", "dbus.service")
    device.run("systemctl", "restart", "systemd-logind.service")  # which does not come back by itself
    session = device.login("alice")
    wait_user(device, "alice", signed_in=True, agent_attached=True)  # the new bus tells, or is asked
    device.logout(session)
    wait_user(device, "alice", signed_in=False)


def test_an_account_that_changes_is_looked_at_at_once(device):
    """While the agent is attached another account gets the name, the account is renamed, it is deleted, and another one gets its uid; then
    everything is as before."""
    session = device.login("alice")
    before = wait_user(device, "alice", state="installed", agent_attached=True)
    line = next(line for line in device.run("cat", "/etc/passwd").stdout.splitlines() if line.startswith("alice:"))
    device.run("sed", "-i", "s/^alice:x:1000:/alice:x:1099:/", "/etc/passwd")
    wait_user(device, "alice", code="user-changed", agent_attached=True)
    device.run("sed", "-i", "/^alice:/s/^alice:/alicia:/", "/etc/passwd")
    wait_user(device, "alice", code="user-unknown", agent_attached=True)
    device.run("sed", "-i", "s/^alicia:x:1099:/alice:x:1000:/", "/etc/passwd")
    wait_user(device, "alice", code=None, state="installed", agent_attached=True)
    device.run("sed", "-i", "/^alice:/d", "/etc/passwd")
    wait_user(device, "alice", code="user-unknown", agent_attached=True)
    device.run("sed", "-i", f"$a {line.replace('alice:', 'mallory:', 1)}", "/etc/passwd")
    asked = json.loads(device.run("runuser", "-u", "mallory", "--", "devtrustctl", "renew", "--json", check=False).stdout)
    assert asked["error"]["code"] == "user-unknown", asked
    wait_user(device, "alice", code="user-unknown", agent_attached=True)
    device.run("sed", "-i", "s/^mallory:/alice:/", "/etc/passwd")
    after = wait_user(device, "alice", code=None, state="installed", agent_attached=True)
    assert after["serial"] == before["serial"]
    device.logout(session)


# Knows the directory's users, ghost0 to ghost9, and says so only when a pipe is opened for it; of others it knows nothing, at once.
SLOW_NAME_SERVICE = r"""
#include <fcntl.h>
#include <nss.h>
#include <pwd.h>
#include <string.h>
#include <unistd.h>
enum nss_status _nss_slow_getpwnam_r(const char *name, struct passwd *ret, char *buffer, size_t size, int *error) {
    (void)ret; (void)buffer; (void)size; (void)error;
    if (strncmp(name, "ghost", 5) != 0)
        return NSS_STATUS_NOTFOUND;
    close(open("/run/directory", O_RDONLY | O_CLOEXEC)); /* blocks until somebody writes */
    return NSS_STATUS_NOTFOUND;
}
enum nss_status _nss_slow_getpwuid_r(uid_t uid, struct passwd *ret, char *buffer, size_t size, int *error) {
    (void)uid; (void)ret; (void)buffer; (void)size; (void)error;
    return NSS_STATUS_NOTFOUND;
}
"""


def test_a_directory_that_hangs_holds_nobody_else_up(device):
    """A real name service module. Three of its users are assigned, then an ordinary one, who must not wait behind them."""
    device.add_library(SLOW_NAME_SERVICE, "libnss_slow.so.2")
    device.run("mkfifo", "-m", "644", "/run/directory")
    device.run("sed", "-i", "s/^passwd:.*/passwd: files slow/", "/etc/nsswitch.conf")
    uuid = ctl(device, "status")["enrolment"]["device_uuid"]
    for number in range(3):
        device.run("devtrust-server", "user", "add", f"g{number}", "--name", f"Ghost {number}")
        device.run("devtrust-server", "assign", f"g{number}", uuid, f"ghost{number}")
    wait_user(device, "ghost2")
    device.run("devtrust-server", "user", "add", "u2", "--name", "Bob")
    device.run("devtrust-server", "assign", "u2", uuid, "bob")
    session = device.login("bob")
    wait_user(device, "bob", state="installed", agent_attached=True)
    assert user_status(device, "ghost0").get("code") != "user-unknown", "nothing is known of him yet"
    device.run("sed", "-i", "s/^passwd:.*/passwd: files/", "/etc/nsswitch.conf")
    device.run("touch", "/etc/passwd+")
    device.run("sh", "-c", "cp -p /etc/passwd /etc/passwd+ && mv /etc/passwd+ /etc/passwd")  # accounts have changed: all are looked up again

    def answered():
        device.run("sh", "-c", ": <>/run/directory")  # waits for nobody, and lets all who wait there go on
        return all(user_status(device, f"ghost{number}").get("code") == "user-unknown" for number in range(3))
    waiting.until(answered, "the directory's answers have come")
    for user in ("g0", "g1", "g2", "u2"):
        device.run("devtrust-server", "unassign", user, uuid)
    waiting.until(lambda: certificates(device, "bob") == [], "bob has none any more")
    device.logout(session)


def test_the_socket_starts_the_daemon(device):
    device.run("systemctl", "stop", "devtrustd.service")
    assert device.show("devtrustd.socket", "ActiveState") == "active"
    assert ctl(device, "status")["enrolment"]["state"] == "enrolled", "the first call waits for the daemon that it starts"
    assert device.show("devtrustd.service", "ActiveState") == "active"


def test_a_killed_daemon_comes_back_to_its_agents(device):
    session = device.login("alice")
    before = wait_user(device, "alice", state="installed", agent_attached=True)
    pid = agent_pid(device, "alice")
    restarts = int(device.show("devtrustd.service", "NRestarts"))
    device.run("kill", "-KILL", device.show("devtrustd.service", "MainPID"))
    waiting.until(lambda: int(device.show("devtrustd.service", "NRestarts")) > restarts, "systemd has started it again")
    after = wait_user(device, "alice", state="installed", agent_attached=True)
    assert after["serial"] == before["serial"] and agent_pid(device, "alice") == pid
    device.logout(session)


def test_a_daemon_that_hangs_is_started_again(device):
    device.run("mkdir", "-p", "/run/systemd/system/devtrustd.service.d")
    device.run("tee", "/run/systemd/system/devtrustd.service.d/watchdog.conf", stdin="[Service]\nWatchdogSec=6\nWatchdogSignal=SIGKILL\n")
    device.run("systemctl", "daemon-reload")
    device.run("systemctl", "restart", "devtrustd.service")
    first = device.show("devtrustd.service", "WatchdogTimestampMonotonic")
    waiting.until(lambda: device.show("devtrustd.service", "WatchdogTimestampMonotonic") != first, "the daemon reports that it is alive")
    restarts = int(device.show("devtrustd.service", "NRestarts"))
    device.run("kill", "-STOP", device.show("devtrustd.service", "MainPID"))
    waiting.until(lambda: int(device.show("devtrustd.service", "NRestarts")) > restarts, "systemd has noticed")
    assert ctl(device, "status")["enrolment"]["state"] == "enrolled"
    device.run("rm", "-r", "/run/systemd/system/devtrustd.service.d")
    device.run("systemctl", "daemon-reload")
    device.run("systemctl", "restart", "devtrustd.service")


def test_a_browser_that_is_installed_later_is_served(device):
    """Its directory comes while devtrustd runs, in a place that the unit may write; seen when anything is looked at again."""
    session = device.login("alice")
    wait_user(device, "alice", state="installed", agent_attached=True)
    device.run("mkdir", "-p", "/etc/brave/policies/managed")
    device.run("sh", "-c", "cp -p /etc/passwd /etc/passwd+ && mv /etc/passwd+ /etc/passwd")
    waiting.until(lambda: "/etc/brave/policies/managed/zz-devtrust.json" in policies(device), "Brave's policy")
    device.run("rm", "-r", "/etc/brave/policies")
    device.logout(session)


def test_the_journal_finds_events_by_their_id_and_explains_them(device):
    device.run("journalctl", "--update-catalog")
    enrolled = message_id("MSG_ENROLLED")
    entry = json.loads(device.journal("--output=json", f"MESSAGE_ID={enrolled}").splitlines()[0])
    assert entry["_SYSTEMD_UNIT"] == "devtrustd.service" and entry["DEVTRUST_URL"] == URL and entry["PRIORITY"] == "5", entry
    explained = device.journal("--catalog", f"MESSAGE_ID={enrolled}")
    for words in (f"Subject: This device is enrolled with {URL}", f"The server knows this device as {entry['DEVTRUST_DEVICE']}.",
                  "Documentation: man:devtrustctl(1)"):
        assert words in explained, explained
    started = device.journal("--output=json", f"MESSAGE_ID={message_id('MSG_START')}", "DEVTRUST_VERSION=0.1.0").splitlines()
    units = {json.loads(line).get("_SYSTEMD_USER_UNIT") or json.loads(line).get("_SYSTEMD_UNIT") for line in started}
    assert {"devtrustd.service", "devtrust-server.service", "devtrust-agent.service"} <= units, units


def test_switched_off_nothing_is_left_in_the_session(device):
    session = device.login("alice")
    wait_user(device, "alice", state="installed", agent_attached=True)
    device.run("devtrust-server", "distribution", "off")
    waiting.until(lambda: certificates(device, "alice") == [], "the certificate is gone")
    waiting.until(lambda: policies(device) == ["/etc/firefox/policies/policies.json"], "the policies are gone, but for what Firefox reads at its start")
    device.run("devtrustctl", "remove")
    waiting.until(lambda: policies(device) == [], "removed by root, that too")
    device.logout(session)


def test_stopping_is_orderly(device):
    for unit in ("devtrustd.service", "devtrust-server.service"):
        device.run("systemctl", "stop", unit)
        assert device.show(unit, "Result") == "success", device.journal(f"--unit={unit}")
