"""What the input itself cut away stays away: its own alpha, multiplied into the layers."""

from __future__ import annotations

import numpy as np

from ..types import Frame, Layers, Mask8, Picture
from .compositor import SOLID

CHUNK = 1 << 18  # pixels computed at once: bounds the temporaries


def kept_away(layers: Layers, background: Picture, frame: Frame) -> Layers:
    """`cut_away`, where the frame's own input has cut anything away."""
    return layers if frame.alpha is None else cut_away(layers, background, frame.alpha)


def cut_away(layers: Layers, background: Picture, alpha: Mask8) -> Layers:
    """A compositor's layers with the matte times the input's own `alpha` (H, W) uint8.

    composite = background + alpha (composite - background), as if the smaller alpha had
    been composited. Written into `layers`, which are returned.
    """
    composite, matte, foreground = layers
    cut = np.flatnonzero(alpha != SOLID)
    for start in range(0, len(cut), CHUNK):
        at = cut[start : start + CHUNK]
        share = alpha.reshape(-1)[at] / np.float32(SOLID)
        matte.reshape(-1)[at] = level = np.rint(matte.reshape(-1)[at] * share).astype(np.uint8)
        share[level == 0] = 0
        behind = background.reshape(-1, 3)[at].astype(np.float32)
        mixed = behind + share[:, None] * (composite.reshape(-1, 3)[at] - behind)
        composite.reshape(-1, 3)[at] = np.rint(mixed).astype(np.uint8)
        if foreground is not None:
            foreground.reshape(-1, 3)[at[level == 0]] = 0
    return layers
