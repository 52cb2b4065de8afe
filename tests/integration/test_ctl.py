"""devtrustctl as people and scripts use it: tables, --json, exit codes."""
import json
import re

import pytest
from harness import accounts, certs, idl, programs
from harness.relay import Relay
from harness.world import POLICY_ROOT


def test_status_for_everybody(world):
    device = world.setup("alice", "bob")
    serials = {name: device.wait_user(name, state="installed")["serial"] for name in ("alice", "bob")}
    for uid, seen, hidden in ((0, ["alice", "bob"], []), (1000, ["alice"], ["bob"]), (1001, ["bob"], ["alice"])):
        done = device.ctl("status", uid=uid)
        assert done.returncode == 0, done.stderr
        assert all(serials[name] in done.stdout or name in done.stdout for name in seen), done.stdout
        assert all(serials[name] not in done.stdout for name in hidden), done.stdout
        assert "\x1b" not in done.stdout, "colour only on a terminal"
        if uid:
            assert done.stdout.startswith("Trusted until ") and "Chromium: installed\n" in done.stdout, done.stdout
            assert f"its name ends in {serials[seen[0]][:8]}\n" in done.stdout and done.stdout.endswith("What to do    Nothing.\n"), done.stdout
        answer = device.ctl_json("status", uid=uid)
        assert sorted(user["name"] for user in answer["users"]) == seen
    done = device.ctl("status", uid=accounts.uid_of("carol"))
    assert done.returncode == 1 and done.stdout.startswith("Not trusted: you are not managed on this device.\n"), done.stdout


def test_status_as_a_page(world):
    """Through the real xdg-open, whose browser is told to be cat: what it shows is what was written."""
    device = world.setup("alice")
    device.wait_user("alice", state="installed")
    done = programs.run([str(programs.RUN / "bin/devtrustctl"), "status", "--page", "--socket", str(device.front)], uid=1000,
                        environment=programs.user_environment("alice", 1000) | {"BROWSER": "/usr/bin/cat"})
    assert done.returncode == 0, done
    assert "<h1>Trusted until " in done.stdout and "Chromium: installed</li>" in done.stdout, done
    assert "/run/user/1000/devtrust-status.html\n" in done.stdout, done


def test_status_says_what_to_do(world):
    world.start_server()
    device = world.add_device().start()
    done = device.ctl("status")
    assert done.returncode == 1 and "devtrustctl enroll" in done.stdout, done.stdout
    assert json.loads(device.ctl("status", "--json").stdout)["enrolment"]["code"] == "not-enrolled"


def test_cert_show(world):
    device = world.setup("alice", "bob", on=False)
    done = device.ctl("cert", "show", uid=1000)
    assert done.returncode == 1, "no certificate yet"
    world.server.distribution("on")
    serials = {name: device.wait_user(name, state="installed")["serial"] for name in ("alice", "bob")}
    done = device.ctl("cert", "show", uid=1000)
    assert done.returncode == 0 and serials["alice"] in done.stdout.lower().replace(":", "") and serials["bob"] not in done.stdout
    for word in ("subject", "issuer", "serial", "not before", "not after", "store"):
        assert word in done.stdout.lower(), (word, done.stdout)
    answer = device.ctl_json("cert", "show", uid=1000)
    shown = answer["certificates"]
    assert [(entry["user"], entry["serial"], entry["verified"]) for entry in shown] == [("alice", serials["alice"], True)]
    assert {"subject", "issuer", "not_before", "not_after", "stores"} <= set(shown[0])
    pem = device.ctl("cert", "show", "--pem", uid=1000)
    assert pem.returncode == 0
    text = certs.openssl("x509", "-noout", "-serial", stdin=pem.stdout.encode()).decode()
    assert serials["alice"].upper() in text
    # root asks any managed user's agent; users may not
    assert device.ctl_json("cert", "show", "--user", "bob")["certificates"][0]["serial"] == serials["bob"]
    everyone = device.ctl_json("cert", "show", "--all-users")["certificates"]
    assert sorted(entry["serial"] for entry in everyone) == sorted(serials.values())
    assert device.ctl("cert", "show", "--user", "bob", uid=1000).returncode == 4
    assert device.ctl("cert", "show", "--all-users", uid=1000).returncode == 4
    assert device.ctl("cert", "show", "--user", "carol").returncode == 1
    assert device.ctl("cert", "show", uid=1002).returncode == 1


def test_cert_show_of_a_user_whose_agent_is_away(world):
    device = world.setup("alice")
    device.wait_user("alice", state="installed")
    device.agents["alice"].stop()
    device.wait_user("alice", agent_attached=False)
    done = device.ctl("cert", "show", "--user", "alice")
    assert done.returncode == 1 and "agent" in done.stdout + done.stderr, (done.stdout, done.stderr)


