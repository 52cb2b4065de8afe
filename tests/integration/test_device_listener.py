"""The server's listeners: every kind of certificate on each, every kind of bad request, the answers as documented."""
import base64
import socket
import ssl
import uuid

import pytest
from harness import certs, est, nss, waiting

REENROLL = "/.well-known/est/device/simplereenroll"
PKCS10 = {"Content-Type": "application/pkcs10"}


@pytest.fixture
def server(world):
    world.start_server()
    world.server.cli("user", "add", "u1", "--name", "Una")
    return world.server


@pytest.fixture
def device(server):
    """An enrolled device with u1 assigned as una, switch on."""
    raw = est.RawDevice(server).enroll()
    server.cli("assign", "u1", raw.uuid, "una")
    server.distribution("on")
    return raw


def kinds(server, device):
    """One certificate of each kind: name → (chain file, key file)."""
    user_chain, user_key, _ = device.issue_user("u1")
    folder = certs.scratch()
    foreign = certs.self_signed(folder, f"{device.uuid}")
    # the right names and policies, but from a CA that nobody knows
    fake_key = certs.key(folder / "fake.key")
    fake = folder / "fake.pem"
    leaf = certs.sign(folder, certs.request(fake_key, f"/serialNumber={device.uuid}"), *foreign,
                      certs.user_extensions(device.uuid, "u1", certificatePolicies=certs.POLICY_DEVICE,
                                            subjectAltName=f"URI:urn:uuid:{device.uuid}"), subject="/CN=fake")
    fake.write_text(ssl.DER_cert_to_PEM_cert(leaf), encoding="ascii")
    return {"none": None, "device": device.identity, "user": (user_chain, user_key), "self-signed": foreign, "fake": (fake, fake_key)}


def status_of(*arguments, **options):
    """The HTTP status, or 0 where TLS itself says no."""
    try:
        return est.request(*arguments, **options).status
    except (ssl.SSLError, ConnectionError):
        return 0


def test_each_kind_of_certificate_on_the_device_listener(server, device):
    csr = certs.request(certs.key(device.folder / "r"), f"/serialNumber={device.uuid}")
    user_csr = certs.request(certs.key(device.folder / "u"), f"/UID=u1/serialNumber={uuid.uuid4()}")
    for kind, identity in kinds(server, device).items():
        good = kind == "device"
        for method, path, body, headers in (("GET", "/v1/state", None, {}), ("PUT", "/v1/report", b"{}", {}),
                                            ("POST", REENROLL, est.wrapped(csr), PKCS10),
                                            ("POST", "/.well-known/est/user/simpleenroll", est.wrapped(user_csr), PKCS10)):
            status = status_of(server, method, path, body, headers, identity=identity)
            if good:
                assert status in (200, 400), (kind, path, status)
            else:
                assert status in (0, 401, 403), (kind, path, status)
        if not good:
            assert status_of(server, "GET", "/v1/events", identity=identity) in (0, 401, 403), kind
        for label in ("device", "user"):
            assert status_of(server, "GET", f"/.well-known/est/{label}/cacerts", identity=identity) in ((200,) if good or kind == "none"
                                                                                                      else (0, 200, 403)), kind


def test_each_kind_of_certificate_on_the_portal(server, device):
    for kind, identity in kinds(server, device).items():
        try:
            reply = est.request(server, "GET", "/", headers={"Accept": "application/json"}, identity=identity, port=server.portal_port)
        except (ssl.SSLError, ConnectionError):
            assert kind not in ("none", "user")
            continue
        assert reply.status == 200
        if kind == "user":
            continue  # a session begins by the check on a fresh host name: see test_portal.py
        assert reply.json["status"] != "trusted", (kind, reply.json)


def test_check_answers_by_the_certificate_alone(server, device):
    """What the page's script asks for on a fresh host name."""
    found = {}
    for kind, identity in kinds(server, device).items():
        try:
            found[kind] = est.request(server, "GET", "/v1/auth", identity=identity, port=server.portal_port).status
        except (ssl.SSLError, ConnectionError):
            found[kind] = 0
    assert found["none"] in (401, 403) and found["device"] in (0, 401, 403)
    assert found["self-signed"] in (0, 401, 403) and found["fake"] in (0, 401, 403), found


