"""The rules of Varlink's wire protocol, each against the real devtrustd: what varlinkctl, libvarlink and python-varlink rely on."""
import importlib.util
import json
import os
import re
import shutil
import sys

import pytest
from harness import idl, programs, recording, varlink, waiting
from harness.relay import Relay
from recordings import stories

SERVICE, AGENT, DEVICE, DEBUG = "org.varlink.service", "io.devtrust.Agent", "io.devtrust.Device", "io.devtrust.Debug"
ALICE, CAROL = 1000, 1002
VARLINKCTL = shutil.which("varlinkctl")
needs_varlinkctl = pytest.mark.skipif(not VARLINKCTL, reason="varlinkctl (systemd 255 or newer) is not installed")
needs_python_varlink = pytest.mark.skipif(not importlib.util.find_spec("varlink"), reason="python3-varlink is not installed")


@pytest.fixture
def device(world):
    """A daemon that was never enrolled: the protocol needs no more."""
    return world.add_device().start()


@pytest.fixture
def connection(device):
    with varlink.Connection(device.socket) as made:
        yield made


def error_of(connection, message):
    """Sends a message as it is; the answer's error without its interface, and its parameters."""
    connection.send_raw(json.dumps(message).encode() + b"\0")
    reply = connection.receive()
    assert set(reply) <= {"error", "parameters"}, reply
    return reply.get("error", "").rpartition(".")[2], reply.get("parameters", {})


def parameters_of(method):
    """Some of the right types: what the frozen recordings call it with, and nothing for methods that came later."""
    for story in ("enrolment", "renewal", "inspection", "removal", "status"):
        for called, call, _ in recording.exchanges(recording.load("1.0", story)):
            if called == method:
                return recording.filled(call.get("parameters", {}), recording.Invented())
    return {}


# ---- org.varlink.service ----

def test_info_has_its_five_fields_and_names_every_interface(connection):
    info = connection.call(f"{SERVICE}.GetInfo")
    assert set(info) == {"vendor", "product", "version", "url", "interfaces"}
    assert all(isinstance(info[name], str) for name in ("vendor", "product", "version", "url"))
    assert set(info["interfaces"]) == {*idl.shipped()} >= {SERVICE, AGENT, DEVICE, DEBUG}


def test_errors_of_the_service_name_what_is_wrong(connection):
    for message, error, parameters in (
            ({"method": "io.devtrust.Nothing.At"}, "InterfaceNotFound", {"interface": "io.devtrust.Nothing"}),
            ({"method": f"{DEVICE}.Nothing"}, "MethodNotFound", {"method": f"{DEVICE}.Nothing"}),
            ({"method": f"{SERVICE}.GetInterfaceDescription", "parameters": {"interface": "a.b"}}, "InterfaceNotFound", {"interface": "a.b"}),
            ({"method": f"{SERVICE}.GetInterfaceDescription"}, "InvalidParameter", {"parameter": "interface"}),
            ({"method": f"{SERVICE}.GetInterfaceDescription", "parameters": {"interface": 7}}, "InvalidParameter", {"parameter": "interface"}),
            ({"method": f"{DEVICE}.GetCertificates", "parameters": {"all": "yes"}}, "InvalidParameter", {"parameter": "all"}),
            ({"method": f"{AGENT}.Watch", "parameters": {"version": "1"}}, "ExpectedMore", {}),
            ({"method": "nonsense"}, "InvalidParameter", {"parameter": "method"})):
        assert error_of(connection, message) == (error, parameters), message
    assert connection.call(f"{SERVICE}.GetInfo"), "and the connection goes on"


# ---- messages ----

@pytest.mark.parametrize("uid", [0, ALICE, CAROL], ids=["root", "managed", "stranger"])
def test_every_reply_keeps_protocol_and_interface(world, uid):
    """Every method there is, called with nothing, with what it takes, with unknown members and with what it does not take: no key of
    ours at the top level, no member that is not declared, no type but the declared one."""
    device = world.setup("alice")
    device.wait_user("alice", state="installed")
    interfaces = idl.shipped()
    methods = [f"{name}.{method}" for name, interface in interfaces.items() for method in interface.methods]
    assert len(methods) >= 14
    methods.sort(key=lambda method: method.endswith((".Remove", ".Enroll")))  # last: after them all is different
    for method in methods:
        good = parameters_of(method)
        for parameters in (None, {}, good, {**good, "x_unknown": {"a": [1]}}, {name: [] for name in good} or {"user": 1}):
            for more in (False, True):
                with varlink.Connection(device.socket, uid) as connection:
                    connection.send(method, parameters, **({"more": True} if more else {}))
                    if more:
                        device.call(f"{SERVICE}.GetInfo", uid=uid)  # something to tell, for a stream that tells what happens
                    reply = connection.receive()
                    assert idl.message_faults(interfaces, method, reply) == [], (method, parameters, more)


