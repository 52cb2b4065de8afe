"""The main way: switched on, installed; paused, untouched; switched off, gone."""
import json
import re

import pytest
from harness import accounts, certs, est, nss, waiting


def leaf_of(agent):
    """The only certificate of ours in the user's database."""
    names = agent.database.contents().ours
    assert len(names) == 1, names
    return agent.database.certificate(names[0])


def test_installed_by_push_then_gone_without_a_trace(world):
    world.start_server()
    device = world.add_device().start()
    device.enroll(world.server)
    world.manage("alice", device)
    database = nss.Database("alice").create()
    database.trust_tls_ca(world.server.tls_ca)
    before = database.contents(), device.policy_files()
    agent = device.agent("alice")
    device.wait_user("alice", agent_attached=True)
    assert database.contents() == before[0], "nothing is done before the switch is on"

    world.server.distribution("on")
    user = device.wait_user("alice", state="installed")
    contents = database.contents()
    assert len(contents.ours) == 1 and len(contents.keys) == 1
    assert contents.keys[0].label != "(orphan)"
    assert database.serials() == [user["serial"]]
    assert [store["ok"] for store in user["stores"]] == [True]
    assert world.server.certificates() and all(entry["state"] in ("installed", "issued") for entry in world.server.certificates())
    assert est.auth(world.server, leaf_of(agent)) == 204

    leaf = leaf_of(agent)
    world.server.distribution("off")
    assert est.auth(world.server, leaf) == 403, "off at the server counts at once"
    device.wait_gone("alice")
    waiting.until(lambda: not device.policy_files(), "policy gone")
    assert (database.contents(), device.policy_files()) == before
    waiting.until(lambda: not agent.record.exists(), "the agent's record is gone")  # its last act, once devtrustd knows
    assert all(user["state"] == "absent" for user in device.status(uid=accounts.uid_of("alice"))["users"])


def test_certificate_profile(world):
    device = world.setup("alice")
    serial = device.wait_user("alice", state="installed")["serial"]
    agent = device.agents["alice"]
    leaf = leaf_of(agent)
    text = certs.openssl("x509", "-inform", "DER", "-noout", "-text", "-nameopt", "RFC2253", stdin=leaf).decode()
    assert re.search(r"Subject:.*CN=Example Device Trust Certificate - " + serial[:8], text), text
    assert f"urn:uuid:{device.uuid}" in text and "urn:devtrust:user:u-alice" in text
    assert "TLS Web Client Authentication" in text and "TLS Web Server" not in text
    assert certs.POLICY_USER in text
    assert re.search(r"Key Usage: critical\s+Digital Signature\n", text)
    assert "CA:FALSE" in text and "prime256v1" in text
    assert re.search(r"CRL Distribution Points", text)
    # no trust bits are ever set for ours: only "u" (has a key) may stand there
    for name, trust in agent.database.contents().certificates:
        assert set(trust) <= set("u,"), (name, trust)
    chain = certs.scratch()
    (chain / "leaf.pem").write_bytes(certs.openssl("x509", "-inform", "DER", stdin=leaf))
    state = world.server.state_dir
    certs.openssl("verify", "-CAfile", state / "trust-root.pem", "-untrusted", state / "trust-ca.pem", "-purpose", "sslclient",
                  chain / "leaf.pem")
    with pytest.raises(AssertionError):
        certs.openssl("verify", "-CAfile", state / "device-root.pem", "-untrusted", state / "device-ca.pem", chain / "leaf.pem")


def test_paused_touches_nothing_on_the_device(world):
    device = world.setup("alice")
    serial = device.wait_user("alice", state="installed")["serial"]
    agent = device.agents["alice"]
    leaf, contents, policy = leaf_of(agent), agent.database.contents(), device.policy_files()
    world.server.distribution("paused")
    device.wait_status(lambda status: status["desired"]["distribution"] == "paused", "paused is known")
    assert est.auth(world.server, leaf) == 403
    assert (agent.database.contents(), device.policy_files()) == (contents, policy)
    assert device.ctl("renew", uid=agent.uid).returncode != 0 or device.user("alice")["serial"] == serial
    world.server.distribution("on")
    device.wait_status(lambda status: status["desired"]["distribution"] == "on", "on is known")
    waiting.until(lambda: est.auth(world.server, leaf_of(agent)) == 204, "trusted again")