def test_admin_listener_knows_trust_leaves_only(server, device):
    _, _, leaf = device.issue_user("u1")
    assert est.auth(server, leaf) == 204
    assert est.auth(server, certs.der(device.certificate)) in (401, 403)
    assert est.auth(server, b"unknown") in (401, 403)
    assert est.admin(server, "/v1/auth").status == 401
    for bad in ("zz", "", "00" * 31, "00" * 33):
        assert est.admin(server, "/v1/auth", {"X-Client-Cert-Sha256": bad}).status in (401, 403)


def test_auth_by_rfc9440_and_pem(server, device):
    from urllib.parse import quote
    _, _, leaf = device.issue_user("u1")
    encoded = base64.b64encode(leaf).decode()
    assert est.admin(server, "/v1/auth", {"Client-Cert": f":{encoded}:"}).status == 204
    assert est.admin(server, "/v1/auth", {"X-Client-Cert-Pem": quote(ssl.DER_cert_to_PEM_cert(leaf))}).status == 204
    broken = encoded[:-8] + "AAAAAA=="
    assert est.admin(server, "/v1/auth", {"Client-Cert": f":{broken}:"}).status in (401, 403)
    assert est.admin(server, "/v1/auth", {"Client-Cert": "no colons"}).status in (401, 403)


def test_revoked_certificate_is_on_the_crl_and_refused(server, device):
    _, _, leaf = device.issue_user("u1")
    serial = nss.serial_of(leaf)
    server.cli("certificate", "revoke", serial)
    assert est.auth(server, leaf) == 403
    crl = est.admin(server, "/crl/trust.crl")
    assert crl.status == 200
    text = certs.openssl("crl", "-inform", "DER", "-noout", "-text", "-CAfile", server.state_dir / "trust-ca.pem", stdin=crl.body).decode()
    assert serial.upper() in text.replace(":", "").upper(), text
    assert est.request(server, "GET", "/crl/trust.crl", port=server.portal_port).status == 200
    assert certs.openssl("crl", "-inform", "DER", "-noout", "-issuer", stdin=est.admin(server, "/crl/device.crl").body)


def test_revoked_device_certificate_is_refused_everywhere(server, device):
    server.cli("certificate", "revoke", nss.serial_of(certs.der(device.certificate)))
    assert device.request("GET", "/v1/state").status == 403
    csr = certs.request(certs.key(device.folder / "r"), f"/serialNumber={device.uuid}")
    assert device.request("POST", REENROLL, est.wrapped(csr), PKCS10).status == 403


def test_cacerts_and_csrattrs(server):
    state = server.state_dir
    for label, kind in (("device", "device"), ("user", "trust"), (None, "trust")):
        path = "/.well-known/est/" + (f"{label}/" if label else "")
        assert sorted(est.request(server, "GET", path + "cacerts").certificates()) == sorted(
            [certs.der(state / f"{kind}-ca.pem"), certs.der(state / f"{kind}-root.pem")])
        assert est.request(server, "GET", path + "csrattrs").status == 204
    roots = [certs.openssl("x509", "-in", state / f"{kind}-ca.pem", "-noout", "-text").decode() for kind in ("device", "trust")]
    for text in roots:
        assert "pathlen:0" in text and "TLS Web Client Authentication" in text and "TLS Web Server" not in text


def test_root_keys_are_exported_encrypted_and_not_needed(world):
    world.server.init()
    keys = sorted(path.name for path in world.server.root_keys.iterdir())
    assert keys == ["device-root.key", "trust-root.key"]
    for path in world.server.root_keys.iterdir():
        assert "BEGIN ENCRYPTED PRIVATE KEY" in path.read_text(encoding="ascii")
        path.unlink()
    world.server.start()
    assert world.server.cli("status")
    # a second init changes nothing
    before = (world.server.state_dir / "trust-root.pem").read_bytes()
    with pytest.raises(AssertionError):
        world.server.init()
    assert (world.server.state_dir / "trust-root.pem").read_bytes() == before


