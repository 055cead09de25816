"""Which preset a machine keeps up with, measured all the time: down soon, up after a long calm."""

from __future__ import annotations

from collections import deque

from ..settings import PRESETS

BUSY = 0.8  # of a frame's time: above it the next frame is late as soon as anything comes between
CALM = 0.5  # of a frame's time, as the better preset is expected to take
STEP_COST = 1.8  # a better preset takes at most so many times as long: networks and all around them
WINDOW_S = 4.0  # of frames that decide
CALM_S = 60.0  # in which a better preset would have been calm, before it is tried
BACK_OFF = 2.0  # the calm that is asked for grows by so much after each better preset that failed
PAUSE_S = 10.0  # between two changes, at least


class Adapter:
    """Told of every frame; says when another preset fits better.

    Times are seconds of one steady clock. `most` is the best preset that may be chosen.
    """

    def __init__(self, preset: str, now: float, most: str = PRESETS[-1]) -> None:
        self.preset, self._most = preset, PRESETS.index(most) if most in PRESETS else 0
        self._frames: deque[tuple[float, float]] = deque()  # when, and its share of a frame's time
        self._sum = 0.0
        self._changed_at = self._calm_since = now
        self._calm_s = CALM_S
        self._stepped_up = False

    def __call__(self, busy_s: float, period_s: float, now: float) -> str | None:
        """A frame that took `busy_s` of its `period_s` is done; a preset to change to, or None."""
        self._note(busy_s / period_s, now)
        if self.preset not in PRESETS or now - self._changed_at < PAUSE_S:
            return None
        share = self._sum / len(self._frames)
        if share * STEP_COST >= CALM:
            self._calm_since = now
        rank = PRESETS.index(self.preset)
        if share > BUSY and rank > 0:
            if self._stepped_up:
                self._calm_s *= BACK_OFF
            return self._change(rank - 1, now)
        if now - self._calm_since >= self._calm_s and rank < self._most:
            return self._change(rank + 1, now)
        return None

    def _note(self, share: float, now: float) -> None:
        self._frames.append((now, share))
        self._sum += share
        while now - self._frames[0][0] > WINDOW_S:
            self._sum -= self._frames.popleft()[1]

    def _change(self, rank: int, now: float) -> str:
        self._stepped_up = rank > PRESETS.index(self.preset)
        self.preset = PRESETS[rank]
        self._changed_at = self._calm_since = now
        self._frames.clear()
        self._sum = 0.0
        return self.preset
