"""The virtual camera on real devices; run in the guest by test_guest.py."""

from __future__ import annotations

import itertools
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import kit
import numpy as np
import pytest
import readers

from bshm_live.errors import SinkError
from bshm_live.sinks.v4l2 import Loopback
from bshm_live.sinks.virtual_camera import VirtualCamera

SIZE = (640, 360)
TESTSRC = [
    "ffmpeg",
    "-v",
    "error",
    "-re",
    "-f",
    "lavfi",
    "-i",
    "testsrc=s=640x360",
    "-pix_fmt",
    "yuv420p",
    "-f",
    "v4l2",
]
TO_DEVICE = ("-pix_fmt", "yuv420p", "-f", "v4l2")
OFF = 3  # of 255: from BGR to I420 and back


@pytest.fixture(autouse=True)
def fresh() -> None:
    kit.reload_loopback()


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def open_camera(told: list[str]) -> Iterator[Callable[..., VirtualCamera]]:
    cameras = []

    def open_one(device: str | None = None, size=SIZE, fps: float = 30, level: int = 60):
        idle = np.full((size[1], size[0], 3), level, np.uint8)
        cameras.append(VirtualCamera(device, size, fps, placeholder=idle, report=told.append))
        return cameras[-1]

    yield open_one
    for camera in cameras:
        camera.close()


class Sending:
    """The loop: sends even greys, one level more each second, until the `with` ends."""

    def __init__(self, *cameras: VirtualCamera, fps: float = 30, levels=(100,)) -> None:
        self.cameras, self.period, self.levels = cameras, 1 / fps, levels
        self.longest, self.count = 0.0, 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        shots = [kit.shot(level) for level in self.levels]
        while not self._end.wait(self.period):
            start = time.monotonic()
            for camera, one in zip(self.cameras, shots, strict=True):
                camera.send(one)
            self.longest = max(self.longest, time.monotonic() - start)
            self.count += 1


def levels(images: list[np.ndarray]) -> list[int]:
    """Of even pictures."""
    for image in images:
        assert int(image.max()) - int(image.min()) <= 2 * OFF
    return [round(float(image.mean())) for image in images]


def near(found: int, level: int) -> bool:
    return abs(found - level) <= OFF


def test_it_is_a_camera_at_once_with_its_rate_and_size(open_camera) -> None:
    assert not kit.is_camera(kit.OUT)
    camera = open_camera(fps=24)
    assert camera.describe() == "virtual camera /dev/video10 (bshm-live): 640x360, 24 frames/s"
    assert kit.is_camera(kit.OUT)
    words = ["v4l2-ctl", "-d", kit.OUT, "--get-parm", "--get-fmt-video"]
    text = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert "24.000" in text
    assert "640/360" in text
    assert "YU12" in text


@pytest.mark.parametrize("reader", ["v4l2-ctl", "ffmpeg", "opencv"])
def test_readers_see_what_was_sent(open_camera, tmp_path: Path, reader: str) -> None:
    read = {
        "v4l2-ctl": lambda: readers.read_v4l2ctl(tmp_path, 10, SIZE).images,
        "ffmpeg": lambda: readers.read_ffmpeg(10, SIZE).images,
        "opencv": lambda: readers.read_opencv(10).images,
    }[reader]
    with Sending(open_camera(), levels=(100,)):
        found = levels(read())
    assert all(near(level, 100) or near(level, 60) for level in found)
    assert near(found[-1], 100)