def test_unassigned_user_is_removed(world):
    device = world.setup("alice", "bob")
    for name in ("alice", "bob"):
        device.wait_user(name, state="installed")
    world.server.cli("unassign", "u-alice", device.uuid)
    device.wait_gone("alice")
    assert device.agents["alice"].database.contents().keys == ()
    assert device.user("bob")["state"] == "installed"
    assert len(device.agents["bob"].database.contents().ours) == 1
    assert device.policy_files(), "bob still needs the policy"


def test_removed_person_is_removed(world):
    device = world.setup("alice")
    device.wait_user("alice", state="installed")
    world.server.cli("user", "remove", "u-alice")
    device.wait_gone("alice")
    assert device.agents["alice"].database.contents().ours == []


def test_device_removed_at_the_server(world):
    device = world.setup("alice")
    device.wait_user("alice", state="installed")
    agent = device.agents["alice"]
    leaf = leaf_of(agent)
    world.server.cli("device", "remove", device.uuid)
    assert est.auth(world.server, leaf) == 403
    device.wait_status(lambda status: status["enrolment"]["state"] == "removed", "the tombstone is read")
    device.wait_gone("alice")
    assert not agent.database.contents().keys and not agent.database.contents().ours
    waiting.until(lambda: not device.policy_files(), "policy gone")
    assert device.status()["enrolment"]["code"] == "device-removed"


def test_off_while_the_agent_is_away_is_done_when_it_comes(world):
    device = world.setup("alice")
    device.wait_user("alice", state="installed")
    agent = device.agents["alice"]
    agent.stop()
    world.server.distribution("off")
    device.wait_user("alice", state="removing")
    world.server.distribution("on")  # managed again: the removal is finished first
    device.wait_status(lambda status: status["desired"]["distribution"] == "on", "on is known")
    old = agent.database.serials()
    agent.start()
    user = device.wait_user("alice", state="installed", serial=lambda serial: serial and serial not in old)
    assert agent.database.serials() == [user["serial"]] and len(agent.database.contents().keys) == 1


def test_policy_is_there_before_the_certificate(world):
    device = world.setup("alice", on=False)
    seen = []
    device.wait_user("alice", agent_attached=True)
    world.server.distribution("on")

    def installed():
        have_policy = bool(device.policy_files())
        seen.append((bool(nss.Database("alice").contents().ours), have_policy))
        return device.user("alice")["state"] == "installed"
    waiting.until(installed, "installed")
    assert all(policy for certificate, policy in seen if certificate)
    rules = [json.loads(text) for text in device.policy_files().values()]
    assert all(isinstance(element, str) for rule in rules for element in rule["AutoSelectCertificateForUrls"])


def test_nothing_secret_is_left_in_files_or_logs(world):
    device = world.setup("alice")
    device.wait_user("alice", state="installed")
    for base in (device.base, device.agents["alice"].record.parent):
        for path in base.rglob("*"):
            if path.is_file() and path.name != "device.key":
                assert b"PRIVATE KEY" not in path.read_bytes(), path
    assert (device.state_dir / "device.key").stat().st_mode & 0o777 == 0o600
    assert "PRIVATE KEY" not in world.logs(10000)
    token = (device.base / "token").read_text(encoding="ascii").strip()
    secret = token.split(".", 1)[1]
    for path in list(device.state_dir.rglob("*")) + list(world.server.state_dir.rglob("*")):
        if path.is_file():
            assert secret.encode() not in path.read_bytes(), path
    assert secret not in world.logs(10000)
