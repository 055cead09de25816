"""The virtual camera: the newest frame at a steady rate, whatever the loop and the device do."""

from __future__ import annotations

import errno
import itertools
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bshm_live.errors import SinkError
from bshm_live.setup.system import is_root
from bshm_live.sinks import open_sink
from bshm_live.sinks import v4l2 as sink_v4l2
from bshm_live.sinks import virtual_camera as sink_vcam
from bshm_live.sinks.loopback import pick_loopback, who_holds
from bshm_live.sinks.pace import HEADROOM, LEEWAY, Beat, Pace
from bshm_live.sinks.pixels import PixelFormat
from bshm_live.sinks.v4l2 import Busy, Loopback
from bshm_live.sinks.virtual_camera import VirtualCamera
from bshm_live.types import Picture, Shot, Size

SIZE = (128, 96)
IDLE = 7  # the placeholder's level


def shot(level: int) -> Shot:
    image = np.full((SIZE[1], SIZE[0], 3), level, np.uint8)
    return Shot(image, np.zeros(SIZE[::-1], np.uint8), None, 0, 0.0, True)


def until(what: Callable[[], object], seconds: float = 3.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.002)


class Device:
    """A loopback device in memory: what it was shown, and how it fails."""

    def __init__(self) -> None:
        self.shown: list[int] = []
        self.times: list[float] = []
        self.opened = self.closed = 0
        self.name = "/dev/video42"
        self.error: OSError | None = None  # of the next picture
        self.check_error: OSError | None = None
        self.refusal: SinkError | None = None  # of the next opening
        self.free = threading.Event()  # pictures wait for it
        self.free.set()

    def open(self, device: str | None, size: Size, fps: float, pixels: PixelFormat) -> Device:
        if self.refusal is not None:
            raise self.refusal
        self.opened += 1
        self.device = device or self.name
        return self

    def stand_in(self, picture: Picture) -> None:
        self.stands_in = int(picture[0, 0, 0])

    def show(self, picture: Picture) -> None:
        self.level = int(picture[0, 0, 0])
        assert (picture == self.level).all(), "a torn picture"
        self.again()

    def again(self) -> None:
        self.free.wait(5)
        if self.error is not None:
            raise self.error
        self.shown.append(self.level)
        self.times.append(time.monotonic())

    def check(self) -> None:
        if self.check_error is not None:
            raise self.check_error

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Device:
    found = Device()
    monkeypatch.setattr(sink_vcam, "_open", found.open)
    return found


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def camera(device: Device, told: list[str]) -> Iterator[VirtualCamera]:
    camera = VirtualCamera(None, SIZE, 100, placeholder=shot(IDLE).composite, report=told.append)
    yield camera
    device.free.set()
    camera.close()


def test_the_placeholder_is_there_at_once_then_frames(
    camera: VirtualCamera, device: Device
) -> None:
    assert device.stands_in == IDLE
    assert device.shown == [IDLE]
    for level in (30, 33, 36):
        camera.send(shot(level))
        until(lambda level=level: device.shown[-1] == level)
    assert device.shown == [IDLE, 30, 33, 36]
    assert camera.describe() == "virtual camera /dev/video42: 128x96, 100 frames/s"
    assert not camera.needs_foreground
    assert camera.dropped == 0


def test_black_without_a_placeholder(device: Device) -> None:
    VirtualCamera(None, SIZE, 25).close()
    assert device.shown == [0]
    assert device.closed == 1


def test_the_loops_arrays_are_its_own(camera: VirtualCamera, device: Device) -> None:
    device.free.clear()
    one = shot(45)
    camera.send(one)
    one.composite.fill(255)
    device.free.set()
    until(lambda: 45 in device.shown)
    assert 255 not in device.shown


def test_a_slow_device_never_holds_the_loop_and_gets_the_newest(
    camera: VirtualCamera, device: Device
) -> None:
    device.free.clear()
    start = time.monotonic()
    for level in range(10, 60):
        camera.send(shot(level))
    assert time.monotonic() - start < 3  # the device would have held it for 5
    device.free.set()
    until(lambda: device.shown[-1] == 59)
    assert len(device.shown) <= 4  # the placeholder, one that waited, the newest
    assert camera.dropped >= 47


