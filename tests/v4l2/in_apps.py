"""What other programs make of the camera, and of its coming and going; run by test_guest.py."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import clip
import cv2
import kit
import numpy as np
import pytest
import readers
from open_apps import OpenApp, OpenChromium, OpenFirefox, OpenObs

from bshm_live.setup.events import RULES
from bshm_live.sinks.pixels import BY_NAME
from bshm_live.sinks.v4l2 import Loopback

OFF = 4  # of 255: from BGR to I420 and back
GREEN, SKIN = (64, 177, 0), (120, 150, 220)  # BGR


@pytest.fixture(autouse=True)
def fresh() -> None:
    kit.reload_loopback()


def fields() -> str:
    words = ["v4l2-ctl", "-d", kit.OUT, "--get-fmt-video"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


@contextmanager
def sending(camera: Loopback, image: np.ndarray) -> Iterator[None]:
    """Shows `image` thirty times a second."""
    end = threading.Event()

    def run() -> None:
        while not end.wait(1 / 30):
            camera.show(image)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()


@pytest.mark.parametrize("size", [(640, 360), (1280, 720)])
def test_the_fields_say_what_the_pixels_are(tmp_path: Path, size: tuple[int, int]) -> None:
    """Also after a producer that said something else."""
    before = ["v4l2-ctl", "-d", kit.OUT, "--set-fmt-video-out"]
    before[-1] += f"=width={size[0]},height={size[1]},pixelformat=YU12,colorspace=rec709,ycbcr=709"
    subprocess.run(before, check=True, capture_output=True)
    camera = Loopback(kit.OUT, size, 30)
    camera.show(np.zeros((size[1], size[0], 3), np.uint8))
    told = {
        name.strip(): value.strip()
        for name, _, value in (line.partition(":") for line in fields().splitlines())
    }
    assert told["Colorspace"] == "sRGB"
    assert told["Transfer Function"] == "sRGB"
    assert told["YCbCr/HSV Encoding"] == "ITU-R 601"
    if kit.loopback_version() >= (0, 13):  # before, the driver keeps this one to itself
        assert told["Quantization"] == "Limited Range"
    for colour in (GREEN, SKIN):
        image = np.full((size[1], size[0], 3), colour, np.uint8)
        with sending(camera, image):
            for name, seen in readers.read_all(tmp_path, 4, size, step=4).items():
                off = np.abs(seen.images[-1].astype(int) - colour).max()
                print(f"{name} at {size[0]}x{size[1]}: {off} of 255 beside {colour}")
                assert off <= OFF
    camera.close()


@pytest.mark.parametrize("name", ["YUYV", "NV12"])
def test_another_format_reads_right(name: str) -> None:
    """`--vcam-format`: the driver's own name of it, OpenCV's and FFmpeg's pixels, and our check."""
    pixels = BY_NAME[name]
    camera = Loopback(kit.OUT, (640, 360), 30, pixels)
    image = np.full((360, 640, 3), SKIN, np.uint8)
    image[:180] = GREEN
    camera.stand_in(image)
    camera.show(image)
    assert f"'{pixels.fourcc}'" in fields()
    words = ["ffmpeg", "-v", "fatal", "-f", "v4l2", "-i", kit.OUT, "-frames:v", "2"]
    with sending(camera, image):
        seen = {"opencv": readers.read_opencv(4).images[-1]}
        done = subprocess.run(
            [*words, "-pix_fmt", "bgr24", "-f", "rawvideo", "-"], capture_output=True, check=True
        )
        seen["ffmpeg"] = np.frombuffer(done.stdout, np.uint8)[-image.nbytes :].reshape(image.shape)
    for reader, found in seen.items():
        off = np.abs(found.astype(int) - image)[[20, 340]].max()
        print(f"{reader}, {name}: {off} of 255")
        assert off <= OFF
    camera.check()
    camera.close()


PRODUCER = """
import sys, time
sys.path[:0] = {paths!r}
import kit, numpy as np
from bshm_live.sinks.virtual_camera import VirtualCamera
camera = VirtualCamera(None, (640, 360), 30, placeholder=np.full((360, 640, 3), {green}, np.uint8))
one = kit.shot(90)
while True:
    camera.send(one)
    time.sleep(1 / 30)
"""
STILL_S = 2.0  # the longest that a viewer may see nothing new
STAYS = pytest.mark.skipif(kit.loopback_version() < (0, 15), reason="0.15 is the first that can")


