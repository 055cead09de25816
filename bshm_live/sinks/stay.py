"""What v4l2loopback itself does once nobody feeds the camera (0.15 and newer).

Told so, the driver keeps the camera a camera when its producer ends or is killed, so that
programs which show it go on waiting, and gives them a picture of our choice meanwhile:
the background.
"""

from __future__ import annotations

import mmap
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

VERSION = Path("/sys/module/v4l2loopback/version")  # 0.12 has no such file
STAYS_FROM = (0, 15)
TIMEOUT_MS = 500  # without a picture; Chromium itself gives up after some seconds
# The driver's own controls.
KEEP_FORMAT, TIMEOUT, PICTURE_NEXT = (0x0098F900 + number for number in (0, 2, 3))


def can_stay(version: Path = VERSION) -> bool:
    """Whether the loaded driver keeps a camera as this module asks it to."""
    try:
        numbers = version.read_text().strip().split(".")
        return tuple(int(number) for number in numbers[:2]) >= STAYS_FROM
    except (OSError, ValueError):
        return False


class Stay:
    """The driver's own picture of one device, whose format this process has set at `node`.

    Raises OSError where the driver cannot.
    """

    def __init__(self, node: int, device: str) -> None:
        from linuxpy.video import raw
        from linuxpy.video.device import query_buffer, request_buffers, set_control

        set_control(node, TIMEOUT, TIMEOUT_MS)  # refused once the picture is mapped
        set_control(node, PICTURE_NEXT, 1)  # whoever opens the device next gives the picture
        second = os.open(device, os.O_RDWR | os.O_NONBLOCK)
        try:
            output, memory = raw.BufType.VIDEO_OUTPUT, raw.Memory.MMAP
            request_buffers(second, output, memory, 1)
            buffer = query_buffer(second, output, memory, 0)
            self._map = mmap.mmap(second, buffer.length, offset=buffer.m.offset)
        finally:
            os.close(second)  # the map holds the device open
        self._node = node

    def begin(self) -> None:
        """From now on it is a camera also when this process is killed, until `release`.

        To be called once it has a picture: a camera without one can only be listed.
        """
        from linuxpy.video.device import set_control

        set_control(self._node, KEEP_FORMAT, 1)

    def show(self, pixels: NDArray[np.uint8]) -> None:
        """What is shown when nothing comes: `pixels` as the device carries them."""
        self._map[: pixels.nbytes] = pixels.tobytes()

    def close(self) -> None:
        """Gives back what this process holds; the camera stays, and its last picture."""
        self._map.close()


def release(node: int) -> None:
    """A device that an earlier producer let stay takes every format again."""
    from linuxpy.video.device import set_control

    with suppress(OSError):  # 0.12 has no such control, or a viewer has the device
        set_control(node, KEEP_FORMAT, 0)
        set_control(node, TIMEOUT, 0)
