"""The error of the foreground's colour, on composites whose foreground is known.

People from photographs, their foreground estimated once and then taken for
true, over rooms that no network was trained on. What is compared gets the true
alpha, so that colour alone differs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from bshm_live.compositing.background import cover
from bshm_live.compositing.compositor import Compositor
from bshm_live.compositing.edge_model import MAPS, PERSON, ROOM, EdgeModel
from bshm_live.matting.bshm import Bshm
from bshm_live.types import Mask8, Picture

from .clips import in_unit, read_still

SEED = 20
SOFT = (0.02, 0.98)  # of true alpha: the band that is compared
FUSION_RADII = (90, 6)
ASPECT = 3 / 4  # height to width of a webcam's picture
HEADROOM = 0.06  # of the crop's height
OWN_ALPHA = ", own alpha too"

Colours = NDArray[np.float32]  # (H, W, 3) BGR in [0, 255]


@dataclass(frozen=True)
class Composite:
    """picture = alpha·foreground + (1 - alpha)·room: BGR (H, W, 3) uint8, alpha (H, W) uint8."""

    picture: Picture
    alpha: Mask8
    foreground: Picture


class ColourErrors:
    """Row to the mean of |alpha (F - true F)| over all soft pixels, in 8-bit levels."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._counts: dict[str, int] = {}

    def add(self, row: str, front: Colours, true: Colours) -> None:
        """Premultiplied colours (N, 3) of one composite's soft pixels."""
        self._sums[row] = self._sums.get(row, 0.0) + float(np.abs(front - true).sum())
        self._counts[row] = self._counts.get(row, 0) + front.size

    def means(self) -> dict[str, float]:
        return {row: total / max(self._counts[row], 1) for row, total in self._sums.items()}


def colour_errors(composites: Iterator[Composite], presets: Mapping[str, Bshm]) -> dict[str, float]:
    """Of F = I, of each estimator and of each preset with the true and with its own alpha."""
    errors = ColourErrors()
    for one in composites:
        soft = soft_places(one.alpha)
        weight = in_unit(one.alpha.reshape(-1, 1)[soft])
        true = weight * at(one.foreground, soft)
        errors.add("F = I", weight * at(one.picture, soft), true)
        fused = blur_fusion(one.picture, one.alpha)
        errors.add("blur fusion, radius 90, then 6", weight * at(fused, soft), true)
        if has_pymatting():
            solved = multilevel(one.picture, one.alpha)
            errors.add("pymatting, multi-level", weight * at(solved, soft), true)
        for preset, bshm in presets.items():
            front, product = ours(bshm, one, soft)
            errors.add(f"**{preset}**", weight * front, true)
            errors.add(f"{preset}{OWN_ALPHA}", product, true)
    return errors.means()


def ours(bshm: Bshm, one: Composite, soft: NDArray[np.intp]) -> tuple[Colours, Colours]:
    """MRN's foreground (N, 3) at the soft places; and alpha·foreground as the product makes it."""
    matte = bshm.matte(one.picture)
    size = one.picture.shape[1::-1]
    model = EdgeModel(matte.alpha.shape)
    model(matte)
    maps = cv2.resize(model.maps, size).reshape(-1, MAPS)[soft]
    person, room = maps[:, PERSON], maps[:, ROOM]
    weight = in_unit(one.alpha.reshape(-1, 1)[soft])
    # Blur fusion's second step, with the alpha that is given instead of the matte's
    front = person + weight * (at(one.picture, soft) - weight * person - (1 - weight) * room)
    composite, _, _ = Compositor(size)(one.picture, matte, np.zeros_like(one.picture))
    return np.clip(front, 0, 255), at(composite, soft)


def soft_places(alpha: Mask8) -> NDArray[np.intp]:
    """Flat indices of the soft band."""
    low, high = (255 * bound for bound in SOFT)
    return np.flatnonzero((alpha > low) & (alpha < high))


def at(colours: NDArray[np.generic], places: NDArray[np.intp]) -> Colours:
    return colours.reshape(-1, 3)[places].astype(np.float32)


def has_pymatting() -> bool:
    return find_spec("pymatting") is not None


def multilevel(picture: Picture, alpha: Mask8) -> Colours:
    """pymatting's multi-level estimate (Germer et al., 2020)."""
    from pymatting import estimate_foreground_ml  # type: ignore[import-untyped]

    front = estimate_foreground_ml(picture / 255.0, alpha / 255.0)
    return np.asarray(front * 255, np.float32)


def blur_fusion(picture: Picture, alpha: Mask8) -> Colours:
    """Forte, "Approximate Fast Foreground Colour Estimation", ICIP 2021: twice, coarse to fine."""
    image = picture.astype(np.float32) / 255
    a = alpha.astype(np.float32)[..., None] / 255
    front = back = image
    for radius in FUSION_RADII:
        size = (radius, radius)
        share = cv2.blur(a, size)[..., None]
        front_mean = cv2.blur(front * a, size) / (share + 1e-5)
        back_mean = cv2.blur(back * (1 - a), size) / (1 - share + 1e-5)
        front = np.clip(front_mean + a * (image - a * front_mean - (1 - a) * back_mean), 0, 1)
        back = back_mean
    return np.multiply(front, np.float32(255), dtype=np.float32)


def true_foreground(photo: Picture, alpha: Mask8) -> Picture:
    """A foreground to compose with: the photograph itself where alpha is full."""
    estimate = multilevel if has_pymatting() else blur_fusion
    front = np.clip(np.rint(estimate(photo, alpha)), 0, 255).astype(np.uint8)
    return np.where((alpha == 255)[..., None], photo, front)


def composites(data: Path, count: int) -> Iterator[Composite]:
    """`count` composites, the same at every run; fewer where there are fewer people."""
    people = sorted((data / "people").glob("*.jpg"))
    rooms = sorted((data / "rooms_eval").glob("*.jpg"))
    rng = np.random.default_rng(SEED)
    for number in rng.permutation(len(people))[:count]:
        alpha = read_still(data / "alpha" / f"{people[number].stem}.png")[..., 0]
        room = read_still(rooms[int(rng.integers(len(rooms)))])
        yield compose(*framed(read_still(people[number]), alpha), room)


def framed(photo: Picture, alpha: Mask8) -> tuple[Picture, Mask8]:
    """Cropped as a webcam frames: the photograph's width, from a little above the head."""
    height, width = alpha.shape
    tall = min(height, round(width * ASPECT))
    rows = np.flatnonzero((alpha > 127).any(1))
    head = int(rows[0]) if len(rows) else 0
    top = int(np.clip(head - HEADROOM * tall, 0, height - tall))
    part = np.s_[top : top + tall]
    return np.ascontiguousarray(photo[part]), np.ascontiguousarray(alpha[part])


def compose(photo: Picture, alpha: Mask8, room: Picture) -> Composite:
    front = true_foreground(photo, alpha)
    back = cover(room, photo.shape[1::-1])
    weight = in_unit(alpha[..., None])
    mixed = weight * front + (1 - weight) * back
    return Composite(np.rint(mixed).astype(np.uint8), alpha, front)
