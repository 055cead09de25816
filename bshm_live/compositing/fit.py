"""Pictures and frames at another size, and what lies under the transparent."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from ..matting.window import Cropper, cut
from ..sources.orientation import UPRIGHT, Orientation
from ..types import Frame, Mask8, Picture, Size, Window

OPAQUE = 255
UNDER = 0  # the grey level under a transparent background
BESIDE = (128, 128, 128)  # BGR: what the networks see beside a picture that does not fill its frame


def cover(picture: Picture, size: Size) -> Picture:
    """Scaled to fill `size` (width, height) and cut to it around the middle; also of an alpha."""
    width, height = size
    h, w = picture.shape[:2]
    scale = max(width / w, height / h)
    # Cut before it is scaled: a long, thin picture would become enormous.
    cut_w, cut_h = max(1, min(w, round(width / scale))), max(1, min(h, round(height / scale)))
    x, y = (w - cut_w) // 2, (h - cut_h) // 2
    part = picture[y : y + cut_h, x : x + cut_w]
    if (cut_w, cut_h) != size:
        way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        part = cv2.resize(part, size, interpolation=way)
    return np.ascontiguousarray(part)


def contain(frame: Frame, size: Size) -> Frame:
    """The whole frame in the middle of `size`; beside it alpha is 0, for the new background."""
    width, height = size
    h, w = frame.image.shape[:2]
    scale = min(width / w, height / h)
    inner = (max(1, min(width, round(w * scale))), max(1, min(height, round(h * scale))))
    x, y = (width - inner[0]) // 2, (height - inner[1]) // 2
    place = np.s_[y : y + inner[1], x : x + inner[0]]
    image, alpha = np.empty((height, width, 3), np.uint8), np.zeros((height, width), np.uint8)
    image[...] = BESIDE
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    image[place] = cv2.resize(frame.image, inner, interpolation=way)
    own = frame.alpha
    alpha[place] = OPAQUE if own is None else cv2.resize(own, inner, interpolation=way)
    return replace(frame, image=image, alpha=alpha)


def whole_window(picture: Size, size: Size, *, whole: bool) -> Window:
    """What `fitted` shows of a picture (width, height): what fills `size`, or the `whole`."""
    (w, h), aspect = picture, size[0] / size[1]
    height = max(h, w / aspect) if whole else min(h, w / aspect)
    width = aspect * height
    return Window((w - width) / 2, (h - height) / 2, width, height)


def turned(frame: Frame, way: Orientation) -> Frame:
    """The frame turned or mirrored; a file does that itself, see VideoFile."""
    if way == UPRIGHT:
        return frame
    alpha = None if frame.alpha is None else way.apply(frame.alpha)
    return replace(frame, image=way.apply(frame.image), alpha=alpha)


def fitted(frame: Frame, size: Size, *, whole: bool = False, mirror: bool = False) -> Frame:
    """The frame at the output's size: cut to fill it, or as a `whole`; mirrored where asked for."""
    image, alpha = frame.image, frame.alpha
    if image.shape[1::-1] != size:
        if whole:
            frame = contain(frame, size)
            image, alpha = frame.image, frame.alpha
        else:
            image = cover(image, size)
            alpha = None if alpha is None else cover(alpha, size)
    if mirror:
        image = cv2.flip(image, 1)
        alpha = None if alpha is None else cv2.flip(alpha, 1)
    return frame if image is frame.image else replace(frame, image=image, alpha=alpha)


def cropped(frame: Frame, window: Window, crop: Cropper) -> Frame:
    """The part of a frame that a window inside of it shows, at the cropper's size."""
    image, alpha = crop(frame.image, window), frame.alpha
    if alpha is not None:
        alpha = cut(alpha, window, crop.size)
    if window.mirrored:
        image = cv2.flip(image, 1)
        alpha = None if alpha is None else cv2.flip(alpha, 1)
    return replace(frame, image=image, alpha=alpha)


def over(picture: Picture, alpha: Mask8 | None, level: int = UNDER) -> Picture:
    """The picture laid over plain grey of `level` where it is transparent."""
    if alpha is None:
        return picture
    weight = alpha[..., None] / np.float32(OPAQUE)
    return np.rint(level + weight * (picture - np.float32(level))).astype(np.uint8)
