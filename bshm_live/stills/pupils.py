"""Where a face's irises are, near the eyes that the head finder gives.

The finder knows how faces look and draws two eyes where they usually are; how level they
are in this face the irises say. An iris is a dark disc: at its middle the directions from
which the brightness rises meet (Timm and Barth, "Accurate Eye Centre Localisation by Means of
Gradients", 2011).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from ..matting.head import GREY, Head, Points
from ..matting.warp import Matrix, mapped, sampled
from ..types import Picture, Size

APART = 56.0  # pixels from eye to eye in what is looked at
LOOKED_AT: Size = (160, 112)  # pixels
REACH = (
    0.26,
    0.2,
)  # of APART: how far to the side and up an iris may be from where the finder has it
RIM = 0.16  # of APART: edges further from an iris's middle are not its own
STRONG = 0.3  # deviations above the mean: an edge
BEST = 0.9  # of the best place's score: the middle is their mean
Floats = NDArray[np.float32]


def pupils(picture: Picture, head: Head) -> Points:
    """The middles (2, 2) of the left and the right iris, as seen, in pixels of a BGR picture."""
    matrix = eyes_upright(head)
    face = sampled(picture, matrix, LOOKED_AT, border=GREY, method=cv2.INTER_LINEAR)
    grey = cv2.GaussianBlur(cv2.cvtColor(face, cv2.COLOR_BGR2GRAY).astype(np.float32), (0, 0), 1.0)
    slope = np.stack([cv2.Sobel(grey, cv2.CV_32F, *way) for way in ((1, 0), (0, 1))], -1)
    found = [iris(grey, slope, eye) for eye in mapped(head.eyes, matrix)]
    middles: Points = mapped(np.array(found) + 0.5, cv2.invertAffineTransform(matrix))
    return middles.astype(np.float32)


def eyes_upright(head: Head) -> Matrix:
    """The eyes level and APART from each other, in the middle of what is looked at."""
    along = (head.eyes[1] - head.eyes[0]).astype(np.float64)
    cos, sin = along * APART / max(float(along @ along), 1e-6)
    rotation = np.array([[cos, sin], [-sin, cos]])
    return np.column_stack((rotation, np.array(LOOKED_AT) / 2 - rotation @ head.eyes.mean(0)))


def iris(grey: Floats, slope: Floats, eye: Points) -> NDArray[np.float64]:
    """The middle x, y of the iris near `eye`, in pixels' centres; `slope` (H, W, 2) is grey's."""
    reach = np.array(REACH) * APART
    low, high = np.floor(eye - reach).astype(int), np.ceil(eye + reach).astype(int)
    around = np.s_[low[1] : high[1], low[0] : high[0]]
    y, x = np.mgrid[around]
    slope = slope[around]
    steep = np.linalg.norm(slope, axis=-1)
    edge = steep > steep.mean() + STRONG * steep.std()
    edges, rise = np.stack((x[edge], y[edge]), -1), slope[edge] / steep[edge][:, None]
    places = np.stack((x.ravel(), y.ravel()), -1)
    ways = edges - places[:, None]
    far = np.linalg.norm(ways, axis=-1)
    outwards = np.maximum((ways * rise).sum(-1) / np.maximum(far, 1e-6), 0) ** 2
    score = (outwards * (far < RIM * APART)).sum(1) * (255 - grey[around].ravel())
    score *= np.exp(-0.5 * (((places - eye) / reach) ** 2).sum(1))
    score = cv2.GaussianBlur(score.reshape(x.shape), (0, 0), 1.0).ravel()
    best = np.where(score > BEST * score.max(), score, 0)
    if not best.any():  # no edges at all
        return eye.astype(np.float64)
    middle: NDArray[np.float64] = best @ places / best.sum()
    return middle