def test_too_many_frames_are_dropped_at_its_rate(device: Device) -> None:
    camera = VirtualCamera(None, SIZE, 50)
    start = time.monotonic()
    count = 0
    while time.monotonic() < start + 0.2:
        camera.send(shot(10 + count % 200))
        count += 1
        time.sleep(0.002)
    camera.close()
    assert len(device.shown) <= (time.monotonic() - start) * 50 * HEADROOM + 3
    assert camera.dropped >= count - len(device.shown) - 1


def test_the_last_picture_is_repeated_then_the_background(
    camera: VirtualCamera, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sink_vcam, "STALE_S", 0.15)
    camera.send(shot(45))
    until(lambda: device.shown[-1] == 45)
    until(lambda: device.shown[-1] == IDLE)
    stale = device.times[len(device.times) - 1] - device.times[device.shown.index(45)]
    assert stale > 0.12
    assert device.shown.count(45) >= 3
    assert camera.repeated >= 2
    camera.show_idle(shot(90).composite)
    until(lambda: device.shown[-1] == 90)
    camera.send(shot(46))
    until(lambda: device.shown[-1] == 46)


def test_a_new_background_does_not_hide_the_person(camera: VirtualCamera, device: Device) -> None:
    camera.send(shot(45))
    until(lambda: device.shown[-1] == 45)
    camera.show_idle(shot(90).composite)
    time.sleep(0.05)
    assert 90 not in device.shown


def test_nothing_is_shown_after_the_end(camera: VirtualCamera, device: Device) -> None:
    camera.send(shot(45))
    running = set(threading.enumerate())
    camera.close()
    assert len(running - set(threading.enumerate())) == 1  # the one that shows has ended
    count = len(device.shown)
    with pytest.raises(SinkError, match="has stopped"):
        camera.send(shot(46))
    assert len(device.shown) == count


def test_a_viewer_gets_the_rate_that_was_announced(device: Device) -> None:
    """From a webcam that gives half of it in a dark room."""
    camera = VirtualCamera(None, SIZE, 50)
    camera.send(shot(1))
    start = time.monotonic()
    for level in range(2, 12):
        time.sleep(0.04)
        camera.send(shot(level))
    until(lambda: device.shown[-1] == 11)
    seconds, count = time.monotonic() - start, len(device.shown)
    camera.close()
    assert sorted(device.shown) == device.shown
    assert set(range(1, 12)) <= set(device.shown)
    assert camera.dropped == 0
    assert 0.6 * 50 * seconds <= count <= 1.2 * 50 * seconds + 2  # a busy machine is late


# A device that is lost


def test_a_lost_device_is_opened_again(
    camera: VirtualCamera, device: Device, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sink_vcam, "FIRST_RETRY_S", 0.02)
    monkeypatch.setattr(sink_vcam, "LAST_RETRY_S", 0.04)
    device.error = OSError(errno.EIO, "Input/output error")
    device.refusal = SinkError("there is no virtual camera; make one")
    camera.send(shot(45))
    until(lambda: len(told) == 2)
    for _ in range(20):
        camera.send(shot(46))
        time.sleep(0.005)
    device.error = None
    device.refusal = SinkError("another program feeds it")
    until(lambda: len(told) == 3)
    device.refusal = None
    until(lambda: len(told) == 4)
    assert told == [
        "virtual camera /dev/video42 is lost (Input/output error): opening it again",
        "there is no virtual camera; make one",
        "another program feeds it",
        "virtual camera /dev/video42 is back",
    ]
    assert device.shown[-1] == IDLE  # not the frame of before
    assert camera.dropped >= 20
    assert (device.opened, device.closed) == (2, 1)
    camera.send(shot(47))
    until(lambda: device.shown[-1] == 47)


