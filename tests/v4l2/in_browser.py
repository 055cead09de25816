"""Chromium's own way to the virtual camera; run in the guest by test_guest.py."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import clip
import cv2
import kit
import numpy as np
import portrait
import pytest
from browsers import HeadlessShell, page

from bshm_live.types import Size

FRAMES = 60

# Plays the camera of that label, and reads pixels of each new picture.
PAGE = """<!doctype html><style>body{margin:0}video{width:640px;height:360px}</style>
<video id=video autoplay muted playsinline></video><script>
const report = {};
async function play(label, count, points) {
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
    const marks = points.map(([x, y]) => pixel(x * canvas.width, y * canvas.height));
    // The browser itself shows black until the first picture is there.
    if (!frames.length && pixel(5, canvas.height - 5).every(level => level == 0)) continue;
    frames.push({time: performance.now(), marks, corner: pixel(5, canvas.height - 5)});
  }
  report.frames = frames;
  report.size = [video.videoWidth, video.videoHeight];
  return JSON.stringify(report);
}
</script>"""


def play(
    folder: Path,
    points: Sequence[tuple[float, float]],
    pictures: Callable[[Size], Iterable[np.ndarray]],
    options: Sequence[str],
    name: str,
) -> tuple[list[dict[str, Any]], np.ndarray]:
    """What the browser saw at `points` (shares of the picture) in FRAMES pictures; its window."""
    kit.reload_loopback(kit.PATIENT)
    feeder = kit.feeding(folder, pictures=pictures)
    with feeder, kit.live(folder, options=options) as program:
        program.ready().says("virtual camera", 60)
        time.sleep(1)
        browser = HeadlessShell(folder)
        with page(browser, PAGE, "play"):
            call = f"play('bshm-live', {FRAMES}, {json.dumps(points)})"
            told = json.loads(browser.evaluate(call))
            picture = browser.screenshot()
        words = program.end()
    Path(os.environ["GUEST_KEPT"], f"{name}.png").write_bytes(picture)
    frames = told["frames"]
    seconds = (frames[-1]["time"] - frames[0]["time"]) / 1e3
    rate = (len(frames) - 1) / seconds
    print(f"labels {told['labels']}, settings {told['settings']}, {rate:.1f} frames/s\n{words}")
    assert any(label.startswith("bshm-live") for label in told["labels"])
    assert told["size"] == [640, 360]
    assert len(frames) == FRAMES
    for frame in frames:
        red_green_blue = np.array(frame["corner"])
        assert np.abs(red_green_blue - clip.GREEN[::-1]).max() <= 20  # the room is gone
    return frames, cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)


def numbers(frames: list[dict[str, Any]], zero: int, one: int, off: int) -> set[tuple[bool, ...]]:
    """The different numbers of the marks, whose grey levels are `off` at most from their own."""
    found = set()
    for frame in frames:
        levels = [sum(pixel) / 3 for pixel in frame["marks"]]
        assert all(min(abs(level - zero), abs(level - one)) < off for level in levels), levels
        found.add(tuple(level > (zero + one) / 2 for level in levels))
    return found


def test_a_browser_lists_and_plays_it(tmp_path: Path) -> None:
    points = [((2 * bit + 1) / (2 * clip.BITS), 1 / 18) for bit in range(clip.BITS)]
    frames, window = play(tmp_path, points, clip.pictures, kit.TOY, "browser")
    assert clip.raw_pixels(window) == 0
    assert len(numbers(frames, clip.ZERO, clip.ONE, 25)) > FRAMES // 8  # it moves


@pytest.mark.slow
def test_a_browser_plays_a_person(tmp_path: Path) -> None:
    if not portrait.there():
        pytest.skip("there is no clip of a person here")
    middles = portrait.middles()
    frames, window = play(tmp_path, middles, portrait.pictures, kit.TRAINED, "browser-person")
    assert min(portrait.corners(window)) > 0.95
    assert len(numbers(frames, portrait.ZERO, portrait.ONE, 40)) > FRAMES // 8
