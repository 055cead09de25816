"""A person's colours changed by brightness: what light, white balance and match come down to.

A grade is a table (256, 8) float32, a row to a level of brightness (BT.601): scale of B, G,
R and one unused, then offset in levels likewise. A colour F becomes scale F + offset, kept
within the levels. So a curve, a tint and a contrast are one pass over the picture, however
many of them there are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..kernels.call import GRADE

if TYPE_CHECKING:
    from ..types import Grade

Colours = NDArray[np.float32]  # (..., 3) BGR, levels
SOLID = 255.0
WEIGHTS = np.array([0.114, 0.587, 0.299], np.float32)  # of B, G, R in the brightness
LEVELS = np.arange(GRADE[0], dtype=np.float32)[:, None]  # (256, 1)


def table(scale: NDArray[np.float32], offset: NDArray[np.float32]) -> Grade:
    """From scale and offset, each (256, 1 or 3)."""
    made = np.zeros(GRADE, np.float32)
    made[:, 0:3], made[:, 4:7] = scale, offset
    return made


def brightness(colours: Colours) -> NDArray[np.float32]:
    """(..., 3) BGR to (...), in levels."""
    return colours @ WEIGHTS


def graded(colours: Colours, grade: Grade | None) -> Colours:
    """The colours as a compositor would change them, not rounded."""
    if grade is None:
        return colours
    row = grade[np.clip(brightness(colours) + 0.5, 0, SOLID).astype(np.intp)]
    return np.clip(colours * row[..., 0:3] + row[..., 4:7], 0, SOLID)


def then(first: Grade | None, second: Grade | None) -> Grade | None:
    """One grade for two, the second after the first.

    The second looks its row up by what the first makes of a grey, between two rows.
    """
    if first is None or second is None:
        return second if first is None else first
    grey = np.clip(LEVELS * first[:, 0:3] + first[:, 4:7], 0, SOLID)
    place, levels = brightness(grey), LEVELS[:, 0]
    row = np.stack([np.interp(place, levels, column) for column in second.T], 1)
    scale = row[:, 0:3] * first[:, 0:3]
    return table(scale, row[:, 0:3] * first[:, 4:7] + row[:, 4:7])
