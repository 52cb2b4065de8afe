"""The messages of the log: the table of ids, the journal's catalogue, the manual page, and what the programs log, held against each other.

For docs-test.py. The catalogue is written by hand, and everything that it says of ids, fields, codes and pages is checked here.
"""
import collections
import dataclasses
import pathlib
import re
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
CATALOGUE = ROOT / "systemd/devtrust.catalog"
PAGE = ROOT / "man/devtrust-messages.7"
BEGIN, END = '.\\" messages: written by tests/docs-test.py --write', '.\\" end of messages'
PREFIX = "DEVTRUST_"  # as common/log.c has it
OF_THE_JOURNAL = {"ERRNO"}  # has no prefix
LAYERS = ("common", "ipc", "ipc/ctl", "daemon", "useragent", "server")


@dataclasses.dataclass
class Entry:
    """One of the catalogue."""
    message_id: str
    header: dict[str, str]
    text: str

    def placeholders(self) -> set[str]:
        return set(re.findall(r"@([A-Z0-9_]+)@", self.header.get("Subject", "") + self.text))

    def fields(self) -> set[str]:
        """All that it names, with or without at signs."""
        return set(re.findall(rf"\b{PREFIX}[A-Z0-9_]+", self.header.get("Subject", "") + self.text))


def table() -> dict[str, str]:
    """{"MSG_START": "00b0…"}"""
    return dict(re.findall(r'^#define (MSG_\w+) "([0-9a-f]{32})" /\* .* \*/$', (ROOT / "common/log_messages.h").read_text(encoding="utf-8"), re.M))


def entries() -> list[Entry]:
    found = []
    for block in re.split(r"^-- ", CATALOGUE.read_text(encoding="utf-8"), flags=re.M)[1:]:
        head, _, text = block.partition("\n\n")
        message_id, *lines = head.splitlines()
        found.append(Entry(message_id, dict(line.split(": ", 1) for line in lines), text.strip()))
    return found


def call_at(text: str, begin: int) -> str:
    """What stands in the parentheses that open before `begin`."""
    depth, end = 1, begin
    while depth:
        depth += {"(": 1, ")": -1}.get(text[end], 0)
        end += 1
    return text[begin:end]


def logged() -> dict[str, list[tuple[str, set[str]]]]:
    """For each name of the table: (where, journal fields) of each call that logs it, those for debugging left out."""
    found: dict[str, list[tuple[str, set[str]]]] = collections.defaultdict(list)
    for path in (path for layer in LAYERS for path in sorted((ROOT / layer).glob("*.c"))):
        text = path.read_text(encoding="utf-8")
        for match in re.finditer(r"\blog_event\(", text):
            call = call_at(text, match.end())
            names = {PREFIX + name for name in re.findall(r'LOG_(?:TEXT|NUMBER)\(\s*"(\w+)"', call)} | ({"ERRNO"} if "LOG_ERRNO" in call else set())
            if "LOG_LEVEL_DEBUG" not in call:
                for message in re.findall(r"\bMSG_\w+", call):
                    found[message].append((f"{path.relative_to(ROOT)}:{text.count(chr(10), 0, match.start()) + 1}", names))
    return found


def names_of_fields() -> set[str]:
    """All field names in the journal, those for debugging too."""
    names = set()
    for path in (path for layer in LAYERS for path in (ROOT / layer).glob("*.c")):
        names |= set(re.findall(r'LOG_(?:TEXT|NUMBER)\(\s*"(\w+)"', path.read_text(encoding="utf-8")))
    return {PREFIX + name for name in names - OF_THE_JOURNAL} | OF_THE_JOURNAL


# ---- the manual page ----

def roff(text: str) -> str:
    """A text of the catalogue in a manual page: a field in italics, a command in bold, each on a line of its own."""
    lines = []
    for line in text.splitlines():
        words = re.sub(r"@([A-Z0-9_]+)@", r"\1", line).replace("\\", "\\e").replace("-", "\\-")
        words = re.sub(rf"\b({PREFIX}[A-Z0-9_]+)", r"\\fI\1\\fR", words)
        lines.append(re.sub(r"`([^`]+)`", r"\\fB\1\\fR", words))
    return "\n".join(f"\\&{line}" if line[:1] in ".'" else line for line in lines)


