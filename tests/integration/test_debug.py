"""What io.devtrust.Debug shows, and devtrustctl ipc monitor, replay and top as people use them."""
import fcntl
import json
import os
import pathlib
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

import pytest
from harness import accounts, programs, varlink, waiting

TOOL = programs.RUN / "bin/devtrustctl"
ROOM = {"limits": {"requests_per_hour": 100}}
MONITOR = "io.devtrust.Debug.Monitor"


def streams(device):
    """How many connections a monitor holds open."""
    connections = device.call("io.devtrust.Debug.ListConnections")["connections"]
    return sum(connection.get("stream") == MONITOR for connection in connections)


class Monitor:
    """devtrustctl ipc monitor, attached when the constructor returns."""

    def __init__(self, device, *options):
        before = streams(device)
        self.device = device
        self.program = programs.Program("monitor", [TOOL, "ipc", "monitor", *options, "--socket", device.socket]).start()
        waiting.until(lambda: streams(device) == before + 1, "the monitor is attached", alive=self.program.check_alive)

    def lines(self):
        return self.program.log().splitlines()

    def events(self):
        return [json.loads(line) for line in self.lines()]

    def wait(self, condition, what):
        """Until condition(an event) is true of one."""
        waiting.until(lambda: any(condition(event) for event in self.events()), what, alive=self.program.check_alive)

    def interrupt(self):
        """Ctrl-C; its exit status."""
        self.program.expected_end = True
        self.program.signal(signal.SIGINT)
        status = self.program.process.wait(waiting.PATIENCE)
        self.program.reader.join(5)
        return status


@pytest.fixture
def monitor():
    """Makes monitors, and ends them."""
    made = []

    def make(*arguments):
        made.append(Monitor(*arguments))
        return made[-1]
    yield make
    for one in made:
        one.program.kill()


REPORT = ["call Agent.Report", "reply Agent.Report"]


def story(events):
    """The events in a few words each, without those of connections and the log. Snapshots come on a connection of their own, and once more
    where a deadline has moved: see watched(). An agent may repeat a report, which changes nothing: such are left out."""
    words = []
    for event in events:
        if event["kind"] == "state":
            fields = event["fields"]
            words.append(f"{fields['FROM']}>{fields['TO']} {fields['EVENT']}")
        elif event["kind"] in ("call", "reply", "error") and (event["kind"], event["method"]) != ("reply", "io.devtrust.Agent.Watch"):
            words.append(f"{event['kind']} {event['method'].removeprefix('io.devtrust.')}")
    told = []
    for word in words:
        if word == REPORT[1] and told[-1:] in ([], [REPORT[0]]):
            del told[-1:]
        else:
            told.append(word)
    return told


def watched(events):
    """The snapshots that the agent was shown: mode, and whether something is asked for; each once in a row."""
    shown = []
    for event in events:
        if (event["kind"], event.get("method")) == ("reply", "io.devtrust.Agent.Watch"):
            one = (event["parameters"]["mode"], "request" in event["parameters"])
            if shown[-1:] != [one]:
                shown.append(one)
    return shown


def told(monitor, begun, expected):
    """Until the story of what came since then is this one."""
    try:
        waiting.until(lambda: story(monitor.events()[begun:]) == expected, "the story", alive=monitor.program.check_alive)
    except waiting.Timeout as error:
        raise waiting.Timeout(f"{error}; it is {story(monitor.events()[begun:])}") from None


SIGNED = ["call Agent.Submit", "requested>signing submit", "signing>delivered issued", "reply Agent.Submit",
          "call Agent.Report", "delivered>installed report-installed", "reply Agent.Report"]
ENROLMENT = ["call Agent.Watch", "absent>requested managed", *SIGNED]
RENEWAL = ["call Device.Renew", "installed>requested renew", "reply Device.Renew", *SIGNED]
REMOVAL = ["installed>removing unmanaged", "call Agent.Report", "removing>absent report-removed", "reply Agent.Report"]


