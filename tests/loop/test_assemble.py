"""The one rule for presets and runtimes: live, files and stills."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import TOY_LOW, ListSink, portrait, write_clip

from bshm_live.commands.live import run_live
from bshm_live.loop import assemble
from bshm_live.loop.assemble import file_pipeline, live_networks, live_parts, paced, preset_for
from bshm_live.loop.stage import open_stage
from bshm_live.matting.bshm import Bshm
from bshm_live.runtimes import choice
from bshm_live.runtimes.choice import load_bshm
from bshm_live.settings import BackgroundSpec, Live, Look, Networks
from bshm_live.types import Frame

WIDE, TALL = (1280, 720), (720, 1280)
LOOK = Look(BackgroundSpec("colour", colour=(0, 177, 64)))


@pytest.mark.parametrize(
    ("job", "on_gpu", "wide"),
    [
        ("live", False, "balanced"),
        ("live", True, "quality"),
        ("file", False, "balanced"),
        ("file", True, "balanced"),
        ("still", False, "quality"),
    ],
)
def test_the_format_and_the_job_choose_where_nobody_did(
    job: assemble.Job, on_gpu: bool, wide: str
) -> None:
    assert preset_for(Networks(), WIDE, job, on_gpu=on_gpu) == wide
    assert preset_for(Networks(), (720, 720), job, on_gpu=on_gpu) == wide
    assert preset_for(Networks(), TALL, job, on_gpu=on_gpu) == "tall"


@pytest.mark.parametrize("size", [WIDE, TALL])
@pytest.mark.parametrize("job", ["live", "file", "still"])
def test_a_preset_that_was_asked_for_is_obeyed(job: assemble.Job, size: tuple[int, int]) -> None:
    assert preset_for(Networks(preset="fast"), size, job) == "fast"


@pytest.mark.usefixtures("toy_engines")
def test_toy_networks_have_no_quality() -> None:
    assert preset_for(Networks(), WIDE, "still") == "balanced"


@pytest.mark.usefixtures("toy_engines")
@pytest.mark.parametrize(("size", "preset"), [((128, 64), "balanced"), ((64, 128), "tall")])
def test_live_and_files_take_the_networks_of_their_format(
    size: tuple[int, int], preset: str
) -> None:
    picture = portrait(*size).picture
    for runtime in ("auto", "onnxruntime"):
        networks = Networks(runtime)  # type: ignore[arg-type]
        with ExitStack() as stack:
            parts = live_parts(networks, size, 30.0, stack).switch.current()
            assert parts.matting.low == TOY_LOW[preset]
            assert parts.matting.matte(picture).alpha.shape == parts.matting.high
            _, pipeline = file_pipeline(open_stage(LOOK, size), networks, size, stack)
            assert pipeline.shoot(Frame(picture, 0, 0.0)).composite.shape == picture.shape


@pytest.mark.parametrize(("takes", "preset"), [(1.0, "tall"), (500.0, "fast")])
def test_a_slow_machine_gets_the_fast_networks_for_portrait_format_too(
    takes: float, preset: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(assemble, "milliseconds", lambda *_: takes)
    caplog.set_level(logging.INFO, "bshm_live")
    networks = Networks("onnxruntime")
    with ExitStack() as stack:
        _, matting, name = live_networks(networks, TALL, 30.0, stack)
        found = matting.low
        assert name == preset
        asked = replace(networks, preset=preset) if preset == "fast" else networks
        with ExitStack() as other:
            name = preset_for(asked, TALL, "live")
            assert found == assemble.load(asked, name, other)[1].low
    assert ("using --preset fast" in caplog.text) == (preset == "fast")


@pytest.mark.usefixtures("toy_engines")
@pytest.mark.parametrize("there", [["onnxruntime"], ["openvino", "onnxruntime"]])
def test_auto_takes_the_best_runtime_and_live_says_which(
    there: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if missing := [name for name in there if choice.lacking(name)]:
        pytest.skip(f"not installed: {missing}")
    right = choice.lacking
    monkeypatch.setattr(choice, "lacking", lambda name: right(name) if name in there else "away")
    monkeypatch.setattr(assemble, "lacking", choice.lacking)
    sink = ListSink()
    monkeypatch.setattr("bshm_live.commands.live.open_sinks", lambda *_: [sink])
    clip = write_clip(tmp_path / "clip.mp4")
    run_live(LOOK, Networks(), Live(source=str(clip), frames=3))
    assert {"openvino": "OpenVINO", "onnxruntime": "ONNX Runtime"}[there[0]] in (
        capsys.readouterr().err
    )
    assert len(sink.shots) == 3


@pytest.mark.parametrize(("takes", "frugal"), [(10.0, True), (20.0, False)])
def test_small_networks_have_one_thread_where_they_keep_the_pace(
    toy_engines: Path, monkeypatch: pytest.MonkeyPatch, takes: float, frugal: bool
) -> None:
    """At 30 frames/s: half of the time of a frame is 17 ms."""
    loaded: list[bool] = []

    def loading(*words: object, **options: bool) -> Bshm:
        loaded.append(options["frugal"])
        return load_bshm(*words, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(assemble, "milliseconds", lambda *_: takes)
    monkeypatch.setattr(assemble, "load_bshm", loading)
    with paced(Networks("onnxruntime"), "balanced", WIDE, 30.0, "live")[1]:
        assert loaded[-1] == frugal
    with paced(Networks("onnxruntime"), "balanced", WIDE, 30.0, "file")[1]:
        assert not loaded[-1]
