#!/usr/bin/python3
"""sandbox [--net=own|host] [--] COMMAND…: runs a command as root of a machine of its own that vanishes with it.

New mount and pid namespaces (and a user namespace when not root), tmpfs over /run, /home, /root, /tmp, /var/tmp and /dev/shm, a copy
of /etc with demo accounts alice (1000), bob (1001) and carol (1002). Everything dies with process 1 of the pid
namespace, and that dies with whoever started this: nothing is left after kill -9 of any of them. The network is the sandbox's
own loopback, or the machine's with --net=host or KEEP=1. In a bare chroot it works as root.

The command finds in its environment: DEVTRUST_SANDBOX (process 1, as a pid outside), DEVTRUST_SANDBOX_USERNS (1 or 0),
DEVTRUST_SANDBOX_NET (own or host).
"""
import ctypes
import errno
import fcntl
import os
import pathlib
import pwd
import shutil
import signal
import socket
import struct
import subprocess
import sys
import uuid

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
ACCOUNTS = {"alice": 1000, "bob": 1001, "carol": 1002}
# where nobody's clone lies, even if its owner is called alice
HOMES = pathlib.Path("/home" if not any(ROOT.is_relative_to(f"/home/{name}") for name in ACCOUNTS) else "/home/.demo")
EMPTY = ("/run", "/home", "/root", "/tmp", "/var/tmp")
# what a demo that is kept (KEEP=1) has outside, so that root there can use it by plain paths
OUTSIDE = ("build/demo/world", "build/demo/env", "build/demo/enter")
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWNET = 0x00020000, 0x20000000, 0x40000000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 8, 4096, 16384, 1 << 18
PR_SET_PDEATHSIG = 1
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1


def die(message: str) -> "None":
    print(f"sandbox: {message}", file=sys.stderr)
    sys.exit(1)


def check(result: int, what: str) -> None:
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    check(LIBC.mount(source.encode(), target.encode(), kind.encode() if kind else None, ctypes.c_ulong(flags),
                     data.encode() if data else None), f"mount {kind or 'bind'} on {target}")


def unshare(flags: int, what: str) -> None:
    check(LIBC.unshare(flags), what)


