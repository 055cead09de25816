"""One track of the input on its way to a container: copied as it is, or sound recoded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import av

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import OutputContainer
    from av.packet import Packet

OPUS_RATE = 48000  # samples per second, the only rate that fits all of Opus's
AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)
# Sound that players look for in a container. FFmpeg writes more kinds than they know, and
# refuses some only once the header is written. Matroska takes all that FFmpeg says it does.
_MP4 = frozenset({"aac", "mp3", "ac3", "eac3", "alac", "opus", "flac"})
COPIED = {
    "mp4": _MP4,
    "ipod": frozenset({"aac", "alac", "ac3"}),
    "mov": _MP4 - {"opus", "flac"} | {"pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be"},
    "webm": frozenset({"opus", "vorbis"}),
}
TOLD = ("language", "title")  # of a track


class CopiedTrack:
    """Packets bit by bit, with the times of a clock that starts at `origin` seconds."""

    def __init__(self, track: Any, output: OutputContainer, origin: float) -> None:
        self._out, self._origin = output.add_stream_from_template(track), origin
        _tell(track, self._out)

    def __call__(self, packet: Packet[Any] | None) -> Iterator[Packet[Any]]:
        if packet is None or packet.dts is None:
            return
        shift = round(self._origin / packet.time_base)
        packet.dts -= shift
        if packet.pts is not None:
            packet.pts -= shift
        packet.stream = self._out
        yield packet


class RecodedSound:
    """Sound decoded, and encoded as AAC or, in WebM, as Opus; stereo at most."""

    def __init__(
        self,
        track: AudioStream,
        output: OutputContainer,
        origin: float,
        note: Callable[[str], None],
    ) -> None:
        self._track, self._origin, self._note = track, origin, note
        opus = "webm" in output.format.name
        self.codec = "opus" if opus else "aac"
        rate = track.rate if track.rate in AAC_RATES and not opus else OPUS_RATE
        self._out = output.add_stream("libopus" if opus else "aac", rate=rate)
        self._out.layout = "stereo" if track.channels > 1 else "mono"
        _tell(track, self._out)
        self._resampler = self._new_resampler()

    def __call__(self, packet: Packet[Any] | None) -> Iterator[Packet[Any]]:
        for frame in self._decoded(packet):
            if frame.pts is not None and frame.time_base is not None:
                frame.pts -= round(self._origin / frame.time_base)
            yield from self._encoded(frame)
        if packet is None:
            yield from self._encoded(None)
            yield from self._out.encode(None)

    def _decoded(self, packet: Packet[Any] | None) -> list[AudioFrame]:
        try:
            return self._track.codec_context.decode(packet)
        except av.InvalidDataError:  # a click in the sound is no reason to lose the film
            return []
        except av.FFmpegError as error:
            self._note(f"a part of the sound cannot be decoded ({error.strerror}): left out")
            return []

    def _encoded(self, frame: AudioFrame | None) -> Iterator[Packet[Any]]:
        try:
            pieces = self._resampler.resample(frame)
        except ValueError:  # the sound has another rate or layout from here on
            pieces = self._resampler.resample(None)
            self._resampler = self._new_resampler()
            pieces += self._resampler.resample(frame)
        for piece in pieces:
            yield from self._out.encode(piece)

    def _new_resampler(self) -> av.AudioResampler:
        return av.AudioResampler(
            format=self._out.codec_context.format or "fltp",
            layout=self._out.layout,
            rate=self._out.rate,
        )


def _tell(track: Any, out: Any) -> None:
    """Which language a track is in, and whether it is the one that players play."""
    out.metadata.update({key: track.metadata[key] for key in TOLD if key in track.metadata})
    out.disposition = track.disposition
