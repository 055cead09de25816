"""When a sink that keeps a rate may show its next frame."""

from __future__ import annotations

LEEWAY = 0.75  # of a frame's time: how much of the time lost to a late frame the next may win back
HEADROOM = 1.03  # a camera that says 30 and gives 30.5 is not held back


class Pace:
    """Lets `fps` frames a second through: on time at once, too early after a wait.

    A frame may follow a late one early, so that jitter costs neither delay nor
    frames; over a longer time there are never more than `fps` (and 3 %) a second.
    Times are seconds of one steady clock.
    """

    def __init__(self, fps: float) -> None:
        self._period = 1 / (fps * HEADROOM)
        self._due = float("-inf")

    def wait(self, now: float) -> float:
        """Seconds until the next frame may be shown; 0 at once."""
        return max(self._due - now, 0.0)

    def shown(self, now: float) -> None:
        self._due = max(self._due, now - LEEWAY * self._period) + self._period