# --- bad signing requests -----------------------------------------------------------------------------------------------------

def user_subject(user="u1"):
    return f"/UID={user}/serialNumber={uuid.uuid4()}"


def broken_signature(folder):
    csr = bytearray(certs.request(certs.key(folder / "k"), user_subject()))
    csr[-1] ^= 1
    return bytes(csr)


def padded(folder):
    """5 KiB of request, otherwise in order."""
    return certs.request(certs.key(folder / "k"), user_subject() + "/O=" + "/O=".join(["x" * 60] * 80))


BAD_REQUESTS = {
    "not signed by its key": (broken_signature, "csr-signature"),
    "another subject": (lambda folder: certs.request(certs.key(folder / "k"), "/CN=somebody"), "csr-subject"),
    "more in the subject": (lambda folder: certs.request(certs.key(folder / "k"), user_subject() + "/O=more"), "csr-subject"),
    "extensions": (lambda folder: certs.request(certs.key(folder / "k"), user_subject(), "-addext", "subjectAltName=DNS:evil.example"),
                   "csr-extensions"),
    "RSA-1024": (lambda folder: certs.request(certs.key(folder / "k", "rsa1024"), user_subject()), "csr-key"),
    "explicit parameters": (lambda folder: certs.request(certs.key(folder / "k", "explicit"), user_subject()), "csr-key"),
    "SHA-1": (lambda folder: certs.request(certs.key(folder / "k"), user_subject(), "-sha1"), "csr-signature"),
    "5 KiB": (padded, "csr-too-large"),
    "trailing data": (lambda folder: certs.request(certs.key(folder / "k"), user_subject()) + b"\0", "csr-invalid"),
    "empty": (lambda folder: b"", "csr-invalid"),
    "noise": (lambda folder: bytes(range(256)), "csr-invalid"),
    "truncated": (lambda folder: certs.request(certs.key(folder / "k"), user_subject())[:-10], "csr-invalid"),
}


@pytest.mark.parametrize("name", BAD_REQUESTS)
def test_bad_signing_request_is_refused_by_name(server, device, name):
    make, code = BAD_REQUESTS[name]
    reply = device.sign(make(certs.scratch()))
    assert (reply.status, reply.code) == (400, code), reply.body
    assert reply.json["detail"]
    assert [entry for entry in server.certificates() if entry.get("kind") == "user"] == []


def test_bad_base64_is_refused(server, device):
    for body in (b"not base64!", b"QUJD*", b"QUI", b"====", b"\xff\xfe"):
        reply = device.request("POST", "/.well-known/est/user/simpleenroll", body, PKCS10)
        assert (reply.status, reply.code) == (400, "csr-invalid"), (body, reply.body)


def test_every_encoding_that_clients_use_is_accepted(server, device):
    for encode, headers in ((est.wrapped, PKCS10), (base64.b64encode, PKCS10),
                            (est.wrapped, PKCS10 | {"Content-Transfer-Encoding": "base64"}),
                            (lambda der: est.wrapped(der).replace(b"\n", b"\r\n"), {"Content-Type": "Application/PKCS10; charset=x"})):
        csr = certs.request(certs.key(device.folder / "k"), user_subject())
        assert len(device.request("POST", "/.well-known/est/user/simpleenroll", encode(csr), headers).certificates()) == 3
    csr = est.wrapped(certs.request(certs.key(device.folder / "k"), user_subject()))
    chunked = b"".join(f"{len(part):x}\r\n".encode() + part + b"\r\n" for part in (csr[:50], csr[50:])) + b"0\r\n\r\n"
    raw = socket.create_connection(("127.0.0.1", server.device_port), waiting.PATIENCE)
    with est.context(server, device.identity).wrap_socket(raw, server_hostname="localhost") as connection:
        connection.sendall(b"POST /.well-known/est/user/simpleenroll HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/pkcs10\r\n"
                           b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n" + chunked)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 200"), answer[:300]


