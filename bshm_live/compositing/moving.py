"""Videos as backgrounds: in step with a file's frames, or beside a live loop."""

from __future__ import annotations

import logging
import math
import threading
import time
from pathlib import Path

from ..errors import SourceError
from ..sources.clock import step_back
from ..sources.video_file import VideoFile
from ..types import Frame, Matte, Picture, Size
from .fit import cover, over

CLOCK_SLACK_S = 0.0015  # two files that each round a frame's time to a millisecond
MOST_DROPPED = 2  # frames in a row, where decoding is slower than the video: then it plays slower
REST_S = 1.0  # nobody asks for so long: nothing is decoded
LOOK_S = 0.05  # how often it is looked whether somebody asks again
END_S = 1.0  # how long the end of a background waits for its decoder

_log = logging.getLogger(__name__)


class InStep:
    """A video that starts again at its end; each frame's own time says which picture it gets.

    Raises SourceError, at the start and when it cannot be read any more.
    """

    def __init__(self, path: Path, size: Size) -> None:
        self._size = size
        self._video = VideoFile(path, loop=True, cover=size)
        self._frames = iter(self._video)
        self._shift = 0.0  # seconds that whole rounds were left out
        self._next = next(self._frames)
        self._picture = _shown(self._next, size)

    def __call__(self, frame: Frame, matte: Matte | None) -> Picture:
        due = frame.time + CLOCK_SLACK_S
        now: Frame | None = None
        self._skip(due)
        while self._next.time + self._shift <= due:
            now, self._next = self._next, next(self._frames)
            self._skip(due)  # rounds may be shorter than a frame, by a broken file's word
        if now is not None:
            self._picture = _shown(now, self._size)
        return self._picture

    def _skip(self, due: float) -> None:
        """Leaves out the whole rounds up to then, once it is known how long one is."""
        if self._video.length is not None:
            rounds = math.floor((due - self._next.time - self._shift) / self._video.length)
            self._shift += max(0, rounds) * self._video.length

    def close(self) -> None:
        self._video.close()


class Beside:
    """A video that plays by itself, in a thread of its own: the loop never waits for it.

    It drops frames of its own where there is no time for them, and rests while
    nobody asks. When it cannot be read any more, its last picture stays and a line
    is logged. Raises SourceError at the start only.
    """

    def __init__(self, path: Path, size: Size) -> None:
        self._path, self._size = path, size
        begin = VideoFile(path, cover=size)
        self._picture = _shown(next(iter(begin)), size)
        begin.close()
        self._asked = time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._play, name="background", daemon=True)
        self._thread.start()

    def __call__(self, frame: Frame, matte: Matte | None) -> Picture:
        self._asked = time.monotonic()
        return self._picture

    def close(self) -> None:
        """Ends the thread."""
        self._ended.set()
        self._thread.join(END_S)

    def _play(self) -> None:
        step_back()
        try:
            video = VideoFile(
                self._path, pace=True, loop=True, cover=self._size, most_dropped=MOST_DROPPED
            )
            for frame in video:
                self._picture = _shown(frame, self._size)
                while time.monotonic() - self._asked > REST_S and not self._ended.wait(LOOK_S):
                    pass
                if self._ended.is_set():
                    return
        except SourceError as error:
            _log.warning("the background stands still: %s", error)


def _shown(frame: Frame, size: Size) -> Picture:
    return cover(over(frame.image, frame.alpha), size)
