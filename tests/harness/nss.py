"""What is in a user's NSS database, as NSS's own tool sees it, run as that user. Nothing here opens it as root."""
import base64
import dataclasses
import hashlib
import os
import pathlib
import re

from . import accounts, certs, programs, waiting

OURS = re.compile(r" Device Trust Certificate - [0-9a-f]{8}$")


@dataclasses.dataclass(frozen=True)
class Key:
    key_id: str
    label: str  # "(orphan)" where no certificate names it


@dataclasses.dataclass(frozen=True)
class Contents:
    """Comparable: nicknames with trust flags, and keys."""
    certificates: tuple[tuple[str, str], ...]
    keys: tuple[Key, ...]

    @property
    def ours(self) -> list[str]:
        return [name for name, _ in self.certificates if OURS.search(name)]


class Database:
    def __init__(self, user: str, directory: pathlib.Path | None = None) -> None:
        self.user = user
        self.uid = accounts.uid_of(user)
        self.directory = directory or accounts.home(user) / ".local/share/pki/nssdb"

    def tool(self, *arguments: str, name: str = "certutil", stdin: str | None = None) -> "programs.subprocess.CompletedProcess[str]":
        return programs.run([name, "-d", f"sql:{self.directory}", *arguments], uid=self.uid, stdin=stdin,
                            environment=programs.user_environment(self.user, self.uid))

    def create(self, password: str | None = None) -> "Database":
        """A new database, as a browser would make it; with a master password if told."""
        programs.run(["mkdir", "-p", "-m", "0700", str(self.directory)], uid=self.uid)
        if password is None:
            done = self.tool("-N", "--empty-password")
        else:
            file = self.directory.parent / "password"
            file.write_text(f"{password}\n", encoding="ascii")
            os.chown(file, self.uid, self.uid)
            done = self.tool("-N", "-f", str(file))
            file.unlink()
        assert done.returncode == 0, done.stderr
        return self

    def trust_tls_ca(self, ca_file: pathlib.Path) -> None:
        """So that the browser accepts the test server's own TLS certificate without any flag."""
        done = self.tool("-A", "-n", "demo TLS CA", "-t", "C,,", "-a", stdin=ca_file.read_text(encoding="ascii"))
        assert done.returncode == 0, done.stderr

    def import_key(self, certificate: pathlib.Path, key: pathlib.Path, nickname: str) -> None:
        """Somebody else's certificate (with its chain, if the file has one) and key, PEM, as a person would import them."""
        folder = certs.scratch()
        bundle = folder / "other.p12"
        certs.openssl("pkcs12", "-export", "-in", certificate, "-inkey", key, "-out", bundle, "-passout", "pass:x", "-name", nickname)
        folder.chmod(0o755)
        bundle.chmod(0o644)
        done = self.tool("-i", str(bundle), "-W", "x", "-K", "", name="pk12util")
        assert done.returncode == 0, done.stdout + done.stderr

    def read(self, *arguments: str, missing: str = "") -> str | None:
        """What certutil prints. It opens a database for reading only, and calls it bad while another program makes it, or writes to it
        for long: then it is asked again. `missing`: its words for what is not there; None then."""
        said = ""

        def look() -> "programs.subprocess.CompletedProcess[str] | None":
            nonlocal said
            done = self.tool(*arguments)
            said = done.stderr
            return done if done.returncode == 0 or missing and missing in done.stderr + done.stdout else None
        try:
            done = waiting.until(look, f"certutil reads {self.directory}")
        except waiting.Timeout as error:
            raise waiting.Timeout(f"{error}\n{said}") from None
        return done.stdout if done.returncode == 0 else None

    def contents(self) -> Contents:
        return Contents(tuple(sorted(self._certificates())), tuple(sorted(self._keys(), key=lambda key: key.key_id)))

    def _certificates(self) -> list[tuple[str, str]]:
        if not (self.directory / "cert9.db").exists():
            return []
        found = []
        for line in (self.read("-L") or "").splitlines():
            match = re.match(r"^(.*?)\s+([a-zA-Z]*,[a-zA-Z]*,[a-zA-Z]*)\s*$", line)
            if match and match[2] != "SSL,S/MIME,JAR/XPI":
                found.append((match[1], match[2]))
        return found

    def _keys(self) -> list[Key]:
        if not (self.directory / "key4.db").exists():
            return []
        found = []
        for line in (self.read("-K", missing="no keys found") or "").splitlines():
            match = re.match(r"^<\s*\d+>\s+\w+\s+([0-9a-f]+)\s+(.*)$", line)
            if match:
                found.append(Key(match[1], match[2].strip()))
        return found

    def certificate(self, nickname: str) -> bytes:
        """DER of the newest certificate of that nickname."""
        text = self._pem(nickname)
        assert text, f"no certificate {nickname}"
        return pem_to_der(text)

    def _pem(self, nickname: str) -> str | None:
        return self.read("-L", "-n", nickname, "-a", missing="Could not find cert")

    def serials(self) -> list[str]:
        """Serial numbers of ours, lower-case hex without leading zeros."""
        def look() -> tuple[list[str]] | None:
            texts = [self._pem(name) for name in self.contents().ours]
            return ([serial_of(pem_to_der(text)) for text in texts if text],) if all(texts) else None  # else one has gone meanwhile
        return waiting.until(look, "certificates that stay while they are read")[0]

    def files_hash(self) -> dict[str, str]:
        """Contents of every file below the directory."""
        return {str(path.relative_to(self.directory)): hashlib.sha256(path.read_bytes()).hexdigest()
                for path in sorted(self.directory.rglob("*")) if path.is_file()}


def pem_to_der(text: str) -> bytes:
    body = re.search(r"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", text, re.S)
    assert body, f"no PEM certificate: {text!r}"
    return base64.b64decode(body[1])


def serial_of(der: bytes) -> str:
    """The serial number: the first INTEGER after the optional version of TBSCertificate."""
    def element(at: int) -> tuple[int, int, int]:
        length, start = der[at + 1], at + 2
        if length & 0x80:
            count = length & 0x7F
            length, start = int.from_bytes(der[start:start + count], "big"), start + count
        return der[at], start, start + length
    _, tbs, _ = element(0)
    _, inner, _ = element(tbs)
    tag, start, end = element(inner)
    if tag == 0xA0:
        tag, start, end = element(end)
    assert tag == 0x02, "no serial number"
    return der[start:end].lstrip(b"\0").hex()


def export(database: Database, folder: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    """Certificate chain and key of ours as PEM files for a TLS client in a test (an NSS key is software-grade: facts)."""
    folder.chmod(0o755)
    nickname = database.contents().ours[0]
    store = accounts.home(database.user) / "export.p12"
    done = database.tool("-o", str(store), "-n", nickname, "-W", "pw", "-K", "", name="pk12util")
    assert done.returncode == 0, done.stdout + done.stderr
    certificate, key = folder / f"{database.user}.pem", folder / f"{database.user}.key"
    for arguments, target in ((["-nokeys"], certificate), (["-nocerts", "-nodes"], key)):
        done = programs.run(["openssl", "pkcs12", "-in", store, "-passin", "pass:pw", "-out", target, *arguments])
        assert done.returncode == 0, done.stderr
    store.unlink()
    # the leaf first: a TLS client sends the file's first certificate as its own
    blocks = re.findall(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", certificate.read_text(encoding="ascii"), re.S)
    leaf = database.certificate(nickname)
    blocks.sort(key=lambda block: pem_to_der(block) != leaf)
    certificate.write_text("".join(blocks), encoding="ascii")
    return certificate, key
