"""A video file as a sink: it appears under its name only when it is whole."""

from __future__ import annotations

import logging
import shutil
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
import cv2
import numpy as np
from av.stream import Disposition
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc

from ..errors import SinkError
from ..files import Part, path_of, why_unwritable
from ..types import Shot, Size
from .codecs import QUALITY, TRANSPARENT, Codec, choose_codec
from .codecs import SUFFIXES as SUFFIXES
from .codecs import Layer as Layer
from .layers import layer_of
from .tracks import Tracks, open_tracks

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.video.stream import VideoStream

    from ..types import Picture

TICKS = 90_000  # a second on the file's clock
TICKS_APART = TICKS // 1000  # Matroska knows milliseconds only: frames must differ by one
BT709 = 1  # matrix, primaries and transfer all have this number
ROOM_LEFT = 1 << 24  # bytes of the disk that a recording leaves: its end needs some
INSTEAD = "try another folder or .mp4"
LOST_ALPHA = "{}: transparency is lost in {}, the person stands before black; {} keep it"

_log = logging.getLogger(__name__)


class VideoWriter:
    """Writes one layer of every shot to a file, each at its own Shot.time.

    Written beside `path` under a hidden name and renamed by close(ok=True).
    `transparent` stores foreground and alpha (straight) in .webm (VP9) and .mov
    (ProRes 4444) and changes nothing elsewhere, which is said in a line of the log.
    `audio_from` is the file whose sound, subtitles, chapters and title are kept; what
    is lost of them is said in `notes`. `quality` 0 to 100 weighs the file's size
    against its likeness, where the codec is not lossless. Raises SinkError.

    What fails leaves nothing behind, unless it is a `recording`, which cannot be made
    again: it ends whole before the disk is full, and what a failed write leaves is kept.
    """

    def __init__(
        self,
        path: Path | str,
        size: Size,
        fps: float,
        layer: Layer = "composite",
        *,
        audio_from: Path | None = None,
        transparent: bool = False,
        recording: bool = False,
        quality: int = QUALITY,
    ) -> None:
        self._recording = recording
        self.path = path_of(path) if isinstance(path, str) else path
        self.notes: list[str] = []
        self._part = _begin(self.path)
        self._layer: Layer = layer
        self._codec = choose_codec(self.path.suffix.lower(), layer, transparent).at(quality)
        if transparent and layer == "composite" and self._codec.fed != "bgra":
            _log.info(LOST_ALPHA.format(self.path, self.path.suffix, " and ".join(TRANSPARENT)))
        self.needs_foreground = layer == "foreground" or self._codec.fed == "bgra"
        self._size = size
        self._start = 0.0  # seconds on the file's clock at which Shot.time is 0
        self._last_ticks: int | None = None
        self._tracks: Tracks | None = None
        self._container: OutputContainer | None = None
        try:
            self._start_file(fps, audio_from)
        except BaseException as error:
            self._drop()
            if isinstance(error, (av.FFmpegError, ValueError)):  # PyAV without this encoder
                raise SinkError(why_unwritable(self.path, error, INSTEAD)) from error
            raise

    def _start_file(self, fps: float, audio_from: Path | None) -> None:
        """Opens the part file and writes its header. Raises av.FFmpegError and ValueError."""
        try:
            self._write_header(fps, audio_from, recode=False)
        except (av.FFmpegError, ValueError):
            if self._tracks is None or self._container is None:
                raise
            # The container does not take a track as it is.
            self._close_tracks()
            self.notes.clear()
            with suppress(av.FFmpegError, ValueError):
                self._container.close()
            self._write_header(fps, audio_from, recode=True)

    def _write_header(self, fps: float, audio_from: Path | None, *, recode: bool) -> None:
        self._container = _open(self._part.path, self._recording)
        self._stream = _add_stream(self._container, self._codec, self._size, fps)
        if audio_from is not None:
            self._tracks = open_tracks(audio_from, self._container, self.notes, recode=recode)
        if self._tracks is not None:
            self._start = self._tracks.first_picture
        if not self._recording:
            self._container.start_encoding()
        # libavformat crashes at the end of a recording that has a header and no packet:
        # its header is written with the first one.

    def describe(self) -> str:
        width, height = self._size
        return f"file {self.path}: {width}x{height}, {self._layer}, {self._codec.name}"

    def send(self, shot: Shot) -> None:
        """Encodes the shot; it is not kept. Raises SinkError, and then the file is closed."""
        if self._container is None:
            raise SinkError(f"{self.path} is closed; open it again")
        if self._recording and _room(self.path) < ROOM_LEFT:
            self.close()
            raise SinkError(f"{self.path} ends here: the disk is nearly full; free some space")
        picture = self._picture(shot)
        ticks = round((self._start + shot.time) * TICKS)
        if self._last_ticks is not None:
            ticks = max(ticks, self._last_ticks + TICKS_APART)
        self._last_ticks = ticks
        try:
            frame = _encodable(picture, self._codec)
            frame.pts, frame.time_base = ticks, Fraction(1, TICKS)
            self._container.mux(self._stream.encode(frame))
            if self._tracks is not None:
                self._tracks.mux_until(ticks / TICKS)
        except av.FFmpegError as error:
            self._break_off()
            raise SinkError(why_unwritable(self.path, error, INSTEAD)) from error

    def close(self, *, ok: bool = True) -> None:
        """Puts the whole file in its place, or with ok=False leaves no trace of it."""
        if self._container is None:
            return
        if not ok or self._last_ticks is None:
            return self._drop()
        try:
            self._container.mux(self._stream.encode(None))
            if self._tracks is not None:
                self._tracks.finish(self._last_ticks / TICKS)
            self._container.close()
            self._part.keep()
        except (av.FFmpegError, OSError) as error:
            self._break_off()
            raise SinkError(why_unwritable(self.path, error, INSTEAD)) from error
        self._container = None
        self._close_tracks()

    def _picture(self, shot: Shot) -> Picture:
        """What the codec is fed: (H, W, 3), (H, W, 4) or (H, W) uint8."""
        picture = layer_of(shot, self._layer, with_alpha=self._codec.fed == "bgra")
        if picture.ndim == 3 or self._codec.fed == "gray":
            return picture
        return np.asarray(cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR), np.uint8)

    def _drop(self) -> None:
        """Closes everything and removes the part file, whatever state it is in."""
        container, self._container = self._container, None
        self._close_tracks()
        # First, where the system can: without its file a long film's end takes no time.
        self._part.drop()
        if container is not None:
            # It is thrown away; the first error is the one to tell.
            with suppress(av.FFmpegError, ValueError):
                container.close()
        self._part.drop()

    def _break_off(self) -> None:
        """After a failed write: what is in a recording's file is kept, if it can be played."""
        if self._recording and self._container is not None:
            with suppress(av.FFmpegError, ValueError):
                self._container.close()
            if _plays(self._part.path):
                with suppress(OSError):
                    self._part.keep()
        self._drop()

    def _close_tracks(self) -> None:
        if self._tracks is not None:
            self._tracks.close()
            self._tracks = None


