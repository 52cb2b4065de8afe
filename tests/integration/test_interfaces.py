"""The interface files: what tools of the field can read, and what is served."""
import importlib.util
import json
import re
import shutil

import pytest
from harness import certs, idl, programs, varlink

GENERATOR = "/usr/bin/varlink-go-interface-generator"
VARLINKCTL = shutil.which("varlinkctl")
FILES = sorted(idl.FOLDER.glob("*.varlink"))


def by_name(path):
    return path.stem


@pytest.mark.parametrize("path", FILES, ids=by_name)
def test_keeps_the_grammar_and_what_every_tool_can_read(path):
    assert idl.parse(path.read_text(encoding="utf-8")).name == path.stem


@pytest.mark.parametrize("path", FILES, ids=by_name)
def test_is_read_by_varlink_go(path):
    """But for its name: varlink-go 0.4 knows no capitals there, which the language allows (and systemd's own interfaces have)."""
    folder = certs.scratch()
    text = path.read_text(encoding="utf-8")
    copy = folder / path.name.lower()
    copy.write_text(text.replace(f"interface {path.stem}\n", f"interface {path.stem.lower()}\n", 1), encoding="utf-8")
    done = programs.run([GENERATOR, copy])
    assert done.returncode == 0 and list(folder.glob("*.go")), done.stdout + done.stderr


@pytest.mark.skipif(not VARLINKCTL, reason="varlinkctl (systemd 255 or newer) is not installed")
def test_all_are_read_by_varlinkctl():
    for path in FILES:
        done = programs.run([VARLINKCTL, "validate-idl", path])
        assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not importlib.util.find_spec("varlink"), reason="python3-varlink is not installed")
def test_all_are_read_by_python_varlink():
    import varlink as python_varlink
    for path in FILES:
        read = python_varlink.Interface(path.read_text(encoding="utf-8"))
        mine = idl.parse(path.read_text(encoding="utf-8"))
        assert read.name == path.stem and set(read.members) == {*mine.types, *mine.methods, *mine.errors}


@pytest.mark.parametrize("body", ["type A (a: [string]())", "type A (a: [][]int)", "type A (a: ?[]?[string](x, y))", "type A (a: ??int)",
                                  "type a (a: int)", "type A (1a: int)", "type A (a__b: int)", "type A (a_: int)", "type A (a: Int)",
                                  "type A (a: int,)", "type A (a: int, b)", "type A (a: int) type A (b: int)", "type A (a: int, a: int)",
                                  "type A (a: number)", "type A [int]", "method B()", "method B() -> (a, b)", "error C", "error C (a, b)",
                                  "typ A (a: int)", "type A (a: int", "type A (a int)", "type A (a: int) # no line end"])
def test_the_reader_refuses(body):
    """The check above can fail: on what the grammar refuses, and on what some tool cannot read."""
    idl.parse("interface a.b\nmethod M() -> ()\n")
    with pytest.raises(idl.Fault):
        idl.parse(f"interface a.b\nmethod M() -> ()\n{body}")


@pytest.mark.parametrize("text", ["", "interface\n", "interface a\nmethod M() -> ()\n", "interface a.b\n", "interface a..b\nmethod M() -> ()\n",
                                  "interface a.b-\nmethod M() -> ()\n", "method M() -> ()\n", "interface 1a.b\nmethod M() -> ()\n"])
def test_the_reader_refuses_a_whole(text):
    with pytest.raises(idl.Fault):
        idl.parse(text)


def test_what_is_served_is_what_lies_in_the_repository(world):
    device = world.add_device().start()
    with varlink.Connection(device.socket, uid=1000) as connection:
        served = connection.call("org.varlink.service.GetInfo")["interfaces"]
        assert sorted(served) == [path.stem for path in FILES]
        for path in FILES:
            text = connection.call("org.varlink.service.GetInterfaceDescription", {"interface": path.stem})["description"]
            assert text == path.read_text(encoding="utf-8")


# ---- the document's examples ----

def examples():
    """(method, message) of each example session in docs/IPC.md; what it cuts by an ellipsis is left out."""
    for block in re.findall(r"^```\n(.*?)^```", (programs.ROOT / "docs/IPC.md").read_text(encoding="utf-8"), re.M | re.S):
        called = {}
        for connection, arrow, text in re.findall(r"^(\d*)([→←]) (.*?)(?=^\d*[→←]|\Z)", block, re.M | re.S):
            text = re.sub(r"\n +", "", text).partition("   ")[0]
            message = json.loads(re.sub(r',…|"\w+":\{…\},', "", text))
            called[connection] = message["method"] if arrow == "→" else called[connection]
            yield called[connection], message


def objects(value):
    """All objects in a JSON value."""
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from objects(inner)


def test_examples_in_the_document_are_what_is_spoken(world):
    programs.install_programs()
    interfaces, spoken = idl.shipped(), list(examples())
    assert {method.rpartition(".")[0] for method, _ in spoken} == {name for name in interfaces if name != "org.varlink.service"}
    for method, message in spoken:
        assert idl.message_faults(interfaces, method, message) == [], message
        for found in objects(message):
            if {"code", "text"} <= set(found):
                reason = json.loads(programs.run([programs.RUN / "bin/devtrustctl", "explain", found["code"], "--json"]).stdout)
                assert {name: found[name] for name in ("text", "remedy") if name in found}.items() <= reason.items(), found
