"""A video file as a source: every frame, in order, upright and at its own time."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import av
import cv2
import numpy as np
from av.stream import Disposition

from ..errors import SourceError
from ..files import path_of, why_unreadable
from ..types import Frame, Size

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

    from ..types import Picture

MOST_THREADS = 4  # the networks need the cores more than the decoder does
MOST_DROPPED = 10  # frames in a row that pacing may drop: a slow decoder must not starve the loop
FPS_UNKNOWN = 25.0  # frames per second where the file does not say

# Degrees counterclockwise in the file to what turns the picture upright.
TURNS = {
    90: cv2.ROTATE_90_COUNTERCLOCKWISE,
    180: cv2.ROTATE_180,
    270: cv2.ROTATE_90_CLOCKWISE,
}
NOT_VIDEO = ("image2", "_pipe", "tty", "subviewer", "srt")
MP4_BOXES = frozenset(
    b"ftyp styp moov moof mdat sidx mfra free skip wide uuid meta pnot emsg prft".split()
)


class VideoFile:
    """Frames of one video: BGR uint8 (H, W, 3), all of the first one's size, made even.

    `time` is presentation time minus the first frame's, never decreasing;
    `index` counts the file's frames. With `pace` frames come at their own time
    and late ones are dropped (a gap in `index`); with `loop` the file begins
    anew at its end, and time and index go on. Raises SourceError.
    """

    def __init__(self, path: Path | str, *, pace: bool = False, loop: bool = False) -> None:
        self.path = path_of(path) if isinstance(path, str) else path
        self._pace, self._loop = pace, loop
        self._closed = False
        if why := why_unreadable(self.path):
            raise SourceError(why)
        with self._open() as container:
            stream = self._stream(container)
            rate = stream.average_rate or stream.guessed_rate
            self._fps = float(rate) if rate else FPS_UNKNOWN
            self._count = stream.frames or None
            self._duration = _duration(container, stream)
            self._check_complete(container, stream)
        self._size = self._first_size()

    @property
    def size(self) -> Size:
        """(width, height) as shown: after rotation, cropped to even."""
        return self._size

    @property
    def fps(self) -> float:
        """Average frames per second."""
        return self._fps

    @property
    def count(self) -> int | None:
        """Frames in the file by its own word; None where it does not say, or loops."""
        return None if self._loop else self._count

    @property
    def duration(self) -> float | None:
        """Seconds by the file's own word; None where it does not say, or loops."""
        return None if self._loop else self._duration

    def describe(self) -> str:
        width, height = self._size
        return f"video {self.path}: {width}x{height}, {self._fps:.4g} frames/s"

    def __iter__(self) -> Iterator[Frame]:
        clock = _Clock(self._fps) if self._pace else None
        index, begin, last = 0, 0.0, 0.0
        while True:
            for frame, at in self._play():
                if self._closed:
                    return
                last = begin + at
                if clock is None or clock.wait_for(last):
                    yield Frame(self._picture(frame), index, last)
                index += 1
            if not self._loop or self._closed:
                return
            begin = last + 1.0 / self._fps

    def close(self) -> None:
        """Ends the iteration at its next frame."""
        self._closed = True

    def _play(self) -> Iterator[tuple[VideoFrame, float]]:
        """One pass over the file: decoded frame and seconds since the first."""
        first: float | None = None
        last = 0.0
        with self._open() as container:
            stream = self._stream(container)
            try:
                for index, frame in enumerate(container.decode(stream)):
                    at = index / self._fps if frame.pts is None else float(frame.time)
                    first = at if first is None else first
                    last = max(last, at - first)
                    yield frame, last
            except av.FFmpegError as error:
                raise SourceError(
                    f"{self.path} is damaged at {last:.2f} s ({error.strerror}); {self._rescue()}"
                ) from error
        if first is None:
            raise SourceError(f"{self.path} has no picture that can be decoded; try another file")

    def _picture(self, frame: VideoFrame) -> Picture:
        """The upright BGR picture of `size`, C-contiguous."""
        image = _upright(frame)
        width, height = self._size
        if image.shape[1] // 2 * 2 != width or image.shape[0] // 2 * 2 != height:
            # The size changed in mid-file; everything behind us keeps the first one.
            resized = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
            return np.asarray(resized, np.uint8)
        return np.ascontiguousarray(image[:height, :width])

    def _first_size(self) -> Size:
        frames = self._play()
        frame, _ = next(frames)
        frames.close()  # type: ignore[attr-defined]  # a generator: closes the file now
        height, width = _upright(frame).shape[:2]
        if width < 2 or height < 2:
            raise SourceError(f"{self.path} is {width}x{height}: too small; try another file")
        return width // 2 * 2, height // 2 * 2

    def _open(self) -> InputContainer:
        try:
            # 'file:' keeps a colon in the name from being read as a protocol.
            container = av.open(f"file:{self.path.absolute()}", metadata_errors="replace")
        except av.FFmpegError as error:
            raise SourceError(self._unreadable(error)) from error
        if any(word in container.format.name for word in NOT_VIDEO):
            container.close()
            raise SourceError(
                f"{self.path} is not a video; give an MP4, MKV, MOV or WebM file "
                "(for pictures there is: bshm-live image -i)"
            )
        return container

    def _unreadable(self, error: av.FFmpegError) -> str:
        declared, size = declared_bytes(self.path), self.path.stat().st_size
        if declared is not None and declared > size:
            return (
                f"{self.path} is cut short: it breaks off before its first picture "
                f"({size} of {declared} bytes are there); copy it again"
            )
        return (
            f"{self.path} is not a video that can be read ({error.strerror}); "
            "give an MP4, MKV, MOV or WebM file"
        )

    def _stream(self, container: InputContainer) -> VideoStream:
        """The film itself, not the cover picture of a song."""
        for stream in container.streams.video:
            if Disposition.attached_pic not in stream.disposition:
                stream.thread_type = "AUTO"
                stream.thread_count = min(MOST_THREADS, os.cpu_count() or 1)
                return stream
        raise SourceError(f"{self.path} has no video stream, only sound; try another file")

    def _check_complete(self, container: InputContainer, stream: VideoStream) -> None:
        """Finds a file that was cut short now, not after an hour's work.

        The decoder would not tell: it takes the cut for the end.
        """
        declared, size = declared_bytes(self.path), self.path.stat().st_size
        if declared is None or declared <= size:
            return
        count, end = _packets(container, stream)
        if self._count is not None and count >= self._count:
            return
        of = f" of {self._duration:.2f} s" if self._duration else ""
        raise SourceError(
            f"{self.path} is cut short: it breaks off at {end:.2f} s{of} "
            f"({size} of {declared} bytes are there); {self._rescue()}"
        )

    def _rescue(self) -> str:
        return f"copy it again, or save what is whole: ffmpeg -i {self.path.name} -c copy whole.mkv"


