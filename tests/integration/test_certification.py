"""org.varlink.certification, the independent test of an implementation of Varlink: ours against itself, and against others' programs.

Others are: varlink-go (Debian's package, always there), python-varlink and systemd's varlinkctl where they are installed.
"""
import importlib.util
import json
import os
import shutil
import sys

import pytest
from harness import certs, programs, varlink, waiting

CERTIFICATION = "org.varlink.certification"
GO = "/usr/bin/varlink-go-certification"
PYTHON_PEER = str(programs.ROOT / "tests" / "certification" / "python_peer.py")
VARLINKCTL = shutil.which("varlinkctl")
needs_python_varlink = pytest.mark.skipif(not importlib.util.find_spec("varlink"), reason="python3-varlink is not installed")
needs_varlinkctl = pytest.mark.skipif(not VARLINKCTL, reason="varlinkctl (systemd 255 or newer) is not installed")


MODULES = {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}


def ours(name):
    return str(programs.build_dir() / "certification" / name)


@pytest.fixture
def folder():
    return certs.scratch()


@pytest.fixture
def start():
    """Starts programs that end with the test, in order."""
    started = []

    def run(name, *argv):
        started.append(programs.Program(name, list(argv), environment=programs.base_environment() | MODULES).start())
        return started[-1]
    yield run
    for program in started:
        if program.name == "service":
            assert program.stop() == 0, program.log()
            assert "Sanitizer" not in program.log() and "runtime error" not in program.log(), program.log()
        else:
            program.kill()


@pytest.fixture
def service(start, folder):
    """Our service; its socket."""
    path = folder / "own" / "socket"
    start("service", ours("service"), path).wait_log("^listening$")
    return path


def listens(path):
    """Until it does: its socket is there a moment before."""
    waiting.until(lambda: varlink.Connection(path).close() or True, f"a service listens on {path}")


def passes(client, *argv):
    done = programs.run([ours(client), *argv])
    assert done.returncode == 0 and done.stdout.endswith("all_ok\n"), (done.returncode, done.stdout, done.stderr)
    return done.stdout


@pytest.mark.parametrize("kind", [[], ["--loop"]], ids=["blocking", "loop"])
def test_our_client_and_our_service(service, kind):
    steps = passes("client", service, *kind)
    assert [line.rpartition(".")[2] for line in steps.splitlines()] == [f"Test{i:02}" for i in range(1, 12)] + ["End", "all_ok"]


@pytest.mark.parametrize("kind", [[], ["--loop"]], ids=["blocking", "loop"])
def test_our_client_and_the_service_of_varlink_go(start, folder, kind):
    path = folder / "socket"
    start("varlink-go", GO, "--varlink", f"unix:{path}")
    listens(path)
    passes("client", path, *kind)


def test_the_client_of_varlink_go_and_our_service(service):
    done = programs.run([GO, "--varlink", f"unix:{service}", "--client"])
    assert done.returncode == 0 and done.stdout.endswith("End: 'true'\n"), (done.stdout, done.stderr)


@needs_python_varlink
@pytest.mark.parametrize("kind", [[], ["--loop"]], ids=["blocking", "loop"])
def test_our_client_and_the_service_of_python_varlink(start, folder, kind):
    path = folder / "socket"
    start("python-varlink", sys.executable, PYTHON_PEER, "service", path)
    listens(path)
    passes("client", path, *kind)


@needs_python_varlink
def test_the_client_of_python_varlink_and_our_service(service):
    done = programs.run([sys.executable, PYTHON_PEER, "client", service], environment=programs.base_environment() | MODULES)
    assert done.returncode == 0 and done.stdout == "all_ok\n", (done.stdout, done.stderr)


@needs_varlinkctl
def test_varlinkctl_and_our_service(service):
    """A process for each call: the client_id is what holds them together."""
    def call(method, parameters, *options):
        done = programs.run([VARLINKCTL, "call", "--json=short", *options, str(service), f"{CERTIFICATION}.{method}",
                             json.dumps(parameters)])
        assert done.returncode == 0, (method, done.stdout, done.stderr)
        # a stream is printed as a JSON text sequence (RFC 7464)
        return [json.loads(text) for text in done.stdout.replace("\x1e", "").splitlines() if text.strip()]

    client = call("Start", {})[0]
    last = {}
    for number in range(1, 10):
        last = call(f"Test{number:02}", {**client, **last})[0]
    replies = call("Test10", {**client, **last}, "--more")
    assert [reply["string"] for reply in replies] == [f"Reply number {i}" for i in range(1, 11)]
    call("Test11", {**client, "last_more_replies": [reply["string"] for reply in replies]}, "--oneway")
    assert call("End", client) == [{"all_ok": True}]


# ---- a test that cannot fail is none: each way of not keeping the protocol is seen ----

