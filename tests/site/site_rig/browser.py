"""A headless Chromium, spoken to through chromedriver in the words of the W3C WebDriver protocol.

Standard library only: the bench's Python needs no further package. Nothing is fetched from outside: every name but
loopback is unknown to the browser. Elements are what CSS selectors and visible texts find; clicks are real ones.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Json = dict[str, Any]
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
# Visible elements by selector, inside open shadow roots too.
SEEN = """
    const seen = (css, root = document) => [
        ...[...root.querySelectorAll(css)].filter((e) => e.checkVisibility() && e.getClientRects().length),
        ...[...root.querySelectorAll("*")].filter((e) => e.shadowRoot).flatMap((e) => seen(css, e.shadowRoot)),
    ];
"""
_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--disable-breakpad",
    "--force-color-profile=srgb",
    "--force-prefers-reduced-motion",
    "--hide-scrollbars",
    "--lang=en-US",
    "--metrics-recording-only",
    "--mute-audio",
    "--no-first-run",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
)


def missing_programs() -> list[str]:
    """What of a browser, its driver and Frappe's build is not installed."""
    missing = [] if program() else [_BROWSERS[0]]
    return missing + [name for name in ("chromedriver", "node", "yarn") if shutil.which(name) is None]


def program() -> str | None:
    """The browser's path."""
    return next(filter(None, map(shutil.which, _BROWSERS)), None)


class BrowserError(Exception):
    """The browser refused a command; `kind` is the protocol's word for why, such as "no such element"."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind


class Browser:
    """One window of one fresh profile."""

    def __init__(self, driver_port: int, profile: Path, *, width: int = 1100, height: int = 800) -> None:
        self._driver_port = driver_port
        self._session = ""
        options = {
            "binary": program(),
            "args": [*_FLAGS, f"--user-data-dir={profile}", f"--window-size={width},{height}"],
        }
        capabilities = {
            "browserName": "chrome",
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL"},
            "unhandledPromptBehavior": "ignore",
            "timeouts": {"script": 30_000, "pageLoad": 60_000},
        }
        answer = self._send("POST", "/session", {"capabilities": {"alwaysMatch": capabilities}})
        self._session = f"/session/{answer['sessionId']}"
        # Its answer, a page for guests, could come after a log-in and take that back.
        self.cdp("Network.enable")
        self.cdp("Network.setBlockedURLs", urls=["*/favicon.ico"])

    def _send(self, method: str, path: str, body: Json | None = None) -> Any:
        line = http.client.HTTPConnection("127.0.0.1", self._driver_port, timeout=120)
        try:
            text = json.dumps(body or {}) if method == "POST" else None
            line.request(method, self._session + path, text, {"Content-Type": "application/json"})
            value = json.loads(line.getresponse().read())["value"]
        finally:
            line.close()
        if isinstance(value, dict) and "error" in value:
            raise BrowserError(value["error"], value["message"].split("\n")[0])
        return value

    def quit(self) -> None:
        with contextlib.suppress(BrowserError, OSError):
            self._send("DELETE", "")

    def cdp(self, command: str, **parameters: Any) -> Any:
        """A command of Chromium's own protocol."""
        return self._send("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def go(self, url: str) -> None:
        self._send("POST", "/url", {"url": url})

    def resize(self, width: int, height: int) -> None:
        """The size of the page itself; below Chromium's least window too, as a telephone has it."""
        self.cdp(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def run(self, script: str, *args: Any) -> Any:
        """A function body with `arguments`; answers what it returns, and waits for a promise."""
        return self._send("POST", "/execute/sync", {"script": script, "args": list(args)})

    def wait(self, script: str, *args: Any, timeout: float = 20.0) -> Any:
        """What the function body returns once that is true. Raises TimeoutError with its last answer."""
        return until(lambda: self.run(script, *args), script, timeout=timeout)

    def texts(self, css: str) -> list[str]:
        """The visible text of each element."""
        return list(self.run(f"{SEEN} return seen(arguments[0]).map((e) => e.innerText.trim())", css))

    def text(self, css: str) -> str:
        return "\n".join(self.texts(css))

    def see(self, css: str, *words: str, timeout: float = 20.0) -> str:
        """The visible text of those elements, once it has all these words."""
        deadline = time.monotonic() + timeout
        while not (text := self.text(css)) or any(word not in text for word in words):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{css} says {text!r}, not {words} after {timeout} s")
            time.sleep(0.1)
        return text

    def click(self, css: str, text: str | None = None, *, timeout: float = 20.0) -> None:
        """Click the visible element, once it is there and nothing covers it; with `text`, the one that says so."""

        def clicked() -> bool:
            element = self._visible(css, text)
            if element is None:
                return False
            try:
                self._send("POST", f"/element/{element}/click")
            except BrowserError as error:
                if error.kind not in (
                    "element click intercepted",
                    "stale element reference",
                    "element not interactable",
                ):
                    raise
                # Something that stays in its place, as a page's head does, may lie over it.
                with contextlib.suppress(BrowserError):
                    self.run("arguments[0].scrollIntoView({ block: 'center' })", {_ELEMENT: element})
                return False
            return True

        until(clicked, f"click {css} {text or ''}", timeout=timeout)

    def type(self, css: str, text: str, *, timeout: float = 20.0) -> None:
        """Replace what the visible field holds by this, key by key."""
        element = until(lambda: self._visible(css, None), f"type into {css}", timeout=timeout)
        self._send("POST", f"/element/{element}/clear")
        self._send("POST", f"/element/{element}/value", {"text": text})

    def _visible(self, css: str, text: str | None) -> str | None:
        script = f"""{SEEN}
            const [css, text] = arguments;
            return seen(css).find((e) => text === null || e.innerText.trim() === text) || null;
        """
        found = self.run(script, css, text)
        return found[_ELEMENT] if found else None

    def screenshot(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(self._send("GET", "/screenshot")))

    def dialog(self) -> str | None:
        """What a window of the browser's own (alert, confirm, prompt) says; None where none is open."""
        try:
            return str(self._send("GET", "/alert/text"))
        except BrowserError as error:
            if error.kind == "no such alert":
                return None
            raise

    def errors(self) -> list[str]:
        """What the console has got as errors since the last call: exceptions, failed loads, refused requests."""
        entries = self._send("POST", "/se/log", {"type": "browser"})
        return [entry["message"] for entry in entries if entry["level"] == "SEVERE"]


def until(true: Callable[[], Any], what: str, *, timeout: float = 20.0) -> Any:
    deadline = time.monotonic() + timeout
    while not (answer := true()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: still {answer!r} after {timeout} s")
        time.sleep(0.1)
    return answer