class Watching:
    """OpenCV reads until the `with` ends: the kinds of pictures, and the longest wait for one."""

    def __init__(self) -> None:
        self.seen, self.longest = "", 0.0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Watching:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def sees(self, last: str, seconds: float = 20.0 * kit.BUSY) -> None:
        """Waits until the newest pictures are of these kinds."""
        end = time.monotonic() + seconds
        while not self.seen.endswith(last):
            assert time.monotonic() < end, f"it sees {self.seen[-60:]}, not {last}"
            time.sleep(0.02)

    def _run(self) -> None:
        camera = cv2.VideoCapture(kit.OUT, cv2.CAP_V4L2)
        before = time.monotonic()
        while not self._end.is_set():
            there, image = camera.read()
            now = time.monotonic()
            self.longest, before = max(self.longest, now - before), now
            self.seen += kind(image[::8, ::8]) if there else "-"
        camera.release()


def kind(image: np.ndarray) -> str:
    """p: the program's picture, b: the background, ?: neither, which nobody may see."""
    off = {"p": (90, 90, 90), "b": GREEN}
    for name, colour in off.items():
        if np.abs(image.astype(int) - colour).max() <= OFF:
            return name
    return "?"


@STAYS
@pytest.mark.parametrize("rounds", [2, pytest.param(10, marks=pytest.mark.slow)])
def test_a_viewer_sees_the_background_while_the_program_is_away(
    tmp_path: Path, rounds: int
) -> None:
    """Killed and started again; then ended as usual, with and without a viewer."""
    code = PRODUCER.format(paths=[str(Path(__file__).parent)], green=GREEN)
    start = [sys.executable, "-c", code]
    with kit.Program(*start, log=tmp_path / "0.log") as program:
        program.ready()
        with Watching() as viewer:
            for number in range(1, rounds + 1):
                viewer.sees("pp")
                program.signal(signal.SIGKILL)
                program.process.wait()
                viewer.sees("b", 3 * kit.BUSY)
                program.__init__(*start, log=tmp_path / f"{number}.log")
            viewer.sees("pp")
    assert set(viewer.seen) == {"p", "b"}
    assert viewer.longest < STILL_S
    kit.note(f"its program killed under a viewer, {rounds} times", still=round(viewer.longest, 2))


@STAYS
def test_it_is_a_camera_after_the_end_only_for_those_who_watch_it() -> None:
    image = np.full((360, 640, 3), GREEN, np.uint8)
    camera = Loopback(kit.OUT, (640, 360), 30)
    camera.stand_in(image)
    camera.show(image)
    assert kit.is_camera(kit.OUT)
    with Watching() as viewer:
        kit.until(lambda: viewer.seen)
        camera.close()
        assert kit.is_camera(kit.OUT)
        viewer.sees("bb")
        camera = Loopback(kit.OUT, (640, 360), 30)
        camera.show(image)
    camera.close()
    assert not kit.is_camera(kit.OUT)
    Loopback(kit.OUT, (1280, 720), 30).close()  # it takes every size again


@STAYS
@pytest.mark.parametrize(
    ("app", "rounds"),
    [
        (OpenChromium, 2),
        pytest.param(OpenChromium, 10, marks=pytest.mark.slow),
        pytest.param(OpenFirefox, 10, marks=pytest.mark.slow),
        pytest.param(OpenObs, 10, marks=pytest.mark.slow),
    ],
)
def test_an_open_app_sees_it_come_and_come_back(
    tmp_path: Path, app: type[OpenApp], rounds: int
) -> None:
    """udev runs with the rule that `setup` writes; the program is killed under the app."""
    for needed in (str(kit.UDEVD), *app.needs):
        if not shutil.which(needed):
            pytest.skip(f"{needed} is not installed")
    rules = Path("/run/udev/rules.d/61-bshm-live.rules")
    rules.parent.mkdir(parents=True, exist_ok=True)
    rules.write_text(RULES)
    kit.start_udev()
    kit.reload_loopback()
    subprocess.run(["udevadm", "settle"], check=True)

    def sees(kind: str, seconds: float) -> None:
        """It is asked now and then: the guest's core is the app's."""
        lacks = f"it never saw {kind}; see {program.log}"
        kit.until(lambda: viewer.last() == kind, seconds * kit.BUSY, lacks, pause_s=0.2)

    with kit.feeding(tmp_path), app(tmp_path) as viewer:
        assert not viewer.there()
        with kit.live(tmp_path) as program:
            program.ready()
            took = kit.until(viewer.there, 4 * kit.BUSY)
            viewer.watch()
            sees("p", 7)
            for _ in range(rounds):
                print(viewer.seen(), flush=True)
                program.signal(signal.SIGKILL)
                program.process.wait()
                sees("b", 2)
                program = kit.live(tmp_path)
                sees("p", 7)
            seen = viewer.seen()
            program.end()
    assert seen.live
    assert seen.off <= clip.SLACK  # the room was in no picture
    assert seen.longest_s < STILL_S
    kit.note(
        f"its program killed under {app.needs[0]}, {rounds} times",
        there_after=round(took, 2),
        still=round(seen.longest_s, 2),
        pictures=seen.count,
    )
