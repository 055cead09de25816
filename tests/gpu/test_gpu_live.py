"""The commands on a machine with a GPU: real builder, real compiler, the card itself a twin."""

from __future__ import annotations

import itertools
import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from conftest import ListSink, fake_networks, goldens, heard, loop_of, portrait, write_clip
from cuda_twin import AMPERE, BUILDS, WHY_NOT, Twin, gpu_here

from bshm_live.cli import main
from bshm_live.commands import bench, live
from bshm_live.commands import machine as doctor
from bshm_live.compositing.background import Fixed, plain
from bshm_live.compositing.compositor import LIGHT_WRAP
from bshm_live.errors import EngineError
from bshm_live.gpu import nvrtc
from bshm_live.gpu.compositor import GpuCompositor
from bshm_live.loop import guard
from bshm_live.matting.bshm import Bshm
from bshm_live.runtimes import cache as engine_cache
from bshm_live.settings import Live, Look, Networks, parse_background
from bshm_live.types import Frame

GREEN = (64, 177, 0)  # BGR of #00b140
SIZE = (288, 160)
LONG_S = 120.0  # what is waited for comes much sooner; machines may be busy
FPS = 30  # as a camera's: the builder needs a core, too
MORE = 6  # frames after what was waited for
FLOAT16_LEVELS = 1  # float16 beside float32, 99.9 % of a composite

pytestmark = pytest.mark.skipif(not BUILDS, reason=WHY_NOT)


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder with nothing but the kernels, compiled for the twin's card."""
    if shutil.which("g++") is None:
        pytest.skip("there is no g++ to compile the kernels for the processor")
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(engine_cache.FOLDER_VARIABLE, str(folder))
        try:
            nvrtc.compiled(AMPERE.capability, most=AMPERE.cuda[0])
        except EngineError as error:
            pytest.skip(str(error))
    return folder


@pytest.fixture
def twin(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, toy_engines: Path, kernels: Path
) -> Iterator[Twin]:
    """Toy networks and a cache without engines beside the GPU."""
    shutil.copytree(kernels, tmp_path / "cache")
    monkeypatch.setenv(engine_cache.FOLDER_VARIABLE, str(tmp_path / "cache"))
    with gpu_here(monkeypatch) as made:
        yield made


class Stand:
    """A camera of portraits and a sink around run_live.

    Goes on until a line with `last` was said and a few frames more; `at` is called
    with each frame's number before it is given. `lines` say at which frame.
    """

    fps, count, size = float(FPS), None, SIZE

    def __init__(self, last: str, at: Callable[[int], None] = lambda number: None) -> None:
        self.last, self.at = last, at
        self.sink = ListSink()
        self.lines: list[tuple[int, str]] = []
        self.given: list[Frame] = []

    def say(self, line: str) -> None:
        self.lines.append((len(self.given), line))

    def describe(self) -> str:
        return "a stand"

    def close(self) -> None: ...

    def __iter__(self) -> Iterator[Frame]:
        end, left = time.monotonic() + LONG_S, MORE
        for number in itertools.count():
            assert time.monotonic() < end, self.lines
            left -= any(self.last in line for _, line in self.lines)
            if not left:
                return
            self.at(number)
            time.sleep(1 / FPS)
            picture = portrait(*SIZE, centre=(100 + number % 40, 80), seed=number % 3).picture
            self.given.append(Frame(picture, number, number / self.fps))
            yield self.given[-1]

    def run(
        self,
        monkeypatch: pytest.MonkeyPatch,
        *,
        steady: bool = True,
        light_wrap: bool = False,
        mirror: bool = False,
    ) -> None:
        monkeypatch.setattr(live, "open_source", lambda *_: self)
        monkeypatch.setattr(live, "open_sinks", lambda *_: [self.sink])
        monkeypatch.setattr(live, "say", self.say)
        monkeypatch.setattr(guard, "LATE_S", LONG_S)  # how fast it is, is not what is tested
        look = Look(parse_background("#00b140"), mirror=mirror, light_wrap=light_wrap)
        networks = Networks("tensorrt", "balanced", steady=steady)
        with heard(self.say):
            live.run_live(look, networks, Live())

    def told(self, words: str) -> tuple[int, str]:
        (found,) = [pair for pair in self.lines if words in pair[1]]
        return found


