"""How devtrustd comes by its socket: what it refuses to sit on and what it says then, and the exec: way, on a connection passed on."""
import contextlib
import os
import pathlib
import re
import socket
import subprocess
from typing import Iterator

import pytest

from harness import programs, varlink, waiting
from harness.programs import Program

INTERFACES = ("io.devtrust.Agent", "io.devtrust.Debug", "io.devtrust.Device", "org.varlink.service")


# ---- what is refused ----

def symbolic_link(run: pathlib.Path) -> None:
    run.rename(run.with_name("real"))
    run.symlink_to("real")


def file_in_its_place(run: pathlib.Path) -> None:
    run.rmdir()
    run.write_text("", encoding="ascii")


def of_another_owner(run: pathlib.Path) -> None:
    os.chown(run, 1000, 1000)


def writable(run: pathlib.Path) -> None:
    run.chmod(0o1777)


def squatted(run: pathlib.Path) -> None:
    (run / "io.devtrust").write_text("", encoding="ascii")


def squatted_by_a_link(run: pathlib.Path) -> None:
    (run / "io.devtrust").symlink_to("/run/elsewhere")


def lock_squatted(run: pathlib.Path) -> None:
    (run / "io.devtrust.lock").symlink_to("/etc/shadow")


def no_parent(run: pathlib.Path) -> None:
    run.rmdir()
    run.parent.rmdir()


@pytest.mark.parametrize("spoil, text", [
    (symbolic_link, "directory is a symbolic link; make it"), (file_in_its_place, "is none; move it away"),
    (of_another_owner, "belongs to another user; make it root's"), (writable, "written by others; make its mode 0755"),
    (squatted, "sits at the socket's path"), (squatted_by_a_link, "sits at the socket's path"), (lock_squatted, "or that path with .lock"),
    (no_parent, "The directory above the socket's is missing; make it")])
def test_an_unsafe_place_is_refused_with_advice(world, spoil, text):
    device = world.add_device({"paths": {"socket": world.base / "sockets/run/io.devtrust"}})
    run = world.base / "sockets/run"
    run.mkdir(mode=0o755, parents=True)
    spoil(run)
    before = sorted((path, path.lstat().st_mode) for path in run.parent.rglob("*")) if run.parent.exists() else []
    done = programs.run(device.program.argv)
    assert done.returncode == 1 and text in done.stderr + done.stdout, done
    assert str(run / "io.devtrust") in done.stderr + done.stdout
    after = [(path, mode) for path, mode in sorted((path, path.lstat().st_mode) for path in run.parent.rglob("*"))
             if not path.name.endswith(".lock")] if run.parent.exists() else []
    assert after == [(path, mode) for path, mode in before if not path.name.endswith(".lock")], "nothing of it was touched"


def test_a_long_path_is_refused_with_advice(world):
    device = world.add_device({"paths": {"socket": world.base / ("x" * 110)}})
    done = programs.run(device.program.argv)
    assert done.returncode == 1 and "path is too long; a shorter one" in done.stderr + done.stdout, done


def test_a_second_daemon_is_refused_with_advice(world):
    device = world.add_device().start()
    other = world.add_device({"paths": {"socket": device.socket}})
    done = programs.run(other.program.argv)
    assert done.returncode == 1 and "Another devtrustd listens on the socket; stop it first" in done.stderr + done.stdout, done
    assert device.status()["version"], "the first one is not disturbed"


# ---- what is passed on ----

@contextlib.contextmanager
def passed_on(*passed: socket.socket, uid: int = 0, arguments: tuple[str, ...] = (), pid: str = "$$") -> Iterator["subprocess.Popen[str]"]:
    """devtrustd with these sockets at descriptor 3 and on, as a service manager or varlinkctl starts it."""
    programs.install_programs()
    with contextlib.ExitStack() as stack:
        high = [os.dup(one.fileno()) for one in passed]
        for fd in high:
            stack.callback(os.close, fd)
        places = " ".join(f"{3 + i}<&{fd}" for i, fd in enumerate(high))
        process = subprocess.Popen(["/bin/bash", "-c", f'LISTEN_PID={pid} exec "$0" "$@" {places}', str(programs.RUN / "bin/devtrustd"), *arguments],
                                   pass_fds=high, env=programs.base_environment() | {"LISTEN_FDS": str(len(passed)), "LISTEN_FDNAMES": "varlink"},
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd="/", user=uid, group=uid,
                                   extra_groups=[], text=True)
        for one in passed:
            one.close()
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
            process.stdout.close()


