"""The sound of the input, carried over beside the pictures: packets copied where possible."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import av

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer, OutputContainer
    from av.packet import Packet

END_SLACK_S = 0.5  # pictures that end this near to the film's end have reached it
OPUS_RATE = 48000  # samples per second, the only rate that fits all of Opus's


class Sound:
    """One input's first sound track, given to the muxer up to a time.

    All times are seconds on the input's clock from its earliest stream on, so
    picture and sound stay in step: the first picture is due at `first_picture`.
    Only the muxer's errors come out; a sound that breaks off ends with a note.
    """

    def __init__(
        self, source: InputContainer, track: AudioStream, output: OutputContainer, notes: list[str]
    ) -> None:
        self._source, self._track, self._output, self._notes = source, track, output, notes
        self._origin = (source.start_time or 0) / av.time_base
        self.first_picture, self._film_end = self._film_span()
        name = track.codec_context.codec.canonical_name
        if name in output.supported_codecs:
            self._out = output.add_stream_from_template(track)
            self._packets = self._copied()
        else:
            opus = "webm" in output.format.name
            self._out = output.add_stream(
                "libopus" if opus else "aac", rate=OPUS_RATE if opus else track.rate
            )
            self._out.layout = "stereo" if track.channels > 1 else "mono"
            self._packets = self._recoded()
            notes.append(f"sound recoded from {name} to {'opus' if opus else 'aac'}")
        self._ahead: Packet[AudioStream] | None = None

    def mux_until(self, seconds: float) -> None:
        """Muxes all sound that is due by then."""
        while True:
            packet = self._ahead or next(self._packets, None)
            if packet is None:
                return
            stamp = packet.dts if packet.dts is not None else packet.pts
            if float((stamp or 0) * packet.time_base) > seconds:
                self._ahead = packet
                return
            self._ahead = None
            self._output.mux(packet)

    def finish(self, seconds: float) -> None:
        """The rest: all of it when the pictures went to the film's end, else up to theirs."""
        whole = seconds >= self._film_end - END_SLACK_S
        self.mux_until(float("inf") if whole else seconds)

    def close(self) -> None:
        self._source.close()

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

    def _demuxed(self) -> Iterator[Packet[AudioStream]]:
        packets = self._source.demux(self._track)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except av.FFmpegError as error:
                self._notes.append(f"sound ends early: the input is damaged ({error.strerror})")
                return
            yield packet

    def _copied(self) -> Iterator[Packet[AudioStream]]:
        for packet in self._demuxed():
            if packet.dts is None or packet.time_base is None:  # the flush at the end
                continue
            shift = round(self._origin / packet.time_base)
            packet.dts -= shift
            if packet.pts is not None:
                packet.pts -= shift
            packet.stream = self._out
            yield packet

    def _recoded(self) -> Iterator[Packet[AudioStream]]:
        context = self._out.codec_context
        resampler = av.AudioResampler(
            format=context.format or "fltp", layout=self._out.layout, rate=self._out.rate
        )
        for packet in self._demuxed():
            try:
                frames = self._track.decode(packet)
            except av.InvalidDataError:  # a click in the sound is no reason to lose the film
                continue
            for frame in frames:
                if frame.pts is not None and frame.time_base is not None:
                    frame.pts -= round(self._origin / frame.time_base)
                for piece in resampler.resample(frame):
                    yield from self._out.encode(piece)
        for piece in resampler.resample(None):
            yield from self._out.encode(piece)
        yield from self._out.encode(None)


def open_sound(path: Path, output: OutputContainer, notes: list[str]) -> Sound | None:
    """The sound of `path`, ready to be muxed into `output`; None when it has none.

    What is lost on the way is said in `notes`: a film without sound beats none.
    """
    with ExitStack() as undo:
        try:
            source = undo.enter_context(
                av.open(f"file:{path.absolute()}", metadata_errors="replace")
            )
            tracks = source.streams.audio
            if not tracks:
                return None
            if len(tracks) > 1:
                notes.append(f"only the first of {len(tracks)} sound tracks is kept")
            sound = Sound(source, tracks[0], output, notes)
        except (av.FFmpegError, ValueError) as error:  # ValueError: an unknown codec
            notes.append(f"sound left out: {str(error).splitlines()[0]}")
            return None
        undo.pop_all()
        return sound
