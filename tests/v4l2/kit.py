"""What the tests in the guest share: a clip, feeders, readers, programs.

The clip: 64 pictures. A strip of bright blocks at the top carries the number of
the picture in Gray code; a bright disc, the "person" of the toy networks, stands
where that number says. A composite whose strip says N but whose cut-out is not at
N's place was made with another frame's matte.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from bshm_live.sink_v4l2 import Loopback
from bshm_live.types import Shot, Size

FRAMES = 64
BITS = 6
ZERO, ONE = 195, 250  # both count as person for the toy networks
PERSON, ROOM = 225, (60, 40, 30)
GREEN = (64, 177, 0)  # BGR of #00b140
GREEN_MARGIN = 30  # I420 in between, and the matte's soft edge

OUT, IN, SECOND = "/dev/video10", "/dev/video11", "/dev/video12"
LIVE = (sys.executable, "-m", "bshm_live")

# The clip


def places(size: Size) -> tuple[np.ndarray, int, int]:
    """x of the disc for each number; its y and radius, in pixels."""
    width, height = size
    radius = height // 6
    span = width - 4 * radius
    return 2 * radius + (np.arange(FRAMES) * 37 * width // 640) % span, height * 5 // 8, radius


def picture(number: int, size: Size) -> np.ndarray:
    """(H, W, 3) BGR uint8."""
    width, height = size
    xs, y, radius = places(size)
    image = np.full((height, width, 3), ROOM, np.uint8)
    cv2.circle(image, (int(xs[number]), y), radius, (PERSON,) * 3, -1)
    code = number ^ (number >> 1)
    for bit in range(BITS):
        level = ONE if code >> bit & 1 else ZERO
        image[: height // 5, bit * width // BITS : (bit + 1) * width // BITS] = level
    return image


def number_of(image: np.ndarray) -> int | None:
    """The number in a picture's strip; None where there is none."""
    height, width = image.shape[:2]
    code = 0
    for bit in range(BITS):
        middle = (2 * bit + 1) * width // (2 * BITS)
        block = image[height // 20 : height // 12, middle - 8 : middle + 8]
        level = float(block.mean())
        if abs(level - ZERO) > 20 and abs(level - ONE) > 20:
            return None
        code |= (level > (ZERO + ONE) / 2) << bit
    number = 0
    while code:
        number ^= code
        code >>= 1
    return number


def place_of(image: np.ndarray) -> tuple[float, int] | None:
    """x of what was cut out before green, and how many pixels that is; None: nothing."""
    height = image.shape[0]
    below = image[height * 3 // 8 :].astype(int)
    person = np.abs(below - GREEN).max(2) > 100
    if not person.any():
        return None
    return float(np.nonzero(person)[1].mean()), int(person.sum())


def raw_pixels(image: np.ndarray) -> int:
    """Pixels of the room, which nobody may see; the soft edges of a matte are left out."""
    room = (np.abs(image.astype(int) - ROOM).max(2) <= 30).astype(np.uint8)
    across = image.shape[0] // 40
    return int(cv2.erode(room, np.ones((across, across))).sum())


def check_composites(images: Sequence[np.ndarray], size: Size) -> list[int]:
    """Every composite is of one frame and its own matte, and no room is in it. Their numbers."""
    xs, _, radius = places(size)
    numbers = []
    for image in images:
        assert image.shape == (size[1], size[0], 3)
        assert raw_pixels(image) == 0
        number = number_of(image)
        if number is None:  # the background alone: a frame without a matte
            assert np.abs(image.astype(int) - GREEN).max() <= 12
            continue
        place = place_of(image)
        assert place is not None, f"frame {number} has no person"
        assert abs(place[0] - xs[number]) < 37 / 4, (number, place, xs[number])
        assert 0.7 < place[1] / (np.pi * radius**2) < 1.3, (number, place)
        numbers.append(number)
    return numbers


# Devices


def reload_loopback() -> None:
    """A fresh module: no test sees what another left."""
    module = os.environ["GUEST_LOOPBACK"]
    end = time.monotonic() + 5
    while subprocess.run(["rmmod", "v4l2loopback"], capture_output=True, check=False).returncode:
        assert time.monotonic() < end, "somebody still holds a virtual camera"
        time.sleep(0.05)
    insert_loopback(module)


def insert_loopback(module: str | None = None) -> None:
    words = ["video_nr=10,11,12", "card_label=bshm-live,clip,second", "exclusive_caps=1,1,1"]
    subprocess.run(["insmod", module or os.environ["GUEST_LOOPBACK"], *words], check=True)


def loopback_version() -> tuple[int, ...]:
    path = Path("/sys/module/v4l2loopback/version")
    if not path.is_file():  # 0.12 does not say
        return (0, 12)
    return tuple(int(part) for part in path.read_text().strip().split("."))


def is_camera(device: str) -> bool:
    """Whether programs would list it as a camera."""
    words = ["v4l2-ctl", "-d", device, "-D"]
    told = subprocess.run(words, capture_output=True, text=True, check=False).stdout
    own = told.partition("Device Caps")[2]
    return "Video Capture" in own and "Video Output" not in own


def until(what: Callable[[], object], seconds: float = 20.0, message: str = "") -> float:
    """Seconds until `what` is true."""
    start = time.monotonic()
    while not what():
        assert time.monotonic() - start < seconds, message or f"{what} in {seconds} s"
        time.sleep(0.02)
    return time.monotonic() - start


# Readers


def read_v4l2ctl(folder: Path, count: int, size: Size, device: str = OUT) -> list[np.ndarray]:
    """(H, W, 3) BGR pictures, streamed by v4l2-ctl."""
    path = folder / "seen.raw"
    words = ["v4l2-ctl", "-d", device, "--stream-mmap=2", f"--stream-count={count}"]
    subprocess.run([*words, f"--stream-to={path}"], capture_output=True, check=True, timeout=60)
    width, height = size
    data = np.fromfile(path, np.uint8).reshape(-1, height * 3 // 2, width)
    path.unlink()
    return [cv2.cvtColor(one, cv2.COLOR_YUV2BGR_I420) for one in data]


def read_ffmpeg(count: int, size: Size, device: str = OUT) -> list[np.ndarray]:
    words = ["ffmpeg", "-v", "error", "-f", "v4l2", "-i", device, "-frames:v", str(count)]
    words += ["-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "bgr24", "-"]
    data = subprocess.run(words, stdout=subprocess.PIPE, check=True, timeout=60).stdout
    return list(np.frombuffer(data, np.uint8).reshape(-1, size[1], size[0], 3))


def read_opencv(count: int, device: str = OUT) -> list[np.ndarray]:
    camera = cv2.VideoCapture(device, cv2.CAP_V4L2)
    found = []
    while len(found) < count:
        there, image = camera.read()
        assert there, f"OpenCV read {len(found)} pictures of {count}"
        found.append(image)
    camera.release()
    return found


def rate_of(device: str, seconds: float, fps: float = 30) -> float:
    """Frames a second that v4l2-ctl counts."""
    words = ["v4l2-ctl", "-d", device, "--stream-mmap=2", f"--stream-count={int(seconds * fps)}"]
    told = subprocess.run(words, capture_output=True, text=True, check=True, timeout=120)
    rates = [float(x) for x in re.findall(r"([\d.]+) fps", told.stdout + told.stderr)]
    return sum(rates) / len(rates)


# Programs


class Program:
    """A process whose words are kept; killed at the end of a `with` where it still runs."""

    def __init__(
        self, *command: object, log: Path, toy: bool = True, keep: tuple[int, ...] = ()
    ) -> None:
        folder = Path(__file__).resolve().parents[2] / "engines" / "toy"
        env = {**os.environ, **({"BSHM_ENGINES": str(folder)} if toy else {})}
        self.log = log
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=env,
                pass_fds=keep,
            )

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: object) -> None:
        if self.running:
            self.process.kill()
        self.process.wait(10)

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    @property
    def words(self) -> str:
        return self.log.read_text(errors="replace")

    def says(self, text: str, seconds: float = 20.0) -> float:
        return until(lambda: text in self.words, seconds, f"it never said {text!r}: {self.words}")

    def ready(self, device: str = OUT) -> Program:
        """Waits until its virtual camera is there."""
        until(lambda: is_camera(device) or not self.running, 30, self.words)
        assert self.running, self.words
        return self

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self) -> str:
        """Ctrl-C; its words."""
        self.signal(signal.SIGINT)
        assert self.process.wait(20) == 0, self.words
        return self.words

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_mib(self) -> float:
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", text)[1]) / 1024  # type: ignore[index]


# Plain Python, so that it is there at once: descriptor, file, bytes a picture, frames/s.
FEEDER = """
import mmap, os, sys, time
node, bytes_each, fps = int(sys.argv[1]), int(sys.argv[3]), float(sys.argv[4])
with open(sys.argv[2], "rb") as file:
    clip = memoryview(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ))
at, due = 0, time.monotonic()
while True:
    os.write(node, clip[at : at + bytes_each])
    at = (at + bytes_each) % len(clip)
    due = max(due + 1 / fps, time.monotonic() - 1 / fps)
    time.sleep(max(0.0, due - time.monotonic()))
"""


@contextmanager
def feeding(
    folder: Path, size: Size = (640, 360), fps: float = 30, device: str = IN
) -> Iterator[Program]:
    """The clip is played into a loopback device: a webcam."""
    path = folder / f"clip-{size[0]}.raw"
    if not path.is_file():
        clip = [cv2.cvtColor(picture(n, size), cv2.COLOR_BGR2YUV_I420) for n in range(FRAMES)]
        np.stack(clip).tofile(path)
    output = Loopback(device, size, fps)
    node = output._node
    words = (sys.executable, "-IS", "-c", FEEDER, node, path, path.stat().st_size // FRAMES, fps)
    with Program(*words, log=folder / "feeder.log", keep=(node,)) as feeder:
        output.close()
        yield feeder.ready(device)


def live(folder: Path, *more: object, size: Size = (640, 360), source: str = IN) -> Program:
    """The whole program with the toy networks, from the clip to the virtual camera."""
    words = ("--bg", "#00b140", "--source", source, "--sink", f"vcam:{OUT}")
    where = ("--size", f"{size[0]}x{size[1]}", "--runtime", "onnxruntime", "--preset", "balanced")
    return Program(*LIVE, *words, *where, *more, log=folder / "live.log")


def shot(level: int, size: Size = (640, 360)) -> Shot:
    """An even grey composite."""
    width, height = size
    image = np.full((height, width, 3), level, np.uint8)
    return Shot(image, np.zeros((height, width), np.uint8), None, 0, 0.0, True)