def _begin(path: Path) -> Part:
    """The file that is written until it is whole. Raises SinkError."""
    if path.suffix.lower() not in SUFFIXES:
        raise SinkError(f"{path}: unknown kind of video; end the name in {' '.join(SUFFIXES)}")
    try:
        return Part(path, path.suffix)
    except OSError as error:
        raise SinkError(why_unwritable(path, error, INSTEAD)) from error


def _room(path: Path) -> int:
    """Bytes that are free beside `path`; a disk that does not tell has room."""
    try:
        return shutil.disk_usage(path.parent).free
    except OSError:
        return ROOM_LEFT


def _plays(path: Path) -> bool:
    try:
        with av.open(f"file:{path.absolute()}") as container:
            next(container.decode(video=0))
    except (av.FFmpegError, StopIteration, IndexError):
        return False
    return True


def _open(part: Path, recording: bool) -> OutputContainer:
    mp4 = part.suffix.lower() in (".mp4", ".m4v", ".mov")
    # The index first, so that a browser can play the file while it loads. A recording has
    # an index in every piece until its end, so that it can be played if it breaks off.
    flags = "+hybrid_fragmented" if recording else "+faststart"
    options = {"movflags": flags} if mp4 else {}
    return av.open(f"file:{part.absolute()}", "w", options=options)


def _add_stream(container: OutputContainer, codec: Codec, size: Size, fps: float) -> VideoStream:
    rate = Fraction(fps).limit_denominator(1001)
    stream = container.add_stream(codec.name, rate=rate, options=dict(codec.options))
    assert isinstance(stream, av.VideoStream)
    stream.width, stream.height = size
    stream.pix_fmt = codec.pixels
    stream.disposition = Disposition.default
    context = stream.codec_context
    context.time_base = Fraction(1, TICKS)
    if codec.fed != "gray":
        context.color_range = ColorRange.MPEG
        context.colorspace = context.color_primaries = context.color_trc = BT709
    return stream


def _encodable(picture: Picture, codec: Codec) -> av.VideoFrame:
    frame = av.VideoFrame.from_ndarray(picture, format=codec.fed)
    if codec.fed == "gray":
        return frame
    frame = frame.reformat(
        format=codec.pixels, dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
    )
    frame.color_primaries, frame.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
    return frame
