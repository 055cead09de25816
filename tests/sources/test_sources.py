"""Sources: every frame in order, upright and in time; the newest frame; errors in one line."""

import os
import sys
import threading
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from bshm_live.errors import SourceError
from bshm_live.files import camera_device
from bshm_live.sources import repeats as repeats_module
from bshm_live.sources import video_file
from bshm_live.sources import webcam as source_module
from bshm_live.sources.clock import MOST_DROPPED, Clock
from bshm_live.sources.container import declared_bytes
from bshm_live.sources.video_file import VideoFile, demo_clip
from bshm_live.sources.webcam import Webcam
from bshm_live.types import Frame

BITS = 8  # a frame's number is written as eight columns, black or white


def numbered(index: int, width: int = 128, height: int = 96) -> np.ndarray:
    """BGR (H, W, 3) uint8 that shows `index` in binary, as columns."""
    picture = np.full((height, width, 3), 20, np.uint8)
    for bit in range(BITS):
        if index >> bit & 1:
            picture[:, bit * width // BITS : (bit + 1) * width // BITS] = 235
    return picture


def number(picture: np.ndarray) -> int:
    """The number that `numbered` wrote, after compression."""
    width = picture.shape[1]
    middle = [picture[:, (2 * b + 1) * width // (2 * BITS)].mean() > 128 for b in range(BITS)]
    return sum(bool(white) << bit for bit, white in enumerate(middle))


def make_video(
    path: Path,
    times_ms: list[int],
    *,
    size: tuple[int, int] = (128, 96),
    codec: str = "libx264",
    pixels: str = "yuv420p",
    rotation: float = 0,
    faststart: bool = False,
    picture: Callable[[int, int, int], np.ndarray] = numbered,
) -> Path:
    """A video whose frame i shows i at times_ms[i]."""
    options = {"movflags": "+faststart"} if faststart else {}
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = *size, pixels
        stream.codec_context.time_base = Fraction(1, 1000)
        if rotation:
            if not hasattr(stream, "set_display_rotation"):
                pytest.skip("this PyAV cannot write a rotation")
            stream.set_display_rotation(rotation)
        for index, at in enumerate(times_ms):
            frame = av.VideoFrame.from_ndarray(picture(index, *size), "bgr24")
            frame = frame.reformat(format=pixels)
            frame.pts, frame.time_base = at, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.mov", "with: colon.mp4"])
def test_every_frame_in_order(tmp_path: Path, name: str) -> None:
    source = VideoFile(make_video(tmp_path / name, [40 * i for i in range(60)]))
    frames = list(source)
    assert [number(frame.image) for frame in frames] == list(range(60))
    assert [frame.index for frame in frames] == list(range(60))
    assert source.size == (128, 96)
    assert source.fps == pytest.approx(25)
    assert source.count in (60, None)
    assert source.length == pytest.approx(2.4, abs=0.05)
    for frame in frames:
        assert frame.image.dtype == np.uint8
        assert frame.image.shape == (96, 128, 3)
        assert frame.image.flags.c_contiguous


def test_a_source_can_be_read_twice(tmp_path: Path) -> None:
    source = VideoFile(make_video(tmp_path / "a.mp4", [0, 40, 80]))
    assert [len(list(source)), len(list(source))] == [3, 3]


def test_times_are_the_files_own(tmp_path: Path) -> None:
    times = [100, 133, 400, 410, 1000, 1500]
    source = VideoFile(make_video(tmp_path / "vfr.mkv", times))
    assert [f.time for f in source] == pytest.approx([(t - 100) / 1000 for t in times], abs=1e-3)


def test_missing_times_are_counted(tmp_path: Path) -> None:
    whole = make_video(tmp_path / "a.mp4", [40 * i for i in range(10)])
    raw = tmp_path / "raw.h264"
    with av.open(str(whole)) as given, av.open(str(raw), "w", format="h264") as bare:
        track = bare.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(video=0):
            if packet.dts is not None:
                packet.stream = track
                bare.mux(packet)
    times = [frame.time for frame in VideoFile(raw)]
    assert len(times) == 10
    assert times == sorted(times)


def corners(_: int, width: int, height: int) -> np.ndarray:
    """Red in the left upper quarter, green in the right upper, the rest black."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[: height // 2, : width // 2, 2] = 255
    picture[: height // 2, width // 2 :, 1] = 255
    return picture


@pytest.mark.parametrize(
    ("rotation", "size", "red", "green"),
    [
        (90, (96, 128), (3, 1), (1, 1)),  # counterclockwise: the left upper corner goes down
        (-90, (96, 128), (1, 3), (3, 3)),
        (180, (128, 96), (3, 3), (3, 1)),
    ],
)
def test_rotation_is_honoured(
    tmp_path: Path,
    rotation: int,
    size: tuple[int, int],
    red: tuple[int, int],
    green: tuple[int, int],
) -> None:
    """red and green are (row, column) in quarters of the upright picture."""
    path = make_video(tmp_path / "r.mp4", [0, 40], rotation=rotation, picture=corners)
    source = VideoFile(path)
    assert source.size == size
    image = next(iter(source)).image
    assert image.shape == (size[1], size[0], 3)
    for channel, (row, column) in ((2, red), (1, green)):
        pixel = image[row * size[1] // 4, column * size[0] // 4]
        assert pixel[channel] > 200
        assert pixel.astype(int).sum() < 300


def test_odd_sizes_are_cropped_to_even(tmp_path: Path) -> None:
    path = make_video(tmp_path / "odd.mkv", [0, 40], size=(65, 49), codec="ffv1", pixels="bgr0")
    source = VideoFile(path)
    image = next(iter(source)).image
    assert source.size == (64, 48)
    assert np.array_equal(image, numbered(0, 65, 49)[:48, :64])
    assert image.flags.c_contiguous


def test_a_new_size_in_mid_file_is_scaled_to_the_first(tmp_path: Path) -> None:
    one = make_video(tmp_path / "1.h264", [0, 40, 80])
    two = make_video(tmp_path / "2.h264", [0, 40, 80], size=(256, 192))
    both = tmp_path / "both.h264"
    both.write_bytes(one.read_bytes() + two.read_bytes())
    frames = list(VideoFile(both))
    assert {frame.image.shape for frame in frames} == {(96, 128, 3)}
    assert [number(frame.image) for frame in frames] == [0, 1, 2, 0, 1, 2]


def noise(index: int, width: int, height: int) -> np.ndarray:
    return np.random.default_rng(index).integers(0, 255, (height, width, 3), np.uint8)


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", "libx264"), ("a.mkv", "libx264"), ("a.avi", "mpeg4")]
)
def test_a_file_cut_short_is_told_at_once(tmp_path: Path, name: str, codec: str) -> None:
    times = [40 * i for i in range(50)]
    path = make_video(tmp_path / name, times, codec=codec, faststart=True, picture=noise)
    whole = path.read_bytes()
    assert len(list(VideoFile(path))) == 50
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SourceError, match=rf"{name} is cut short: it breaks off at [01]\.\d+ s"):
        VideoFile(path)


def test_a_file_cut_before_its_index_is_told(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", [40 * i for i in range(50)], picture=noise)
    path.write_bytes(path.read_bytes()[:20000])
    with pytest.raises(SourceError, match="cut short: it breaks off before its first picture"):
        VideoFile(path)


def test_damage_is_told_with_its_time(tmp_path: Path) -> None:
    path = make_video(
        tmp_path / "a.mp4", [40 * i for i in range(50)], faststart=True, picture=noise
    )
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 20000] = b"\xa5" * 20000
    path.write_bytes(data)
    source = VideoFile(path)
    frames = iter(source)
    assert [next(frames).index for _ in range(5)] == list(range(5))
    with pytest.raises(SourceError, match=r"a\.mp4 is damaged at [01]\.\d\d s"):
        list(frames)


def test_garbage_after_the_end_is_no_damage(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", [0, 40, 80])
    path.write_bytes(path.read_bytes() + os.urandom(5000))
    assert len(list(VideoFile(path))) == 3


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi"])
def test_a_whole_file_is_as_long_as_it_says(tmp_path: Path, name: str) -> None:
    path = make_video(tmp_path / name, [0, 40, 80], codec="mpeg4")
    declared = declared_bytes(path)
    assert declared is not None
    assert declared <= path.stat().st_size


def song(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=48000, layout="mono")
        for index in range(20):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            frame.sample_rate, frame.pts = 48000, index * 1024
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def still(path: Path) -> Path:
    cv2.imwrite(str(path), numbered(1))
    return path


def text(path: Path, words: str = "hello\n") -> Path:
    path.write_text(words * 50)
    return path


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder: folder, "is a folder"),
        (lambda folder: folder / "none.mp4", "no such file"),
        (lambda folder: text(folder / "a.mp4"), "not a video that can be read"),
        (lambda folder: text(folder / "empty.mp4", ""), "not a video that can be read"),
        (lambda folder: still(folder / "a.png"), "not a video"),
        (lambda folder: song(folder / "a.m4a"), "no video stream"),
        (lambda _: Path(os.devnull), "is not a file"),
    ],
)
def test_what_is_no_video_is_told_in_one_line(
    tmp_path: Path, make: Callable[[Path], Path], words: str
) -> None:
    with pytest.raises(SourceError, match=words) as caught:
        VideoFile(make(tmp_path))
    assert "\n" not in str(caught.value)


def test_loop_goes_on_in_time_and_index(tmp_path: Path) -> None:
    source = VideoFile(make_video(tmp_path / "a.mp4", [0, 40, 80]), loop=True)
    frames = [frame for frame, _ in zip(source, range(8), strict=False)]
    assert [frame.index for frame in frames] == list(range(8))
    assert [number(frame.image) for frame in frames] == [0, 1, 2, 0, 1, 2, 0, 1]
    assert [frame.time for frame in frames] == pytest.approx([0.04 * i for i in range(8)])
    assert source.count is None


def test_close_ends_the_iteration(tmp_path: Path) -> None:
    source = VideoFile(make_video(tmp_path / "a.mp4", [0, 40, 80]), loop=True)
    for frame in source:
        if frame.index == 4:
            source.close()
    assert frame.index == 4


class FakeTime:
    """time.monotonic and time.sleep without the waiting."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_pace_keeps_time_and_drops_what_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeTime()
    monkeypatch.setattr("bshm_live.sources.clock.time", fake)
    clock = Clock(fps=25)
    shown = []
    for index in range(100):
        if clock.wait_for(index * 0.04):
            shown.append(index)
            assert fake.now - 100 == pytest.approx(index * 0.04, abs=0.05)
            fake.now += 0.1  # the loop takes as long as 2.5 frames
    assert 35 <= len(shown) <= 55


def test_a_slow_decoder_does_not_starve_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeTime()
    monkeypatch.setattr("bshm_live.sources.clock.time", fake)
    clock = Clock(fps=25)
    shown = []
    for index in range(100):
        fake.now += 0.5
        if clock.wait_for(index * 0.04):
            shown.append(index)
    assert max(np.diff(shown)) == MOST_DROPPED + 1


# The webcam, with OpenCV's VideoCapture replaced.


class FakeCapture:
    """A camera of 66x49 pixels whose picture n is all n; stops, or freezes, after `frames`.

    `stamp` is what the driver says of the time of capture, in milliseconds. From picture
    `still` on it sends that one for ever, until `still` is None.
    """

    def __init__(
        self,
        frames: int = 10**6,
        hang: bool = False,
        opens: bool = True,
        freezes: bool = False,
        stamp: Callable[[], float] = lambda: 0.0,
        still: int | None = None,
    ) -> None:
        self.still = still
        self.frames, self.hang, self.opens = frames, hang, opens
        self.freezes, self.stamp = freezes, stamp
        self.asked: dict[int, float] = {}
        self.count, self.released = 0, threading.Event()

    def __call__(self, *_: object) -> "FakeCapture":
        return self

    def isOpened(self) -> bool:
        return self.opens

    def set(self, what: int, value: float) -> bool:
        self.asked[what] = value
        return True

    def get(self, what: int) -> float:
        if what == cv2.CAP_PROP_POS_MSEC:
            return self.stamp()
        return {cv2.CAP_PROP_FPS: 30.0}.get(what, float(cv2.VideoWriter.fourcc(*"MJPG")))

    def read(self) -> tuple[bool, np.ndarray | None]:
        if self.hang:
            self.released.wait(0.2)
            return False, None
        time.sleep(0.002)
        if self.count >= self.frames:
            if self.freezes:
                self.released.wait(1.0)
            return False, None
        self.count += 1
        level = self.count - 1 if self.still is None else min(self.count - 1, self.still)
        return True, np.full((49, 66, 3), level % 256, np.uint8)

    def release(self) -> None:
        self.released.set()


@pytest.fixture
def plug(monkeypatch: pytest.MonkeyPatch) -> Callable[[FakeCapture], FakeCapture]:
    """Puts a fake camera in the place of every real one."""

    def do(capture: FakeCapture) -> FakeCapture:
        monkeypatch.setattr(cv2, "VideoCapture", capture)
        monkeypatch.setattr(source_module, "_check_node", lambda name: None)
        monkeypatch.setattr(source_module, "MISS_PAUSE_S", 0.001)
        return capture

    return do


Plug = Callable[[FakeCapture], FakeCapture]


def test_webcam_negotiates_and_describes(plug: Plug) -> None:
    capture = plug(FakeCapture())
    camera = Webcam(0, (1920, 1080), 60)
    assert camera.size == (66, 48)
    assert camera.fps == 30
    assert camera.count is None
    assert camera.describe().endswith("0: 66x48, 30 frames/s, MJPG")
    assert capture.asked[cv2.CAP_PROP_FRAME_WIDTH] == 1920
    assert capture.asked[cv2.CAP_PROP_FPS] == 60
    assert next(iter(capture.asked)) == cv2.CAP_PROP_FOURCC
    camera.close()
    assert capture.released.is_set()


def test_webcam_newest_frame_wins_and_none_comes_twice(plug: Plug) -> None:
    plug(FakeCapture())
    camera = Webcam(0)
    frames = []
    for frame in camera:
        frames.append(frame)
        time.sleep(0.02)  # ten times slower than the camera
        if len(frames) == 8:
            break
    camera.close()
    steps = np.diff([frame.index for frame in frames])
    assert (steps >= 2).all()  # older ones were dropped, none was repeated
    assert all((frame.image == frame.index % 256).all() for frame in frames)
    assert all(frame.image.flags.c_contiguous for frame in frames)
    assert len({id(frame.image) for frame in frames}) == len(frames)
    assert frames[0].time == 0
    assert (np.diff([frame.time for frame in frames]) > 0).all()


def test_webcam_does_not_begin_with_a_stale_frame(plug: Plug) -> None:
    plug(FakeCapture())
    camera = Webcam(0)
    time.sleep(0.1)  # the networks are loaded
    frames = [frame for frame, _ in zip(camera, range(2), strict=False)]
    camera.close()
    assert frames[1].time < 0.05


def test_webcam_that_stops_makes_the_loop_raise(plug: Plug) -> None:
    capture = plug(FakeCapture(frames=40))
    camera = Webcam(0)
    with pytest.raises(SourceError, match="stopped sending pictures"):
        list(camera)
    camera.close()
    assert capture.released.is_set()


def test_webcam_that_sends_nothing_does_not_wait_for_ever(
    plug: Plug, monkeypatch: pytest.MonkeyPatch
) -> None:
    capture = plug(FakeCapture(hang=True))
    monkeypatch.setattr(source_module, "NO_FRAME_S", 0.1)
    with pytest.raises(SourceError, match="sends no pictures"):
        Webcam(0)
    assert capture.released.wait(2)


def test_webcam_that_freezes_is_told_apart_from_one_that_fails(
    plug: Plug, monkeypatch: pytest.MonkeyPatch
) -> None:
    plug(FakeCapture(frames=40, freezes=True))
    monkeypatch.setattr(source_module, "FROZEN_S", 0.5)
    camera = Webcam(0)
    with pytest.raises(SourceError, match="sends no pictures"):
        list(camera)
    camera.close()


def test_webcam_that_repeats_one_picture_has_frozen(
    plug: Plug, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repeats_module, "REPEATS_S", 0.2)
    capture = plug(FakeCapture(still=5))
    camera = Webcam(0)
    seen: list[Frame] = []
    for frame in camera:
        seen.append(frame)
        if frame.fault is not None and capture.still is not None:
            assert "0 sends the same picture again and again" in frame.fault
            assert (frame.image == 5).all()
            capture.still = None
        elif frame.fault is None and frame.time > 0.3:
            break
    camera.close()
    faults = [frame.fault is not None for frame in seen]
    first = faults.index(True)
    since = next(frame.time for frame in seen if (frame.image == 5).all())
    assert 0.19 <= seen[first].time - since < 0.4
    assert faults.count(True) <= 2  # back with the first that is another


def test_pictures_that_differ_in_one_pixel_are_two() -> None:
    repeats = repeats_module.Repeats("front")
    picture = np.zeros((48, 64, 3), np.uint8)
    other = picture.copy()
    other[17, 40, 1] = 1
    small = np.zeros((24, 64, 3), np.uint8)
    for now in (1.0, 3.4):
        assert repeats(picture.copy(), now) is None
    for now in (3.5, 9.0):
        assert "camera front sends the same picture" in str(repeats(picture.copy(), now))
    assert repeats(other, 9.1) is None
    assert repeats(other, 11.5) is None
    assert repeats(small, 11.6) is None


@pytest.mark.parametrize("frames", [0, 40], ids=["before the first picture", "later"])
def test_webcam_gives_up_when_told(plug: Plug, frames: int) -> None:
    plug(FakeCapture(frames=frames, freezes=True))
    start = time.monotonic()

    def late() -> bool:
        return time.monotonic() - start > 0.4

    if frames:
        assert list(Webcam(0, give_up=late))
    else:
        with pytest.raises(SourceError, match="given up"):
            Webcam(0, give_up=late)
    assert time.monotonic() - start < 2.5


def test_webcam_first_picture_is_not_lost(plug: Plug) -> None:
    plug(FakeCapture(frames=1, freezes=True))
    camera = Webcam(0)
    assert next(iter(camera)).index == 0
    camera.close()


@pytest.mark.parametrize(
    ("age", "believed"), [(0.05, True), (30.0, False), (-5.0, False)], ids=["near", "old", "ahead"]
)
def test_webcam_takes_the_drivers_time_of_capture(plug: Plug, age: float, believed: bool) -> None:
    plug(FakeCapture(stamp=lambda: (time.monotonic() - age) * 1e3))
    camera = Webcam(0)
    frame = next(iter(camera))
    now = time.monotonic()
    camera.close()
    assert frame.captured is not None
    assert now - frame.captured == pytest.approx(age if believed else 0.0, abs=0.04)


def test_webcam_closed_ends_the_loop(plug: Plug) -> None:
    plug(FakeCapture())
    camera = Webcam(0)
    threading.Timer(0.05, camera.close).start()
    assert len(list(camera)) > 0


def test_webcam_in_use(plug: Plug) -> None:
    plug(FakeCapture(opens=False))
    with pytest.raises(SourceError, match=r"in use|cannot be opened"):
        Webcam(0)


@pytest.mark.parametrize("system", ["win32", "darwin"])
def test_elsewhere_cameras_have_numbers(system: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(cv2, "VideoCapture", lambda _: cv2.VideoWriter())  # never opened
    with pytest.raises(SourceError, match="numbers here; try --source 0, or camera:NAME"):
        Webcam("/dev/video0")
    with pytest.raises(SourceError, match=r"camera number 7 cannot be opened.*may this terminal"):
        Webcam(7)


@pytest.mark.skipif(not Path("/dev/null").exists(), reason="there is no /dev/null")
@pytest.mark.skipif(os.name != "posix" or not Path("/proc").exists(), reason="Linux only")
def test_camera_errors_name_what_is_there() -> None:
    with pytest.raises(SourceError, match=r"no camera /dev/video97: there is .*bshm-live devices"):
        Webcam(97)
    with pytest.raises(SourceError, match="/dev/null is not a video device"):
        Webcam("/dev/null")


@pytest.mark.parametrize(
    ("number", "words"),
    [(13, "group video"), (16, "in use"), (5, "cannot be opened"), (2, "no camera")],
)
def test_open_errors_tell_the_fix(number: int, words: str) -> None:
    told = source_module._open_text("/dev/video0", OSError(number, os.strerror(number)))
    assert words in told
    assert "\n" not in told


@pytest.mark.parametrize(
    ("text", "device"),
    [("0", 0), ("12", 12), ("/dev/video3", "/dev/video3"), ("a.mp4", None), ("²", None)],
)
def test_what_is_a_camera_and_what_a_file(text: str, device: str | int | None) -> None:
    assert camera_device(text) == device


def test_demo_clip_missing_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(video_file, "__file__", str(tmp_path / "sources" / "video_file.py"))
    with pytest.raises(SourceError, match="install bshm-live again"):
        demo_clip()
