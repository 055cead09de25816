"""What befalls the whole program, and what a viewer sees of it; run in the guest by test_guest.py.

Through every fault a viewer goes on reading: each picture must be a composite of
one frame and its own matte, or the background alone. The room is in none.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import clip
import cv2
import kit
import numpy as np
import pytest

pytestmark = pytest.mark.slow
SIZE = (640, 360)
FIGURES = Path(os.environ["GUEST_KEPT"]) / "faults.json"


@pytest.fixture(autouse=True)
def fresh() -> None:
    kit.reload_loopback()


def note(fault: str, **figures: object) -> None:
    """One row of the table of faults."""
    line = json.dumps({"fault": fault, **figures})
    print(line)
    with FIGURES.open("a") as file:
        file.write(line + "\n")


VIEWER = """
import sys, time
sys.path[:0] = {paths!r}
import clip, cv2, kit, numpy as np
camera = cv2.VideoCapture(kit.OUT, cv2.CAP_V4L2)
while True:
    there, image = camera.read()
    if not there:
        print(time.monotonic(), "nothing", 0, flush=True)
        time.sleep(0.05)
        continue
    number = clip.number_of(image)
    if clip.raw_pixels(image):
        kind = "RAW"
        cv2.imwrite("raw.png", image)
    elif number is not None:
        xs, place = clip.places(image.shape[1::-1])[0], clip.place_of(image)
        kind = "frame" if place and abs(place[0] - xs[number]) < 37 / 4 else "MISMATCH"
    else:
        kind = "background" if np.abs(image.astype(int) - clip.GREEN).max() <= 12 else "OTHER"
    print(time.monotonic(), kind, number, flush=True)
"""


class Viewer:
    """Somebody in the call: what was seen, and when."""

    def __init__(self, log: Path) -> None:
        self.log = log

    @property
    def seen(self) -> list[tuple[float, str]]:
        rows = [line.split() for line in self.log.read_text().splitlines()]
        return [(float(row[0]), row[1]) for row in rows if len(row) == 3]

    def waits_for(self, kind: str, since: float, seconds: float = 20) -> float:
        """When the first picture of that kind was seen after `since`."""
        kit.until(lambda: self._first(kind, since) is not None, seconds, f"no {kind} was seen")
        first = self._first(kind, since)
        assert first is not None
        return first

    def _first(self, kind: str, since: float) -> float | None:
        return next((at for at, what in self.seen if what == kind and at > since), None)

    def longest_silence(self, since: float) -> float:
        times = [at for at, what in self.seen if at > since and what != "nothing"]
        return max((b - a for a, b in itertools.pairwise(times)), default=0.0)

    def check(self) -> None:
        kinds = {kind for _, kind in self.seen}
        assert kinds <= {"frame", "background", "nothing"}, kinds


@contextmanager
def viewing(folder: Path) -> Iterator[Viewer]:
    code = VIEWER.format(paths=[str(Path(__file__).parent)])
    log = folder / "viewer.log"
    kit.until(lambda: kit.is_camera(kit.OUT), 40)
    with kit.Program(sys.executable, "-c", code, log=log):
        viewer = Viewer(log)
        viewer.waits_for("frame", 0.0, 40)
        yield viewer
    viewer.check()


def test_the_source_ends_and_comes_back(tmp_path: Path) -> None:
    """Unplugged, and plugged in again; then at another size."""
    feeders = tmp_path / "1", tmp_path / "2", tmp_path / "3"
    for folder in feeders:
        folder.mkdir()
    with kit.feeding(feeders[0]) as first, kit.live(tmp_path) as program, viewing(tmp_path) as who:
        for folder, size in ((feeders[1], SIZE), (feeders[2], (1280, 720))):
            first.signal(signal.SIGKILL)
            first.process.wait()
            gone = time.monotonic()
            hidden = who.waits_for("background", gone)
            time.sleep(1)
            with kit.feeding(folder, size) as first:
                back = time.monotonic()
                seen = who.waits_for("frame", back)
                time.sleep(1)
                note(
                    f"source gone, back at {size[0]}x{size[1]}",
                    background_after=round(hidden - gone, 2),
                    recovered_after=round(seen - back, 2),
                    longest_silence=round(who.longest_silence(gone), 2),
                )
                first.signal(signal.SIGSTOP)  # a camera that is frozen
                frozen = time.monotonic()
                hidden = who.waits_for("background", frozen)
                first.signal(signal.SIGCONT)
                back = time.monotonic()
                seen = who.waits_for("frame", back)
                note(
                    "camera frozen, then alive",
                    background_after=round(hidden - frozen, 2),
                    recovered_after=round(seen - back, 2),
                )
        print(program.end())


def test_the_program_is_stopped_and_continued(tmp_path: Path) -> None:
    with kit.feeding(tmp_path), kit.live(tmp_path) as program, viewing(tmp_path) as who:
        program.signal(signal.SIGSTOP)
        time.sleep(5)
        back = time.monotonic()
        program.signal(signal.SIGCONT)
        seen = who.waits_for("frame", back)
        time.sleep(1)
        note("program stopped 5 s", recovered_after=round(seen - back, 2))
        program.end()


@pytest.mark.parametrize("rounds", [20])
def test_the_program_is_killed_and_started_again(tmp_path: Path, rounds: int) -> None:
    took = []
    with kit.feeding(tmp_path):
        for _ in range(rounds):
            with kit.live(tmp_path) as program:
                start = time.monotonic()
                program.ready()
                took.append(time.monotonic() - start)
                time.sleep(0.3)
                program.signal(signal.SIGKILL)
                program.process.wait()
        with kit.live(tmp_path) as program:
            program.ready()
            time.sleep(1)
            assert clip.check_composites(kit.read_opencv(30).images, SIZE)
            program.end()
    note(f"SIGKILL and a new start, {rounds} times", camera_listed_after=round(max(took), 2))


BROKEN = """
import sys
from pathlib import Path
import numpy as np
from dataclasses import replace
from bshm_live import bshm
from bshm_live.errors import EngineError
healthy, mode = bshm.Bshm.matte, Path(sys.argv.pop(1))
def matte(self, *args, **more):
    found = healthy(self, *args, **more)
    kind = mode.read_text()
    if kind == "raise":
        raise EngineError("the network failed; start again")
    if kind == "nan":
        return replace(found, alpha=np.full_like(found.alpha, np.nan))
    if kind == "all":
        return replace(found, alpha=np.ones_like(found.alpha))
    if kind == "noise":
        return replace(found, alpha=np.random.rand(*found.alpha.shape).astype(np.float32))
    return found
