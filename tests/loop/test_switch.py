"""The change from CPU to GPU between two frames, with a builder process and toy networks."""

from __future__ import annotations

import itertools
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import FakeEngine, fake_networks, heard, portrait

from bshm_live.compositing.background import Fixed, plain
from bshm_live.compositing.compositor import Compositor
from bshm_live.errors import EngineError
from bshm_live.loop.gpu_start import Builder, GpuStart
from bshm_live.loop.guard import Guard
from bshm_live.loop.parts import CpuParts, cpu_parts
from bshm_live.loop.pipeline import Pipeline
from bshm_live.loop.stage import Stage
from bshm_live.loop.switch import Switch
from bshm_live.loop.trial import Trial, agree
from bshm_live.matting.bshm import Bshm
from bshm_live.matting.temporal import Steadier
from bshm_live.runtimes.manifest import engines_folder, load_manifest
from bshm_live.runtimes.onnxruntime import OnnxRuntimeEngine
from bshm_live.sources.video_file import VideoFile, demo_clip
from bshm_live.types import Frame, Layers, Matte

SMALL, LARGE = (32, 64), (64, 128)  # low sizes of the CPU's preset and of the GPU's
KNOWN = portrait().picture
SIZE = KNOWN.shape[1::-1]
BACKDROP = (10, 200, 30)
LONG_S = 30.0  # what is waited for comes much sooner; machines may be busy

# Tells that it runs, and ends with a code when it is let.
SLOW = """
import os, pathlib, sys, time
folder = pathlib.Path(sys.argv[1])
(folder / "pid").write_text(str(os.getpid()))
while not (folder / "done").exists():
    time.sleep(0.01)
lines = "Traceback", "bshm-live: the toy builder was told to fail", "a library cleans up"
print(*lines, sep="\\n", file=sys.stderr)
sys.exit(int(sys.argv[2]))
"""
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)" + SLOW