def test_issuing_is_idempotent_and_a_key_is_certified_once(server, device):
    key = certs.key(device.folder / "once")
    csr = certs.request(key, user_subject())
    first, again = device.sign(csr).certificates(), device.sign(csr).certificates()
    assert first == again
    reply = device.sign(certs.request(key, user_subject()))
    assert (reply.status, reply.code) == (400, "csr-key-reused")
    assert len([entry for entry in server.certificates() if entry.get("kind") == "user"]) == 1


@pytest.mark.parametrize("switch, code", [("off", "distribution-off"), ("paused", "distribution-paused")])
def test_no_signing_while_not_on(server, device, switch, code):
    server.distribution(switch)
    reply = device.sign(certs.request(certs.key(device.folder / "k"), user_subject()))
    assert (reply.status, reply.code) == (403, code)


def test_no_signing_without_assignment(server, device):
    for user in ("nobody-known", "u2"):
        reply = device.sign(certs.request(certs.key(device.folder / "k"), user_subject(user)))
        assert (reply.status, reply.code) == (403, "not-managed")


def test_reenrolment_only_for_oneself(server, device):
    other = est.RawDevice(server).enroll()
    reply = device.request("POST", REENROLL, est.wrapped(certs.request(certs.key(device.folder / "k"), f"/serialNumber={other.uuid}")), PKCS10)
    assert reply.status in (400, 403)
    reply = device.request("POST", REENROLL, est.wrapped(certs.request(device.key, f"/serialNumber={device.uuid}")), PKCS10)
    assert reply.status == 400 and reply.code == "csr-key-reused", "the key must be fresh"


# --- limits and plumbing -------------------------------------------------------------------------------------------------------

def test_limits(server, device):
    assert device.request("POST", REENROLL, b"A" * (64 * 1024 + 1), PKCS10).status == 413
    assert device.request("GET", "/v1/state", headers={"X": "y" * 20000}).status in (400, 413, 431)
    assert device.request("GET", "/nothing").status == 404
    assert device.request("DELETE", "/v1/state").status in (404, 405, 501)
    assert device.request("GET", "/v1/state").status == 200, "the server goes on"


def test_old_tls_is_refused(server):
    context = est.context(server)
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    for port in (server.device_port, server.portal_port):
        with socket.create_connection(("127.0.0.1", port), waiting.PATIENCE) as raw, pytest.raises((ssl.SSLError, ConnectionError)):
            context.wrap_socket(raw, server_hostname="localhost")


def test_slow_and_silent_clients_do_not_stop_the_others(server, device):
    silent = [socket.create_connection(("127.0.0.1", server.device_port), waiting.PATIENCE) for _ in range(50)]
    silent[0].sendall(b"\x16\x03")
    try:
        assert device.request("GET", "/v1/state").status == 200
    finally:
        for connection in silent:
            connection.close()


def test_state_and_etag(server, device):
    reply = device.request("GET", "/v1/state")
    state = reply.json
    assert state["enrolled"] and state["device"] == device.uuid and state["distribution"] == "on"
    assert state["users"] == [{"id": "u1", "name": "una"}] and reply.headers["ETag"] and reply.headers["Date"]
    assert device.request("GET", "/v1/state", headers={"If-None-Match": reply.headers["ETag"]}).status == 304
    server.cli("unassign", "u1", device.uuid)
    changed = device.request("GET", "/v1/state", headers={"If-None-Match": reply.headers["ETag"]})
    assert changed.status == 200 and changed.json["users"] == [] and changed.json["generation"] > state["generation"]
    assert changed.json["epoch"] == state["epoch"]


def test_tombstone_of_a_removed_device(server, device):
    server.cli("device", "remove", device.uuid)
    reply = device.request("GET", "/v1/state")
    assert reply.status == 200 and reply.json["enrolled"] is False
    assert device.report("u1", "", outcome="removed").status == 204
    assert device.sign(certs.request(certs.key(device.folder / "k"), user_subject())).status == 403
    assert device.request("GET", "/v1/events").status == 403


