"""`devtrustctl ipc bridge` and --bridge: the interface through a program, as ssh would carry it."""
import json
import os
import pathlib
import select
import signal
import subprocess

import pytest
from harness import accounts, programs, waiting

TOOL = str(programs.RUN / "bin/devtrustctl")


def through(device, *arguments, uid=0, bridge="env devtrustctl ipc bridge --socket {socket}"):
    return programs.run([TOOL, *arguments, "--bridge", bridge.format(socket=device.socket)], uid=uid)


def script(world, name, text):
    path = pathlib.Path("/run/dt") / name
    path.write_text("#!/bin/sh\n" + text, encoding="utf-8")
    path.chmod(0o755)
    return str(path)


def start_bridge(device, uid=0):
    return subprocess.Popen([TOOL, "ipc", "bridge", "--socket", str(device.socket)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, env=programs.base_environment(), user=uid, group=uid, extra_groups=[])


def call_bytes(method, **more):
    return json.dumps({"method": method, **more}).encode() + b"\0"


def read_reply(stream):
    message = b""
    while not message.endswith(b"\0"):
        byte = stream.read(1)
        assert byte, message
        message += byte
    return json.loads(message[:-1])


def test_the_same_answers_as_at_the_socket(world):
    device = world.setup("alice")
    device.wait_user("alice", state="installed")
    for arguments in (["ipc", "info"], ["ipc", "info", "--json"], ["ipc", "introspect"], ["ipc", "introspect", "--json"],
                      ["ipc", "introspect", "io.devtrust.Debug"],
                      ["ipc", "call", "io.devtrust.Debug.GetUserMachine", '{"user": "alice"}'],
                      ["ipc", "call", "io.devtrust.Device.GetCertificates", '{"user": "alice"}']):
        before, bridged, after = device.ctl(*arguments), through(device, *arguments), device.ctl(*arguments)
        assert bridged.returncode == before.returncode == 0, (arguments, bridged.stderr)
        # what is told of alice may move on meanwhile
        assert bridged.stdout in (before.stdout, after.stdout) and not bridged.stderr, arguments
    # an error is an error, with its exit status
    done = through(device, "ipc", "call", "io.devtrust.Debug.ListConnections", "{}", uid=1000)
    assert done.returncode == 4 and "PermissionDenied" in done.stdout
    assert through(device, "ipc", "introspect", "io.devtrust.Nothing").returncode == 1


def test_who_calls_is_who_runs_the_bridge(world):
    device = world.setup("alice", "bob")
    for name in ("alice", "bob"):
        device.wait_user(name, state="installed")
    done = through(device, "ipc", "call", "io.devtrust.Device.GetStatus", uid=accounts.uid_of("bob"))
    assert [user["name"] for user in json.loads(done.stdout)["users"]] == ["bob"]


def test_a_stream(world):
    device = world.setup("alice", on=False)
    watch = subprocess.Popen([TOOL, "ipc", "call", "io.devtrust.Agent.Watch", '{"version": "1"}', "--more", "--json", "--bridge",
                              f"env devtrustctl ipc bridge --socket {device.socket}"], stdout=subprocess.PIPE, text=True,
                             env=programs.base_environment(), user=accounts.uid_of("carol"), group=accounts.uid_of("carol"), extra_groups=[])
    assert json.loads(watch.stdout.readline())["mode"] == "idle"
    device.stop()
    assert watch.wait(waiting.PATIENCE) == 3, "the daemon has ended; so do bridge and call"
    watch.stdout.close()


def start_monitor(device, *arguments):
    """In a process group of its own, as a shell starts a command: Ctrl-C reaches the bridge too."""
    monitor = subprocess.Popen([TOOL, "ipc", "monitor", "--json", *arguments, "--bridge",
                                f"env devtrustctl ipc bridge --socket {device.socket}"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True, env=programs.base_environment(), start_new_session=True)
    # Monitor does not show itself: whatever comes is behind it
    waiting.until(lambda: device.ctl("renew", uid=1000) and select.select([monitor.stdout], [], [], 0.05)[0], "the monitor shows")
    return monitor


def test_monitor(world):
    device = world.setup("alice", on=False)
    record = pathlib.Path("/run/dt/bridged.record")
    monitor = start_monitor(device, "--record", str(record))
    event = json.loads(monitor.stdout.readline())
    assert {"time_us", "kind"} <= set(event)
    os.killpg(monitor.pid, signal.SIGINT)
    _, said = monitor.communicate(timeout=waiting.PATIENCE)
    assert monitor.returncode == 0 and "bridge" not in said, said
    header = json.loads(record.read_text(encoding="utf-8").splitlines()[0])
    assert header["format"] == "devtrust-monitor" and "host" not in header, "whose host it is nobody here knows"
    monitor = start_monitor(device)
    device.stop()
    said, _ = monitor.communicate(timeout=waiting.PATIENCE)
    assert monitor.returncode == 3 and "The bridge ended with status 0" in said, said


def test_raw(world):
    """Pipelined calls in one write, answered in their order; and no byte besides."""
    world.start_server()
    device = world.add_device().start()
    with start_bridge(device) as bridge:
        bridge.stdin.write(call_bytes("org.varlink.service.GetInfo") * 10 + call_bytes("io.devtrust.No.Such"))
        bridge.stdin.flush()
        for _ in range(10):
            assert read_reply(bridge.stdout)["parameters"]["product"] == "devtrustd"
        assert read_reply(bridge.stdout)["error"].startswith("org.varlink.service.")
        bridge.stdin.close()
        assert bridge.stdout.read() == b"" and bridge.stderr.read() == b""
        assert bridge.wait(waiting.PATIENCE) == 0


def test_half_close_after_a_call_that_is_answered_at_once(world):
    """echo CALL | devtrustctl ipc bridge: the answer comes out before the end."""
    world.start_server()
    device = world.add_device().start()
    done = subprocess.run([TOOL, "ipc", "bridge", "--socket", str(device.socket)], input=call_bytes("org.varlink.service.GetInfo"),
                          capture_output=True, env=programs.base_environment(), timeout=waiting.PATIENCE, check=False)
    assert done.returncode == 0 and json.loads(done.stdout[:-1])["parameters"]["product"] == "devtrustd", done


def test_ends_with_the_daemon_and_with_its_reader(world):
    world.start_server()
    device = world.add_device().start()
    with start_bridge(device) as bridge:
        bridge.stdin.write(call_bytes("org.varlink.service.GetInfo"))
        bridge.stdin.flush()
        read_reply(bridge.stdout)
        bridge.stdout.close()  # nobody reads any more
        assert bridge.wait(waiting.PATIENCE) == 0
    with start_bridge(device) as bridge:
        bridge.stdin.write(call_bytes("org.varlink.service.GetInfo"))
        bridge.stdin.flush()
        read_reply(bridge.stdout)
        device.stop()
        assert bridge.wait(waiting.PATIENCE) == 0
        assert bridge.stdout.read() == b""


def test_refuses_a_socket_that_is_not_roots(world):
    programs.install_programs()
    path = accounts.home("bob") / "s"
    impostor = programs.Program("impostor", ["/usr/bin/python3", "-c", "import socket\ns=socket.socket(socket.AF_UNIX)\n"
                                             f"s.bind('{path}')\ns.listen()\nprint('ready',flush=True)\nwhile True:\n c,_=s.accept()\n"
                                             " print('got',c.recv(9999),flush=True)\n"], uid=1001).start()
    try:
        impostor.wait_log("ready")
        done = subprocess.run([TOOL, "ipc", "bridge", "--socket", str(path)], input=b"secret\0", capture_output=True,
                              env=programs.base_environment(), timeout=waiting.PATIENCE, check=False)
        assert done.returncode == 4 and b"root" in done.stderr and not done.stdout
        assert impostor.wait_log("got").string == "got b''", "nothing of ours reaches it"
    finally:
        impostor.kill()
        path.unlink()


@pytest.mark.parametrize("text, says", [
    ("exit 7\n", "ended with status 7"),
    ("echo Welcome to this host\nexit 0\n", "ended with status 0"),
    ("kill -9 $$\n", "ended by signal 9"),
    ("printf 'Welcome\\0'; cat\n", "is not Varlink"),
    ("printf '{\"parameters\":[]}\\0'; cat\n", "is not Varlink"),
    ("printf '{\"parameters\":{},\"continues\":true}\\0'; cat\n", "is not Varlink"),
    ("head -c 3000000 /dev/zero | tr '\\0' x; cat\n", "too large"),
    ("exec <&- >&-; exec sleep 1000\n", "closed its output"),
])
def test_a_bridge_that_fails(world, text, says):
    programs.install_programs()
    pid_file = pathlib.Path("/run/dt/bridge.pid")
    done = programs.run([TOOL, "ipc", "info", "--bridge", script(world, "bad", f"echo $$ >{pid_file}\nexec 2>/dev/null\n{text}")])
    assert done.returncode in (2, 3) and says in done.stderr and not done.stdout, done
    assert not pathlib.Path("/proc", pid_file.read_text(encoding="ascii").strip()).exists(), "it is ended with us"


def test_a_bridge_that_hangs(world):
    programs.install_programs()
    pid_file = pathlib.Path("/run/dt/bridge.pid")
    hangs = script(world, "hangs", f"echo $$ >{pid_file}\ntrap '' TERM\nexec sleep 1000\n")
    pid_file.unlink(missing_ok=True)
    done = programs.run([TOOL, "ipc", "info", "--json", "--timeout", "3", "--bridge", hangs])
    assert done.returncode == 3 and json.loads(done.stdout)["error"]["code"] == "daemon-unreachable", done
    assert "Nothing came through the bridge in time" in done.stdout
    assert not pathlib.Path("/proc", pid_file.read_text(encoding="ascii").strip()).exists()


@pytest.mark.parametrize("arguments", [["ipc", "introspect", "a.b"], ["ipc", "info"], ["ipc", "call", "a.b.C"],
                                       ["ipc", "call", "a.b.C", "--json"]], ids=" ".join)
def test_what_comes_cannot_steer_the_terminal(world, arguments):
    """Nobody here knows who answers through a bridge. CSI as one character and as ESC [, a direction that turns, DEL."""
    programs.install_programs()
    text = "\x9b2J \x1b[2J \u202e \x7f end"
    reply = json.dumps({"parameters": {"description": text, "product": text, "vendor": "v", "version": "1", "url": "u", "interfaces": [text]}})
    relay = script(world, "liar", f"head -c 1 >/dev/null\ncat <<'END' | tr '\\n' '\\000'\n{reply}\nEND\nexec cat >/dev/null\n")
    done = programs.run([TOOL, *arguments, "--bridge", relay])
    assert done.returncode == 0 and "end" in done.stdout, done
    assert not set("\x9b\x1b\u202e\x7f") & set(done.stdout + done.stderr), done


def test_no_shell_reads_it(world):
    programs.install_programs()
    touched = pathlib.Path("/run/dt/touched")
    for command in (f"true ; touch {touched}", f"true $(touch {touched})", f"true `touch {touched}`", f"true | touch {touched}",
                    f"true & touch {touched}", f"true > {touched}"):
        done = programs.run([TOOL, "ipc", "info", "--bridge", command])
        assert done.returncode == 3 and not touched.exists(), command
    for command in ("sh -c 'true'", 'echo "x"', "a\\ b", " ", "x " * 33):
        done = programs.run([TOOL, "ipc", "info", "--bridge", command])
        assert done.returncode == 2 and "no shell" in done.stderr, command
    done = programs.run([TOOL, "ipc", "info", "--bridge", "no-such-program"])
    assert done.returncode == 3 and "cannot be run: No such file" in done.stderr


def test_the_far_ends_failure_is_told(world):
    programs.install_programs()
    done = programs.run([TOOL, "ipc", "info", "--bridge", "env devtrustctl ipc bridge --socket /run/dt/nothing"])
    assert done.returncode == 3
    assert "devtrustd cannot be reached" in done.stderr and "with status 3" in done.stderr, "both ends speak"


def test_usage(world):
    programs.install_programs()
    done = programs.run([TOOL, "ipc", "info", "--bridge", "true", "--socket", "/run/dt/x"])
    assert done.returncode == 2 and "exclude each other" in done.stderr
    closed = subprocess.run(["/bin/sh", "-c", f"{TOOL} ipc bridge <&-"], capture_output=True, text=True, check=False,
                            env=programs.base_environment())
    assert closed.returncode == 2 and "must be open" in closed.stderr
    leader, terminal = os.openpty()
    on_terminal = subprocess.run([TOOL, "ipc", "bridge"], stdin=terminal, capture_output=True, text=True, check=False,
                                 env=programs.base_environment())
    os.close(leader)
    os.close(terminal)
    assert on_terminal.returncode == 2 and "ipc call" in on_terminal.stderr
