"""On a real card: engines, kernels and the change to them, beside the CPU's composites."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import ArraySource, ListSink, loop_of, stages
from test_gpu_live import Stand, apart, on_the_cpu

from bshm_live.compositing.background import Fixed, cover, studio
from bshm_live.gpu.parts import GpuParts, open_gpu
from bshm_live.loop.in_flight import InFlight
from bshm_live.loop.parts import Always, cpu_parts
from bshm_live.loop.pipeline import Pipeline
from bshm_live.loop.trial import agree_around
from bshm_live.runtimes import cache as engine_cache
from bshm_live.runtimes.choice import BOUNDS, get_runtime, lacking, load_bshm
from bshm_live.sources.video_file import VideoFile, demo_clip

pytestmark = pytest.mark.gpu
PRESET, SIZE, COUNT = "balanced", (1280, 720), 12
LEVELS = 255 * BOUNDS["f16"] + 1  # of 255, 99.9 % of a composite: what float16 may change


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    source = VideoFile(demo_clip())
    some = [cover(frame.image, SIZE) for _, frame in zip(range(COUNT), source, strict=False)]
    source.close()
    return some


@pytest.fixture
def parts() -> Iterator[GpuParts]:
    if lack := lacking("tensorrt"):
        pytest.skip(lack)
    made = open_gpu(PRESET, SIZE)
    yield made
    made.close()


def composites(pipeline: Pipeline, pictures: list[np.ndarray]) -> list[np.ndarray]:
    sink = ListSink()
    pipeline.run(ArraySource(pictures), [sink])
    assert all(shot.has_person for shot in sink.shots), pipeline.trouble
    return [shot.composite for shot in sink.shots]


def test_the_loop_gives_what_it_gives_on_the_cpu(
    parts: GpuParts, pictures: list[np.ndarray]
) -> None:
    background = Fixed(studio(SIZE))
    gpu = Pipeline(Always(parts), stages(background), SIZE)
    with load_bshm(PRESET, get_runtime("onnxruntime")) as bshm:
        right = composites(loop_of(bshm, background, SIZE), pictures)
    for one, other in zip(composites(gpu, pictures), right, strict=True):
        assert apart(one, other) <= LEVELS
    parts.steadier.reset()
    again = composites(InFlight(parts, stages(background), SIZE), pictures)
    parts.steadier.reset()
    for one, other in zip(again, composites(gpu, pictures), strict=True):
        assert apart(one, other) <= 1


def test_the_kernels_agree_with_numpy_on_the_card_s_own_mattes(
    parts: GpuParts, pictures: list[np.ndarray]
) -> None:
    agree_around(parts, cpu_parts(parts.matting, SIZE), pictures)


@pytest.mark.usefixtures("toy_engines")
def test_a_live_picture_moves_to_the_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if lack := lacking("tensorrt"):
        pytest.skip(lack)
    monkeypatch.setenv(engine_cache.FOLDER_VARIABLE, str(tmp_path))
    stand = Stand("takes over")
    stand.run(monkeypatch)
    number, line = stand.told("takes over")
    assert "frames stay on the GPU: takes over after" in line
    assert all(shot.has_person for shot in stand.sink.shots)
    mine = [shot.composite for shot in stand.sink.shots[number - 1 :]]
    for one, other in zip(mine, on_the_cpu(stand.given[number - 1 :]), strict=True):
        assert apart(one, other) <= LEVELS
