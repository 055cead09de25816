"""Pictures and frames at another size, and what lies under the transparent."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from ..types import Frame, Layers, Mask8, Picture, Size

OPAQUE = 255
UNDER = (0, 0, 0)  # BGR: what a transparent background shows
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


def kept_away(layers: Layers, background: Picture, frame: Frame) -> Layers:
    """`cut_away`, where the frame's own input has cut anything away."""
    return layers if frame.alpha is None else cut_away(layers, background, frame.alpha)


def cut_away(layers: Layers, background: Picture, alpha: Mask8) -> Layers:
    """What the input itself has cut away stays away: the composite's alpha times its own.

    composite + (1 - alpha) (background - composite), the same as alpha in front of
    the person's own. `alpha` (H, W) uint8. Written into `layers`, which are returned.
    """
    composite, matte, foreground = layers
    cv2.multiply(matte, alpha, dst=matte, scale=1 / OPAQUE)
    soft = np.flatnonzero((alpha - np.uint8(1)).ravel() < OPAQUE - 1)
    weight = alpha.ravel().take(soft)[:, None] / np.float32(OPAQUE)
    mixed, back = composite.reshape(-1, 3), background.reshape(-1, 3).take(soft, 0)
    front = mixed.take(soft, 0)
    mixed[soft] = np.rint(front * weight + back * (1 - weight)).astype(np.uint8)
    gone = (matte == 0).view(np.uint8)
    cv2.copyTo(background, gone, composite)
    if foreground is not None:
        foreground[matte == 0] = 0
    return composite, matte, foreground


def over(picture: Picture, alpha: Mask8 | None, colour: tuple[int, int, int] = UNDER) -> Picture:
    """The picture laid over one (B, G, R) colour where it is transparent."""
    if alpha is None:
        return picture
    weight = alpha[..., None] / np.float32(OPAQUE)
    return np.rint(picture * weight + np.array(colour, np.float32) * (1 - weight)).astype(np.uint8)
