"""Light on the person: the face is brought to a good exposure and white balance, gently.

What is measured is the lit part of the face, the upper half of its brightness. What lies
within what well-lit portraits of people of every complexion have (measured on 900 of them) stays
as it is; what lies outside is taken towards the nearest edge of it. So a dark skin in good
light is left alone, and a face against a window is not.

Exposure: f(x) = g x / (1 + (g - 1) x) of a brightness x in [0, 1]. It keeps black and white,
never clips, and its slope is at most g in the shadows and 1 / g in the highlights, so that
noise is not raised by more than g. In the log-odds of x it is a shift by ln g.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .grade import LEVELS, SOLID, WEIGHTS, brightness, table

if TYPE_CHECKING:
    from ..types import Alpha, Grade, Picture

# The lit face of well-lit portraits, between their 5th and 95th percentile
BRIGHT_LEAST, BRIGHT_MOST = 130.0, 200.0  # levels
WARMTH_LEAST, WARMTH_MOST = 0.50, 0.78  # blue over red
GREEN_LEAST, GREEN_MOST = 0.86, 0.98  # green over the root of blue times red
GAIN_MOST = np.log(2.8)  # ln g, either way
TINT_MOST = np.log(1.06)  # of a channel
RATES = np.array([0.4, 0.03, 0.03, 60.0])  # a second: ln g, ln warmth, ln green, levels

# Where the face lies in a matte
SURE = 0.9  # alpha of what is measured
SOMEBODY = 0.006  # of the picture
HEAD_ASPECT = 1.4  # height of a head with its hair over the mean width of its rows
FACE_ROWS = (0.35, 0.9)  # of the head's height
FACE_COLUMNS = 0.3  # of its width, to each side of its middle
LEAST = 12  # pixels of a face that can be measured
EDGE = 1e-3  # of a brightness in [0, 1]: its log-odds have an end

# Noise: below DARK_MOST it is filtered, below DARK_LEAST in full
DARK_LEAST, DARK_MOST = 50.0, 90.0  # levels of the lit face

Values = NDArray[np.float64]


def face_of(alpha: Alpha, aspect: float = 1.0) -> tuple[slice, slice] | None:
    """Rows and columns of the face in a matte (h, w) in [0, 1]; None where there is nobody.

    The head is what lies below the matte's first row, as high as a head of its width.
    `aspect` is a pixel's width over its height.
    """
    solid = alpha > SURE
    counts = solid.sum(1)
    if counts.sum() < SOMEBODY * alpha.size:
        return None
    rows = np.flatnonzero(counts > counts.max() * 0.1)
    top, end = int(rows[0]), int(rows[-1]) + 1
    tall = np.arange(1, end - top + 1)
    width = np.cumsum(counts[top:end]) / tall * aspect
    high = np.flatnonzero(tall >= HEAD_ASPECT * width)
    height = int(tall[high[0]]) if len(high) else end - top
    across = np.median(np.nonzero(solid[top : top + height])[1])
    reach = max(1.0, FACE_COLUMNS * height / HEAD_ASPECT / aspect)
    first, last = (top + round(share * height) for share in FACE_ROWS)
    return slice(first, max(last, first + 1)), slice(
        max(0, round(across - reach)), round(across + reach) + 1
    )


def measured(colours: Picture, alpha: Alpha, aspect: float = 1.0) -> Values | None:
    """What the light lacks: ln g, ln of warmth and of green; and the lit face's brightness.

    colours (h, w, 3) are the picture on the matte's grid. None where no face can be measured.
    """
    place = face_of(alpha, aspect)
    if place is None:
        return None
    face = colours[place][alpha[place] > SURE].astype(np.float32)
    if len(face) < LEAST:
        return None
    bright = brightness(face)
    middle, most = np.quantile(bright, (0.5, 0.9))
    blue, green, red = face[(bright >= middle) & (bright <= most)].mean(0).astype(float) + 1.0
    lit = float(WEIGHTS @ (blue, green, red))
    exposure = log_odds(np.clip(lit, BRIGHT_LEAST, BRIGHT_MOST)) - log_odds(lit)
    warmth = lacks(blue / red, WARMTH_LEAST, WARMTH_MOST)
    tint = lacks(green / np.sqrt(blue * red), GREEN_LEAST, GREEN_MOST)
    return np.array([np.clip(exposure, -GAIN_MOST, GAIN_MOST), warmth, tint, lit])


def log_odds(level: float) -> float:
    x = np.clip(level / SOLID, EDGE, 1 - EDGE)
    return float(np.log(x / (1 - x)))


def lacks(ratio: float, least: float, most: float) -> float:
    """The logarithm of what takes a ratio into its range, twice TINT_MOST at most."""
    return float(
        np.clip(np.log(np.clip(ratio, least, most) / ratio), -2 * TINT_MOST, 2 * TINT_MOST)
    )


def curve(gain: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """f at every level, in levels, and the scale of colours around it, both (256, 1).

    In the shadows colours keep their saturation (f / x), in the highlights they keep to
    the curve's own slope, so that none leaves its range.
    """
    x = np.maximum(LEVELS, 0.5) / np.float32(SOLID)
    below = 1 + (gain - 1) * x
    ratio, slope = gain / below, gain / below**2
    scale = slope + (ratio - slope) * (1 - x) ** 2
    return (LEVELS * ratio).astype(np.float32), scale.astype(np.float32)


def light_grade(values: Values, strength: float) -> Grade:
    """The grade of `measured` values, `strength` in [0, 1] of the way.

    Warmth changes blue against red, green against both; white keeps its colour.
    """
    exposure, warmth, green = strength * values[:3]
    made, scale = curve(float(np.exp(exposure)))
    logs = np.array([warmth / 2 - green / 3, 2 * green / 3, -warmth / 2 - green / 3])
    logs = np.clip(logs, -TINT_MOST, TINT_MOST)
    tint = 1 + np.expm1(logs - WEIGHTS @ logs) * (1 - (made / SOLID) ** 4)
    tint = tint.astype(np.float32)
    return table(tint * scale, tint * (made - scale * LEVELS))


def darkness(values: Values) -> float:
    """How much the noise is to be filtered, in [0, 1]."""
    return float(np.clip((DARK_MOST - values[3]) / (DARK_MOST - DARK_LEAST), 0, 1))