# ---- who may call what ----

REFUSALS = {"PermissionDenied", "NotManaged", "not-managed", "not-permitted"}
LAST = (".Watch", ".Enroll", ".Remove")  # after them all is different


def documented():
    """{method: (who may call it, seconds until its answer or None, whether it is a stream)} as the table in docs/IPC.md has it."""
    text = (programs.ROOT / "docs/IPC.md").read_text(encoding="utf-8").partition("\n| interface | method | who |")[2].partition("\n\n")[0]
    found, face = {}, ""
    for row in text.splitlines()[2:]:
        interface, methods, who, deadline = (cell.strip() for cell in row.split("|")[1:5])
        face = interface.strip("`") or face
        for method in re.findall(r"`(\w+)`", methods):
            found[f"{face}.{method}"] = who, int(deadline.removesuffix(" s")) if deadline != "–" else None, "(stream)" in methods
    return dict(sorted(found.items(), key=lambda item: item[0].endswith(LAST)))


def refusal(device, uid, method, stream, **more):
    """What of REFUSALS a call meets; None: none of them."""
    with varlink.Connection(device.socket, uid) as connection:
        connection.send(method, {**parameters_of(method), **more}, **({"more": True} if stream else {}))
        if stream:
            device.call(f"{SERVICE}.GetInfo")  # something to tell
        reply = connection.receive()
    error = reply.get("error", "").rpartition(".")[2]
    return next(iter({error, reply.get("parameters", {}).get("code")} & REFUSALS), None)


def test_who_may_call_is_what_the_document_says(world):
    device = world.setup("alice")
    device.wait_user("alice", state="installed")
    table = documented()
    assert set(table) == {f"{name}.{method}" for name, interface in idl.shipped().items() for method in interface.methods}
    for method, (who, _, stream) in table.items():
        kind = re.match("root|managed user|anyone", who)[0]
        stranger = {"root": "PermissionDenied", "managed user": "NotManaged" if method.startswith(AGENT) else "not-managed"}.get(kind)
        expected = {CAROL: stranger, ALICE: "PermissionDenied" if kind == "root" else None}
        for uid, refused in (expected if kind == "managed user" else {**expected, 0: None}).items():  # root is no managed user
            assert refusal(device, uid, method, stream) == refused, (method, who, uid)
        for name, value in (("user", "bob"), ("all", True)):
            if re.search(rf"`{name}`.* for root", who):
                assert refusal(device, ALICE, method, stream, **{name: value}) == "not-permitted", (method, who, name)
                assert refusal(device, 0, method, stream, **{name: value}) is None, (method, who, name)


# ---- what is sent ----

def test_what_our_clients_send_keeps_protocol_and_interface(make_world):
    """Agent and devtrustctl in all their stories. No flag is sent as false: old services take its presence for its value."""
    interfaces = idl.shipped()
    senders = set()
    for story in (stories.enrolment, stories.renewal, stories.inspection, stories.status, stories.removal):
        world = make_world()
        relay = story(world)
        for entry in relay.log():
            if entry["kind"] in ("call", "reply"):
                assert idl.message_faults(interfaces, entry["method"], entry["message"]) == [], story.__name__
            if entry["kind"] == "call":
                senders.add(entry["method"])
                assert set(json.loads(entry["text"])) <= {"method", "parameters", "more"}, entry["text"]
                assert ("more" in entry["message"]) == entry["method"].endswith(".Watch"), entry["text"]
        relay.end()
        world.end()
    assert {f"{AGENT}.{name}" for name in ("Watch", "Submit", "Report", "Renew", "Inspected")} <= senders
    assert {f"{DEVICE}.{name}" for name in ("GetStatus", "GetCertificates", "Enroll", "Renew", "Remove")} <= senders


def test_oneway_is_what_devtrustctl_sends_and_nothing_more(device):
    relay = Relay(device)
    assert device.ctl("ipc", "call", "--oneway", f"{DEVICE}.GetStatus").returncode == 0
    waiting.until(lambda: relay.messages("call", f"{DEVICE}.GetStatus"), "the call has come")
    assert relay.messages("call", f"{DEVICE}.GetStatus") == [{"method": f"{DEVICE}.GetStatus", "oneway": True}]
    relay.end()


