"""Somebody who is followed on the small grid: what is known of him, and where his outline is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..types import Alpha, Mask8, Matte, Picture

SLACK = 1e-3  # of a weight: so that between two ones lies nothing less
WIDEST = 160  # cells: a finer grid tells no more
BINS = 6  # of each colour, of 256 levels
BIN_OF = (np.arange(256) * BINS // 256).astype(np.uint8)
POINTS = 500  # of an outline's inside, that are looked for in the next picture
STEPS = 4  # cells: so far an outline moves from one frame to the next
ALIKE = 24  # levels: the most that a colour of his may differ in a place
UNLIKE = 45.0  # levels of 255, the mean difference: he no longer looks as he did
Cells = NDArray[np.bool_]


class Glance:
    """A matte's picture at a grid's shape (h, w), made when it is asked for."""

    def __init__(self, matte: Matte, shape: tuple[int, ...]) -> None:
        self._matte, self._size = matte, shape[::-1]

    @cached_property
    def picture(self) -> Picture:
        return cv2.resize(self._matte.guide, self._size, interpolation=cv2.INTER_AREA)

    @cached_property
    def colours(self) -> Mask8:
        """The number of each place's colour, under BINS^3."""
        blue, green, red = cv2.split(cv2.LUT(self.picture, BIN_OF))
        return np.asarray((blue * BINS + green) * BINS + red, np.uint8)


class Outline:
    """What somebody covered at one time, moved with him by how he looked then.

    He who stands in front covers no more while somebody passes behind him.
    """

    def __init__(self, cells: Cells, picture: Picture, time: float) -> None:
        """`cells` (h, w), not empty, of a `picture` (h, w, 3) of this `time` in seconds."""
        self.time = time
        self._cells, self._picture = cells, picture
        inside = inner(cells, 1)
        places = np.flatnonzero(inside if inside.any() else cells)
        self._places = np.unravel_index(places[:: 1 + len(places) // POINTS], cells.shape)
        self._looks = picture[self._places].astype(np.int16)
        self._shift = (0, 0)  # rows, columns

    @property
    def shape(self) -> tuple[int, ...]:
        return self._cells.shape

    def follow(self, picture: Picture) -> bool:
        """Moves to where he is in this picture; False where nothing there looks like him."""
        for _ in range(STEPS):
            down, right = self._shift
            around = [(down + i, right + j) for i in (0, -1, 1) for j in (0, -1, 1)]
            apart = [self._apart(picture, shift) for shift in around]
            self._shift = around[int(np.argmin(apart))]
            if self._shift == (down, right):
                break
        return min(apart) < UNLIKE

    def _apart(self, picture: Picture, shift: tuple[int, int]) -> float:
        """The mean difference from how he looked, had he moved so far."""
        rows, columns = (
            np.clip(places + by, 0, side - 1)
            for places, by, side in zip(self._places, shift, self.shape, strict=True)
        )
        return float(np.abs(picture[rows, columns] - self._looks).mean())

    def cells(self) -> Cells:
        """Where it is now, (h, w)."""
        return self._moved(self._cells)

    def unchanged(self, picture: Picture) -> Cells:
        """Where in it this picture looks as he did: nobody is before him there."""
        apart = cv2.absdiff(picture, self._moved(self._picture))
        return self.cells() & (apart.max(2) < ALIKE)

    def _moved(self, layer: NDArray[Any]) -> NDArray[Any]:
        """As far as he has moved; edges are repeated."""
        rows, columns = (
            np.clip(np.arange(side) - by, 0, side - 1)
            for side, by in zip(self.shape, self._shift, strict=True)
        )
        return np.ascontiguousarray(layer[rows[:, None], columns])


@dataclass
class Person:
    """Somebody who is followed. `behind`: who is beside him while he is hardly seen, or was
    when he disappeared.

    `height` and `colours` are those of a time when most of him was seen, of `most` cells;
    `outline` is that of a time when he was by himself, or not too long ago.
    """

    since: float
    seen: float
    score: float = 0.0
    height: int = 0
    most: float = 0.0
    colours: NDArray[np.float32] | None = None
    behind: tuple[int, ...] = ()
    outline: Outline | None = None


def coarse(alpha: Alpha) -> Alpha:
    """Every place of a grid, or every second one and so on, up to WIDEST across."""
    step = -(-alpha.shape[1] // WIDEST)
    return alpha[::step, ::step]


def histogram(colours: Mask8) -> NDArray[np.float32]:
    """How often each colour is there, of 1; none is never."""
    counts = np.bincount(colours, minlength=BINS**3).astype(np.float32) + 0.02
    return counts / counts.sum()


def inner(cells: Cells, width: int) -> Cells:
    """Without the border of that width; what lies at the picture's edge has none there."""
    kernel = np.ones((2 * width + 1, 2 * width + 1), np.uint8)
    return cv2.erode(cells.astype(np.uint8), kernel) > 0


def outer(cells: Cells, width: int) -> Cells:
    kernel = np.ones((2 * width + 1, 2 * width + 1), np.uint8)
    return cv2.dilate(cells.astype(np.uint8), kernel) > 0


def touched(cells: Cells, by: Cells) -> Cells:
    """The connected parts of `cells` that share a place with `by`."""
    _, parts = cv2.connectedComponents(cells.astype(np.uint8), connectivity=4)
    return cells & np.isin(parts, np.unique(parts[cells & by]))


def remnants(cells: Cells, share: float) -> Cells:
    """The connected parts that are smaller than a share of the largest one."""
    _, parts, stats, _ = cv2.connectedComponentsWithStats(cells.astype(np.uint8), connectivity=4)
    areas = stats[1:, cv2.CC_STAT_AREA]
    small = 1 + np.flatnonzero(areas < share * areas.max(initial=0))
    return np.isin(parts, small)


def weights(chosen: Cells, others: Cells, shape: tuple[int, ...]) -> Alpha:
    """What alpha (4h, 4w) is multiplied with: 1 nearer to those who are chosen, else 0.

    Soft over one cell between them; exactly 1 and 0 elsewhere.
    """
    far = [
        cv2.distanceTransform((~one).astype(np.uint8), cv2.DIST_L2, 3) for one in (chosen, others)
    ]
    small = np.where((far[0] <= far[1]) & chosen.any(), 1 + SLACK, -SLACK).astype(np.float32)
    wide: Alpha = cv2.resize(small, shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.clip(wide, 0, 1, out=wide)
