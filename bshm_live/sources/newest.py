"""The newest of what a camera's thread delivers, for a loop that may be slower."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from ..errors import SourceError

SLICE_S = 0.25  # waiting is done in such slices, and between them we ask whether to give up
News = TypeVar("News")


class Newest(Generic[News]):
    """One place, in which the thread puts each in turn; the loop takes the last one, once.

    While the loop waits, `give_up` is asked four times a second.
    """

    def __init__(self, give_up: Callable[[], bool]) -> None:
        self._give_up = give_up
        self._changed = threading.Condition()
        self._slot: News | None = None
        self._failure: str | None = None
        self.closed = False

    def put(self, news: News) -> None:
        with self._changed:
            self._slot = news
            self._changed.notify_all()

    def put_back(self, news: News) -> None:
        """What was taken, unless something newer has come."""
        with self._changed:
            self._slot = self._slot or news

    def drop(self, is_stale: Callable[[News], bool]) -> None:
        with self._changed:
            if self._slot is not None and is_stale(self._slot):
                self._slot = None

    def fail(self, text: str) -> None:
        """Nothing comes any more: `take` raises SourceError with this text."""
        with self._changed:
            self._failure = text
            self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self.closed = True
            self._changed.notify_all()

    def take(self, patience: float, silent: str) -> News | None:
        """One not seen before; None once closed or given up.

        Raises SourceError with `silent` after `patience` seconds. Silence is counted in
        slices: a program that was stopped itself, or a machine that slept, must not blame
        the camera.
        """
        with self._changed:
            for _ in range(max(1, round(patience / SLICE_S))):
                self._changed.wait_for(
                    lambda: self._slot or self._failure or self.closed, timeout=SLICE_S
                )
                if self.closed or self._give_up():
                    return None
                if self._slot is not None:
                    news, self._slot = self._slot, None
                    return news
                if self._failure is not None:
                    raise SourceError(self._failure)
        raise SourceError(silent)
