"""Drawing with exact coverage: anti-aliased shapes laid over a foreground and its alpha.

A layer is a colour picture (H, W, 3) and its coverage (H, W), both uint8.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

U8 = NDArray[np.uint8]
Points = NDArray[np.float64]  # (N, 2) x, y in pixels
Colour = NDArray[np.float64]  # (3,) RGB, 0 to 255
Layer = tuple[U8, U8]
SHIFT = 4  # fractional bits of OpenCV's coordinates


def fixed(points: Points) -> NDArray[np.int32]:
    return np.rint(points * 2**SHIFT).astype(np.int32)[:, None]


def fill(cover: U8, points: Points) -> None:
    """A polygon into a coverage map."""
    cv2.fillPoly(cover, [fixed(points)], 255, cv2.LINE_AA, SHIFT)


def stroke(cover: U8, points: Points, width: float, level: int = 255) -> None:
    """A line with round ends; thinner than a pixel it is fainter instead."""
    if width < 1:
        level = int(level * width)
    thick = max(1, round(width))
    cv2.polylines(cover, [fixed(points)], False, level, thick, cv2.LINE_AA, SHIFT)


def disc(centre: Points, radii: tuple[float, float], turn: float = 0.0, count: int = 24) -> Points:
    """An ellipse as a polygon, turned by `turn` radians."""
    t = np.linspace(0, 2 * np.pi, count, endpoint=False)
    x, y = radii[0] * np.cos(t), radii[1] * np.sin(t)
    c, s = np.cos(turn), np.sin(turn)
    return centre + np.stack([c * x - s * y, s * x + c * y], 1)


def rounded(centre: Points, size: tuple[float, float], corner: float, turn: float = 0.0) -> Points:
    """A rectangle with round corners; `corner` is their share of the shorter half side."""
    t = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    half = np.array(size) / 2
    radius = corner * half.min()
    x = np.sign(np.cos(t)) * (half[0] - radius) + radius * np.cos(t)
    y = np.sign(np.sin(t)) * (half[1] - radius) + radius * np.sin(t)
    c, s = np.cos(turn), np.sin(turn)
    return centre + np.stack([c * x - s * y, s * x + c * y], 1)


def capsule(a: Points, b: Points, wide_a: float, wide_b: float) -> Points:
    """What two discs of those radii and all between them cover: a limb, a finger."""
    along = (b - a) / max(float(np.hypot(*(b - a))), 1e-3)
    turn = np.arctan2(along[1], along[0])
    t = np.linspace(np.pi / 2, 3 * np.pi / 2, 9) + turn
    first = a + wide_a * np.stack([np.cos(t), np.sin(t)], 1)
    t = np.linspace(-np.pi / 2, np.pi / 2, 9) + turn
    return np.concatenate([first, b + wide_b * np.stack([np.cos(t), np.sin(t)], 1)])


def shaded(cover: U8, colour: Colour, rng: np.random.Generator, depth: float = 0.35) -> U8:
    """A colour over the whole picture as a round thing shows it: darker to its rim and to a side.

    `cover` (H, W) tells where the rim is.
    """
    h, w = cover.shape
    inside = cv2.distanceTransform((cover > 127).astype(np.uint8), cv2.DIST_L2, 3)
    round_ = np.minimum(inside / max(float(inside.max()), 1) * 1.6, 1)
    towards = rng.normal(0, depth, 2)
    slope = np.linspace(-0.5, 0.5, h)[:, None] * towards[0] + np.linspace(-0.5, 0.5, w) * towards[1]
    grain = cv2.resize(rng.normal(0, 0.05, (h // 8 + 2, w // 8 + 2)), (w, h))
    level = (1 - depth + depth * round_) * (1 + slope + grain)
    return np.clip(colour * level[..., None], 0, 255).astype(np.uint8)


def textured(picture: U8, size: tuple[int, int], rng: np.random.Generator) -> U8:
    """Some part of a picture at that size (width, height): wood, cloth, covers, patterns."""
    h, w = picture.shape[:2]
    side = int(rng.uniform(0.1, 0.5) * min(h, w))
    y, x = int(rng.integers(h - side)), int(rng.integers(w - side))
    return cv2.resize(picture[y : y + side, x : x + side], size, interpolation=cv2.INTER_LINEAR)


def over(front: U8, alpha: U8, layer: Layer) -> tuple[U8, U8]:
    """The layer laid on a straight foreground: both uint8, the union's colour and alpha."""
    colour, cover = layer
    top, below = cover.astype(np.float32) / 255, alpha.astype(np.float32) / 255
    union = top + (1 - top) * below
    share = (top / np.maximum(union, 1e-4))[..., None]
    mixed = colour * share + front * (1 - share)
    return (mixed + 0.5).astype(np.uint8), (union * 255 + 0.5).astype(np.uint8)


def onto(picture: U8, layer: Layer) -> U8:
    """The layer laid on an opaque picture."""
    colour, cover = layer
    top = (cover.astype(np.float32) / 255)[..., None]
    return (colour * top + picture * (1 - top) + 0.5).astype(np.uint8)
