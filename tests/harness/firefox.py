"""Real headless Firefox as the user it belongs to, driven through Marionette: length-prefixed JSON on a TCP socket of its own
(firefox-source-docs.mozilla.org, Marionette protocol 3). The same face as harness.browser.Browser."""
import configparser
import contextlib
import itertools
import json
import os
import pathlib
import re
import signal
import socket
from typing import Any

from . import accounts, browser, nss, programs, waiting
from .browser import WebDriverError

BINARY = "/usr/bin/firefox-esr"
# What a first start would say or fetch. None of it touches TLS, certificates or policies; Marionette's own set of preferences, which
# would, stays off.
PREFERENCES: dict[str, bool | int | str] = {
    "app.normandy.enabled": False, "app.update.disabledForTesting": True, "browser.aboutwelcome.enabled": False,
    "browser.shell.checkDefaultBrowser": False, "browser.startup.page": 0, "browser.startup.homepage": "about:blank",
    "browser.safebrowsing.downloads.enabled": False, "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False, "datareporting.policy.dataSubmissionEnabled": False,
    "extensions.update.enabled": False, "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False, "network.manage-offline-status": False, "remote.prefs.recommended": False,
    "services.settings.server": "http://127.0.0.1:1/", "toolkit.telemetry.server": ""}
_names = itertools.count(1)

# the question that stands in a window, or null; answered if told to
PROMPT = """
const [answer] = arguments;
for (const window of Services.wm.getEnumerator("navigator:browser")) {
  for (const frame of window.document.querySelectorAll("browser.dialogFrame")) {
    const page = frame.contentDocument;
    if (page?.location.href !== "chrome://pippki/content/clientauthask.xhtml") continue;
    const list = page.getElementById("nicknames");
    const dialog = page.getElementById("certAuthAsk");
    const text = dialog?.textContent.trim() ?? "";
    if (!list?.itemCount || !/“.+?”/.test(text)) continue; // its words come later than its frame
    const found = {
      text,
      certificates: [...list.querySelectorAll("menuitem")].map((item) => item.label),
      remember: page.getElementById("rememberSetting").label,
    };
    if (answer === "accept") dialog.acceptDialog();
    if (answer === "cancel") dialog.cancelDialog();
    return found;
  }
}
return null;
"""


class Profile:
    """A profile that Firefox itself has made, by name; `directory` is where."""

    def __init__(self, user: str, name: str | None = None) -> None:
        self.user = user
        self.uid = accounts.uid_of(user)
        self.name = name or f"test{next(_names)}"
        self.port = programs.free_port()
        done = programs.run([BINARY, "--headless", "-CreateProfile", self.name], uid=self.uid,
                            environment=programs.user_environment(user, self.uid))
        assert done.returncode == 0, done.stdout + done.stderr
        self.directory = profiles(user)[self.name]
        self.prefer({**PREFERENCES, "marionette.port": self.port})
        self.database = nss.Database(user, self.directory)

    def prefer(self, preferences: dict[str, bool | int | str]) -> None:
        """Adds to user.js, which Firefox reads when it starts."""
        file = self.directory / "user.js"
        before = file.read_text(encoding="utf-8") if file.exists() else ""
        lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in preferences.items()]
        file.write_text(before + "".join(lines), encoding="utf-8")

    def trust_tls_ca(self, ca_file: pathlib.Path) -> "Profile":
        """So that Firefox accepts the test server's own TLS certificate without any flag. Makes the database where Firefox has not
        yet."""
        if not (self.directory / "cert9.db").exists():
            self.database.create()
        self.database.trust_tls_ca(ca_file)
        return self


def profiles_ini(user: str) -> pathlib.Path | None:
    for root in (".mozilla/firefox", ".config/mozilla/firefox"):
        file = accounts.home(user) / root / "profiles.ini"
        if file.exists():
            return file
    return None


def profiles(user: str) -> dict[str, pathlib.Path]:
    """Name → directory, as profiles.ini has it."""
    file = profiles_ini(user)
    if not file:
        return {}
    ini = configparser.ConfigParser(interpolation=None)
    ini.read(file, encoding="utf-8")
    found = {}
    for section in ini.sections():
        if section.startswith("Profile"):
            path = ini[section]["Path"]
            found[ini[section]["Name"]] = file.parent / path if ini[section].get("IsRelative") == "1" else pathlib.Path(path)
    return found


