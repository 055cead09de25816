"""Sinks: frames keep their time and sound, files are whole or not there, errors tell the fix."""

import errno
import os
import re
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest

from bshm_live.errors import SinkError
from bshm_live.sinks import Null, open_sink
from bshm_live.sinks import video_file as sink_video
from bshm_live.sinks.beside import Beside
from bshm_live.sinks.video_file import VideoWriter
from bshm_live.sources.video_file import VideoFile
from bshm_live.types import Shot

SIZE = (128, 96)
COLOUR = (40, 80, 200)  # BGR
LEVELS = 6  # of 255: what H.264 and VP9 may be off in a smooth picture


def shot(index: int, at: float | None = None) -> Shot:
    """A ramp of alpha, a flat foreground and a grey composite that grows with `index`."""
    width, height = SIZE
    alpha = np.tile(np.linspace(0, 255, width).astype(np.uint8), (height, 1))
    foreground = np.full((height, width, 3), COLOUR, np.uint8)
    composite = np.full((height, width, 3), 30 + 3 * (index % 64), np.uint8)
    return Shot(composite, alpha, foreground, index, index / 25 if at is None else at, True)


def write(path: Path, *, times: list[float] | None = None, **more: object) -> VideoWriter:
    writer = VideoWriter(path, SIZE, 25, **more)  # type: ignore[arg-type]
    for index, at in enumerate(times or [i / 25 for i in range(12)]):
        writer.send(shot(index, at))
    writer.close(ok=True)
    return writer


def pictures(path: Path, pixels: str = "bgr24", codec: str | None = None) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        if codec is None:
            return [frame.to_ndarray(format=pixels) for frame in container.decode(stream)]
        decoder = av.CodecContext.create(codec, "r")
        found = []
        for packet in container.demux(stream):
            if packet.dts is not None:
                found += decoder.decode(packet)
        return [frame.to_ndarray(format=pixels) for frame in found + decoder.decode(None)]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.mov", "a.webm", "A.MP4"])
def test_composite_keeps_frames_and_colours(tmp_path: Path, name: str) -> None:
    write(tmp_path / name)
    found = pictures(tmp_path / name)
    assert len(found) == 12
    for index, picture in enumerate(found):
        assert np.abs(picture.astype(int) - (30 + 3 * index)).max() <= LEVELS
    assert names(tmp_path) == [name]


def test_colours_are_bt709_and_say_so(tmp_path: Path) -> None:
    write(tmp_path / "a.mp4", layer="foreground")
    with av.open(str(tmp_path / "a.mp4")) as container:
        frame = next(container.decode(video=0))
        context = container.streams.video[0].codec_context
        marks = (context.colorspace, context.color_primaries, context.color_trc)
    assert marks == (1, 1, 1)
    assert context.color_range == 1
    assert np.abs(frame.to_ndarray(format="bgr24")[48, 100].astype(int) - COLOUR).max() <= LEVELS


def test_alpha_in_mkv_is_lossless(tmp_path: Path) -> None:
    path = tmp_path / "alpha.mkv"
    random = np.random.default_rng(0).integers(0, 256, (12, *SIZE[::-1]), np.uint8)
    writer = VideoWriter(path, SIZE, 25, "alpha")
    assert not writer.needs_foreground
    for index, alpha in enumerate(random):
        writer.send(Shot(shot(0).composite, alpha, None, index, index / 25, True))
    writer.close()
    assert np.array_equal(pictures(path, "gray"), random)
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt) == ("ffv1", "gray")


@pytest.mark.parametrize("name", ["alpha.mp4", "alpha.webm"])
def test_alpha_elsewhere_looks_grey(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, layer="alpha")
    for picture in pictures(tmp_path / name):
        assert np.abs(picture.astype(int) - shot(0).alpha[..., None]).max() <= LEVELS + 2