def die_with_parent() -> None:
    """The kernel kills this process when its parent ends, however it ends."""
    parent = os.getppid()
    check(LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl")
    if os.getppid() != parent:
        os._exit(1)


def forbidden(error: OSError) -> None:
    """What is missing, for a person."""
    lines = [f"the kernel forbids what the sandbox needs: {error.strerror}"]
    if os.geteuid() != 0 or os.environ.get("DEVTRUST_SANDBOX_USERNS") == "1":
        lines.append("Not run as root, so it needs user namespaces with mount, pid and proc in them. Run it as root, or allow them:"
                     " sysctl user.max_user_namespaces and kernel.unprivileged_userns_clone must not be 0.")
    else:
        lines.append("Run as root, but without CAP_SYS_ADMIN, or in a container whose seccomp profile forbids mount and unshare."
                     " Run it on the machine itself, in a virtual machine, or in a container that allows them (docker run"
                     " --privileged).")
    die("\n  ".join(lines))


def private_mounts() -> None:
    """Nothing that is mounted from here on is seen outside. In a bare chroot "/" is no mount point, so propagation can only be
    changed at the root of the mount namespace: go there (out of a second chroot that the working directory is not in) and come
    back."""
    try:
        mount("none", "/", None, MS_REC | MS_PRIVATE)
        return
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    here = os.open("/", os.O_PATH | os.O_DIRECTORY)
    os.chdir("/")
    os.chroot("/usr")
    while not os.path.samestat(os.stat("."), os.stat("..")):
        os.chdir("..")
    os.chroot(".")
    mount("none", "/", None, MS_REC | MS_PRIVATE)
    os.fchdir(here)
    os.chroot(".")
    os.close(here)


def own_dev() -> None:
    """A chroot's /dev may lack everything but a few nodes: those are kept, the rest is made here."""
    pathlib.Path("/run/dev").mkdir()
    mount("tmpfs", "/run/dev", "tmpfs", MS_NOSUID, "mode=0755,size=1m")
    for name in DEVICES:
        node = pathlib.Path("/dev", name)
        if node.exists():
            target = pathlib.Path("/run/dev", name)
            target.touch()
            mount(str(node), str(target), None, MS_BIND)
    for name, target in (("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0"), ("stdout", "/proc/self/fd/1"),
                         ("stderr", "/proc/self/fd/2")):
        pathlib.Path("/run/dev", name).symlink_to(target)
    pathlib.Path("/run/dev/shm").mkdir()
    mount("/run/dev", "/dev", None, MS_BIND | MS_REC)


def own_etc() -> None:
    """A copy of /etc that root here owns, with the demo accounts in place of those of the same name or uid."""
    new = pathlib.Path("/run/etc")
    new.mkdir()
    mount("tmpfs", str(new), "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755")
    copy_tree("/etc", str(new))
    shutil.rmtree(new / "chromium" / "policies", ignore_errors=True)
    shutil.rmtree(new / "firefox", ignore_errors=True)
    shutil.rmtree(new / "devtrust", ignore_errors=True)
    for name, fields in (("passwd", "{0}:x:{1}:{1}:{0}:{2}/{0}:/bin/bash"), ("group", "{0}:x:{1}:")):
        path = new / name
        lines = path.read_text(encoding="utf-8", errors="surrogateescape").splitlines() if path.exists() else []
        taken = {str(uid) for uid in ACCOUNTS.values()}
        lines = [line for line in lines if line.split(":")[0] not in ACCOUNTS and (line.split(":") + ["", "", ""])[2] not in taken]
        lines += [fields.format(account, uid, HOMES) for account, uid in ACCOUNTS.items()]
        path.unlink(missing_ok=True)
        path.write_text("\n".join(lines) + "\n", encoding="utf-8", errors="surrogateescape")
    for name, text in (("machine-id", uuid.uuid4().hex + "\n"),
                       ("nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n"),
                       ("hosts", "127.0.0.1 localhost\n")):
        (new / name).unlink(missing_ok=True)
        (new / name).write_text(text, encoding="ascii")
    mount(str(new), "/etc", None, MS_BIND | MS_REC)


def copy_tree(source: str, target: str) -> None:
    """Like cp -a, but what may not be read is left out and sockets and the like are no errors."""
    with os.scandir(source) as entries:
        for entry in entries:
            copy = os.path.join(target, entry.name)
            try:
                if entry.is_symlink():
                    os.symlink(os.readlink(entry.path), copy)
                elif entry.is_dir():
                    os.mkdir(copy)
                    copy_tree(entry.path, copy)
                    shutil.copymode(entry.path, copy)
                elif entry.is_file():
                    shutil.copyfile(entry.path, copy)
                    shutil.copymode(entry.path, copy)
                    status = entry.stat()
                    if status.st_uid != 65534:  # the overflow uid: an owner that this user namespace does not know
                        os.chown(copy, status.st_uid, status.st_gid)
            except OSError:
                pass  # unreadable for this user, or an owner that has no number in this user namespace


def furnish() -> None:
    """The inside of the machine."""
    repository = os.open(ROOT, os.O_PATH | os.O_DIRECTORY)
    directory = os.getcwd()
    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    for path in EMPTY:
        if os.path.isdir(path):
            mount("tmpfs", os.path.realpath(path), "tmpfs", MS_NOSUID | MS_NODEV, "mode=" + ("1777" if "tmp" in path else "0755"))
    if any(ROOT.is_relative_to(os.path.realpath(path)) for path in EMPTY):
        ROOT.mkdir(parents=True, exist_ok=True)
        mount(f"/proc/self/fd/{repository}", str(ROOT), None, MS_BIND | MS_REC)
    os.close(repository)
    if not os.path.isdir("/dev/shm"):
        own_dev()
    mount("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777")
    own_etc()
    pathlib.Path("/run/user").mkdir()
    HOMES.mkdir(exist_ok=True)
    for account, uid in ACCOUNTS.items():
        for path in (HOMES / account, pathlib.Path("/run/user", str(uid))):
            path.mkdir(mode=0o700)
            os.chown(path, uid, uid)
    os.chdir(directory if os.path.isdir(directory) else "/")


def loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = fcntl.ioctl(control, SIOCGIFFLAGS, struct.pack("16sH14x", b"lo", 0))
        flags = struct.unpack("16sH14x", request)[1]
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | IFF_UP))


