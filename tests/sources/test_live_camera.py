"""A camera that goes and comes back: what leaves the source, what is told, how soon."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from bshm_live.errors import SourceError
from bshm_live.sources import lasting_name, open_source
from bshm_live.sources import live_camera as source_live
from bshm_live.sources.live_camera import AnyOf, LiveCamera
from bshm_live.sources.video_file import VideoFile, demo_clip
from bshm_live.types import Frame, Size

NAME = "/dev/video0"
GONE = f"camera {NAME} stopped sending pictures; was it unplugged? Plug it in again"
FROZEN = f"camera {NAME} sends no pictures; is another program using it?"
BUSY = f"camera {NAME} is in use; close the other program"


class Session:
    """An opened camera: `count` frames a few milliseconds apart, then what `end` is."""

    count = None
    fps = 30.0

    def __init__(self, count: int, end: str, size: Size, give_up: Callable[[], bool]) -> None:
        self.frames, self.end, self.size, self.give_up = count, end, size, give_up
        self.closed = False

    def describe(self) -> str:
        return f"camera {NAME}: {self.size[0]}x{self.size[1]}, 30 frames/s, MJPG"

    def __iter__(self) -> Iterator[Frame]:
        width, height = self.size
        start = None
        for index in range(self.frames):
            time.sleep(0.002)
            assert not self.closed, "a closed camera was read"
            now = time.monotonic()
            start = now if start is None else start
            image = np.full((height, width, 3), index % 256, np.uint8)
            yield Frame(image, 2 * index, now - start, now)
        if self.end == "hang":
            while not self.give_up():
                time.sleep(0.01)
            return
        raise SourceError(self.end)

    def close(self) -> None:
        self.closed = True


class Port:
    """What is plugged in: each opening takes the next of `script`.

    A script's item is an error's text, or (frames, how it ends[, size]).
    """

    def __init__(self, *script: object) -> None:
        self.script, self.there = list(script), True
        self.opened: list[Session] = []
        self.tries: list[float] = []
        self.lines: list[str] = []

    def open(self, give_up: Callable[[], bool]) -> Session:
        self.tries.append(time.monotonic())
        assert not self.opened or self.opened[-1].closed, "a camera was opened twice"
        item = self.script.pop(0) if self.script else BUSY
        if isinstance(item, str):
            raise SourceError(item)
        frames, end, size = (*item, (64, 48))[:3]  # type: ignore[misc]
        self.opened.append(Session(frames, end, size, give_up))
        return self.opened[-1]

    def camera(self) -> LiveCamera:
        return LiveCamera(self.open, NAME, self.lines.append, present=lambda: self.there)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of the real waiting times."""
    for name in ("FIRST_PAUSE_S", "LONGEST_PAUSE_S", "LOOK_S", "ASK_S", "IDLE_S"):
        monkeypatch.setattr(source_live, name, getattr(source_live, name) / 10)


def take(camera: LiveCamera, count: int) -> list[Frame]:
    frames = [frame for _, frame in zip(range(count), camera, strict=False)]
    camera.close()
    return frames


def test_a_camera_that_is_plugged_in_again_goes_on() -> None:
    port = Port((5, GONE), (5, GONE), (20, GONE))
    frames = take(port.camera(), 15)
    assert [frame.session for frame in frames] == [0] * 5 + [1] * 5 + [2] * 5
    steps = np.diff([frame.index for frame in frames])
    assert list(steps) == [2, 2, 2, 2, 1, 2, 2, 2, 2, 1, 2, 2, 2, 2]
    times = [frame.time for frame in frames]
    assert times == sorted(times)
    assert times[5] - times[4] >= 0.02  # the outage is in the frames' time
    assert all(frame.captured is not None for frame in frames)
    assert all(session.closed for session in port.opened)
    lost, back = f"camera {NAME} stopped sending pictures; waiting for it", f"camera {NAME} is back"
    assert port.lines == [lost, f"{back}: 64x48"] * 2


def test_times_go_with_the_clock() -> None:
    port = Port((5, GONE), BUSY, BUSY, (20, GONE))
    start = time.monotonic()
    frames = take(port.camera(), 8)
    assert frames[0].time == pytest.approx(0, abs=0.01)
    assert frames[-1].time == pytest.approx(time.monotonic() - start, abs=0.03)


def test_a_camera_may_come_back_at_another_size() -> None:
    port = Port((2, FROZEN), (9, GONE, (32, 24)))
    camera = port.camera()
    assert camera.size == (64, 48)
    frames = take(camera, 4)
    assert [frame.image.shape[:2] for frame in frames] == [(48, 64)] * 2 + [(24, 32)] * 2
    assert camera.size == (64, 48)
    assert port.lines[-1].endswith("is back: 32x24")


def test_a_camera_that_is_missing_at_the_start_is_an_error_at_once() -> None:
    with pytest.raises(SourceError, match="in use"):
        Port(BUSY).camera()


