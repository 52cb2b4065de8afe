"""A device made of openssl and a socket, to speak to the server as any client might, well or badly."""
import base64
import http.client
import json
import pathlib
import re
import socket
import ssl
import time
import uuid
from typing import Any, Iterator

from . import certs, waiting, world


class Reply:
    def __init__(self, status: int, headers: "http.client.HTTPMessage", body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of a problem answer."""
        assert self.headers.get_content_type() == "application/problem+json", (self.status, self.headers.items(), self.body)
        return self.json["code"]

    def certificates(self) -> list[bytes]:
        """DER of each certificate of a certs-only body."""
        assert self.status == 200, (self.status, self.body)
        assert self.headers.get_content_type() == "application/pkcs7-mime"
        text = certs.openssl("pkcs7", "-inform", "DER", "-print_certs", stdin=base64.b64decode(self.body)).decode()
        found = re.findall(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", text, re.S)
        return [ssl.PEM_cert_to_DER_cert(pem) for pem in found]


def context(server: world.Server, identity: tuple[pathlib.Path, pathlib.Path] | None = None) -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=str(server.tls_ca))
    if identity:
        made.load_cert_chain(*identity)
    return made


def request(server: world.Server, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None, *,
            identity: tuple[pathlib.Path, pathlib.Path] | None = None, port: int | None = None, host: str = "localhost") -> Reply:
    """One HTTPS request to the device listener, or to `port`. `identity`: certificate (chain) and key files."""
    connection = http.client.HTTPSConnection(host, port or server.device_port, context=context(server, identity),
                                             timeout=waiting.PATIENCE)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return Reply(response.status, response.headers, response.read())
    finally:
        connection.close()


def admin(server: world.Server, path: str, headers: dict[str, str] | None = None) -> Reply:
    """The loopback admin listener."""
    connection = http.client.HTTPConnection("127.0.0.1", server.admin_port, timeout=waiting.PATIENCE)
    try:
        connection.request("GET", path, headers=headers or {})
        response = connection.getresponse()
        return Reply(response.status, response.headers, response.read())
    finally:
        connection.close()


def auth(server: world.Server, certificate: bytes) -> int:
    """What a proxy hears about a certificate: 204, 401 or 403."""
    fingerprint = certs.openssl("dgst", "-sha256", "-r", stdin=certificate).split()[0].decode()
    return admin(server, "/v1/auth", {"X-Client-Cert-Sha256": fingerprint}).status


def basic(token: str) -> dict[str, str]:
    secret = base64.b64encode(token.replace(".", ":", 1).encode()).decode()
    return {"Authorization": f"Basic {secret}", "Content-Type": "application/pkcs10"}


def wrapped(der: bytes) -> bytes:
    return base64.encodebytes(der)


class RawDevice:
    """Enrolled without devtrustd."""

    def __init__(self, server: world.Server, device_uuid: str | None = None) -> None:
        self.server = server
        self.folder = certs.scratch()
        self.uuid = device_uuid or str(uuid.uuid4())
        self.key = certs.key(self.folder / "device.key")
        self.certificate = self.folder / "device.pem"

    def csr(self) -> bytes:
        return certs.request(self.key, f"/serialNumber={self.uuid}")

    def try_enroll(self, token: str, csr: bytes | None = None) -> Reply:
        return request(self.server, "POST", "/.well-known/est/device/simpleenroll", wrapped(csr or self.csr()), basic(token))

    def enroll(self, token: str | None = None) -> "RawDevice":
        reply = self.try_enroll(token or self.server.token())
        chain = reply.certificates()
        self.certificate.write_text("".join(ssl.DER_cert_to_PEM_cert(der) for der in chain[:2]), encoding="ascii")
        return self

    @property
    def identity(self) -> tuple[pathlib.Path, pathlib.Path]:
        return self.certificate, self.key

    def request(self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Reply:
        return request(self.server, method, path, body, headers, identity=self.identity)

    def sign(self, csr: bytes) -> Reply:
        """Posts a user's request."""
        return self.request("POST", "/.well-known/est/user/simpleenroll", wrapped(csr), {"Content-Type": "application/pkcs10"})

    def issue_user(self, person: str, name: str = "user") -> tuple[pathlib.Path, pathlib.Path, bytes]:
        """A user's certificate: chain file, key file, leaf DER."""
        key = certs.key(self.folder / f"{name}.key")
        reply = self.sign(certs.request(key, f"/UID={person}/serialNumber={uuid.uuid4()}"))
        chain = reply.certificates()
        file = self.folder / f"{name}.pem"
        file.write_text("".join(ssl.DER_cert_to_PEM_cert(der) for der in chain[:2]), encoding="ascii")
        return file, key, chain[0]

    def report(self, person: str, serial: str, request_id: str = "", outcome: str = "installed") -> Reply:
        body = {"user": person, "request_id": request_id, "outcome": outcome, "code": "none", "stores": []}
        if serial:
            body["serial"] = serial
        return self.request("PUT", "/v1/report", json.dumps(body).encode(), {"Content-Type": "application/json"})

    def events(self, timeout: float | None = None) -> "EventStream":
        return EventStream(self, timeout)


class EventStream:
    """Server-Sent Events, line by line."""

    def __init__(self, device: RawDevice, timeout: float | None) -> None:
        raw = socket.create_connection(("127.0.0.1", device.server.device_port), timeout or waiting.PATIENCE)
        self.socket = context(device.server, device.identity).wrap_socket(raw, server_hostname="localhost")
        self.socket.sendall(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n")
        self.response = http.client.HTTPResponse(self.socket)
        self.response.begin()
        self.status = self.response.status

    def lines(self) -> Iterator[str]:
        while True:
            line = self.response.readline()
            if not line:
                return
            yield line.decode("utf-8").rstrip("\r\n")

    def event(self) -> dict[str, Any]:
        """The next event's data."""
        data = ""
        for line in self.lines():
            if line.startswith("data:"):
                data += line[5:].strip()
            elif not line and data:
                return json.loads(data)
        raise ConnectionError("the stream ended")

    def comment(self) -> str:
        """The next comment line."""
        for line in self.lines():
            if line.startswith(":"):
                return line
        raise ConnectionError("the stream ended")

    def close(self) -> None:
        self.response.close()
        self.socket.close()


def wait_until(moment: float) -> None:
    """Until the wall clock has passed a moment that a certificate or token names."""
    waiting.until(lambda: time.time() > moment, f"the clock passes {moment}", max(0.0, moment - time.time()) + waiting.PATIENCE)
