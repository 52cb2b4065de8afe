#!/usr/bin/python3
"""The documents name what there is: interfaces, commands, options, codes, checks; and the manual pages are well formed.

Each finding is a line; any finding fails. `docs-test.py --write` renews the table of man/devtrust-codes.7 from the table of reasons, and that of
man/devtrust-messages.7 from the journal's catalogue.
"""
import json
import math
import pathlib
import re
import subprocess
import sys

sys.dont_write_bytecode = True
import docs_messages  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parent.parent
TOOL = ROOT / "build/devtrustctl"
CODES = ROOT / "man/devtrust-codes.7"
BEGIN, END = '.\\" codes: written by tests/docs-test.py --write', '.\\" end of codes'

findings: list[str] = []


def finding(text: str) -> None:
    findings.append(text)


def read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def page(path: str) -> str:
    """A manual page as a reader sees it, on one line: no macros, one blank between words."""
    done = subprocess.run(["mandoc", "-Tutf8", "-O", "width=500", str(ROOT / path)], capture_output=True, text=True, check=True)
    return re.sub(r"\s+", " ", re.sub(".\b", "", done.stdout))


def has_word(text: str, word: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text) is not None


def tool(*arguments: str) -> str:
    return subprocess.run([str(TOOL), *arguments], capture_output=True, text=True, check=True).stdout


# ---- interfaces ----

def declarations(interface: pathlib.Path) -> list[tuple[str, str]]:
    """("method", "GetStatus") …"""
    return re.findall(r"^(type|method|error) (\w+)", interface.read_text(encoding="utf-8"), re.M)


def fields(interface: pathlib.Path) -> set[str]:
    """Names of members, parameters and results."""
    text = re.sub(r"#.*", "", interface.read_text(encoding="utf-8"))
    return set(re.findall(r"(\w+):", text))


def number(text: str) -> int:
    """A number as the daemon's C files write it, or the macro that stands for it."""
    if text.isdigit():
        return int(text)
    for header in sorted((ROOT / "daemon").glob("*.[ch]")):
        found = re.search(rf"^#define {text} (\d+)$", header.read_text(encoding="utf-8"), re.M)
        if found:
            return int(found[1])
    return 0


def method_rows() -> dict[str, tuple[bool, str, str]]:
    """{"io.devtrust.Agent.Submit": (root only, "40 s", "16 KiB")} from the table that the daemon goes by."""
    rows = {}
    pattern = r"^(AGENT|DEVICE|DEBUG)_(?:CALL\(\s*(\w+), (\w+), (\w+)|STREAM\((\w+), (\w+)), (\d+) \* KIB(?:.*\.deadline_ms = (\w+))?"
    for face, call, access, deadline, stream, stream_access, size, first in re.findall(pattern, read("daemon/daemon_methods.c"), re.M):
        name = f"io.devtrust.{face.capitalize()}.{call or stream}"
        seconds = number(deadline or first) // 1000
        rows[name] = ((access or stream_access) == "ROOT", f"{seconds} s" if seconds else "–", f"{size} KiB")
    return rows


def check_interfaces() -> None:
    document, manual = read("docs/IPC.md"), page("man/io.devtrust.7")
    for interface in sorted((ROOT / "ipc").glob("*.varlink")):
        for kind, name in [("interface", interface.stem), *declarations(interface)]:
            for where, text in (("docs/IPC.md", document), ("man/io.devtrust.7", manual)):
                if not has_word(text, name):
                    finding(f"{where} does not name the {kind} {name} of {interface.name}")
        for name in sorted(fields(interface)):
            if not has_word(manual, name):
                finding(f"man/io.devtrust.7 does not name the field {name} of {interface.name}")


def signature(name: str, parameters: str, reply: str) -> str:
    """As the manual page has it: "Renew(user?) -> (request_ids)"."""
    def names(text: str) -> str:
        # a member's own commas, as of an enumeration, stand in parentheses
        return ", ".join(member + ("?" if maybe else "") for member, maybe in re.findall(r"(\w+):\s*(\?)?", text))
    return f"{name}({names(parameters)}) -> ({names(reply)})"


def check_signatures() -> None:
    """The manual page has each method as it is declared."""
    manual = page("man/io.devtrust.7")
    for interface in sorted((ROOT / "ipc").glob("*.varlink")):
        text = re.sub(r"#.*", "", interface.read_text(encoding="utf-8"))
        for name, parameters, reply in re.findall(r"^method (\w+)\(([^()]*)\)\s*->\s*\(([^()]*)\)", text, re.M):
            if signature(name, parameters, reply) not in manual:
                finding(f"man/io.devtrust.7 does not have {signature(name, parameters, reply)} of {interface.name}")


