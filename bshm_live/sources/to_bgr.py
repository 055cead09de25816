"""From decoded frames to pictures: SDR colours, square pixels, upright, one size."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING

import cv2
import numpy as np
from av.video.format import VideoFormat
from av.video.reformatter import ColorPrimaries, ColorTrc, Interpolation, VideoReformatter

from ..types import Size
from .orientation import UPRIGHT, Orientation, orientation_of
from .picture import FAINT, HIDDEN

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from numpy.typing import NDArray

    from ..types import Mask8, Picture

UNTAGGED, BT709, BT601 = 2, 1, 6  # matrices by their numbers in ITU-T H.273
HD_LINES = 720  # of this many lines and more, untagged video is BT.709, else BT.601
HDR = (ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67)  # PQ and HLG
WIDE = (ColorPrimaries.BT2020, ColorPrimaries.SMPTE431, ColorPrimaries.SMPTE432)
WIDEST_PIXEL = 4  # times as wide as high, or the other way: beyond that the file is wrong
OPAQUE = 255


class Pictures:
    """Makes a picture of each decoded frame, all of the first one's size, made even.

    A frame is turned as its display matrix says and then by `turn`; pixels that
    are not square are made so by enlarging. HDR and wide colours become those of
    BT.709 (FFmpeg's tone mapping, reference white stays white). With `cover`
    (width, height) what is larger than needed to fill it is shrunk until it just does.
    """

    def __init__(
        self,
        first: VideoFrame,
        aspect: Fraction | None = None,
        *,
        turn: Orientation = UPRIGHT,
        cover: Size | None = None,
    ) -> None:
        self._turn = turn
        width, height = _square((first.width, first.height), aspect)
        if orientation_of(first).then(turn).sideways:
            width, height = height, width
        self._upright = (width, height) if cover is None else _shrunk((width, height), cover)
        self._reformatter = VideoReformatter()

    @property
    def size(self) -> Size:
        """(width, height), both even."""
        width, height = self._upright
        return width // 2 * 2, height // 2 * 2

    def __call__(self, frame: VideoFrame) -> tuple[Picture, Mask8 | None]:
        """BGR (H, W, 3), and alpha (H, W) uint8 where anything is not opaque.

        What is nearly transparent is grey. Raises av.FFmpegError.
        """
        way = orientation_of(frame).then(self._turn)
        size = self._upright[::-1] if way.sideways else self._upright
        width, height = self.size
        if not _has_alpha(frame.format.name):
            picture = way.apply(self._converted(frame, "bgr24", size))
            return np.ascontiguousarray(picture[:height, :width]), None
        # At its own size: hidden colours must not be mixed into those beside them.
        full = self._converted(frame, "bgra", (frame.width, frame.height))
        layers = [way.apply(_resized(layer, size)) for layer in _without_hidden(full)]
        cut = [np.ascontiguousarray(layer[:height, :width]) for layer in layers]
        return cut[0], cut[1] if len(cut) > 1 else None

    def _converted(self, frame: VideoFrame, pixels: str, size: Size) -> NDArray[np.uint8]:
        if frame.colorspace == UNTAGGED and not frame.format.is_rgb:
            frame.colorspace = BT709 if frame.height >= HD_LINES else BT601
        bright, wide = frame.color_trc in HDR, frame.color_primaries in WIDE
        smaller = size[0] * size[1] < frame.width * frame.height
        made = self._reformatter.reformat(
            frame,
            *size,
            format=pixels,
            interpolation=Interpolation.AREA if smaller else Interpolation.BILINEAR,
            dst_color_trc=ColorTrc.BT709 if bright or wide else None,
            dst_color_primaries=ColorPrimaries.BT709 if bright or wide else None,
        )
        return np.asarray(made.to_ndarray(), np.uint8)


def _square(size: Size, aspect: Fraction | None) -> Size:
    """The size with square pixels, from one whose pixels are `aspect` times as wide as high."""
    width, height = size
    if not aspect or not Fraction(1, WIDEST_PIXEL) <= aspect <= WIDEST_PIXEL:
        return size
    return (round(width * aspect), height) if aspect >= 1 else (width, round(height / aspect))


def _shrunk(size: Size, cover: Size) -> Size:
    """The smallest size of the same shape that still fills `cover`; never a larger one."""
    (width, height), (least_width, least_height) = size, cover
    scale = max(Fraction(least_width, width), Fraction(least_height, height))
    return size if scale >= 1 else (math.ceil(width * scale), math.ceil(height * scale))


@cache
def _has_alpha(name: str) -> bool:
    pixels = VideoFormat(name)
    return pixels.has_palette or any(part.is_alpha for part in pixels.components)


def _without_hidden(full: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """BGR of BGRA without the colours that alpha hides, and alpha where not all is opaque."""
    picture = np.asarray(cv2.cvtColor(full, cv2.COLOR_BGRA2BGR), np.uint8)
    alpha = np.ascontiguousarray(full[..., 3])
    if int(alpha.min()) == OPAQUE:
        return [picture]
    picture[alpha < FAINT] = HIDDEN
    return [picture, alpha]


def _resized(picture: NDArray[np.uint8], size: Size) -> NDArray[np.uint8]:
    if picture.shape[1::-1] == size:
        return picture
    smaller = size[0] * size[1] < picture.shape[0] * picture.shape[1]
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