def test_cert_show_reads_the_store_not_a_memory(world):
    device = world.setup("alice", device_settings={"limits": {"requests_per_hour": 1}})  # it is not replaced
    device.wait_user("alice", state="installed")
    database = device.agents["alice"].database
    name = database.contents().ours[0]
    assert database.tool("-F", "-n", name).returncode == 0
    done = device.ctl("cert", "show", uid=1000)
    assert done.returncode == 1, done.stdout


def test_renew_by_user_and_by_root(world):
    device = world.setup("alice", "bob", device_settings={"limits": {"requests_per_hour": 100}})
    serials = {name: device.wait_user(name, state="installed")["serial"] for name in ("alice", "bob")}
    assert device.ctl("renew", uid=1000).returncode == 0
    new = device.wait_user("alice", state="installed", serial=lambda serial: serial != serials["alice"])["serial"]
    assert device.user("bob")["serial"] == serials["bob"]
    assert device.ctl("renew").returncode == 0
    device.wait_user("alice", state="installed", serial=lambda serial: serial != new)
    device.wait_user("bob", state="installed", serial=lambda serial: serial != serials["bob"])
    assert device.ctl("renew", uid=1002).returncode in (1, 4)


def test_remove_holds_until_renew(world):
    device = world.setup("alice", "bob", device_settings={"limits": {"requests_per_hour": 100}})
    for name in ("alice", "bob"):
        device.wait_user(name, state="installed")
    assert device.ctl("remove", uid=1000).returncode == 4
    assert device.ctl("remove").returncode == 0
    for name in ("alice", "bob"):
        device.wait_gone(name)  # certutil cannot read a database from which something is being deleted
        contents = device.agents[name].database.contents()
        assert contents.keys == () and contents.ours == []
    gone(lambda: device.policy_files() == {})
    assert device.status()["enrolment"]["code"] == "held"
    device.stop()
    device.start()
    assert device.status()["enrolment"]["code"] == "held", "the hold is on disk"
    world.server.cli("user", "add", "poke")
    assert device.agents["alice"].database.contents().ours == []
    assert device.ctl("renew").returncode == 0
    for name in ("alice", "bob"):
        device.wait_user(name, state="installed")


def gone(condition):
    from harness import waiting
    waiting.until(condition, "removed")


def test_ipc_call_info_introspect(world):
    device = world.setup("alice")
    device.wait_user("alice", state="installed")
    info = device.ctl("ipc", "info", uid=1000)
    assert info.returncode == 0 and "io.devtrust.Device" in info.stdout and "org.varlink.service" in info.stdout
    for interface in ("io.devtrust.Agent", "io.devtrust.Device", "io.devtrust.Debug", "org.varlink.service"):
        done = device.ctl("ipc", "introspect", interface, uid=1000)
        source = (programs.ROOT / "ipc" / f"{interface}.varlink").read_text(encoding="utf-8")
        assert done.returncode == 0 and done.stdout.strip() == source.strip()
    done = device.ctl("ipc", "call", "io.devtrust.Device.GetStatus", "{}", uid=1000)
    assert done.returncode == 0 and json.loads(done.stdout)["users"][0]["name"] == "alice"
    assert device.ctl("ipc", "call", "io.devtrust.Debug.ListConnections", "{}").returncode == 0
    done = device.ctl("ipc", "call", "io.devtrust.Debug.ListConnections", "{}", uid=1000)
    assert done.returncode == 4 and "PermissionDenied" in done.stdout + done.stderr
    assert device.ctl("ipc", "call", "io.devtrust.Nothing.At", "{}").returncode in (1, 2)
    assert device.ctl("ipc", "call", "io.devtrust.Device.GetStatus", "{not json").returncode == 2
    done = device.ctl("ipc", "call", "io.devtrust.Debug.GetUserMachine", '{"user": "alice"}')
    assert done.returncode == 0 and "PRIVATE" not in done.stdout


def test_public_calls_are_all_that_it_uses(world):
    """What it knows of a device it has been told: it opens no file of the daemon's, no policy and no home, speaks with nobody else, and calls
    what is declared, as declared."""
    device = world.setup("alice", device_settings={"limits": {"requests_per_hour": 100}})
    device.wait_user("alice", state="installed")
    relay = Relay(device)
    trace = programs.RUN / "ctl.strace"
    # a process that is traced cannot look for leaks
    environment = {**programs.base_environment(), "ASAN_OPTIONS": "detect_leaks=0"}
    for command in ("status", "cert show --all-users", "doctor --all-users", "repair --user alice", "renew --user alice", "report -", "ipc info",
                    "ipc introspect", "ipc call io.devtrust.Device.GetStatus", "ipc top --json --count 1", "completion users", "completion methods",
                    "remove"):
        programs.run(["strace", "-f", "-qq", "-e", "trace=file,connect", "-o", trace, programs.RUN / "bin/devtrustctl", *command.split(),
                      "--socket", relay.path], environment=environment)
        traced = trace.read_text(encoding="utf-8", errors="replace")
        assert set(re.findall(r'sun_path="([^"]+)"', traced)) - {"/var/run/nscd/socket"} == {str(relay.path)}, command
        for place in (device.state_dir, POLICY_ROOT, accounts.home("alice")):
            assert str(place) not in traced, (command, place)
    interfaces, calls = idl.shipped(), [entry for entry in relay.log() if entry["kind"] == "call" and entry["uid"] == 0]
    assert {"Diagnose", "Repair", "Renew", "Remove", "GetLog", "GetStatistics"} <= {entry["method"].rpartition(".")[2] for entry in calls}
    for entry in calls:
        assert idl.message_faults(interfaces, entry["method"], entry["message"]) == [], entry
    relay.end()


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["status", "extra"], ["cert"], ["cert", "show", "--user"], ["enroll"],
                                       ["enroll", "https://x", "--token-file"], ["ipc"], ["ipc", "call"], ["status", "--colour"],
                                       ["cert", "show", "--user", "a", "--all-users"]])
