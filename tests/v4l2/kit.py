"""What the tests in the guest share: devices, feeders, readers, programs."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import clip
import cv2
import numpy as np

from bshm_live.sink_v4l2 import Loopback
from bshm_live.types import Shot, Size

# How many times as long as on a quiet machine something may take.
BUSY = float(os.environ.get("GUEST_BUSY") or 3)
OUT, IN, SECOND = "/dev/video10", "/dev/video11", "/dev/video12"
LIVE = (sys.executable, "-m", "bshm_live")
TOY = ("--runtime", "onnxruntime", "--preset", "balanced")  # a bright disc is a person
TRAINED = tuple((os.environ.get("GUEST_OPTIONS") or "--runtime onnxruntime").split())

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


# Figures


def note(fault: str, **figures: object) -> None:
    """One row of the table of faults."""
    line = json.dumps({"fault": fault, **figures})
    print(line)
    with Path(os.environ["GUEST_KEPT"], "faults.json").open("a") as file:
        file.write(line + "\n")


# Readers


@dataclass(frozen=True)
class Seen:
    """What a reader got: BGR pictures (H, W, 3), and how many came a second.

    Every `step`th pixel of every `step`th row is kept: memory that is new is dear
    in the guest, and its one core is also the program's.
    """

    images: list[np.ndarray]
    rate: float


def read_v4l2ctl(folder: Path, count: int, size: Size, device: str = OUT, step: int = 1) -> Seen:
    words = ["v4l2-ctl", "-d", device, "--stream-mmap=2", f"--stream-count={count}"]
    return _read_pipe([*words, "--stream-to=-"], size, step)


def read_ffmpeg(count: int, size: Size, device: str = OUT, step: int = 1) -> Seen:
    words = ["ffmpeg", "-v", "fatal", "-f", "v4l2", "-i", device, "-frames:v", str(count)]
    words += ["-c:v", "copy", "-f", "rawvideo", "-"]
    return _read_pipe(words, size, step)


def _read_pipe(words: list[str], size: Size, step: int) -> Seen:
    """I420 pictures from a program's output."""
    width, height = size
    buffer = np.empty((height * 3 // 2, width), np.uint8)
    found, times = [], []
    # A reader that has to wait holds a buffer which the driver writes into once more.
    pipe = {"stdout": subprocess.PIPE, "pipesize": 16 << 20}
    with subprocess.Popen(words, **pipe, stderr=subprocess.DEVNULL) as reader:
        assert reader.stdout
        while reader.stdout.readinto(buffer.data) == buffer.nbytes:  # type: ignore[attr-defined]
            times.append(time.monotonic())
            chroma = buffer[height:].reshape(2, height // 2, width // 2)[:, ::step, ::step]
            found.append((buffer[:height:step, ::step].copy(), chroma.copy()))
    assert reader.returncode == 0
    return Seen([_picture(*planes) for planes in found], rate(times))


def _picture(luma: np.ndarray, chroma: np.ndarray) -> np.ndarray:
    planar = np.concatenate([luma.ravel(), chroma.ravel()])
    return cv2.cvtColor(planar.reshape(-1, luma.shape[1]), cv2.COLOR_YUV2BGR_I420)


def read_opencv(count: int, device: str = OUT, step: int = 1) -> Seen:
    camera = cv2.VideoCapture(device, cv2.CAP_V4L2)
    found, times, image = [], [], None
    while len(found) < count:
        there, image = camera.read(image)
        assert there, f"OpenCV read {len(found)} pictures of {count}"
        times.append(time.monotonic())
        small = (image.shape[1] // step, image.shape[0] // step)
        found.append(cv2.resize(image, small, interpolation=cv2.INTER_NEAREST))
    camera.release()
    return Seen(found, rate(times))


def read_all(folder: Path, count: int, size: Size, step: int = 1) -> dict[str, Seen]:
    """What each of three readers sees, one after the other."""
    return {
        "v4l2-ctl": read_v4l2ctl(folder, count, size, step=step),
        "ffmpeg": read_ffmpeg(count, size, step=step),
        "OpenCV": read_opencv(count, step=step),
    }


def rate(times: list[float]) -> float:
    """Pictures a second; those that waited in the device when the reader came are left out."""
    kept = times[2:]
    return (len(kept) - 1) / (kept[-1] - kept[0]) if len(kept) > 1 else 0.0


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
# Its log says when each picture came.
FEEDER = """
import mmap, os, sys, time
node, bytes_each, fps = int(sys.argv[1]), int(sys.argv[3]), float(sys.argv[4])
with open(sys.argv[2], "rb") as file:
    clip = memoryview(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ))
at, due = 0, time.monotonic()
while True:
    print(at // bytes_each, time.monotonic(), flush=True)
    os.write(node, clip[at : at + bytes_each])
    at = (at + bytes_each) % len(clip)
    due = max(due + 1 / fps, time.monotonic() - 1 / fps)
    time.sleep(max(0.0, due - time.monotonic()))
"""


@contextmanager
def feeding(
    folder: Path,
    size: Size = (640, 360),
    fps: float = 30,
    device: str = IN,
    pictures: Callable[[Size], Iterable[np.ndarray]] = clip.pictures,
) -> Iterator[Program]:
    """A clip is played into a loopback device, again and again: a webcam."""
    path = folder / f"clip-{size[0]}.raw"
    with path.open("wb") as file:
        for picture in pictures(size):
            cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_I420).tofile(file)
    output = Loopback(device, size, fps)
    node, each = output._node, size[0] * size[1] * 3 // 2
    words = (sys.executable, "-IS", "-c", FEEDER, node, path, each, fps)
    with Program(*words, log=folder / "feeder.log", keep=(node,)) as feeder:
        output.close()
        yield feeder.ready(device)


def live(
    folder: Path,
    *more: object,
    size: Size = (640, 360),
    source: str = IN,
    options: Sequence[str] = TOY,
) -> Program:
    """The whole program from the webcam to the virtual camera."""
    words = ("--bg", "#00b140", "--source", source, "--sink", f"vcam:{OUT}")
    shape = ("--size", f"{size[0]}x{size[1]}", *options)
    command = (*LIVE, *words, *shape, *more)
    return Program(*command, log=folder / "live.log", toy=options == TOY)


def shot(level: int, size: Size = (640, 360)) -> Shot:
    """An even grey composite."""
    width, height = size
    image = np.full((height, width, 3), level, np.uint8)
    return Shot(image, np.zeros((height, width), np.uint8), None, 0, 0.0, True)
