"""A screen in memory (Xvfb) for what headless browsers do not draw: their own questions. No window manager: keys go to the window
under the pointer, which rests in the middle."""
import pathlib
import struct
import zlib
from typing import Any

from Xlib import X, XK, display
from Xlib.ext import xtest

from . import programs, waiting

WIDTH, HEIGHT = 900, 480
ROWS, COLUMNS = 2, 4  # every second row, every fourth pixel of it: a look at a picture costs milliseconds
ACCENT = 60  # samples: the frame around a field, or more than half of a button


class Picture:
    def __init__(self, data: bytes) -> None:
        self.data = data  # B, G, R, unused

    def asks(self) -> bool:
        """Whether something has the strong blue that browsers give to the button that Return presses, and to the field that takes
        what is typed: nothing else of a window without a page has it."""
        found = 0
        for y in range(0, HEIGHT, ROWS):
            row = self.data[y * WIDTH * 4:(y + 1) * WIDTH * 4]
            found += sum(blue > 170 and green < 140 and red < 60 for blue, green, red in
                         zip(row[0::4 * COLUMNS], row[1::4 * COLUMNS], row[2::4 * COLUMNS]))
        return found >= ACCENT

    def save(self, path: pathlib.Path) -> None:
        """As a PNG (RFC 2083) of 64 levels a channel, each row after the one above it: small enough for a repository."""
        rows = []
        above = bytes(WIDTH * 3)
        for y in range(HEIGHT):
            line = self.data[y * WIDTH * 4:(y + 1) * WIDTH * 4]
            row = bytearray(WIDTH * 3)
            row[0::3], row[1::3], row[2::3] = line[2::4], line[1::4], line[0::4]
            row = bytearray(value & 0xFC for value in row)
            rows.append(b"\2" + bytes((value - over) & 0xFF for value, over in zip(row, above)))
            above = bytes(row)

        def chunk(kind: bytes, body: bytes) -> bytes:
            return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0))
                         + chunk(b"IDAT", zlib.compress(b"".join(rows), 9)) + chunk(b"IEND", b""))


class Screen:
    WIDTH, HEIGHT = WIDTH, HEIGHT

    def __init__(self) -> None:
        self.server = programs.Program("Xvfb", ["/usr/bin/Xvfb", "-displayfd", "1", "-screen", "0", f"{WIDTH}x{HEIGHT}x24", "-nolisten", "tcp"])
        self.name = ""
        self.display: Any = None

    def __enter__(self) -> "Screen":
        self.server.start()
        self.name = f":{self.server.wait_log(r'^([0-9]+)$')[1]}"
        self.display = display.Display(self.name)
        return self

    def __exit__(self, *_: object) -> None:
        if self.display:
            self.display.close()
        self.server.kill()

    def picture(self) -> Picture:
        image = self.display.screen().root.get_image(0, 0, WIDTH, HEIGHT, X.ZPixmap, 0xFFFFFFFF)
        return Picture(image.data)

    def question(self) -> Picture:
        """Waits until a question stands there, drawn to the end; what it looks like."""
        last = self.picture()

        def drawn() -> Picture | None:
            nonlocal last
            before, last = last, self.picture()
            return last if last.data == before.data and last.asks() else None
        return waiting.until(drawn, "a question on the screen", alive=self.server.check_alive)

    def press(self, *keys: str) -> None:
        """By the names of keysymdef.h: Return, End, Escape."""
        for key in keys:
            code = self.display.keysym_to_keycode(XK.string_to_keysym(key))
            for event in (X.KeyPress, X.KeyRelease):
                xtest.fake_input(self.display, event, code)
        self.display.sync()

