"""The virtual camera: what Zoom, Meet, Teams and OBS pick. pyvirtualcam lives here alone."""

from __future__ import annotations

import os
import struct
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .errors import SinkError
from .types import Shot, Size

if TYPE_CHECKING:
    from pyvirtualcam import Camera

    from .types import Picture

LABEL = "bshm-live"  # the card_label of FIX
FIX = 'sudo modprobe v4l2loopback video_nr=10 card_label="bshm-live" exclusive_caps=1 max_buffers=2'
OBS_LABEL = "OBS Virtual Camera"
SYSFS = Path("/sys/class/video4linux")
LIST = "`bshm-live devices` lists what is there"

REPEAT_AFTER_S = 0.25  # browsers give up on a camera that is silent for a second
CHECK_EVERY_S = 1.0
JOIN_S = 2.0

# linux/videodev2.h
VIDIOC_STREAMON = 0x40045612
VIDIOC_G_FMT = 0xC0D05604
VIDIOC_S_PARM = 0xC0CC5616
BUFFER_TYPE_OUTPUT = 2
CAN_SET_RATE = 0x1000  # V4L2_CAP_TIMEPERFRAME
FORMAT_BYTES, FORMAT_SIZE_AT = 208, 8
PARAMETER_BYTES = 204
RATE_UNIT = 1000  # rates are given as RATE_UNIT / (fps * RATE_UNIT)


class VirtualCamera:
    """Feeds a virtual camera with composites: BGR uint8 (H, W, 3) of exactly `size`.

    `placeholder` (black when None) is shown at once, so that programs can list
    the camera, and until the first frame. A thread repeats the last picture
    while none comes: a silent camera is dropped by browsers. Raises SinkError.
    """

    needs_foreground = False

    def __init__(
        self, device: str | None, size: Size, fps: float, *, placeholder: Picture | None = None
    ) -> None:
        width, height = size
        if device is None and sys.platform == "linux":
            device = pick_loopback()
        self._camera = _open_camera(device, size, fps)
        self.device: str = self._camera.device
        self._size, self._fps = size, fps
        self._node = _own_descriptor(self.device)
        if self._node is not None:
            _prepare(self._node, fps)
        self._last = np.zeros((height, width, 3), np.uint8)
        if placeholder is not None:
            np.copyto(self._last, placeholder)
        self._lock = threading.Lock()
        self._failure: SinkError | None = None
        self._stop = threading.Event()
        self._sent_at = self._checked_at = time.monotonic()
        self._camera.send(self._last)
        self._thread = threading.Thread(target=self._repeat, name="virtual camera", daemon=True)
        self._thread.start()

    def describe(self) -> str:
        width, height = self._size
        label = _label(self.device)
        name = f"{self.device} ({label})" if label else self.device
        return f"virtual camera {name}: {width}x{height}, {self._fps:.4g} frames/s"

    def send(self, shot: Shot) -> None:
        """Shows the composite. Raises SinkError once the camera is gone."""
        with self._lock:
            if self._failure is not None:
                raise self._failure
            np.copyto(self._last, shot.composite)
            self._show()

    def close(self, *, ok: bool = True) -> None:
        """Gives the camera back; `ok` makes no difference."""
        self._stop.set()
        self._thread.join(JOIN_S)
        with self._lock:
            self._camera.close()

    def _show(self) -> None:
        """Writes the last picture; the caller holds the lock."""
        now = time.monotonic()
        if now - self._checked_at >= CHECK_EVERY_S:
            self._checked_at = now
            self._check()
        self._camera.send(self._last)
        self._sent_at = now

    def _check(self) -> None:
        """pyvirtualcam hides failed writes, so the device itself is asked."""
        if self._node is None:
            return
        try:
            now_size = _format_size(self._node)
        except OSError as error:
            raise SinkError(
                f"virtual camera {self.device} is gone ({error.strerror}); load it again: {FIX}"
            ) from error
        if now_size != self._size:
            raise SinkError(
                f"virtual camera {self.device} was set to {now_size[0]}x{now_size[1]} by another "
                "program; close that program and start again"
            )

    def _repeat(self) -> None:
        """The thread: keeps the camera alive while the loop has nothing to show."""
        while not self._stop.wait(REPEAT_AFTER_S / 2):
            with self._lock:
                if time.monotonic() - self._sent_at < REPEAT_AFTER_S:
                    continue
                try:
                    self._show()
                except SinkError as error:
                    self._failure = error
                    return


