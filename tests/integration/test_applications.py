"""Programs besides browsers: the commands of docs/APPLICATIONS.md, as they stand there, against nginx and devtrust-server."""
import http.client
import http.server
import importlib.util
import itertools
import pathlib
import re
import ssl
import threading

import pytest
from harness import accounts, certs, nss, programs, waiting

DOCUMENT = programs.ROOT / "docs/APPLICATIONS.md"
HOSTS = "app.example", "server.example"
# sections whose blocks users run, and those whose blocks root runs
PROGRAMS = ("curl", "wget", "git", "GnuTLS", "OpenSSL", "Python")
OTHERS = ("Once per machine", "The server's side")
GREETING = "hello, u-alice"


def blocks(section: str, language: str = "sh") -> list[str]:
    """The fenced blocks of a section of the document."""
    text = re.search(rf"^## {re.escape(section)}\n(.*?)(?=^## |\Z)", DOCUMENT.read_text(encoding="utf-8"), re.M | re.S)
    assert text, f"{DOCUMENT.name} has no section {section}"
    return re.findall(rf"^```{language}\n(.*?)^```$", text[1], re.M | re.S)


def shell(script: str, user: str | None = None, folder: pathlib.Path = pathlib.Path("/")) -> "programs.subprocess.CompletedProcess[str]":
    """As bash reads it, in a new session of this user; root where none is named."""
    uid = accounts.uid_of(user) if user else 0
    environment = programs.user_environment(user, uid) if user else None
    return programs.run(["bash", "-c", f"cd {folder} && {{\n{script}\n}}"], uid=uid, environment=environment)


def must(done: "programs.subprocess.CompletedProcess[str]") -> str:
    assert done.returncode == 0, f"status {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


class Application(http.server.SimpleHTTPRequestHandler):
    """Behind nginx: greets whom the proxy names, and has a repository for git."""

    def do_GET(self):
        if self.path != "/":
            super().do_GET()
            return
        body = f"hello, {self.headers.get('X-Devtrust-User')}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


class Site:
    """https://app.example: nginx as the document configures it, before an application. Its log names serial numbers."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.numbers = itertools.count(1)
        self.folder = folder
        must(shell(f"git init -q --bare {folder}/www/project.git && git -C {folder}/www/project.git update-server-info"))
        self.application = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 8080), lambda *arguments: Application(*arguments, directory=folder / "www"))
        threading.Thread(target=self.application.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        (folder / "app.conf").write_text("\n".join(blocks("The server's side", "nginx")), encoding="utf-8")
        temporary = "\n".join(f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        (folder / "nginx.conf").write_text(
            f"user root; daemon off; pid {folder}/pid; error_log stderr;\nevents {{}}\nhttp {{\n{temporary}\n"
            f"log_format serial '$status $ssl_client_serial $request'; access_log {folder}/log serial;\n"
            f"include {folder}/app.conf;\n}}\n", encoding="utf-8")
        self.nginx = programs.Program("nginx", ["nginx", "-e", "stderr", "-c", f"{folder}/nginx.conf"]).start()
        waiting.until((folder / "pid").exists, "nginx runs", alive=self.nginx.check_alive)

    def requests(self) -> list[tuple[int, str]]:
        """Since the last call: (status, serial number as devtrust writes it). nginx writes a line once the answer is out: that of one more
        request, without a certificate, comes after all others."""
        log, last = self.folder / "log", f"/the-last-{next(self.numbers)}"
        connection = http.client.HTTPSConnection("app.example", context=ssl._create_unverified_context())
        connection.request("GET", last)
        connection.getresponse().read()
        connection.close()

        def written():
            lines = [line.split() for line in log.read_text(encoding="ascii").splitlines()]
            return lines if lines and lines[-1][3] == last else None
        lines = waiting.until(written, "nginx has written its log", alive=self.nginx.check_alive)
        log.write_bytes(b"")
        return [(int(line[0]), line[1].lower()) for line in lines[:-1]]

    def end(self) -> None:
        self.nginx.stop()  # and its workers
        self.application.shutdown()
        self.application.server_close()


def trust(certificate: pathlib.Path) -> None:
    """As a CA of the system's (of the sandbox's own /etc), for every program here."""
    with open("/etc/ssl/certs/ca-certificates.crt", "a", encoding="ascii") as file:
        file.write(certificate.read_text(encoding="ascii"))


@pytest.fixture
def site(make_world):
    """devtrust-server on its usual ports as server.example, the document's nginx, and alice with her certificate; the world and it."""
    if programs.os.environ["DEVTRUST_SANDBOX_NET"] != "own":
        pytest.skip("the document's ports are free only in a network of the sandbox's own")
    for path in ("/etc/pkcs11", "/etc/devtrust/p11-kit", "/etc/nginx"):
        programs.shutil.rmtree(path, ignore_errors=True)
    pathlib.Path("/etc/nginx").mkdir()
    with open("/etc/hosts", "a", encoding="ascii") as file:
        file.write("".join(f"127.0.0.1 {host}\n" for host in HOSTS))
    world = make_world({"listen": {"devices": "127.0.0.1:8443", "admin": "127.0.0.1:9080"}}, default_socket=True)
    world.server.init("https://server.example:8443")
    world.server.start()
    device = world.add_device({"limits": {"requests_per_hour": 1000}}).start()
    device.enroll(world.server, "https://server.example:8443")
    world.manage("alice", device)
    device.agent("alice")
    world.server.distribution("on")
    folder = certs.scratch()
    folder.chmod(0o755)
    certificate, key = certs.self_signed(folder, "app.example", "DNS:app.example")
    for source in (certificate, key):
        programs.shutil.copy(source, f"/etc/nginx/{source.name}")
    trust(certificate)
    trust(world.server.tls_ca)
    for section in reversed(OTHERS):
        for block in blocks(section):
            must(shell(block))
    made = Site(folder)
    device.wait_user("alice", state="installed")
    yield world, made
    made.end()


