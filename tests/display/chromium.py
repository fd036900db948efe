"""A real Chromium without a window, driven over a pipe by its DevTools protocol."""

import base64
import json
import os
import select
import shlex
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--headless --no-sandbox --disable-gpu-sandbox --use-gl=angle --use-angle=swiftshader "
    "--enable-unsafe-swiftshader --remote-debugging-pipe --no-first-run "
    "--disable-background-networking --disable-dev-shm-usage"
)
PATIENCE = 120
"""Seconds for one answer; software draws slowly on a machine that does other things."""


class Browser:
    """One page. problems: errors and warnings of the console, and requests to the network.

    patience: seconds for one answer.
    """

    def __init__(
        self, folder: Path, size: tuple[int, int] = (1200, 700), patience: float = PATIENCE
    ) -> None:
        self.patience = patience
        program = next(filter(None, map(shutil.which, NAMES)), None)
        if program is None:
            pytest.skip("no Chromium on this machine")
        to_read, self._write = os.pipe()
        self._read, to_write = os.pipe()
        profile = shlex.quote(f"--user-data-dir={folder}")
        command = f"exec {program} {FLAGS} {profile} 3<&{to_read} 4>&{to_write}"
        self._process = subprocess.Popen(
            ["bash", "-c", command],
            pass_fds=(to_read, to_write),
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        self.pid = self._process.pid
        os.close(to_read)
        os.close(to_write)
        self._buffer, self._number, self._session = b"", 0, ""
        self.problems: list[str] = []
        self.requests: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        width, height = size
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=False,
        )  # fmt: skip

    def call(self, method: str, **parameters: object) -> Any:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]
            self._note(answer)

    def _next(self) -> Any:
        end = time.monotonic() + self.patience
        while b"\0" not in self._buffer:
            ready = select.select([self._read], [], [], max(end - time.monotonic(), 0))[0]
            assert ready, "Chromium does not answer"
            self._buffer += os.read(self._read, 1 << 20)
        text, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(text)

    def _note(self, event: Any) -> None:
        about = event.get("params", {})
        if event["method"] == "Runtime.exceptionThrown":
            self.problems.append(str(about["exceptionDetails"]))
        elif event["method"] == "Runtime.consoleAPICalled" and about["type"] in ("error", "assert"):
            self.problems.append(str(about["args"]))
        elif event["method"] == "Log.entryAdded" and about["entry"]["level"] == "error":
            self.problems.append(str(about["entry"]["text"]))
        elif event["method"] == "Network.requestWillBeSent":
            self.requests.append(str(about["request"]["url"]))

    def js(self, expression: str) -> Any:
        """The value of an expression, awaited."""
        result = self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def open(self, url: str) -> None:
        """Load a page and wait until it has drawn."""
        self.call("Page.navigate", url=url)
        self.until("document.body?.dataset.ready === 'yes'")

    def until(self, condition: str) -> None:
        end = time.monotonic() + self.patience
        while not self.js(condition):
            assert time.monotonic() < end, f"never: {condition}; {self.problems}"
            time.sleep(0.1)

    def mouse(self, kind: str, x: float, y: float, button: str = "none") -> None:
        self.call(
            "Input.dispatchMouseEvent",
            type=kind, x=x, y=y, button=button, buttons=int(button == "left"), clickCount=1,
        )  # fmt: skip

    def screenshot(self, path: Path) -> None:
        data = self.call("Page.captureScreenshot", format="png")["data"]
        path.write_bytes(base64.b64decode(data))

    def close(self) -> None:
        os.close(self._write)
        os.close(self._read)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
