"""What the input itself cut away stays away: its own alpha bounds the matte's."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..sources.picture import NEUTRAL, SOLID
from ..types import Layers, Mask8, Picture

CHUNK = 1 << 18  # pixels computed at once: bounds the temporaries
FAINT = 16  # of 255: below it a file's colour is often one that was meant to be hidden


def within(layers: Layers, image: Picture, opacity: Mask8, background: Picture) -> Layers:
    """A compositor's layers, written anew where the input's `opacity` (H, W) is not whole.

    `image` is the input over grey (`Still.over(NEUTRAL)`), as the networks and the
    compositor saw it. They see the cut in it, so the smaller alpha of the two counts: their
    product would thin every hair that was cut out well. Colours are the input's straight
    ones, but the compositor's where it is too faint to tell.
    """
    composite, alpha, foreground = layers
    cut = np.flatnonzero(opacity != SOLID)
    for start in range(0, len(cut), CHUNK):
        at = cut[start : start + CHUNK]
        most, matte = opacity.reshape(-1)[at], alpha.reshape(-1)[at]
        level = np.minimum(matte, most)
        clear = most >= FAINT
        colour = straight(image.reshape(-1, 3)[at], most)
        behind = background.reshape(-1, 3)[at].astype(np.float32)
        shown = composite.reshape(-1, 3)[at]
        kept = behind + (level / np.maximum(matte, np.float32(1)))[:, None] * (shown - behind)
        mixed = behind + (level / np.float32(SOLID))[:, None] * (colour - behind)
        rows = np.where(clear[:, None], mixed, kept)
        composite.reshape(-1, 3)[at] = np.rint(rows).astype(np.uint8)
        alpha.reshape(-1)[at] = level
        if foreground is not None:
            front = np.where(clear[:, None], colour, foreground.reshape(-1, 3)[at])
            front *= (level > 0)[:, None]
            foreground.reshape(-1, 3)[at] = np.rint(front).astype(np.uint8)
    return layers


def straight(over_grey: NDArray[np.uint8], opacity: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The colours (N, 3) that lay over grey of level NEUTRAL with `opacity` (N,)."""
    share = np.maximum(opacity, 1) / np.float32(SOLID)
    colour = (over_grey - np.float32(NEUTRAL)) / share[:, None] + np.float32(NEUTRAL)
    return np.clip(colour, 0, SOLID)