def pick_loopback(root: Path = SYSFS) -> str | None:
    """The v4l2loopback node called bshm-live, else the first that is not OBS's; None: no such."""
    nodes = {node.name: _node_label(node) for node in _loopbacks(root)}
    ours = [name for name, label in nodes.items() if label == LABEL]
    free = [name for name, label in nodes.items() if label != OBS_LABEL]
    names = ours or free
    if names:
        return f"/dev/{names[0]}"
    if nodes:
        raise SinkError(
            f"the only virtual camera, /dev/{next(iter(nodes))}, is OBS's; name it with "
            f"--sink vcam:/dev/{next(iter(nodes))}, or add our own: {FIX}"
        )
    return None


def _loopbacks(root: Path) -> list[Path]:
    """Nodes of v4l2loopback by number: only that driver has the attribute max_openers."""
    found = [node for node in root.glob("video*") if (node / "max_openers").exists()]
    return sorted(found, key=lambda node: int(node.name.removeprefix("video")))


def _node_label(node: Path) -> str:
    try:
        return (node / "name").read_text(errors="replace").strip()
    except OSError:  # it went while we looked
        return ""


def _label(device: str) -> str:
    return _node_label(SYSFS / Path(device).name)


def _open_camera(device: str | None, size: Size, fps: float) -> Camera:
    try:
        import pyvirtualcam
    except ImportError as error:
        raise SinkError(
            f"no virtual camera: pyvirtualcam cannot be loaded ({error}); "
            "pip install pyvirtualcam, or use --sink window"
        ) from error
    try:
        return pyvirtualcam.Camera(
            *size, max(fps, 1.0), fmt=pyvirtualcam.PixelFormat.BGR, device=device
        )
    except RuntimeError as error:
        raise SinkError(_why(device, str(error))) from error


def _why(device: str | None, text: str) -> str:
    """pyvirtualcam's words to one line with the fix."""
    if sys.platform == "win32":
        return (
            "no virtual camera; install OBS Studio 26 or newer, which brings one, and close "
            "every program that feeds it"
        )
    if sys.platform == "darwin":
        return (
            "no virtual camera; install OBS Studio 30 or newer (macOS 13 or newer), start and "
            "stop its virtual camera once, quit it and try again"
        )
    name = device or "v4l2loopback"
    if "missing permissions" in text:
        return (
            f"virtual camera {name} may not be opened; add yourself to the group video "
            "(sudo usermod -aG video $USER) and log in again"
        )
    if any(sign in text.lower() for sign in ("not a video output", "busy", "already in use")):
        return (
            f"virtual camera {name} takes no pictures: another program feeds it, or it is a real "
            f"camera; close that program, or choose another with --sink vcam:/dev/videoN ({LIST})"
        )
    if device is not None and ("not a V4L2" in text or "could not be queried" in text):
        return f"{name} is not a video device; {LIST}"
    missing = f"there is no virtual camera {device}" if device else "there is no virtual camera"
    if device is None or "does not exist" in text:
        return f"{missing}; make one: {FIX}"
    return f"virtual camera {name} cannot be used ({text.strip().splitlines()[-1]}); {LIST}"


def _own_descriptor(device: str) -> int | None:
    """pyvirtualcam's file descriptor of the device; None where there is no such thing."""
    if sys.platform != "linux" or not device.startswith("/dev/"):
        return None
    target = os.path.realpath(device)
    for entry in Path("/proc/self/fd").iterdir():
        try:
            if str(entry.readlink()) == target:
                return int(entry.name)
        except OSError:  # the descriptor of this very listing
            continue
    return None


def _prepare(node: int, fps: float) -> None:
    """What pyvirtualcam leaves out; both are best effort, for drivers differ."""
    import fcntl

    rate = struct.pack(
        "=5I", BUFFER_TYPE_OUTPUT, CAN_SET_RATE, 0, RATE_UNIT, round(fps * RATE_UNIT)
    )
    wishes = (
        # v4l2loopback otherwise tells every reader 30 frames/s.
        (VIDIOC_S_PARM, rate.ljust(PARAMETER_BYTES, b"\0")),
        # v4l2loopback 0.12.7 needs it, or the device is lost once we have closed it.
        (VIDIOC_STREAMON, struct.pack("=i", BUFFER_TYPE_OUTPUT)),
    )
    for request, argument in wishes:
        try:
            fcntl.ioctl(node, request, argument)
        except OSError:
            continue


def _format_size(node: int) -> Size:
    """(width, height) that the device takes now. Raises OSError when it is gone."""
    import fcntl

    form = bytearray(FORMAT_BYTES)
    struct.pack_into("=I", form, 0, BUFFER_TYPE_OUTPUT)
    fcntl.ioctl(node, VIDIOC_G_FMT, form)
    width, height = struct.unpack_from("=2I", form, FORMAT_SIZE_AT)
    return width, height
