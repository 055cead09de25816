"""Which part of a shot a file shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from ..types import Shot
from .codecs import Layer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..types import Picture


def layer_of(shot: Shot, layer: Layer, *, with_alpha: bool = False) -> NDArray[np.uint8]:
    """(H, W, 3) BGR, (H, W) for alpha; `with_alpha` foreground and alpha as (H, W, 4)."""
    if with_alpha:
        return np.asarray(cv2.merge([*cv2.split(foreground_of(shot)), shot.alpha]), np.uint8)
    if layer == "foreground":
        return foreground_of(shot)
    return shot.composite if layer == "composite" else shot.alpha


def foreground_of(shot: Shot) -> Picture:
    """Black where alpha is 0: what was cut away must not lie in a file unseen."""
    if shot.foreground is None:
        raise TypeError("this layer needs Shot.foreground")
    return np.asarray(cv2.copyTo(shot.foreground, shot.alpha), np.uint8)
