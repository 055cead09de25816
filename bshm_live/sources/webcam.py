"""A webcam: the newest frame wins."""

from __future__ import annotations

import errno
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ..errors import SourceError
from ..files import CAMERA, JOIN_GROUP, LIST
from ..types import Frame, Size
from .names import find
from .newest import Newest
from .repeats import Repeats

if TYPE_CHECKING:
    from ..types import Picture


SIZE_WANTED: Size = (1280, 720)  # width, height asked of a camera when the user names none
FPS_WANTED = 30.0  # frames per second, likewise
NO_FRAME_S = 5.0  # seconds that a camera has for its first frame
FROZEN_S = 2.0  # seconds without a frame after which a running camera counts as frozen
STALE_S = 0.2  # a first frame older than this waited for the networks to load
STAMP_OLDEST_S = 1.0  # a driver's time of capture must lie so near, else it is another clock
MISSES = 10  # failed reads in a row; single ones are noise on the bus
MISS_PAUSE_S = 0.05
JOIN_S = 1.0  # a read that hangs in the driver is left to its daemon thread
# In seconds; OpenCV's own 10 would keep a frozen camera's device open for so long.
SELECT_TIMEOUT = ("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", "1")

VIDIOC_QUERYCAP = 0x80685600  # linux/videodev2.h
CAPABILITY_BYTES = 104
CAPABILITIES = slice(84, 88)
DEVICE_CAPABILITIES = slice(88, 92)
CAN_CAPTURE = 0x1 | 0x1000  # V4L2_CAP_VIDEO_CAPTURE, _MPLANE
HAS_DEVICE_CAPABILITIES = 0x80000000


@dataclass(frozen=True)
class News:
    """What the camera delivered last; both times are of time.monotonic()."""

    image: Picture
    index: int
    read: float
    captured: float
    fault: str | None


class Webcam:
    """A camera's newest frame, each at most once: BGR uint8 (H, W, 3), even size.

    `device` is a number or a path, or camera:NAME elsewhere than on Linux. Size and rate
    are wishes: the camera's answer is in `size` and `fps`. Frame.index counts what the
    camera delivered, so a gap is what the loop was too slow for. While it waits, `give_up`
    is asked four times a second and ends the iteration. Raises SourceError, also when the
    first frame takes more than 5 seconds, or one behind it more than 2.
    A frozen camera may send the same picture again and again: its frames have a `fault`.
    """

    def __init__(
        self,
        device: str | int,
        size: Size | None = None,
        fps: float | None = None,
        *,
        give_up: Callable[[], bool] = lambda: False,
    ) -> None:
        self._name = device_name(device)
        if sys.platform == "linux":
            _check_node(self._name)
        self._capture = _open_capture(self._name, device, size or SIZE_WANTED, fps or FPS_WANTED)
        self._fps = self._capture.get(cv2.CAP_PROP_FPS) or fps or FPS_WANTED
        self._format = _fourcc_name(int(self._capture.get(cv2.CAP_PROP_FOURCC)))
        self._newest = Newest[News](give_up)
        self._thread = threading.Thread(target=self._read, name="webcam", daemon=True)
        self._thread.start()
        self._size = self._first_size()

    @property
    def size(self) -> Size:
        """(width, height) of what the camera delivers, cropped to even."""
        return self._size

    @property
    def fps(self) -> float:
        """Frames per second that the camera promised."""
        return self._fps

    @property
    def count(self) -> int | None:
        return None

    def describe(self) -> str:
        width, height = self._size
        return f"camera {self._name}: {width}x{height}, {self._fps:.4g} frames/s, {self._format}"

    def __iter__(self) -> Iterator[Frame]:
        width, height = self._size
        first: float | None = None
        self._newest.drop(lambda news: time.monotonic() - news.read > STALE_S)
        while (news := self._newest.take(FROZEN_S, _silent_text(self._name))) is not None:
            first = news.read if first is None else first
            image = np.ascontiguousarray(news.image[:height, :width])
            yield Frame(image, news.index, news.read - first, news.captured, fault=news.fault)

    def close(self) -> None:
        """Ends the iteration and gives the camera back."""
        self._newest.close()
        self._thread.join(JOIN_S)

    def _first_size(self) -> Size:
        """Waits for a frame: only pixels prove a size."""
        try:
            news = self._newest.take(NO_FRAME_S, _silent_text(self._name))
        except SourceError:
            self.close()
            raise
        if news is None:
            self.close()
            raise SourceError(f"camera {self._name} was given up before its first picture")
        self._newest.put_back(news)  # who wakes a camera wants its first frame, too
        height, width = news.image.shape[:2]
        return width // 2 * 2, height // 2 * 2

    def _read(self) -> None:
        """The thread: keeps the slot filled; owns the capture and gives it back."""
        misses = index = 0
        repeats = Repeats(self._name)
        try:
            while not self._newest.closed:
                done, image = self._capture.read()
                if done and image is not None:
                    misses = 0
                    now = time.monotonic()
                    picture = np.asarray(image, np.uint8)
                    fault = repeats(picture, now)
                    self._newest.put(News(picture, index, now, self._stamp(now), fault))
                    index += 1
                elif (misses := misses + 1) < MISSES:
                    time.sleep(MISS_PAUSE_S)
                else:
                    return self._newest.fail(_stopped_text(self._name, index))
        except cv2.error as error:
            self._newest.fail(
                f"camera {self._name} failed: {error.err}; unplug it and plug it in again"
            )
        finally:
            self._capture.release()

    def _stamp(self, now: float) -> float:
        """When the picture was taken: the driver's word on Linux, else the time of its arrival."""
        told = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1e3
        return told if now - STAMP_OLDEST_S < told <= now else now