@pytest.mark.parametrize(
    ("name", "codec", "pixels"),
    [("a.webm", "libvpx-vp9", "yuva420p"), ("a.mov", None, "yuva444p12le")],
)
def test_transparent_keeps_straight_colour_and_alpha(
    tmp_path: Path, name: str, codec: str | None, pixels: str
) -> None:
    writer = write(tmp_path / name, transparent=True)
    assert writer.needs_foreground
    for picture in pictures(tmp_path / name, "bgra", codec):
        assert np.abs(picture[..., 3].astype(int) - shot(0).alpha).max() <= 2
        assert np.abs(picture[:, 8:, :3].astype(int) - COLOUR).max() <= LEVELS
    if codec is None:
        with av.open(str(tmp_path / name)) as container:
            assert container.streams.video[0].codec_context.pix_fmt == pixels
    else:
        with av.open(str(tmp_path / name)) as container:
            assert container.streams.video[0].metadata["alpha_mode"] == "1"


def test_transparent_elsewhere_is_the_composite(tmp_path: Path) -> None:
    assert not write(tmp_path / "a.mp4", transparent=True).needs_foreground
    assert np.abs(pictures(tmp_path / "a.mp4")[0].astype(int) - 30).max() <= LEVELS


def test_foreground_shows_nothing_that_was_cut_away(tmp_path: Path) -> None:
    path = tmp_path / "f.mp4"
    writer = VideoWriter(path, SIZE, 25, "foreground")
    assert writer.needs_foreground
    one = shot(0)
    alpha = np.zeros_like(one.alpha)
    alpha[:, 64:] = 1
    writer.send(Shot(one.composite, alpha, one.foreground, 0, 0.0, True))
    writer.close()
    picture = pictures(path)[0].astype(int)
    assert picture[:, :56].max() <= LEVELS
    assert np.abs(picture[:, 72:] - COLOUR).max() <= LEVELS
    assert (one.foreground == COLOUR).all()  # the shot's own array is left alone


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.webm"])
def test_times_are_kept(tmp_path: Path, name: str) -> None:
    times = [0.0, 0.033, 0.3, 0.31, 1.0, 1.5]
    write(tmp_path / name, times=times)
    with av.open(str(tmp_path / name)) as container:
        assert [f.time for f in container.decode(video=0)] == pytest.approx(times, abs=1.1e-3)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_equal_times_are_moved_apart(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, times=[0.0, 0.0, 0.0, 0.5, 0.4, 0.6])
    with av.open(str(tmp_path / name)) as container:
        found = [frame.time for frame in container.decode(video=0)]
    assert len(found) == 6
    assert (np.diff(found) > 0).all()


def test_a_long_odd_rate_does_not_drift(tmp_path: Path) -> None:
    fps = 30000 / 1001
    write(tmp_path / "a.mp4", times=[i / fps for i in range(300)])
    frames = list(VideoFile(tmp_path / "a.mp4"))
    assert [f.time for f in frames] == pytest.approx([i / fps for i in range(300)], abs=2e-5)


# Sound


def make_film(
    path: Path, codec: str, *, seconds: float = 2.0, late: float = 0.0, pictures: bool = True
) -> Path:
    """A film whose sound begins `late` seconds after its pictures: a click every half second."""
    with av.open(str(path), "w") as container:
        track = container.add_stream(codec, rate=48000, layout="stereo")
        track.codec_context.bit_rate = 96_000  # WMA has no default of its own
        if pictures:
            video = container.add_stream("libx264", rate=25)
            video.width, video.height, video.pix_fmt = *SIZE, "yuv420p"
            for index in range(round(seconds * 25)):
                frame = av.VideoFrame.from_ndarray(shot(index).composite, "bgr24")
                frame.pts, frame.time_base = index, Fraction(1, 25)
                container.mux(video.encode(frame))
            container.mux(video.encode(None))
        samples = (np.arange(round(seconds * 48000)) % 24000 < 480).astype(np.float32) * 0.9
        resampler = av.AudioResampler(track.codec_context.format, "stereo", 48000, 960)
        for at in range(0, len(samples), 960):
            part = np.stack([samples[at : at + 960]] * 2)
            sound = av.AudioFrame.from_ndarray(part, "fltp", "stereo")
            sound.sample_rate, sound.pts = 48000, at + round(late * 48000)
            sound.time_base = Fraction(1, 48000)
            for piece in resampler.resample(sound):
                container.mux(track.encode(piece))
        container.mux(track.encode(None))
    return path