def written() -> str:
    """The list of messages, as it has to stand in the page."""
    names = {message_id: name for name, message_id in table().items()}
    rows = [f".TP\n.B {entry.message_id}\n({names.get(entry.message_id, '?')})\n{roff(entry.header.get('Subject', ''))}.\n{roff(entry.text)}\n"
            for entry in entries()]
    return f"{BEGIN}\n{''.join(rows)}{END}\n"


# ---- checks ----

def check_entry(entry: Entry, calls: list[tuple[str, set[str]]], codes: set[str]) -> list[str]:
    where = f"{CATALOGUE.name}, {entry.message_id}"
    found = [f"{where}: no {name}" for name in ("Subject", "Defined-By", "Documentation") if not entry.header.get(name)]
    for page, section in re.findall(r"man:([\w.-]+)\((\d)\)", entry.header.get("Documentation", "")):
        if page.startswith(("devtrust", "io.devtrust", "enroll", "server.conf")) and not (ROOT / f"man/{page}.{section}").exists():
            found.append(f"{where}: {page}({section}) does not exist")
    for place, names in calls:
        for name in sorted(entry.placeholders() - names):
            found.append(f"{where}: {place} logs no {name}")
    for name in sorted(entry.fields() - set().union(*(names for _, names in calls), set())):
        found.append(f"{where}: nothing logs {name} with it")
    for code in re.findall(r"\[([a-z]+(?:-[a-z]+)*)\]", entry.header.get("Subject", "") + entry.text):
        if code not in codes and f"[{code}] " not in entry.text:  # sections of a configuration file stand before their key
            found.append(f"{where}: there is no code {code}")
    return found


def check_catalogue(codes: set[str]) -> list[str]:
    names, listed, calls, found = table(), entries(), logged(), []
    if len(names) != (ROOT / "common/log_messages.h").read_text(encoding="utf-8").count("#define MSG_"):
        found.append("docs-test.py does not understand common/log_messages.h")
    if [entry.message_id for entry in listed] != list(names.values()):
        wrong = {entry.message_id for entry in listed} ^ set(names.values())
        found.append(f"{CATALOGUE.name} and common/log_messages.h do not have the same ids in the same order: {sorted(wrong)}")
    by_id = {message_id: name for name, message_id in names.items()}
    for name in sorted(set(names) - set(calls)):
        found.append(f"nothing logs {name}")
    for entry in listed:
        found += check_entry(entry, calls.get(by_id.get(entry.message_id, ""), []), codes)
    return found


def check_journalctl() -> list[str]:
    """Its compiler takes every entry."""
    with tempfile.TemporaryDirectory() as root:
        place = pathlib.Path(root, "usr/lib/systemd/catalog")
        place.mkdir(parents=True)
        (place / CATALOGUE.name).write_bytes(CATALOGUE.read_bytes())
        pathlib.Path(root, "var/lib/systemd/catalog").mkdir(parents=True)
        done = subprocess.run(["journalctl", f"--root={root}", "--update-catalog"], capture_output=True, text=True, check=False)
        lines = subprocess.run(["journalctl", f"--root={root}", "--list-catalog"], capture_output=True, text=True, check=False).stdout
    found = [f"journalctl --update-catalog: {line}" for line in done.stderr.splitlines()]
    for entry in entries():
        if f"{entry.message_id} devtrust: {entry.header.get('Subject')}\n" not in lines:
            found.append(f"journalctl does not know the entry {entry.message_id}")
    return found


def check_page(write: bool) -> list[str]:
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    wanted = before + written() + rest.partition(f"{END}\n")[2]
    if write:
        PAGE.write_text(wanted, encoding="utf-8")
    elif text != wanted:
        return [f"man/{PAGE.name} is not what the catalogue says: run tests/docs-test.py --write"]
    listed = set(re.findall(rf"\b({PREFIX}\w+|ERRNO)\b", before.partition(".SH FIELDS")[2]))
    return [f"man/{PAGE.name}, FIELDS: {name} is {'missing' if name not in listed else 'no field'}" for name in sorted(listed ^ names_of_fields())]


def check(write: bool, codes: set[str]) -> list[str]:
    return check_catalogue(codes) + check_journalctl() + check_page(write)