@pytest.mark.parametrize("extra", [{}, {"parameters": {}}, {"parameters": None}, {"more": False}, {"oneway": False}, {"upgrade": False},
                                   {"more": True}, {"parameters": {"x_unknown": 1}},
                                   {"parameters": {}, "more": False, "oneway": False, "upgrade": False}], ids=json.dumps)
def test_calls_as_others_write_them(connection, extra):
    """python-varlink sends `more: false`; varlink-go sends null for no parameters."""
    error, parameters = error_of(connection, {"method": f"{SERVICE}.GetInfo", **extra})
    assert not error and parameters["interfaces"]


@pytest.mark.parametrize("extra, parameter", [({"upgrade": True}, "upgrade"), ({"more": 1}, "more"), ({"oneway": None}, "oneway"),
                                              ({"parameters": []}, "parameters"), ({"parameters": "x"}, "parameters"),
                                              ({"vendor": 1}, "vendor"), ({"method": None}, "method"), ({"method": 1}, "method")], ids=json.dumps)
def test_calls_that_are_refused(connection, extra, parameter):
    assert error_of(connection, {"method": f"{SERVICE}.GetInfo", **extra}) == ("InvalidParameter", {"parameter": parameter})
    assert connection.call(f"{SERVICE}.GetInfo"), "and the connection goes on"


# ---- oneway ----

@pytest.mark.parametrize("message", [
    {"method": f"{SERVICE}.GetInfo"}, {"method": f"{DEVICE}.GetStatus"}, {"method": f"{DEVICE}.Nothing"}, {"method": "a.b.C"},
    {"method": "nonsense"}, {"method": 1}, {}, {"method": f"{DEVICE}.Remove"}, {"method": f"{DEBUG}.ListConnections"},
    {"method": f"{AGENT}.Submit", "parameters": {}}, {"method": f"{DEVICE}.GetCertificates", "parameters": {"all": 1}},
    {"method": f"{DEVICE}.GetStatus", "parameters": 1}, {"method": f"{AGENT}.Watch", "parameters": {"version": "1"}},
    {"method": f"{SERVICE}.GetInfo", "upgrade": True}, {"method": f"{SERVICE}.GetInfo", "more": True},
    {"method": f"{SERVICE}.GetInfo", "vendor": 1}], ids=json.dumps)
def test_oneway_is_never_answered(device, message):
    """Not even with an error: the next answer is that of the next call."""
    with varlink.Connection(device.socket, uid=ALICE) as connection:
        for mark in ("a.b", "c.d"):
            connection.send_raw(json.dumps({"oneway": True, **message}).encode() + b"\0" + json.dumps({**message, "oneway": True}).encode() + b"\0")
            connection.send(f"{SERVICE}.GetInterfaceDescription", {"interface": mark})
            assert connection.receive() == {"error": f"{SERVICE}.InterfaceNotFound", "parameters": {"interface": mark}}


def test_a_oneway_call_is_carried_out(world):
    device = world.setup("alice", device_settings=stories.ROOM)
    serial = device.wait_user("alice", state="installed")["serial"]
    with varlink.Connection(device.socket, uid=ALICE) as connection:
        connection.send(f"{DEVICE}.Renew", {}, oneway=True)
        device.wait_user("alice", state="installed", serial=lambda seen: seen != serial)


# ---- order ----

def test_a_thousand_calls_are_answered_in_their_order(connection):
    count = 1000
    for i in range(count):
        connection.send(f"io.devtrust.Nothing{i}.At" if i % 2 else f"{DEVICE}.Nothing{i}")
    answers = [connection.receive() for _ in range(count)]
    assert [next(iter(answer["parameters"].values())) for answer in answers] == [
        f"io.devtrust.Nothing{i}" if i % 2 else f"{DEVICE}.Nothing{i}" for i in range(count)]


def test_a_slow_call_keeps_the_quick_one_behind_it_waiting(world):
    """GetCertificates waits for an agent; GetInfo behind it needs nothing, and comes second all the same."""
    device = world.setup("alice")
    device.wait_user("alice", state="installed")
    with varlink.Connection(device.socket, uid=ALICE) as connection:
        connection.send(f"{DEVICE}.GetCertificates", {})
        connection.send(f"{SERVICE}.GetInfo")
        assert connection.receive()["parameters"]["certificates"]
        assert connection.receive()["parameters"]["interfaces"]