def test_tries_come_later_and_later_and_tell_once() -> None:
    port = Port((1, GONE), *[BUSY] * 8, (5, GONE))
    assert len(take(port.camera(), 3)) == 3
    pauses = np.diff(port.tries[1:])
    assert pauses[0] < 0.1
    assert pauses.max() < source_live.LONGEST_PAUSE_S + 2 * source_live.LOOK_S + 0.1
    assert pauses[-1] > 4 * pauses[0]
    assert port.lines == [
        f"camera {NAME} stopped sending pictures; waiting for it",
        f"camera {NAME} is in use; waiting for it",
        f"camera {NAME} is back: 64x48",
    ]


def test_a_camera_that_appears_is_opened_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_live, "FIRST_PAUSE_S", 30.0)
    port = Port((3, GONE), (5, GONE))
    camera = port.camera()
    frames = iter(camera)
    for _ in range(3):
        next(frames)
    port.there = False
    plugged = []

    def plug() -> None:
        plugged.append(time.monotonic())
        port.there = True

    threading.Timer(0.3, plug).start()
    next(frames)
    assert len(port.tries) == 2  # none while there was no device
    assert 0 <= port.tries[1] - plugged[0] < 0.2
    camera.close()


def test_waiting_costs_nothing() -> None:
    port = Port((1, GONE))
    camera = port.camera()
    threading.Timer(1.0, camera.stop).start()
    start = time.process_time()
    assert len(list(camera)) == 1
    assert time.process_time() - start < 0.1


@pytest.mark.parametrize("script", [[(3, GONE)], [(3, "hang")]], ids=["lost", "silent"])
def test_stop_ends_the_wait(script: list[object]) -> None:
    port = Port(*script)
    camera = port.camera()
    threading.Timer(0.2, camera.stop).start()
    start = time.monotonic()
    assert len(list(camera)) == 3
    assert time.monotonic() - start < 1
    camera.close()
    assert port.opened[0].closed


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such signals")
def test_stop_may_be_called_by_a_signal() -> None:
    port = Port((3, GONE))
    camera = port.camera()
    before = signal.signal(signal.SIGUSR1, lambda *_: camera.stop())
    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGUSR1))
    timer.start()
    try:
        start = time.monotonic()
        assert len(list(camera)) == 3
        assert time.monotonic() - start < 1
    finally:
        timer.join()
        signal.signal(signal.SIGUSR1, before)


def test_a_bug_in_a_source_is_not_hidden() -> None:
    class Broken(Session):
        def __iter__(self) -> Iterator[Frame]:
            raise RuntimeError("a bug")

    camera = LiveCamera(lambda give_up: Broken(1, GONE, (64, 48), give_up), NAME, print)
    with pytest.raises(RuntimeError):
        list(camera)


class Viewers:
    """Wanted: whether somebody watches, by a number that a test sets."""

    def __init__(self, number: int = 0) -> None:
        self.number, self.asked, self.closed = number, 0, False

    def in_use(self) -> bool:
        self.asked += 1
        return self.number > 0

    def wait(self, timeout: float) -> bool:
        end = time.monotonic() + timeout
        while not self.number and time.monotonic() < end:
            time.sleep(0.002)
        return self.number > 0

    def close(self) -> None:
        self.closed = True


def test_on_demand_the_camera_is_off_until_somebody_watches() -> None:
    port, viewers = Port(*[(10**6, GONE)] * 3), Viewers()
    camera = port.camera()
    camera.viewers = viewers
    came: list[float] = []

    def come() -> None:
        assert port.opened[0].closed
        assert len(port.opened) == 1
        came.append(time.monotonic())
        viewers.number = 1

    threading.Timer(0.2, come).start()
    frames = iter(camera)
    first = next(frames)
    assert time.monotonic() - came[0] < 0.1  # without a pause
    assert first.session == 0
    viewers.number = 0
    left = time.monotonic()
    threading.Timer(0.8, setattr, (viewers, "number", 1)).start()
    rest = 0
    for frame in frames:
        rest += 1
        if frame.session == 1:
            break
    assert port.opened[1].closed
    shown = source_live.IDLE_S
    assert rest == pytest.approx(shown / 0.0025, rel=0.6)  # a moment longer: programs look twice
    assert time.monotonic() - left > 0.75
    camera.close()
    off, on = f"nobody watches: camera {NAME} is off", f"camera {NAME} is on: 64x48"
    assert port.lines == [off, on, off, on]


def test_while_somebody_watches_the_camera_stays_on() -> None:
    port, viewers = Port((10**6, GONE)), Viewers(1)
    camera = port.camera()
    camera.viewers = viewers
    start = time.monotonic()
    for _ in camera:
        if time.monotonic() - start > 3 * source_live.IDLE_S:
            camera.stop()
    assert port.lines == []
    assert viewers.asked <= 1 + (time.monotonic() - start) / source_live.ASK_S


def test_a_lost_camera_that_nobody_watches_is_not_tried() -> None:
    port, viewers = Port((3, GONE)), Viewers(1)
    camera = port.camera()
    camera.viewers = viewers
    frames = iter(camera)
    next(frames)
    viewers.number = 0
    threading.Timer(1.0, camera.stop).start()
    list(frames)
    tries = len(port.tries)
    assert port.tries[-1] - port.tries[0] < source_live.IDLE_S + 0.3
    assert tries < 8
    assert port.lines[-1] == f"nobody watches: camera {NAME} is off"