def test_report_confirms_and_supersedes(make_world):
    world = make_world({"issue": {"superseded_grace": "0s"}})
    server = world.start_server()
    server.cli("user", "add", "u1")
    device = est.RawDevice(server).enroll()
    server.cli("assign", "u1", device.uuid, "una")
    server.distribution("on")
    _, _, first = device.issue_user("u1", "first")
    assert device.report("u1", nss.serial_of(first)).status == 204
    _, _, lost = device.issue_user("u1", "lost")
    _, _, second = device.issue_user("u1", "second")
    assert [est.auth(server, leaf) for leaf in (first, lost, second)] == [204, 204, 204]
    assert device.report("u1", nss.serial_of(second)).status == 204
    assert device.report("u1", nss.serial_of(second)).status == 204, "idempotent"
    waiting.until(lambda: [est.auth(server, leaf) for leaf in (first, lost, second)] == [403, 403, 204], "superseded and unconfirmed gone")
    assert device.report("u1", "00ff").status == 409
    other = est.RawDevice(server).enroll()
    assert other.report("u1", nss.serial_of(second)).status == 409
    assert device.report("u1", "", outcome="removed").status == 204
    assert est.auth(server, second) == 403
    for body in (b"", b"[]", b"{", b'{"user": 1}', b'{"user":"u1","outcome":"eaten"}', b'{"user":"u1","user":"u2","outcome":"removed"}'):
        assert device.request("PUT", "/v1/report", body, {"Content-Type": "application/json"}).status == 400, body


def test_events_at_once_one_per_change_and_pings(make_world):
    world = make_world({"push": {"ping": "1s"}})
    server = world.start_server()
    device = est.RawDevice(server).enroll()
    stream = device.events()
    assert stream.status == 200 and stream.response.headers.get_content_type() == "text/event-stream"
    first = stream.event()
    assert set(first) >= {"epoch", "generation", "splay_s", "ping_s"} and first["ping_s"] == 1
    server.distribution("on")
    second = stream.event()
    assert second["generation"] > first["generation"] and second["epoch"] == first["epoch"]
    assert stream.comment().startswith(": ping")
    server.cli("user", "add", "u1")
    server.cli("assign", "u1", device.uuid, "una")
    assert stream.event()["generation"] > second["generation"]
    stream.close()


def test_status_shows_what_runs(server, device):
    status = server.cli("status")
    assert status["distribution"] == "on" or status.get("distribution", {}).get("state") == "on"
    assert server.ca_pin in str(status)
    done = server.try_cli("status")
    assert done.returncode == 0 and done.stdout


def test_command_line_refuses_what_is_wrong(server):
    for arguments in (["nonsense"], ["token", "create", "--uses", "0"], ["token", "create", "--expires", "soon"], ["user", "add"],
                      ["distribution", "maybe"], ["user", "add", "a/b"], ["assign", "u1"], ["certificate", "revoke"], ["token"]):
        done = server.try_cli(*arguments)
        assert done.returncode == 2, (arguments, done.returncode, done.stdout, done.stderr)
        assert done.stderr
    for arguments in (["assign", "nobody", str(uuid.uuid4()), "x"], ["assign", "u1", str(uuid.uuid4()), "x"], ["user", "remove", "nobody"],
                      ["device", "remove", str(uuid.uuid4())], ["certificate", "revoke", "00ff"], ["unassign", "u1", str(uuid.uuid4())]):
        done = server.try_cli(*arguments)
        assert done.returncode not in (0, 2) and done.stderr, (arguments, done.returncode)


def test_command_socket_is_for_its_owner_only(server):
    assert server.socket.stat().st_mode & 0o777 == 0o600
    assert server.try_cli("status", uid=1000).returncode != 0


def test_server_away_is_said(world):
    world.server.init()
    done = world.server.try_cli("status")
    assert done.returncode == 3 and "serve" in done.stderr, (done.returncode, done.stderr)
