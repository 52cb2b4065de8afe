"""Starting, stopping, restarting; with no server for ever; the IPC at once; limits of the socket."""
import json
import os
import pathlib
import signal
import socket
import subprocess
import time

import pytest
from harness import accounts, programs, varlink, waiting

CONNECT_DEADLINE_S = 30  # of devtrustd's requests (daemon/http_transfer.c)


def test_ipc_is_served_at_once_without_a_server(world):
    device = world.setup("alice")
    device.wait_user("alice", state="installed")
    device.stop()
    world.server.stop()
    begin = time.monotonic()
    device.start()
    status = device.status()
    assert time.monotonic() - begin < CONNECT_DEADLINE_S
    assert status["users"][0]["state"] == "installed" and status["enrolment"]["state"] == "enrolled"
    assert device.ctl("cert", "show", uid=1000).returncode in (0, 1)
    device.wait_user("alice", agent_attached=True)
    assert device.ctl("cert", "show", uid=1000).returncode == 0
    waiting.stays(lambda: device.program.running() and device.user("alice")["state"] == "installed", 3, "on its own")
    assert len(device.agents["alice"].database.contents().ours) == 1
    assert device.ctl("status").returncode == 0, "offline with a valid certificate is ok"


def test_never_enrolled_runs_for_ever(world):
    device = world.add_device().start()
    agent = device.agent("alice")
    waiting.stays(lambda: device.program.running() and agent.program.running(), 2, "running")
    assert device.status()["enrolment"]["state"] == "none" and device.status()["users"] == []
    assert device.policy_files() == {}


def test_black_hole_instead_of_a_server(world):
    """Something accepts and never answers: the IPC goes on."""
    device = world.setup("alice")
    device.wait_user("alice", state="installed")
    world.server.stop()
    with socket.socket() as hole:
        hole.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        hole.bind(("127.0.0.1", world.server.device_port))
        hole.listen(100)
        device.stop()
        device.start()
        begin = time.monotonic()
        for _ in range(50):
            assert device.status()["enrolment"]["state"] == "enrolled"
        device.stop()
        assert time.monotonic() - begin < CONNECT_DEADLINE_S, "nothing of it has waited for the server"


def test_agent_before_daemon(world):
    world.start_server()
    device = world.add_device()
    agent = device.agent("alice")
    device.start()
    device.enroll(world.server)
    world.manage("alice", device)
    world.server.distribution("on")
    device.wait_user("alice", state="installed")
    assert agent.program.running()


def test_daemon_restarted_under_its_agents(world):
    device = world.setup("alice", "bob")
    serials = {name: device.wait_user(name, state="installed")["serial"] for name in ("alice", "bob")}
    device.stop()
    device.start()
    for name, serial in serials.items():
        device.wait_user(name, state="installed", agent_attached=True, serial=serial)


def test_second_daemon_refuses_to_start(world):
    device = world.setup()
    second = programs.run([str(programs.RUN / "bin/devtrustd"), "--config", str(device.config)])
    assert second.returncode != 0 and second.stderr
    assert device.status()["enrolment"]["state"] == "enrolled"


def test_socket_directory_and_modes(world):
    device = world.setup("alice")
    device.wait_user("alice", state="installed")
    assert device.socket.stat().st_mode & 0o777 == 0o666
    for path in device.state_dir.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path
    agent = device.agents["alice"]
    assert agent.record.stat().st_mode & 0o777 == 0o600 and agent.record.parent.stat().st_mode & 0o777 == 0o700
    state = json.loads(agent.record.read_text(encoding="utf-8"))
    assert state["version"] == 1 and state["format"]
    for name in ("device.json", "desired.json"):
        state = json.loads((device.state_dir / name).read_text(encoding="utf-8"))
        assert state["version"] == 1 and state["format"]


