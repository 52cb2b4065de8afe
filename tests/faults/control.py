"""The walker's side of shim.h: says which call of a program goes wrong, and reads which were made."""
import dataclasses
import errno
import mmap
import pathlib
import struct

from harness import programs

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SHIM = ROOT / "build" / "faults" / "shim.so"
MAX_POINTS, DETAIL_SIZE = 8192, 80
HEADER = struct.Struct("<IIIiIIII")
POINT = struct.Struct(f"<12sI{DETAIL_SIZE}s")
FILE, SEND, RECEIVE, COMMIT, DATA = 1, 2, 4, 8, 32
ALL = FILE | SEND | RECEIVE
# kind → (number in shim.h, errno, classes that it can happen to)
KINDS = {"count": (0, 0, ALL), "kill-before": (1, 0, ALL), "kill-after": (2, 0, ALL), "EIO": (3, errno.EIO, ALL),
         "ENOSPC": (4, errno.ENOSPC, FILE), "short": (5, 0, DATA)}


def commits(kind: str) -> int:
    """Where something becomes lasting, or known to a peer."""
    return COMMIT if kind == "ENOSPC" else COMMIT | SEND


@dataclasses.dataclass(frozen=True)
class Point:
    call: str
    classes: int
    detail: str

    def __str__(self) -> str:
        return f"{self.call} {self.detail}"


class Control:
    """Of one program: it is started with the shim in front, and does as this says from then on."""

    def __init__(self, program: programs.Program, path: pathlib.Path) -> None:
        size = HEADER.size + MAX_POINTS * POINT.size
        path.write_bytes(bytes(size))
        path.chmod(0o666)  # the agent is somebody else
        self.file = open(path, "r+b")  # pylint: disable=consider-using-with
        self.map = mmap.mmap(self.file.fileno(), size)
        library = programs.RUN / "shim.so"  # where every user can read it
        if not library.exists():
            library.write_bytes(SHIM.read_bytes())
            library.chmod(0o755)
        program.environment |= {"LD_PRELOAD": str(library), "FAULTS_CONTROL": str(path)}

    def arm(self, kind: str, at: int, wanted: int | None = None) -> None:
        """From now on calls are counted; the one that counts `at` meets its fault."""
        number, error, classes = KINDS[kind]
        HEADER.pack_into(self.map, 0, 0, number, at, error, classes if wanted is None else wanted, 0, 0, 0)
        self.map[0:4] = struct.pack("<I", 1)

    def disarm(self) -> None:
        self.map[0:4] = bytes(4)

    def _header(self, index: int) -> int:
        return HEADER.unpack_from(self.map, 0)[index]

    @property
    def count(self) -> int:
        return self._header(5)

    @property
    def fired(self) -> bool:
        return self._header(6) != 0

    def points(self) -> list[Point]:
        found = []
        for index in range(min(self.count, MAX_POINTS)):
            call, classes, detail = POINT.unpack_from(self.map, HEADER.size + index * POINT.size)
            found.append(Point(*(text.split(b"\0")[0].decode("utf-8", "replace") if isinstance(text, bytes) else text
                                 for text in (call, classes, detail))))
        return found
