"""The live loop: what it tells and how it ends. Between real drivers: tests/v4l2."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
from conftest import ArraySource, ListSink, fake_networks, loop_of, portrait

from bshm_live.cli import main
from bshm_live.commands import live
from bshm_live.commands.live import LiveWatch
from bshm_live.compositing.background import Fixed, plain
from bshm_live.errors import SettingsError, SinkError, SourceError
from bshm_live.loop import assemble
from bshm_live.matting.bshm import Bshm
from bshm_live.settings import Look, parse_background
from bshm_live.sinks import open_sink
from bshm_live.sinks import video_file as sink_video
from bshm_live.sources.live_camera import LiveCamera
from bshm_live.types import Frame, Shot


def watched(reasons: list[str | None], *, card: bool = False, step: int = 1) -> LiveWatch:
    """A LiveWatch that has seen a frame for each reason; None is a frame with its matte."""
    size = (256, 128)
    stand_in = plain((9, 9, 9), size) if card else None
    background = Fixed(plain((0, 0, 0), size))
    made = loop_of(Bshm(*fake_networks()), background, size, card=stand_in)
    watch = LiveWatch(made, [], None)
    blank = plain((0, 0, 0), made.size)
    for index, reason in enumerate(reasons):
        made.guard.reason = reason
        alpha = np.zeros(blank.shape[:2], np.uint8)
        watch(Shot(blank, alpha, None, index * step, index / 30, reason is None))
    return watch


def test_a_short_trouble_is_counted_and_not_told(capsys: pytest.CaptureFixture[str]) -> None:
    watch = watched([None, "a", "a", None, "b", None])
    assert capsys.readouterr().err == ""
    watch.summary(stats=False)
    assert "3 with the background alone" in capsys.readouterr().err


def test_a_lasting_trouble_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    watched([None, *["a"] * 50, *["b"] * 50, None, None])
    told = capsys.readouterr().err.splitlines()
    assert told == ["background alone: a", "background alone: b", "the matte is back"]
    watched(["a"] * 50, card=True)
    assert capsys.readouterr().err.splitlines() == ["card: a"]


def test_the_summary_counts_what_was_dropped_and_repeated(
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Counting(ListSink):
        repeated, dropped = 7, 2

    watch = watched([None] * 10, step=3)
    watch.sinks = [ListSink(), Counting()]
    watch.pipeline.clock.delays.extend([40.0, 50.0, 60.0])
    watch.pipeline.clock("mpn")
    watch.summary(stats=True)
    first, delay, *table = capsys.readouterr().err.splitlines()
    assert first.startswith("10 frames in ")
    assert first.endswith("frames/s, 20 dropped, 7 repeated")
    assert delay == (
        "delay from camera to sink: p50 50 ms, p95 59 ms; set 50 ms audio delay in OBS or PipeWire"
    )
    assert [line.split()[0] for line in table] == ["stage", "mpn", "delay"]


def test_a_pause_is_no_trouble(capsys: pytest.CaptureFixture[str]) -> None:
    watch = watched(["a"] * 3)
    watch.pipeline.stage = replace(watch.pipeline.stage, paused=True)
    blank = plain((0, 0, 0), watch.pipeline.size)
    for index in range(3, 60):
        watch(Shot(blank, blank[..., 0], None, index, index / 30, False))
    assert capsys.readouterr().err == ""
    assert watch.withheld == 3
    assert watch.status()["trouble"] is None


@pytest.mark.parametrize(("takes", "mattes"), [(0.01, 8), (0.2, 3)])
def test_a_slow_machine_is_measured_on_few_mattes(
    takes: float, mattes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0

    class Slow(Bshm):
        calls = 0

        def matte(self, *_: object) -> None:  # type: ignore[override]
            nonlocal now
            now += takes if self.calls else 10 * takes  # the first claims memory
            self.calls += 1

    monkeypatch.setattr(assemble, "time", SimpleNamespace(perf_counter=lambda: now))
    bshm = Slow(*fake_networks())
    assert assemble.milliseconds(bshm, (64, 64)) == pytest.approx(1e3 * takes)
    assert bshm.calls == mattes


@pytest.mark.usefixtures("toy_engines")
@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--sink", "null", "--on-demand"], "add --sink vcam"),
        (["--sink", "vcam", "--source", "talk.mp4", "--on-demand"], "talk.mp4"),
        (["--source", "demo", "--on-demand"], "demo"),
    ],
)
def test_on_demand_needs_a_camera_and_a_virtual_camera(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--bg", "#00b140", *words]) == 2
    assert says in capsys.readouterr().err


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such signals")
@pytest.mark.usefixtures("toy_engines")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_networks_load_leaves_nothing(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sinks are opened before the networks, so that the camera is there at once."""

    def load(*_: object, **more: object) -> None:
        assert list(tmp_path.iterdir())
        os.kill(os.getpid(), number)
        time.sleep(1)

    monkeypatch.setattr(live, "live_parts", load)
    before = signal.getsignal(number)
    words = ["--bg", "#00b140", "--source", "demo", "--sink", str(tmp_path / "live.mkv")]
    assert main(words) == 130
    assert not list(tmp_path.iterdir())
    assert signal.getsignal(number) is before