def device_name(device: str | int) -> str:
    """'/dev/video0' where a number is short for that, else 'number 0'."""
    if isinstance(device, int):
        return f"/dev/video{device}" if sys.platform == "linux" else f"number {device}"
    return device


def _open_capture(name: str, device: str | int, size: Size, fps: float) -> cv2.VideoCapture:
    """Opens and asks for MJPG first: raw formats are slow over USB at large sizes."""
    # We say ourselves what fails. OpenCV 4 has the function here, OpenCV 5 there.
    set_log_level = getattr(cv2, "setLogLevel", None) or cv2.utils.logging.setLogLevel
    set_log_level(0)
    if sys.platform == "linux":
        os.environ.setdefault(*SELECT_TIMEOUT)
        capture = cv2.VideoCapture(name, cv2.CAP_V4L2)
    elif name.startswith(CAMERA):  # looked for each time: numbers change
        found = find(name)
        capture = cv2.VideoCapture(found.place, found.backend)
    else:
        capture = cv2.VideoCapture(device)
    if not capture.isOpened():
        capture.release()
        raise SourceError(_closed_text(name))
    capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
    capture.set(cv2.CAP_PROP_FRAME_WIDTH, size[0])
    capture.set(cv2.CAP_PROP_FRAME_HEIGHT, size[1])
    capture.set(cv2.CAP_PROP_FPS, fps)
    return capture


def _check_node(name: str) -> None:
    """Tells why a Linux device cannot be a camera, as OpenCV does not. Raises SourceError."""
    import fcntl

    answer = bytearray(CAPABILITY_BYTES)
    try:
        node = os.open(name, os.O_RDWR | os.O_NONBLOCK)
    except OSError as error:
        raise SourceError(_open_text(name, error)) from error
    try:
        fcntl.ioctl(node, VIDIOC_QUERYCAP, answer)
    except OSError as error:
        raise SourceError(f"{name} is not a video device; {LIST}") from error
    finally:
        os.close(node)
    can = int.from_bytes(answer[CAPABILITIES], sys.byteorder)
    if can & HAS_DEVICE_CAPABILITIES:
        can = int.from_bytes(answer[DEVICE_CAPABILITIES], sys.byteorder)
    if not can & CAN_CAPTURE:
        raise SourceError(
            f"{name} is not a camera that sends pictures (a virtual camera that no program "
            f"feeds, or a camera's second device); {LIST}"
        )


def _open_text(name: str, error: OSError) -> str:
    if error.errno in (errno.ENOENT, errno.ENXIO, errno.ENODEV):
        there = sorted(str(node) for node in Path("/dev").glob("video*"))
        have = "there is " + ", ".join(there) if there else "there is no /dev/video* at all"
        return f"no camera {name}: {have}; {LIST}"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"camera {name} may not be opened; {JOIN_GROUP}"
    if error.errno == errno.EBUSY:
        return _busy_text(name)
    return f"camera {name} cannot be opened ({error.strerror}); {LIST}"


def _busy_text(name: str) -> str:
    return f"camera {name} is in use; close the other program (fuser -v {name} tells which)"


def _closed_text(name: str) -> str:
    if sys.platform == "linux":  # the node was checked before, so this is what is left
        return _busy_text(name)
    if name.startswith("/dev/"):
        return f"camera {name}: cameras have numbers here; try --source 0, or {CAMERA}NAME"
    return (
        f"camera {name} cannot be opened; is it plugged in, unused by others, and may this "
        f"terminal use the camera? {LIST}"
    )


def _silent_text(name: str) -> str:
    return (
        f"camera {name} sends no pictures; is another program using it? "
        "Unplug it and plug it in again"
    )


def _stopped_text(name: str, delivered: int) -> str:
    if not delivered:
        return _closed_text(name)
    return f"camera {name} stopped sending pictures; was it unplugged? Plug it in again"


def _fourcc_name(code: int) -> str:
    text = code.to_bytes(4, "little", signed=code < 0).decode("ascii", "replace")
    # OpenCV answers with its own format, not the camera's, once it converts.
    return text if text.isprintable() and text.strip() else "format unknown"
