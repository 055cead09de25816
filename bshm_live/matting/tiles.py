"""MRN once more on a large picture: over overlapping tiles, at the picture's own resolution.

    first matte ▸ plan ▸ MRN on every unsure tile ▸ blend

Stretched to the networks' size, a hair of a large picture is narrower than a
pixel. Where the first matte is sure of person or room, its word stands.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from ..types import Alpha, HostMatte, Matte, Picture, Shape, Size
from .bshm import Bshm, refine
from .check import check
from .preprocess import colour_image, planes, resized

CELL = 4  # pixels of MRN's image for one of its mask
LARGER = 1.3  # times the networks' size: below it the first matte holds what is there
TILES_MOST = 16  # bounds time and memory; larger pictures are made smaller for it
OVERLAP = 8  # tiles share at least an 8th of their side
LEVELS = 1024  # of a ramp: its products are exact in float32, and so is their sum
DOUBT = 0.02  # alpha this near to 0 or 1 is sure
# Pixels of the first alpha: how far around its soft band hair may be found, and over how
# many more the tiles' word fades away.
REACH, FADE = 16, 8

Level = TypeVar("Level", np.uint8, np.float32)


@dataclass(frozen=True)
class Plan:
    """Where the tiles lie on the picture at `size` (width, height), the one worked at.

    `tile` (h, w), `columns` and `rows`, the tiles' first ones, count in cells. The
    last tiles end at most three pixels behind the picture.
    """

    size: Size
    tile: Shape
    columns: tuple[int, ...]
    rows: tuple[int, ...]

    @property
    def cells(self) -> Size:
        """(width, height) in cells that the tiles cover."""
        return self.columns[-1] + self.tile[1], self.rows[-1] + self.tile[0]


def refine_tiles(networks: Bshm, picture: Picture, first: Matte) -> Matte:
    """The first matte of a BGR picture (H, W, 3), refined where the picture holds more.

    Alpha and guide get the picture's size, or nearly so; the residual has a
    fourth of it. A picture not clearly larger than the networks' size gets
    `first` itself. Raises EngineError.
    """
    height, width = picture.shape[:2]
    if width <= LARGER * networks.high[1] and height <= LARGER * networks.high[0]:
        return first
    layout = plan((width, height), networks.low)
    across, down = layout.cells
    whole = (across * CELL, down * CELL)
    guide = padded(resized(picture, layout.size), whole)
    alpha = padded(cv2.resize(first.alpha, layout.size), whole)
    trust = padded(cv2.resize(unsure(first.alpha), layout.size), whole)
    mask = padded(cv2.resize(first.unified, layout.size), whole)
    fine, residual = run_tiles(networks, layout, guide, mask, trust)
    kept = np.s_[: layout.size[1], : layout.size[0]]
    coarser = cv2.resize(trust, (across, down), interpolation=cv2.INTER_AREA)
    mixed = blend(cv2.resize(first.residual, (across, down)), residual, coarser[..., None])
    return HostMatte(
        blend(alpha, fine, trust)[kept], mixed, first.unified, first.coarse, guide[kept]
    )


def run_tiles(
    networks: Bshm, layout: Plan, guide: Picture, mask: Alpha, trust: Alpha
) -> tuple[Alpha, NDArray[np.float32]]:
    """Alpha and residual of all tiles, joined; 0 in tiles without any `trust`.

    guide (H, W, 3), unified mask and trust (H, W) have the size of all cells together.
    """
    h, w = layout.tile
    across, down = layout.cells
    fine, residual = np.zeros_like(mask), np.zeros((down, across, 3), np.float32)
    image = np.empty((1, 3, h * CELL, w * CELL), np.float32)
    columns, rows = shares(layout.columns, w, across), shares(layout.rows, h, down)
    large_columns = shares([x * CELL for x in layout.columns], w * CELL, across * CELL)
    large_rows = shares([y * CELL for y in layout.rows], h * CELL, down * CELL)
    for j, y in enumerate(layout.rows):
        for i, x in enumerate(layout.columns):
            pixels = np.s_[y * CELL : (y + h) * CELL, x * CELL : (x + w) * CELL]
            if not trust[pixels].any():
                continue
            tile = refine_tile(networks, guide[pixels], mask[pixels], image)
            weight = np.outer(large_rows[j][pixels[0]], large_columns[i][pixels[1]])
            fine[pixels] += weight * tile.alpha
            weight = np.outer(rows[j][y : y + h], columns[i][x : x + w])
            residual[y : y + h, x : x + w] += weight[..., None] * tile.residual
    return fine, residual


def refine_tile(networks: Bshm, picture: Picture, mask: Alpha, image: NDArray[np.float32]) -> Matte:
    """MRN's word on one tile (4h, 4w), valid until its next run; `image` is memory for it."""
    h, w = networks.low
    planes(picture, image)
    mask = np.clip(cv2.resize(mask, (w, h), interpolation=cv2.INTER_AREA), 0, 1)
    fine, residual = refine(networks.mrn, image, mask[None, None])
    tile = HostMatte(fine[0, 0], colour_image(residual), mask, mask, picture)
    check(tile)
    return tile


