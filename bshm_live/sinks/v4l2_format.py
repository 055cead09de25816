"""What a v4l2loopback device carries: the pixels, and the fields that say how to read them.

All of it is BT.601 in limited range, also from 720 lines on. Firefox, OpenCV and FFmpeg
read a camera so whatever its fields say, and so do both ends of a call; Chromium and
GStreamer believe the fields.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..types import Size
from .pixels import PixelFormat
from .stay import release

if TYPE_CHECKING:
    from linuxpy.video.raw import v4l2_format

OTHER, OTHER_SIZE = "GREY", (48, 32)  # anything that differs


def set_format(node: int, size: Size, pixels: PixelFormat) -> Size:
    """Makes an open device carry pictures of `size`; what it then carries, as `get_size` has it.

    Raises OSError where the driver refuses.
    """
    from linuxpy.video.device import set_raw_format

    set_raw_format(node, _wanted(pixels.fourcc, size))  # refused where another producer has it
    release(node)
    # v4l2loopback takes over the fields of colour only together with another format.
    set_raw_format(node, _wanted(OTHER, OTHER_SIZE))
    set_raw_format(node, _wanted(pixels.fourcc, size))
    return get_size(node, pixels)


def get_size(node: int, pixels: PixelFormat) -> Size:
    """(width, height) of the pictures it takes; (0, 0) where they are of another format."""
    from linuxpy.video.device import BufferType, get_raw_format
    from linuxpy.video.raw import v4l2_fourcc

    found = get_raw_format(node, BufferType.VIDEO_OUTPUT).fmt.pix
    if found.pixelformat != v4l2_fourcc(*pixels.fourcc):
        return 0, 0
    return found.width, found.height


def _wanted(fourcc: str, size: Size) -> v4l2_format:
    from linuxpy.video import raw

    wanted = raw.v4l2_format()
    wanted.type = raw.BufType.VIDEO_OUTPUT
    picture = wanted.fmt.pix
    picture.pixelformat = raw.v4l2_fourcc(*fourcc)
    picture.width, picture.height = size
    picture.field = raw.Field.NONE
    picture.priv = raw.PixelFormat.PRIV_MAGIC  # without it the kernel clears the fields after it
    picture.colorspace = raw.Colorspace.SRGB
    picture.ycbcr_enc = raw.YcbcrEncoding._601
    picture.quantization = raw.Quantization.LIM_RANGE
    picture.xfer_func = raw.XferFunc.SRGB
    return wanted
