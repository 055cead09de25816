"""The parts in use, and the change to others between two frames.

One mechanism for every change: the GPU that has become ready, another preset.
Whoever prepares new parts hands them over from a thread of his own; the loop takes
them when it begins its next frame.
"""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from dataclasses import dataclass

from ..errors import EngineError
from ..types import Parts

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Change:
    """Parts that are to be used, and the line that says so.

    With `spare` those before them are kept, and take over again where these fail.
    """

    parts: Parts
    line: str
    spare: bool


class Switch:
    """A Supply whose parts may change. Owns all that it was given.

    `hand_over` may be called from any thread; all else is the loop's.
    """

    def __init__(self, parts: Parts) -> None:
        self.now = parts
        self._spare: Parts | None = None
        self._waiting: Change | None = None  # for the beginning of a frame
        self._closed = False
        self._lock = threading.Lock()  # of _waiting and _closed

    @property
    def newest(self) -> Parts:
        """Those that wait for the next frame, or those in use."""
        with self._lock:
            return self.now if self._waiting is None else self._waiting.parts

    def hand_over(self, change: Change) -> None:
        """For the next frame. What was waiting, or comes after the end, is closed unused."""
        with self._lock:
            refused, self._waiting = self._waiting, change
            if self._closed:
                refused, self._waiting = change, None
        if refused is not None:
            self._close(refused.parts)

    def current(self) -> Parts:
        """The parts for the frame that begins now."""
        change = self._take()
        if change is not None:
            before, self.now = self.now, change.parts
            if change.spare:
                self._spare = before
            else:
                self._close(before)
            log.info(change.line)
        return self.now

    def instead(self, error: Exception) -> Parts | None:
        """Back to the spare parts, for good; None where there are none."""
        if self._spare is None:
            return None
        log.info(f"back on the CPU: {error}")
        failed, self.now, self._spare = self.now, self._spare, None
        self.now.steadier.reset()  # what it remembers is long gone
        self._close(failed)
        return self.now

    def close(self) -> None:
        """Frees everything."""
        with self._lock:
            self._closed = True
        change = self._take()
        for parts in (change.parts if change else None, self.now, self._spare):
            if parts is not None:
                self._close(parts)
        self._spare = None

    def __enter__(self) -> Switch:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _take(self) -> Change | None:
        with self._lock:
            change, self._waiting = self._waiting, None
        return change

    def _close(self, parts: Parts) -> None:
        """Nothing depends on parts that are given up: their last complaint is not told."""
        with suppress(EngineError):
            parts.close()