def add_certificate_of_somebody_else(user: str) -> None:
    """With a key of its own, in the same database."""
    noise = accounts.home(user) / "noise"
    noise.write_bytes(programs.os.urandom(64))
    programs.os.chown(noise, accounts.uid_of(user), -1)
    done = nss.Database(user).tool("-S", "-n", "other", "-s", "CN=other", "-x", "-t", ",,", "-k", "ec", "-q", "nistp256", "-z", str(noise))
    assert done.returncode == 0, done.stderr


def every_program_presents(site: Site, serial: str) -> None:
    """Each section's blocks, in order, as alice; each reaches the application with this certificate and no other."""
    for section in PROGRAMS:
        folder = certs.scratch()
        programs.os.chown(folder, accounts.uid_of("alice"), -1)
        wanted = blocks(section)
        if section == "Python":  # a script names it so, and p11-kit then calls it otherwise
            wanted.append(wanted[0].replace("python3 -", "/usr/bin/python3 -"))
        written = [shell(block, "alice", folder) for block in wanted]
        assert [done.returncode for done in written] == [0] * len(written), (section, written, site.nginx.tail())
        if section == "git":
            assert (folder / "project/.git").is_dir()
            must(shell("PATH=~/.local/bin:$PATH; git ls-remote https://app.example/project.git", "alice"))
        else:
            assert all(GREETING in done.stdout for done in written), (section, written)
        assert set(site.requests()) == {(200, serial)}, section


def test_document_has_no_command_that_is_not_run():
    everywhere = re.findall(r"^```(\w+)$", DOCUMENT.read_text(encoding="utf-8"), re.M)
    run = [len(blocks(section)) for section in (*PROGRAMS, *OTHERS)]
    assert all(run) and everywhere.count("sh") == sum(run)
    assert sorted(set(everywhere)) == ["nginx", "sh"] and everywhere.count("nginx") == len(blocks("The server's side", "nginx")) == 1


