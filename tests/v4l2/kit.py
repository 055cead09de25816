"""What the tests in the guest share: devices, feeders, programs."""

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
from pathlib import Path

import clip
import cv2
import numpy as np

from bshm_live.setup.modprobe import BUFFERS_WANTED
from bshm_live.sinks.v4l2 import Loopback
from bshm_live.types import Shot, Size

# How many times as long as on a quiet machine something may take.
BUSY = float(os.environ.get("GUEST_BUSY") or 3)
PATIENT = int(BUFFERS_WANTED)  # as many as OpenCV takes
OUT, IN, SECOND = "/dev/video10", "/dev/video11", "/dev/video12"
UDEVD = Path("/lib/systemd/systemd-udevd")
LIVE = (sys.executable, "-m", "bshm_live")
TOY = ("--runtime", "onnxruntime", "--preset", "balanced")  # a bright disc is a person
TRAINED = tuple((os.environ.get("GUEST_OPTIONS") or "--runtime onnxruntime").split())

# Devices


def reload_loopback(buffers: int = PATIENT) -> None:
    """A fresh module: no test sees what another left."""
    module = os.environ["GUEST_LOOPBACK"]
    end = time.monotonic() + 5
    while subprocess.run(["rmmod", "v4l2loopback"], capture_output=True, check=False).returncode:
        assert time.monotonic() < end, "somebody still holds a virtual camera"
        time.sleep(0.05)
    insert_loopback(module, buffers)


def insert_loopback(module: str | None = None, buffers: int = PATIENT) -> None:
    """With as many buffers as setup gives it.

    The driver writes into a buffer that a reader still holds. Whoever is late by as
    many pictures as there are buffers sees parts of two, and on the guest's one
    core readers are late.
    """
    words = ["video_nr=10,11,12", "card_label=bshm-live,clip,second", "exclusive_caps=1,1,1"]
    words.append(f"max_buffers={buffers}")
    subprocess.run(["insmod", module or os.environ["GUEST_LOOPBACK"], *words], check=True)


def start_udev() -> None:
    """Unless it runs."""
    asked = subprocess.run(["udevadm", "control", "--ping"], capture_output=True, check=False)
    if asked.returncode:
        subprocess.run([UDEVD, "--daemon"], check=True)


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


def until(
    what: Callable[[], object], seconds: float = 20.0, message: str = "", pause_s: float = 0.02
) -> float:
    """Seconds until `what` is true; it is asked after each pause."""
    start = time.monotonic()
    while not what():
        assert time.monotonic() - start < seconds, message or f"{what} in {seconds} s"
        time.sleep(pause_s)
    return time.monotonic() - start


# Figures


def least_share(cpu_seconds: Callable[[], float], idle: Callable[[], object]) -> float:
    """Of a core, while nothing happens: the least of four times one `idle`.

    The guest's clock also bills what the machine gave to others: the least is nearest.
    """
    shares = []
    for _ in range(4):
        start, before = time.monotonic(), cpu_seconds()
        idle()
        shares.append((cpu_seconds() - before) / (time.monotonic() - start))
    return min(shares)


def note(fault: str, **figures: object) -> None:
    """One row of the table of faults."""
    line = json.dumps({"fault": fault, **figures})
    print(line)
    with Path(os.environ["GUEST_KEPT"], "faults.json").open("a") as file:
        file.write(line + "\n")


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

    def says(self, text: str, seconds: float = 20.0, since: int = 0) -> float:
        """Waits until it does, behind its first `since` characters; how long that took."""
        said = f"it never said {text!r}; see {self.log}"
        took = until(lambda: text in self.words[since:] or not self.running, seconds, said)
        assert text in self.words[since:], self.words
        return took

    def ready(self, device: str = OUT) -> Program:
        """Waits until its virtual camera is there."""
        until(lambda: is_camera(device) or not self.running, 10 * BUSY, self.words)
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
