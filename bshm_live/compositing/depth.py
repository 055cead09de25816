"""A lens's blur: it grows with the distance, and highlights become discs.

The floor runs away from the person: what is further up in the picture than where the person
stands, or is cut off below, is further away, and the more out of focus. Each place of the
blurred room is the mean over a disc of its own radius of the room's colours to the fourth
power (linear light, and highlights more), weighted by what is room: nothing of the person
bleeds into it. The fourth root of that is shown, so that plain walls stay as they are.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..kernels.call import Disc, address, run
from ..types import Alpha, Size
from .slow import Slow

FAR = 1.8  # times the blur at the person's feet, at the far end
RISE = 0.6  # of the picture's height from the feet up to the far end
DISC = 2.0  # radius of the disc that spreads as far as a Gaussian of sigma 1
LARGEST = 7.0  # places of a disc's radius: the map is so coarse that its cost does not grow
SOMEBODY = 0.5  # of alpha
LINE_RATE = np.array([0.3])  # of the height, a second


def grid_of(sigma: float) -> float:
    """How much smaller a map must be for discs as wide as a Gaussian of `sigma` pixels."""
    return FAR * DISC * sigma / LARGEST


class Depth:
    """Blurs maps of one size (width, height); `sigma` is a Gaussian's as wide as the least disc."""

    def __init__(self, size: Size, sigma: float) -> None:
        width, height = size
        self._size, self._least = size, DISC * sigma
        self._rows = (np.arange(height) + 0.5) / height
        self._line = Slow(LINE_RATE)
        self._sums = np.empty((height, width + 1, 4), np.float32)
        self._out = np.empty((height, width, 4), np.float32)

    def __call__(self, seen: NDArray[np.float32], alpha: Alpha, time: float) -> NDArray[np.float32]:
        """The means of `seen` (h, w, 4) over discs; `alpha` (h, w) is of the same frame."""
        width, height = self._size
        if self._line.due(time):
            self._line.see(time, lowest(alpha))
        line = self._line(time)
        radii = self.radii(1.0 if line is None else float(line[0]))
        arguments = Disc(
            seen=address(seen, (height, width, 4), np.float32),
            radii=address(radii, (height,), np.float32),
            sums=self._sums.ctypes.data,
            out=self._out.ctypes.data,
            w=width,
            h=height,
        )
        run("disc_sums", arguments, height)
        run("disc", arguments, height)
        return self._out

    def radii(self, line: float) -> NDArray[np.float32]:
        """Of each row, in places, for feet at `line` of the height."""
        far = np.clip((line - self._rows) / RISE, 0, 1)
        return (self._least * (1 + (FAR - 1) * far)).astype(np.float32)


def lowest(alpha: Alpha) -> NDArray[np.float64] | None:
    """The person's lowest row as a share of the height, (1,); None where there is nobody."""
    rows = np.flatnonzero((alpha > SOMEBODY).any(1))
    return np.array([(rows[-1] + 1) / len(alpha)]) if len(rows) else None
