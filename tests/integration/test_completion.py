"""Completion in real shells on a terminal: every command and option that --help shows, files, and what only the daemon knows."""
import pathlib
import re
import socket
import subprocess
from typing import Any, Callable, Iterator

import pytest
from harness import accounts, programs, waiting
from harness.shell import Shell

KINDS = ("bash", "zsh")
FILES = ("PATH", "FILE", "FILE|-")


def help_of(*words: str) -> str:
    done = programs.run([str(programs.RUN / "bin/devtrustctl"), *words, "--help"])
    assert done.returncode == 0, done.stderr
    return done.stdout


def commands() -> list[str]:
    """As the table of commands in --help has them: under their groups, before the options."""
    listed = help_of().split("\nOptions of every command:")[0]
    return re.findall(r"^  ([a-z]+(?: [a-z]+)?)  ", listed, re.M)


def options(command: str) -> dict[str, str]:
    """{"--user": "NAME", "--json": ""} as the command's help has them."""
    return {name: argument or "" for name, argument in re.findall(r"^  (--[a-z0-9-]+)(?: (\S+))?", help_of(*command.split()), re.M)}


@pytest.fixture(params=KINDS)
def shell(request: Any, world: Any) -> Iterator[Callable[..., Shell]]:
    programs.install_programs()
    made: list[Shell] = []

    def make(**environment: str) -> Shell:
        script = programs.build_dir() / "completion" / ("devtrustctl" if request.param == "bash" else "_devtrustctl")
        made.append(Shell(request.param, script, pathlib.Path("/run/dt") / f"shell-{len(made)}", environment))
        return made[-1]

    yield make
    for one in made:
        one.end()
        programs.shutil.rmtree(one.base)


def offered(shell: Shell, line: str) -> set[str]:
    return {word.removesuffix("=") for word in shell.completions(line)}


def expect(look: Callable[[], object], wanted: object, what: str) -> None:
    """What the daemon is asked for: completion gives it one second, so on a busy machine a word may need another key."""
    waiting.until(lambda: look() == wanted, f"completion of {what}: {wanted}")


def test_every_command(shell):
    typist, names = shell(), commands()
    assert {"status", "cert show", "ipc call", "completion"} <= set(names)
    assert offered(typist, "devtrustctl ") == {name.split()[0] for name in names}
    for first in {name.split()[0] for name in names if " " in name}:
        assert offered(typist, f"devtrustctl {first} ") == {name.split()[1] for name in names if name.startswith(first + " ")}
        assert offered(typist, f"devtrustctl {first} --") == {"--help"}
    for name in names:
        assert typist.after(f"devtrustctl {name}", "\t") == f"devtrustctl {name} "
    assert offered(typist, "devtrustctl --") == {"--help", "--version"}


def test_every_option_of_every_command(shell):
    typist = shell()
    for name in commands():
        known = options(name)
        assert {"--help", "--json", "--socket", "--timeout"} <= set(known)
        assert offered(typist, f"devtrustctl {name} --") == set(known), name
        # what is given is not offered again
        assert offered(typist, f"devtrustctl {name} --json --") == set(known) - {"--json"}, name
        for option, argument in known.items():
            if option != "--help":  # which nothing follows
                line = f"devtrustctl {name} {option}" + (" 7 --" if argument else " --")
                assert offered(typist, line) == set(known) - {option}, line


def test_files_for_every_file_option(shell):
    typist = shell()
    for file in ("one", "other", "with space"):
        (typist.base / "empty" / file).touch()
    (typist.base / "empty/folder").mkdir()
    tried = 0
    for name in commands():
        for option, argument in options(name).items():
            if argument not in FILES:
                continue
            tried += 1
            assert offered(typist, f"devtrustctl {name} {option} o") == {"one", "other"}
            assert typist.completions(f"devtrustctl {name} {option}=ot") == [f"{option}=other"]
            assert typist.after(f"devtrustctl {name} {option} w", "\t") == f"devtrustctl {name} {option} with\\ space "
            assert typist.after(f"devtrustctl {name} {option} fo", "\t") == f"devtrustctl {name} {option} folder/"
    assert tried > len(commands()), "--socket of every command, and --token-file"