class _Clock:
    """Tells when a frame is due and whether it is too late to show it."""

    def __init__(self, fps: float) -> None:
        self._start: float | None = None
        self._interval = 1.0 / fps
        self._dropped = 0

    def wait_for(self, at: float) -> bool:
        """Sleeps until `at` seconds after the first call; False when that is long past."""
        now = time.monotonic()
        if self._start is None:
            self._start = now - at
        early = self._start + at - now
        if early < -self._interval and self._dropped < MOST_DROPPED:
            self._dropped += 1
            return False
        self._dropped = 0
        if early > 0:
            time.sleep(early)
        return True


def _upright(frame: VideoFrame) -> Picture:
    """The whole frame as BGR uint8 (H, W, 3), turned as its rotation says."""
    image = np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)
    turn = TURNS.get(frame.rotation % 360)
    return image if turn is None else np.asarray(cv2.rotate(image, turn), np.uint8)


def _packets(container: InputContainer, stream: VideoStream) -> tuple[int, float]:
    """How many packets can be read, and the last one's time in seconds."""
    count, end = 0, 0.0
    start = stream.start_time or 0
    try:
        for packet in container.demux(stream):
            if packet.pts is not None:
                count += 1
                end = max(end, float((packet.pts - start) * packet.time_base))
    except av.FFmpegError:
        pass  # this is where it breaks
    return count, end


def _duration(container: InputContainer, stream: VideoStream) -> float | None:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration else None


def declared_bytes(path: Path) -> int | None:
    """How long the file says it is, in bytes; None where its format does not say.

    Knows MP4/MOV (boxes), Matroska/WebM (the segment) and AVI (the RIFF list).
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(64)
        if head[4:8] in MP4_BOXES:
            return _mp4_end(file, size)
        if head[:4] == b"\x1a\x45\xdf\xa3":
            return _matroska_end(head)
        if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
            length = int.from_bytes(head[4:8], "little")
            return None if length in (0, 0xFFFFFFFF) else length + 8
    return None


def _mp4_end(file: BinaryIO, size: int) -> int:
    """Where the last known top-level box ends."""
    at = 0
    while at + 8 <= size:
        file.seek(at)
        head = file.read(16)
        length = int.from_bytes(head[:4], "big")
        if head[4:8] not in MP4_BOXES:
            return at
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if length < 8:  # 0: up to the end of the file
            return size
        at += length
    return at


def _matroska_end(head: bytes) -> int | None:
    """Where the segment ends, from the file's first bytes."""
    length, at = _vint(head, 4)
    if length is None:
        return None
    at += length
    if head[at : at + 4] != b"\x18\x53\x80\x67":
        return None
    length, at = _vint(head, at + 4)
    return None if length is None else at + length


def _vint(head: bytes, at: int) -> tuple[int | None, int]:
    """Matroska's number of variable length at `at`, and where it ends; None: unknown."""
    if at >= len(head) or head[at] == 0:
        return None, at
    width = 9 - head[at].bit_length()
    mask = (1 << (7 * width)) - 1
    value = int.from_bytes(head[at : at + width], "big") & mask
    return (None if value == mask else value), at + width


def demo_clip() -> Path:
    """The clip that comes with the package. Raises SourceError when it is not there."""
    clip = Path(__file__).parents[1] / "assets" / "demo.mp4"
    if not clip.is_file():
        raise SourceError(f"the demo clip {clip} is missing; install bshm-live again")
    return clip
