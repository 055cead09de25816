"""Drawn hair: single strands with exact alpha, grown from a matte's own outline.

No teacher shows single hairs; these do. They take their colour from just inside of the
outline where they grow: hair from hair, fur from a collar.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .drawing import U8, Layer, Points, stroke

UPPER = 0.45  # of somebody's rows: where hair grows
TURNS = 8  # points of a strand
THICK, THINNEST = (0.0015, 0.006), 0.45  # of a strand: of the width of somebody; in pixels
STYLES = ("wisps", "fringe", "curls", "tail", "fur")
CHANCES = (0.4, 0.2, 0.15, 0.13, 0.12)


@dataclass(frozen=True)
class Style:
    """Strands: how many, how long (of somebody's width), how they bend and hang."""

    count: tuple[int, int]
    length: tuple[float, float]
    curl: float  # amplitude of waves, of the length
    hang: float  # how much they fall
    spread: float  # of their directions, radians
    stretch: float  # of the outline that they grow from, share of its upper part


KINDS = {
    "wisps": Style((4, 40), (0.06, 0.3), 0.06, 0.4, 0.7, 0.9),
    "fringe": Style((60, 220), (0.05, 0.22), 0.04, 0.5, 0.35, 0.5),
    "curls": Style((40, 160), (0.06, 0.2), 0.22, 0.3, 0.8, 0.7),
    "tail": Style((60, 160), (0.25, 0.6), 0.05, 1.0, 0.25, 0.05),
    "fur": Style((120, 300), (0.015, 0.05), 0.08, 0.2, 0.5, 1.0),
}


def hair(front: U8, alpha: U8, rng: np.random.Generator) -> Layer | None:
    """A layer of strands for a foreground (H, W, 3) and its alpha; None without an outline."""
    outline = upper_outline(alpha)
    if outline is None:
        return None
    style = KINDS[str(rng.choice(STYLES, p=CHANCES))]
    columns = np.flatnonzero((alpha > 127).any(0))
    width = float(columns[-1] - columns[0] + 1)
    cover, colour = np.zeros_like(alpha), front.copy()
    count = int(rng.integers(*style.count))
    stretch = max(8, int(len(outline) * style.stretch * rng.uniform(0.4, 1)))
    first = int(rng.integers(len(outline)))
    thick = max(THINNEST, width * float(np.exp(rng.uniform(*np.log(THICK)))))
    gain = float(np.exp(rng.normal(0, 0.25)))
    for _ in range(count):
        at = (first + int(rng.integers(stretch))) % len(outline)
        points = strand(outline, at, style, width, rng)
        tint = root_colour(front, alpha, points[0]) * gain * np.exp(rng.normal(0, 0.15))
        level = int(rng.uniform(110, 256))
        stroke(cover, points, thick * rng.uniform(0.6, 1.3), level)
        # The colour a little wider than its coverage, so that no rim shows another's.
        shade = tuple(float(c) for c in np.clip(tint, 0, 255))
        wide = max(3, round(thick) + 2)
        cv2.polylines(colour, [np.rint(points).astype(np.int32)[:, None]], False, shade, wide)
    return colour, cover


def upper_outline(alpha: U8) -> Points | None:
    """Points (N, 2) around the upper part of the largest person, in order; not on the edges."""
    solid = (alpha > 127).astype(np.uint8)
    contours, _ = cv2.findContours(solid, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not contours:
        return None
    outline = max(contours, key=len)[:, 0].astype(np.float64)
    h, w = alpha.shape
    top, low = outline[:, 1].min(), outline[:, 1].max()
    kept = outline[:, 1] < top + UPPER * (low - top)
    kept &= (outline > 1).all(1) & (outline[:, 0] < w - 2) & (outline[:, 1] < h - 2)
    return outline[kept] if kept.sum() > 16 else None


def strand(
    outline: Points, at: int, style: Style, width: float, rng: np.random.Generator
) -> Points:
    """One hair (TURNS, 2), from a little inside of the outline outwards, then down."""
    reach = 6
    before, after = outline[at - reach], outline[(at + reach) % len(outline)]
    along = (after - before) / max(float(np.hypot(*(after - before))), 1e-3)
    outward = np.array([along[1], -along[0]])
    centre = outline.mean(0)
    if outward @ (outline[at] - centre) < 0:
        outward = -outward
    turn = rng.normal(0, style.spread)
    c, s = np.cos(turn), np.sin(turn)
    outward = np.array([c * outward[0] - s * outward[1], s * outward[0] + c * outward[1]])
    length = width * float(np.exp(rng.uniform(*np.log(style.length))))
    t = np.linspace(0, 1, TURNS)[:, None]
    line = outline[at] - outward * 0.02 * width + outward * t * length
    line = line + np.array([0.0, 1.0]) * style.hang * length * t**2 * rng.uniform(0.3, 1.2)
    wave = np.sin(t * rng.uniform(2, 9) + rng.uniform(0, 6.3)) * style.curl * length * t
    return line + wave * np.array([-outward[1], outward[0]])


def root_colour(front: U8, alpha: U8, root: Points) -> Points:
    """The foreground's colour at a strand's root, where that is inside."""
    h, w = alpha.shape
    x, y = int(np.clip(root[0], 0, w - 1)), int(np.clip(root[1], 0, h - 1))
    return front[y, x].astype(np.float64)
