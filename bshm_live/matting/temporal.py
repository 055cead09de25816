"""Steadies the matte over time; the only state between frames."""

from __future__ import annotations

from ctypes import c_float, sizeof

import cv2
import numpy as np

from ..kernels.call import Gate, Scratch, address, run
from ..types import Alpha, HostMatte, Matrix, Matte, Picture
from .window import moved

# Where the matte itself moves, the new one counts alone; where it only flickers, mostly
# the old one. A gate on the picture's motion is fooled by smooth and textureless movers.
GRID = 4  # the gate is computed on a grid this much coarser
WEIGHT_ROWS = 4  # of scratch memory
UNSURE = np.float32(0.15)  # of a hint: below it is nothing, as far from 1 it is person
GLANCE_STEP = 16  # each sixteenth pixel of each sixteenth row of the picture is looked at
CUT_SIZE = (32, 18)
CUT_LEVEL = 45.0  # mean difference, of 255, between one frame and the next


class Steadier:
    """One per session: gives MPN its hint and filters what comes back."""

    def __init__(self, *, smooth: bool = True, threads: int = 0) -> None:
        self.smooth, self._threads = smooth, threads
        self._last: Matte | None = None
        self._glance: Picture | None = None

    def moved(self, change: Matrix) -> None:
        """Takes what it remembers to where it lies in the picture that comes."""
        if self._last is not None:
            last = self._last
            alpha = moved(last.alpha, change)
            self._last = HostMatte(alpha, last.residual, last.unified, last.coarse, last.guide)
        if self._glance is not None:
            self._glance = moved(self._glance, change)

    def hint(self, picture: Picture) -> Alpha | None:
        """The last matte (low size), or None at the start and after a cut."""
        glance = glanced(picture)
        if (
            self._glance is not None
            and cv2.norm(glance, self._glance, cv2.NORM_L1) > CUT_LEVEL * glance.size
        ):
            self._last = None
        self._glance = glance
        return None if self._last is None else as_hint(low_alpha(self._last))

    def steady(self, matte: Matte) -> Matte:
        """The matte with its flicker taken out, without lag where it moves."""
        if self.smooth and self._last is not None:
            last, size = self._last.alpha, matte.alpha.shape[::-1]
            if last.shape != matte.alpha.shape:  # other networks took over between two frames
                last = cv2.resize(last, size, interpolation=cv2.INTER_LINEAR)
            alpha = gated(matte.alpha, last, self._threads)
            matte = HostMatte(alpha, matte.residual, matte.unified, matte.coarse, matte.guide)
        self._last = matte
        return matte

    def reset(self) -> None:
        """Forget: the next frame has nothing to do with the last."""
        self._last = None


def glanced(picture: Picture) -> Picture:
    """A few pixels of a picture, enough to see that the scene is another."""
    height, width = picture.shape[:2]
    some = (max(1, width // GLANCE_STEP), max(1, height // GLANCE_STEP))
    looked = cv2.resize(picture, some, interpolation=cv2.INTER_NEAREST)
    return cv2.resize(looked, CUT_SIZE, interpolation=cv2.INTER_AREA)


def as_hint(alpha: Alpha) -> Alpha:
    """A matte as a hint: surer and a pixel wider, so that its faults do not feed themselves.

    A doubt beside the person must not grow from frame to frame, nor may a strand
    of hair that was lost once stay lost.
    """
    sure = np.clip((alpha - UNSURE) / (1 - 2 * UNSURE), 0, 1)
    return cv2.dilate(sure, np.ones((3, 3), np.uint8))


def low_alpha(matte: Matte) -> Alpha:
    """The matte (4h, 4w) at the low size (h, w)."""
    height, width = matte.unified.shape
    # In two steps: OpenCV is three times as fast with halves.
    half = cv2.resize(matte.alpha, (2 * width, 2 * height), interpolation=cv2.INTER_AREA)
    return cv2.resize(half, (width, height), interpolation=cv2.INTER_AREA)


def gated(alpha: Alpha, last: Alpha, threads: int = 0) -> Alpha:
    """last + w (alpha - last), w = 0.3 + 0.7 clip((d - 0.03) / 0.12, 0, 1).

    d is the mean change of the matte around a pixel. Both (4h, 4w) in [0, 1].
    """
    tall, wide = alpha.shape
    alpha, last = np.ascontiguousarray(alpha), np.ascontiguousarray(last)
    out, change = np.empty_like(alpha), np.empty((tall // GRID, wide // GRID), np.float32)
    h, w = change.shape
    scratch = Scratch(WEIGHT_ROWS * w * sizeof(c_float))
    arguments = Gate(
        alpha=address(alpha, (GRID * h, GRID * w), np.float32),
        last=address(last, (GRID * h, GRID * w), np.float32),
        change=change.ctypes.data,
        out=out.ctypes.data,
        scratch=scratch.address,
        lane_bytes=scratch.lane_bytes,
        w=w,
        h=h,
    )
    run("change", arguments, h, threads)
    run("gate", arguments, h, threads)
    return out
