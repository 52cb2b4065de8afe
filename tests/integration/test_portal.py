"""The portal as real Chromium shows it."""
import time

import pytest
from harness import browser, certs, est, nss, programs, waiting

# a browser that runs has up to this long to read its policy before anything is imported (POLICY_SETTLE_S, and its own 5 to 9 s)
SETTLE = 60


@pytest.fixture
def before(world):
    """Server and enrolled device, alice managed and her agent attached, the switch off; her browser trusts the test's TLS CA."""
    world.start_server()
    device = world.add_device().start()
    device.enroll(world.server)
    world.manage("alice", device)
    nss.Database("alice").create().trust_tls_ca(world.server.tls_ca)
    device.agent("alice")
    device.wait_user("alice", agent_attached=True)
    return world


def portal(world):
    return world.server.portal_url + "/"


def test_revocation_shows_on_an_open_connection(before):
    before.server.distribution("on")
    user = before.device.wait_user("alice", state="installed")
    with browser.Browser("alice") as chromium:
        assert chromium.visit(portal(before))[0] == "trusted"
        before.server.cli("certificate", "revoke", user["serial"])
        status, fields = chromium.revisit()
        assert status == "unmanaged", fields
        assert fields["reason"]


def assert_explained(world, fields, user):
    """The reference on the page says the same here, on the device without its daemon, and more on the server."""
    told = world.server.cli("explain", fields["reference"])
    assert (told["code"], told.get("user"), told["browser"]) == (fields["code"], user, "Chromium"), told
    done = programs.run([str(programs.RUN / "bin/devtrustctl"), "explain", fields["reference"].lower(), "--socket", "/nowhere"])
    assert done.returncode == 0 and fields["code"] in done.stdout and "help desk" in done.stdout, done


@pytest.mark.parametrize("change", ["paused", "unassign", "user", "device"])
def test_every_way_of_becoming_unmanaged_shows_on_reload(before, change):
    server = before.server
    server.distribution("on")
    before.device.wait_user("alice", state="installed")
    actions = {"paused": lambda: server.distribution("paused"), "unassign": lambda: server.cli("unassign", "u-alice", before.device.uuid),
               "user": lambda: server.cli("user", "remove", "u-alice"), "device": lambda: server.cli("device", "remove", before.device.uuid)}
    with browser.Browser("alice") as chromium:
        assert chromium.visit(portal(before))[0] == "trusted"
        actions[change]()
        status, fields = chromium.revisit()
        assert status == "unmanaged" and fields["reason"] and fields["remedy"], fields
        assert_explained(before, fields, "u-alice")


def test_without_scripts_the_check_goes_by_redirect(before):
    """Opened before there was a certificate, too; scripts are off, so only the page's text tells."""
    with browser.Browser("alice", arguments=("--blink-settings=scriptEnabled=false",)) as chromium:
        chromium.get(portal(before))
        waiting.until(lambda: 'data-status="unmanaged"' in chromium.source(), "unmanaged")
        assert 'href="/">Try again</a>' in chromium.source() and ">DT-01-" in chromium.source()
        before.server.distribution("on")
        user = before.device.wait_user("alice", state="installed", timeout=SETTLE)

        def trusted():
            chromium.get(portal(before))
            page = chromium.source()
            return 'data-status="trusted"' in page and user["serial"] in page
        waiting.until(trusted, "trusted", SETTLE)


def test_unmanaged_user_sees_why(before):
    before.server.distribution("on")
    before.device.wait_user("alice", state="installed")
    nss.Database("carol").create().trust_tls_ca(before.server.tls_ca)
    with browser.Browser("carol") as chromium:
        status, fields = chromium.visit(portal(before))
        assert status == "unmanaged" and fields["reason"] and fields["remedy"], fields
        assert "Chromium" in fields["hint"]
        assert_explained(before, fields, None)
        chromium.script("document.body.id = 'old'; document.querySelector('a.again').click()")
        waiting.until(lambda: chromium.script("return document.body?.id") == "", "the page loads anew")
        assert chromium.page() == (status, fields), "an open page keeps its reference"


def session_of(world, identity):
    """What the page's script does, by hand: page, check on a fresh host name, session. Returns (answer, cookie)."""
    page = est.request(world.server, "GET", "/", port=world.server.portal_port)
    cookie = page.headers["Set-Cookie"].split(";")[0]
    return page, cookie


def test_page_is_safe_to_show(before):
    page, cookie = session_of(before, None)
    assert page.status == 200 and 'data-status="' in page.body.decode()
    headers = {name.lower(): value for name, value in page.headers.items()}
    attributes = headers["set-cookie"].lower()
    assert "secure" in attributes and "httponly" in attributes and "samesite" in attributes
    assert "default-src" in headers["content-security-policy"] and "unsafe-inline" not in headers["content-security-policy"]
    assert headers["cache-control"] == "no-store" and headers["x-content-type-options"] == "nosniff"


def test_a_made_up_or_repeated_answer_is_not_taken(before):
    page, cookie = session_of(before, None)
    for answer in ("", "x", "A" * 4000, "e30.e30.AAAA"):
        reply = est.request(before.server, "POST", "/session", f"answer={answer}".encode(),
                            {"Cookie": cookie, "Content-Type": "application/x-www-form-urlencoded", "Origin": before.server.portal_url},
                            port=before.server.portal_port)
        assert reply.status >= 400, (answer, reply.status)
    state = est.request(before.server, "GET", "/", headers={"Cookie": cookie, "Accept": "application/json"}, port=before.server.portal_port)
    assert state.json["status"] != "trusted"


def test_cross_origin_requests_get_no_credentialed_answer(before):
    reply = est.request(before.server, "GET", "/check?n=abc", headers={"Origin": "https://evil.example", "Host": f"x.check.localhost:{before.server.portal_port}"},
                        port=before.server.portal_port)
    assert reply.headers.get("Access-Control-Allow-Origin") != "https://evil.example"
    assert reply.headers.get("Access-Control-Allow-Origin") != "*"


def test_expired_certificate_is_unmanaged(make_world):
    lifetime = 12
    world = make_world({"issue": {"user_lifetime": f"{lifetime}s", "renew_after": "4s"}})
    server = world.start_server()
    server.cli("user", "add", "u1")
    device = est.RawDevice(server).enroll()
    server.cli("assign", "u1", device.uuid, "una")
    server.distribution("on")
    _, _, leaf = device.issue_user("u1")
    assert est.auth(server, leaf) == 204
    end = time.time() + lifetime
    est.wait_until(end)
    waiting.until(lambda: est.auth(server, leaf) == 403, "expired counts as unmanaged")
    assert certs.openssl("x509", "-inform", "DER", "-noout", "-enddate", stdin=leaf)
