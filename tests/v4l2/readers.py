"""Those who read the virtual camera: v4l2-ctl, ffmpeg and OpenCV; how many pictures they get."""

from __future__ import annotations

import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from kit import OUT

from bshm_live.types import Size


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