def test_enrolment_renewal_and_removal_as_they_happen(world, monitor):
    device = world.setup(device_settings=ROOM)
    world.server.distribution("off")
    world.manage("alice", device)
    seen = monitor(device, "--json", "--user", "alice")
    device.agent("alice")
    device.wait_user("alice", agent_attached=True)
    world.server.distribution("on")
    told(seen, 0, ENROLMENT)
    shown = [("idle", False), ("certificate", True), ("certificate", False)]
    waiting.until(lambda: watched(seen.events()) == shown, "what the agent saw")
    begun = len(seen.events())
    assert device.ctl("renew", uid=1000).returncode == 0
    told(seen, begun, RENEWAL)
    shown += [("certificate", True), ("certificate", False)]
    waiting.until(lambda: watched(seen.events()) == shown, "what the agent saw")
    begun = len(seen.events())
    assert device.ctl("remove").returncode == 0
    told(seen, begun, REMOVAL)
    shown += [("remove", False), ("idle", False)]
    waiting.until(lambda: watched(seen.events()) == shown, "what the agent saw")
    events = seen.events()
    assert [event["time_us"] for event in events] == sorted(event["time_us"] for event in events)
    assert {event["user"] for event in events} == {"alice"}
    submit = next(event for event in events if event["kind"] == "call" and event["method"].endswith("Submit"))
    reply = next(event for event in events if event["kind"] == "reply" and event["method"].endswith("Submit"))
    assert submit["uid"] == 1000 and submit["connection"] == reply["connection"] and submit["size"] > 300
    assert 0 < reply["latency_us"] < waiting.PATIENCE * 1e6 and reply["size"] > 1500
    assert re.fullmatch(r"MII.{29}… \(\d+ bytes\)", submit["parameters"]["csr"]), submit
    assert re.fullmatch(r".{32}… \(\d+ bytes\)", reply["parameters"]["bundle"]["leaf"]), reply
    assert seen.interrupt() == 0


def test_the_same_for_people(world, monitor):
    device = world.setup(device_settings=ROOM)
    seen = monitor(device)
    world.manage("alice", device)
    device.agent("alice")
    device.wait_user("alice", state="installed")
    waiting.until(lambda: "delivered → installed" in seen.program.log(), "shown")
    assert seen.interrupt() == 0
    text = seen.program.log()
    assert re.search(r"^\d\d:\d\d:\d\d\.\d{3} +● alice: requested → signing \(submit\)$", text, re.M), text
    assert re.search(r"^\d\d:\d\d:\d\d\.\d{3} +\d+ alice    → io\.devtrust\.Agent\.Submit +\d+ request_id=\S+ csr=\"MII", text, re.M)
    assert re.search(r"← io\.devtrust\.Agent\.Submit +\d+ +[0-9.]+ (ms|µs|s) bundle=", text)
    assert "\x1b" not in text, "colour only on a terminal"


def test_filters(world, monitor):
    device = world.setup("bob", device_settings=ROOM)
    first = device.wait_user("bob", state="installed")["serial"]
    world.manage("alice", device)
    alice, agent, exact = (monitor(device, "--json", *options) for options in
                           (["--user", "alice"], ["--method", "Agent."], ["--method", "io.devtrust.Agent.Report"]))
    root = monitor(device, "--json", "--user", "root", "--method", "io.devtrust.Device.GetStatus")
    device.agent("alice")
    device.wait_user("alice", state="installed")
    assert device.ctl("renew", uid=1001).returncode == 0
    device.wait_user("bob", state="installed", serial=lambda serial: serial != first)
    for one, users in ((alice, {"alice"}), (agent, {"alice", "bob"}), (exact, {"alice", "bob"})):
        one.wait(lambda event: event["kind"] == "reply" and event["method"].endswith("Report"), "a report")
        if "bob" in users:
            one.wait(lambda event: event.get("user") == "bob" and event["kind"] == "reply" and event["method"].endswith("Report"), "bob's")
        assert {event["user"] for event in one.events()} == users
    assert any(event["kind"] == "state" for event in alice.events())
    assert {event["kind"] for event in agent.events()} <= {"call", "reply", "error"}
    assert all(event["method"].startswith("io.devtrust.Agent.") for event in agent.events())
    assert {event["method"] for event in exact.events()} == {"io.devtrust.Agent.Report"}
    root.wait(lambda event: event["kind"] == "reply", "root's own")
    assert {(event["user"], event["method"]) for event in root.events()} == {("root", "io.devtrust.Device.GetStatus")}
    for one in (alice, agent, exact, root):
        assert one.interrupt() == 0


