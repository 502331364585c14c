"""A headless Chromium, driven by its DevTools protocol over a pair of pipes: nothing to install but the browser."""

from __future__ import annotations

import base64
import fcntl
import itertools
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)


SECONDS = 60
"""Beyond it the browser hangs."""
ON_3_AND_4 = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.dup2(int(sys.argv[2]), 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
"""Where Chromium reads and writes the protocol; another program starts it, since nothing safe runs between fork and exec."""


class BrowserError(RuntimeError):
    """The browser refused a command, or a script in the page threw."""


class Chromium:
    """One browser with one page. problems: what the page logged as an error, threw, or failed to load."""

    def __init__(self, binary: str) -> None:
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        (reads, self._write), (self._read, writes) = os.pipe(), os.pipe()
        theirs = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in (reads, writes)]
        command = [binary, *FLAGS, f"--user-data-dir={self._profile.name}", "about:blank"]
        start = [sys.executable, "-c", ON_3_AND_4, *map(str, theirs), *command]
        self._process = subprocess.Popen(start, pass_fds=theirs, stderr=subprocess.DEVNULL)
        for end in (reads, writes, *theirs):
            os.close(end)
        self._numbers = itertools.count(1)
        self._rest = b""
        self._session = ""
        self._loaded = False
        self.problems: list[str] = []
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "Performance"):
            self._call(f"{domain}.enable")

    def open(self, page: Path, fragment: str = "") -> None:
        """Loads the file, and returns once it has; always anew."""
        for address in ("about:blank", page.resolve().as_uri() + fragment):
            self.problems.clear()
            self._loaded = False
            self._call("Page.navigate", url=address)
            while not self._loaded:
                self._next()

    def run(self, script: str) -> Any:
        """The value of an expression, or of the promise that it gives. Raises BrowserError."""
        found = self._call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise BrowserError(str(found["exceptionDetails"]))
        return found["result"].get("value")

    def wait(self, script: str, seconds: float = 10) -> None:
        """Until the expression is true. Raises BrowserError."""
        end = time.monotonic() + seconds
        while not self.run(f"Boolean({script})"):
            if time.monotonic() > end:
                raise BrowserError(f"not within {seconds} s: {script}")
            time.sleep(0.05)

    def emulate(self, width: int, height: int = 900, dark: bool = False) -> None:
        """A screen of that many CSS pixels; below 600 a phone's."""
        phone = width < 600
        size = {"width": width, "height": height, "deviceScaleFactor": 2 if phone else 1, "mobile": phone}
        self._call("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._call("Emulation.setEmulatedMedia", features=[scheme])

    def scripts(self, allowed: bool) -> None:
        self._call("Emulation.setScriptExecutionDisabled", value=not allowed)

    def hover(self, x: float, y: float) -> None:
        self._call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def press(self, key: str) -> None:
        for kind in ("keyDown", "keyUp"):
            self._call("Input.dispatchKeyEvent", type=kind, key=key, code=key)

    def metrics(self) -> dict[str, float]:
        """Of the page, as Chromium counts them; durations in seconds."""
        return {m["name"]: m["value"] for m in self._call("Performance.getMetrics")["metrics"]}

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self._call("Page.captureScreenshot", format="png")["data"]))

    def close(self) -> None:
        os.close(self._write)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._read)
        self._profile.cleanup()

    def _call(self, method: str, **parameters: object) -> dict[str, Any]:
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == number:
                if "error" in answer:
                    raise BrowserError(f"{method}: {answer['error']}")
                return dict(answer["result"])

    def _next(self) -> dict[str, Any]:
        """The next message; what it says of the page is noted."""
        while b"\0" not in self._rest:
            if not select.select([self._read], [], [], SECONDS)[0]:
                raise BrowserError(f"the browser said nothing for {SECONDS} s")
            read = os.read(self._read, 1 << 20)
            if not read:
                raise BrowserError("the browser is gone")
            self._rest += read
        raw, self._rest = self._rest.split(b"\0", 1)
        message: dict[str, Any] = json.loads(raw)
        method, said = message.get("method"), message.get("params", {})
        if method == "Page.loadEventFired":
            self._loaded = True
        elif method == "Runtime.exceptionThrown":
            self.problems.append(str(said["exceptionDetails"]))
        elif method == "Log.entryAdded" and said["entry"]["level"] in ("error", "warning"):
            self.problems.append(said["entry"]["text"])
        elif method == "Runtime.consoleAPICalled" and said["type"] in ("error", "warning", "assert"):
            self.problems.append(str(said["args"]))
        elif method == "Network.loadingFailed":
            self.problems.append(str(said))
        elif method == "Network.requestWillBeSent" and not said["request"]["url"].startswith(
            ("file:", "about:", "data:")
        ):
            self.problems.append(f"asks the network for {said['request']['url']}")
        return message
