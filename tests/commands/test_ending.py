"""The program under signals: it ends within a second, files are whole or gone, no traceback."""

import os
import random
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from conftest import ROOT

if os.name != "posix":
    pytest.skip("Windows has no such signals", allow_module_level=True)

pytestmark = pytest.mark.usefixtures("toy_engines")

INTERRUPTED = 130
ENDS_S = 1.0
BUSY = 5.0  # so much slower is a machine that runs tests beside other work
BG = ("--bg", "#00b140", "--preset", "balanced", "--threads", "1")
TICK = Fraction(1, 10)  # seconds


class Program:
    """`bshm-live WORDS` in `folder`."""

    def __init__(self, folder: Path, *words: str, options: tuple[str, ...] = ()) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, *options, "-m", "bshm_live", *words],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )

    def wait_for_file(self, size: int = 0) -> None:
        """Until it writes a file that has more bytes than `size`."""
        while not any(
            path.stat().st_size > size for path in self.folder.iterdir() if "part" in path.name
        ):
            assert self.process.poll() is None
            time.sleep(0.01)

    def wait_for_words(self, words: str) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if words.encode() in line:
                return
        pytest.fail(f"it never said {words}")

    def end(self, *numbers: int, within: float = 0.0) -> int:
        """Sends the signals, spread over `within` seconds. Returns the exit code."""
        start = time.monotonic()
        for place, number in enumerate(numbers):
            time.sleep(within / len(numbers) * random.uniform(0, 2) if place else 0)
            self.process.send_signal(number)
        try:
            _, told = self.process.communicate(timeout=30)
        finally:
            self.process.kill()
        assert time.monotonic() - start < ENDS_S * BUSY
        assert b"Traceback" not in told
        assert b"KeyboardInterrupt" not in told
        return self.process.returncode

    def files(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the program runs; what it reads lies beside."""
    (tmp_path / "run").mkdir()
    return tmp_path / "run"


def frames_in(path: Path) -> int:
    with av.open(str(path)) as film:
        return sum(1 for _ in film.decode(video=0))


def film(path: Path, times: list[float]) -> str:
    """Grey pictures of 256x144 at these times, in seconds."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 256, 144, "yuv420p"
        stream.codec_context.time_base = TICK
        picture = np.full((144, 256, 3), 128, np.uint8)
        for at in times:
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
            frame.pts, frame.time_base = round(at / TICK), TICK
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return str(path)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_a_recording_is_whole_whatever_ends_it(folder: Path, number: int) -> None:
    running = Program(folder, *BG, "--source", "demo", "--sink", "rec.mkv")
    running.wait_for_words("file rec.mkv")
    time.sleep(0.5)
    assert running.end(number) == 0
    assert running.files() == ["rec.mkv"]
    assert frames_in(folder / "rec.mkv") > 0


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGQUIT])
def test_a_video_that_is_not_finished_leaves_nothing(folder: Path, number: int) -> None:
    long = film(folder.parent / "long.mp4", [i / 10 for i in range(3000)])
    running = Program(folder, "video", long, *BG, "-o", "out.mp4", "--alpha", "alpha.mkv")
    running.wait_for_file()
    time.sleep(0.3)
    assert running.end(number) == INTERRUPTED
    assert running.files() == []


@pytest.mark.parametrize("after", [0.0, 0.2, 0.7])
def test_ctrl_c_three_times_at_once(folder: Path, after: float) -> None:
    """From the moment on at which the part file is there."""
    running = Program(folder, *BG, "--source", "demo", "--sink", "rec.mp4")
    running.wait_for_file(-1)
    time.sleep(after)
    code = running.end(*[signal.SIGINT] * 3, within=0.08)
    if running.files():
        assert running.files() == ["rec.mp4"]
        assert frames_in(folder / "rec.mp4") > 0
        assert code == 0
    else:
        assert code == INTERRUPTED


def test_ctrl_c_three_times_in_a_video(folder: Path) -> None:
    long = film(folder.parent / "long.mp4", [i / 10 for i in range(3000)])
    running = Program(folder, "video", long, *BG, "-o", "out.mp4")
    running.wait_for_file(-1)
    time.sleep(0.3)
    assert running.end(*[signal.SIGINT] * 3, within=0.08) == INTERRUPTED
    assert running.files() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_source_that_waits_for_its_next_frame_ends(folder: Path, number: int) -> None:
    slow = film(folder.parent / "slow.mp4", [0.0, 0.1, 60.0, 60.1])
    running = Program(folder, *BG, "--source", slow, "--sink", "rec.mkv")
    running.wait_for_words("file rec.mkv")
    time.sleep(0.7)
    assert running.end(number) == 0
    assert running.files() == ["rec.mkv"]
    assert frames_in(folder / "rec.mkv") == 2


@pytest.mark.parametrize(
    "module", ["bshm_live.cli", "argparse", "numpy", "cv2", "av", "bshm_live.commands.video"]
)
def test_ctrl_c_while_modules_are_loaded(folder: Path, module: str) -> None:
    """Each is loaded by then, what comes next is being loaded."""
    options = ("-X", "importtime")
    running = Program(folder, "demo", *BG, "-o", "out.mp4", options=options)
    running.wait_for_words(f" {module}\n")
    assert running.end(signal.SIGINT) == INTERRUPTED
    assert running.files() == []


def test_a_closed_terminal_keeps_the_recording(folder: Path) -> None:
    try:
        terminal, its_end = os.openpty()
    except OSError:
        pytest.skip("no terminals here: /dev/pts is not mounted")
    running = subprocess.Popen(
        [sys.executable, "-m", "bshm_live", *BG, "--source", "demo", "--sink", "rec.mkv"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        preexec_fn=lambda: os.login_tty(its_end),
    )
    os.close(its_end)
    said = b""
    while b"file rec.mkv" not in said:
        said += os.read(terminal, 1024)
    time.sleep(0.5)
    os.close(terminal)
    start = time.monotonic()
    assert running.wait(30) == 0
    assert time.monotonic() - start < ENDS_S * BUSY
    assert [path.name for path in folder.iterdir()] == ["rec.mkv"]
    assert frames_in(folder / "rec.mkv") > 0