bshm.Bshm.matte = matte
from bshm_live.cli import main
sys.exit(main())
"""


def test_the_networks_fail(tmp_path: Path) -> None:
    """They raise, give NaN, take everything for a person, or jump: the background alone."""
    mode = tmp_path / "mode"
    mode.write_text("")
    words = ("--bg", "#00b140", "--source", kit.IN, "--sink", f"vcam:{kit.OUT}")
    more = ("--size", "640x360", "--runtime", "onnxruntime", "--preset", "balanced")
    command = (sys.executable, "-c", BROKEN, mode, *words, *more)
    with kit.feeding(tmp_path), kit.Program(*command, log=tmp_path / "live.log") as program:
        with viewing(tmp_path) as who:
            for kind in ("raise", "nan", "all"):
                mode.write_text(kind)
                bad = time.monotonic()
                hidden = who.waits_for("background", bad)
                time.sleep(1)
                mode.write_text("")
                back = time.monotonic()
                seen = who.waits_for("frame", back)
                note(
                    f"networks: {kind}",
                    background_after=round(hidden - bad, 2),
                    recovered_after=round(seen - back, 2),
                )
        print(program.end())


VIVID_FAULTS = {
    "disconnect": "disconnect=1",
    "dropped buffers": "percentage_of_dropped_buffers=50",
    "queue errors": "inject_vidioc_qbuf_error=1",
    "stream-on errors": "inject_vidioc_streamon_error=1",
}


def vivid(setting: str) -> bool:
    words = ["v4l2-ctl", "-d", "/dev/video0", "-c", setting]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("fault", VIVID_FAULTS)
def test_a_real_driver_fails(tmp_path: Path, fault: str) -> None:
    """vivid, the kernel's webcam: its picture has no person, so all that leaves is background."""
    setting = VIVID_FAULTS[fault]
    with kit.live(tmp_path, source="/dev/video0") as program:
        program.ready().says("virtual camera", 40)
        time.sleep(1)
        if not vivid(setting):
            pytest.skip(f"this vivid has no control for {fault}")
        start = time.monotonic()
        seen = kit.read_opencv(60).images
        silent = time.monotonic() - start
        vivid("percentage_of_dropped_buffers=0")
        assert program.running, program.words
        time.sleep(2)
        rate = kit.rate_of(kit.OUT, 2)
        cv2.imwrite(os.environ["GUEST_KEPT"] + f"/vivid-{fault.split()[0]}.png", seen[-1])
        note(f"vivid: {fault}", sixty_pictures_in=round(silent, 2), rate_after=round(rate, 1))
        print(program.end())
    assert rate > 2


def test_two_programs_want_one_camera(tmp_path: Path) -> None:
    """The second says who has it, and the first goes on."""
    with kit.feeding(tmp_path), kit.live(tmp_path) as program, viewing(tmp_path) as who:
        other = (*kit.LIVE, "--bg", "green", "--source", "demo", "--sink", f"vcam:{kit.OUT}")
        with kit.Program(*other, log=tmp_path / "other.log") as second:
            assert second.process.wait(60) == 5, second.words
            assert "another program feeds it (" in second.words
            print(second.words)
        who.waits_for("frame", time.monotonic())
        program.end()


def test_levels_are_what_the_checks_expect() -> None:
    """The viewer would notice: a raw picture, and one with another's matte."""
    raw = clip.picture(9, SIZE)
    assert clip.raw_pixels(raw) > 1000
    composite = np.where(np.abs(raw.astype(int) - clip.ROOM).max(2)[..., None] < 5, clip.GREEN, raw)
    assert clip.check_composites([composite.astype(np.uint8)], SIZE) == [9]
    moved = composite.astype(np.uint8)
    moved[SIZE[1] * 3 // 8 :] = np.roll(moved[SIZE[1] * 3 // 8 :], 37, axis=1)
    with pytest.raises(AssertionError):
        clip.check_composites([moved], SIZE)