# --- where the first matte stands -------------------------------------------------------------


def unsure(alpha: Alpha) -> Alpha:
    """How far to believe the tiles, [0, 1]: 0 far from whatever is soft, an edge too."""
    near = np.ones((2 * REACH + 1, 2 * REACH + 1), np.uint8)
    soft = (cv2.dilate(alpha, near) > DOUBT) & (cv2.erode(alpha, near) < 1 - DOUBT)
    side = 2 * FADE + 1
    return cv2.blur(soft.astype(np.float32), (side, side))


def blend(first: Alpha, fine: Alpha, trust: Alpha) -> Alpha:
    """`fine`, which is overwritten, with `trust`; exactly `first` where there is none."""
    np.subtract(fine, first, out=fine)
    np.multiply(fine, trust, out=fine)
    return np.add(fine, first, out=fine)


# --- where the tiles lie ----------------------------------------------------------------------


def plan(size: Size, low: Shape, most: int = TILES_MOST) -> Plan:
    """At most `most` tiles of `low` (h, w) cells, at the largest scale up to 1 that allows it.

    A side shorter than a tile is stretched to it.
    """
    (width, height), (h, w) = size, low
    scales = {Fraction(1)}
    for n in range(1, most + 1):
        scales |= {Fraction(reach(n, w) * CELL, width), Fraction(reach(n, h) * CELL, height)}
    for scale in sorted((s for s in scales if s <= 1), reverse=True):
        x, y = scaled(width, scale, w), scaled(height, scale, h)
        columns, rows = starts(-(-x // CELL), w), starts(-(-y // CELL), h)
        if len(columns) * len(rows) <= most:
            break
    return Plan((x, y), (h, w), columns, rows)


def scaled(length: int, scale: Fraction, tile: int) -> int:
    """Pixels of a side: as it is, or whole cells of it made smaller; at least a tile."""
    exact = length if scale == 1 else int(length * scale) // CELL * CELL
    return max(tile * CELL, exact)


def reach(count: int, tile: int) -> int:
    """Cells that `count` tiles in a row cover at most."""
    shared = -(-tile // OVERLAP)
    return count * (tile - shared) + shared


def starts(cells: int, tile: int) -> tuple[int, ...]:
    """First cells of as few tiles as cover a side of `cells`, evenly spread."""
    shared = -(-tile // OVERLAP)
    count = max(1, -(-(cells - shared) // (tile - shared)))
    return tuple(i * (cells - tile) // max(1, count - 1) for i in range(count))


def shares(first: tuple[int, ...] | list[int], tile: int, length: int) -> list[Alpha]:
    """Each tile's weights along a side (length,): linear ramps, together exactly 1."""
    place = np.arange(length) + 0.5
    rises = [np.ones(length, np.float32)]
    for start, last in zip(first[1:], first[:-1], strict=True):
        ramp = np.clip((place - start) / (last + tile - start), 0, 1)
        rises.append((np.rint(ramp * LEVELS) / LEVELS).astype(np.float32))
    falls = [*rises[1:], np.zeros(length, np.float32)]
    return [rise - fall for rise, fall in zip(rises, falls, strict=True)]


def padded(x: NDArray[Level], size: Size) -> NDArray[Level]:
    """x (H, W[, C]) with its last row and column repeated up to `size` (width, height)."""
    height, width = x.shape[:2]
    more = (size[1] - height, size[0] - width)
    if not any(more):
        return x
    return cv2.copyMakeBorder(x, 0, more[0], 0, more[1], cv2.BORDER_REPLICATE)