class Firefox(browser.Pages):
    def __init__(self, profile: Profile, timeout_s: float | None = None, screen: Any = None) -> None:
        """`screen`: a harness.screen.Screen to be seen on."""
        self.profile = profile
        self.timeout_s = timeout_s or waiting.PATIENCE
        self.program = programs.Program(
            f"firefox({profile.user},{profile.name})",
            [BINARY, *self._face(screen), "--marionette", "--remote-allow-system-access", "--no-remote", "-P", profile.name],
            uid=profile.uid, environment=programs.user_environment(profile.user, profile.uid) | {"MOZ_CRASHREPORTER_DISABLE": "1"})
        if screen:
            self.program.environment["DISPLAY"] = screen.name
        self.socket: socket.socket | None = None
        self.received = b""
        self.numbers = itertools.count(1)

    @staticmethod
    def _face(screen: Any) -> list[str]:
        return ["--width", str(screen.WIDTH), "--height", str(screen.HEIGHT)] if screen else ["--headless"]

    def start(self) -> "Firefox":
        self.program.start()
        self.socket = waiting.until(self._connect, "Marionette listens", alive=self.program.check_alive)
        hello = self._receive()
        assert hello["marionetteProtocol"] == 3, hello
        milliseconds = int(self.timeout_s * 1000)
        self.command("WebDriver:NewSession", {"capabilities": {"alwaysMatch": {
            "acceptInsecureCerts": False, "timeouts": {"pageLoad": milliseconds, "script": milliseconds}}}})
        self.get("about:blank")  # what a window loads when it opens is over then
        return self

    def _connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.profile.port), timeout=self.timeout_s + 30)

    def _receive(self) -> Any:
        """LENGTH ":" JSON."""
        while b":" not in self.received:
            self.received += self._more()
        size, _, rest = self.received.partition(b":")
        while len(rest) < int(size):
            rest += self._more()
        self.received = rest[int(size):]
        return json.loads(rest[:int(size)])

    def _more(self) -> bytes:
        assert self.socket
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError(f"Firefox closed the connection\n{self.program.tail()}")
        return data

    def command(self, name: str, parameters: dict[str, Any] | None = None) -> Any:
        assert self.socket
        number = next(self.numbers)
        message = json.dumps([0, number, name, parameters or {}]).encode()
        self.socket.sendall(b"%d:%s" % (len(message), message))
        while True:
            kind, answered, error, result = self._receive()
            if kind == 1 and answered == number:
                break
        if error:
            message_text = error.get("message", "")
            raise WebDriverError(error["error"], message_text.splitlines()[0] if message_text else "")
        return result["value"] if isinstance(result, dict) and set(result) == {"value"} else result

    def get(self, url: str) -> None:
        self.command("WebDriver:Navigate", {"url": url})

    def reload(self) -> None:
        self.command("WebDriver:Refresh")

    def script(self, text: str, *arguments: Any) -> Any:
        return self.command("WebDriver:ExecuteScript", {"script": text, "args": list(arguments)})

    def async_script(self, text: str, *arguments: Any) -> Any:
        return self.command("WebDriver:ExecuteAsyncScript", {"script": text, "args": list(arguments)})

    def status(self) -> str | None:
        """What the portal's page says at this moment; None: there is no such page."""
        try:
            return self.script("return document.querySelector('main[data-status]')?.dataset.status ?? null")
        except WebDriverError:  # between two pages
            return None

    def page_source(self) -> str:
        return str(self.command("WebDriver:GetPageSource"))

    def chrome(self, text: str, *arguments: Any) -> Any:
        """A script in the browser's own window: what a person sees there, and its preferences."""
        self.command("Marionette:SetContext", {"value": "chrome"})
        try:
            return self.script(text, *arguments)
        finally:
            self.command("Marionette:SetContext", {"value": "content"})

    def open(self, url: str) -> None:
        """Goes there without waiting: while a question stands, the page does not load."""
        self.chrome("""gBrowser.selectedBrowser.fixupAndLoadURIString(arguments[0], {
            triggeringPrincipal: Services.scriptSecurityManager.getSystemPrincipal()});""", url)

    def prompt(self, answer: str | None = None) -> dict[str, Any] | None:
        """The question which certificate to present, if it stands on the screen: its text, the certificates to choose from, and how
        long the answer would hold. `answer`: accept, cancel."""
        return self.chrome(PROMPT, answer)

    def answer(self, answer: str) -> dict[str, Any]:
        """Waits for the question and answers it, until it is gone; what it was."""
        question = waiting.until(self.prompt, "the question which certificate to present")
        waiting.until(lambda: (self.prompt(answer) or {}).get("text") != question["text"], "the question is gone")
        return question

    def private_window(self) -> str:
        """Opens one and switches to it; its handle."""
        handle = self.command("WebDriver:NewWindow", {"type": "window", "private": True})["handle"]
        self.switch(handle)
        return handle

    def switch(self, handle: str) -> None:
        self.command("WebDriver:SwitchToWindow", {"handle": handle})

    def preference(self, name: str) -> Any:
        return self.chrome("""
            const [name] = arguments, prefs = Services.prefs;
            switch (prefs.getPrefType(name)) {
              case prefs.PREF_STRING: return prefs.getStringPref(name);
              case prefs.PREF_INT: return prefs.getIntPref(name);
              case prefs.PREF_BOOL: return prefs.getBoolPref(name);
            }
            return null;""", name)

    def close(self) -> None:
        """Ends it as a person would; what does not end is killed."""
        if self.socket:
            try:
                self.program.expected_end = True
                self.command("Marionette:Quit", {"flags": ["eAttemptQuit"]})
                self.program.process.wait(waiting.PATIENCE)
            except (WebDriverError, OSError, programs.subprocess.TimeoutExpired):
                pass
            self.socket.close()
            self.socket = None
        self.program.kill()
        self._end_children(self.program.pid)

    @staticmethod
    def _end_children(parent: int) -> None:
        """Its content processes notice by themselves that it has gone; one that hangs would pass for a Firefox that still runs."""
        names_parent = re.compile(rb"-parentPid[ \0]%d[ \0]" % parent)  # the fork server's children have blanks between their words

        def left() -> list[int]:
            found = []
            for process in pathlib.Path("/proc").iterdir():
                if process.name.isdigit():
                    with contextlib.suppress(OSError):
                        if names_parent.search((process / "cmdline").read_bytes()):
                            found.append(int(process.name))
            return found
        for child in left():
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        waiting.until(lambda: not left(), "no process of this Firefox is left")

    def __enter__(self) -> "Firefox":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()
