"""A peer between daemon and server that plays the server's part until a test tells it to misbehave.

It holds the server's TLS key (or another), asks for the device's certificate as the server does, and passes requests on under the
device's own identity, which a test may read as root. One rule at a time answers a path itself.
"""
import base64
import contextlib
import http.client
import http.server
import json
import pathlib
import re
import socket
import ssl
import tempfile
import threading
from typing import Any, Callable, Iterable

from . import programs, waiting, world

MAX_BODY = 1 << 20
PASSED_ON = ("authorization", "content-type", "if-none-match", "accept", "content-transfer-encoding")
PASSED_BACK = ("content-type", "etag", "retry-after", "content-transfer-encoding", "cache-control", "www-authenticate")


class Answer:
    """What the real server said."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body


class Exchange(http.server.BaseHTTPRequestHandler):
    """One connection; for a rule, the request at hand."""
    protocol_version = "HTTP/1.1"
    server: "_Listener"
    body: bytes
    ends: int  # of streams, when the request came

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (OSError, http.client.HTTPException):
            self.close_connection = True

    def _any(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.body = self.rfile.read(min(length, MAX_BODY))
        peer = self.server.peer
        self.ends = peer.ends
        rule = peer.take_rule(self.command, self.path)
        peer.note(f"{self.command} {self.path}")
        try:
            if rule:
                rule(self)
            elif self.path.startswith("/v1/events"):
                self.pass_stream()
            else:
                self.send(self.forward())
        finally:
            peer.note_end(f"{self.command} {self.path}")

    do_GET = do_POST = do_PUT = _any

    def log_message(self, *_: object) -> None:
        pass

    # --- for rules ---

    def forward(self) -> Answer:
        """The real server's answer."""
        connection = self.server.peer.upstream()
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() in PASSED_ON}
            connection.request(self.command, self.path, self.body or None, headers)
            response = connection.getresponse()
            return Answer(response.status, {name: value for name, value in response.getheaders() if name.lower() in PASSED_BACK
                                            or name.lower() == "date"}, response.read())
        finally:
            connection.close()

    def send(self, answer: Answer) -> None:
        self.reply(answer.status, answer.body, headers=answer.headers)

    def reply(self, status: int, body: bytes = b"", content_type: str | None = None, headers: dict[str, str] | None = None) -> None:
        headers = dict(headers or {})
        self.send_response_only(status)
        if "Date" not in headers:
            self.send_header("Date", self.date_time_string())
        for name, value in headers.items():
            self.send_header(name, value)
        if content_type:
            self.send_header("Content-Type", content_type)
        if status not in (204, 304):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if status not in (204, 304):
            self.wfile.write(body)

    def reply_json(self, value: object) -> None:
        text = value if isinstance(value, (bytes, str)) else json.dumps(value)
        self.reply(200, text.encode() if isinstance(text, str) else text, "application/json")

    def reply_est(self, body: bytes) -> None:
        self.reply(200, body, "application/pkcs7-mime; smime-type=certs-only", {"Content-Transfer-Encoding": "base64"})

    def drop(self) -> None:
        """No answer at all: the connection ends."""
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def begin_stream(self, *upstream: ssl.SSLSocket) -> None:
        self.close_connection = True
        self.send_response_only(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.flush()
        self.server.peer.note_stream(self.ends, self.connection, *upstream)

    def feed(self, data: bytes) -> None:
        self.wfile.write(data)
        self.wfile.flush()

    def hold(self) -> None:
        """Keeps a stream open without a word until the daemon leaves or the peer stops."""
        self.connection.settimeout(0.05)
        while not self.server.peer.stopping.is_set():
            try:
                if not self.connection.recv(1):
                    return
            except TimeoutError:
                continue
            except OSError:
                return

    def pass_stream(self) -> None:
        """The real server's event stream, line by line."""
        peer = self.server.peer
        connection = peer.upstream()
        try:
            connection.request("GET", self.path, headers={"Accept": "text/event-stream"})
            response = connection.getresponse()
            if response.status != 200:
                self.send(Answer(response.status, dict(response.getheaders()), response.read()))
                return
            raw = connection.sock
            raw.settimeout(None)
            self.begin_stream(raw)
            while not peer.stopping.is_set():
                line = response.readline()
                if not line:
                    return
                self.feed(line)
        except (OSError, http.client.HTTPException, ValueError):
            pass
        finally:
            self.close_connection = True
            connection.close()


Rule = Callable[[Exchange], None]


class _Listener(http.server.ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128
    peer: "Peer"

    def handle_error(self, *_: object) -> None:
        pass

    def get_request(self) -> Any:
        connection, address = self.socket.accept()
        connection.settimeout(waiting.PATIENCE)
        # the handshake is done in the connection's own thread, at the first read
        return self.peer.tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address

    def shutdown_request(self, request: Any) -> None:
        with contextlib.suppress(OSError, ValueError):
            request.close()


class Peer:
    def __init__(self, server: world.Server, certificate: pathlib.Path | None = None, key: pathlib.Path | None = None) -> None:
        """`certificate`, `key`: another TLS identity than the server's."""
        self.real = server
        self.device: world.Device | None = None  # its identity is used upstream
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(certificate or server.state_dir / "tls.pem", key or server.state_dir / "tls.key")
        self.tls.verify_mode = ssl.CERT_OPTIONAL
        for name in ("device-root.pem", "device-ca.pem"):
            self.tls.load_verify_locations(server.state_dir / name)
        self.tls.num_tickets = 0
        self.lock = threading.Condition()
        self.rules: list[tuple[str, re.Pattern[str], Rule, int]] = []
        self.seen: list[str] = []
        self.ended: list[str] = []
        self.stopping = threading.Event()
        self.streams: list[ssl.SSLSocket] = []
        self.ends = 0  # how often they were cut
        self.listener = _Listener(("127.0.0.1", 0), Exchange)
        self.listener.peer = self
        self.url = f"https://localhost:{self.listener.server_address[1]}"
        threading.Thread(target=self.listener.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def on(self, method: str, path: str, rule: Rule, times: int = -1) -> None:
        """`path`: a regular expression for its beginning. The newest matching rule answers, `times` times (-1: always)."""
        with self.lock:
            self.rules.insert(0, (method, re.compile(path), rule, times))

    def clear(self) -> None:
        with self.lock:
            self.rules.clear()

    def take_rule(self, method: str, path: str) -> Rule | None:
        with self.lock:
            for i, (wanted, regex, rule, times) in enumerate(self.rules):
                if wanted == method and regex.match(path):
                    if times == 1:
                        del self.rules[i]
                    elif times > 0:
                        self.rules[i] = (wanted, regex, rule, times - 1)
                    return rule
        return None

    def note(self, what: str) -> None:
        with self.lock:
            self.seen.append(what)
            self.lock.notify_all()

    def note_end(self, what: str) -> None:
        with self.lock:
            self.ended.append(what)
            self.lock.notify_all()

    def count(self, beginning: str) -> int:
        with self.lock:
            return sum(what.startswith(beginning) for what in self.seen)

    def wait_seen(self, beginning: str, count: int = 1, timeout: float | None = None) -> None:
        """Until that many requests of this kind have come."""
        with self.lock:
            if not self.lock.wait_for(lambda: sum(what.startswith(beginning) for what in self.seen) >= count,
                                      waiting.PATIENCE if timeout is None else timeout):
                raise waiting.Timeout(f"{count} × {beginning} did not come; seen: {self.seen[-20:]}")

    def wait_ended(self, beginning: str, count: int = 1) -> None:
        with self.lock:
            if not self.lock.wait_for(lambda: sum(what.startswith(beginning) for what in self.ended) >= count, waiting.PATIENCE):
                raise waiting.Timeout(f"{count} × {beginning} did not end; ended: {self.ended[-20:]}")

    def note_stream(self, ends: int, *connections: ssl.SSLSocket) -> None:
        """`ends`: as it was when the stream was asked for; where end_streams() was called since, this one ends, too."""
        with self.lock:
            if ends == self.ends:
                self.streams += connections
                self.lock.notify_all()
                return
        self.cut(connections)

    def wait_stream(self) -> None:
        """Until a stream has begun since the last end_streams()."""
        with self.lock:
            if not self.lock.wait_for(lambda: self.streams, waiting.PATIENCE):
                raise waiting.Timeout(f"no event stream was opened; seen: {self.seen[-20:]}")

    def end_streams(self) -> None:
        """Cuts every event stream, whatever it is waiting for; the daemon opens a new one."""
        with self.lock:
            streams, self.streams = self.streams, []
            self.ends += 1
        self.cut(streams)

    @staticmethod
    def cut(connections: Iterable[ssl.SSLSocket]) -> None:
        for connection in connections:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(connection, socket.SHUT_RDWR)

    def upstream(self) -> http.client.HTTPSConnection:
        context = ssl.create_default_context(cafile=str(self.real.tls_ca))
        if self.device and (self.device.state_dir / "device.json").exists():
            with device_pem(self.device) as (certificate, key):
                context.load_cert_chain(certificate, key)
        return http.client.HTTPSConnection("localhost", self.real.device_port, context=context, timeout=waiting.PATIENCE)

    def stop(self) -> None:
        self.stopping.set()
        self.end_streams()
        self.listener.shutdown()
        self.listener.server_close()


@contextlib.contextmanager
def device_pem(device: world.Device) -> Any:
    """The device's certificate as a PEM file, and the path of its key."""
    record = json.loads((device.state_dir / "device.json").read_text(encoding="utf-8"))
    text = ssl.DER_cert_to_PEM_cert(base64.b64decode(record["certificate"]))
    with tempfile.NamedTemporaryFile("w", dir=programs.RUN, suffix=".pem") as file:
        file.write(text)
        file.flush()
        yield file.name, str(device.state_dir / "device.key")