def test_a_user_who_is_not_managed_and_one_who_does_not_exist(world, monitor):
    device = world.setup()
    carol = monitor(device, "--json", "--user", "carol")
    device.call("io.devtrust.Device.GetStatus", uid=accounts.uid_of("carol"))
    device.call("io.devtrust.Device.GetStatus", uid=accounts.uid_of("bob"))
    device.call("org.varlink.service.GetInfo", uid=accounts.uid_of("carol"))
    carol.wait(lambda event: event.get("method") == "org.varlink.service.GetInfo" and event["kind"] == "reply", "the last")
    assert {event["user"] for event in carol.events()} == {"carol"}
    done = device.ctl("ipc", "monitor", "--user", "zoe")
    assert done.returncode == 2 and "no such user on this machine: zoe" in done.stderr, done


def test_only_root(world):
    device = world.setup()
    path = pathlib.Path("/tmp/alices-recording")
    for command in (["monitor"], ["monitor", "--record", str(path)], ["top"]):
        done = device.ctl("ipc", *command, uid=1000)
        assert (done.returncode, done.stdout) == (4, "") and "needs root" in done.stderr, done
    assert not path.exists()
    for method in ("Monitor", "GetLog", "GetStatistics", "ListConnections"):
        with varlink.Connection(device.socket, 1000) as connection:
            connection.send(f"io.devtrust.Debug.{method}", more=method == "Monitor")
            assert connection.receive()["error"] == "org.varlink.service.PermissionDenied"


def test_a_secret_is_never_shown(world, monitor):
    """The token of an enrolment, in a message that fits and in such that do not."""
    world.start_server()
    device = world.add_device().start()
    recording = world.base / "recording"
    plain, verbose = monitor(device, "--json", "--record", str(recording)), monitor(device, "--verbose")
    token = world.server.token()
    wrong = "0123456789abcdef.wrong-secret-of-somebody"
    assert device.try_enroll(world.server.url, wrong, world.server.ca_pin).returncode == 5
    assert device.try_enroll(world.server.url, token, world.server.ca_pin).returncode == 0
    for method, parameters in (("io.devtrust.Device.Enroll", {"url": 7, "token": token}), ("io.devtrust.Device.Enrol", {"token": token}),
                               ("io.devtrust.Device.Enroll", {"nested": [{"token": token}]})):
        with pytest.raises(varlink.VarlinkError):
            device.call(method, parameters)
    device.call("org.varlink.service.GetInfo")
    plain.wait(lambda event: event.get("method") == "org.varlink.service.GetInfo" and event["kind"] == "reply", "the last")
    waiting.until(lambda: "GetInfo" in verbose.program.log(), "the last")
    enrolments = [event for event in plain.events() if event["kind"] == "call" and event["method"] == "io.devtrust.Device.Enroll"]
    assert [event["parameters"].get("token") for event in enrolments] == ["[redacted]", "[redacted]", "[redacted]", None]
    assert plain.interrupt() == 0 and verbose.interrupt() == 0
    log = json.dumps(device.call("io.devtrust.Debug.GetLog"))
    assert "enrolled" in log
    for text in (plain.program.log(), verbose.program.log(), recording.read_text(encoding="utf-8"), log, device.program.log()):
        for secret in (token, wrong):
            assert secret not in text and secret.split(".")[1] not in text


