"""A still is looked at both as it is and mirrored; what both ways see counts.

    coarse masks of both ▸ their mean is the hint ▸ mattes of both ▸ their mean

Networks know people better from one side than from the other. A mirrored picture is as
likely, so that the mean of both answers is wrong less often than either, and the same
whichever way round the picture is (as in Krizhevsky et al., NIPS 2012, for classes).
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ..types import Alpha, HostMatte, Picture
from .bshm import Bshm

Number = TypeVar("Number", bound=np.generic)


def matte_both_ways(networks: Bshm, picture: Picture, hint: Alpha | None = None) -> HostMatte:
    """The matte of one BGR picture (H, W, 3); a `hint` (any size, [0, 1]) says who is meant.

    Raises EngineError.
    """
    other = mirrored(picture)
    if hint is None:
        hint = mean(networks.coarse(picture), mirrored(networks.coarse(other)))
    one, two = networks.matte(picture, hint), networks.matte(other, mirrored(hint))
    return HostMatte(
        mean(one.alpha, mirrored(two.alpha)),
        mean(one.residual, mirrored(two.residual)),
        mean(one.unified, mirrored(two.unified)),
        mean(one.coarse, mirrored(two.coarse)),
        one.guide,
    )


def mirrored(image: NDArray[Number]) -> NDArray[Number]:
    """A copy with left and right exchanged."""
    return image[:, ::-1].copy()


def mean(one: Alpha, two: Alpha) -> Alpha:
    return (one + two) * np.float32(0.5)