def test_programs_before_and_after_renewal_move_and_revocation(site):
    world, application = site
    device = world.device
    add_certificate_of_somebody_else("alice")
    first = device.wait_user("alice", state="installed")["serial"]
    name = must(shell("devtrustctl cert show --pkcs11-uri", "alice")).strip()
    every_program_presents(application, first)
    # the key's identifier is the one that NSS gave it
    ours = next(key for key in nss.Database("alice").contents().keys if key.label.startswith("devtrust "))
    assert name == "pkcs11:token=NSS%20Certificate%20DB;id=" + re.sub("(..)", r"%\1", ours.key_id).upper()

    assert device.ctl("renew", uid=accounts.uid_of("alice")).returncode == 0
    second = device.wait_user("alice", state="installed", serial=lambda serial: serial not in (None, first))["serial"]
    every_program_presents(application, second)
    assert shell(f"curl -sS --cert '{name}' https://app.example/", "alice").returncode != 0, "the old name names nothing"
    application.requests()

    # what an older Chromium makes, alone or within another program
    nss.Database("alice", accounts.home("alice") / ".pki/nssdb").create()
    third = device.wait_user("alice", state="installed", serial=lambda serial: serial not in (None, second))["serial"]
    assert GREETING in must(shell(blocks("curl")[0], "alice"))
    assert application.requests() == [(200, third)]

    world.server.cli("certificate", "revoke", third)
    assert "403 Forbidden" in must(shell(blocks("curl")[0], "alice"))
    assert application.requests() == [(403, third)]
    world.server.distribution("off")
    device.wait_gone("alice")
    assert shell("devtrustctl cert show --pkcs11-uri", "alice").stdout == ""
    assert "400 Bad Request" in must(shell(blocks("curl")[0], "alice"))


def test_what_needs_none_of_it_works_as_ever_and_python_takes_files_only(site):
    """A user without a database has no such token, and no program of his is in trouble."""
    def listed(user):
        return must(shell("p11tool --list-token-urls", user))
    assert "NSS%20Certificate%20DB" in listed("alice")
    empty = accounts.home("carol") / ".pki/nssdb"
    must(shell(f"mkdir -p {empty}", "carol"))
    for _ in range(5):  # no program is killed by a pipe that closed too early
        for user in ("bob", "carol"):
            assert "NSS" not in listed(user) and "System%20Trust" in listed(user)
    assert not list(empty.iterdir())
    for command in ("curl -sS https://app.example/", "wget -q -O - --content-on-error https://app.example/"):
        assert "400 Bad Request" in shell(command, "bob").stdout, command
    assert list(accounts.home("bob").iterdir()) in ([], [accounts.home("bob") / ".wget-hsts"])
    done = shell("python3 -c 'import ssl, sys; ssl.create_default_context().load_cert_chain(sys.argv[1])'"
                 " pkcs11:token=NSS%20Certificate%20DB", "alice")
    assert done.returncode != 0 and "FileNotFoundError" in done.stderr


def has_qtwebengine() -> bool:
    return importlib.util.find_spec("PyQt5") is not None and importlib.util.find_spec("PyQt5.QtWebEngineWidgets") is not None


EMBEDDING = """
import sys
from PyQt5.QtCore import QUrl
from PyQt5.QtWidgets import QApplication
from PyQt5.QtWebEngineWidgets import QWebEnginePage

application = QApplication(sys.argv)
page = QWebEnginePage()

def choose(selection):
    offered = selection.certificates()
    print("offered:", [certificate.subjectDisplayName() for certificate in offered], flush=True)
    selection.select(offered[0]) if offered else selection.selectNone()

def shown(text):
    print("page:", text, flush=True)
    application.quit()

page.selectClientCertificate.connect(choose)
page.loadFinished.connect(lambda good: page.toPlainText(shown))
page.load(QUrl(sys.argv[1]))
application.exec_()
"""


@pytest.mark.skipif(not has_qtwebengine(), reason="python3-pyqt5.qtwebengine is not installed")
def test_program_that_embeds_an_older_chromium(site):
    """Its first start makes ~/.pki/nssdb; the certificate comes there by itself, and the embedding program is offered it."""
    world, application = site
    first = world.device.wait_user("alice", state="installed")["serial"]
    command = f"QT_QPA_PLATFORM=offscreen QTWEBENGINE_DISABLE_SANDBOX=1 python3 -c '{EMBEDDING}' "
    assert GREETING not in must(shell(command + "https://app.example/", "alice")), "a CA of the system's is none of its"
    database = nss.Database("alice", accounts.home("alice") / ".pki/nssdb")
    assert database.directory.is_dir()
    serial = world.device.wait_user("alice", state="installed", serial=lambda value: value not in (None, first))["serial"]
    database.trust_tls_ca(application.folder / "app.example.pem")
    answer = must(shell(command + "https://app.example/", "alice"))
    assert f"offered: {database.contents().ours}" in answer and f"page: {GREETING}" in answer
    assert (200, serial) in application.requests()
