"""The official BSHM release as one network: a picture in, its alpha out.

The release's own RGB is the picture itself, so the foreground's colour is that of blur fusion
(Forte, ICIP 2021). It takes no hint and shows no coarse masks.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from ..types import Alpha, Engine, Hint, HostMatte, Picture, Shape, Tensor
from .check import check
from .preprocess import LEVELS, REFINED, resized

INPUT, OUTPUT = "input_image:0", "alpha:0"
LONGEST = 2000  # pixels of a side: what the release is made for
SOLID = 254.0  # of 255: what its alpha calls solid
BLUR = 23  # pixels, at a quarter of the size: blur fusion's neighbourhood
LEAST = np.float32(1e-5)  # to divide by


class Official:
    """A Matting around the network, which it owns; its size follows each picture's."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.low: Shape = (LONGEST // REFINED, LONGEST // REFINED)
        self.high: Shape = (LONGEST, LONGEST)

    def matte(
        self,
        picture: Picture,
        hint: Hint | None = None,
        clock: Callable[[str], None] = lambda stage: None,
    ) -> HostMatte:
        """Matte of one BGR picture, whose sides become multiples of four. Raises EngineError."""
        guide = fitted(picture)
        clock("preprocess")
        alpha = alpha_of(self._engine, guide)
        clock("official")
        self.high = alpha.shape
        self.low = height, width = tuple(side // REFINED for side in self.high)
        mask = cv2.resize(alpha, (width, height), interpolation=cv2.INTER_AREA)
        small = cv2.resize(guide, (width, height), interpolation=cv2.INTER_AREA)
        matte = HostMatte(alpha, residual_of(small, mask), mask, mask, guide)
        check(matte)
        return matte

    def close(self) -> None:
        self._engine.close()


def fitted(picture: Picture) -> Picture:
    """At most LONGEST pixels a side, each a multiple of four."""
    height, width = picture.shape[:2]
    scale = min(1.0, LONGEST / max(height, width))
    wide, tall = (max(REFINED, round(side * scale / REFINED) * REFINED) for side in (width, height))
    return resized(picture, (wide, tall))


def alpha_of(engine: Engine, picture: Picture) -> Alpha:
    """Alpha (H, W) in [0, 1] of a BGR picture (H, W, 3), solid where the release says 254."""
    image: Tensor = picture[..., ::-1].astype(np.float32)
    levels = engine.run({INPUT: image})[OUTPUT]
    return np.minimum(levels * np.float32(1 / SOLID), np.float32(1))


def residual_of(picture: Picture, alpha: Alpha) -> Tensor:
    """Foreground less picture, BGR (h, w, 3) in [-1, 1], by one pass of blur fusion."""
    image, share = picture.astype(np.float32) / np.float32(LEVELS), alpha[..., None]
    near = cv2.blur(alpha, (BLUR, BLUR))[..., None]
    person = cv2.blur(image * share, (BLUR, BLUR)) / (near + LEAST)
    room = cv2.blur(image * (1 - share), (BLUR, BLUR)) / (1 - near + LEAST)
    front = person + share * (image - share * person - (1 - share) * room)
    residual: Tensor = np.clip(front, 0, 1) - image
    return residual
