"""Enrolment of a device: tokens, pins, names, lost replies, clones, renewal of the device certificate."""
import time
import uuid

import pytest
from harness import certs, est, waiting
from harness.peer import Peer


@pytest.fixture
def enrolling(world):
    """A server and a device that is not enrolled yet."""
    world.start_server()
    world.add_device().start()
    return world


@pytest.fixture
def peer(enrolling):
    made = Peer(enrolling.server)
    yield made
    made.stop()


def refused(world, token, code="token-refused"):
    done = world.device.try_enroll(world.server.url, token, world.server.ca_pin)
    assert done.returncode == 5, (done.returncode, done.stdout, done.stderr)
    assert "token create" in done.stdout + done.stderr, "the message says what to do"
    assert world.device.status()["enrolment"]["code"] == code
    assert world.device.status()["enrolment"]["state"] != "enrolled"
    return done


def devices(world):
    answer = world.server.cli("device", "list")
    return answer["devices"] if isinstance(answer, dict) else answer


def test_good_token(enrolling):
    device_uuid = enrolling.device.enroll(enrolling.server)
    assert uuid.UUID(device_uuid).version == 4
    enrolment = enrolling.device.status()["enrolment"]
    assert enrolment["state"] == "enrolled" and enrolment["url"] == enrolling.server.url
    assert [entry["uuid"] for entry in devices(enrolling)] == [device_uuid]
    enrolling.device.wait_status(lambda status: status["push"]["connected"], "the push stream is open")


def test_wrong_token_then_a_good_one(enrolling):
    good = enrolling.server.token()
    refused(enrolling, good[:-4] + ("aaaa" if good[-4:] != "aaaa" else "bbbb"))
    refused(enrolling, "abcdefgh.abcdefghabcdefghabcdefghabcdefgh")
    done = enrolling.device.try_enroll(enrolling.server.url, good, enrolling.server.ca_pin)
    assert done.returncode == 0, done.stderr


def test_used_up_token(enrolling):
    token = enrolling.server.token()
    est.RawDevice(enrolling.server).enroll(token)
    refused(enrolling, token)


def test_expired_token(enrolling):
    token = enrolling.server.token("--expires", "1s")
    est.wait_until(time.time() + 1.1)
    refused(enrolling, token)


def test_revoked_token(enrolling):
    token = enrolling.server.token()
    enrolling.server.cli("token", "revoke", token.split(".")[0])
    refused(enrolling, token)


def test_token_for_several_devices(enrolling):
    token = enrolling.server.token("--uses", "2")
    for _ in range(2):
        est.RawDevice(enrolling.server).enroll(token)
    refused(enrolling, token)
    listed = enrolling.server.cli("token", "list")
    listed = listed["tokens"] if isinstance(listed, dict) else listed
    assert [(entry["used"], entry["uses"]) for entry in listed if entry["id"] == token.split(".")[0]] == [(2, 2)]
    assert token.split(".")[1] not in str(listed)


def test_malformed_tokens_and_urls_are_usage_errors(enrolling):
    server, device = enrolling.server, enrolling.device
    for token in ("nodot", "", "a b.c", "x." + "y" * 3000):
        assert device.try_enroll(server.url, token, server.ca_pin).returncode in (2, 5), token
    good = server.token()
    for url in ("http://localhost:1", "localhost", "https://", "https://user:pw@localhost", "ftp://x", "https://localhost:99999"):
        done = device.try_enroll(url, good, server.ca_pin)
        assert done.returncode == 2 or done.returncode == 1 and "URL" in done.stderr, (url, done.returncode, done.stderr)
    assert device.try_enroll(server.url, good, "zz").returncode in (1, 2)
    assert device.status()["enrolment"]["state"] == "none"
    assert device.try_enroll(server.url, good, server.ca_pin).returncode == 0


def test_needs_root(enrolling):
    done = enrolling.device.ctl("enroll", enrolling.server.url, "--token-file", "/etc/hostname", uid=1000)
    assert done.returncode == 4, (done.returncode, done.stderr)