def test_one_camera_cannot_be_fed_twice(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--bg", "#00b140", "--sink", "vcam", "--sink", "vcam"]) == 2
    assert "--sink vcam is given twice" in capsys.readouterr().err


class Outage:
    """A camera of portraits that is lost after `count` frames, and never comes back."""

    count, fps, size = None, 30.0, (256, 144)

    def __init__(self, frames: int) -> None:
        self.frames, self.opened = frames, 0

    def open(self, give_up: Callable[[], bool]) -> Outage:
        self.opened += 1
        if self.opened > 1:
            raise SourceError("no camera /dev/video0: there is no /dev/video* at all")
        return self

    def describe(self) -> str:
        return "an outage"

    def __iter__(self) -> Iterator[Frame]:
        for index in range(self.frames):
            image = portrait(*self.size, seed=index).picture
            yield Frame(image, index, index / 30, time.monotonic())
        raise SourceError("camera /dev/video0 stopped sending pictures; plug it in again")

    def close(self) -> None: ...


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such signals")
@pytest.mark.usefixtures("toy_engines")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_an_outage_ends_the_program_and_keeps_the_recording(
    number: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    lost: list[float] = []
    timer = threading.Timer(0.3, os.kill, (os.getpid(), number))

    def report(line: str) -> None:
        print(line, file=sys.stderr)
        if "waiting" in line and not lost:
            lost.append(time.monotonic())
            timer.start()

    camera = LiveCamera(Outage(6).open, "/dev/video0", report)
    monkeypatch.setattr(live, "open_source", lambda *_: camera)
    out = tmp_path / "live.mkv"
    before = signal.signal(number, signal.SIG_IGN)  # should the program have ended by then
    try:
        assert main(["--bg", "#00b140", "--preset", "balanced", "--sink", str(out)]) == 0
        assert time.monotonic() - lost[0] < 1.5
    finally:
        timer.join()
        signal.signal(number, before)
    with av.open(str(out)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 6
    told = capsys.readouterr().err
    assert "stopped sending pictures; waiting for it" in told
    assert "6 frames in" in told
    assert "audio delay" in told


@pytest.mark.usefixtures("toy_engines")
def test_a_full_disk_ends_the_recording_and_not_the_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = [portrait(256, 144, seed=seed).picture for seed in range(12)]
    monkeypatch.setattr(live, "open_source", lambda *_: ArraySource(pictures))
    call = ListSink()
    monkeypatch.setattr(
        live,
        "open_sink",
        lambda text, *a, **k: call if text == "vcam" else open_sink(text, *a, **k),
    )
    free = iter([sink_video.ROOM_LEFT] * 4)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=next(free, 0)))
    talk = tmp_path / "talk.mkv"
    assert main(["--bg", "#00b140", "--sink", "vcam", "--sink", str(talk)]) == 0
    assert len(call.shots) == 12
    lines = capsys.readouterr().err.splitlines()
    assert sum("nearly full" in line for line in lines) == 1
    with av.open(str(talk)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 4
    assert main(["--bg", "#00b140", "--sink", str(talk)]) == 5, "nothing else goes on"


class Failing(ListSink):
    """A window whose screen is gone after two frames."""

    def send(self, shot: Shot) -> None:
        if len(self.shots) == 2:
            raise SinkError("no window: the screen is gone")
        super().send(shot)


@pytest.mark.usefixtures("toy_engines")
def test_a_window_ends_the_call_only_where_there_is_no_other_viewer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = [portrait(256, 144, seed=seed).picture for seed in range(6)]
    monkeypatch.setattr(live, "open_source", lambda *_: ArraySource(pictures))
    sinks = {"vcam": ListSink(), "window": Failing()}
    monkeypatch.setattr(live, "open_sink", lambda text, *a, **k: sinks[text])
    assert main(["--bg", "#00b140", "--sink", "vcam", "--preview"]) == 0
    assert [len(sink.shots) for sink in sinks.values()] == [6, 2]
    lines = capsys.readouterr().err.splitlines()
    assert lines.count("no window: the screen is gone; the call goes on without the window") == 1
    sinks["window"] = Failing()
    assert main(["--bg", "#00b140", "--sink", "window"]) == 5


@pytest.mark.usefixtures("toy_engines")
def test_a_call_that_runs_never_ends_as_one_with_wrong_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A service is started again unless its settings are wrong: they were right."""

    class Broken(ListSink):
        def send(self, shot: Shot) -> None:
            raise SettingsError("not what it was any more")

    pictures = [portrait(256, 144, seed=seed).picture for seed in range(2)]
    monkeypatch.setattr(live, "open_source", lambda *_: ArraySource(pictures))
    monkeypatch.setattr(live, "open_sink", lambda *a, **k: Broken())
    assert main(["--bg", "#00b140", "--sink", "vcam"]) == 1
    assert "not what it was any more" in capsys.readouterr().err
    assert main(["--bg", str(tmp_path / "none.jpg"), "--sink", "vcam"]) == 2


def test_with_framing_a_camera_is_asked_for_more_than_is_shown() -> None:
    look = Look(parse_background("blur"))
    framed = replace(look, framing="half")
    assert live.camera_size(look, None) is None
    assert live.camera_size(look, (640, 480)) == (640, 480)
    assert live.camera_size(framed, None) == (1920, 1080)
    assert live.camera_size(framed, (640, 480)) == (960, 720)
    for size, shown in (((1920, 1080), (1280, 720)), ((1280, 720), (1280, 720))):
        camera = LiveCamera.__new__(LiveCamera)
        camera.size = size
        assert live.output_size(framed, camera) == shown
        assert live.output_size(look, camera) == size
    film = ArraySource([np.zeros((1080, 1920, 3), np.uint8)])
    assert live.output_size(framed, film) == (1920, 1080)