def test_a_device_at_another_size_is_lost_too(
    camera: VirtualCamera, device: Device, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sink_vcam, "CHECK_EVERY_S", 0.0)
    monkeypatch.setattr(sink_vcam, "FIRST_RETRY_S", 0.01)
    device.check_error = OSError(errno.EBUSY, "another program set it to 640x480")
    camera.send(shot(45))
    until(lambda: told)
    device.check_error = None
    until(lambda: "is back" in told[-1])
    assert "set it to 640x480" in told[0]


def test_tries_become_rare(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    waits = [0.004, 0.008, 0.016, 0.03, 0.03, 0.03]  # s, at the least
    monkeypatch.setattr(sink_vcam, "FIRST_RETRY_S", waits[0])
    monkeypatch.setattr(sink_vcam, "LAST_RETRY_S", waits[-1])
    tries: list[float] = []

    def refuse(*_: object) -> Device:
        tries.append(time.monotonic())
        raise SinkError("gone")

    camera = VirtualCamera(None, SIZE, 25, report=lambda line: None)
    monkeypatch.setattr(sink_vcam, "_open", refuse)
    device.error = OSError(errno.EIO, "no")
    camera.send(shot(1))
    until(lambda: len(tries) > len(waits))
    camera.close()
    gaps = [after - before for before, after in itertools.pairwise(tries)]
    # A busy machine may be late, but is never early.
    assert all(gap > 0.9 * wait for gap, wait in zip(gaps[1:], waits[1:], strict=False))


def test_a_camera_that_is_lost_can_be_closed(device: Device) -> None:
    camera = VirtualCamera(None, SIZE, 25, report=lambda line: None)
    device.error = OSError(errno.EIO, "no")
    device.refusal = SinkError("gone")
    camera.send(shot(1))
    until(lambda: device.closed)
    start = time.monotonic()
    camera.close()
    assert time.monotonic() - start < sink_vcam.JOIN_S


def test_lines_are_logged_unless_told(device: Device, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    camera = VirtualCamera(None, SIZE, 25)
    device.error = OSError(errno.EIO, "no")
    device.refusal = SinkError("gone")
    camera.send(shot(1))
    until(lambda: device.closed)
    camera.close()
    assert caplog.messages[0].startswith("virtual camera /dev/video42 is lost (no)")


def test_a_program_that_is_just_ending_is_waited_for(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    device.refusal = Busy("another program feeds it")
    monkeypatch.setattr(sink_vcam, "START_PATIENCE_S", 30.0)
    threading.Timer(0.25, setattr, (device, "refusal", None)).start()
    VirtualCamera(None, SIZE, 25).close()
    assert device.opened == 1
    monkeypatch.setattr(sink_vcam, "START_PATIENCE_S", 0.2)
    device.refusal = Busy("another program feeds it")
    with pytest.raises(SinkError, match="another program"):
        VirtualCamera(None, SIZE, 25)
    monkeypatch.setattr(sink_vcam, "START_PATIENCE_S", 30.0)
    device.refusal = SinkError("there is none")
    start = time.monotonic()
    with pytest.raises(SinkError, match="there is none"):
        VirtualCamera(None, SIZE, 25)
    assert time.monotonic() - start < 5  # that cannot pass: at once


def test_open_sink_makes_cameras(device: Device) -> None:
    first, second = open_sink("vcam", SIZE, 25), open_sink("vcam:/dev/video7", SIZE, 25)
    assert isinstance(first, VirtualCamera)
    assert isinstance(second, VirtualCamera)
    first.close()
    second.close()
    assert (first.device, second.device) == ("/dev/video42", "/dev/video7")


# The pace


@given(
    st.floats(1, 120),
    st.lists(st.floats(0, 0.2), min_size=1, max_size=200),
)
def test_never_more_than_the_rate(fps: float, gaps: list[float]) -> None:
    pace, now, shown = Pace(fps), 0.0, []
    for gap in gaps:
        now += gap
        if pace.wait(now) == 0:
            pace.shown(now)
            shown.append(now)
    for first in range(0, len(shown), 7):
        for last in range(first, len(shown), 5):
            span = shown[last] - shown[first]
            assert last - first <= span * fps * HEADROOM + LEEWAY + 1e-6


@given(st.floats(5, 120), st.lists(st.floats(-0.35, 0.35), min_size=2, max_size=200))
def test_jitter_costs_no_delay(fps: float, jitter: list[float]) -> None:
    """Frames at the rate, each up to a third of a frame early or late, are shown at once."""
    pace = Pace(fps)
    for number, shift in enumerate(jitter):
        now = (number + shift) / fps
        assert pace.wait(now) <= 1e-9
        pace.shown(now)


@given(st.floats(5, 120), st.lists(st.floats(0.98, 8), min_size=1, max_size=100))
def test_new_and_repeated_pictures_are_the_rate_together(fps: float, gaps: list[float]) -> None:
    """Whatever lies between two new ones, in frames' times; none is ever late for a repeat."""
    beat, now, due, shown = Beat(fps), 0.0, 0.0, 0
    for gap in gaps:
        beat.shown(now)
        shown += 1
        due += gap / fps
        while now + beat.wait(now) < due:
            now += beat.wait(now)
            beat.shown(now)
            shown += 1
        now = due
    expected = now * fps
    assert expected - len(gaps) * 0.02 - 2 <= shown
    # Each new picture may come just after the last one was repeated.
    assert shown <= expected + len(gaps)


@given(st.floats(5, 120), st.floats(0.2, 1.0))
def test_an_even_pace_of_new_pictures_is_filled_up(fps: float, share: float) -> None:
    beat, now, due, shown = Beat(fps), 0.0, 0.0, 0
    for _ in range(200):
        beat.shown(now)
        shown += 1
        due += 1 / (share * fps)
        while now + beat.wait(now) < due:
            now += beat.wait(now)
            beat.shown(now)
            shown += 1
        now = due
    assert 0.97 * now * fps - 2 <= shown <= 1.03 * now * fps + 2


# The device's own words


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere OBS brings the camera")
@pytest.mark.skipif(sys.platform != "linux", reason="v4l2loopback is Linux's")
class TestLoopback:
    def test_none_at_all(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sink_vcam, "pick_loopback", lambda: None)
        with pytest.raises(SinkError, match="there is no virtual camera; make one: sudo modprobe"):
            VirtualCamera(None, SIZE, 25)

    def test_not_there(self) -> None:
        with pytest.raises(SinkError, match="no virtual camera /dev/video99; make one: sudo"):
            Loopback("/dev/video99", SIZE, 25)

    def test_not_a_video_device(self, tmp_path: Path) -> None:
        with pytest.raises(SinkError, match="/dev/null is not a video device"):
            Loopback("/dev/null", SIZE, 25)

    @pytest.mark.skipif(is_root(), reason="root may open everything")
    def test_closed_to_us(self, tmp_path: Path) -> None:
        (tmp_path / "video10").touch(mode=0)
        with pytest.raises(SinkError, match="group video"):
            Loopback(str(tmp_path / "video10"), SIZE, 25)

    def test_too_many_openers(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object) -> int:
            raise OSError(errno.EBUSY, "Device or resource busy")

        monkeypatch.setattr(sink_v4l2.os, "open", refuse)
        with pytest.raises(Busy, match="open in too many programs"):
            Loopback("/dev/video10", SIZE, 25)

    def test_a_short_write_is_a_loss(self) -> None:
        reading, writing = os.pipe2(os.O_NONBLOCK)
        output = object.__new__(Loopback)
        output._node, output._pixels = writing, np.zeros((1 << 20, 4), np.uint8)
        output._stay, output._news = None, ""
        with pytest.raises(OSError, match="it takes"):
            output.again()
        os.close(reading)
        with pytest.raises(BrokenPipeError):
            output.again()
        output.close()


class ObsTwin:
    """What pyvirtualcam has on Windows and macOS: OBS's camera, in memory."""

    PixelFormat = SimpleNamespace(BGR="BGR")

    def __init__(self, refuses: str = "") -> None:
        self.sent: list[int] = []
        self.refuses, self.closed = refuses, False
        self.device = "OBS Virtual Camera"

    def Camera(self, width: int, height: int, fps: float, **given: object) -> ObsTwin:
        if self.refuses:
            raise RuntimeError(self.refuses)
        assert given == {"fmt": "BGR", "device": None}
        assert fps >= 1
        self.shape = (height, width, 3)
        return self

    def send(self, frame: np.ndarray) -> None:
        assert frame.shape == self.shape
        assert frame.dtype == np.uint8
        self.sent.append(int(frame[0, 0, 0]))

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize(
    ("system", "words"), [("win32", "OBS Studio 26"), ("darwin", "OBS Studio 30")]
)
def test_elsewhere_obs_is_named(system: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", system)
    twin = ObsTwin("virtual camera output could not be started")
    monkeypatch.setitem(sys.modules, "pyvirtualcam", twin)
    with pytest.raises(SinkError, match=words):
        VirtualCamera(None, SIZE, 25)
    monkeypatch.setitem(sys.modules, "pyvirtualcam", None)
    with pytest.raises(SinkError, match="pip install pyvirtualcam"):
        VirtualCamera(None, SIZE, 25)


@pytest.mark.parametrize("system", ["win32", "darwin"])
def test_obs_gets_every_picture_and_the_last_one_again(
    system: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    twin = ObsTwin()
    monkeypatch.setitem(sys.modules, "pyvirtualcam", twin)
    monkeypatch.setattr(sys, "platform", system)
    camera = VirtualCamera(None, SIZE, 25, placeholder=shot(IDLE).composite)
    camera.send(shot(45))
    until(lambda: twin.sent[-1] == 45)
    until(lambda: len(twin.sent) > 2)
    assert camera.viewers() is None
    assert "OBS Virtual Camera" in camera.describe()
    camera.close()
    assert set(twin.sent) == {IDLE, 45}
    assert twin.closed


# Which device


def nodes(root: Path, labels: dict[int, str], real: int = 0) -> Path:
    """A /sys/class/video4linux with a real camera and loopbacks."""
    (root / f"video{real}").mkdir(parents=True)
    (root / f"video{real}" / "name").write_text("bshm-live\n")  # a real one is never taken
    for number, label in labels.items():
        (root / f"video{number}").mkdir()
        (root / f"video{number}" / "name").write_text(label + "\n")
        (root / f"video{number}" / "max_openers").write_text("10\n")
    return root


@pytest.mark.parametrize(
    ("labels", "device"),
    [
        ({9: "OBS Virtual Camera", 10: "clip", 11: "bshm-live"}, "/dev/video11"),
        ({9: "OBS Virtual Camera", 10: "second", 4: "first"}, "/dev/video4"),
        ({}, None),
    ],
)
def test_our_own_loopback_is_preferred(
    tmp_path: Path, labels: dict[int, str], device: str | None
) -> None:
    assert pick_loopback(nodes(tmp_path / "v4l", labels)) == device


def test_the_loopback_of_obs_is_not_taken_unasked(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="vcam:/dev/video9"):
        pick_loopback(nodes(tmp_path / "v4l", {9: "OBS Virtual Camera"}))


def test_who_holds_it_is_named(tmp_path: Path) -> None:
    for process, name, target in (
        (7, "ffmpeg", "/dev/video10"),
        (8, "zoom", "/dev/video1"),
        (os.getpid(), "python", "/dev/video10"),
    ):
        (tmp_path / str(process) / "fd").mkdir(parents=True)
        (tmp_path / str(process) / "comm").write_text(f"{name}\n")
        (tmp_path / str(process) / "fd" / "3").symlink_to(target)
    assert who_holds("/dev/video10", tmp_path) == " (ffmpeg, process 7)"
    assert who_holds("/dev/video2", tmp_path) == ""
