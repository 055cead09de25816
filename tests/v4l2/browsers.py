"""Browsers that a test opens and asks: Chromium by DevTools, Firefox by Marionette."""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import kit

START_S = 60.0 * kit.BUSY  # that a browser has to start


class Chromium:
    """Speaks the DevTools protocol over two pipes: JSON, each message ended by a zero byte.

    Chromium's headless shell starts sooner, but hears of no camera that comes.
    """

    needs = ("chromium",)
    flags = (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--use-fake-ui-for-media-stream",
        "--window-size=640,360",
        "--remote-debugging-pipe",
    )

    def __init__(self, folder: Path) -> None:
        commands, self._out = os.pipe()
        self._in, answers = os.pipe()
        words = ["bash", "-c", 'exec "$@" 3<&"$0" 4>&"$ANSWERS"', str(commands), *self.needs]
        with (folder / "browser.log").open("wb") as file:
            self._process = subprocess.Popen(
                [*words, *self.flags, f"--user-data-dir={folder / 'profile'}"],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                pass_fds=(commands, answers),
                env={**os.environ, "ANSWERS": str(answers)},
            )
        os.close(commands)
        os.close(answers)
        self._count, self._rest, self._session = 0, b"", None

    def open(self, url: str) -> None:
        target = self.ask("Target.createTarget", url=url)["targetId"]
        attached = self.ask("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]

    def evaluate(self, expression: str) -> Any:
        answer = self.ask(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def screenshot(self) -> bytes:
        """PNG"""
        return base64.b64decode(self.ask("Page.captureScreenshot", format="png")["data"])

    def ask(self, method: str, **parameters: object) -> dict[str, Any]:
        self._count += 1
        message: dict[str, Any] = {"id": self._count, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._count:
                assert "error" not in answer, answer
                return answer["result"]

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            more = os.read(self._in, 1 << 20)
            assert more, "the browser has ended"
            self._rest += more
        one, _, self._rest = self._rest.partition(b"\0")
        return json.loads(one)

    def close(self) -> None:
        self._process.kill()
        self._process.wait(10)
        os.close(self._out)
        os.close(self._in)


class HeadlessShell(Chromium):
    needs = ("chromium-headless-shell",)


PREFERENCES = {
    "marionette.port": 0,  # a free one
    "media.navigator.permission.disabled": True,
    "media.autoplay.default": 0,
    "media.autoplay.blocking_policy": 0,
    # Nothing is asked of the network, and nothing is started that a guest has no room for.
    "app.normandy.enabled": False,
    "app.update.enabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "media.gmp-manager.updateEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "",
    "toolkit.telemetry.enabled": False,
    "dom.ipc.forkserver.enable": False,
    "dom.ipc.processCount": 1,
    "dom.ipc.processPrelaunch.enabled": False,
    "layers.gpu-process.enabled": False,
    "media.rdd-process.enabled": False,
    "media.utility-process.enabled": False,
    "network.process.enabled": False,
}


class Firefox:
    """Speaks Marionette: JSON behind its length and a colon.

    https://firefox-source-docs.mozilla.org/testing/marionette/Protocol.html
    """

    needs = ("firefox-esr",)
    # User-Mode Linux lacks what they are made of.
    sandboxes = ("CONTENT", "GMP", "GPU", "RDD", "SOCKET_PROCESS", "UTILITY")

    def __init__(self, folder: Path) -> None:
        profile = folder / "profile"
        profile.mkdir()
        lines = (f"user_pref({json.dumps(k)}, {json.dumps(v)});" for k, v in PREFERENCES.items())
        (profile / "user.js").write_text("\n".join(lines))
        off = {f"MOZ_DISABLE_{name}_SANDBOX": "1" for name in self.sandboxes}
        words = [*self.needs, "--headless", "--no-remote", "--marionette", "--profile", profile]
        with (folder / "browser.log").open("wb") as file:
            self._process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=file, stderr=file, env={**os.environ, **off}
            )
        self._port = profile / "MarionetteActivePort"
        self._socket = socket.socket()
        self._count, self._rest = 0, b""

    def open(self, url: str) -> None:
        kit.until(lambda: self._port.is_file() and self._port.read_text(), START_S)
        self._socket.connect(("127.0.0.1", int(self._port.read_text())))
        self._next()  # it greets
        self.ask("WebDriver:NewSession", {})
        self.ask("WebDriver:SetTimeouts", {"script": 120_000})
        self.ask("WebDriver:Navigate", {"url": url})

    def evaluate(self, expression: str) -> Any:
        """Of what is the window's own."""
        code = {"script": f"return {expression}", "args": [], "sandbox": None}
        return self.ask("WebDriver:ExecuteScript", code)["value"]

    def ask(self, method: str, parameters: dict[str, object]) -> dict[str, Any]:
        self._count += 1
        message = json.dumps([0, self._count, method, parameters]).encode()
        self._socket.sendall(b"%d:%s" % (len(message), message))
        _, count, error, result = self._next()
        assert count == self._count
        assert not error, error
        return result

    def _next(self) -> Any:
        while b":" not in self._rest:
            self._read()
        length, _, self._rest = self._rest.partition(b":")
        while len(self._rest) < int(length):
            self._read()
        message, self._rest = self._rest[: int(length)], self._rest[int(length) :]
        return json.loads(message)

    def _read(self) -> None:
        more = self._socket.recv(1 << 20)
        assert more, "the browser has ended"
        self._rest += more

    def close(self) -> None:
        self._process.kill()
        self._process.wait(10)
        self._socket.close()


@contextmanager
def page(browser: Chromium | Firefox, html: str, ready: str) -> Iterator[None]:
    """The browser shows `html`, whose function `ready` is there; closed at the end."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(html.encode())

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        browser.open(f"http://localhost:{server.server_port}/")
        kit.until(lambda: browser.evaluate(f"typeof {ready}") == "function", 30)
        yield
    finally:
        browser.close()
        server.shutdown()
        server.server_close()
