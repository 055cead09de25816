"""Errors of a matte, in the units of Robust Video Matting's tables (Lin et al., WACV 2022).

MAD and MSE over all pixels, x1e3; Grad and Conn of Rhemann et al. (CVPR 2009)
summed over pixels, /1e3 per frame; dtSSD, the error of the change from frame to
frame, x1e2. Every alpha is float32 (H, W) in [0, 1].
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from bshm_live.types import Alpha

METRICS = ("MAD", "MSE", "Grad", "Conn", "dtSSD")
SIGMA = 1.4  # of the Gaussian derivatives, in pixels
CONN_STEPS = 10  # thresholds 0.1, 0.2 .. 1
CONN_THETA = 0.15  # a smaller distance from the connected level is no fault


class Scores:
    """The errors of one network, frame by frame, on all clips."""

    def __init__(self) -> None:
        self.values: dict[str, list[float]] = {metric: [] for metric in METRICS}
        self.mad_of: dict[str, list[float]] = {}  # clip: of each frame

    def start(self, clip: str) -> None:
        """The frames that follow are this clip's, from its first on."""
        self._last: tuple[Alpha, Alpha] | None = None
        self._mads = self.mad_of.setdefault(clip, [])

    def add(self, alpha: Alpha, truth: Alpha) -> None:
        self._mads.append(mad(alpha, truth))
        self.values["MAD"].append(self._mads[-1])
        self.values["MSE"].append(mse(alpha, truth))
        self.values["Grad"].append(gradient_error(alpha, truth))
        self.values["Conn"].append(connectivity_error(alpha, truth))
        if self._last is not None:
            self.values["dtSSD"].append(change_error((alpha, truth), self._last))
        self._last = (alpha, truth)

    def mean(self, metric: str) -> float:
        """Over all frames; NaN where no clip has a second frame to measure change by."""
        return float(np.mean(self.values[metric])) if self.values[metric] else float("nan")


def mad(alpha: Alpha, truth: Alpha) -> float:
    return float(np.abs(alpha - truth).mean() * 1e3)


def mse(alpha: Alpha, truth: Alpha) -> float:
    return float(np.square(alpha - truth).mean() * 1e3)


def gradient_error(alpha: Alpha, truth: Alpha) -> float:
    """The squared difference of gradient magnitudes."""
    return float(np.square(gradient(alpha) - gradient(truth)).sum() / 1e3)


def gradient(alpha: Alpha) -> NDArray[np.float32]:
    """Gradient magnitude with Gaussian derivatives, kernels of L2 norm 1."""
    radius = int(np.ceil(3 * SIGMA))
    x = np.arange(-radius, radius + 1, dtype=np.float64)
    smooth = np.exp(-(x**2) / (2 * SIGMA**2))
    slope = x * smooth
    smooth, slope = (kernel / np.sqrt((kernel**2).sum()) for kernel in (smooth, slope))
    along = cv2.sepFilter2D(alpha, cv2.CV_32F, slope, smooth)
    down = cv2.sepFilter2D(alpha, cv2.CV_32F, smooth, slope)
    return np.sqrt(along**2 + down**2)


def connectivity_error(alpha: Alpha, truth: Alpha) -> float:
    """How differently both hang on to the largest region that they have in common.

    phi = 1 - d [d >= 0.15] of each, d the distance from the level up to which a
    pixel belongs to that region; the sum of |phi(alpha) - phi(truth)|.
    """
    level = connected_level(np.minimum(alpha, truth))
    one, other = loose(alpha, level), loose(truth, level)
    return float(np.abs(one - other).sum() / 1e3)


def connected_level(common: Alpha) -> NDArray[np.float32]:
    """Per pixel the last threshold before it first drops out of the largest region.

    `common` is the smaller of both alphas; 1 where a pixel never drops out.
    """
    steps = np.zeros(common.shape, np.uint8)
    inside = np.ones(common.shape, bool)
    for step in range(1, CONN_STEPS + 1):
        # A float32 threshold: levels such as 51 of 255 lie exactly on it.
        inside &= largest_region(common >= np.float32(step / CONN_STEPS))
        steps += inside
    return np.divide(steps, np.float32(CONN_STEPS), dtype=np.float32)


def largest_region(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The largest 4-connected region of a mask; an empty mask has none."""
    count, labels, facts, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=4)
    if count < 2:  # label 0 is what is outside
        return np.zeros_like(mask)
    return labels == 1 + int(np.argmax(facts[1:, cv2.CC_STAT_AREA]))


def loose(alpha: Alpha, level: NDArray[np.float32]) -> NDArray[np.float32]:
    """1 - phi: how far alpha rises above its connected level, small distances left out."""
    distance = alpha - level
    return np.where(distance >= CONN_THETA, distance, np.float32(0))


def change_error(now: tuple[Alpha, Alpha], last: tuple[Alpha, Alpha]) -> float:
    """dtSSD of two frames, each (alpha, truth)."""
    change = (now[0] - last[0]) - (now[1] - last[1])
    return float(np.sqrt(np.square(change).mean()) * 1e2)