def clicks(path: Path) -> list[float]:
    """When a click begins, in seconds after the first picture."""
    with av.open(str(path)) as container:
        first = next(container.decode(video=0)).time
    found: list[float] = []
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            loud = np.abs(frame.to_ndarray().astype(np.float64)).reshape(-1)
            scale = 32767 if frame.format.name.startswith("s16") else 1
            if loud.max() / scale > 0.4:
                at = frame.time - first
                if not found or at - found[-1] > 0.25:
                    found.append(at)
    return found


def copy_film(path: Path, to: Path, most: int | None = None) -> VideoWriter:
    source = VideoFile(path)
    writer = VideoWriter(to, source.size, source.fps, audio_from=source.path)
    for frame in source:
        if most is not None and frame.index >= most:
            break
        writer.send(Shot(frame.image, shot(0).alpha, None, frame.index, frame.time, True))
    writer.close()
    return writer


def packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


@pytest.mark.parametrize("kind", [".mp4", ".mkv", ".mov"])
def test_sound_is_copied_bit_by_bit(tmp_path: Path, kind: str) -> None:
    film = make_film(tmp_path / "in.mp4", "aac")
    writer = copy_film(film, tmp_path / f"out{kind}")
    assert writer.notes == []
    assert packets(tmp_path / f"out{kind}") == packets(film)
    assert clicks(tmp_path / f"out{kind}") == pytest.approx(clicks(film), abs=0.03)


@pytest.mark.parametrize(
    ("given", "codec", "out", "late"),
    [
        ("in.mkv", "pcm_s16le", "out.webm", 0.0),
        ("in.mp4", "aac", "out.webm", 0.0),
        ("in.wmv", "wmav2", "out.mp4", 0.0),
        ("in.ts", "aac", "out.mp4", 0.0),
        ("in.mkv", "libmp3lame", "out.mp4", 0.4),
    ],
)
def test_sound_stays_in_step(tmp_path: Path, given: str, codec: str, out: str, late: float) -> None:
    film = make_film(tmp_path / given, codec, late=late)
    writer = copy_film(film, tmp_path / out)
    expected = clicks(film)
    assert expected[-3:] == pytest.approx([late + 0.5 * i for i in (1, 2, 3)], abs=0.06)
    assert clicks(tmp_path / out) == pytest.approx(expected, abs=0.04)
    recoded = out.endswith("webm") or codec == "wmav2"
    assert bool(writer.notes) == recoded
    assert all("sound recoded from" in note for note in writer.notes)


def test_sound_of_a_film_left_early_ends_with_the_pictures(tmp_path: Path) -> None:
    film = make_film(tmp_path / "in.mp4", "aac")
    copy_film(film, tmp_path / "out.mp4", most=20)
    assert len(clicks(tmp_path / "out.mp4")) == 2


def test_a_film_without_sound_needs_no_note(tmp_path: Path) -> None:
    write(tmp_path / "in.mp4")
    assert copy_film(tmp_path / "in.mp4", tmp_path / "out.mp4").notes == []


def test_sound_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_text("no film")
    writer = write(tmp_path / "out.mp4", audio_from=tmp_path / "bad.mp4")
    assert len(writer.notes) == 1
    assert writer.notes[0].startswith("sound left out: ")
    assert len(pictures(tmp_path / "out.mp4")) == 12


def test_output_may_replace_its_own_input(tmp_path: Path) -> None:
    film = make_film(tmp_path / "in.mp4", "aac")
    sound = packets(film)
    copy_film(film, film)
    assert packets(film) == sound
    assert names(tmp_path) == ["in.mp4"]


# Whole or not there