def test_usage_errors(world, arguments):
    world.start_server()
    device = world.add_device().start()
    done = programs.run([str(programs.RUN / "bin/devtrustctl"), *arguments])
    assert done.returncode == 2 and done.stderr and not done.stdout, (done.returncode, done.stdout, done.stderr)
    assert device.program.running()


def test_token_is_never_an_argument(world):
    world.start_server()
    device = world.add_device().start()
    done = device.ctl("enroll", world.server.url, "--token", world.server.token())
    assert done.returncode == 2


def test_token_from_standard_input(world):
    world.start_server()
    device = world.add_device().start()
    done = programs.run([str(programs.RUN / "bin/devtrustctl"), "enroll", world.server.url, "--token-file", "-", "--ca-pin", world.server.ca_pin,
                         "--socket", str(device.socket)], stdin=world.server.token() + "\n")
    assert done.returncode == 0, done.stderr
    assert device.status()["enrolment"]["state"] == "enrolled"


def test_daemon_away_and_impostor(world):
    programs.install_programs()
    tool = str(programs.RUN / "bin/devtrustctl")
    for arguments in (["status"], ["cert", "show"], ["renew"], ["ipc", "info"]):
        done = programs.run([tool, *arguments, "--socket", "/run/dt/nothing"])
        assert done.returncode == 3 and "systemctl start devtrustd" in done.stderr, (arguments, done.returncode, done.stderr)
        done = programs.run([tool, *arguments, "--socket", "/run/dt/nothing", "--json"])
        assert done.returncode == 3 and json.loads(done.stdout)["error"]["code"] == "daemon-unreachable"
    # somebody else's socket is not trusted, and the token does not travel to it
    impostor = programs.Program("impostor", ["/usr/bin/python3", "-c", "import socket,time\ns=socket.socket(socket.AF_UNIX)\n"
                                             f"s.bind('{accounts.home('bob')}/s')\ns.listen()\nprint('ready',flush=True)\nc,_=s.accept()\n"
                                             "print(c.recv(9999),flush=True)\ntime.sleep(99)"], uid=1001).start()
    try:
        impostor.wait_log("ready")
        done = programs.run([tool, "status", "--socket", f"{accounts.home('bob')}/s"])
        assert done.returncode == 4 and "root" in done.stderr, (done.returncode, done.stderr)
    finally:
        impostor.kill()


def test_help_and_version(world):
    programs.install_programs()
    for name in programs.PROGRAMS:
        done = programs.run([str(programs.RUN / "bin" / name), "--help"])
        assert done.returncode == 0 and done.stdout and not done.stderr, name
        done = programs.run([str(programs.RUN / "bin" / name), "--version"])
        assert done.returncode == 0 and done.stdout.strip(), name
        done = programs.run([str(programs.RUN / "bin" / name), "--nonsense"])
        assert done.returncode == 2 and done.stderr, name


@pytest.mark.parametrize("text, line", [("[policy]\nowner = me\n", 2), ("[nothing]\n", 1), ("[limits]\nrequests_per_hour = many\n", 2),
                                        ("[paths]\nsocket = relative\n", 2), ("[policy]\ncolour = blue\n", 2),
                                        ("[log]\nlevel = info\nlevel = debug\n", 3)])
def test_configuration_errors_name_file_line_and_remedy(world, text, line):
    programs.install_programs()
    for program in ("devtrustd", "devtrust-server"):
        path = world.base.parent / f"{program}.conf"
        path.write_text(text, encoding="ascii")
        arguments = ["serve"] if program == "devtrust-server" else []
        done = programs.run([str(programs.RUN / "bin" / program), "--config", str(path), *arguments])
        if program == "devtrustd":
            assert f"{path}:{line}" in done.stderr + done.stdout, done
        assert done.returncode != 0 and str(path) in done.stderr + done.stdout, (program, done)