def check_method_table() -> None:
    rows, served = method_rows(), set()
    for interface in sorted((ROOT / "ipc").glob("io.devtrust.*.varlink")):
        served |= {f"{interface.stem}.{name}" for kind, name in declarations(interface) if kind == "method"}
    if served != set(rows):
        finding(f"docs-test.py does not understand daemon/daemon_methods.c: {sorted(served ^ set(rows))}")
    document = read("docs/IPC.md")
    for name, (root, deadline, size) in rows.items():
        face, method = name.rsplit(".", 1)
        part = document.partition(f"| `{face}` |")[2].partition("\n\n")[0]
        line = re.search(rf"^.*`{method}`[^|]*\|([^|]*)\|([^|]*)\|([^|]*)\|", part, re.M)
        if not line:
            finding(f"docs/IPC.md has no row for {name} in the table of methods")
        elif (line[1].strip() == "root") != root or line[2].strip() != deadline or line[3].strip() != size:
            finding(f"docs/IPC.md says of {name}: {line[0]}; the daemon: {'root' if root else 'anyone'}, {deadline}, {size}")


def check_limits() -> None:
    """The table of limits has the server's numbers."""
    text = read("ipc/varlink_server.c").partition("varlink_limits_default = {")[2].partition("};")[0]
    limit = {name: math.prod(map(int, value.split(" * ")))
             for name, value in re.findall(r"\.(\w+) = (?:\(size_t\))?(\d+(?: \* \d+)*)", text)}
    rate = {name: values for name, *values in re.findall(r"\.(\w+) = \{\.per_s = (\d+), \.burst = (\d+)\}", text)}
    document = read("docs/IPC.md")
    for row in (f"connections of one uid | {limit['connections_per_uid']} |",
                f"connections in all | {limit['connections']},",
                "new connections of one uid | {} a second, after {} at once".format(*rate["connects_per_uid"]),
                "messages of one uid | {} a second, after {} at once".format(*rate["messages_per_uid"]),
                f"the first message | {limit['first_message_ms'] // 1000} s ",
                f"a message that has begun | {limit['partial_message_ms'] // 1000} s ",
                f"idleness | {limit['idle_ms'] // 1000} s ",
                f"calls not answered on one connection | {limit['outstanding_per_connection']} |",
                f"calls not answered of one uid | {limit['outstanding_per_uid']} |",
                f"bytes that the peer has not read, of one connection | {limit['write_queue_bytes'] >> 20} MiB |",
                f"bytes in flight of one uid: kept of messages, and not read | {limit['bytes_per_uid'] >> 20} MiB |"):
        if row not in document:
            finding(f"docs/IPC.md, limits: not found: {row}")
    for method, messages in re.findall(r"_CALL\(\s*(\w+), [^;]*\.messages = (\d+)", read("daemon/daemon_methods.c")):
        if f"a `{method}` as {messages}" not in document:
            finding(f"docs/IPC.md does not say that a {method} counts as {messages} messages")


def macro(path: str, name: str) -> int:
    """The number that a #define stands for."""
    found = re.search(rf"^#define {name} +(?:\(\(size_t\))?(\d+(?: \* \d+)*)\)?", read(path), re.M)
    if not found:
        raise SystemExit(f"docs-test.py does not find {name} in {path}")
    return math.prod(map(int, found[1].split(" * ")))