def test_record_and_replay(world, monitor):
    device = world.setup(device_settings=ROOM)
    recording = world.base / "recording"
    live, people = monitor(device, "--json", "--record", str(recording)), monitor(device)
    world.manage("alice", device)
    device.agent("alice")
    device.wait_user("alice", state="installed")
    for one in (live, people):
        waiting.until(lambda: "report-installed" in one.program.log(), "seen")
    with pytest.raises(varlink.VarlinkError):
        device.call("io.devtrust.Device.Nothing")
    assert live.interrupt() == 0 and people.interrupt() == 0
    assert recording.stat().st_mode & 0o7777 == 0o600
    text = recording.read_text(encoding="utf-8")
    assert text.endswith("\n") and json.loads(text.splitlines()[0])["format"] == "devtrust-monitor"
    device.stop()  # a replay needs no daemon
    replayed = programs.run([TOOL, "ipc", "replay", recording, "--json"])
    assert replayed.returncode == 0 and not replayed.stderr
    assert replayed.stdout == live.program.log() + "\n" == text.split("\n", 1)[1]
    # the two did not leave in the same moment: what the shorter one has seen is how the longer one's story begins
    shown = programs.run([TOOL, "ipc", "replay", recording, "--user", "alice"])
    stories = [[line for line in lines if " alice" in line] for lines in (people.lines(), shown.stdout.splitlines())]
    both = min(map(len, stories))
    assert stories[0][:both] == stories[1][:both] and any("report-installed" in line for line in stories[0][:both])
    # a crash in the middle of a line
    recording.write_text(text[:-20], encoding="utf-8")
    cut = programs.run([TOOL, "ipc", "replay", recording, "--json"])
    assert cut.returncode == 0 and f"{recording}:{text.count(chr(10))}: The last line is cut off" in cut.stderr
    assert cut.stdout == replayed.stdout[:replayed.stdout[:-1].rindex("\n") + 1]


