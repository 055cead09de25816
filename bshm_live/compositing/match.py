"""The person's colours taken towards the background's, so that both seem to be in one light.

After Reinhard et al. 2001, "Color transfer between images", in CIELAB, bounded so that skin
stays skin. The same for a live picture and for a still.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from .grade import LEVELS, SOLID, Colours, brightness, table

if TYPE_CHECKING:
    from ..types import Alpha, Grade

MATCH = 0.5  # of the way from the person's mean to the scene's, at full strength
SHIFT_MOST = np.array([12, 8, 8], np.float32)  # of L*, a*, b*: skin stays skin
SPREAD_LEAST, SPREAD_MOST = 0.85, 1.15  # of the standard deviation
SPREAD_SMALL = 1e-3  # a deviation that is nothing


@dataclass(frozen=True)
class Tone:
    """Mean and standard deviation (3,) of colours in CIELAB."""

    mean: NDArray[np.floating]
    deviation: NDArray[np.floating]


def lab(colours: Colours) -> Colours:
    """BGR (H, W, 3) in levels to CIELAB: L* in [0, 100]."""
    levels = np.clip(colours, 0, SOLID) * np.float32(1 / SOLID)
    return cv2.cvtColor(levels.astype(np.float32), cv2.COLOR_BGR2LAB)


def bgr(colours: Colours) -> Colours:
    """CIELAB (H, W, 3) to BGR in levels; what is not in sRGB is cut off."""
    made = cv2.cvtColor(colours.astype(np.float32), cv2.COLOR_LAB2BGR)
    return np.clip(made, 0, 1) * np.float32(SOLID)


def tone(seen: Colours, weight: Alpha | None = None) -> Tone:
    """Of colours (H, W, 3) in CIELAB; `weight` (H, W) is how much each counts."""
    if weight is None:
        return Tone(seen.mean((0, 1)), seen.std((0, 1)))
    share = weight[..., None] / max(float(weight.sum()), SPREAD_SMALL)
    mean = (share * seen).sum((0, 1))
    return Tone(mean, np.sqrt((share * np.square(seen - mean)).sum((0, 1))))


def towards(own: Colours, person: Tone, scene: Tone, strength: float = 1.0) -> Colours:
    """Colours in CIELAB with mean and spread taken from the person's towards the scene's.

    p + strength w ((g - 1) (p - m) + s): m is the person's mean, g the scene's deviation over
    the person's between SPREAD_LEAST and SPREAD_MOST, s MATCH of the way to the scene's mean,
    at most SHIFT_MOST. w = 4 u (1 - u), u = L* / 100: black stays black, white stays white.
    """
    ratio = scene.deviation / np.maximum(person.deviation, SPREAD_SMALL)
    gain = np.clip(ratio, SPREAD_LEAST, SPREAD_MOST)
    shift = np.clip(MATCH * (scene.mean - person.mean), -SHIFT_MOST, SHIFT_MOST)
    light = np.clip(own[..., :1] * np.float32(0.01), 0, 1)
    weight = 4 * light * (1 - light) * np.float32(strength)
    return (own + weight * ((gain - 1) * (own - person.mean) + shift)).astype(np.float32)


def matched(person: Colours, opacity: Alpha, scene: Colours) -> Colours:
    """A still's person (H, W, 3), each pixel by the formula; `opacity` (H, W) in [0, 1]."""
    own = lab(person)
    return bgr(towards(own, tone(own, opacity), tone(lab(scene))))


def match_grade(person: Tone, scene: Tone, strength: float) -> Grade:
    """The same as a table: exact for colours of the person's mean tint, at every brightness.

    Around them colours are spread as a* and b* are.
    """
    middle = bgr(person.mean[None, None].astype(np.float32))[0, 0]
    tint = (middle - brightness(middle)) * 4 * (LEVELS / SOLID) * (1 - LEVELS / SOLID)
    base = np.clip(LEVELS + tint, 0, SOLID).astype(np.float32)
    seen = lab(base[None])
    wide = seen + np.array([0, 1, 1], np.float32)  # how far a step of a* and b* goes
    made, step = (towards(colours, person, scene, strength) for colours in (seen, wide))
    scale = (step - made)[0, :, 1:].mean(-1, keepdims=True)
    # The difference alone: what goes to CIELAB and comes back is not quite the same.
    return table(scale, base + (bgr(made) - bgr(seen))[0] - scale * base)