def check_numbers() -> None:
    """What documents say of limits that are no fields of the server's: {document: [(phrase, where the number is, its name, its unit), …]}."""
    words = {1: "a", 10: "ten"}
    message, turn, listener = "ipc/varlink_message.h", "ipc/varlink_turn.c", "ipc/varlink_listener.c"
    redaction, monitor = "daemon/redaction.h", "daemon/monitor.h"
    said = {
        "docs/IPC.md": [
            ("| a call | {} KiB, less per method |", message, "VARLINK_CALL_MAX", 1024),
            ("| JSON values in a call, itself counted | {} |", message, "VARLINK_CALL_MAX_VALUES", 1),
            ("| a reply, for our clients | {} MiB |", message, "VARLINK_REPLY_MAX", 1024 * 1024),
            ("each {} bytes of one counting as one more", turn, "TOKEN_BYTES", 1),
            ("take turns of {} microseconds", turn, "TURN_US", 1),
            ("Connections are taken {} at a time", listener, "ACCEPTS_AT_ONCE", 1),
            ("then none for {} millisecond;", listener, "MOMENT_MS", 1),
            ("Refusals go to the log with uid and pid, {} a minute at most", "common/log_limit.h", "LOG_LIMIT_PER_MINUTE", 1),
            ("{} levels,", "common/json_gate.h", "JSON_GATE_MAX_DEPTH", 1),
            ("{} keys of one object", "common/json_gate.h", "JSON_GATE_MAX_KEYS", 1),
            ("gathered for {} ms", monitor, "MONITOR_BURST_MS", 1),
            ("At most {} streams", monitor, "MONITOR_STREAMS_MAX", 1),
            ("for each, {} events", monitor, "MONITOR_EVENTS_MAX", 1),
            ("events or {} KiB wait", monitor, "MONITOR_BYTES_MAX", 1024),
            ("of a string longer than {} bytes", redaction, "REDACTION_STRING_MAX", 1),
            ("the first {} and its length", "daemon/redaction.c", "SHOWN", 1),
            ("{} elements of an array", redaction, "REDACTION_ELEMENTS_MAX", 1),
            ("{} members of an object", redaction, "REDACTION_MEMBERS_MAX", 1),
            ("members of an object, {} levels", redaction, "REDACTION_DEPTH_MAX", 1),
            ("levels, {} KiB in all", redaction, "REDACTION_SIZE_MAX", 1024),
            ("at most {}, and 128 KiB, in memory", "daemon/log_ring.h", "LOG_RING_ENTRIES", 1),
            ("and {} KiB, in memory", "daemon/log_ring.h", "LOG_RING_BYTES", 1024),
            ("lines of JSON of at most {} KiB", "ipc/ctl/recording.h", "RECORDING_LINE_MAX", 1024),
            ("at most {} KiB ahead in each direction", "ipc/ctl/bridge.h", "BRIDGE_BUFFER_SIZE", 1024),
            ("who did not answer within {} s", "daemon/inspections.h", "INSPECTION_DEADLINE_MS", 1000),
            ("It comes within {} s whatever hangs", "useragent/agent_inspect.c", "ANSWER_WITHIN_MS", 1000),
            ("PKCS#10 object of at most {} KiB", "common/x509_csr.h", "X509_CSR_MAX_SIZE", 1024)],
        "man/io.devtrust.7": [("leaves out too; at most {}.", "daemon/log_ring.h", "LOG_RING_ENTRIES", 1)],
        "man/devtrustctl.1": [("at most {} words", "ipc/ctl/bridge_program.h", "BRIDGE_PROGRAM_MAX_WORDS", 1)],
    }
    for document, rows in said.items():
        text = page(document) if document.startswith("man/") else re.sub(r"\s+", " ", read(document))
        for phrase, path, name, unit in rows:
            value, rest = divmod(macro(path, name), unit)
            if rest or not any(phrase.format(number) in text for number in (value, words.get(value))):
                finding(f"{document} does not say that {name} is {value}: {phrase}")


# ---- devtrustctl ----

def synopsis(manual: str, command: str) -> "str | None":
    """What a manual page's synopsis has of a command, up to the next one."""
    part = manual.partition(" SYNOPSIS ")[2].partition(" DESCRIPTION ")[0]
    found = re.search(rf"devtrustctl {command} (.*?)(?=devtrustctl |$)", part + " ")
    return found[1] if found else None


def check_commands() -> None:
    manual = page("man/devtrustctl.1")
    listed = tool("--help").split("\nOptions of every command:")[0]
    for command in re.findall(r"^  ([a-z]+(?: [a-z]+)?)  ", listed, re.M):
        told = synopsis(manual, command)
        if told is None:
            finding(f"man/devtrustctl.1: no synopsis of devtrustctl {command}")
            continue
        text = tool(*command.split(), "--help")
        own, _, common = text.partition("\nOptions of every command:")
        options = set(re.findall(r"^  (--[a-z0-9-]+)", own, re.M))
        if options != set(re.findall(r"--[a-z0-9-]+", told)):
            finding(f"man/devtrustctl.1, SYNOPSIS, has other options of {command} than its --help: {told}")
        for option in {*options, *re.findall(r"^  (--[a-z0-9-]+)", common, re.M)}:
            if not has_word(manual.partition(" DESCRIPTION ")[2], option):
                finding(f"man/devtrustctl.1 does not say what {option} of {command} is")
    for status in range(6):
        if not re.search(rf" {status} [A-Za-z]", manual.partition("EXIT STATUS")[2]):
            finding(f"man/devtrustctl.1 does not say what exit status {status} means")


