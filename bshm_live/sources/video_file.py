"""A video file as a source: every frame, in order, upright and at its own time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import av

from ..errors import SourceError
from ..files import path_of, why_unreadable
from ..types import Frame, Size
from .animation import Animation, is_animation
from .clock import MOST_DROPPED, Clock
from .container import is_sequence, is_stdin, rescue, shown
from .film import Film
from .orientation import UPRIGHT, Orientation
from .to_bgr import Pictures

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

    from ..types import Mask8, Picture


class VideoFile:
    """Frames of one video: BGR uint8 (H, W, 3), all of the first one's size, made even.

    `path` is a file, `-` for what comes in by a pipe (once), or a name with the place
    of a number in it, as in frame-%04d.png, for pictures at 25 frames/s.

    `time` is presentation time minus the first frame's, never decreasing;
    `index` counts the file's frames. With `pace` frames come at their own time
    and late ones are dropped (a gap in `index`), at most `most_dropped` in a row;
    with `loop` the file begins anew at its end, and time and index go on. `turn`
    is applied after the file's own orientation. With `cover` larger pictures are
    shrunk until they just fill that size. Raises SourceError.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        pace: bool = False,
        loop: bool = False,
        turn: Orientation = UPRIGHT,
        cover: Size | None = None,
        most_dropped: int = MOST_DROPPED,
    ) -> None:
        self.path = path_of(path) if isinstance(path, str) else path
        self._pace, self._loop, self._most_dropped = pace, loop, most_dropped
        self._closed = False
        film = self._open()
        self._fps, self._count = film.fps, film.count
        self._length: float | None = None  # seconds of one pass, once there was one
        self._begun: Iterator[tuple[VideoFrame, float]] | None
        first, self._begun = _ahead(self._play(film))
        self._pictures = Pictures(first, film.aspect, turn=turn, cover=cover)
        width, height = self.size
        if width < 2 or height < 2:
            raise SourceError(f"{self.path} is {width}x{height}: too small; try another file")

    @property
    def size(self) -> Size:
        """(width, height) as shown: upright, with square pixels, cropped to even."""
        return self._pictures.size

    @property
    def fps(self) -> float:
        """Average frames per second."""
        return self._fps

    @property
    def count(self) -> int | None:
        """Frames in the file by its own word; None where it does not say, or loops."""
        return None if self._loop else self._count

    @property
    def length(self) -> float | None:
        """Seconds from the first frame to the end of the last; None before the end was seen."""
        return self._length

    def describe(self) -> str:
        width, height = self.size
        return f"video {shown(self.path)}: {width}x{height}, {self._fps:.4g} frames/s"

    def __iter__(self) -> Iterator[Frame]:
        clock = Clock(self._fps, self._most_dropped) if self._pace else None
        index, begin = 0, 0.0
        while True:
            for frame, at in self._pass():
                if self._closed:
                    return
                if clock is None or clock.wait_for(begin + at):
                    image, alpha = self._picture(frame)
                    yield Frame(image, index, begin + at, alpha=alpha)
                index += 1
            if not self._loop or self._closed or self._length is None:
                return
            begin += self._length

    def close(self) -> None:
        """Ends the iteration at its next frame."""
        self._closed = True
        self._begun = None

    def _open(self) -> Film | Animation:
        if is_stdin(self.path) or is_sequence(self.path):
            return Film(self.path)
        if why := why_unreadable(self.path):
            raise SourceError(why)
        try:
            return Animation(self.path) if is_animation(self.path) else Film(self.path)
        except OSError as error:  # it went away in the meantime
            raise SourceError(f"{self.path}: {error.strerror}; check the path") from error

    def _pass(self) -> Iterator[tuple[VideoFrame, float]]:
        """One pass over the file: the one that is begun, or a new one."""
        begun, self._begun = self._begun, None
        if begun is None and is_stdin(self.path):
            raise SourceError("standard input can be read only once; save it to a file first")
        return self._play(self._open()) if begun is None else begun

    def _play(self, film: Film | Animation) -> Iterator[tuple[VideoFrame, float]]:
        with closing(film):
            at = 0.0
            for frame, at in film.frames():
                yield frame, at
            # Where the file does not say how long its last frame is shown: as long as most.
            known = film.length is not None and film.length > at
            self._length = film.length if known else at + 1.0 / self._fps

    def _picture(self, frame: VideoFrame) -> tuple[Picture, Mask8 | None]:
        try:
            return self._pictures(frame)
        except av.FFmpegError as error:
            raise SourceError(
                f"{self.path} has pictures that cannot be shown ({error.strerror}); "
                f"{rescue(self.path)}"
            ) from error


def _ahead(
    frames: Iterator[tuple[VideoFrame, float]],
) -> tuple[VideoFrame, Iterator[tuple[VideoFrame, float]]]:
    """The first frame, and all of them."""
    first = next(frames)
    return first[0], chain([first], frames)


def demo_clip() -> Path:
    """The clip that comes with the package. Raises SourceError when it is not there."""
    clip = Path(__file__).parents[1] / "assets" / "demo.mp4"
    if not clip.is_file():
        raise SourceError(f"the demo clip {clip} is missing; install bshm-live again")
    return clip
