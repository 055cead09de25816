"""All photographs on the device, each in the corner of a square of its own."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from ..data import ANYWHERE, NOBODY, WEIGHTS
from ..framing import STATURE, stature, touched
from ..people import U8, foreground_of
from .pack import HEADS, ROOM, Packed, decoded, unpack

SCENES = 4  # tries to find a part of each photograph without anybody


@dataclass(frozen=True)
class Deck:
    """N photographs and M empty scenes as uint8 in squares of side S; widths and heights apart.

    pictures, fronts (N, 3, S, S), mattes (N, 1, S, S); size (N, 2) width, height; heads
    (N, HEADS, 3) centre x, top, height in pixels, never empty; edges (N, 4): 1 where
    somebody is cut by the left, upper, right, lower edge; anywhere (N,) the share of a
    photograph's frames that are cropped anywhere; chances (N,); scenes (M, 3, S, S) with
    scene_size (M, 2).
    """

    pictures: Tensor
    fronts: Tensor
    mattes: Tensor
    size: Tensor
    heads: Tensor
    edges: Tensor
    anywhere: Tensor
    chances: Tensor
    scenes: Tensor
    scene_size: Tensor


@dataclass(frozen=True)
class One:
    kind: str
    image: U8
    front: U8
    alpha: U8
    heads: np.ndarray


def load(packs: Path, side: int, device: str) -> Deck:
    """The deck of all files of a folder. Raises FileNotFoundError."""
    paths = sorted(packs.glob("photos*.npz"))
    if not paths:
        raise FileNotFoundError(f"{packs}: no photos*.npz; make them with `pack`")
    people: list[One] = []
    scenes: list[U8] = []
    with ThreadPoolExecutor() as pool:
        for path in paths:
            for found, empty in pool.map(prepared, unpack(path)):
                people += [found] if found is not None else []
                scenes += empty
    return deck(people, scenes, side, device)


def prepared(row: Packed) -> tuple[One | None, list[U8]]:
    """A photograph with its foreground, and empty parts of it; a room alone."""
    kind, picture, matte, heads = row
    image, alpha = decoded(picture, matte)
    if kind == ROOM or alpha is None or not (alpha > 127).any():
        return None, [image]
    known = heads[heads[:, 2] > 0]
    if not len(known):
        top = int(np.flatnonzero((alpha > 127).any(1))[0])
        x = float(np.flatnonzero((alpha > 127)[top]).mean())
        known = np.array([[x, top, stature(alpha) / STATURE]], np.float32)
    filled = known[np.arange(HEADS) % len(known)]
    return One(kind, image, foreground_of(image, alpha), alpha, filled), empty_parts(image, alpha)


def empty_parts(image: U8, alpha: U8) -> list[U8]:
    """A part of the photograph in which nobody is, if a few tries find one."""
    rng = np.random.default_rng(int(alpha[::7, ::7].sum()))
    height, width = alpha.shape
    for _ in range(SCENES):
        h, w = (int(side * rng.uniform(0.35, 0.9)) for side in (height, width))
        y, x = int(rng.integers(height - h)), int(rng.integers(width - w))
        if alpha[y : y + h, x : x + w].max() < NOBODY:
            return [image[y : y + h, x : x + w]]
    return []


def deck(people: Sequence[One], scenes: Sequence[U8], side: int, device: str) -> Deck:
    weights = np.array([WEIGHTS[one.kind] for one in people])
    kinds = [one.kind for one in people]
    weights /= np.array([kinds.count(kind) for kind in kinds]) ** 0.5
    sizes = [one.alpha.shape[::-1] for one in people]
    scene_sizes = [scene.shape[1::-1] for scene in scenes]

    def table(values: Sequence[object]) -> Tensor:
        return torch.tensor(np.array(values), dtype=torch.float32, device=device)

    return Deck(
        squares([one.image for one in people], side, device),
        squares([one.front for one in people], side, device),
        squares([one.alpha[..., None] for one in people], side, device),
        table(sizes),
        table([one.heads for one in people]),
        table([touched(one.alpha) for one in people]),
        table([ANYWHERE[kind] for kind in kinds]),
        table(weights / weights.sum()),
        squares([fitting(scene, side) for scene in scenes], side, device),
        table([np.minimum(size, side) for size in scene_sizes]),
    )


def fitting(scene: U8, side: int) -> U8:
    height, width = scene.shape[:2]
    if max(height, width) <= side:
        return scene
    size = (min(width, side), min(height, side))
    return cv2.resize(scene, size, interpolation=cv2.INTER_AREA)


def squares(images: Sequence[U8], side: int, device: str) -> Tensor:
    """Pictures (h, w, C) no larger than `side` as (N, C, side, side), edges repeated."""
    out = torch.empty(len(images), images[0].shape[2], side, side, dtype=torch.uint8)
    for at, image in enumerate(images):
        height, width = image.shape[:2]
        below, right = side - height, side - width
        wide = np.pad(image, ((0, below), (0, right), (0, 0)), mode="edge")
        out[at] = torch.from_numpy(wide).permute(2, 0, 1)
    return out.to(device)