class Wire(varlink.Connection):
    """A connection that stands already."""

    def __init__(self, connected: socket.socket) -> None:  # pylint: disable=super-init-not-called
        self.socket = connected
        self.socket.settimeout(waiting.PATIENCE)
        self.pending = b""


@pytest.mark.parametrize("uid", [0, 1000])
def test_exec_serves_one_connection_and_ends(world, uid):
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with passed_on(theirs, uid=uid) as process, Wire(ours) as wire:
        info = wire.call("org.varlink.service.GetInfo")
        assert sorted(info["interfaces"]) == sorted(INTERFACES) and info["product"] == "devtrustd"
        for interface in INTERFACES:
            description = wire.call("org.varlink.service.GetInterfaceDescription", {"interface": interface})["description"]
            assert description == (programs.ROOT / "ipc" / f"{interface}.varlink").read_text(encoding="utf-8")
            for method in re.findall(r"^method (\w+)", description, re.M):
                if interface != "org.varlink.service":
                    with pytest.raises(varlink.VarlinkError) as refused:
                        wire.call(f"{interface}.{method}")
                    assert refused.value.name == "org.varlink.service.MethodNotImplemented"
                    assert refused.value.parameters == {"method": f"{interface}.{method}"}
        with pytest.raises(varlink.VarlinkError, match="MethodNotFound"):
            wire.call("io.devtrust.Device.Nothing")
        assert process.poll() is None
        wire.close()
        assert process.wait(waiting.PATIENCE) == 0
        assert process.stdout.read() == ""


def test_exec_needs_our_process_id(world):
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    config = world.base / "wrong.conf"
    config.write_text("[nothing]\n", encoding="ascii")
    with passed_on(theirs, pid="1", arguments=("--config", str(config))) as process, ours:
        assert process.wait(waiting.PATIENCE) == 2, "it was started as usual, and read its configuration"


def test_a_listening_socket_that_was_passed_on_is_served(world):
    device = world.add_device()
    device.socket.parent.mkdir(exist_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(device.socket))
    device.socket.chmod(0o666)
    listener.listen()
    with passed_on(listener, arguments=tuple(device.program.argv[1:])) as process:
        assert device.status(uid=1000)["users"] == []
        process.terminate()
        assert process.wait(waiting.PATIENCE) == 0
    assert device.socket.exists(), "it is not the daemon's to remove"


@pytest.mark.parametrize("count, text", [(1, "no listening Unix stream socket; correct ListenStream="), (2, "more than one socket")])
def test_another_socket_that_was_passed_on_is_refused(world, count, text):
    device = world.add_device()
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    with passed_on(*listeners, arguments=tuple(device.program.argv[1:])) as process:
        assert process.wait(waiting.PATIENCE) == 1
        assert text in process.stdout.read()


def test_no_descriptors_left_for_more_connections(world):
    """With few descriptors, the daemon takes fewer connections instead of running out of them."""
    device = world.add_device()
    program = Program("devtrustd", ["/bin/sh", "-c", 'ulimit -n 160; exec "$0" "$@"', *device.program.argv], notify=True)
    device.program = program
    device.start()
    connections = []
    for uid in (1000, 1001, 1002, 1003, 1004):
        for _ in range(16):
            connections.append(varlink.Connection(device.socket, uid))
    listed = device.call("io.devtrust.Debug.ListConnections")["connections"]
    assert 32 <= len(listed) <= 96
    assert program.running() and "could not be accepted" not in program.log()
    for connection in connections:
        connection.close()