def check_ids() -> None:
    """Of doctor: those that the interfaces list, and those that the code has besides."""
    found = set()
    for path in [*(ROOT / "daemon").glob("*_checks.c"), ROOT / "daemon/checks.c", ROOT / "ipc/ctl/daemon_checks.c", ROOT / "daemon/repair.c"]:
        found |= set(re.findall(r'\.id = "([a-z-]+)"', path.read_text(encoding="utf-8")))
    device = re.search(r"# One thing that was looked at\. id: (.*?)subject:", read("ipc/io.devtrust.Device.varlink"), re.S)
    agent = re.search(r"# One thing that was looked at\. id: (.*?)detail:", read("ipc/io.devtrust.Agent.varlink"), re.S)
    if not device or not agent:
        finding("docs-test.py does not find the ids of checks in the interfaces")
        return
    listed = set(re.findall(r"[a-z]+(?:-[a-z]+)+", agent[1])) | {"store", "daemon", "versions"}
    listed |= set(re.findall(r"(?<=[ \n])([a-z]+(?:-[a-z]+)*)(?=[,;.])", device[1]))
    manual = read("man/devtrustctl.1").partition(".SH CHECKS")[2].partition(".SH OPTIONS")[0].replace("\\-", "-")
    named = set(re.findall(r"^\.B ([a-z-]+)$", manual, re.M)) - {"doctor"}
    for name in sorted(found | listed):
        if name not in named:
            finding(f"man/devtrustctl.1, CHECKS, does not name {name}")
    for name in sorted(named - found - listed):
        finding(f"man/devtrustctl.1, CHECKS, names {name}, which there is not")


# ---- codes ----

def escaped(text: str) -> str:
    return text.replace("\\", "\\e").replace("-", "\\-")


def codes() -> set[str]:
    return {reason["code"] for reason in json.loads(tool("explain", "--json"))["reasons"]}


def codes_table() -> str:
    reasons = json.loads(tool("explain", "--json"))["reasons"]
    rows = [f".TP\n.B {escaped(reason['code'])}\n{escaped(reason['text'])}\n" + (f"{escaped(reason['remedy'])}\n" if reason["remedy"] else "")
            + f"({reason['exit_status']})\n" for reason in sorted(reasons, key=lambda reason: reason["code"])]
    return f"{BEGIN}\n{''.join(rows)}{END}\n"


def check_codes(write: bool) -> None:
    text = read("man/devtrust-codes.7")
    before, _, rest = text.partition(BEGIN)
    wanted = before + codes_table() + rest.partition(f"{END}\n")[2]
    if write:
        CODES.write_text(wanted, encoding="utf-8")
    elif text != wanted:
        finding("man/devtrust-codes.7 is not what the table of reasons says: run tests/docs-test.py --write")


# ---- manual pages ----

def check_alias(path: pathlib.Path, target: str) -> None:
    """A page that is another one under this name: that one names it where apropos(1) looks."""
    other = ROOT / "man" / pathlib.Path(target).name
    if target != f"man{other.suffix[1:]}/{other.name}" or not other.exists():
        finding(f"man/{path.name} stands for {target}, which does not exist")
    elif not re.search(rf"NAME .*\b{re.escape(path.stem)}\b.* [-–] ", page(f"man/{other.name}").partition(" SYNOPSIS ")[0]):
        finding(f"man/{other.name}, NAME, does not name {path.stem}")


def check_state_page() -> None:
    """Every file, member and table that is kept on disk."""
    manual = page("man/devtrust-state.5")
    records = ("device_identity", "pending_request", "policy_record", "server_report", "state_sync", "user_record")
    names = set(re.findall(r'\.format = "([\w-]+)"', "".join(path.read_text(encoding="utf-8") for path in (
        *(ROOT / "daemon").glob("*.c"), *(ROOT / "useragent").glob("*.c")))))
    for text in (read("useragent/agent_record_json.c"), *(read(f"daemon/{record}.c") for record in records)):
        tables = text.replace("struct identity,", "")  # what server_report.c looks for in a report
        names |= set(re.findall(r'JSON_FIELD\(\s*struct \w+, \w+, "(\w+)"', tables)) | set(re.findall(r"^    \w*FIELD\((\w+)[,)]", tables, re.M))
    names |= set(re.findall(r"^CREATE TABLE (\w+)", read("server/db_schema.sql"), re.M))
    headers = "".join(path.read_text(encoding="utf-8") for path in [*(ROOT / "daemon").glob("*.[ch]"), ROOT / "server/installation.h", ROOT / "server/ca.h"])
    names |= set(re.findall(r'^#define \w+_(?:FILE|DATABASE|LOCK)\w* (?:\\\n)?\s*"([\w.-]+)"', headers, re.M)) | {"agent.json", "desired.json"}
    for name in sorted(names):
        if not has_word(manual, name):
            finding(f"man/devtrust-state.5 does not name {name}")