def test_words_of_a_fixed_list(shell):
    typist = shell()
    assert offered(typist, "devtrustctl completion ") == {"bash", "zsh", "users", "interfaces", "methods"}
    done = programs.run([str(programs.RUN / "bin/devtrustctl"), "explain", "--json"])
    codes = set(re.findall(r'"code":"([a-z-]+)"', done.stdout))
    assert offered(typist, "devtrustctl explain ") == codes and len(codes) > 50
    assert offered(typist, "devtrustctl explain no-agent ") <= {"--help", "--json", "--socket", "--timeout"}


def test_nothing_where_there_is_nothing_to_say(shell):
    typist = shell()
    for line in ("devtrustctl frobnicate ", "devtrustctl cert frobnicate ", "devtrustctl enroll ", "devtrustctl status --timeout ",
                 "devtrustctl status -- ", "devtrustctl ipc call a.b.C "):
        assert typist.completions(line) == [], line


def test_odd_words(shell):
    """A URL, which bash cuts at its colons, counts as one operand; so does a quoted word; = joins an option to its value."""
    typist = shell()
    (typist.base / "empty/token").touch()
    line = "devtrustctl enroll https://server.example:8443 --token-file "
    assert typist.after(line + "to", "\t") == line + "token "
    line = "devtrustctl ipc call 'a b' {} --m"
    assert typist.after(line, "\t") == line + "ore "
    line = "devtrustctl enroll --ca-pin=a=b:c --tok"
    assert typist.after(line + "en", "\t").rstrip(" =") == line + "en-file"
    assert typist.after("true; devtrustctl sta", "\t") == "true; devtrustctl status "


def test_what_the_daemon_knows(shell, world):
    device = world.setup("alice", "bob", on=False)
    for name in ("alice", "bob"):
        device.wait_user(name, agent_attached=True)
    typist = shell()
    at = f"--socket {device.socket}"
    for command in (name for name in commands() if options(name).get("--user") == "NAME"):
        expect(lambda command=command: offered(typist, f"devtrustctl {command} {at} --user "), {"alice", "bob"}, command)
        expect(lambda command=command: typist.completions(f"devtrustctl {command} {at.replace(' ', '=')} --user=a"), ["--user=alice"], command)
    interfaces = {"io.devtrust.Agent", "io.devtrust.Debug", "io.devtrust.Device", "org.varlink.service"}
    expect(lambda: offered(typist, f"devtrustctl ipc introspect {at} "), interfaces, "ipc introspect")
    declared = {f"{path.stem}.{name}" for path in (programs.ROOT / "ipc").glob("*.varlink")
                for name in re.findall(r"^method (\w+)", path.read_text(encoding="utf-8"), re.M)}
    expect(lambda: offered(typist, f"devtrustctl ipc call {at} "), declared, "ipc call")
    line = f"devtrustctl ipc call {at} io.devtrust.Device.GetSt"
    expect(lambda: typist.after(line, "\t"), line + "atus ", "one method")


def test_quiet_without_a_daemon(shell):
    typist = shell()
    before = typist.after("", "")
    assert before == ""
    for line in ("devtrustctl renew --socket /run/dt/nothing --user ", "devtrustctl ipc call --socket /run/dt/nothing ",
                 "devtrustctl ipc introspect --socket=/run/dt/nothing io"):
        assert typist.completions(line) == [], line
        assert "reached" not in typist.screen and "systemctl" not in typist.screen, typist.screen


def test_quiet_where_nobody_answers(shell):
    """A socket that takes the connection and says nothing is given up after a moment."""
    typist = shell()
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(typist.base / "silent"))
        silent.listen()
        assert typist.completions(f"devtrustctl renew --socket {typist.base}/silent --user ") == []
        assert "answer" not in typist.screen


def test_a_user_completes_own_words(world):
    device = world.setup("alice", "bob")
    for name in ("alice", "bob"):
        device.wait_user(name, state="installed")
    more = ("--timeout", "15")  # than the second of who types
    assert device.ctl("completion", "users", *more, uid=accounts.uid_of("bob")).stdout == "bob\n"
    assert sorted(device.ctl("completion", "users", *more).stdout.split()) == ["alice", "bob"]


@pytest.mark.parametrize("kind", KINDS)
def test_generated_at_build_time_as_the_program_prints_it(world, kind):
    programs.install_programs()
    built = programs.build_dir() / "completion" / ("devtrustctl" if kind == "bash" else "_devtrustctl")
    done = programs.run([str(programs.RUN / "bin/devtrustctl"), "completion", kind])
    assert done.stdout == built.read_text(encoding="utf-8")
    subprocess.run([kind, "-n", str(built)], check=True)
