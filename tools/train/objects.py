"""Drawn objects: what is held or worn belongs to the person, what stands behind does not.

Phones, cups, books, microphones, headsets and arms with hands are laid over a foreground
and its alpha, with exact coverage; chair backs, lamps, plants, screens and parts of rooms
are laid on the background.
"""

from __future__ import annotations

import numpy as np

from .drawing import (
    U8,
    Colour,
    Layer,
    Points,
    capsule,
    disc,
    fill,
    onto,
    over,
    rounded,
    shaded,
    stroke,
    textured,
)

# RGB of skin, light to dark, where no face shows the person's own.
SKINS = (
    (236, 198, 175),
    (222, 176, 146),
    (198, 148, 116),
    (164, 112, 80),
    (120, 78, 56),
    (82, 54, 42),
)
HELD = ("slab", "cup", "microphone", "headset", "cutout")
HELD_CHANCES = (0.35, 0.2, 0.15, 0.15, 0.15)
BEHIND = ("chair", "lamp", "plant", "screen", "cutout")


def held(front: U8, alpha: U8, room: U8, skin: Colour, rng: np.random.Generator) -> tuple[U8, U8]:
    """The foreground with something in a hand or on the head."""
    place = somewhere_on(alpha, rng)
    if place is None:
        return front, alpha
    at, scale = place
    kind = str(rng.choice(HELD, p=HELD_CHANCES))
    if kind == "headset":
        return over(front, alpha, headset(alpha, rng))
    front, alpha = over(front, alpha, thing(kind, at, scale, alpha.shape, room, rng))
    if rng.random() < 0.7:  # the hand that holds it
        grip = at + rng.normal(0, 0.12, 2) * scale
        layer = hand_layer(alpha.shape, grip, 0.13 * scale, rng.uniform(0, 6.3), skin, rng)
        front, alpha = over(front, alpha, layer)
    return front, alpha