def check_what_has_a_page() -> None:
    """Every unit, configuration file and program."""
    for name, section in [
            *((path.name, "8") for path in (ROOT / "systemd").iterdir() if path.suffix in (".service", ".socket")),
            *((name, "5") for name in re.findall(r'PATH_CONFIG_DIR "/([\w.]+)"', read("common/paths.h")))]:
        if not (ROOT / f"man/{name}.{section}").exists():
            finding(f"{name} has no page man/{name}.{section}")
    for program in ("devtrustd", "devtrust-agent", "devtrustctl", "devtrust-server"):
        if not [*(ROOT / "man").glob(f"{program}.[18]")]:
            finding(f"{program} has no page")
    listed = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "systemd/debian").glob("*.install"))
    for path in (ROOT / "man").glob("*.[1-8]"):
        folder = f"usr/share/man/man{path.suffix[1:]}"
        if not {folder, f"{folder}/{path.name}"} & set(listed.split()):
            finding(f"man/{path.name} is in no package of systemd/debian")
        if not path.read_text(encoding="utf-8").startswith(".so ") and f"{path.stem}({path.suffix[1:]})" not in read("README.md"):
            finding(f"README.md does not name {path.stem}({path.suffix[1:]})")


def check_versions() -> None:
    """Pages and packages are of the version that the programs say."""
    version = re.search(r'"([0-9.]+)"', read("common/version.h"))
    wanted = version[1] if version else "?"
    said = {"systemd/devtrust.spec": re.findall(r"^Version: (\S+)$", read("systemd/devtrust.spec"), re.M),
            "systemd/debian/changelog": re.findall(r"^devtrust \((\S+)\)", read("systemd/debian/changelog"), re.M)[:1]}
    said |= {f"man/{path.name}": re.findall(r"^\.TH .*devtrust ([0-9.]+)", path.read_text(encoding="utf-8"), re.M) for path in (ROOT / "man").glob("*.[1-8]")}
    for where, versions in said.items():
        if versions != [wanted] and (versions or not read(where).startswith(".so ")):
            finding(f"{where} is of version {versions}, the programs are of {wanted}")


def check_pages() -> None:
    for path in sorted((ROOT / "man").glob("*.[1-8]")):
        name = f"man/{path.name}"
        alias = re.fullmatch(r"\.so (\S+)\n", path.read_text(encoding="utf-8"))
        if alias:
            check_alias(path, alias[1])
            continue
        lint = subprocess.run(["mandoc", "-Tlint", "-W", "warning", str(path)], capture_output=True, text=True, check=False).stdout
        for line in lint.splitlines():
            if "missing date" not in line:  # a page is of a version, not of a day
                finding(line.replace(str(path), name))
        groff = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-rLL=78n", "-P-c", str(path)], capture_output=True, text=True, check=False)
        for line in groff.stderr.splitlines():
            finding(line.replace(str(path), name))
        for line in re.sub(".\b", "", groff.stdout).splitlines():
            if len(line) > 80:
                finding(f"{name} does not fit into 80 columns: {line.strip()}")
        for other, section in set(re.findall(r"\b(devtrust[a-z-]*(?:\.\w+)?|io\.devtrust|server\.conf|enroll\.conf) ?\((\d)\)", page(name))):
            if not (ROOT / f"man/{other}.{section}").exists():
                finding(f"{name} refers to {other}({section}), which does not exist")


def main() -> int:
    check_codes("--write" in sys.argv)
    check_interfaces()
    check_method_table()
    check_signatures()
    check_limits()
    check_numbers()
    check_commands()
    check_ids()
    findings.extend(docs_messages.check("--write" in sys.argv, codes()))
    check_pages()
    check_state_page()
    check_what_has_a_page()
    check_versions()
    for line in findings:
        print(line)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
