"""The people of the sandbox."""
import os
import pathlib
import pwd
import shutil

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
DEMO = ("alice", "bob", "carol")


def home(name: str) -> pathlib.Path:
    return pathlib.Path(pwd.getpwnam(name).pw_dir)


def uid_of(name: str) -> int:
    return pwd.getpwnam(name).pw_uid


def add(name: str, uid: int) -> None:
    """An ordinary account with a home and a runtime directory."""
    with open("/etc/passwd", "a", encoding="utf-8") as file:
        file.write(f"{name}:x:{uid}:{uid}:{name}:{home('alice').parent}/{name}:/bin/sh\n")
    with open("/etc/group", "a", encoding="utf-8") as file:
        file.write(f"{name}:x:{uid}:\n")
    make_home(name)


def remove(name: str) -> None:
    """Takes the account out of passwd and group; its home stays."""
    for path in ("/etc/passwd", "/etc/group"):
        with open(path, encoding="utf-8") as file:
            lines = [line for line in file if line.split(":")[0] != name]
        with open(path + ".new", "w", encoding="utf-8") as file:
            file.writelines(lines)
        os.rename(path + ".new", path)


def make_home(name: str) -> pathlib.Path:
    """An empty home and runtime directory, whatever was there."""
    uid = uid_of(name)
    own = home(name)
    assert not ROOT.is_relative_to(own), f"{own} holds this repository"
    for path in (own, pathlib.Path("/run/user", str(uid))):
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.chown(path, uid, uid)
    return own
