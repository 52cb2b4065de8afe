"""Keys, requests and certificates for tests, made by the openssl command: good ones, and every kind of bad one."""
import pathlib
import tempfile

from . import programs

ARC = "2.25.45844740899722477562360191552555722051"
POLICY_USER, POLICY_DEVICE = ARC + ".1", ARC + ".2"


def openssl(*arguments: str | pathlib.Path, stdin: bytes | None = None) -> bytes:
    done = programs.subprocess.run(["openssl", *map(str, arguments)], input=stdin, capture_output=True, check=False)
    assert done.returncode == 0, f"openssl {' '.join(map(str, arguments))}: {done.stderr.decode()}"
    return done.stdout


def scratch() -> pathlib.Path:
    """A folder for a test's files; it goes with the sandbox."""
    programs.RUN.mkdir(exist_ok=True)
    return pathlib.Path(tempfile.mkdtemp(dir=programs.RUN))


def key(path: pathlib.Path, kind: str = "p256") -> pathlib.Path:
    """p256, p384, rsa1024, rsa2048, or explicit: P-256 with its parameters written out."""
    if kind.startswith("rsa"):
        openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", f"rsa_keygen_bits:{kind[3:]}", "-out", path)
    else:
        curve = {"p384": "P-384"}.get(kind, "P-256")
        encoding = "explicit" if kind == "explicit" else "named_curve"
        openssl("genpkey", "-algorithm", "EC", "-pkeyopt", f"ec_paramgen_curve:{curve}", "-pkeyopt", f"ec_param_enc:{encoding}",
                "-out", path)
    return path


def request(key_file: pathlib.Path, subject: str, *options: str) -> bytes:
    """A PKCS#10 request, DER. `subject`: /UID=…/serialNumber=…"""
    return openssl("req", "-new", "-key", key_file, "-subj", subject, "-outform", "DER", "-config", "/dev/null", *options)


def self_signed(folder: pathlib.Path, name: str, hosts: str = "DNS:localhost,DNS:*.check.localhost") -> tuple[pathlib.Path, pathlib.Path]:
    """A TLS server certificate that is its own CA: (certificate, key)."""
    certificate, private = folder / f"{name}.pem", folder / f"{name}.key"
    key(private)
    openssl("req", "-x509", "-new", "-key", private, "-subj", f"/CN={name}", "-days", "2", "-out", certificate,
            "-addext", f"subjectAltName={hosts}", "-config", "/dev/null", "-addext", "basicConstraints=critical,CA:TRUE")
    return certificate, private


def tls_leaf(folder: pathlib.Path, ca: pathlib.Path, ca_key: pathlib.Path, hosts: str, days: int = 2) -> tuple[pathlib.Path, pathlib.Path]:
    """A TLS server certificate for these names from a CA: (chain, key)."""
    private, chain = key(folder / "leaf.key"), folder / "leaf.pem"
    leaf = sign(folder, openssl("req", "-new", "-key", private, "-subj", "/CN=tls", "-outform", "DER", "-config", "/dev/null"), ca, ca_key,
                {"subjectAltName": hosts, "extendedKeyUsage": "serverAuth", "basicConstraints": "critical,CA:FALSE"}, days=days,
                subject="/CN=tls")
    chain.write_bytes(openssl("x509", "-inform", "DER", stdin=leaf) + ca.read_bytes())
    return chain, private


def user_extensions(device: str, user: str, **changes: str) -> dict[str, str]:
    """A user leaf's extensions by the profile; `changes` replaces or (empty text) drops some."""
    extensions = {"basicConstraints": "critical,CA:FALSE", "keyUsage": "critical,digitalSignature", "extendedKeyUsage": "clientAuth",
                  "certificatePolicies": POLICY_USER, "subjectKeyIdentifier": "hash", "authorityKeyIdentifier": "keyid",
                  "subjectAltName": f"URI:urn:uuid:{device},URI:urn:devtrust:user:{user}"}
    return {name: value for name, value in {**extensions, **changes}.items() if value}


def sign(folder: pathlib.Path, csr: bytes, ca: pathlib.Path, ca_key: pathlib.Path, extensions: dict[str, str], *, subject: str,
         serial: str | None = None, days: int = 30, dates: tuple[str, str] | None = None) -> bytes:
    """A certificate (DER) for the key of a request. `serial`: hex. `dates`: begin and end as YYMMDDHHMMSSZ."""
    config, request_file, output = folder / "sign.cnf", folder / "sign.csr", folder / "sign.pem"
    database, serials = folder / "sign.db", folder / "sign.srl"
    database.write_text("", encoding="ascii")
    serials.write_text((serial or "6b1d0000000000000000000000000001") + "\n", encoding="ascii")
    lines = ["[ca]", "default_ca = it", "[it]", f"database = {database}", f"serial = {serials}", f"new_certs_dir = {folder}",
             "default_md = sha256", "policy = any", "x509_extensions = leaf", "unique_subject = no", "[any]", "commonName = optional",
             "UID = optional", "serialNumber = optional", "organizationName = optional", "[leaf]"]
    lines += [f"{name} = {value}" for name, value in extensions.items()]
    config.write_text("\n".join(lines) + "\n", encoding="utf-8")
    request_file.write_bytes(openssl("req", "-inform", "DER", stdin=csr))
    period = ["-startdate", dates[0], "-enddate", dates[1]] if dates else ["-days", str(days)]
    openssl("ca", "-batch", "-config", config, "-in", request_file, "-cert", ca, "-keyfile", ca_key, "-out", output, "-subj", subject,
            "-notext", *period)
    return openssl("x509", "-in", output, "-outform", "DER")


def est_body(*certificates: bytes) -> bytes:
    """A certs-only PKCS#7 as EST sends it: base64."""
    folder = scratch()
    pem = folder / "all.pem"
    pem.write_bytes(b"".join(openssl("x509", "-inform", "DER", stdin=certificate) for certificate in certificates))
    der = openssl("crl2pkcs7", "-nocrl", "-certfile", pem, "-outform", "DER")
    return base64_lines(der)


def base64_lines(data: bytes) -> bytes:
    return openssl("base64", "-e", stdin=data)


def der(path: pathlib.Path) -> bytes:
    return openssl("x509", "-in", path, "-outform", "DER")
