"""What comes along with a film's pictures: its sound, subtitles, chapters and title."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import av

from ..files import is_file
from .sound import COPIED, CopiedTrack, RecodedSound

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer
    from av.packet import Packet
    from av.stream import Stream

END_SLACK_S = 0.5  # pictures that end this near to the film's end have reached it
KEPT_TAGS = ("title", "creation_time")  # of the film; others may tell where it was shot


class Track(Protocol):
    """One track on its way: what comes out for a packet that goes in; None at the end."""

    def __call__(self, packet: Packet[Any] | None) -> Iterator[Packet[Any]]: ...


class Tracks:
    """All that one input has beside its film, given to the muxer up to a time.

    All times are seconds on the input's clock from its earliest stream on, so
    picture and sound stay in step: the first picture is due at `first_picture`.
    With `recode` no sound is copied. What is lost or changed is said in `notes`.
    """

    def __init__(
        self, source: InputContainer, output: OutputContainer, notes: list[str], *, recode: bool
    ) -> None:
        self._source, self._output, self._notes = source, output, notes
        self._origin = (source.start_time or 0) / av.time_base
        self.first_picture, self._film_end = self._film_span()
        self._tracks: dict[int, Track] = {}
        for stream in source.streams.audio:
            self._add(stream, "sound", self._sound_of(stream, recode))
        for text in source.streams.subtitles:
            self._add(text, "subtitles", self._subtitles_of(text))
        for tag in KEPT_TAGS:
            if tag in source.metadata:
                output.metadata[tag] = source.metadata[tag]
        self._keep_chapters()
        self._packets = self._demuxed() if self._tracks else iter(())
        self._ahead: Packet[Any] | None = None

    def mux_until(self, seconds: float) -> None:
        """Muxes all that is due by then. Raises av.FFmpegError: no more can be written."""
        while True:
            packet = self._ahead or next(self._packets, None)
            if packet is None:
                return
            stamp = packet.dts if packet.dts is not None else packet.pts
            if float((stamp or 0) * packet.time_base) > seconds:
                self._ahead = packet
                return
            self._ahead = None
            try:
                self._output.mux(packet)
            except av.FFmpegError as error:
                if error.errno != errno.EINVAL:
                    raise
                # A time that goes back: this packet is lost, and the film goes on.
                self._note("a part of the sound or the subtitles has no valid time: left out")

    def finish(self, seconds: float) -> None:
        """The rest: all of it when the pictures went to the film's end, else up to theirs."""
        whole = seconds >= self._film_end - END_SLACK_S
        self.mux_until(float("inf") if whole else seconds)

    def close(self) -> None:
        self._source.close()

    def _add(self, stream: Stream, what: str, track: Track | None) -> None:
        if track is not None:
            self._tracks[stream.index] = track
        else:
            kind, ending = _codec(stream) or "unknown", self._output.format.name
            self._note(f"{what} left out: {kind} cannot be kept in {ending}")

    def _sound_of(self, stream: Any, recode: bool) -> Track | None:
        """Copied where players of the container know it, else recoded; None: it cannot be read."""
        kind = _codec(stream)
        if kind is None:
            return None
        name = self._output.format.name
        if not recode and kind in COPIED.get(name, self._output.supported_codecs):
            return CopiedTrack(stream, self._output, self._origin)
        track = RecodedSound(stream, self._output, self._origin, self._note)
        self._note(f"sound recoded from {kind} to {track.codec}")
        return track

    def _subtitles_of(self, stream: Any) -> Track | None:
        if _codec(stream) in self._output.supported_codecs:
            return CopiedTrack(stream, self._output, self._origin)
        return None

    def _keep_chapters(self) -> None:
        chapters = self._source.chapters()
        for chapter in chapters:
            shift = round(self._origin / chapter["time_base"]) if chapter["time_base"] else 0
            chapter["start"] = max(0, chapter["start"] - shift)
            chapter["end"] = max(chapter["start"], chapter["end"] - shift)
        if chapters:
            self._output.set_chapters(chapters)

    def _film_span(self) -> tuple[float, float]:
        """When the film's pictures begin and end, in seconds on our clock."""
        for film in self._source.streams.video:
            if film.time_base is None:
                continue
            start = float((film.start_time or 0) * film.time_base) - self._origin
            if film.duration:
                return start, start + float(film.duration * film.time_base)
            return start, (self._source.duration or 0) / av.time_base
        return 0.0, 0.0

    def _demuxed(self) -> Iterator[Packet[Any]]:
        """What the tracks make of the input's packets, in the input's order."""
        packets = self._source.demux([self._source.streams[index] for index in self._tracks])
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                break
            except av.FFmpegError as error:
                self._note(f"sound ends early: the input is damaged ({error.strerror})")
                break
            if packet.size:
                yield from self._tracks[packet.stream.index](packet)
        for track in self._tracks.values():
            yield from track(None)

    def _note(self, line: str) -> None:
        if line not in self._notes:
            self._notes.append(line)


def _codec(stream: Stream) -> str | None:
    """The codec's name; None where this FFmpeg does not know it."""
    context = stream.codec_context
    return None if context is None else context.codec.canonical_name


def open_tracks(
    path: Path, output: OutputContainer, notes: list[str], *, recode: bool = False
) -> Tracks | None:
    """What `path` has beside its film, ready to be muxed into `output`; None if it has nothing.

    What is lost on the way is said in `notes`: a film without sound beats none.
    """
    if str(path) == "-":
        notes.append("sound left out: standard input is read once, for its pictures")
        return None
    if "%" in path.name and not is_file(path):  # a name for many pictures, which have no sound
        return None
    with ExitStack() as undo:
        try:
            source = undo.enter_context(
                av.open(f"file:{path.absolute()}", metadata_errors="replace")
            )
            tracks = Tracks(source, output, notes, recode=recode)
        except (av.FFmpegError, ValueError) as error:  # ValueError: an unknown codec
            notes.append(f"sound left out: {str(error).splitlines()[0]}")
            return None
        undo.pop_all()
        return tracks