def test_nothing_under_the_final_name_before_the_end(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("the old one")
    writer = VideoWriter(tmp_path / "a.mp4", SIZE, 25)
    writer.send(shot(0))
    assert (tmp_path / "a.mp4").read_text() == "the old one"
    part, final = names(tmp_path)
    assert re.fullmatch(r"\.bshm-live-[0-9a-f]{16}\.part\.mp4", part)
    assert final == "a.mp4"
    writer.close(ok=False)
    assert (tmp_path / "a.mp4").read_text() == "the old one"
    assert names(tmp_path) == ["a.mp4"]


def test_close_without_a_frame_leaves_nothing(tmp_path: Path) -> None:
    writer = VideoWriter(tmp_path / "a.mp4", SIZE, 25)
    writer.close(ok=True)
    writer.close(ok=True)
    assert names(tmp_path) == []
    with pytest.raises(SinkError, match="is closed"):
        writer.send(shot(0))


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_disk_full_while_sending(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    writer = VideoWriter(tmp_path / name, SIZE, 25)
    writer.send(shot(0))

    def full(*_: object) -> None:
        raise av.error.OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(sink_video, "_encodable", full)
    with pytest.raises(SinkError, match=rf"disk full writing .*{name}: free some space"):
        writer.send(shot(1))
    assert names(tmp_path) == []
    writer.close(ok=True)
    assert names(tmp_path) == []


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv", "a.webm"])
@pytest.mark.parametrize("ok", [True, False])
@pytest.mark.parametrize("count", [0, 1])
def test_a_recording_that_hardly_begins(tmp_path: Path, name: str, ok: bool, count: int) -> None:
    """In a process of its own: without a frame, its end crashed libavformat."""
    code = (
        "import sys; import numpy as np; from bshm_live.types import Shot\n"
        "from bshm_live.sinks.video_file import VideoWriter\n"
        "writer = VideoWriter(sys.argv[1], (128, 96), 25, recording=True)\n"
        "picture = np.zeros((96, 128, 3), np.uint8)\n"
        f"for _ in range({count}):\n"
        "    writer.send(Shot(picture, picture[:, :, 0], None, 0, 0.0, True))\n"
        f"writer.close(ok={ok})"
    )
    words = [sys.executable, "-c", code, str(tmp_path / name)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert names(tmp_path) == ([name] if ok and count else [])


LIMITED = """
import resource, signal, sys
import numpy as np
from bshm_live.errors import SinkError
from bshm_live.sinks.video_file import VideoWriter
from bshm_live.types import Shot
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
random = np.random.default_rng(0)
try:
    writer = VideoWriter(sys.argv[1], (128, 96), 25, recording=sys.argv[3] == "recording")
    for index in range(20):
        image = random.integers(0, 255, (96, 128, 3), np.uint8)
        writer.send(Shot(image, image[..., 0].copy(), None, index, index / 25, True))
    writer.close(ok=True)
except SinkError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no limits there")
@pytest.mark.parametrize("kind", ["result", "recording"])
@pytest.mark.parametrize("limit", [0, 100, 20_000, 150_000])
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.webm"])
def test_a_file_that_may_not_grow_is_an_error(
    tmp_path: Path, name: str, limit: int, kind: str
) -> None:
    # -B: a compiled module, cut short by the limit, would stay behind.
    words = [sys.executable, "-B", "-c", LIMITED, str(tmp_path / name), str(limit), kind]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "grew too large" in done.stdout
    assert len(done.stdout.splitlines()) == 1
    if kind == "result" or limit <= 100:
        assert names(tmp_path) == []
    elif names(tmp_path):  # its last packet may be cut short, what is before it is there
        with av.open(str(tmp_path / name)) as container:
            assert next(container.decode(video=0)).width == SIZE[0]


@pytest.mark.skipif(sys.platform != "linux", reason="names of bytes are Linux's")
@pytest.mark.parametrize(
    "name",
    [
        os.fsdecode(b"caf\xe9.mp4"),
        "12:30.mp4",
        "~photo.mp4",
        "n" * 251 + ".mp4",
        "-.mp4",
        "a\nb.mp4",
    ],
)
def test_names_that_people_have(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sink = open_sink(name, SIZE, 25)
    sink.send(shot(0))
    sink.close()
    assert os.listdir(".") == [name]
    assert len(list(VideoFile(name))) == 1


def test_a_name_that_is_too_long_is_told_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="too long; give a shorter one"):
        VideoWriter(tmp_path / ("n" * 300 + ".mp4"), SIZE, 25)
    assert names(tmp_path) == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such files")
def test_nothing_but_a_file_is_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.mp4")
    with pytest.raises(SinkError, match="pipe"):
        VideoWriter(tmp_path / "a.mp4", SIZE, 25)
    assert names(tmp_path) == ["a.mp4"]


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_two_writers_of_one_name_are_each_whole(tmp_path: Path, name: str) -> None:
    first, second = (VideoWriter(tmp_path / name, SIZE, 25) for _ in range(2))
    for index in range(8):
        first.send(shot(index))
        if index < 5:
            second.send(shot(index))
    second.close()
    assert len(pictures(tmp_path / name)) == 5
    first.close()
    assert len(pictures(tmp_path / name)) == 8
    assert names(tmp_path) == [name]


def test_an_interrupt_while_it_is_opened_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sink_video, "_add_stream", interrupt)
    with pytest.raises(KeyboardInterrupt):
        VideoWriter(tmp_path / "a.mp4", SIZE, 25)
    assert names(tmp_path) == []


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.mov"])
def test_a_recording_ends_whole_before_the_disk_is_full(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = sink_video.ROOM_LEFT + 3
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    sink = VideoWriter(tmp_path / name, SIZE, 25, recording=True)
    for index in range(4):
        sink.send(shot(index))
    free -= 4
    with pytest.raises(SinkError, match=rf"{name} ends here: the disk is nearly full"):
        sink.send(shot(4))
    sink.close()
    assert len(pictures(tmp_path / name)) == 4
    assert names(tmp_path) == [name]


def test_a_recording_beside_a_call_is_given_up_with_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sink = Beside(VideoWriter(tmp_path / "a.mkv", SIZE, 25, recording=True), "the recording")
    for index in range(3):
        sink.send(shot(index))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    for index in range(3, 9):
        sink.send(shot(index))
    sink.close()
    (line,) = caplog.messages
    assert "the disk is nearly full" in line
    assert line.endswith("; the call goes on without the recording")
    assert len(pictures(tmp_path / "a.mkv")) == 3


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.webm", "a.mov"])
@pytest.mark.parametrize("count", [0, 1, 5])
def test_a_short_recording(tmp_path: Path, name: str, count: int) -> None:
    """Before its first packet, and with less in it than the encoder holds back."""
    for ok in (False, True):
        sink = VideoWriter(tmp_path / name, SIZE, 25, recording=True)
        for index in range(count):
            sink.send(shot(index))
        sink.close(ok=ok)
        assert names(tmp_path) == ([name] if ok and count else [])
    assert not count or len(pictures(tmp_path / name)) == count


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.webm", "a.mov"])
def test_what_a_failed_write_leaves_of_a_recording_is_kept(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = VideoWriter(tmp_path / name, SIZE, 25, recording=True)
    noise = np.random.default_rng(0).integers(0, 255, (*SIZE[::-1], 3), np.uint8)
    for index in range(400):
        image = np.roll(noise, index, 1)
        sink.send(Shot(image, image[..., 0].copy(), None, index, index / 25, True))

    def full(*_: object) -> None:
        raise av.error.OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(sink_video, "_encodable", full)
    with pytest.raises(SinkError, match=f"disk full writing .*{name}"):
        sink.send(shot(400))
    assert names(tmp_path) == [name]
    assert len(pictures(tmp_path / name)) > 200


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("a.xyz", "unknown kind of video; end the name in .mp4"),
        ("noext", "unknown kind of video"),
        ("gone/a.mp4", "does not exist"),
        ("folder.mp4", "is a folder"),
    ],
)
def test_paths_are_checked_at_construction(tmp_path: Path, path: str, words: str) -> None:
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(SinkError, match=words):
        VideoWriter(tmp_path / path, SIZE, 25)
    assert names(tmp_path) == ["folder.mp4"]


# Nothing, and the choice


def test_null_counts() -> None:
    sink = open_sink("null", SIZE, 25)
    assert isinstance(sink, Null)
    sink.send(shot(0))
    sink.send(shot(1))
    sink.close(ok=False)
    assert sink.count == 2


def test_open_sink_makes_files(tmp_path: Path) -> None:
    sink = open_sink(str(tmp_path / "a.mkv"), SIZE, 25)
    assert isinstance(sink, VideoWriter)
    assert sink.describe().endswith("a.mkv: 128x96, composite, libx264")
    sink.close(ok=False)


def test_unknown_sinks_are_told() -> None:
    with pytest.raises(SinkError, match="vcam, vcam:/dev/videoN, pipewire, window, null or a file"):
        open_sink("vcom", SIZE, 25)