def test_a_recording_never_replaces_a_file(world):
    device = world.setup()
    recording = world.base / "recording"
    recording.write_text("precious", encoding="ascii")
    done = device.ctl("ipc", "monitor", "--record", str(recording))
    assert done.returncode == 2 and "never replaces" in done.stderr and recording.read_text(encoding="ascii") == "precious"


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_the_daemon_goes_away(world, monitor, how):
    device = world.setup()
    recording = world.base / "recording"
    seen = monitor(device, "--record", str(recording))
    device.call("org.varlink.service.GetInfo")
    waiting.until(lambda: "GetInfo" in seen.program.log(), "seen")
    seen.program.expected_end = True
    getattr(device, how)()
    assert seen.program.process.wait(waiting.PATIENCE) == 3
    seen.program.reader.join(5)
    assert "devtrustd has closed the connection" in seen.program.log() and "run this again" in seen.program.log()
    assert recording.read_text(encoding="utf-8").endswith("\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted_while_nothing_happens(world, monitor, number):
    device = world.setup()
    recording = world.base / "recording"
    seen = monitor(device, "--record", str(recording))
    seen.program.expected_end = True
    seen.program.signal(number)
    assert seen.program.process.wait(waiting.PATIENCE) == 0
    assert len(recording.read_text(encoding="utf-8").splitlines()) >= 1


def test_as_many_monitors_as_may_be(world):
    device = world.setup()
    held = [varlink.Connection(device.socket) for _ in range(8)]
    try:
        for connection in held:
            connection.send(MONITOR, {}, more=True)
        waiting.until(lambda: streams(device) == 8, "eight")
        done = device.ctl("ipc", "monitor")
        assert done.returncode == 1 and "As many monitors" in done.stderr, done
        with varlink.Connection(device.socket) as ninth:
            ninth.send(MONITOR, {}, more=True)
            assert ninth.receive() == {"error": "io.devtrust.Debug.TooManyMonitors", "parameters": {"limit": 8}}
    finally:
        for connection in held:
            connection.close()
    waiting.until(lambda: streams(device) == 0, "none")


def test_a_monitor_is_a_stream_only(world):
    device = world.setup()
    with pytest.raises(varlink.VarlinkError, match="ExpectedMore"):
        device.call(MONITOR)
    for parameters in ({"user": 7}, {"user": ""}, {"method": "x" * 256}, {"user": "x" * 33}):
        with varlink.Connection(device.socket) as connection:
            connection.send(MONITOR, parameters, more=True)
            assert connection.receive()["error"] == "org.varlink.service.InvalidParameter", parameters


def test_a_monitor_knows_that_it_watches(world):
    """Though nothing happens that it asks for."""
    device = world.setup()
    for parameters in ({"method": "io.devtrust.Agent.Submit"}, {"user": "root", "method": "a.b."}, {"user": "carol", "method": "a.b."}):
        with varlink.Connection(device.socket) as connection:
            connection.send(MONITOR, parameters, more=True)
            assert connection.receive() == {"parameters": {"events": [], "lost": 0}, "continues": True}


def test_a_slow_reader_loses_and_is_told(world):
    """Nobody waits for it, it is not cut off, and what it did not get is counted."""
    device = world.setup("alice")
    calls = 400
    ballast = {f"{number:02}": "x" * 64 for number in range(32)}
    with varlink.Connection(device.socket) as slow:
        slow.send(MONITOR, {"method": "org.varlink.service.GetInfo"}, more=True)
        waiting.until(lambda: streams(device) == 1, "attached")
        with varlink.Connection(device.socket) as busy:
            for _ in range(calls):
                busy.call("org.varlink.service.GetInfo", ballast)
        device.wait_user("alice", state="installed")
        seen = lost = 0
        while seen + lost < 2 * calls:
            reply = slow.receive()["parameters"]
            seen += len(reply["events"])
            lost += reply["lost"]
        assert seen + lost == 2 * calls and lost > 0 and seen > 0, (seen, lost)


def test_a_flood_is_counted_and_the_tool_says_so(world, monitor):
    """Stopped, as by Ctrl-S: it goes on with what it has, and one line says how many are missing."""
    device = world.setup()
    recording = world.base / "recording"
    seen = monitor(device, "--json", "--method", "org.varlink.service.GetInfo", "--record", str(recording))
    ballast = {f"{number:02}": "x" * 64 for number in range(32)}
    calls = 400
    seen.program.signal(signal.SIGSTOP)
    try:
        with varlink.Connection(device.socket) as busy:
            for _ in range(calls):
                busy.call("org.varlink.service.GetInfo", ballast)
    finally:
        seen.program.signal(signal.SIGCONT)

    def counted():
        return sum(event["lost"] if event["kind"] == "lost" else 1 for event in seen.events()) == 2 * calls
    waiting.until(counted, "all are accounted for")
    assert any(event["kind"] == "lost" for event in seen.events())
    assert seen.interrupt() == 0
    replayed = programs.run([TOOL, "ipc", "replay", recording])
    assert re.search(r"… \d+ events? lost here", replayed.stdout)


def test_through_a_bridge(world):
    """As from another machine, by ssh: only root's name is known there."""
    device = world.setup("alice")
    device.wait_user("alice", state="installed")
    bridge = ["--bridge", f"{TOOL} ipc bridge --socket {device.socket}"]
    seen = programs.Program("monitor", [TOOL, "ipc", "monitor", "--json", *bridge]).start()
    try:
        waiting.until(lambda: streams(device) == 1, "attached", alive=seen.check_alive)
        device.call("io.devtrust.Device.GetStatus", uid=1000)
        device.call("org.varlink.service.GetInfo")
        waiting.until(lambda: "GetInfo" in seen.log(), "seen")
        events = [json.loads(line) for line in seen.log().splitlines()]
        assert {event["uid"]: event.get("user") for event in events if "uid" in event} == {0: "root", 1000: None}
        done = programs.run([TOOL, "ipc", "top", "--json", *bridge])
        assert done.returncode == 0 and {user["user"] for user in json.loads(done.stdout)["users"]} >= {"root", "1000"}
        seen.expected_end = True
        device.kill()
        assert seen.process.wait(waiting.PATIENCE) == 3
        seen.reader.join(5)
        assert "bridge" in seen.log()
    finally:
        seen.kill()
    done = programs.run([TOOL, "ipc", "monitor", "--bridge", "/nonexistent/program"])
    assert done.returncode == 3 and "--bridge" in done.stderr
    assert device.ctl("ipc", "monitor", "--bridge", "x").returncode == 2, "not with --socket"


def test_monitors_do_not_show_themselves_or_each_other(world, monitor):
    device = world.setup()
    seen = [monitor(device, "--json"), monitor(device, "--json")]
    device.call("org.varlink.service.GetInfo")

    def spoken(one):
        return [event for event in one.events() if event["kind"] not in ("log", "state")]

    def quiet(one):
        """All that were opened are closed, but for the monitors; the last one was GetInfo's."""
        events = spoken(one)
        watching = {event["connection"] for event in events if event.get("method") == MONITOR}
        opened, closed = ({event["connection"] for event in events if event["kind"] == kind} for kind in ("opened", "closed"))
        last = {event["connection"] for event in events if event.get("method") == "org.varlink.service.GetInfo"}
        return last and last <= closed and opened <= closed | watching
    for one in seen:
        waiting.until(lambda one=one: quiet(one), "quiet")
    counts = [len(spoken(one)) for one in seen]
    waiting.stays(lambda: [len(spoken(one)) for one in seen] == counts, 0.5, "nothing is said of what is said")
    for one in seen:
        assert not [event for event in spoken(one) if event.get("method") == MONITOR and event["kind"] == "reply"]


def test_log(world):
    device = world.setup("alice")
    device.wait_user("alice", state="installed")
    entries = device.call("io.devtrust.Debug.GetLog")["entries"]
    assert [entry["time_us"] for entry in entries] == sorted(entry["time_us"] for entry in entries)
    assert abs(entries[-1]["time_us"] / 1e6 - time.time()) < 600
    moves = [(entry["fields"]["FROM"], entry["fields"]["TO"]) for entry in entries if entry["text"] == "User moves on"]
    assert moves == [("absent", "requested"), ("requested", "signing"), ("signing", "delivered"), ("delivered", "installed")]
    assert {"level", "message_id", "text", "fields", "time_us"} == set(entries[0])


def test_connections_and_statistics(world):
    device = world.setup("alice")
    device.wait_user("alice", state="installed")
    with pytest.raises(varlink.VarlinkError):
        device.call("io.devtrust.Device.Remove", uid=1000)
    with varlink.Connection(device.socket, accounts.uid_of("carol")) as carol:
        carol.call("org.varlink.service.GetInfo")
        answer = device.call("io.devtrust.Debug.ListConnections")
    assert answer["limit_per_uid"] == 16
    watch = [connection for connection in answer["connections"] if connection.get("stream") == "io.devtrust.Agent.Watch"]
    assert [connection["uid"] for connection in watch] == [1000] and 0 <= watch[0]["age_s"] < 600
    quotas = {quota["uid"]: quota for quota in answer["quotas"]}
    assert quotas[1000]["connections"] == 2 and quotas[1000]["outstanding"] == 1
    assert quotas[accounts.uid_of("carol")]["connections"] == 1 and quotas[0]["connections"] >= 1
    statistics = device.call("io.devtrust.Debug.GetStatistics")
    assert 0 <= statistics["uptime_s"] < 600
    methods = {method["method"]: method for method in statistics["methods"]}
    assert methods["io.devtrust.Agent.Submit"]["calls"] == 1 and methods["io.devtrust.Agent.Watch"]["open"] == 1
    assert methods["io.devtrust.Device.Remove"]["errors"] == 1
    latency = methods["io.devtrust.Agent.Submit"]["latency"]
    assert 0 < latency["p50_us"] <= latency["p90_us"] <= latency["p99_us"] <= latency["max_us"]


# --- top --------------------------------------------------------------------------------------------------------------------------

def test_top_on_a_pipe(world):
    device = world.setup("alice")
    device.wait_user("alice", state="installed")
    done = device.ctl("ipc", "top")
    assert done.returncode == 0 and not done.stderr and "\x1b" not in done.stdout
    assert re.search(r"^Agent\.Submit +0\.0 +1 +0 +0 ", done.stdout, re.M), done.stdout
    assert re.search(r"^alice +2", done.stdout, re.M) and re.search(r"^root +1", done.stdout, re.M)
    done = device.ctl("ipc", "top", "--json", "--count", "2")
    samples = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0 and len(samples) == 2
    assert {user["user"] for user in samples[0]["users"]} >= {"alice", "root"}
    assert samples[1]["time_us"] > samples[0]["time_us"] and samples[1]["calls_per_s"] > 0


class Terminal:
    """A program on a pseudo-terminal of 80 columns and 24 rows."""

    def __init__(self, *arguments, environment=None):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        self.output = b""
        self.process = subprocess.Popen([str(argument) for argument in arguments], stdin=slave, stdout=slave, stderr=slave,
                                        env=(environment or programs.base_environment()) | {"TERM": "xterm"}, start_new_session=True,
                                        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))

    def read(self):
        while select.select([self.master], [], [], 0)[0]:
            data = os.read(self.master, 65536)
            if not data:
                break
            self.output += data
        return self.output.decode("utf-8", "replace")

    def wait(self, pattern):
        waiting.until(lambda: re.search(pattern, self.read()), pattern)

    def type(self, keys):
        os.write(self.master, keys)

    def end(self):
        status = self.process.wait(waiting.PATIENCE)
        self.read()
        return status

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
def terminal():
    made = []

    def make(*arguments, **options):
        made.append(Terminal(*arguments, **options))
        return made[-1]
    yield make
    for one in made:
        one.close()


