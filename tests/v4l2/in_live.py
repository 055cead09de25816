"""The whole program between a webcam and the virtual camera; run in the guest by test_guest.py."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import cv2
import kit
import numpy as np
import pytest

from bshm_live.demand import Demand

ENOUGH = float(os.environ.get("GUEST_ENOUGH", "5"))  # frames/s: this machine may be busy
CLIPS = Path(os.environ["GUEST_CLIPS"])
SIZES = [(640, 360), pytest.param((1280, 720), marks=pytest.mark.slow)]


@pytest.fixture(autouse=True)
def fresh() -> None:
    kit.reload_loopback()


@pytest.mark.parametrize("size", SIZES)
def test_every_composite_has_its_own_matte(tmp_path: Path, size: tuple[int, int]) -> None:
    count = 30
    with kit.feeding(tmp_path, size), kit.live(tmp_path, "--stats", size=size) as program:
        program.ready().says("virtual camera")
        time.sleep(1)
        rate = kit.rate_of(kit.OUT, 2.5)
        seen = {
            "v4l2-ctl": kit.read_v4l2ctl(tmp_path, count, size),
            "ffmpeg": kit.read_ffmpeg(count, size),
            "OpenCV": kit.read_opencv(count),
        }
        words = program.end()
    print(f"{size[0]}x{size[1]}: {rate:.1f} frames/s\n{words}")
    for reader, images in seen.items():
        numbers = kit.check_composites(images, size)
        print(f"{reader}: {len(numbers)} of {count} with a matte, {len(set(numbers))} different")
        assert len(numbers) >= count - 5
        assert len(set(numbers)) >= count // 4
    assert rate >= ENOUGH


@pytest.mark.slow
@pytest.mark.parametrize("size", [(640, 360), (1280, 720)])
def test_a_real_clip(tmp_path: Path, size: tuple[int, int]) -> None:
    """A portrait, the trained networks, and a green room where the real one was."""
    from bshm_live.manifest import engines_folder

    clip = CLIPS / "clip07.mp4"
    if not clip.is_file() or not (engines_folder() / "manifest.toml").is_file():
        pytest.skip("there is no clip of a person here, or no trained networks")
    shape = f"{size[0]}x{size[1]}"
    feed = f"ffmpeg -v error -readrate 1.2 -stream_loop -1 -i {clip} -vf scale={size[0]}:{size[1]}"
    feed += f" -pix_fmt yuyv422 -f v4l2 {kit.IN}"
    words = ("--bg", "#00b140", "--source", kit.IN, "--sink", f"vcam:{kit.OUT}", "--size", shape)
    with kit.Program(*feed.split(), log=tmp_path / "feeder.log"):
        kit.until(lambda: kit.is_camera(kit.IN))
        command = (*kit.LIVE, *words, "--runtime", "onnxruntime", "--stats")
        with kit.Program(*command, log=tmp_path / "live.log", toy=False) as program:
            program.ready().says("virtual camera", 60)
            time.sleep(2)
            rate = kit.rate_of(kit.OUT, 4)
            seen = [*kit.read_ffmpeg(5, size), *kit.read_opencv(5)]
            seen += kit.read_v4l2ctl(tmp_path, 5, size)
            print(f"{shape}: {rate:.1f} frames/s\n{program.end()}")
    cv2.imwrite(os.path.join(os.environ["GUEST_KEPT"], f"clip-{shape}.png"), seen[-1])
    for frame in seen:
        green = np.abs(frame.astype(int) - kit.GREEN).max(2) <= 12
        height, width = green.shape
        assert green[: height // 6, : width // 10].mean() > 0.95  # the room's corners are gone
        assert green[: height // 6, -width // 10 :].mean() > 0.95
        assert 0.2 < green.mean() < 0.9
        middle = green[height * 5 // 12 : height * 7 // 12, width * 45 // 100 : width * 55 // 100]
        assert middle.mean() < 0.05  # the face is there
    assert rate >= ENOUGH


def holds(program: kit.Program, device: str) -> bool:
    folder = Path(f"/proc/{program.process.pid}/fd")
    return any(os.readlink(entry) == device for entry in folder.iterdir())


FIRST = """
import sys, time
sys.path[:0] = {paths!r}
import cv2, kit
print("ready", flush=True)
sys.stdin.readline()
start = time.monotonic()
camera = cv2.VideoCapture(kit.OUT, cv2.CAP_V4L2)
while True:
    there, image = camera.read()
    if there and kit.number_of(image) is not None:
        print(start, time.monotonic(), flush=True)
        break
"""


def test_on_demand(tmp_path: Path) -> None:
    """Nobody watches: the webcam is closed. Somebody does: a composite, soon."""
    with kit.feeding(tmp_path), kit.live(tmp_path, "--on-demand") as program:
        program.ready().says("nobody watches", 15)
        kit.until(lambda: not holds(program, kit.IN), 3)
        time.sleep(0.5)
        shares = []
        for _ in range(4):
            start, cpu = time.monotonic(), program.cpu_seconds()
            time.sleep(1)
            shares.append((program.cpu_seconds() - cpu) / (time.monotonic() - start))
        # The guest's clock also bills what the machine gave to others: the least is nearest.
        share = min(shares)
        assert not holds(program, kit.IN)

        code = FIRST.format(paths=[str(Path(__file__).parent)])
        with subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as reader:
            assert reader.stdin
            assert reader.stdout
            assert reader.stdout.readline() == "ready\n"
            webcam = Demand(kit.IN)  # tells when the program streams from the webcam
            assert not webcam.in_use()
            reader.stdin.write("go\n")
            reader.stdin.flush()
            assert webcam.wait(10)
            on = time.monotonic()
            begin, first = (float(word) for word in reader.stdout.readline().split())
            webcam.close()
        print(
            f"no viewer: {100 * share:.1f} % of the core; webcam on {1e3 * (on - begin):.0f} ms "
            f"after the viewer began, first composite {1e3 * (first - on):.0f} ms after that"
        )
        program.end()
    assert share < 0.02
    assert first - on < 0.3 + 1 / 30  # the webcam's first picture comes within a frame's time
