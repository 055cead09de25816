"""The whole program between a webcam and the virtual camera; run in the guest by test_guest.py."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import clip
import cv2
import kit
import numpy as np
import portrait
import pytest

from bshm_live.demand import Demand
from bshm_live.types import Size

ENOUGH = float(os.environ.get("GUEST_ENOUGH") or 5)  # frames/s: this machine may be busy
KEPT = Path(os.environ["GUEST_KEPT"])
SIZES = [(640, 360), pytest.param((1280, 720), marks=pytest.mark.slow)]
COUNT = 90
LIVE_OPTIONS = os.environ.get("GUEST_OPTIONS", "--runtime onnxruntime").split()


@pytest.fixture(autouse=True)
def fresh() -> None:
    kit.reload_loopback()


def read_all(folder: Path, size: Size, step: int = 1) -> dict[str, kit.Seen]:
    """What each of three readers sees, one after the other."""
    return {
        "v4l2-ctl": kit.read_v4l2ctl(folder, COUNT, size, step=step),
        "ffmpeg": kit.read_ffmpeg(COUNT, size, step=step),
        "OpenCV": kit.read_opencv(COUNT, step=step),
    }


@pytest.mark.parametrize("size", SIZES)
def test_every_composite_has_its_own_matte(tmp_path: Path, size: Size) -> None:
    """Of networks that see a bright disc; a disc that jumps is told apart to a picture."""
    with kit.feeding(tmp_path, size), kit.live(tmp_path, "--stats", size=size) as program:
        program.ready().says("virtual camera")
        time.sleep(1)
        all_seen = read_all(tmp_path, size)
        words = program.end()
    print(f"{size[0]}x{size[1]}\n{words}")
    for reader, seen in all_seen.items():
        numbers = clip.check_composites(seen.images, size)
        print(f"{reader}: {seen.rate:.1f} frames/s, {len(numbers)} of {COUNT} with a matte")
        assert len(numbers) >= COUNT - 10
        assert len(set(numbers)) >= COUNT // 4
        assert seen.rate >= ENOUGH


@pytest.mark.slow
@pytest.mark.parametrize("size", [(640, 360), (1280, 720)])
def test_a_real_clip(tmp_path: Path, size: Size) -> None:
    """A person, the trained networks, and a green room where the real one was."""
    if not portrait.there():
        pytest.skip("there is no clip of a person here")
    words = ("--bg", "#00b140", "--source", kit.IN, "--sink", f"vcam:{kit.OUT}", "--stats")
    command = (*kit.LIVE, *words, "--size", f"{size[0]}x{size[1]}", *LIVE_OPTIONS)
    step = size[0] // 320
    feeder = kit.feeding(tmp_path, size, pictures=portrait.pictures)
    with feeder, kit.Program(*command, log=tmp_path / "live.log", toy=False) as program:
        program.ready().says("virtual camera", 60)
        time.sleep(2)
        all_seen = read_all(tmp_path, size, step)
        whole = kit.read_opencv(3).images[-1]
        print(f"{size[0]}x{size[1]}\n{program.end()}")
    alphas = portrait.alphas(size, step)
    for reader, seen in all_seen.items():
        different = check_portraits(seen.images, alphas)
        print(f"{reader}: {seen.rate:.1f} frames/s, {different} different of {COUNT}")
    cv2.imwrite(str(KEPT / f"clip-{size[0]}x{size[1]}.png"), whole)
    assert min(seen.rate for seen in all_seen.values()) >= ENOUGH


def check_portraits(images: list[np.ndarray], alphas: list[np.ndarray]) -> int:
    """Each is a picture's person by its own matte, or the background alone; how many numbers."""
    people = [image for image in images if not clip.is_background(image)]
    assert len(people) >= len(images) - 10
    numbers = [portrait.number_of(image) for image in people]
    if None in numbers:
        cv2.imwrite(str(KEPT / "unread.png"), people[numbers.index(None)])
    assert None not in numbers
    mattes = [portrait.whose_matte(*one, alphas) for one in zip(people, numbers, strict=True)]
    assert mattes == numbers
    for image in people:
        room = ~portrait.person(image)
        height, width = room.shape
        assert room[: height // 6, : width // 10].mean() > 0.95  # the room's corners are gone
        assert room[: height // 6, -width // 10 :].mean() > 0.95
    return len(set(numbers))


def test_another_picture_s_matte_would_be_noticed() -> None:
    if not portrait.there():
        pytest.skip("there is no clip of a person here")
    size = (320, 180)
    pictures, alphas = list(portrait.pictures(size)), portrait.alphas(size)

    def composite(number: int, matte: int) -> np.ndarray:
        mixed = np.where(alphas[matte % portrait.FRAMES][..., None], pictures[number], clip.GREEN)
        return mixed.astype(np.uint8)

    for number in range(portrait.FRAMES):
        assert portrait.whose_matte(composite(number, number), number, alphas) == number
    late = [portrait.whose_matte(composite(n, n - 1), n, alphas) for n in range(portrait.FRAMES)]
    assert all(found != n for n, found in enumerate(late))


def holds(program: kit.Program, device: str) -> bool:
    folder = Path(f"/proc/{program.process.pid}/fd")
    return any(os.readlink(entry) == device for entry in folder.iterdir())


FIRST = """
import sys, time
sys.path[:0] = {paths!r}
import clip, cv2, kit
print("ready", flush=True)
sys.stdin.readline()
start = time.monotonic()
camera = cv2.VideoCapture(kit.OUT, cv2.CAP_V4L2)
while True:
    there, image = camera.read()
    if there and clip.number_of(image) is not None:
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
