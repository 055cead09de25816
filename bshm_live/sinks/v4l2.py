"""One open v4l2loopback device that takes pictures (Linux)."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from ..errors import SinkError
from ..files import JOIN_GROUP, LIST
from ..types import Size
from .loopback import FIX, who_holds
from .pixels import I420, PixelFormat
from .stay import Stay, can_stay, release
from .udev import ADD, CHANGE, announce
from .v4l2_format import get_size, set_format
from .viewers import Viewers

if TYPE_CHECKING:
    from ..types import Picture

DRIVER = "v4l2 loopback"


class Busy(SinkError):
    """Another program has the device: it may let go of it in a moment."""


class Loopback:
    """Writes BGR pictures (H, W, 3) of `size` to a v4l2loopback device, 0.12.7 to 0.15.

    `size` is even; readers get them as `pixels`. Raises SinkError when the device cannot
    be had, and OSError from `show`, `again` and `check` once it is lost.
    """

    def __init__(self, device: str, size: Size, fps: float, pixels: PixelFormat = I420) -> None:
        self.device, self._size, self._format = device, size, pixels
        self._pixels = pixels.empty(size)
        _cure(device)
        self._node = _open(device)
        try:
            was_camera, takes = _abilities(self._node, device)
            if not takes and not can_stay():
                raise Busy(_taken(device))
            _set_format(self._node, device, size, pixels)
            self._stay = _stay(self._node, device)
            _start(self._node, fps)
        except BaseException:
            os.close(self._node)
            raise
        self._news: str = CHANGE if was_camera else ADD

    def stand_in(self, picture: Picture) -> None:
        """What viewers see while nothing is shown, also once this process is killed."""
        if self._stay is not None:
            pixels = self._format.empty(self._size)
            self._format.convert(picture, pixels)
            self._stay.show(pixels)

    def show(self, picture: Picture) -> None:
        self._format.convert(picture, self._pixels)
        self.again()

    def again(self) -> None:
        """The last picture once more."""
        written = os.write(self._node, self._pixels.data)
        if written != self._pixels.nbytes:
            raise OSError(errno.EIO, f"it takes {written} of {self._pixels.nbytes} bytes a picture")
        if self._news:  # it is a camera from its first picture on
            if self._stay is not None:
                self._stay.begin()
            announce(self.device, self._news)
            self._news = ""

    def check(self) -> None:
        """That pictures still arrive as what they are: a write alone would not tell."""
        found = get_size(self._node, self._format)
        if found != self._size:
            raise OSError(errno.EBUSY, f"another program set it to {found[0]}x{found[1]}")

    def close(self) -> None:
        """Gives the device back. It stays a camera for those who watch it."""
        if self._stay is None:
            os.close(self._node)
            return
        watched = _is_watched(self.device)
        if not watched:
            release(self._node)
        self._stay.close()
        os.close(self._node)
        if not watched:
            announce(self.device, CHANGE)


def _open(device: str) -> int:
    try:
        return os.open(device, os.O_RDWR | os.O_NONBLOCK)
    except PermissionError as error:
        raise SinkError(f"virtual camera {device} may not be opened; {JOIN_GROUP}") from error
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
            raise SinkError(f"there is no virtual camera {device}; make one: {FIX}") from error
        if error.errno == errno.EBUSY:  # max_openers
            raise Busy(
                f"virtual camera {device} is open in too many programs{who_holds(device)}; "
                "close one of them"
            ) from error
        raise SinkError(f"virtual camera {device} cannot be opened ({error}); {LIST}") from error


def _cure(device: str) -> None:
    """Gives back a device of v4l2loopback 0.12 whose last producer never said STREAMON.

    It is neither a camera nor an output, until one that did say it has closed it.
    """
    node = _open(device)
    try:
        if not any(_abilities(node, device)):
            _streaming(node)
    finally:
        os.close(node)


def _abilities(node: int, device: str) -> tuple[bool, bool]:
    """Whether it is a camera now, and whether it takes pictures."""
    from linuxpy.video.device import Capability, read_capabilities

    try:
        found = read_capabilities(node)
    except OSError as error:
        raise SinkError(f"{device} is not a video device; {LIST}") from error
    if DRIVER not in found.driver.decode(errors="replace"):
        raise SinkError(_taken(device))
    able = Capability(found.device_caps)
    return Capability.VIDEO_CAPTURE in able, Capability.VIDEO_OUTPUT in able


def _taken(device: str) -> str:
    return (
        f"virtual camera {device} takes no pictures: another program feeds "
        f"it{who_holds(device)}, or it is a real camera; close that program, or choose "
        f"another with --sink vcam:/dev/videoN ({LIST})"
    )


def _set_format(node: int, device: str, size: Size, pixels: PixelFormat) -> None:
    try:
        found = set_format(node, size, pixels)
    except OSError as error:
        if error.errno in (errno.EBUSY, errno.EINVAL):
            raise Busy(_taken(device)) from error
        raise SinkError(f"virtual camera {device} cannot be used ({error}); {LIST}") from error
    if found != size:
        raise Busy(
            f"virtual camera {device} is held at {found[0]}x{found[1]} by a program that reads "
            f"it{who_holds(device)}; close that program, or give --size {found[0]}x{found[1]}"
        )


def _stay(node: int, device: str) -> Stay | None:
    """None: this driver cannot."""
    with suppress(OSError):
        return Stay(node, device) if can_stay() else None
    return None


def _is_watched(device: str) -> bool:
    viewers = Viewers(device)
    try:
        return viewers.in_use()
    finally:
        viewers.close()


def _start(node: int, fps: float) -> None:
    from linuxpy.video.device import BufferType, set_fps

    # v4l2loopback otherwise tells every reader 30 frames/s. Some versions refuse.
    with suppress(OSError):
        set_fps(node, BufferType.VIDEO_OUTPUT, fps)
    _streaming(node)


def _streaming(node: int) -> None:
    """v4l2loopback 0.12 is lost without it once we have closed it; later ones refuse it."""
    from linuxpy.video.device import BufferType, stream_on

    with suppress(OSError):
        stream_on(node, BufferType.VIDEO_OUTPUT)