def test_a_lost_reply_is_retried_with_one_certificate(enrolling, peer):
    peer.on("POST", "/.well-known/est/device/simpleenroll", lambda exchange: (exchange.forward(), exchange.drop()), times=2)
    done = enrolling.device.try_enroll(peer.url, enrolling.server.token(), enrolling.server.ca_pin)
    assert done.returncode == 0, done.stderr
    assert peer.count("POST /.well-known/est/device/simpleenroll") == 3
    listed = [entry for entry in enrolling.server.certificates() if entry.get("kind") == "device"]
    assert len(listed) == 1 and len(devices(enrolling)) == 1


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_a_lost_reply_survives_the_daemons_end(enrolling, peer, end):
    peer.on("POST", "/.well-known/est/device/simpleenroll", lambda exchange: (exchange.forward(), exchange.hold()), times=1)
    device = enrolling.device
    token = enrolling.server.token()
    file = device.base / "token"
    file.write_text(token + "\n", encoding="ascii")
    from harness import programs
    ctl = programs.Program("ctl", [str(programs.RUN / "bin/devtrustctl"), "enroll", peer.url, "--token-file", str(file), "--ca-pin",
                                   enrolling.server.ca_pin, "--socket", str(device.socket)]).start()
    peer.wait_seen("POST /.well-known/est/device/simpleenroll")
    getattr(device, end)()
    ctl.process.wait(waiting.PATIENCE)
    device.start()
    device.wait_status(lambda status: status["enrolment"]["state"] == "enrolled", "enrolled")
    assert len(devices(enrolling)) == 1
    assert len([entry for entry in enrolling.server.certificates() if entry.get("kind") == "device"]) == 1
    assert not list(device.state_dir.glob("pending*")), "nothing of the request is left"


def test_server_certificate_of_another_ca(enrolling, tmp_path):
    folder = certs.scratch()
    impostor = Peer(enrolling.server, *certs.self_signed(folder, "impostor"))
    try:
        token = enrolling.server.token()
        done = enrolling.device.try_enroll(impostor.url, token, enrolling.server.ca_pin)
        assert done.returncode == 5, (done.returncode, done.stderr)
        assert enrolling.device.status()["enrolment"]["code"] == "server-tls"
        assert impostor.seen == [], "nothing was sent, the token least of all"
    finally:
        impostor.stop()
    assert enrolling.device.try_enroll(enrolling.server.url, token, enrolling.server.ca_pin).returncode == 0


def test_server_certificate_for_another_name(enrolling):
    state = enrolling.server.state_dir
    other = Peer(enrolling.server, *certs.tls_leaf(certs.scratch(), state / "tls-ca.pem", state / "tls-ca.key", "DNS:other.example"))
    try:
        done = enrolling.device.try_enroll(other.url, enrolling.server.token(), enrolling.server.ca_pin)
        assert done.returncode == 5 and enrolling.device.status()["enrolment"]["code"] == "server-tls", done.stderr
        assert other.seen == []
    finally:
        other.stop()


def test_without_pin_only_the_system_trust_store_counts(enrolling):
    done = enrolling.device.try_enroll(enrolling.server.url, enrolling.server.token(), None)
    assert done.returncode == 5 and "--ca-pin" in done.stderr + done.stdout, done.stderr
    assert enrolling.device.status()["enrolment"]["code"] == "server-tls"


def test_redirects_are_never_followed(enrolling, peer):
    peer.on("GET", "/.well-known/est", lambda exchange: exchange.reply(307, headers={"Location": enrolling.server.url + exchange.path}))
    done = enrolling.device.try_enroll(peer.url, enrolling.server.token(), enrolling.server.ca_pin)
    assert done.returncode == 5, (done.returncode, done.stderr)
    assert enrolling.device.status()["enrolment"]["code"] == "redirect"


def test_server_away_is_said_and_enrolment_goes_on(enrolling):
    device, server = enrolling.device, enrolling.server
    token = server.token()
    server.stop()
    done = device.try_enroll(server.url, token, server.ca_pin)
    assert done.returncode == 3, (done.returncode, done.stdout, done.stderr)
    assert device.status()["enrolment"]["code"] == "server-unreachable"


def test_enroll_conf_is_consumed_and_wiped(world):
    world.start_server()
    device = world.add_device()
    device.enroll_config.write_text(f"[enroll]\nurl = {world.server.url}\ntoken = {world.server.token()}\n"
                                    f"ca_pin = {world.server.ca_pin}\n", encoding="ascii")
    device.enroll_config.chmod(0o600)
    device.start()
    device.wait_status(lambda status: status["enrolment"]["state"] == "enrolled", "enrolled")
    waiting.until(lambda: not device.enroll_config.exists(), "the file is gone")