@pytest.mark.parametrize("name", ["device.json", "desired.json"])
def test_a_newer_state_file_is_left_alone_and_named(world, name):
    device = world.setup("alice")
    device.wait_user("alice", state="installed")
    device.stop()
    path = device.state_dir / name
    state = json.loads(path.read_text(encoding="utf-8"))
    text = json.dumps({**state, "version": 99})
    path.write_text(text, encoding="utf-8")
    device.start()
    device.wait_status(lambda status: "newer-state" in json.dumps(status), "named")
    assert path.read_text(encoding="utf-8") == text
    assert len(device.agents["alice"].database.contents().ours) == 1


@pytest.mark.parametrize("damage", [b"", b"{", b"\0" * 100, b'{"format":"x","version":1}'], ids=["empty", "half", "zeros", "other"])
@pytest.mark.parametrize("which", ["desired.json", "users", "policy.json"])
def test_a_broken_state_file_costs_no_credential(world, which, damage):
    device = world.setup("alice")
    serial = device.wait_user("alice", state="installed")["serial"]
    device.stop()
    path = next((device.state_dir / "users").iterdir()) if which == "users" else device.state_dir / which
    path.write_bytes(damage)
    device.start()
    user = device.wait_user("alice", state="installed", agent_attached=True)
    agent = device.agents["alice"]
    waiting.until(lambda: agent.database.serials() == [device.user("alice")["serial"]], "one certificate")
    assert len(agent.database.contents().keys) == 1
    assert which == "users" or user["serial"] == serial
    assert path.parent.joinpath(path.name + ".broken").exists(), "kept for whoever wants to look"


def test_state_directory_full_and_read_only(world):
    device = world.setup("alice")
    device.wait_user("alice", state="installed")
    agent = device.agents["alice"]
    old = agent.database.serials()
    device.stop()
    programs.subprocess.run(["mount", "--bind", str(device.state_dir), str(device.state_dir)], check=True)
    try:
        programs.subprocess.run(["mount", "-o", "remount,bind,ro", str(device.state_dir)], check=True)
        device.start()
        device.ctl("renew", uid=1000)
        device.wait_status(lambda status: "storage" in json.dumps(status), "named")
        assert agent.database.serials() == old
        device.kill()
    finally:
        programs.subprocess.run(["umount", str(device.state_dir)], check=True)
    device.start()
    device.wait_user("alice", state="installed", agent_attached=True)


def test_ordinary_end_leaves_no_socket_and_status_zero(world):
    device = world.setup("alice")
    device.wait_user("alice", state="installed")
    device.agents["alice"].stop()
    device.stop()
    world.server.stop()
    assert not list(pathlib.Path("/run/user/1000").glob("*lock")), "no lock file is left"


def test_not_dumpable_and_no_core(world):
    device = world.setup("alice")
    device.wait_user("alice", state="installed")
    for program in (device.program, device.agents["alice"].program, world.server.program):
        limits = pathlib.Path("/proc", str(program.pid), "limits").read_text(encoding="ascii")
        assert any(line.split()[4] == "0" for line in limits.splitlines() if line.startswith("Max core")) or \
            pathlib.Path("/proc", str(program.pid)).stat().st_uid == 0, program.name
        if program.uid:
            assert os.stat(f"/proc/{program.pid}/environ").st_uid == 0, "PR_SET_DUMPABLE 0 gives the files to root"


def test_no_child_process(world):
    device = world.setup("alice", on=False)
    device.wait_user("alice", agent_attached=True)
    tracers = [subprocess.Popen(["strace", "-f", "-e", "trace=fork,vfork,execve,execveat", "-o", f"/run/dt/children{program.pid}", "-p",
                                 str(program.pid)], stderr=subprocess.PIPE)
               for program in (device.program, device.agents["alice"].program)]
    for tracer in tracers:
        tracer.stderr.readline()
    world.server.distribution("on")
    device.wait_user("alice", state="installed")
    for tracer, program in zip(tracers, (device.program, device.agents["alice"].program)):
        tracer.terminate()
        tracer.wait()
        text = pathlib.Path(f"/run/dt/children{program.pid}").read_text(encoding="utf-8")
        assert "fork(" not in text and "exec" not in text, text


