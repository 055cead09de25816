"""Values that follow what is measured, slowly: a hand that passes must not be seen in them."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

STEP_S = 0.1  # between two measurements
MEMORY_S = 2.0  # the median of so long is the goal: what lasts less than half of it is not seen
SETTLE_S = 0.7  # time constant of the way there
LATE_S = 1.0  # a frame that comes later moves the values no further


class Slow:
    """The median of the last seconds, followed by a first-order filter of limited speed.

    `rate` is the most that each value changes in a second. The first measurement counts at
    once: there was no picture before it. Times are the frames' own, in seconds.
    """

    def __init__(self, rate: Values) -> None:
        self._rate = rate
        self.reset()

    def reset(self) -> None:
        """The next measurement counts at once."""
        self._seen: deque[tuple[float, Values]] = deque()
        self._goal: Values | None = None
        self._value: Values | None = None
        self._time = self._due = float("-inf")

    def due(self, time: float) -> bool:
        """Whether it is time for a measurement; also where the clock was set back."""
        return not self._due - STEP_S <= time < self._due

    def see(self, time: float, measured: Values | None) -> None:
        """A measurement; None where there is nothing to measure: then all stays as it is."""
        self._due = time + STEP_S
        if measured is None:
            return
        if self._seen and not 0 <= time - self._seen[-1][0] <= MEMORY_S:
            self._seen.clear()  # of another time
        self._seen.append((time, measured))
        while time - self._seen[0][0] > MEMORY_S:
            self._seen.popleft()
        self._goal = np.median([values for _, values in self._seen], axis=0)

    def __call__(self, time: float) -> Values | None:
        """The values at that time; None before the first measurement."""
        if self._goal is None:
            return None
        if self._value is None:
            self._value = self._goal
        else:
            passed = min(max(time - self._time, 0.0), LATE_S)
            way = (self._goal - self._value) * -np.expm1(-passed / SETTLE_S)
            most = self._rate * passed
            self._value = self._value + np.clip(way, -most, most)
        self._time = time
        return self._value