def on_the_cpu(frames: list[Frame], *, wrap: float = 0.0, **options: bool) -> list[np.ndarray]:
    """Composites of the same networks, their arithmetic in NumPy."""
    sink, green = ListSink(), Fixed(plain(GREEN, SIZE))
    loop_of(Bshm(*fake_networks()), green, SIZE, wrap=wrap, **options).run(frames, [sink])
    return [shot.composite for shot in sink.shots]


def apart(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.quantile(np.abs(one.astype(int) - other), 0.999))


@pytest.mark.parametrize("plain", [True, False], ids=["as it is", "with every option"])
def test_a_live_picture_moves_to_the_gpu_between_two_frames(
    twin: Twin, monkeypatch: pytest.MonkeyPatch, plain: bool
) -> None:
    """The builder is the program's own, in a process; the first frame does not wait for it."""
    stand = Stand("takes over")
    stand.run(monkeypatch, steady=plain, light_wrap=not plain, mirror=not plain)
    options = {"smooth": plain, "mirror": not plain, "wrap": 0.0 if plain else LIGHT_WRAP}
    _, first = stand.told("until TensorRT is ready")
    assert "CPU" in first
    # Said in the hint of the frame that was given last
    number, line = stand.told("takes over")
    assert f"{AMPERE}, f16, frames stay on the GPU: takes over after " in line
    assert number > 3, "frames left while the engines were built and compared"
    assert [shot.has_person for shot in stand.sink.shots] == [True] * len(stand.given)
    mine = [shot.composite for shot in stand.sink.shots]
    before = on_the_cpu(stand.given[: number - 1], **options)
    for one, other in zip(mine[: number - 1], before, strict=True):
        assert apart(one, other) <= 1
    after = on_the_cpu(stand.given[number - 1 :], **options)
    assert len(after) >= MORE - 1
    for one, other in zip(mine[number - 1 :], after, strict=True):
        assert apart(one, other) <= FLOAT16_LEVELS
    assert twin.device.cuda.launched.count("composite") >= len(after)
    assert not twin.device.cuda.held, "the GPU's memory was given back"


def test_without_the_kernels_compiler_the_networks_run_on_the_gpu_alone(
    twin: Twin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nvrtc, "folders", lambda: iter(()))
    stand = Stand("takes over")
    stand.run(monkeypatch)
    number, line = stand.told("takes over")
    assert f"{AMPERE}, f16, composites on the CPU (NVRTC, the kernels' compiler, is not" in line
    assert nvrtc.INSTALL in line
    assert len([text for _, text in stand.lines if "GPU" in text or "NVRTC" in text]) == 1
    assert all(shot.has_person for shot in stand.sink.shots)
    assert not twin.device.cuda.launched
    assert len(stand.given) > number