def drive(service, **changes):
    """A client by hand up to Test11; `changes`: parameters of a step in place of the echo. Returns the connection and the next
    parameters."""
    connection = varlink.Connection(service)
    last = client = connection.call(f"{CERTIFICATION}.Start")
    for number in range(1, 10):
        name = f"Test{number:02}"
        last = connection.call(f"{CERTIFICATION}.{name}", {**client, **last, **changes.get(name, {})})
    texts = [reply["string"] for reply in connection.stream(f"{CERTIFICATION}.Test10", {**client, **last, **changes.get("Test10", {})})]
    return connection, client, texts


def test_a_client_by_hand(service):
    connection, client, texts = drive(service)
    connection.send(f"{CERTIFICATION}.Test11", {**client, "last_more_replies": texts}, oneway=True)
    assert connection.call(f"{CERTIFICATION}.End", client) == {"all_ok": True}


def test_numbers_and_nulls_may_be_written_in_any_way(service):
    """A float without its point, a null that is left out."""
    drive(service, Test04={"float": 1}, Test10={"mytype": {
        "object": {"method": f"{CERTIFICATION}.Test09", "parameters": {"map": {"bar": "Bar", "foo": "Foo"}}}, "enum": "two",
        "struct": {"second": "2", "first": 1}, "array": ["one", "two", "three"], "dictionary": {"foo": "Foo", "bar": "Bar"},
        "stringset": {"three": {}, "two": {}, "one": {}}, "interface": {
            "foo": [None, {"foo": "foo", "bar": "bar"}, None, {"one": "foo", "two": "bar"}], "anon": {"foo": True, "bar": False}}}})


@pytest.mark.parametrize("step, parameters", [("Test02", {"bool": False}), ("Test02", {"bool": 1}), ("Test03", {"int": 1.0}),
                                              ("Test04", {"float": "1.0"}), ("Test06", {"float": 3.14159}), ("Test06", {"more": 1}),
                                              ("Test07", {"struct": {}}), ("Test08", {"map": {"foo": "Foo", "bar": "Bar", "x": ""}}),
                                              ("Test09", {"set": {"one": {}, "two": {}}}), ("Test09", {"set": ["one", "two", "three"]}),
                                              ("Test10", {"mytype": {"enum": "two"}})])
def test_a_wrong_echo_is_refused(service, step, parameters):
    with pytest.raises(varlink.VarlinkError, match="CertificationError") as caught:
        drive(service, **{step: parameters})
    assert caught.value.parameters["wants"]["method"] == caught.value.parameters["got"]["method"] == f"{CERTIFICATION}.{step}"


def test_a_step_out_of_order_or_with_wrong_flags_is_refused(service):
    with varlink.Connection(service) as connection:
        client = connection.call(f"{CERTIFICATION}.Start")
        with pytest.raises(varlink.VarlinkError, match="CertificationError"):
            connection.call(f"{CERTIFICATION}.Test02", {**client, "bool": True})
        with pytest.raises(varlink.VarlinkError, match="ClientIdError"):
            connection.call(f"{CERTIFICATION}.Test01", client)  # who fails starts again
        with pytest.raises(varlink.VarlinkError, match="ClientIdError"):
            connection.call(f"{CERTIFICATION}.Test01", {"client_id": "stranger"})
    connection, client, texts = drive(service)
    with pytest.raises(varlink.VarlinkError, match="CertificationError"):
        connection.call(f"{CERTIFICATION}.Test11", {**client, "last_more_replies": texts})  # not oneway
    with pytest.raises(varlink.VarlinkError, match="ExpectedMore"):
        connection.call(f"{CERTIFICATION}.Test10", client)


@pytest.mark.parametrize("fault, step", [({"Test01": {"bool": "true"}}, "Test01"), ({"Test05": {"int": 2}}, "Test05"),
                                         ({"Test10": {"string": "Reply number 7"}}, "Test10"), ({"End": {"all_ok": False}}, "End")])
def test_our_client_sees_a_service_that_answers_wrongly(service, folder, fault, step):
    """A proxy changes one answer."""
    import socket
    import threading
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / "bad"))
    listener.listen()

    def serve():
        caller, _ = listener.accept()
        upstream, pending, methods = varlink.Connection(service), b"", []
        with caller, upstream:
            while data := caller.recv(65536):
                *calls, pending = (pending + data).split(b"\0")
                for raw in calls:
                    upstream.send_raw(raw + b"\0")
                    call = json.loads(raw)
                    methods.append(call["method"].rpartition(".")[2])
                    more = not call.get("oneway")
                    while more:
                        reply = upstream.receive()
                        reply["parameters"] = fault.get(methods[-1], reply["parameters"])
                        more = reply.get("continues", False)
                        caller.sendall(json.dumps(reply).encode() + b"\0")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    done = programs.run([ours("client"), folder / "bad"])
    thread.join()
    listener.close()
    assert done.returncode == 1 and (step == "End" or f"{step} failed" in done.stderr), (done.stdout, done.stderr)
    assert "all_ok" not in done.stdout