def test_stop_ends_the_rest() -> None:
    port = Port((3, GONE))
    camera = port.camera()
    camera.viewers = Viewers()
    threading.Timer(0.2, camera.stop).start()
    assert list(camera) == []


# A pause


def test_a_pause_shows_black_first_and_then_closes_the_camera() -> None:
    port = Port((10**6, GONE), (10**6, GONE))
    camera = port.camera()
    frames = iter(camera)
    seen = [next(frames) for _ in range(3)]
    camera.paused = True
    asked = time.monotonic()
    first = next(frames)
    assert time.monotonic() - asked < 0.2
    assert not port.opened[0].closed, "who watches waits for that"
    start = time.monotonic()
    rest = [next(frames) for _ in range(15)]
    assert port.opened[0].closed
    assert 0.4 < time.monotonic() - start < 1.5  # at the camera's rate
    camera.paused = False
    resumed = time.monotonic()
    back = next(frames)
    assert time.monotonic() - resumed < 0.3
    assert back.fault is None
    assert len(port.opened) == 2
    for frame in (first, *rest):
        assert frame.fault is not None
        assert not frame.image.any()
    everything = [*seen, first, *rest, back]
    assert [frame.session for frame in everything] == [0] * 3 + [1] * 16 + [2]
    assert (np.diff([frame.index for frame in everything]) > 0).all()
    assert (np.diff([frame.time for frame in everything]) > 0).all()
    camera.close()
    assert port.lines == [f"paused: camera {NAME} is off", f"camera {NAME} is on: 64x48"]


@pytest.mark.parametrize("state", ["silent", "lost", "nobody watches"])
def test_a_pause_begins_at_once_whatever_the_camera_does(state: str) -> None:
    port = Port((2, "hang" if state == "silent" else GONE), (10**6, GONE))
    camera = port.camera()
    frames = iter(camera)
    next(frames), next(frames)
    if state == "lost":
        port.there = False
    elif state == "nobody watches":
        camera.viewers = Viewers()
    timer = threading.Timer(0.3, setattr, (camera, "paused", True))
    timer.start()
    start = time.monotonic()
    assert next(frames).fault is not None
    assert time.monotonic() - start < 0.3 + 0.25
    assert not any("has ended" in line or "given up" in line for line in port.lines)
    port.there, camera.viewers = True, None
    next(frames)
    camera.paused = False
    assert next(frames).fault is None
    camera.close()


def test_a_pause_and_its_end_in_one_moment_is_no_outage() -> None:
    port = Port((1, "hang"), (10**6, GONE))
    camera = port.camera()
    frames = iter(camera)
    next(frames)

    def blink() -> None:
        camera.paused = True
        time.sleep(0.03)
        camera.paused = False

    timer = threading.Timer(0.05, blink)
    timer.start()
    threading.Timer(0.5, camera.stop).start()
    list(frames)
    timer.join()
    assert not any("waiting" in line for line in port.lines)


def test_any_of_several_is_enough() -> None:
    parts = [Viewers(), Viewers(), Viewers()]
    any_of = AnyOf(parts)
    assert not any_of.in_use()
    start = time.monotonic()
    assert not any_of.wait(0.15)
    assert 0.14 < time.monotonic() - start < 0.3
    threading.Timer(0.1, setattr, (parts[2], "number", 1)).start()
    start = time.monotonic()
    while not any_of.wait(0.05):
        pass
    assert time.monotonic() - start < 0.3
    assert any_of.in_use()


@pytest.mark.skipif(os.name != "posix", reason="links as on Linux")
def test_a_camera_is_known_by_the_name_that_stays(tmp_path: Path) -> None:
    nodes, links = tmp_path / "dev", tmp_path / "by-id"
    nodes.mkdir()
    links.mkdir()
    for number in range(3):
        (nodes / f"video{number}").touch()
    (links / "usb-Cam_A-video-index0").symlink_to(nodes / "video0")
    (links / "usb-Cam_A-video-index1").symlink_to(nodes / "video1")
    assert lasting_name(str(nodes / "video0"), links) == str(links / "usb-Cam_A-video-index0")
    assert lasting_name(str(nodes / "video1"), links) == str(nodes / "video1")
    assert lasting_name(str(nodes / "video2"), links) == str(nodes / "video2")
    assert lasting_name(str(nodes / "video2"), tmp_path / "none") == str(nodes / "video2")
    own = tmp_path / "front"
    own.symlink_to(nodes / "video0")
    assert lasting_name(str(own), links) == str(own)  # the user has a name of his own


def test_open_source_takes_files_and_cameras() -> None:
    if demo_clip().is_file():
        assert isinstance(open_source(str(demo_clip())), VideoFile)
    with pytest.raises(SourceError, match="no such file"):
        open_source("none.mp4")
    if Path("/proc").exists():
        with pytest.raises(SourceError, match=r"no camera /dev/video97"):
            open_source("97")
