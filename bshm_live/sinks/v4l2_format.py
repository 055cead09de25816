"""What a v4l2loopback device carries: the pixels, and the fields that say how to read them.

All of it is BT.601 in limited range, also from 720 lines on. Firefox, OpenCV and FFmpeg
read a camera so whatever its fields say, and so do both ends of a call; Chromium and
GStreamer believe the fields.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..types import Size
from .stay import release

if TYPE_CHECKING:
    from linuxpy.video.raw import v4l2_format

FORMAT = "YU12"  # I420: what browsers ask for first
OTHER, OTHER_SIZE = "GREY", (48, 32)  # anything that differs


def set_format(node: int, size: Size) -> Size:
    """Makes an open device carry I420 of `size`; what it then carries, as `get_size` has it.

    Raises OSError where the driver refuses.
    """
    from linuxpy.video.device import set_raw_format

    set_raw_format(node, _wanted(FORMAT, size))  # refused where another producer has it
    release(node)
    # v4l2loopback takes over the fields of colour only together with another format.
    set_raw_format(node, _wanted(OTHER, OTHER_SIZE))
    set_raw_format(node, _wanted(FORMAT, size))
    return get_size(node)


def get_size(node: int) -> Size:
    """(width, height) of the pictures it takes; (0, 0) where they are not I420."""
    from linuxpy.video.device import BufferType, get_raw_format
    from linuxpy.video.raw import v4l2_fourcc

    found = get_raw_format(node, BufferType.VIDEO_OUTPUT).fmt.pix
    if found.pixelformat != v4l2_fourcc(*FORMAT):
        return 0, 0
    return found.width, found.height


def _wanted(fourcc: str, size: Size) -> v4l2_format:
    from linuxpy.video import raw

    wanted = raw.v4l2_format()
    wanted.type = raw.BufType.VIDEO_OUTPUT
    pixels = wanted.fmt.pix
    pixels.pixelformat = raw.v4l2_fourcc(*fourcc)
    pixels.width, pixels.height = size
    pixels.field = raw.Field.NONE
    pixels.priv = raw.PixelFormat.PRIV_MAGIC  # without it the kernel clears the fields after it
    pixels.colorspace = raw.Colorspace.SRGB
    pixels.ycbcr_enc = raw.YcbcrEncoding._601
    pixels.quantization = raw.Quantization.LIM_RANGE
    pixels.xfer_func = raw.XferFunc.SRGB
    return wanted
