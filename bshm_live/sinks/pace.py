"""When a camera may show a picture, and when it has to: seconds of one steady clock."""

from __future__ import annotations

LEEWAY = 0.75  # of a frame's time: how much of the time lost to a late frame the next may win back
PATIENCE = 2  # frames' times that a new picture has to come before the last is repeated
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


class Beat:
    """When the last picture is to be shown again: new and old ones together are `fps` a second.

    A new one may come a frame's time late before that happens, and what frames lose
    or win by coming late or early is counted up. Times are as in Pace.
    """

    def __init__(self, fps: float) -> None:
        self._period = 1 / fps
        self._due = float("-inf")

    def wait(self, now: float) -> float:
        """Seconds until the last picture is due again."""
        return max(self._due - now, 0.0)

    def shown(self, now: float) -> None:
        """A picture was shown, new or not."""
        soonest, latest = now + self._period, now + PATIENCE * self._period
        self._due = min(max(self._due + self._period, soonest), latest)
