"""The file around a film: whether it may be read, what is in it, whether it is whole."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import av
from av.stream import Disposition

from ..errors import SourceError
from ..files import is_file

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

MOST_THREADS = 4  # the networks need the cores more than the decoder does
LONGEST = 8192  # pixels on a side: a small file can claim gigabytes a frame
STDIN = "-"
STREAMS = "MKV, MPEG-TS, Y4M or a fragmented MP4"  # what can be read as it comes
SEQUENCE = re.compile(r"%(?:0[1-9])?d")  # as FFmpeg, and C's printf, write a number's place
SEQUENCE_FPS = 25  # frames per second of pictures that do not say
NOT_VIDEO = ("image2", "_pipe", "tty", "subviewer", "srt")
MP4_BOXES = frozenset(
    b"ftyp styp moov moof mdat sidx mfra free skip wide uuid meta pnot emsg prft".split()
)


def is_stdin(path: Path) -> bool:
    """Whether `-` is meant: what comes in by a pipe, once."""
    return str(path) == STDIN


def is_sequence(path: Path) -> bool:
    """Whether the name stands for numbered pictures, as in frame-%04d.png."""
    return SEQUENCE.search(path.name) is not None and not is_file(path)


def open_container(path: Path) -> InputContainer:
    """The file as FFmpeg reads it. Raises SourceError, also for pictures and texts."""
    try:
        if is_stdin(path):
            return av.open("pipe:0", metadata_errors="replace")
        # 'file:' keeps a colon in the name from being read as a protocol.
        address = f"file:{path.absolute()}"
        if is_sequence(path):
            options = {"start_number": str(_first_number(path)), "framerate": str(SEQUENCE_FPS)}
            return av.open(address, format="image2", options=options)
        container = av.open(address, metadata_errors="replace")
    except av.FFmpegError as error:
        raise SourceError(_unreadable(path, error)) from error
    if any(word in container.format.name for word in NOT_VIDEO):
        container.close()
        raise SourceError(
            f"{path} is not a video; give an MP4, MKV, MOV or WebM file "
            "(for pictures there is: bshm-live image -i)"
        )
    return container


def _first_number(path: Path) -> int:
    """The lowest number of a sequence's pictures. Raises SourceError: there is none."""
    before, after = (re.escape(part) for part in SEQUENCE.split(path.name, maxsplit=1))
    number = re.compile(f"{before}([0-9]+){after}")
    try:
        found = [number.fullmatch(one.name) for one in path.parent.iterdir()]
    except OSError as error:
        raise SourceError(f"{path.parent}: {error.strerror}; check the path") from error
    numbers = [int(match[1]) for match in found if match]
    if not numbers:
        raise SourceError(f"{path}: no such pictures; check the name")
    return min(numbers)


def film_of(container: InputContainer, path: Path | str) -> VideoStream:
    """The film itself, not the cover picture of a song. Raises SourceError."""
    for stream in container.streams.video:
        if Disposition.attached_pic not in stream.disposition:
            if stream.codec_context is None:
                raise SourceError(f"{path}: its codec is not known; save it as H.264 first")
            if max(stream.width, stream.height) > LONGEST:
                raise SourceError(
                    f"{path}: {stream.width}x{stream.height} is over {LONGEST} pixels; "
                    "shrink it first"
                )
            stream.thread_type = "AUTO"
            stream.thread_count = min(MOST_THREADS, os.cpu_count() or 1)
            return stream
    raise SourceError(f"{path} has no video stream, only sound; try another file")


def check_complete(path: Path, container: InputContainer, stream: VideoStream) -> bool:
    """Finds a file that was cut short now, not after an hour's work. Raises SourceError.

    The decoder would not tell: it takes the cut for the end. False: the container
    was read to its end for it, and has to be opened again.
    """
    if is_stdin(path) or is_sequence(path):
        return True
    declared, size = declared_bytes(path), path.stat().st_size
    if declared is None or declared <= size:
        return True
    count, end = _packets(container, stream)
    if stream.frames and count >= stream.frames:
        return False
    seconds = duration(container, stream)
    of = f" of {seconds:.2f} s" if seconds else ""
    raise SourceError(
        f"{path} is cut short: it breaks off at {end:.2f} s{of} "
        f"({size} of {declared} bytes are there); {rescue(path)}"
    )


def shown(path: Path) -> str:
    """What a person calls it."""
    return "standard input" if is_stdin(path) else str(path)


def rescue(path: Path) -> str:
    """What to do about a damaged file."""
    if is_stdin(path):
        return f"what comes by a pipe must be {STREAMS}"
    return f"copy it again, or save what is whole: ffmpeg -i {path.name} -c copy whole.mkv"


def duration(container: InputContainer, stream: VideoStream) -> float | None:
    """Seconds by the file's own word; None where it does not say."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration else None


def _unreadable(path: Path, error: av.FFmpegError) -> str:
    if is_stdin(path):
        return (
            f"standard input is not a video that can be read as it comes ({error.strerror}); "
            f"send {STREAMS}"
        )
    if is_sequence(path):
        return f"{path}: no pictures that can be read ({error.strerror}); number PNG or JPEG files"
    declared, size = declared_bytes(path), path.stat().st_size
    if declared is not None and declared > size:
        return (
            f"{path} is cut short: it breaks off before its first picture "
            f"({size} of {declared} bytes are there); copy it again"
        )
    return (
        f"{path} is not a video that can be read ({error.strerror}); "
        "give an MP4, MKV, MOV or WebM file"
    )


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
