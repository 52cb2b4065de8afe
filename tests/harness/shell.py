"""Interactive bash and zsh on a terminal of their own, as somebody who types and presses keys meets them."""
import os
import pathlib
import pty
import select
import subprocess
import time

from . import programs, waiting

# Both: M-a puts every completion of the word into the line; M-z writes the line to the pipe and empties it.
BASH_SETUP = r"""
PS1='$ ' PS2= PROMPT_COMMAND=
bind 'set bell-style none' 'set colored-completion-prefix off' 'set enable-bracketed-paste off'
bind '"\ea": insert-completions'
bind -x '"\ez": printf "%s\n" "$READLINE_LINE" >"$TYPED"; READLINE_LINE=; READLINE_POINT=0'
"""
ZSH_SETUP = r"""
PS1='%% ' PS2= PROMPT_EOL_MARK=
unsetopt BEEP
autoload -Uz compinit
compinit -u -D
zle -C every-match complete-word _generic
bindkey '\ea' every-match
zstyle ':completion:every-match::::' completer _all_matches _complete
zstyle ':completion:every-match:*' insert true
write-line() { print -r -- "$BUFFER" >"$TYPED"; BUFFER=; }
zle -N write-line
bindkey '\ez' write-line
"""


class Shell:
    """A shell that has read `script` (a completion script) and waits for keys."""

    def __init__(self, kind: str, script: pathlib.Path, base: pathlib.Path, environment: dict[str, str] | None = None) -> None:
        self.base = base
        base.mkdir(parents=True, exist_ok=True)
        self.pipe = base / "typed"
        os.mkfifo(self.pipe)
        self.typed = os.open(self.pipe, os.O_RDWR | os.O_NONBLOCK)
        self.screen = ""
        self.terminal, other = pty.openpty()
        startup = base / "startup"
        (base / "empty").mkdir()
        own = programs.base_environment() | {"TERM": "dumb" if kind == "bash" else "vt100", "TYPED": str(self.pipe), "COLUMNS": "2000",
                                             "ZDOTDIR": str(base / "empty"), "HISTFILE": "/dev/null"} | (environment or {})
        setup, source = (BASH_SETUP, f"source {script}") if kind == "bash" else (ZSH_SETUP, f"source {script}")
        startup.write_text(f"{setup}\n{source}\nprintf 'ready\\n' >\"$TYPED\"\n", encoding="utf-8")
        argv = ["/bin/bash", "--norc", "--noprofile", "-i"] if kind == "bash" else ["/usr/bin/zsh", "-f", "-i"]
        self.process = subprocess.Popen(argv, stdin=other, stdout=other, stderr=other, env=own, cwd=base / "empty",
                                        start_new_session=True)
        os.close(other)
        self.press(f"source {startup}\n")
        assert self.line() == "ready", self.screen

    def press(self, keys: str) -> None:
        os.write(self.terminal, keys.encode())

    def line(self) -> str:
        """What the shell writes to the pipe next; the screen is read meanwhile."""
        deadline = time.monotonic() + waiting.PATIENCE
        collected = b""
        while time.monotonic() < deadline:
            readable, _, _ = select.select([self.typed, self.terminal], [], [], deadline - time.monotonic())
            if self.terminal in readable:
                self.screen += os.read(self.terminal, 65536).decode("utf-8", "replace")
            if self.typed in readable:
                collected += os.read(self.typed, 65536)
                if collected.endswith(b"\n"):
                    return collected.decode().rstrip("\n")
        raise waiting.Timeout(f"the shell does not answer; on its screen:\n{self.screen}")

    def after(self, typed: str, keys: str) -> str:
        """The line after somebody has typed and pressed."""
        self.screen = ""
        self.press(typed + keys + "\x1bz")
        return self.line()

    def completions(self, typed: str) -> list[str]:
        """Every completion of the last word of `typed`."""
        line = self.after(typed, "\x1ba")
        begin = typed[:typed.rfind(" ") + 1]
        assert line.startswith(begin), (typed, line)
        words = line[len(begin):].split()
        return [] if line == typed else words

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.terminal)
        os.close(self.typed)