def test_a_call_behind_a_stream_waits_for_its_end(device):
    with varlink.Connection(device.socket, uid=ALICE) as older, varlink.Connection(device.socket, uid=ALICE) as newer:
        older.send(f"{AGENT}.Watch", {"version": "1"}, more=True)
        older.send(f"{SERVICE}.GetInfo")
        assert older.receive()["continues"] is True
        # another connection is served meanwhile, and nothing comes here
        for _ in range(3):
            assert newer.call(f"{SERVICE}.GetInfo")
        older.socket.setblocking(False)
        with pytest.raises(BlockingIOError):
            older.receive()
        older.socket.settimeout(waiting.PATIENCE)
        newer.send(f"{AGENT}.Watch", {"version": "1"}, more=True)
        assert older.receive() == {"error": f"{AGENT}.Replaced", "parameters": {}}
        assert older.receive()["parameters"]["interfaces"]


# ---- other people's tools ----

@needs_varlinkctl
def test_varlinkctl(world):
    device = world.setup("alice")
    device.wait_user("alice", state="installed")

    def run(*arguments, uid=0):
        done = programs.run([VARLINKCTL, *arguments], uid=uid)
        assert done.returncode == 0, (arguments, done.stdout, done.stderr)
        return done.stdout

    address = str(device.socket)
    assert "devtrustd" in run("info", address, uid=ALICE)
    assert set(run("list-interfaces", address).split()) == set(idl.shipped())
    for name in idl.shipped():
        run("introspect", address, name, uid=ALICE)
    assert json.loads(run("call", "--json=short", address, f"{DEVICE}.GetStatus", "{}", uid=ALICE))["users"][0]["name"] == "alice"
    assert json.loads(run("call", "--json=short", address, f"{DEVICE}.GetCertificates", '{"all": true}'))["certificates"]
    run("call", "--oneway", address, f"{DEVICE}.GetStatus", "{}")
    refused = programs.run([VARLINKCTL, "call", address, f"{DEBUG}.ListConnections", "{}"], uid=ALICE)
    assert refused.returncode != 0 and "PermissionDenied" in refused.stderr, refused
    watch = programs.Program("varlinkctl", [VARLINKCTL, "call", "--more", "--json=short", address, f"{AGENT}.Watch", '{"version": "1"}'],
                             uid=CAROL).start()
    try:
        watch.wait_log('"mode":"idle"')
    finally:
        watch.kill()


@needs_varlinkctl
def test_varlinkctl_introspects_a_daemon_that_it_starts(world):
    """exec: is for reading the interfaces where no daemon runs; it carries nothing out."""
    programs.install_programs()
    address = f"exec:{programs.RUN}/bin/devtrustd"

    def run(*arguments):
        return programs.run([VARLINKCTL, *arguments], uid=ALICE)

    assert "devtrustd" in run("info", address).stdout
    assert set(run("list-interfaces", address).stdout.split()) == set(idl.shipped())
    for name, interface in idl.shipped().items():
        done = run("introspect", address, name)
        assert done.returncode == 0 and all(f"method {method}(" in done.stdout for method in interface.methods), done
    assert "MethodNotImplemented" in run("call", address, f"{DEVICE}.GetStatus", "{}").stderr


@needs_python_varlink
def test_python_varlink(world):
    device = world.setup("alice")
    device.wait_user("alice", state="installed")
    script = ("import sys, varlink\n"
              "with varlink.Client.new_with_address('unix:' + sys.argv[1]) as client:\n"
              "    assert set(client.get_interfaces()) == set(sys.argv[2:]), client.get_interfaces()\n"
              "    with client.open('io.devtrust.Device') as service:\n"
              "        assert service.GetStatus()['users'][0]['name'] == 'alice'\n"
              "        assert len(service.GetCertificates(None, None)['certificates']) == 1\n"
              "        try:\n"
              "            service.Renew('bob')\n"
              "        except varlink.VarlinkError as error:\n"
              "            assert error.error() == 'io.devtrust.Device.Failed' and error.parameters()['code'] == 'not-permitted', error\n"
              "    with client.open('io.devtrust.Agent') as service:\n"
              "        assert next(service.Watch('1', _more=True))['mode'] == 'certificate'\n")
    environment = programs.base_environment() | {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}
    done = programs.run([sys.executable, "-c", script, device.socket, *idl.shipped()], uid=ALICE, environment=environment)
    assert done.returncode == 0, done.stderr
