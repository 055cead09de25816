"""What befalls the whole program, and what a viewer sees of it; run in the guest by test_guest.py.

Through every fault a viewer goes on reading: each picture must be a composite of
one frame and its own matte, or the background alone. The room is in none.
"""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import clip
import kit
import numpy as np
import pytest
import readers
from viewer import viewing

SIZE = (640, 360)


@pytest.fixture(autouse=True)
def fresh() -> None:
    kit.reload_loopback(kit.PATIENT)


@pytest.mark.slow
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
                kit.note(
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
                kit.note(
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
        kit.note("program stopped 5 s", recovered_after=round(seen - back, 2))
        program.end()


@pytest.mark.parametrize("rounds", [1, pytest.param(20, marks=pytest.mark.slow)])
def test_the_program_is_killed_and_started_again(tmp_path: Path, rounds: int) -> None:
    took = []
    with kit.feeding(tmp_path):
        for _ in range(rounds):
            with kit.live(tmp_path) as program:
                start = time.monotonic()
                program.ready()
                took.append(time.monotonic() - start)
                program.says("virtual camera")
                time.sleep(0.3)
                program.signal(signal.SIGKILL)
                program.process.wait()
        with kit.live(tmp_path) as program:
            program.ready().says("virtual camera")
            time.sleep(1)
            assert clip.check_composites(readers.read_opencv(30).images, SIZE)
            program.end()
    kit.note(f"SIGKILL and a new start, {rounds} times", camera_listed_after=round(max(took), 2))


BROKEN = """
import sys
from pathlib import Path
import numpy as np
from dataclasses import replace
from bshm_live.matting import bshm
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
    return found
bshm.Bshm.matte = matte
from bshm_live.cli import main
sys.exit(main())
"""


def test_the_networks_fail(tmp_path: Path) -> None:
    """They raise, give NaN, or take everything for a person: the background alone."""
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
                kit.note(
                    f"networks: {kind}",
                    background_after=round(hidden - bad, 2),
                    recovered_after=round(seen - back, 2),
                )
        print(program.end())


# What makes vivid fail, what makes it well again, and whether the camera is lost meanwhile.
VIVID_FAULTS = {
    "disconnect": ("disconnect=1", "", True),
    "disconnect, and the next start fails": (
        "inject_vidioc_streamon_error=1,disconnect=1",
        "",
        True,
    ),
    "half of the buffers dropped": (
        "percentage_of_dropped_buffers=50",
        "percentage_of_dropped_buffers=0",
        False,
    ),
    "queue error": ("inject_vidioc_qbuf_error=1", "", False),
}
SQUARES = "test_pattern=4,osd_text_mode=2"


def vivid(settings: str) -> bool:
    words = ["v4l2-ctl", "-d", "/dev/video0", "-c", settings]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


@contextmanager
def noise() -> Iterator[None]:
    """A picture that never changes has frozen: the hue goes up and down by one, once a second."""
    end = threading.Event()

    def change() -> None:
        for hue in itertools.cycle((1, 0)):
            if end.wait(1):
                return
            vivid(f"hue={hue}")

    thread = threading.Thread(target=change)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()


@pytest.mark.parametrize(
    "fault",
    [pytest.param(one, marks=[pytest.mark.slow] * (one != "disconnect")) for one in VIVID_FAULTS],
)
def test_a_real_driver_fails(tmp_path: Path, fault: str) -> None:
    """vivid, the kernel's webcam; of its squares, the dark ones are the room."""
    begin, end, lost = VIVID_FAULTS[fault]
    assert vivid(SQUARES)
    with (
        noise(),
        kit.live(tmp_path, source="/dev/video0") as program,
        viewing(tmp_path, "squares") as who,
    ):
        time.sleep(1)
        if not vivid(begin):
            pytest.skip(f"this vivid has no control for {fault}")
        start = time.monotonic()
        figures = {"recovered_after": round(program.says("is back"), 2)} if lost else {}
        time.sleep(4)
        if end:
            assert vivid(end)
        who.waits_for("frame", time.monotonic())
        silence = round(who.longest_silence(start), 2)
        kit.note(f"vivid: {fault}", longest_silence=silence, **figures)
        print(program.end())


@pytest.mark.slow
def test_another_program_has_the_camera_first(tmp_path: Path) -> None:
    """It is named, and once it has gone the same command works."""
    feed = "ffmpeg -v error -re -f lavfi -i testsrc=s=640x360 -pix_fmt yuv420p -f v4l2 " + kit.OUT
    with kit.feeding(tmp_path), kit.Program(*feed.split(), log=tmp_path / "other.log") as other:
        kit.until(lambda: kit.is_camera(kit.OUT))
        with kit.live(tmp_path) as program:
            assert program.process.wait(60) == 5
            assert "another program feeds it (ffmpeg, process" in program.words
        other.signal(signal.SIGKILL)
        start = time.monotonic()
        with kit.live(tmp_path) as program, viewing(tmp_path) as who:
            first = who.waits_for("frame", 0.0)
            kit.note("another producer had the device", recovered_after=round(first - start, 2))
            program.end()


@pytest.mark.slow
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
    assert clip.checked_number(composite.astype(np.uint8), SIZE) == 9
    moved = composite.astype(np.uint8)
    moved[SIZE[1] * 3 // 8 :] = np.roll(moved[SIZE[1] * 3 // 8 :], 37, axis=1)
    with pytest.raises(AssertionError):
        clip.checked_number(moved, SIZE)
