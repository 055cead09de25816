"""When a frame of a file is due, and whose work comes first."""

from __future__ import annotations

import os
import sys
import threading
import time
from contextlib import suppress

MOST_DROPPED = 10  # frames in a row that pacing may drop: a slow decoder must not starve the loop
NICENESS = 10  # of what may wait: it takes the time that the networks leave
PAUSE_S = 2.0  # nobody asked for so long: what was due meanwhile is not hurried through


class Clock:
    """Tells when a frame is due and whether it is too late to show it.

    At most `most_dropped` frames in a row are too late. The next one is shown,
    and time begins anew at it, as it does after a pause.
    """

    def __init__(self, fps: float, most_dropped: int = MOST_DROPPED) -> None:
        self._interval, self._most = 1.0 / fps, most_dropped
        self._start: float | None = None  # time.monotonic() at which the first frame was due
        self._asked = float("-inf")
        self._dropped = 0

    def wait_for(self, at: float) -> bool:
        """Sleeps until `at` seconds after the first call; False when that is long past."""
        now = time.monotonic()
        paused, self._asked = now - self._asked > PAUSE_S, now
        if self._start is None or paused:
            self._start = now - at
        early = self._start + at - now
        if early < -self._interval:
            if self._dropped < self._most:
                self._dropped += 1
                return False
            self._start = now - at
        self._dropped = 0
        if early > 0:
            time.sleep(early)
            self._asked += early
        return True


def step_back() -> None:
    """Lets other threads go before this one, where a single thread can be told to."""
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
