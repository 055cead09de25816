"""What comes along with a film: sound in every container, languages, subtitles, chapters, title."""

import logging
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.stream import Disposition

from bshm_live.sinks.codecs import choose_codec
from bshm_live.sinks.sound import CopiedTrack
from bshm_live.sinks.video_file import VideoWriter
from bshm_live.types import Shot

SIZE = (64, 48)
SECONDS = 1.0
RATE = 48000


def tone(hertz: float, rate: int) -> np.ndarray:
    """(1, N) float32 in [-1, 1]."""
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(SECONDS * rate)) / rate)[None]


def make(
    path: Path,
    sounds: Sequence[tuple[str, float, dict[str, str], int]],
    *,
    rate: int = RATE,
    layout: str = "mono",
    subtitles: Path | None = None,
    tags: dict[str, str] | None = None,
    chapters: Sequence[tuple[float, float, str]] = (),
) -> Path:
    """A grey film with sounds of one tone each: codec, hertz, metadata, disposition."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=25)
        video.width, video.height, video.pix_fmt = *SIZE, "yuv420p"
        tracks = []
        for codec, hertz, metadata, disposition in sounds:
            track = container.add_stream(codec, rate=rate, layout=layout)
            track.metadata.update(metadata)
            track.disposition = Disposition(disposition)
            tracks.append((track, tone(hertz, rate)))
        given = av.open(str(subtitles)) if subtitles else None
        texts = container.add_stream_from_template(given.streams[0]) if given else None
        container.metadata.update(tags or {})
        if chapters:
            container.set_chapters(
                [
                    {
                        "id": number,
                        "start": round(1000 * start),
                        "end": round(1000 * end),
                        "time_base": Fraction(1, 1000),
                        "metadata": {"title": title},
                    }
                    for number, (start, end, title) in enumerate(chapters, 1)
                ]
            )
        for index in range(round(25 * SECONDS)):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 90, np.uint8), "bgr24")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        for track, samples in tracks:
            wide = np.repeat(samples, track.codec_context.channels, 0).astype(np.float32)
            sound = av.AudioFrame.from_ndarray(wide, "fltp", layout)
            sound.sample_rate, sound.pts = rate, 0
            resampler = av.AudioResampler(track.codec_context.format, layout, rate, 1024)
            for piece in [*resampler.resample(sound), *resampler.resample(None)]:
                container.mux(track.encode(piece))
            container.mux(track.encode(None))
        if given is not None:
            for packet in given.demux():
                if packet.size:
                    packet.stream = texts
                    container.mux(packet)
            given.close()
    return path


def carry(film: Path, to: Path, **more: object) -> VideoWriter:
    """A film of black pictures with all that `film` has beside its own."""
    writer = VideoWriter(to, SIZE, 25, audio_from=film, **more)  # type: ignore[arg-type]
    black = np.zeros((48, 64, 3), np.uint8)
    for index in range(round(25 * SECONDS)):
        writer.send(Shot(black, black[..., 0], black, index, index / 25, True))
    writer.close()
    return writer


def heard(path: Path) -> list[tuple[str, int]]:
    """The codec of each sound track and the tone that is loudest in it, in hertz."""
    found = []
    with av.open(str(path)) as container:
        for number, track in enumerate(container.streams.audio):
            with av.open(str(path)) as again:
                resampler = av.AudioResampler("flt", "mono", 48000)
                parts = [
                    piece.to_ndarray()[0]
                    for frame in again.decode(audio=number)
                    for piece in resampler.resample(frame)
                ]
            samples = np.concatenate(parts)
            assert len(samples) == pytest.approx(SECONDS * 48000, rel=0.1)
            strength = np.abs(np.fft.rfft(samples))
            hertz = float(np.argmax(strength)) * 48000 / len(samples)
            found.append((track.codec_context.codec.canonical_name, round(hertz / 20) * 20))
    return found


@pytest.mark.parametrize("out", ["o.mp4", "o.mov", "o.mkv"])
def test_sound_of_an_unknown_layout_loses_no_film(tmp_path: Path, out: str) -> None:
    """As a WAV or AVI may have it: two channels, and not a word which; MOV cannot say that."""
    film = make(tmp_path / "a.avi", [("pcm_s16le", 440, {}, 0)], layout="2 channels")
    with av.open(str(film)) as container:
        assert container.streams.audio[0].layout.name == "2 channels"
    carry(film, tmp_path / out)
    assert pictures(tmp_path / out) == 25
    assert heard(tmp_path / out)[0][1] == 440


def pictures(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


@pytest.mark.parametrize(
    ("given", "codec", "out", "becomes"),
    [
        ("a.avi", "pcm_s16le", "o.mp4", "aac"),
        ("a.mkv", "pcm_s24le", "o.mp4", "aac"),
        ("a.mkv", "pcm_f32le", "o.mp4", "aac"),
        ("a.avi", "pcm_u8", "o.mp4", "aac"),
        ("a.avi", "adpcm_ms", "o.mp4", "aac"),
        ("a.mov", "pcm_s16le", "o.mp4", "aac"),
        ("a.mov", "pcm_s16be", "o.mov", "pcm_s16be"),
        ("a.mkv", "pcm_s16le", "o.mov", None),
        ("a.avi", "pcm_s16le", "o.mov", None),
        ("a.mkv", "flac", "o.mov", "aac"),
        ("a.mkv", "flac", "o.mkv", "flac"),
        ("a.mkv", "pcm_s24le", "o.mkv", "pcm_s24le"),
        ("a.mkv", "libopus", "o.m4v", "aac"),
        ("a.mkv", "libopus", "o.webm", "opus"),
        ("a.mkv", "ac3", "o.webm", "opus"),
        ("a.mkv", "ac3", "o.mp4", "ac3"),
    ],
)
def test_sound_reaches_every_container(
    tmp_path: Path, given: str, codec: str, out: str, becomes: str | None
) -> None:
    film = make(tmp_path / given, [(codec, 440, {}, 0)])
    writer = carry(film, tmp_path / out)
    assert pictures(tmp_path / out) == 25
    [(name, hertz)] = heard(tmp_path / out)
    assert hertz == 440
    if becomes is not None:
        assert name == becomes
    was = heard(film)[0][0]
    assert writer.notes == ([] if name == was else [f"sound recoded from {was} to {name}"])


@pytest.mark.parametrize("rate", [8000, 22050, 96000, 192000])
@pytest.mark.parametrize("out", ["o.mp4", "o.webm"])
def test_any_rate_can_be_recoded(tmp_path: Path, rate: int, out: str) -> None:
    film = make(tmp_path / "a.mkv", [("pcm_s16le", 440, {}, 0)], rate=rate, layout="5.1")
    carry(film, tmp_path / out)
    assert heard(tmp_path / out)[0][1] == 440


def test_a_header_that_is_refused_is_tried_with_recoded_sound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FFmpeg says what MP4 takes, and refuses some of it once it begins."""

    class Refused(CopiedTrack):
        def __init__(self, *words: Any) -> None:
            super().__init__(*words)
            self._out.codec_context.codec_tag = "none"

    monkeypatch.setattr("bshm_live.sinks.tracks.CopiedTrack", Refused)
    film = make(tmp_path / "a.mkv", [("ac3", 440, {}, 0)])
    writer = carry(film, tmp_path / "o.mp4")
    assert heard(tmp_path / "o.mp4") == [("aac", 440)]
    assert writer.notes == ["sound recoded from ac3 to aac"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mkv", "o.mp4"]


TWO = [
    ("aac", 440, {"language": "eng"}, 0),
    ("aac", 880, {"language": "deu", "title": "Ton"}, Disposition.default),
]


@pytest.mark.parametrize("out", ["o.mkv", "o.mp4", "o.webm"])
def test_all_tracks_are_kept_with_language_and_default(tmp_path: Path, out: str) -> None:
    carry(make(tmp_path / "a.mkv", TWO), tmp_path / out)
    assert [hertz for _, hertz in heard(tmp_path / out)] == [440, 880]
    with av.open(str(tmp_path / out)) as container:
        tracks = container.streams.audio
        assert [track.language for track in tracks] == ["eng", "deu"]
        assert [bool(track.disposition & Disposition.default) for track in tracks] == [False, True]


@pytest.mark.parametrize("out", ["o.mkv", "o.mp4", "o.mov", "o.webm"])
def test_title_time_and_chapters_are_kept(tmp_path: Path, out: str) -> None:
    tags = {"title": "My talk", "creation_time": "2024-05-01T10:00:00.000000Z", "location": "home"}
    chapters = [(0.0, 0.5, "One"), (0.5, 1.0, "Two")]
    film = make(tmp_path / "a.mkv", TWO[:1], tags=tags, chapters=chapters)
    carry(film, tmp_path / out)
    with av.open(str(tmp_path / out)) as container:
        told = {key.lower(): value for key, value in container.metadata.items()}
        assert told["title"] == "My talk"
        assert told["creation_time"].startswith("2024-05-01T10:00:00")
        assert "location" not in told
        spans = [
            float(c[end] * c["time_base"])  # type: ignore
            for c in container.chapters()
            for end in ("start", "end")
        ]
        assert spans == pytest.approx([0.0, 0.5, 0.5, 1.0])
        assert [c["metadata"]["title"] for c in container.chapters()] == ["One", "Two"]


SRT = "1\n00:00:00,100 --> 00:00:00,400\nHello\n\n2\n00:00:00,500 --> 00:00:00,900\nAgain\n"


def test_subtitles_are_kept_or_told(tmp_path: Path) -> None:
    (tmp_path / "a.srt").write_text(SRT)
    film = make(tmp_path / "a.mkv", TWO[:1], subtitles=tmp_path / "a.srt")
    assert carry(film, tmp_path / "o.mkv").notes == []
    with av.open(str(tmp_path / "o.mkv")) as container:
        texts = [
            (float(p.pts * p.time_base), bytes(p)) for p in container.demux(subtitles=0) if p.size
        ]
    assert texts == [
        (pytest.approx(0.1, abs=0.05), b"Hello"),
        (pytest.approx(0.5, abs=0.05), b"Again"),
    ]
    writer = carry(film, tmp_path / "o.mp4")
    assert writer.notes == ["subtitles left out: subrip cannot be kept in mp4"]
    assert heard(tmp_path / "o.mp4") == [("aac", 440)]


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_lost_transparency_is_told(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "bshm_live"):
        VideoWriter(tmp_path / name, SIZE, 25, transparent=True).close(ok=False)
        VideoWriter(tmp_path / "b.webm", SIZE, 25, transparent=True).close(ok=False)
        VideoWriter(tmp_path / "c.mp4", SIZE, 25, "alpha", transparent=True).close(ok=False)
    [line] = [record.getMessage() for record in caplog.records]
    assert f"transparency is lost in {Path(name).suffix}" in line
    assert ".webm and .mov keep it" in line


def test_quality_weighs_size_against_likeness(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (20, 48, 64, 3), np.uint8)
    sizes = []
    for quality in (0, 40, 80, 100):
        writer = VideoWriter(tmp_path / "a.mp4", SIZE, 25, quality=quality)
        for index, picture in enumerate(noise):
            writer.send(Shot(picture, picture[..., 0].copy(), None, index, index / 25, True))
        writer.close()
        sizes.append((tmp_path / "a.mp4").stat().st_size)
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1] / 3
    h264 = choose_codec(".mp4", "composite", False)
    assert h264.at(80) == h264
    lossless = choose_codec(".mkv", "alpha", False)
    assert lossless.at(3) is lossless
