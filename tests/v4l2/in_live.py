"""The whole program between a webcam and the virtual camera; run in the guest by test_guest.py."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import clip
import cv2
import kit
import numpy as np
import portrait
import pytest
import readers

from bshm_live.sinks.viewers import Viewers
from bshm_live.types import Size

ENOUGH = float(os.environ.get("GUEST_ENOUGH") or 5)  # frames/s: this machine may be busy
KEPT = Path(os.environ["GUEST_KEPT"])
SIZES = [(640, 360), pytest.param((1280, 720), marks=pytest.mark.slow)]
COUNT = 60


@pytest.fixture(autouse=True)
def fresh() -> None:
    kit.reload_loopback(kit.PATIENT)


@pytest.mark.parametrize("size", SIZES)
def test_every_composite_has_its_own_matte(tmp_path: Path, size: Size) -> None:
    """Of networks that see a bright disc; a disc that jumps is told apart to a picture."""
    with kit.feeding(tmp_path, size), kit.live(tmp_path, "--stats", size=size) as program:
        program.ready().says("virtual camera")
        time.sleep(1)
        all_seen = readers.read_all(tmp_path, COUNT, size)
        words = program.end()
    print(f"{size[0]}x{size[1]}\n{words}")
    for reader, seen in all_seen.items():
        numbers = clip.check_composites(seen.images, size)
        print(f"{reader}: {seen.rate:.1f} frames/s, {len(numbers)} of {COUNT} with a matte")
        assert len(numbers) >= COUNT - 10
        assert len(set(numbers)) >= COUNT // 4
        assert seen.rate >= ENOUGH


@pytest.mark.slow
@pytest.mark.parametrize(("size", "fps"), [((640, 360), 30), ((640, 360), 60), ((1280, 720), 30)])
def test_a_real_clip(tmp_path: Path, size: Size, fps: int) -> None:
    """A person, the trained networks, and a green room where the real one was."""
    if not portrait.there():
        pytest.skip("there is no clip of a person here")
    step = size[0] // 320
    feeder = kit.feeding(tmp_path, size, fps, pictures=portrait.pictures)
    options = (*kit.TRAINED, "--fps", fps)
    program = kit.live(tmp_path, "--stats", size=size, options=options)
    with feeder, program:
        program.ready().says("virtual camera", 60)
        time.sleep(2)
        start, cpu = time.monotonic(), program.cpu_seconds()
        counted = readers.rate_of(kit.OUT, 8, fps)
        share = (program.cpu_seconds() - cpu) / (time.monotonic() - start)
        all_seen = readers.read_all(tmp_path, COUNT, size, step)
        whole = readers.read_opencv(3).images[-1]
        print(f"{size[0]}x{size[1]}\n{program.end()}")
    print(f"at {fps}: {counted:.1f} frames/s, {share:.2f} of a core")
    alphas = portrait.alphas(size, step)
    for reader, seen in all_seen.items():
        different = portrait.check(seen.images, alphas)
        print(f"{reader}: {seen.rate:.1f} frames/s, {different} different of {COUNT}")
        assert different >= COUNT // 4
    cv2.imwrite(str(KEPT / f"clip-{size[0]}x{size[1]}.png"), whole)
    assert min(seen.rate for seen in all_seen.values()) >= ENOUGH


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


def test_two_cameras_from_one_program(tmp_path: Path) -> None:
    """Each with a reader of its own, both at once; nobody sees the room.

    Three programs on the guest's one core are late now and then, and the driver writes
    into pictures that a late one still reads: number and person are compared elsewhere.
    """
    found: dict[str, readers.Seen] = {}

    def read(device: str) -> None:
        found[device] = readers.read_opencv(40, device)

    with kit.feeding(tmp_path), kit.live(tmp_path, "--sink", f"vcam:{kit.SECOND}") as program:
        program.ready().ready(kit.SECOND).says("virtual camera")
        time.sleep(1)
        threads = [threading.Thread(target=read, args=(one,)) for one in (kit.OUT, kit.SECOND)]
        for reader in threads:
            reader.start()
        for reader in threads:
            reader.join(60)
        words = program.end()
    assert words.count("virtual camera /dev/video") == 2
    for device in (kit.OUT, kit.SECOND):
        images = found[device].images
        assert not any(clip.raw_pixels(image) for image in images)
        numbers = [clip.number_of(image) for image in images if not clip.is_background(image)]
        print(f"{device}: {found[device].rate:.1f} frames/s, {len(set(numbers))} different")
        assert len(numbers) >= 35
        assert len(set(numbers)) >= 10


def test_the_delay_that_is_told_is_what_a_viewer_sees(tmp_path: Path) -> None:
    """From the moment when a picture reaches the webcam to the one when its composite is read."""
    with kit.feeding(tmp_path) as feeder, kit.live(tmp_path) as program:
        program.ready().says("virtual camera")
        time.sleep(1)
        camera, seen = cv2.VideoCapture(kit.OUT, cv2.CAP_V4L2), []
        for _ in range(60):
            image = camera.read()[1]
            seen.append((time.monotonic(), clip.number_of(image)))
        camera.release()
        words = program.end()
        fed = [line.split() for line in feeder.words.splitlines()[:-1]]
    came = [(float(at), int(number)) for number, at in fed]
    delays = [
        min(at - start for start, number in came if number == what and start < at)
        for at, what in seen[5:]
        if what is not None
    ]
    told = re.search(r"p50 (\d+) ms", words)
    assert told
    measured = 1e3 * float(np.median(delays))
    print(f"delay: {measured:.0f} ms at a viewer, {told[1]} ms told")
    assert abs(measured - float(told[1])) < 20 * kit.BUSY


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
        share = kit.least_share(program.cpu_seconds, lambda: time.sleep(1))
        assert not holds(program, kit.IN)

        code = FIRST.format(paths=[str(Path(__file__).parent)])
        with subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as reader:
            assert reader.stdin
            assert reader.stdout
            assert reader.stdout.readline() == "ready\n"
            webcam = Viewers(kit.IN)  # tells when the program streams from the webcam
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
    assert share < 0.02 * kit.BUSY
    assert (
        first - on < 0.3 * kit.BUSY + 1 / 30
    )  # the webcam's first picture comes within a frame's time
