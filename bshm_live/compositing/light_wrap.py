"""Light wrap: the background's light on the person's rim.

F + wrap share (glow - F): F is the person's colour, glow the background out of
focus, share how much of the matte around a place is room.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from ..types import Picture, Shape

GLOW_BLUR = 7  # low pixels: how far the background's light reaches into its own blur


def glow(background: Picture, low: Shape) -> NDArray[np.float32]:
    """The background out of focus at the low size: (h, w, 4) BGR in levels, the fourth 0."""
    small = cv2.resize(background, low[::-1], interpolation=cv2.INTER_AREA)
    soft = cv2.blur(small, (GLOW_BLUR, GLOW_BLUR))
    return cv2.cvtColor(soft, cv2.COLOR_BGR2BGRA).astype(np.float32)
