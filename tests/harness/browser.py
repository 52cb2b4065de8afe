"""Real headless Chromium as the user it belongs to, driven through chromedriver (W3C WebDriver, plain HTTP)."""
import contextlib
import http.client
import itertools
import json
import os
import pathlib
import signal
import time
from typing import Any

from . import accounts, programs, waiting

ARGUMENTS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
             "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage")
_numbers = itertools.count(1)

# resolves with [status, fields] as soon as the page says `wanted` (or anything final, if null)
READ_PAGE = """
const [wanted, done] = arguments;
const read = () => {
  const main = document.querySelector('main[data-status]');
  if (!main) return false;
  const status = main.dataset.status;
  if (status === 'checking' || (wanted && status !== wanted)) return false;
  const fields = {};
  for (const element of main.querySelectorAll('[data-field]')) fields[element.dataset.field] = element.textContent.trim();
  done([status, fields]);
  return true;
};
if (!read()) {
  const observer = new MutationObserver(() => { if (read()) observer.disconnect(); });
  observer.observe(document, {subtree: true, childList: true, attributes: true, characterData: true});
}
"""


# resolves with what Chromium's certificate manager says of the client certificates that it has found in the user's database
COUNT_CLIENT_CERTIFICATES = """
const [done] = arguments;
const find = (node) => {
  for (const child of node.querySelectorAll('*')) {
    const found = child.id === 'viewOsImportedClientCerts' ? child : child.shadowRoot && find(child.shadowRoot);
    if (found) return found;
  }
  return null;
};
const look = () => {
  const text = find(document)?.shadowRoot?.getElementById('subLabel')?.textContent.trim();
  text ? done(text) : requestAnimationFrame(look);
};
look();
"""


class WebDriverError(Exception):
    def __init__(self, kind: str, message: str) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind


class Pages:
    """What the portal's page says, for any driver that has get(), reload(), async_script() and page_source()."""
    timeout_s: float

    def page(self, wanted: str | None = None) -> tuple[str, dict[str, str]]:
        """What the portal's page says, once it says something final; or once it says `wanted`."""
        deadline = time.monotonic() + self.timeout_s
        while True:
            try:
                answer = self.async_script(READ_PAGE, wanted)
                if answer:
                    return answer[0], answer[1]
                assert time.monotonic() < deadline, f"the page does not say {wanted or 'anything final'}\n{self.source()}"
            except WebDriverError as error:
                # the page's own navigation ends a script that waits in it: ask the new page
                if error.kind not in ("javascript error", "stale element reference", "unknown error") or time.monotonic() > deadline:
                    raise AssertionError(f"the page does not say {wanted or 'anything final'}: {error}\n{self.source()}") from None

    def source(self) -> str:
        try:
            return self.page_source()[:4000]
        except (WebDriverError, OSError) as error:
            return str(error)

    def visit(self, url: str, wanted: str | None = None) -> tuple[str, dict[str, str]]:
        self.get(url)
        return self.page(wanted)

    def revisit(self, wanted: str | None = None) -> tuple[str, dict[str, str]]:
        """The same page loaded anew, as a person would press reload."""
        self.reload()
        return self.page(wanted)


class Browser(Pages):
    """`timeout_s` bounds every page load: headless Chromium hangs for ever where a window would ask which certificate to use, so
    a prompt shows as a time-out."""

    def __init__(self, user: str, timeout_s: float | None = None, arguments: tuple[str, ...] = (), profile: str | None = None,
                 screen: Any = None) -> None:
        """`profile`: a directory in the home, to be used again; otherwise a new one. `screen`: a harness.screen.Screen to be seen on."""
        self.user = user
        self.arguments = (*ARGUMENTS, *arguments)
        if screen:
            self.arguments = (*(argument for argument in self.arguments if argument != "--headless"), "--window-position=0,0",
                              f"--window-size={screen.WIDTH},{screen.HEIGHT}")
        self.timeout_s = timeout_s or waiting.PATIENCE
        self.uid = accounts.uid_of(user)
        self.driver = programs.Program(f"chromedriver({user})", ["/usr/bin/chromedriver", "--port=0"], uid=self.uid,
                                       environment=programs.user_environment(user, self.uid) | {"TMPDIR": "/tmp"})
        if screen:
            self.driver.environment["DISPLAY"] = screen.name
        self.port = 0
        self.session = ""
        self.profile = pathlib.Path(accounts.home(user), profile or f"browser-profile-{next(_numbers)}")

    def start_driver(self) -> "Browser":
        """Without the browser yet: for who measures how long that takes."""
        self.driver.start()
        self.port = int(self.driver.wait_log(r"started successfully on port (\d+)")[1])
        return self

    def start(self) -> "Browser":
        if not self.port:
            self.start_driver()
        options = {"binary": "/usr/bin/chromium", "args": [*self.arguments, f"--user-data-dir={self.profile}"]}
        milliseconds = int(self.timeout_s * 1000)
        answer = self._request("POST", "/session", {"capabilities": {"alwaysMatch": {
            "browserName": "chrome", "acceptInsecureCerts": False, "goog:chromeOptions": options,
            "timeouts": {"pageLoad": milliseconds, "script": milliseconds}}}})
        self.session = answer["sessionId"]
        return self

    def _request(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=self.timeout_s + 30)
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None, {"Content-Type": "application/json"})
            value = json.loads(connection.getresponse().read())["value"]
        finally:
            connection.close()
        if isinstance(value, dict) and "error" in value:
            raise WebDriverError(value["error"], value.get("message", "").splitlines()[0] if value.get("message") else "")
        return value

    def command(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        return self._request(method, f"/session/{self.session}{path}", body)

    def get(self, url: str) -> None:
        self.command("POST", "/url", {"url": url})

    def reload(self) -> None:
        self.command("POST", "/refresh", {})

    def script(self, text: str, *arguments: Any) -> Any:
        return self.command("POST", "/execute/sync", {"script": text, "args": list(arguments)})

    def async_script(self, text: str, *arguments: Any) -> Any:
        return self.command("POST", "/execute/async", {"script": text, "args": list(arguments)})

    def page_source(self) -> str:
        return str(self.command("GET", "/source"))

    def client_certificates(self) -> int:
        """How many certificates Chromium itself finds in the user's database: those with a key, from whomever. A window that asks
        would list the same, but for what the server's list of authorities leaves out."""
        before = self.command("GET", "/window")
        self.command("POST", "/window", {"handle": self.command("POST", "/window/new", {"type": "tab"})["handle"]})
        try:
            self.get("chrome://certificate-manager/clientcerts")
            text = self.async_script(COUNT_CLIENT_CERTIFICATES)
            return 0 if text == "No certificates" else int(text.split()[0])
        finally:
            self.command("DELETE", "/window")
            self.command("POST", "/window", {"handle": before})

    def chromium_pids(self) -> list[int]:
        """Processes of this browser, the main one first."""
        found = []
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    arguments = pathlib.Path("/proc", entry, "cmdline").read_bytes().split(b"\0")
                except OSError:
                    continue
                if f"--user-data-dir={self.profile}".encode() in arguments and b"chromedriver" not in arguments[0]:
                    found.append((b"--type=" in b"".join(arguments[1:]), int(entry)))
        return [pid for _, pid in sorted(found)]

    def close(self) -> None:
        """Ends browser and driver."""
        if self.session:
            try:
                self.command("DELETE", "")
            except (WebDriverError, OSError, http.client.HTTPException):
                pass
            self.session = ""
        for pid in self.chromium_pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.driver.kill()

    def __enter__(self) -> "Browser":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()