def test_an_enrolment_that_nobody_waits_for_ends_holds_too(world):
    """Root has removed alice's certificate; then a management tool leaves a file that enrols the device anew."""
    device = world.setup("alice")
    device.wait_user("alice", state="installed")
    before = device.uuid
    assert device.ctl("remove", "--user", "alice").returncode == 0
    device.wait_user("alice", state="absent", code="held")
    device.stop()
    device.start()
    assert device.user("alice")["code"] == "held", "a start alone ends no hold"
    device.stop()
    device.enroll_config.write_text(f"[enroll]\nurl = {world.server.url}\ntoken = {world.server.token()}\n"
                                    f"ca_pin = {world.server.ca_pin}\n", encoding="ascii")
    device.enroll_config.chmod(0o600)
    device.start()
    device.wait_status(lambda status: status["enrolment"].get("device_uuid") not in (None, before), "enrolled anew")
    world.manage("alice", device)
    device.wait_user("alice", state="installed")


def test_identity_on_another_machine_is_cloned_and_not_used(world):
    device = world.setup("alice")
    device.wait_user("alice", state="installed")
    before = device.agents["alice"].database.contents()
    device.stop()
    device.machine_id.write_text(uuid.uuid4().hex + "\n", encoding="ascii")
    device.start()
    enrolment = device.status()["enrolment"]
    assert (enrolment["state"], enrolment["code"]) == ("cloned", "cloned")
    assert not device.status()["push"]["connected"]
    assert device.agents["alice"].database.contents() == before
    device.enroll(world.server)  # on its own it may be enrolled
    assert device.status()["enrolment"]["state"] == "enrolled"
    assert len(devices(world)) == 2


def test_copied_identity_waits_for_the_administrator(world):
    world.start_server()
    raw = est.RawDevice(world.server).enroll()
    copy = est.RawDevice(world.server, raw.uuid)
    reply = copy.try_enroll(world.server.token())
    assert (reply.status, reply.code) == (403, "device-suspended")
    world.server.cli("device", "resume", raw.uuid)
    assert copy.try_enroll(world.server.token()).status == 200


def test_device_certificate_is_renewed_with_a_fresh_key(make_world):
    world = make_world({"issue": {"device_lifetime": "12s"}})
    device = world.setup("alice")
    device.wait_user("alice", state="installed")
    old_key = (device.state_dir / "device.key").read_bytes()
    old_end = device.status()["enrolment"]["not_after"]
    waiting.until(lambda: device.status()["enrolment"]["not_after"] > old_end, "renewed", 30 + waiting.PATIENCE)
    assert (device.state_dir / "device.key").read_bytes() != old_key
    assert device.status()["enrolment"]["state"] == "enrolled"
    device.wait_status(lambda status: status["push"]["connected"], "connected with the new one")
    states = [entry["state"] for entry in world.server.certificates() if entry.get("kind") == "device"]
    assert states.count("revoked") >= 1 and any(state != "revoked" for state in states)


def test_expired_device_certificate_may_renew_within_the_grace(make_world):
    world = make_world({"issue": {"device_lifetime": "6s"}})
    device = world.setup("alice")
    device.wait_user("alice", state="installed")
    serial = device.user("alice")["serial"]
    end = device.status()["enrolment"]["not_after"]
    device.stop()
    est.wait_until(end + 1)
    device.start()
    device.wait_status(lambda status: status["enrolment"]["not_after"] > end and status["push"]["connected"], "renewed and connected")
    assert device.user("alice")["serial"] == serial, "no user's credential was touched"


def test_expired_device_certificate_past_the_grace_is_refused(make_world):
    world = make_world({"issue": {"device_lifetime": "5s", "expired_device_grace": "0s"}})
    world.start_server()
    raw = est.RawDevice(world.server).enroll()
    new_key = certs.key(raw.folder / "new.key")
    est.wait_until(time.time() + 6)
    reply = raw.request("POST", "/.well-known/est/device/simplereenroll", est.wrapped(certs.request(new_key, f"/serialNumber={raw.uuid}")),
                        {"Content-Type": "application/pkcs10"})
    assert reply.status == 403
    assert raw.request("GET", "/v1/state").status == 403