class Wrong(Compositor):
    """A compositor that is told to be."""

    fails = False
    levels = 0

    def __call__(self, *arguments: Any, foreground: bool = False) -> Layers:
        if self.fails:
            raise EngineError("the toy GPU composites no more: cool it")
        composite, alpha, front = super().__call__(*arguments, foreground=foreground)
        composite[: len(composite) // 8] += np.uint8(self.levels)
        return composite, alpha, front


class Lagging(Steadier):
    """Its mattes are the last ones."""

    def steady(self, matte: Matte) -> Matte:
        last = matte if self._last is None else self._last
        self._last = super().steady(matte)
        return last


class Gpu:
    """A toy GPU: networks of the larger preset; `engines` are what was made, newest last.

    `levels` is how wrong its composites are, `lags` whether its steadier is;
    `compositors` are those that were made.
    """

    def __init__(
        self, shift: float = 0.0, blind: bool = False, levels: int = 0, lags: bool = False
    ) -> None:
        self.shift, self.blind, self.levels, self.lags = shift, blind, levels, lags
        self.fail_at: int | None = None
        self.made: list[tuple[FakeEngine, FakeEngine, FakeEngine]] = []
        self.compositors: list[Wrong] = []

    def load(self) -> tuple[CpuParts, str]:
        self.compositors.append(Wrong(SIZE))
        self.compositors[-1].levels = self.levels
        steadier = Lagging() if self.lags else Steadier()
        return CpuParts(self.networks(self.shift), steadier, self.compositors[-1]), "toy GPU"

    def twin(self) -> Bshm:
        return self.networks(0.0)

    def networks(self, shift: float) -> Bshm:
        mpn, qun, mrn = fake_networks(LARGE)
        right = mrn.function

        def shifted(feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            if mrn.calls == self.fail_at and mrn is self.made[0][2]:
                raise EngineError("the toy GPU has fallen off the bus: put it back")
            out = dict(right(feeds))
            out["alpha"] = np.clip(out["alpha"] * (not self.blind) + shift, 0, 1)
            return out

        mrn.function = shifted
        self.made.append((mpn, qun, mrn))
        return Bshm(mpn, qun, mrn)


class Scene:
    """A Switch and a GPU's start with all around them: `said` lines, the builder's folder.

    With `second` there is another way behind the GPU's: its networks alone.
    """

    def __init__(
        self,
        folder: Path,
        gpu: Gpu,
        code: str,
        ends: int,
        patience_s: float,
        second: bool,
        said: list[str],
    ) -> None:
        self.folder, self.gpu, self.said = folder, gpu, said
        self.cpu = fake_networks(SMALL)
        words = [sys.executable, "-c", code, str(folder), str(ends)]
        cpu = cpu_parts(Bshm(*self.cpu), SIZE)

        def networks_alone() -> tuple[CpuParts, str]:
            return replace(cpu, matting=gpu.networks(gpu.shift)), "toy networks"

        ways = [gpu.load, networks_alone] if second else [gpu.load]
        trial = Trial(cpu, gpu.twin, KNOWN)
        self.first = replace(cpu, matting=trial.watch(cpu.matting))
        self.switch = Switch(self.first)
        self.start = GpuStart(self.switch, Builder(words, patience_s), ways, trial)

    @property
    def swapped(self) -> bool:
        """Whether the GPU makes the mattes now."""
        return self.switch.now is not self.first

    def frame(self, picture: np.ndarray) -> Matte:
        """As the loop asks for it; not steadied."""
        return matte_of(self.switch, picture)

    def close(self) -> None:
        self.start.close()
        self.switch.close()

    def pipeline(self) -> Pipeline:
        pipeline = Pipeline(self.switch, lambda: Stage(Fixed(plain(BACKDROP, SIZE))), SIZE)
        pipeline.guard = Guard(now=lambda: 0.0)  # a busy machine is not what is tested
        return pipeline

    def let_builder_end(self) -> None:
        (self.folder / "done").touch()

    def builder(self) -> int:
        """The builder's process id, once it runs."""
        wait_for(lambda: (self.folder / "pid").exists() and (self.folder / "pid").read_text())
        return int((self.folder / "pid").read_text())

    def frames_until(self, done: Callable[[], bool]) -> list[Matte]:
        """The loop: one matte after another, of a picture that changes."""
        mattes = []

        def frame() -> bool:
            picture = portrait(seed=len(mattes) % 5).picture
            mattes.append(self.frame(picture))
            return done()

        wait_for(frame)
        return mattes


def matte_of(switch: Switch, picture: np.ndarray) -> Matte:
    """What the parts in use say of a picture; those that fail are given up, as in the loop."""
    parts = switch.current()
    try:
        return parts.matting.matte(picture, parts.steadier.hint(picture))
    except EngineError as error:
        other = switch.instead(error)
        if other is None:
            raise
        return other.matting.matte(picture, other.steadier.hint(picture))


def wait_for(done: Callable[[], object]) -> None:
    end = time.monotonic() + LONG_S
    while not done():
        assert time.monotonic() < end, "what was waited for did not happen"
        time.sleep(0.002)


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


Start = Callable[..., Scene]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    stages: list[Scene] = []
    said: list[str] = []

    def make(
        gpu: Gpu | None = None,
        *,
        code: str = SLOW,
        ends: int = 0,
        patience_s: float = LONG_S,
        second: bool = False,
    ) -> Scene:
        stages.append(Scene(tmp_path, gpu or Gpu(), code, ends, patience_s, second, said))
        return stages[-1]

    with heard(said.append):
        yield make
    for stage in stages:
        stage.close()


def test_the_first_frames_are_the_cpus_and_then_the_gpu_takes_over(start: Start) -> None:
    stage = start()
    first = stage.frame(KNOWN)  # at once, whatever the builder does
    assert first.unified.shape == SMALL
    assert stage.switch.now.matting.low == SMALL
    stage.builder()
    before = [stage.frame(KNOWN) for _ in range(3)]
    assert all(matte.unified.shape == SMALL for matte in before)
    stage.let_builder_end()
    mattes = stage.frames_until(lambda: stage.swapped)
    sizes = [matte.unified.shape for matte in mattes]
    assert sizes == sorted(sizes)  # small, small, ..., large: one change, and not back
    assert (sizes[0], sizes[-1]) == (SMALL, LARGE)
    assert all(
        matte.alpha.shape == (4 * size[0], 4 * size[1])
        for matte, size in zip(mattes, sizes, strict=True)
    )
    (line,) = stage.said
    assert line.startswith("toy GPU: takes over after ")
    assert (stage.switch.now.matting.low, stage.switch.now.matting.high) == (LARGE, (256, 512))
    picture = portrait(seed=9).picture
    right = Bshm(*fake_networks(LARGE)).matte(picture)
    assert np.array_equal(stage.switch.now.matting.matte(picture).alpha, right.alpha)


def test_the_gpu_makes_no_matte_that_leaves_before_it_agreed(start: Start) -> None:
    """Frames go on while both are compared, and come from the CPU."""
    stage = start()
    stage.let_builder_end()
    mattes = stage.frames_until(lambda: stage.swapped)
    assert len(mattes) >= 4  # one per comparison on live frames, and the one that was swapped
    assert all(matte.unified.shape == SMALL for matte in mattes[:-1])
    twin = stage.gpu.made[1]
    assert twin[2].calls == 4  # the known picture and three frames
    assert all(engine.closed for engine in twin)
    assert not any(engine.closed for engine in stage.cpu)  # the CPU stays ready


@pytest.mark.parametrize(
    ("gpu", "reason"),
    [
        (Gpu(shift=0.1), "alpha differs"),
        (Gpu(shift=np.nan), "not a number"),
        (Gpu(blind=True), "nobody found"),
        (Gpu(levels=3), "composite differs"),
        (Gpu(lags=True), "steadied alpha differs"),
    ],
    ids=["shifted", "NaN", "blind", "wrong composites", "wrong steadier"],
)
def test_a_gpu_that_disagrees_is_refused(start: Start, gpu: Gpu, reason: str) -> None:
    stage = start(gpu)
    stage.let_builder_end()
    stage.frames_until(lambda: bool(stage.said))
    (line,) = stage.said
    assert line.startswith("the CPU goes on: ")
    assert reason in line
    assert "\n" not in line
    mattes = [stage.frame(KNOWN) for _ in range(5)]
    assert all(matte.unified.shape == SMALL for matte in mattes)
    assert not stage.swapped
    wait_for(lambda: all(engine.closed for engines in gpu.made for engine in engines))


@pytest.mark.parametrize("second", [False, True], ids=["whole", "networks alone"])
def test_a_pipeline_runs_through_the_change(start: Start, second: bool) -> None:
    """Steadied and guarded: no frame is withheld, and the output keeps its size."""
    stage = start(Gpu(levels=3 * second), second=second)
    stage.let_builder_end()
    pipeline, shots, troubles = stage.pipeline(), [], set()

    def frame() -> bool:
        troubles.add(pipeline.trouble)
        shots.append(pipeline.shoot(Frame(KNOWN, len(shots), len(shots) / 30)))
        return stage.swapped

    wait_for(frame)
    frame()
    assert troubles == {None}
    assert all(shot.has_person for shot in shots)
    assert all(shot.composite.shape == KNOWN.shape for shot in shots)


def test_where_its_composites_are_wrong_the_gpu_s_networks_still_serve(start: Start) -> None:
    stage = start(Gpu(levels=3), second=True)
    stage.let_builder_end()
    stage.frames_until(lambda: stage.swapped)
    (line,) = stage.said
    assert line.startswith("toy networks (the GPU's composite differs")
    assert "takes over after" in line
    assert stage.switch.now.compositor is stage.first.compositor
    assert all(engine.closed for engine in stage.gpu.made[0])


def test_a_gpu_whose_networks_are_wrong_is_refused_once(start: Start) -> None:
    stage = start(Gpu(shift=0.1), second=True)
    stage.let_builder_end()
    stage.frames_until(lambda: bool(stage.said))
    (line,) = stage.said
    assert line.startswith("the CPU goes on: the GPU's alpha differs")
    assert not stage.swapped


def test_a_compositor_that_fails_later_withholds_one_frame(start: Start) -> None:
    stage = start()
    stage.let_builder_end()
    pipeline = stage.pipeline()
    frames = (Frame(KNOWN, i, i / 30) for i in itertools.count())
    wait_for(lambda: pipeline.shoot(next(frames)) and stage.swapped)
    stage.gpu.compositors[0].fails = True
    withheld = pipeline.shoot(next(frames))
    assert not withheld.has_person
    assert (withheld.composite == BACKDROP).all()
    assert pipeline.trouble == "the toy GPU composites no more: cool it"
    assert pipeline.shoot(next(frames)).has_person
    assert not stage.swapped
    assert stage.said[1:] == ["back on the CPU: the toy GPU composites no more: cool it"]


def test_a_builder_that_fails_is_told_in_one_line(start: Start) -> None:
    stage = start(ends=4)
    stage.let_builder_end()
    mattes = stage.frames_until(lambda: bool(stage.said))
    (line,) = stage.said
    assert line.endswith("failed (4): the toy builder was told to fail")
    assert all(matte.unified.shape == SMALL for matte in mattes)
    assert stage.gpu.made == []


def test_a_builder_that_crashes_is_told_in_one_line(start: Start) -> None:
    stage = start(code="import os; os.abort()")
    stage.frames_until(lambda: bool(stage.said))
    assert "no reason given" in stage.said[0]


def test_a_builder_that_hangs_is_ended(start: Start) -> None:
    stage = start(code=DEAF, patience_s=3.0)
    pid = stage.builder()
    stage.frames_until(lambda: bool(stage.said))
    assert "not built after 3 s" in stage.said[0]
    wait_for(lambda: not runs(pid))
    assert stage.frame(KNOWN).unified.shape == SMALL


def test_a_builder_that_cannot_start_is_told(tmp_path: Path) -> None:
    said: list[str] = []
    gpu, cpu = Gpu(), cpu_parts(Bshm(*fake_networks(SMALL)), SIZE)
    absent = Builder([str(tmp_path / "absent")])
    trial, switch = Trial(cpu, gpu.twin, KNOWN), Switch(cpu)
    with heard(said.append), switch, GpuStart(switch, absent, [gpu.load], trial):
        wait_for(lambda: said)
        assert "does not start" in said[0]
        assert matte_of(switch, KNOWN).unified.shape == SMALL


@pytest.mark.parametrize("code", [SLOW, DEAF], ids=["obedient", "deaf"])
def test_closing_ends_the_builder(start: Start, code: str) -> None:
    stage = start(code=code)
    pid = stage.builder()
    stage.frame(KNOWN)
    begin = time.monotonic()
    stage.close()
    assert time.monotonic() - begin < 10
    wait_for(lambda: not runs(pid))
    assert stage.said == []
    assert all(engine.closed for engine in stage.cpu)


def test_a_bug_on_the_way_to_the_gpu_is_told_and_traced(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    traced: list[object] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: traced.append(args.exc_type))
    gpu = Gpu()
    monkeypatch.setattr(gpu, "load", lambda: 1 / 0)
    stage = start(gpu)
    stage.let_builder_end()
    stage.frames_until(lambda: bool(traced))
    assert traced == [ZeroDivisionError]
    assert stage.said == ["the CPU goes on: the GPU's part of this program has a bug:"]
    assert stage.frame(KNOWN).unified.shape == SMALL


def test_closing_while_both_are_compared_closes_all(start: Start) -> None:
    stage = start()
    stage.let_builder_end()
    wait_for(lambda: len(stage.gpu.made) == 2)  # loaded, and waiting for a frame that never comes
    stage.close()
    assert stage.said == []
    assert all(engine.closed for engines in (stage.cpu, *stage.gpu.made) for engine in engines)


def test_a_gpu_that_fails_later_leaves_no_gap(start: Start) -> None:
    gpu = Gpu()
    stage = start(gpu)
    stage.let_builder_end()
    stage.frames_until(lambda: stage.swapped)
    gpu.fail_at = gpu.made[0][2].calls + 2
    sizes = [stage.frame(KNOWN).unified.shape for _ in range(5)]
    assert sizes == [LARGE] + [SMALL] * 4
    assert stage.said[1:] == ["back on the CPU: the toy GPU has fallen off the bus: put it back"]
    assert all(engine.closed for engine in gpu.made[0])


def test_an_error_of_the_cpus_is_the_callers(start: Start) -> None:
    stage = start()

    def fail(feeds: object) -> dict[str, np.ndarray]:
        raise EngineError("the toy CPU was told to fail: ask it not to")

    stage.cpu[0].function = fail
    with pytest.raises(EngineError, match="toy CPU"):
        stage.frame(KNOWN)


def test_the_committed_networks_agree_in_float16() -> None:
    """What TensorRT is given, computed by ONNX Runtime, is no reason for a refusal."""
    from bshm_live.runtimes.float16 import to_float16

    if not (engines_folder() / "manifest.toml").is_file():
        pytest.skip("no trained networks in this checkout")
    import onnxruntime as ort

    networks = load_manifest().preset("balanced")
    paths = [networks[name].path for name in ("mpn", "qun", "mrn")]
    halves = [OnnxRuntimeEngine(path, 1) for path in paths]
    for engine, path in zip(halves, paths, strict=True):
        engine._session = ort.InferenceSession(to_float16(path.read_bytes()))
    clip = VideoFile(demo_clip())
    picture = next(iter(clip)).image.copy()
    clip.close()
    with Bshm(*halves) as half, Bshm(*(OnnxRuntimeEngine(path, 1) for path in paths)) as full:
        right = full.matte(picture)
        agree(half.matte(picture), right, person=True)
        again = half.matte(picture, hint=right.alpha)
        agree(again, full.matte(picture, hint=right.alpha))
