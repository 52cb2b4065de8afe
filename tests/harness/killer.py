"""Kills a program at a chosen moment: at its n-th system call of a kind, by strace's injection from outside."""
import re
import subprocess
import tempfile
import threading

from . import programs, waiting

# what leaves a trace outside the process: files, the directory, peers
CALLS = ("fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat,ftruncate,pwrite64,write,writev,"
         "sendto,sendmsg")


class Tracer:
    """strace, attached. `kill_at`: SIGKILL when any thread enters its n-th call; None: only counts."""

    def __init__(self, program: programs.Program, kill_at: int | None = None) -> None:
        self.program = program
        self.output = tempfile.NamedTemporaryFile("r", dir=programs.RUN, suffix=".strace")
        inject = [] if kill_at is None else ["-e", f"inject={CALLS}:signal=SIGKILL:when={kill_at}"]
        self.process = subprocess.Popen(["strace", "-f", "-o", self.output.name, "-e", f"trace={CALLS}", *inject, "-p", str(program.pid)],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        attached = threading.Event()
        lines: list[str] = []

        def read() -> None:
            for line in self.process.stderr:
                lines.append(line)
                if re.search(r"Process \d+ attached", line):
                    attached.set()
            attached.set()
        threading.Thread(target=read, daemon=True).start()
        program.expected_end = kill_at is not None
        assert attached.wait(waiting.PATIENCE) and self.process.poll() is None, f"strace: {''.join(lines)}"

    def counts(self) -> int:
        """The most calls of any one thread so far: moments to choose from."""
        per_thread: dict[str, int] = {}
        with open(self.output.name, encoding="utf-8", errors="replace") as file:
            for line in file:
                match = re.match(r"^(\d+)\s+\w+\(", line)
                if match:
                    per_thread[match[1]] = per_thread.get(match[1], 0) + 1
        return max(per_thread.values(), default=0)

    def detach(self) -> None:
        """Ends strace; the program goes on, if it lives."""
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(waiting.PATIENCE)
        self.output.close()