def test_a_camera_without_frames_goes_on_and_then_shows_the_background(
    open_camera, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bshm_live.sinks.virtual_camera.STALE_S", 1.0)
    camera = open_camera()
    camera.send(kit.shot(100))
    time.sleep(0.1)
    found = levels(readers.read_v4l2ctl(tmp_path, 50, SIZE).images)
    kinds = [round(level / 10) for level in found]
    assert kinds[-1] == 6
    # A reader may begin with the picture before.
    assert [kind for kind, _ in itertools.groupby(kinds)][-2:] == [10, 6]
    camera.show_idle(kit.shot(180).composite)
    assert near(levels(readers.read_v4l2ctl(tmp_path, 3, SIZE).images)[-1], 180)
    assert camera.repeated >= 30


@pytest.mark.parametrize("fps", [5, 24])
def test_a_viewer_gets_the_rate_whatever_the_loop_does(open_camera, fps: float) -> None:
    with Sending(open_camera(), fps=fps):
        time.sleep(0.2)
        found = readers.rate_of(kit.OUT, 3)
    print(f"{fps} frames/s are {found:.1f} at a viewer")
    assert 30 * (1 - 0.05 * kit.BUSY) < found < 32


def test_it_sleeps_between_two_pictures(open_camera) -> None:
    camera = open_camera()
    before, shown = sleeps(), camera.repeated
    time.sleep(2)
    slept, count = sleeps() - before, camera.repeated - shown
    print(f"idle: slept {slept} times for {count} pictures")
    assert 2 * 30 * (1 - 0.05 * kit.BUSY) < count < 2 * 32
    # The guest's clock also bills what the machine gave to others; this is the same on any.
    assert count - 1 <= slept < 3 * count


def sleeps() -> int:
    """How often a thread of this process has given up its processor."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw


def test_two_cameras_from_one_process(open_camera, tmp_path: Path) -> None:
    first, second = open_camera(kit.OUT), open_camera(kit.SECOND)
    found: dict[str, list[int]] = {}

    def read(device: str) -> None:
        folder = tmp_path / Path(device).name
        folder.mkdir()
        found[device] = levels(readers.read_v4l2ctl(folder, 20, SIZE, device).images)

    with Sending(first, second, levels=(100, 150)):
        time.sleep(0.1)
        threads = [threading.Thread(target=read, args=(d,)) for d in (kit.OUT, kit.SECOND)]
        for reader in threads:
            reader.start()
        for reader in threads:
            reader.join()
    assert all(near(level, 100) for level in found[kit.OUT][1:])
    assert all(near(level, 150) for level in found[kit.SECOND][1:])


def test_a_second_reader_does_no_harm(open_camera, tmp_path: Path) -> None:
    """0.12 serves both; from 0.13 on the second is refused and the first goes on."""
    with Sending(open_camera()):
        words = ["v4l2-ctl", "-d", kit.OUT, "--stream-mmap=2", "--stream-count=40"]
        first = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.3)
        second = subprocess.run([*words[:-1], "--stream-count=5"], capture_output=True, check=False)
        assert first.wait(10) == 0
    told = second.stderr.decode()
    print(f"second reader: {told[-80:].strip()}")
    assert ("busy" in told) == (kit.loopback_version() >= (0, 13))
    assert near(levels(readers.read_opencv(3).images)[-1], 100)


PRODUCER = """
import sys, time
sys.path[:0] = {paths!r}
import kit
from bshm_live.sinks import open_sink
sink = open_sink("vcam", (640, 360), 30.0)
one = kit.shot(100)
while True:
    sink.send(one)
    time.sleep(1 / 30)
"""


def producer(folder: Path) -> kit.Program:
    code = PRODUCER.format(paths=[str(Path(__file__).parent)])
    return kit.Program(sys.executable, "-c", code, log=folder / "producer.log")


@pytest.mark.parametrize("rounds", [1, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_and_started_again(open_camera, tmp_path: Path, rounds: int) -> None:
    """Also while a program goes on reading."""
    took = []
    for _ in range(rounds):
        with producer(tmp_path) as program:
            program.ready()
            with kit.Program("cat", kit.OUT, log=Path("/dev/null")) as reader:
                time.sleep(0.2)
                program.signal(signal.SIGKILL)
                program.process.wait()
                start = time.monotonic()
                camera = open_camera()
                camera.send(kit.shot(100))
                took.append(time.monotonic() - start)
                reader.signal(signal.SIGKILL)
        assert near(levels(readers.read_opencv(2).images)[-1], 100)
        camera.close()
    kit.note(f"device: its program killed, {rounds} times", taken_after=round(max(took), 2))


@pytest.mark.parametrize("rounds", [5, pytest.param(100, marks=pytest.mark.slow)])
def test_a_reader_that_comes_and_goes(open_camera, rounds: int) -> None:
    camera = open_camera()
    viewers = camera.viewers()
    with Sending(camera):
        for number in range(rounds):
            count = 1 + number % 3
            words = ["v4l2-ctl", "-d", kit.OUT, "--stream-mmap=2", f"--stream-count={count}"]
            subprocess.run(words, capture_output=True, check=True, timeout=10)
    kit.until(lambda: not viewers.in_use(), 3)
    viewers.close()
    assert kit.is_camera(kit.OUT)


def test_a_device_that_another_program_feeds(open_camera, tmp_path: Path) -> None:
    with kit.Program(*TESTSRC, *TO_DEVICE, kit.OUT, log=tmp_path / "other.log") as other:
        kit.until(lambda: kit.is_camera(kit.OUT))
        with pytest.raises(SinkError, match=r"another program feeds.*ffmpeg, process .*--sink"):
            open_camera()
        # One that is just ending is waited for.
        threading.Timer(0.4, other.process.kill).start()
        open_camera()
    assert kit.is_camera(kit.OUT)


def test_a_reader_that_holds_another_size(open_camera, tmp_path: Path) -> None:
    small = open_camera(kit.OUT, (320, 240))
    words = ["v4l2-ctl", "-d", kit.OUT, "--stream-mmap=2"]
    with kit.Program(*words, log=tmp_path / "reader.log") as reader:
        kit.until(lambda: "<" in reader.words, 5)
        small.close()
        with pytest.raises(SinkError, match=r"held at 320x240.*v4l2-ctl, process.*--size 320x240"):
            open_camera()
    open_camera()


def test_no_permission(open_camera) -> None:
    os.chmod(kit.OUT, 0o600)
    os.seteuid(65534)
    try:
        with pytest.raises(SinkError, match="group video"):
            open_camera()
    finally:
        os.seteuid(0)


def test_a_device_that_is_lost_is_opened_again(open_camera, told: list[str]) -> None:
    """Writes fail, the module is unloaded and loaded again, and frames go on coming."""
    camera = open_camera()
    with Sending(camera) as loop:
        time.sleep(0.2)
        full = os.open("/dev/full", os.O_RDWR)
        os.dup2(full, camera._output._node)
        os.close(full)
        kit.until(lambda: told, 2)
        kit.until(lambda: unloaded(), 5)
        kit.until(lambda: len(told) == 2, 5)
        kit.insert_loopback()
        took = kit.until(lambda: len(told) == 3, 5)
        assert near(levels(readers.read_opencv(5).images)[-1], 100)
    kit.note("device: module unloaded and loaded again", recovered_after=round(took, 2))
    print(f"{camera.dropped} of {loop.count} frames dropped")
    assert told == [
        "virtual camera /dev/video10 is lost (No space left on device): opening it again",
        told[1],
        "virtual camera /dev/video10 is back",
    ]
    assert "no virtual camera" in told[1]
    assert camera.dropped > 0
    assert loop.longest < 0.1 * kit.BUSY


def unloaded() -> bool:
    done = subprocess.run(["rmmod", "v4l2loopback"], capture_output=True, check=False)
    return done.returncode == 0


def test_a_device_that_another_took_meanwhile(open_camera, told: list[str]) -> None:
    camera = open_camera()
    full = os.open("/dev/full", os.O_RDWR)
    os.dup2(full, camera._output._node)
    os.close(full)
    kit.until(lambda: told, 2)
    other = Loopback(kit.OUT, SIZE, 30)
    other.show(kit.shot(200).composite)
    kit.until(lambda: len(told) == 2, 5)
    assert "another program feeds it" in told[1]
    other.close()
    took = kit.until(lambda: len(told) == 3, 5)
    kit.note("device: taken by another program, then free", recovered_after=round(took, 2))
    camera.send(kit.shot(100))
    assert near(levels(readers.read_opencv(3).images)[-1], 100)


@pytest.mark.skipif("kit.loopback_version() >= (0, 13)", reason="newer ones are never stuck")
def test_a_device_that_an_old_producer_left_stuck(open_camera) -> None:
    """v4l2loopback 0.12: whoever writes without STREAMON leaves it neither camera nor output."""
    from linuxpy.video.device import BufferType, set_format

    node = os.open(kit.OUT, os.O_WRONLY)
    set_format(node, BufferType.VIDEO_OUTPUT, *SIZE, "YU12")
    os.write(node, bytes(SIZE[0] * SIZE[1] * 3 // 2))
    os.close(node)
    words = ["v4l2-ctl", "-d", kit.OUT, "-D"]
    text = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert "Video Output" not in text.partition("Device Caps")[2]
    with Sending(open_camera()):
        assert near(levels(readers.read_opencv(5).images)[-1], 100)
