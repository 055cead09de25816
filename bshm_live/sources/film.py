"""A film in a file: its decoded frames, in order, whole pictures at their own times."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
from av.filter import Graph

from ..errors import SourceError
from .container import check_complete, duration, film_of, open_container, rescue, shown

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

FPS_UNKNOWN = 25.0  # frames per second where the file does not say
# FFmpeg's own VP8 and VP9 decoders leave the alpha out.
WITH_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
DEINTERLACE = "mode=send_frame:deint=interlaced"  # progressive frames stay as they are

_log = logging.getLogger(__name__)


class Film:
    """An open video file. Raises SourceError.

    `aspect` is how many times as wide as high a pixel is, `length` the time in
    seconds from the first frame to the end of the last; None where the file does
    not say.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._container = open_container(path)
        try:
            self._stream = film_of(self._container, path)
            if not check_complete(path, self._container, self._stream):
                self._container.close()
                self._container = open_container(path)
                self._stream = film_of(self._container, path)
        except SourceError:
            self._container.close()
            raise
        rate = self._stream.average_rate or self._stream.guessed_rate
        self.fps = float(rate) if rate else FPS_UNKNOWN
        self.count: int | None = self._stream.frames or None
        self.aspect: Fraction | None = self._stream.sample_aspect_ratio
        own = self._stream.duration is not None
        self.length = duration(self._container, self._stream) if own else None

    def frames(self) -> Iterator[tuple[VideoFrame, float]]:
        """Every frame, deinterlaced, and seconds since the first, never decreasing."""
        first: float | None = None
        last = 0.0
        try:
            for index, frame in enumerate(self._deinterlaced()):
                at = index / self.fps if frame.pts is None else float(frame.pts * self._base(frame))
                first = at if first is None else first
                last = max(last, at - first)
                yield frame, last
        except av.FFmpegError as error:
            where = f"{shown(self._path)} is damaged at {last:.2f} s ({error.strerror})"
            raise SourceError(f"{where}; {rescue(self._path)}") from error
        if first is None:
            raise SourceError(
                f"{shown(self._path)} has no picture that can be decoded; try another file"
            )

    def close(self) -> None:
        self._container.close()

    def _base(self, frame: VideoFrame) -> Fraction:
        """Seconds a tick of a frame's time."""
        return frame.time_base or self._stream.time_base or Fraction(1, av.time_base)

    def _decoded(self) -> Iterator[VideoFrame]:
        decoder = WITH_ALPHA.get(self._stream.codec_context.name)
        if decoder is None or self._stream.metadata.get("alpha_mode") != "1":
            yield from self._container.decode(self._stream)
            return
        context = av.VideoCodecContext.create(decoder, "r")
        assert isinstance(context, av.VideoCodecContext)
        for packet in self._container.demux(self._stream):
            if packet.size:
                yield from context.decode(packet)
        yield from context.decode(None)

    def _deinterlaced(self) -> Iterator[VideoFrame]:
        """All frames; from the first interlaced one on through bwdif."""
        filtered: _Filter | None = None
        for frame in self._decoded():
            if filtered is not None and not filtered.takes(frame):
                yield from filtered(None)
                filtered = None
            if filtered is None and frame.interlaced_frame:
                _log.info("%s is interlaced: it is deinterlaced", shown(self._path))
                filtered = _Filter(self._stream, frame)
            if filtered is None:
                yield frame
            else:
                yield from filtered(frame)
        if filtered is not None:
            yield from filtered(None)


class _Filter:
    """bwdif for frames of one size and kind."""

    def __init__(self, stream: VideoStream, frame: VideoFrame) -> None:
        self._kind = _kind(frame)
        self._graph = Graph()
        given = self._graph.add_buffer(
            width=frame.width,
            height=frame.height,
            format=frame.format,
            time_base=frame.time_base or stream.time_base,
        )
        bwdif = self._graph.add("bwdif", DEINTERLACE)
        self._graph.link_nodes(given, bwdif, self._graph.add("buffersink")).configure()

    def takes(self, frame: VideoFrame) -> bool:
        return _kind(frame) == self._kind

    def __call__(self, frame: VideoFrame | None) -> Iterator[VideoFrame]:
        """What comes out for one frame that goes in; with None the rest."""
        self._graph.vpush(frame)
        while True:
            try:
                yield self._graph.vpull()
            except (av.BlockingIOError, av.EOFError):
                return


def _kind(frame: VideoFrame) -> tuple[int, int, str]:
    return frame.width, frame.height, frame.format.name
