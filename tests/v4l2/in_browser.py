"""Chromium's own way to the virtual camera; run in the guest by test_guest.py."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import clip
import cv2
import kit
import numpy as np
import pytest

pytestmark = pytest.mark.slow
BROWSER = "chromium-headless-shell"
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--hide-scrollbars",
    "--use-fake-ui-for-media-stream",
    "--window-size=640,360",
    "--remote-debugging-pipe",
    "--user-data-dir=/run/chromium",
]
FRAMES = 60

# Plays the camera of that label, and reads pixels of each new picture.
PAGE = """<!doctype html><style>body{margin:0}video{width:640px;height:360px}</style>
<video id=video autoplay muted playsinline></video><script>
const report = {};
async function play(label, count) {
  await navigator.mediaDevices.getUserMedia({video: true}).then(
    stream => stream.getTracks().forEach(track => track.stop()), () => {});
  const all = await navigator.mediaDevices.enumerateDevices();
  report.labels = all.filter(one => one.kind == 'videoinput').map(one => one.label);
  const one = all.find(one => one.kind == 'videoinput' && one.label.startsWith(label));
  const stream = await navigator.mediaDevices.getUserMedia(
    {video: {deviceId: {exact: one.deviceId}}});
  report.settings = stream.getVideoTracks()[0].getSettings();
  video.srcObject = stream;
  const canvas = document.createElement('canvas');
  const context = canvas.getContext('2d', {willReadFrequently: true});
  const frames = [];
  while (frames.length < count) {
    await new Promise(done => video.requestVideoFrameCallback(done));
    canvas.width = video.videoWidth; canvas.height = video.videoHeight;
    context.drawImage(video, 0, 0);
    const pixel = (x, y) => [...context.getImageData(x, y, 1, 1).data].slice(0, 3);
    const strip = [...Array(6).keys()].map(bit => pixel((2 * bit + 1) * canvas.width / 12, 20));
    // The browser itself shows black until the first picture is there.
    if (!frames.length && pixel(5, canvas.height - 5).every(level => level == 0)) continue;
    frames.push({time: performance.now(), strip, corner: pixel(5, canvas.height - 5)});
  }
  report.frames = frames;
  report.size = [video.videoWidth, video.videoHeight];
  return JSON.stringify(report);
}
</script>"""


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(PAGE.encode())

    def log_message(self, *_: object) -> None:
        """Nothing."""


class Chromium:
    """Speaks the DevTools protocol over two pipes: JSON, each message ended by a zero byte."""

    def __init__(self, log: Path) -> None:
        commands, self._out = os.pipe()
        self._in, answers = os.pipe()
        words = ["bash", "-c", 'exec "$@" 3<&"$0" 4>&"$ANSWERS"', str(commands), BROWSER, *FLAGS]
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                pass_fds=(commands, answers),
                env={**os.environ, "ANSWERS": str(answers)},
            )
        os.close(commands)
        os.close(answers)
        self._count, self._rest = 0, b""

    def ask(self, method: str, session: str | None = None, **parameters: object) -> dict[str, Any]:
        self._count += 1
        message: dict[str, Any] = {"id": self._count, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
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
        self.process.kill()
        self.process.wait(10)
        os.close(self._out)
        os.close(self._in)


@contextmanager
def page(log: Path) -> Iterator[tuple[Chromium, str]]:
    """A browser that shows PAGE, and the session to speak to it."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    browser = Chromium(log)
    try:
        url = f"http://localhost:{server.server_port}/"
        target = browser.ask("Target.createTarget", url=url)["targetId"]
        attached = browser.ask("Target.attachToTarget", targetId=target, flatten=True)
        session = attached["sessionId"]
        kit.until(lambda: evaluate(browser, session, "typeof play") == "function", 30)
        yield browser, session
    finally:
        browser.close()
        server.shutdown()
        server.server_close()


def evaluate(browser: Chromium, session: str, expression: str) -> Any:
    answer = browser.ask(
        "Runtime.evaluate",
        session,
        expression=expression,
        awaitPromise=True,
        returnByValue=True,
    )
    assert "exceptionDetails" not in answer, answer
    return answer["result"]["value"]


def test_a_browser_lists_and_plays_it(tmp_path: Path) -> None:
    kit.reload_loopback()
    with kit.feeding(tmp_path), kit.live(tmp_path) as program:
        program.ready().says("virtual camera")
        time.sleep(1)
        with page(tmp_path / "browser.log") as (browser, session):
            told = json.loads(evaluate(browser, session, f"play('bshm-live', {FRAMES})"))
            shot = browser.ask("Page.captureScreenshot", session, format="png")
        words = program.end()
    picture = base64.b64decode(shot["data"])
    Path(os.environ["GUEST_KEPT"], "browser.png").write_bytes(picture)
    times = [frame["time"] for frame in told["frames"]]
    rate = 1e3 * (len(times) - 1) / (times[-1] - times[0])
    print(f"labels {told['labels']}, settings {told['settings']}, {rate:.1f} frames/s\n{words}")

    assert any(label.startswith("bshm-live") for label in told["labels"])
    assert told["size"] == [640, 360]
    assert len(told["frames"]) == FRAMES
    numbers = set()
    for frame in told["frames"]:
        red_green_blue = np.array(frame["corner"])
        assert np.abs(red_green_blue - clip.GREEN[::-1]).max() <= 20  # the room is gone
        levels = [sum(pixel) / 3 for pixel in frame["strip"]]
        assert all(min(abs(one - clip.ZERO), abs(one - clip.ONE)) < 25 for one in levels)
        numbers.add(tuple(one > (clip.ZERO + clip.ONE) / 2 for one in levels))
    assert len(numbers) > FRAMES // 8  # it moves
    image = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
    assert clip.raw_pixels(image) == 0