ENTER, LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"


@pytest.mark.parametrize("how", ["q", "ctrl-c", "term", "hangup", "daemon"])
def test_top_gives_the_terminal_back(world, terminal, how):
    device = world.setup("alice")
    device.wait_user("alice", state="installed")
    screen = terminal(TOOL, "ipc", "top", "--socket", device.socket)
    screen.wait("Agent.Submit")
    assert termios.tcgetattr(screen.slave)[3] & (termios.ICANON | termios.ECHO) == 0
    if how == "q":
        screen.type(b"xq")
    elif how == "ctrl-c":
        screen.type(b"\x03")
    elif how == "term":
        screen.process.send_signal(signal.SIGTERM)
    elif how == "hangup":
        screen.process.send_signal(signal.SIGHUP)
    else:
        device.kill()
    assert screen.end() == (3 if how == "daemon" else 0)
    text = screen.read()
    assert text.count(ENTER) == 1 and text.count(LEAVE) == 1
    assert termios.tcgetattr(screen.slave) == screen.before
    said = text.split(LEAVE)[1]
    assert "devtrustd has closed the connection" in said if how == "daemon" else not said.strip()


def test_top_redraws_in_place(world, terminal):
    device = world.setup("alice")
    device.wait_user("alice", state="installed")
    screen = terminal(TOOL, "ipc", "top", "--count", "3", "--socket", device.socket)
    assert screen.end() == 0
    text = screen.read()
    frames = text.split("\x1b[H")[2:]  # the first one clears
    assert len(frames) == 3
    for frame in frames:
        plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", frame.split(LEAVE)[0])
        lines = plain.split("\r\n")
        assert len(lines) <= 24 and all(len(line) <= 80 for line in lines), lines
    assert "- calls/s" in frames[0] and re.search(r"[0-9.]+ calls/s", frames[2])
    last = text.split(LEAVE)[1]
    assert re.search(r"[0-9.]+ calls/s\r\n", last) and "Agent.Submit" in last, "it is there when the screen is left"


