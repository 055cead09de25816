"""Cloth that nobody wears: beds, sofas and curtains of a room in the colours of clothes.

A striped blanket or a heap of pillows is much like a person's clothes. A room's own surfaces
are filled anew; their light and folds stay.
"""

from __future__ import annotations

import cv2
import numpy as np

from .drawing import U8
from .people import Person

LEAST, MOST = 0.03, 0.45  # of the picture: a surface that may be cloth
TRIES = 6
SMOOTH = 0.02  # of the picture's height: what is smaller is no edge of a surface
REACH = (4, 16)  # levels: how far a surface's own colour may go from a pixel to the next
P_WORN = 0.6  # cloth cut out of somebody's clothes; otherwise it is drawn
SOLID = 250  # alpha of what is surely the person


def draped(room: U8, person: Person, rng: np.random.Generator) -> U8:
    """RGB (H, W, 3) with one surface in another cloth; the same where none is found."""
    surface = surface_of(room, rng)
    if surface is None:
        return room
    cloth = worn(person, room.shape[:2], rng) if rng.random() < P_WORN else None
    if cloth is None:
        cloth = patterned(room.shape[:2], rng)
    grey = cv2.cvtColor(room, cv2.COLOR_RGB2GRAY).astype(np.float32)
    light = grey / max(float(grey[surface > 0].mean()), 1.0)
    filled = cloth * (0.25 + 0.75 * light)[..., None]
    share = cv2.GaussianBlur(surface.astype(np.float32) / 255, (0, 0), 1.0)[..., None]
    return np.clip(filled * share + room * (1 - share), 0, 255).astype(np.uint8)


def surface_of(room: U8, rng: np.random.Generator) -> U8 | None:
    """A mask (H, W) of 0 and 255: what is much alike around a random place in the lower part."""
    height, width = room.shape[:2]
    smooth = cv2.bilateralFilter(room, 5, 30, max(2.0, SMOOTH * height))
    for _ in range(TRIES):
        place = int(rng.integers(width)), int(rng.uniform(0.35, 1.0) * height)
        mask = np.zeros((height + 2, width + 2), np.uint8)
        reach = (float(rng.uniform(*REACH)),) * 3
        how = 4 | cv2.FLOODFILL_MASK_ONLY | (255 << 8)
        cv2.floodFill(smooth, mask, place, 0, reach, reach, how)
        around = np.ones((5, 5), np.uint8)
        found = cv2.morphologyEx(mask[1:-1, 1:-1], cv2.MORPH_CLOSE, around)
        if LEAST < found.mean() / 255 < MOST:
            return np.asarray(found, np.uint8)
    return None


def worn(person: Person, shape: tuple[int, int], rng: np.random.Generator) -> U8 | None:
    """Cloth as somebody wears it, laid side by side; None where the person shows too little."""
    height, width = person.alpha.shape
    side = int(0.12 * min(height, width) * rng.uniform(0.7, 1.6))
    rows = np.flatnonzero((person.alpha > SOLID).any(1))
    if side < 8 or len(rows) < 4 * side:  # too little below the middle
        return None
    for _ in range(TRIES):
        y = int(rng.uniform(rows[len(rows) // 2], rows[-1] - side))
        x = int(rng.integers(max(1, width - side)))
        patch = person.image[y : y + side, x : x + side]
        if person.alpha[y : y + side, x : x + side].min() <= SOLID:
            continue
        tile = np.vstack((np.hstack((patch, patch[:, ::-1])),) * 2)
        tile[side:] = tile[side:][::-1]
        scale = rng.uniform(0.8, 2.0) * shape[0] / 4 / side
        tile = cv2.resize(tile, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
        return laid(tile, shape)
    return None


def patterned(shape: tuple[int, int], rng: np.random.Generator) -> U8:
    """Drawn cloth: one colour, stripes, checks or spots, at any angle."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    turn, step = rng.uniform(0, np.pi), rng.uniform(0.03, 0.25) * shape[0]
    u = (x * np.cos(turn) + y * np.sin(turn)) / step
    v = (y * np.cos(turn) - x * np.sin(turn)) / step
    kind = rng.choice(("plain", "stripes", "checks", "spots"), p=(0.25, 0.3, 0.25, 0.2))
    colours = rng.uniform(10, 250, (int(rng.integers(2, 5)), 3))
    if kind == "plain":
        which = np.zeros(shape, int)
    elif kind == "stripes":
        which = np.floor(u).astype(int)
    elif kind == "checks":
        which = np.floor(u).astype(int) + np.floor(v).astype(int)
    else:
        which = (np.hypot(u % 1 - 0.5, v % 1 - 0.5) < rng.uniform(0.2, 0.45)).astype(int)
    return colours[which % len(colours)].astype(np.uint8)


def laid(tile: U8, shape: tuple[int, int]) -> U8:
    """A tile side by side until `shape` is covered."""
    rows, columns = -(-shape[0] // tile.shape[0]), -(-shape[1] // tile.shape[1])
    return np.tile(tile, (rows, columns, 1))[: shape[0], : shape[1]]