def test_kernels_that_compute_wrongly_are_not_used(
    twin: Twin, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = GpuCompositor._arguments

    def swapped(self: GpuCompositor, *given):  # type: ignore[no-untyped-def]
        wrong = arguments(self, *given)
        wrong.frame, wrong.back = wrong.back, wrong.frame
        return wrong

    monkeypatch.setattr(GpuCompositor, "_arguments", swapped)
    stand = Stand("takes over")
    stand.run(monkeypatch)
    assert "composites on the CPU (the GPU's composite differs" in stand.told("takes over")[1]
    for one, other in zip(stand.sink.shots, on_the_cpu(stand.given), strict=True):
        assert apart(one.composite, other) <= FLOAT16_LEVELS
    assert not twin.device.cuda.held


def test_a_card_that_is_lost_leaves_no_raw_pixel(
    twin: Twin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The frame in hand and all that follow are the CPU's."""
    stand = Stand("back on the CPU")

    def lose(number: int) -> None:
        twin.device.fails |= any(
            "takes over" in line and number > at + 2 for at, line in stand.lines
        )

    stand.at = lose
    stand.run(monkeypatch, steady=False)
    number, line = stand.told("back on the CPU")
    assert "fallen off the bus" in line
    assert all(shot.has_person for shot in stand.sink.shots)
    mine = [shot.composite for shot in stand.sink.shots[number - 1 :]]
    right = on_the_cpu(stand.given[number - 1 :], smooth=False)
    assert len(right) >= MORE - 1
    assert max(map(apart, mine, right)) <= 1


def alphas(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([f.to_ndarray(format="gray") for f in container.decode(video=0)])


@pytest.mark.usefixtures("twin")
def test_a_file_is_the_same_from_the_gpu(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip, found = write_clip(tmp_path / "clip.mp4"), {}
    for runtime in ("tensorrt", "onnxruntime"):
        out, alpha = tmp_path / f"{runtime}.mp4", tmp_path / f"{runtime}.mkv"
        words = ["video", str(clip), "-o", str(out), "--bg", "#00b140", "--alpha", str(alpha)]
        assert main([*words, "--light-wrap", "--runtime", runtime]) == 0
        said = capsys.readouterr().err
        assert ("f16, frames stay on the GPU" in said) == (runtime == "tensorrt")
        found[runtime] = alphas(alpha)
    assert found["tensorrt"].shape == (12, 144, 256)
    assert apart(found["tensorrt"], found["onnxruntime"]) <= FLOAT16_LEVELS


def test_a_file_without_the_kernels_compiler_says_so(
    twin: Twin,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(nvrtc, "folders", lambda: iter(()))
    clip = write_clip(tmp_path / "clip.mp4")
    words = ["video", str(clip), "-o", str(tmp_path / "out.mp4"), "--runtime", "tensorrt"]
    assert main([*words, "--bg", "#00b140"]) == 0
    first, last = capsys.readouterr().err.splitlines()
    assert first.startswith("composites on the CPU: NVRTC")
    assert nvrtc.INSTALL in first
    assert last.endswith("f16")
    assert not twin.device.cuda.held


@pytest.mark.usefixtures("twin")
def test_bench_measures_the_loop(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["bench", "--runtime", "tensorrt", "--size", "320x180", "--frames", "6", "--json"]
    assert main(words) == 0
    said = capsys.readouterr()
    title, _, *rows, rate, last = said.out.splitlines()
    assert title.endswith(f"{AMPERE}, f16, balanced, 320x180")
    stages = ["matte", "temporal", "background", "composite", "sink", "total"]
    assert [line.split()[0] for line in rows] == stages
    assert rate.split()[1].startswith("frames/s")
    result = json.loads(last)
    assert result["size"] == "320x180"
    assert list(result["stages_ms"]) == stages
    assert all(0 < q["p50"] <= q["p95"] for q in result["stages_ms"].values())


@pytest.mark.usefixtures("twin")
def test_bench_of_several_sizes_ends_with_all_of_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "GPU_SIZES", ((288, 160), (320, 180)))
    assert main(["bench", "--runtime", "tensorrt", "--frames", "3", "--json"]) == 0
    *_, last = capsys.readouterr().out.splitlines()
    assert [one["size"] for one in json.loads(last)["sizes"]] == ["288x160", "320x180"]


def test_verify_compares_both_precisions(
    twin: Twin,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("BSHM_ENGINES", str(tmp_path / "engines"))
    goldens(tmp_path / "engines", 0.0)
    assert main(["engines", "verify"]) == 0
    text = capsys.readouterr().out
    for precision, bound in (("f16", "2e-02"), ("f32", "1e-03")):
        part = text[text.index(f"{AMPERE}, {precision}") :]
        assert part[part.index("bound") :].split()[1] == bound
    shutil.rmtree(tmp_path / "engines")
    goldens(tmp_path / "engines", 5e-3)  # right for float16 alone
    assert main(["engines", "verify"]) == 4
    assert "differs by 5" in capsys.readouterr().err


@pytest.mark.usefixtures("twin")
def test_doctor_finds_everything(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "find_gpu", lambda: AMPERE)
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("ok") and f"{AMPERE}, f16" in line for line in lines)
    assert any(line.startswith("ok    frames on the GPU: NVRTC") for line in lines)
    assert not any("todo" in line and "tensorrt" in line for line in lines)


@pytest.mark.usefixtures("twin")
def test_build_runs_each_engine_once_so_that_the_next_start_is_fast(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["engines", "build", "--preset", "balanced"]) == 0
    assert capsys.readouterr().out.count("built in") == 3
    kinds = sorted(path.suffix for path in (tmp_path / "cache" / "engines").iterdir())
    assert kinds == [".engine"] * 3 + [".kernels"] + [".runtime"] * 3