def init(command: list[str], outside_pid: int, net: str) -> int:
    """Process 1: furnishes, starts the command, reaps whatever is orphaned, and ends with the command."""
    try:
        furnish()
    except OSError as error:
        forbidden(error)
    environment = {**os.environ, "HOME": "/root", "DEVTRUST_SANDBOX": str(outside_pid), "DEVTRUST_SANDBOX_NET": net,
                   "DEVTRUST_SANDBOX_USERNS": os.environ.get("DEVTRUST_SANDBOX_USERNS", "0"), "PYTHONDONTWRITEBYTECODE": "1"}
    for name in ("XDG_RUNTIME_DIR", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "DBUS_SESSION_BUS_ADDRESS", "TMPDIR"):
        environment.pop(name, None)
    child = os.fork()
    if child == 0:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
        try:
            os.execvpe(command[0], command, environment)
        except OSError as error:
            print(f"sandbox: {command[0]}: {error.strerror}", file=sys.stderr)
        os._exit(127)
    forward_signals(child)
    while True:
        ended, status = os.wait()
        if ended == child:
            return exit_status(status)


def forward_signals(child: int) -> None:
    """A terminal sends Ctrl-C to all by itself; the others come to one process and are passed on."""
    signal.signal(signal.SIGINT, lambda number, frame: None)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, frame: os.kill(child, number))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))


def exit_status(status: int) -> int:
    return os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


def sweep_at_end() -> int:
    """Starts a process that removes OUTSIDE when this one and all that it starts are gone, however they end. Returns the descriptor
    that it waits for: to be kept open and not passed on."""
    wait, hold = os.pipe()
    if os.fork() == 0:
        os.setsid()
        os.close(hold)
        nothing = os.open("/dev/null", os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(nothing, number)
        os.read(wait, 1)
        for name in OUTSIDE:
            path = ROOT / name
            shutil.rmtree(path, ignore_errors=True)
            path.unlink(missing_ok=True)
        os._exit(0)
    os.close(wait)
    return hold


def become_root(arguments: list[str]) -> None:
    """Runs this again as root of a user namespace with the caller's subordinate uids."""
    for tool, package in (("unshare", "util-linux"), ("newuidmap", "uidmap")):
        if not shutil.which(tool):
            die(f"not run as root, and {tool} is missing: install the Debian package {package}, or run it as root")
    try:
        account = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        die(f"not run as root, and uid {os.getuid()} has no account and so no subordinate uids: run it as root")
    for file in ("/etc/subuid", "/etc/subgid"):
        text = pathlib.Path(file).read_text(encoding="utf-8") if os.path.exists(file) else ""
        if not any(line.split(":")[0] in (account, str(os.getuid())) for line in text.splitlines()):
            die(f"not run as root, and {file} gives you no subordinate ids: run usermod --add-subuids 100000-165535"
                f" --add-subgids 100000-165535 {account} as root, or run this as root")
    unshare_user = ["unshare", "--user", "--map-root-user", "--map-auto", "--"]
    os.environ["DEVTRUST_SANDBOX_USERNS"] = "1"
    probe = subprocess.run([*unshare_user, "true"], capture_output=True, text=True, check=False)
    if probe.returncode != 0:
        forbidden(OSError(errno.EPERM, probe.stderr.strip()))
    os.execvp("unshare", [*unshare_user, sys.executable, __file__, *arguments])


def parse(arguments: list[str]) -> tuple[str, list[str]]:
    net = "host" if os.environ.get("KEEP") else "own"
    while arguments and arguments[0].startswith("-"):
        option = arguments.pop(0)
        if option in ("--net=own", "--net=host"):
            net = option.removeprefix("--net=")
        elif option == "--":
            break
        else:
            die(f"unknown option {option}\n{__doc__}")
    if not arguments:
        die(f"no command\n{__doc__}")
    return net, arguments


def main() -> int:
    net, command = parse(sys.argv[1:])
    die_with_parent()
    if os.geteuid() != 0:
        become_root(sys.argv[1:])
    if os.environ.get("KEEP"):
        sweep_at_end()
    try:
        unshare(CLONE_NEWNS | CLONE_NEWPID, "new mount and pid namespaces")
        directory = os.getcwd()
        private_mounts()
        os.chdir(directory)
        if net == "own":
            try:
                unshare(CLONE_NEWNET, "a new network namespace")
                loopback_up()
            except OSError:
                net = "host"  # free ports are asked for there
    except OSError as error:
        forbidden(error)
    told, tell = os.pipe()
    # until both have their handlers, a signal waits
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
    child = os.fork()
    if child == 0:
        os.close(tell)
        die_with_parent()
        outside_pid = struct.unpack("i", os.read(told, 4))[0]  # nothing to read: the parent is gone already
        os.close(told)
        os._exit(init(command, outside_pid, net))
    os.write(tell, struct.pack("i", child))
    forward_signals(child)
    while True:
        ended, status = os.wait()
        if ended == child:
            return exit_status(status)


if __name__ == "__main__":
    sys.exit(main())