def test_monitor_on_a_terminal(world, terminal):
    device = world.setup(device_settings=ROOM)
    screen = terminal(TOOL, "ipc", "monitor", "--socket", device.socket)
    screen.wait("PARAMETERS")
    waiting.until(lambda: streams(device) == 1, "attached")
    world.manage("alice", device)
    device.agent("alice")
    device.wait_user("alice", state="installed")
    with pytest.raises(varlink.VarlinkError):
        device.call("io.devtrust.Device.Remove", uid=1000)
    screen.wait("PermissionDenied")
    screen.type(b"\x03")
    assert screen.end() == 0
    text = screen.read()
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)
    for line in plain.split("\r\n"):
        assert len(line) <= 80, line
    assert "\x1b[31m✗" in text and "\x1b[1m●" in text, "errors and states stand out"
    assert re.search(r"\n\d+ events\.", plain)


def test_monitor_where_only_ascii_is_shown(world, terminal):
    device = world.setup()
    screen = terminal(TOOL, "ipc", "monitor", "--socket", device.socket, environment=programs.base_environment() | {"LANG": "C", "LC_ALL": "C"})
    screen.wait("PARAMETERS")
    waiting.until(lambda: streams(device) == 1, "attached")
    device.call("io.devtrust.Device.GetStatus")
    screen.wait(r"<\S* Device.GetStatus")
    screen.type(b"\x03")
    assert screen.end() == 0
    assert screen.output.isascii()
