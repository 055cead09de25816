"""What speaks for a matte: the networks' own masks, the picture, and the mattes before it.

Each rule is a function of sightings; what it gives is a share of the picture, of 1.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from ..matting.window import change, moved, was_seen
from ..types import Alpha, Frame, Matte, Picture, Window

# All is looked at on a grid of this size, in any aspect: a place is 20 pixels wide at 720p.
GRID = (64, 36)
# Pixels of the picture that are looked at: ten of a place, and rows enough to see a tear.
PIXELS = (128, 180)
# Levels of 255 by which a place, the mean of its pixels, must differ to have changed. A webcam's
# noise is 3 to 10 levels a pixel, that is 1 to 3 in the mean; who moves changes it by 12 and more.
CHANGE = 6
# Three signs of a tear at one row: by so many levels of 255 the change jumps there, and one side's
# change leads; and an edge of so many levels is new in so large a share of the columns. On clips of
# people that share is 0.23 at most, on scenes of somebody who stands up close 0.36; where a part is
# grey or another room 0.71 and more.
TEAR = 12
TEAR_EDGE, TEAR_COLUMNS = 12, 0.45
# A part of another picture with the same room is new in the columns of its people alone: straight
# in so large a share, with so little change across. People reach 0.19 on clips, 0.12 on scenes.
TEAR_STRAIGHT, TEAR_STILL = 0.2, 0.25
TEAR_BESIDE = (2, 3)  # rows away: the sampling of rows smears an edge to the next
TEAR_NEAR = 6  # rows beside it, of 180
TEAR_LEAST = 12  # rows to the picture's edge: less is not looked for


@dataclass(frozen=True)
class Sighting:
    """A frame and its matte on the grid: alpha, coarse and unified (36, 64) in [0, 1].

    `pixels` (180, 128, 3) are some of the picture's, `look` (36, 64, 3) their means, both BGR
    uint8; `time` is the frame's, in seconds. `window` is the part of the camera's picture that
    was shown, and `known` the places (36, 64) that were in the picture; None: all.
    """

    time: float
    alpha: Alpha
    coarse: Alpha
    unified: Alpha
    pixels: Picture
    look: Picture
    window: Window | None = None
    known: NDArray[np.bool_] | None = None

    @property
    def coverage(self) -> float:
        return float(self.alpha.mean())


def sighting(frame: Frame, matte: Matte) -> Sighting:
    parts = (matte.sparse(), matte.coarse, matte.unified)
    alpha, coarse, unified = (cv2.resize(x, GRID, interpolation=cv2.INTER_AREA) for x in parts)
    pixels = cv2.resize(frame.image, PIXELS, interpolation=cv2.INTER_NEAREST)
    look = cv2.resize(pixels, GRID, interpolation=cv2.INTER_AREA)
    return Sighting(frame.time, alpha, coarse, unified, pixels, look, frame.window)


def seen_from(one: Sighting, window: Window | None, *, pixels: bool = False) -> Sighting:
    """An earlier sighting: its alpha and look moved to where they lie in `window`, and `pixels`.

    Each time from what was seen then: what is moved again and again becomes blurred.
    """
    matrix = change(one.window, window)
    if matrix is None:
        return one
    alpha, look = moved(one.alpha, matrix), moved(one.look, matrix)
    seen = replace(one, alpha=alpha, look=look, known=was_seen(GRID, matrix))
    if pixels:
        seen = replace(seen, pixels=moved(one.pixels, matrix, method=cv2.INTER_NEAREST))
    return seen


def known(left: Iterable[Sighting]) -> Alpha:
    """What was person in any of them, (36, 64): a matte that fails for a moment may come back."""
    alpha = np.zeros(GRID[::-1], np.float32)
    for one in left:
        alpha = np.maximum(alpha, one.alpha)
    return alpha


def rise(now: Sighting, before: Alpha) -> Alpha:
    """What turned to person, (36, 64); what turned to background is no danger, and counts not."""
    return np.maximum(now.alpha - before, 0)


def unseen(now: Sighting, left: Iterable[Sighting]) -> float:
    """How much turned to person where the picture is as it was: nobody can have come there.

    The most of what is seen against each of `left`, oldest first. What was person up to
    then is not new, and what was out of the picture was not as it is.
    """
    most, alpha = 0.0, np.zeros_like(now.alpha)
    for one in left:
        alpha = np.maximum(alpha, one.alpha)
        new = rise(now, alpha)
        if new.mean() <= most:  # against those that follow it is even less
            break
        still = difference(now.look, one.look) <= CHANGE
        if one.known is not None:
            still &= one.known
        most = max(most, float((new * still).mean()))
    return most


def excess(now: Sighting) -> float:
    """How much alpha goes beyond the networks' own coarse and unified masks, and a place around.

    It refines them, may be surer by half, and does not invent people.
    """
    own = cv2.dilate(np.minimum(now.coarse, now.unified), np.ones((3, 3), np.uint8))
    return float(np.maximum(now.alpha - 2 * own, 0).mean())


def certainty(now: Sighting, where: Alpha) -> float:
    """The coarse mask's mean over `where` (36, 64): MPN's own belief in what is new; of 1."""
    total = float(where.sum())
    return float((where * now.coarse).sum()) / total if total > 0 else 1.0


def torn(now: Sighting, before: Sighting) -> bool:
    """Whether the upper or the lower rows belong to another picture than the rest.

    A cable or a codec that fails in the middle of a frame leaves rows of another one. A
    straight edge is new at one row, and one side of it has changed where the other has not,
    or far less. Who comes in has an outline.
    """
    changed = difference(now.pixels, before.pixels)
    near = cv2.blur(changed, (1, TEAR_NEAR), anchor=(0, 0))  # each row and those below it
    if changed.mean(axis=1).max() <= TEAR and (near > TEAR).mean(axis=1).max() <= TEAR_STRAIGHT:
        return False  # too little for either: most frames end here
    edge = difference(now.pixels[1:], now.pixels[:-1])
    edge_before = difference(before.pixels[1:], before.pixels[:-1])
    return _parted(changed, edge, edge_before) or _split(near, edge, edge_before)


def _parted(changed: Picture, edge: Picture, edge_before: Picture) -> bool:
    """One whole side has changed by far more than twice as much as the other, right across."""
    new = (edge > TEAR_EDGE).mean(axis=1) - (edge_before > TEAR_EDGE).mean(axis=1)
    total = np.concatenate(([0], np.cumsum(changed.mean(axis=1))))
    rows = tear_rows(changed)
    step = np.abs(total[rows + TEAR_NEAR] + total[rows - TEAR_NEAR] - 2 * total[rows]) / TEAR_NEAR
    above, below = total[rows] / rows, (total[-1] - total[rows]) / (len(changed) - rows)
    lead = np.maximum(above, below) - 2 * np.minimum(above, below)
    return bool(((step > TEAR) & (lead > TEAR) & (new[rows - 1] > TEAR_COLUMNS)).any())


def _split(near: Picture, edge: Picture, edge_before: Picture) -> bool:
    """In some columns alone, as where the other picture has the same room.

    Nearly no column has changed just across the row, and the edge lies in none of the rows
    beside it: the outline of who moves does, somewhere.
    """
    rows = tear_rows(near)
    above, below = near[rows - TEAR_NEAR], near[rows]
    new = ((edge > TEAR_EDGE) & (edge_before <= TEAR_EDGE))[rows - 1]
    for side, other in ((above, below), (below, above)):
        straight = (new & (cv2.subtract(side, other) > TEAR)).mean(axis=1)
        beside = np.zeros_like(straight)
        for away in TEAR_BESIDE:
            beside[away:] = np.maximum(beside[away:], straight[:-away])
            beside[:-away] = np.maximum(beside[:-away], straight[away:])
        still = (other > TEAR).mean(axis=1) < TEAR_STILL * (side > TEAR).mean(axis=1)
        if (still & (straight - beside > TEAR_STRAIGHT)).any():
            return True
    return False


def tear_rows(changed: Picture) -> np.ndarray:
    """The rows of (H, W) that a tear is looked for above."""
    return np.arange(TEAR_LEAST, len(changed) - TEAR_LEAST)


def difference(one: Picture, other: Picture) -> Picture:
    """Of two pictures (H, W, 3), the largest of the three channels' differences, (H, W)."""
    blue, green, red = cv2.split(cv2.absdiff(one, other))
    return cv2.max(cv2.max(blue, green), red)
