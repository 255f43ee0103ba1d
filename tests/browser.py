"""Headless Chromium, driven through its own pipe (the DevTools protocol): real clicks and keys, no more packages."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

VARIABLE = "BNBENCH_CHROMIUM"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MISSING = "no Chromium on this machine: the page is NOT tested in a browser; install the package chromium"
_FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage --hide-scrollbars --remote-debugging-pipe"
)
_PATIENCE = 60  # seconds until a command counts as lost: a busy machine starts a browser slowly
_KEYS = {"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Home": 36, "End": 35, "Tab": 9}


def find_chromium() -> str | None:
    """The browser of this machine, or the one that BNBENCH_CHROMIUM names; it is hidden where that is empty."""
    names = NAMES if (chosen := os.environ.get(VARIABLE)) is None else (chosen,)
    return next((path for path in map(shutil.which, names) if path), None)


class Browser:
    """One page of one browser.

    Attributes:
        complaints: every error and warning that the page gave, in words; opening a page starts anew.
    """

    def __init__(self, chromium: str, profile: Path) -> None:
        self.complaints: list[str] = []
        self._number, self._session, self._received = 0, "", b""
        its_end, self._orders = os.pipe()
        self._answers, its_other_end = os.pipe()
        # Chromium reads from descriptor 3 and writes to 4; the shell puts our pipes there.
        script = f'exec "$@" 3<&{its_end} 4>&{its_other_end}'
        self._process = subprocess.Popen(
            ["bash", "-c", script, "chromium", chromium, *_FLAGS.split(), f"--user-data-dir={profile}"],
            pass_fds=(its_end, its_other_end),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(its_end)
        os.close(its_other_end)
        target = self.order("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.order("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.order(f"{domain}.enable")

    def close(self) -> None:
        self._session = ""
        self.order("Browser.close")
        self._process.wait(_PATIENCE)
        os.close(self._orders)
        os.close(self._answers)

    def open(self, path: Path, width: int = 1400, height: int = 1000, *, dark: bool = False) -> None:
        """Show a file in a window of that size, and wait until it is there."""
        self.visit(path.resolve().as_uri(), width, height, dark=dark)

    def visit(self, address: str, width: int = 1400, height: int = 1000, *, dark: bool = False) -> None:
        """Show what an address leads to in a window of that size, and wait until it is there."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.order(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        self.order("Emulation.setEmulatedMedia", features=[scheme])
        self.order("Page.navigate", url="about:blank")
        self.complaints.clear()
        self.order("Page.navigate", url=address)
        self.wait_for(f"document.readyState === 'complete' && location.protocol === '{address.partition('//')[0]}'")

    def wait_for(self, script: str) -> None:
        """Wait until a JavaScript expression is true."""
        end = time.monotonic() + _PATIENCE
        while not self.run(script):
            assert time.monotonic() < end, f"never true: {script}"
            time.sleep(0.02)

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression, as JSON holds it."""
        answer = self.order("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def text(self, selector: str) -> str:
        return str(self.run(f"document.querySelector({json.dumps(selector)}).textContent"))

    def point(self, selector: str, across: float = 0.5, down: float = 0.5, *, press: bool = False) -> None:
        """Move the mouse to a place in an element, given as shares of its size, and press it there if asked to."""
        box = self.run(
            f"(() => {{ const element = document.querySelector({json.dumps(selector)});"
            "element.scrollIntoView({ block: 'center' });"
            "const box = element.getBoundingClientRect(); return [box.x, box.y, box.width, box.height]; })()"
        )
        place = {"x": box[0] + across * box[2], "y": box[1] + down * box[3]}
        self.order("Input.dispatchMouseEvent", type="mouseMoved", **place)
        for kind in ("mousePressed", "mouseReleased") if press else ():
            self.order("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **place)

    def press(self, *keys: str) -> None:
        """Press keys, one after another, wherever the focus is."""
        for key in keys:
            code = _KEYS.get(key, ord(key[0].upper()))
            for kind in ("keyDown", "keyUp"):
                text = {"text": key} if len(key) == 1 and kind == "keyDown" else {}
                self.order("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **text)

    def screenshot(self, path: Path, *, whole: bool = False) -> None:
        answer = self.order("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(answer["data"]))

    def order(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command of the DevTools protocol, and wait for its answer."""
        self._number += 1
        order: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            order["sessionId"] = self._session
        os.write(self._orders, json.dumps(order).encode() + b"\0")
        while True:
            message = self._next(method)
            if message.get("id") == self._number:
                assert "error" not in message, f"{method}: {message['error']}"
                result: dict[str, Any] = message["result"]
                return result
            self._listen(message)

    def _next(self, method: str) -> dict[str, Any]:
        while b"\0" not in self._received:
            ready, _, _ = select.select([self._answers], [], [], _PATIENCE)
            assert ready, f"the browser does not answer {method}"
            received = os.read(self._answers, 1 << 20)
            assert received, f"the browser went away at {method} (exit code {self._process.poll()})"
            self._received += received
        message, _, self._received = self._received.partition(b"\0")
        decoded: dict[str, Any] = json.loads(message)
        return decoded

    def _listen(self, message: dict[str, Any]) -> None:
        content = message.get("params", {})
        if message.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(content["exceptionDetails"]))
        if message.get("method") == "Runtime.consoleAPICalled" and content["type"] in ("error", "warning", "assert"):
            self.complaints.append(json.dumps(content["args"]))
        if message.get("method") == "Log.entryAdded" and content["entry"]["level"] in ("error", "warning"):
            self.complaints.append(content["entry"]["text"])