def somewhere_on(alpha: U8, rng: np.random.Generator) -> tuple[Points, float] | None:
    """A place on or beside the largest row of somebody, and the person's scale in pixels."""
    solid = alpha > 127
    rows = np.flatnonzero(solid.any(1))
    if len(rows) < 12:
        return None
    y = int(rng.choice(rows[len(rows) // 4 :]))
    columns = np.flatnonzero(solid[y])
    if not len(columns):
        return None
    scale = min(float(np.sqrt(solid.sum())), 0.8 * alpha.shape[0])
    x = float(rng.choice(columns)) + rng.normal(0, 0.1) * scale
    return np.array([x, float(y)]), scale


def thing(
    kind: str, at: Points, scale: float, shape: tuple[int, ...], room: U8, rng: np.random.Generator
) -> Layer:
    """One object around a place; `scale` is the person's."""
    cover = np.zeros(shape, np.uint8)
    turn = rng.normal(0, 0.35)
    size = scale * rng.uniform(0.12, 0.4)
    if kind == "slab":  # phone, book, tablet, paper
        side = (size, size * rng.uniform(0.5, 2.0))
        fill(cover, rounded(at, side, rng.uniform(0, 0.5), turn))
    elif kind == "cup":
        fill(cover, capsule(at, at + np.array([0, 0.6 * size]), 0.4 * size, 0.32 * size))
        if rng.random() < 0.6:
            ring = disc(at + np.array([0.5, 0.3]) * size, (0.25 * size, 0.25 * size))
            stroke(cover, np.concatenate([ring, ring[:1]]), 0.09 * size)
    elif kind == "microphone":
        tip = at + np.array([np.sin(turn), np.cos(turn)]) * size * rng.uniform(0.8, 2.5)
        fill(cover, capsule(at, tip, 0.1 * size, 0.07 * size))
        fill(cover, disc(at, (0.22 * size, 0.28 * size), -turn))
    else:
        fill(cover, blob(at, 0.5 * size, rng))
    return surface(cover, room, rng), cover


def surface(cover: U8, room: U8, rng: np.random.Generator) -> U8:
    """Plain, shaded as something round, or a part of some room."""
    h, w = cover.shape
    if rng.random() < 0.5:
        return textured(room, (w, h), rng)
    grey = rng.uniform(10, 250)
    colour = np.clip(grey + rng.normal(0, 1, 3) * rng.choice([5.0, 60.0]), 0, 255)
    return shaded(cover, colour, rng)


def blob(at: Points, radius: float, rng: np.random.Generator) -> Points:
    """A closed outline of no particular shape."""
    t = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    waves = sum(rng.normal(0, 0.5 / k) * np.cos(k * t + rng.uniform(0, 6.3)) for k in range(1, 5))
    r = radius * np.clip(1 + 0.5 * waves, 0.3, 2)
    return at + np.stack([r * np.cos(t), r * np.sin(t) * rng.uniform(0.6, 1.6)], 1)


def headset(alpha: U8, rng: np.random.Generator) -> Layer:
    """A bow over the topmost head, cups at its sides, sometimes a microphone."""
    solid = alpha > 127
    top = int(np.flatnonzero(solid.any(1))[0])
    scale = min(float(np.sqrt(solid.sum())), alpha.shape[0])
    row = solid[min(alpha.shape[0] - 1, top + int(0.22 * scale))]
    columns = np.flatnonzero(row)
    left, right = (float(columns[0]), float(columns[-1])) if len(columns) else (0.0, scale)
    centre = np.array([(left + right) / 2, top + 0.25 * scale])
    half = min((right - left) / 2, 0.45 * scale)
    t = np.linspace(np.pi, 2 * np.pi, 30)
    bow = centre + np.stack([half * np.cos(t), 0.27 * scale * np.sin(t)], 1)
    cover = np.zeros(alpha.shape, np.uint8)
    stroke(cover, bow, max(1.0, rng.uniform(0.02, 0.06) * scale))
    for x in (-half, half):
        cup = centre + np.array([x, 0.02 * scale])
        fill(cover, disc(cup, (0.07 * scale, 0.11 * scale)))
    if rng.random() < 0.5:
        side = rng.choice([-1, 1])
        ends = np.array([[side * half, 0.05 * scale], [side * half * 0.3, 0.3 * scale]])
        stroke(cover, centre + ends, 0.015 * scale)
    grey = np.full(3, rng.choice([25.0, 60.0, 230.0])) + rng.normal(0, 8, 3)
    return shaded(cover, grey, rng), cover


def skin_of(
    front: U8, alpha: U8, face: tuple[float, float] | None, rng: np.random.Generator
) -> Colour:
    """The colour around a face's middle, if it lies in the frame; any skin's otherwise."""
    h, w = alpha.shape
    if face is not None and 2 <= face[0] < w - 2 and 2 <= face[1] < h - 2:
        x, y = int(face[0]), int(face[1])
        if alpha[y, x] > 230:
            return np.median(front[y - 2 : y + 3, x - 2 : x + 3].reshape(-1, 3), 0)
    return np.array(SKINS[int(rng.integers(len(SKINS)))], np.float64)


def arm(
    front: U8, alpha: U8, face: tuple[float, float] | None, skin: Colour, rng: np.random.Generator
) -> tuple[U8, U8]:
    """The foreground with an arm: raised beside it, before the face, or reaching in."""
    place = somewhere_on(alpha, rng)
    if place is None:
        return front, alpha
    at, scale = place
    h, w = alpha.shape
    way = rng.random()
    if way < 0.4:  # raised from the side
        end = at + np.array([rng.normal(0, 0.35), -rng.uniform(0.2, 0.7)]) * scale
    elif way < 0.7 and face is not None:  # a hand before the face
        end = np.array(face) + rng.normal(0, 0.12, 2) * scale
        at = end + np.array([rng.normal(0, 0.4), rng.uniform(0.4, 0.9)]) * scale
    else:  # from an edge
        at = np.array([rng.choice([-5.0, w + 5.0]), rng.uniform(0.3, 1.1) * h])
        end = np.array([w / 2, h / 2]) + rng.normal(0, 0.22, 2) * (w, h)
        scale = max(scale, 0.35 * h)
    wide = scale * rng.uniform(0.055, 0.1)
    cover = np.zeros(alpha.shape, np.uint8)
    fill(cover, capsule(at, end, wide * rng.uniform(1.0, 1.5), wide * 0.8))
    sleeve = front[min(h - 1, max(0, int(at[1]))), min(w - 1, max(0, int(at[0])))].astype(
        np.float64
    )
    bare = rng.random() < 0.5
    front, alpha = over(front, alpha, (shaded(cover, skin if bare else sleeve, rng), cover))
    turn = float(np.arctan2(*(end - at)[::-1]))
    return over(front, alpha, hand_layer(alpha.shape, end, wide * 1.15, turn, skin, rng))


def hand_layer(
    shape: tuple[int, ...],
    at: Points,
    wide: float,
    turn: float,
    skin: Colour,
    rng: np.random.Generator,
) -> Layer:
    """A palm of half width `wide` that points towards `turn`, with its fingers."""
    cover = np.zeros(shape, np.uint8)
    along = np.array([np.cos(turn), np.sin(turn)])
    across = np.array([-along[1], along[0]])
    middle = at + along * wide
    fill(cover, disc(middle, (1.15 * wide, wide), turn))
    spread, length = rng.uniform(0.05, 0.35), rng.uniform(0.6, 2.0) * wide
    for finger in (-1.5, -0.5, 0.5, 1.5):
        root = middle + along * 0.8 * wide + across * finger * 0.45 * wide
        way = turn + finger * spread + rng.normal(0, 0.1)
        tip = root + np.array([np.cos(way), np.sin(way)]) * length * (1 - 0.1 * abs(finger))
        fill(cover, capsule(root, tip, 0.26 * wide, 0.2 * wide))
    side = rng.choice([-1, 1])
    way = turn + side * rng.uniform(0.4, 1.2)
    tip = middle + np.array([np.cos(way), np.sin(way)]) * wide * 1.8
    fill(cover, capsule(middle + side * across * 0.5 * wide, tip, 0.3 * wide, 0.2 * wide))
    return shaded(cover, skin * np.exp(rng.normal(0, 0.08)), rng), cover


def behind(back: U8, alpha: U8, room: U8, rng: np.random.Generator) -> U8:
    """The background with one thing that stands near the person: none of it is the person."""
    kind = str(rng.choice(BEHIND))
    place = somewhere_on(alpha, rng)
    h, w = alpha.shape
    if place is None:
        place = np.array([rng.uniform(0, w), rng.uniform(0, h)]), 0.5 * h
    at, scale = place
    cover = np.zeros((h, w), np.uint8)
    if kind == "chair":
        columns = np.flatnonzero((alpha > 127).any(0))
        x = float(columns.mean()) if len(columns) else w / 2
        top = np.array([x, at[1]]) + rng.normal(0, 0.1, 2) * scale
        size = (scale * rng.uniform(0.6, 1.3), scale * rng.uniform(0.5, 1.6))
        fill(cover, rounded(top + np.array([0, size[1] / 3]), size, rng.uniform(0.1, 0.9)))
    elif kind == "lamp":
        top = at + rng.normal(0, 0.6, 2) * scale
        stroke(cover, np.array([top, [top[0], h + 5.0]]), max(1.0, 0.03 * scale))
        fill(cover, capsule(top, top + np.array([0, 0.15 * scale]), 0.1 * scale, 0.2 * scale))
    elif kind == "plant":
        leaves(cover, at + rng.normal(0, 0.5, 2) * scale, scale, rng)
        green = np.array([rng.uniform(20, 90), rng.uniform(70, 150), rng.uniform(10, 80)])
        return onto(back, (shaded(cover, green, rng), cover))
    elif kind == "screen":
        middle = at + rng.normal(0, 0.5, 2) * scale
        fill(cover, rounded(middle, (scale * rng.uniform(0.4, 1), scale * 0.45), 0.1))
    else:
        fill(cover, blob(at + rng.normal(0, 0.4, 2) * scale, scale * rng.uniform(0.1, 0.4), rng))
    return onto(back, (surface(cover, room, rng), cover))


def leaves(cover: U8, root: Points, scale: float, rng: np.random.Generator) -> None:
    for _ in range(int(rng.integers(6, 25))):
        way = -np.pi / 2 + rng.normal(0, 0.8)
        tip = root + np.array([np.cos(way), np.sin(way)]) * scale * rng.uniform(0.15, 0.5)
        stroke(cover, np.array([root, tip]), max(1.0, 0.012 * scale))
        fill(cover, disc(tip, (0.1 * scale, 0.03 * scale), way))
