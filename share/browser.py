# SPDX-License-Identifier: GPL-2.0-only
"""A headless Chromium, through its debugging pipe: opens a page of a file, evaluates scripts, takes pictures.

For pictures of the documentation, and for tests of pages.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final

#: Debian's name, and others.
_NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
_LONGEST: Final = 120
#: Where it leaves files of its own.
_OWN: Final = ("HOME", "TMPDIR", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME")
_FLAGS: Final = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--force-color-profile=srgb",
    "--remote-debugging-pipe",
)  # fmt: skip


def program() -> str | None:
    """The browser, if there is one."""
    return next((found for name in _NAMES if (found := shutil.which(name))), None)


def _high_pipe() -> tuple[int, int]:
    """The reading and the writing end of a pipe, with numbers that nothing else has."""
    ends = os.pipe()
    read, write = (fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 64) for end in ends)
    for end in ends:
        os.close(end)
    return read, write


class Failed(Exception):
    """A script failed, or the browser ended."""


class Page:
    """A tab. ``problems`` has what its console had to complain about, and requests that left the file."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser, self._session = browser, session
        self.problems: list[str] = []

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A command of the protocol."""
        return self._browser.call(method, self._session, **parameters)

    def open(
        self, path: Path, *, width: int = 1280, height: int = 900, dark: bool = False, touch: bool = False
    ) -> None:
        """Load a file in a window of that size, and wait until it is ready."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=touch)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Page.navigate", url=path.resolve().as_uri())
        self.until("document.documentElement.dataset.ready !== undefined")

    def evaluate(self, script: str) -> Any:
        """The value of an expression; a promise's is waited for."""
        done = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in done:
            raise Failed(str(done["exceptionDetails"].get("exception", done["exceptionDetails"])))
        return done["result"].get("value")

    def until(self, condition: str) -> None:
        """Wait for an expression to be true, frame after frame of the page."""
        frame = "new Promise((done) => setTimeout(done, 20))"
        for _ in range(50 * _LONGEST):
            if self.evaluate(f"(async () => {{ await {frame}; return Boolean({condition}); }})()"):
                return
        raise Failed(f"never: {condition}")

    def key(self, key: str) -> None:
        """Press a key."""
        for kind in ("keyDown", "keyUp"):
            text = {"text": key} if kind == "keyDown" and len(key) == 1 else {}
            self.call("Input.dispatchKeyEvent", type=kind, key=key, **text)

    def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        """An event of the mouse: ``mouseMoved``, ``mousePressed``, ``mouseReleased``, ``mouseWheel``."""
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def picture(self, path: Path, clip: tuple[float, float, float, float] | None = None) -> None:
        """Write what the window shows as PNG; with ``clip`` (x, y, width, height) that part of the page."""
        parameters: dict[str, Any] = {"format": "png"}
        if clip is not None:
            x, y, width, height = clip
            area = {"x": x, "y": y, "width": width, "height": height, "scale": 1}
            parameters |= {"clip": area, "captureBeyondViewport": True}
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", **parameters)["data"]))


class Browser:
    """The process. Use it as a context."""

    def __init__(self) -> None:
        found = program()
        assert found is not None
        # Not where tests have their files: the path of its socket must be short.
        self._home = tempfile.TemporaryDirectory(dir="/tmp", prefix="browser-", ignore_cleanup_errors=True)
        read, self._out = _high_pipe()
        self._in, write = _high_pipe()
        # Its ends of the pipes have to be 3 and 4.
        place = f'exec "$0" "$@" 3<&{read} 4>&{write}'
        self._process = subprocess.Popen(
            ["bash", "-c", place, found, *_FLAGS, f"--user-data-dir={self._home.name}"],
            pass_fds=(read, write),
            env={**os.environ, **dict.fromkeys(_OWN, self._home.name)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(read)
        os.close(write)
        self._number, self._left = 0, b""
        self._pages: dict[str, Page] = {}

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._in)
        os.close(self._out)
        self._home.cleanup()

    @contextmanager
    def page(self) -> Iterator[Page]:
        """A new tab."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = self._pages[session] = Page(self, session)
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.call(f"{domain}.enable")
        yield page
        self.call("Target.closeTarget", targetId=target)
        del self._pages[session]

    def call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """A command, and its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        text = json.dumps(message if session is None else {**message, "sessionId": session}).encode() + b"\0"
        while text:
            text = text[os.write(self._out, text) :]
        while True:
            found = self._receive()
            if found.get("id") == self._number:
                if "error" in found:
                    raise Failed(f"{method}: {found['error']}")
                result: dict[str, Any] = found["result"]
                return result
            self._event(found)

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._left:
            more = os.read(self._in, 1 << 20)
            if not more:
                raise Failed("the browser ended")
            self._left += more
        message, _, self._left = self._left.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found

    def _event(self, event: dict[str, Any]) -> None:
        page = self._pages.get(event.get("sessionId", ""))
        if page is None:
            return
        method, more = event["method"], event.get("params", {})
        if method == "Runtime.exceptionThrown":
            page.problems.append(str(more["exceptionDetails"].get("exception", more)))
        elif method == "Runtime.consoleAPICalled" and more["type"] in ("error", "warning", "assert"):
            page.problems.append(str(more["args"]))
        elif method == "Log.entryAdded" and more["entry"]["level"] in ("error", "warning"):
            page.problems.append(f"{more['entry']['text']} {more['entry'].get('url', '')}")
        elif method == "Network.requestWillBeSent":
            url = more["request"]["url"]
            if not url.startswith(("file:", "data:", "blob:", "about:")):
                page.problems.append(f"request: {url}")