# --- the socket's limits ----------------------------------------------------------------------------------------------------------

def test_connections_per_uid_are_limited(world):
    device = world.setup("alice")
    device.wait_user("alice", state="installed")
    carol = accounts.uid_of("carol")
    held = []
    try:
        refused = 0
        for _ in range(40):
            try:
                connection = varlink.Connection(device.socket, carol, timeout=5)
                connection.call("org.varlink.service.GetInfo")
                held.append(connection)
            except OSError:
                refused += 1
        assert refused and len(held) <= 16
        assert device.status(uid=1000)["users"], "others are served"
    finally:
        for connection in held:
            connection.close()
    waiting.until(lambda: device.status(uid=carol) is not None, "and she herself again")


BAD_MESSAGES = {"not JSON": b"hello\0", "an array": b"[]\0", "no method": b"{}\0", "duplicate keys": b'{"method":"a.B","method":"c.D"}\0',
                "wrong type": b'{"method": 7}\0', "deep": b'{"method":"a.B","parameters":' + b'{"a":' * 5000 + b"1" + b"}" * 5001 + b"\0",
                "invalid UTF-8": b'{"method":"\xff"}\0', "huge": b'{"method":"' + b"a" * (2 << 20) + b'"}\0',
                "NUL alone": b"\0", "trailing": b'{"method":"org.varlink.service.GetInfo"} x\0'}


@pytest.mark.parametrize("name", BAD_MESSAGES)
def test_bad_messages_end_one_connection_only(world, name):
    device = world.setup("alice")
    device.wait_user("alice", state="installed")
    with varlink.Connection(device.socket, 1002) as bad:
        try:
            bad.send_raw(BAD_MESSAGES[name])
            reply = bad.receive()
            assert "error" in reply
        except OSError:
            pass
    device.program.check_alive()
    assert device.status()["users"][0]["state"] == "installed"
    assert device.agents["alice"].program.running()


def test_half_a_message_is_cut_off(world):
    device = world.setup()
    with varlink.Connection(device.socket, 1002) as slow:
        slow.send_raw(b'{"method":"org.varlink')
        with pytest.raises(OSError):
            slow.receive()
    device.program.check_alive()


def test_varlink_errors(world):
    device = world.setup("alice")
    cases = [("org.varlink.service.Nothing", None, "MethodNotFound"), ("no.such.Interface", None, "InterfaceNotFound"),
             ("org.varlink.service.GetInterfaceDescription", {"interface": "no.such"}, "InterfaceNotFound"),
             ("org.varlink.service.GetInterfaceDescription", {}, "InvalidParameter"),
             ("io.devtrust.Device.Renew", {"user": 7}, "InvalidParameter"),
             ("io.devtrust.Agent.Watch", {"version": "x"}, "ExpectedMore")]
    for method, parameters, error in cases:
        with pytest.raises(varlink.VarlinkError) as caught:
            device.call(method, parameters)
        assert error in caught.value.name, (method, caught.value)


def test_bad_requests_over_the_ipc_are_refused_by_code(world):
    """A fake agent of the managed user: proof of possession, subject and key are checked before anything is posted."""
    import base64
    from harness import certs
    device = world.setup("alice", on=False)
    device.agents["alice"].stop()
    with varlink.Connection(device.socket, 1000) as watch:
        stream = watch.stream("io.devtrust.Agent.Watch", {"version": "test"})
        snapshot = next(stream)
        world.server.distribution("on")
        while not snapshot.get("request"):
            snapshot = next(stream)
        request = snapshot["request"]["id"]
        folder = certs.scratch()
        key, small = certs.key(folder / "k"), certs.key(folder / "small", "rsa1024")
        subject = f"/UID=u-alice/serialNumber={request}"
        flipped = bytearray(certs.request(key, subject))
        flipped[-1] ^= 1
        cases = [(bytes(flipped), "csr-signature"), (certs.request(key, "/CN=x"), "csr-subject"),
                 (certs.request(key, f"/UID=u-bob/serialNumber={request}"), "csr-subject"),
                 (certs.request(key, subject, "-addext", "subjectAltName=DNS:evil"), "csr-extensions"),
                 (certs.request(small, subject), "csr-key"), (certs.request(certs.key(folder / "e", "explicit"), subject), "csr-key"),
                 (certs.request(key, subject + "/O=" + "/O=".join(["x" * 60] * 80)), "csr-too-large"), (b"noise", "csr-invalid"),
                 (certs.request(key, subject) + b"\0", "csr-invalid")]
        for csr, code in cases:
            with pytest.raises(varlink.VarlinkError) as caught:
                device.call("io.devtrust.Agent.Submit", {"request_id": request, "csr": base64.b64encode(csr).decode()}, uid=1000)
            assert "BadCsr" in caught.value.name and caught.value.parameters["code"] == code, (caught.value, code)
        with pytest.raises(varlink.VarlinkError, match="StaleRequest"):
            device.call("io.devtrust.Agent.Submit", {"request_id": "00000000-0000-4000-8000-000000000000",
                                                     "csr": base64.b64encode(certs.request(key, subject)).decode()}, uid=1000)
        assert [entry for entry in world.server.certificates() if entry["kind"] == "user"] == []
        good = certs.request(key, subject)
        first = device.call("io.devtrust.Agent.Submit", {"request_id": request, "csr": base64.b64encode(good).decode()}, uid=1000)
        again = device.call("io.devtrust.Agent.Submit", {"request_id": request, "csr": base64.b64encode(good).decode()}, uid=1000)
        assert first["bundle"] and first == again, "idempotent"
        # the agent lost its key: another one replaces it
        other = certs.request(certs.key(folder / "k2"), subject)
        second = device.call("io.devtrust.Agent.Submit", {"request_id": request, "csr": base64.b64encode(other).decode()}, uid=1000)
        assert second["bundle"] and second["bundle"]["leaf"] != first["bundle"]["leaf"]


def test_bad_requests_do_not_fill_the_log(world):
    device = world.setup("alice", on=False)
    device.agents["alice"].stop()
    with varlink.Connection(device.socket, 1000) as watch:
        stream = watch.stream("io.devtrust.Agent.Watch", {"version": "test"})
        snapshot = next(stream)
        world.server.distribution("on")
        while not snapshot.get("request"):
            snapshot = next(stream)
        for _ in range(60):
            with pytest.raises(varlink.VarlinkError, match="BadCsr"):
                device.call("io.devtrust.Agent.Submit", {"request_id": snapshot["request"]["id"], "csr": "bm9pc2U="}, uid=1000)
    assert 10 <= device.program.log().count("REASON=csr-invalid") <= 20, "ten a minute"


def test_agent_refuses_a_daemon_that_is_not_root(world):
    impostor = programs.Program("impostor", ["/usr/bin/python3", "-c", "import socket\ns=socket.socket(socket.AF_UNIX)\n"
                                             f"s.bind('{accounts.home('bob')}/s')\ns.listen()\nimport os\nos.chmod('{accounts.home('bob')}',0o755)\n"
                                             f"os.chmod('{accounts.home('bob')}/s',0o777)\nprint('ready',flush=True)\n"
                                             "while True:\n c,_=s.accept(); print('got',c.recv(9999),flush=True)"], uid=1001).start()
    programs.install_programs()
    agent = programs.Program("agent", [str(programs.RUN / "bin/devtrust-agent"), "--socket", f"{accounts.home('bob')}/s"], uid=1000,
                             environment=programs.user_environment("alice", 1000))
    try:
        impostor.wait_log("ready")
        agent.start()
        impostor.wait_log("got")
        assert "got b''" in impostor.log(), "nothing is said to it"
    finally:
        agent.kill()
        impostor.kill()
        impostor.signal(signal.SIGKILL)
