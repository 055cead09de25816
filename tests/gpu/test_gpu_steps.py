"""The steps of tools/gpu_check on the twin of a card: so that on a real one only the card fails."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

import pytest
from cuda_twin import AMPERE, BUILDS, WHY_NOT
from test_gpu_live import kernels, twin  # noqa: F401  (fixtures)

from tools.gpu_check import floor, speed, steps

SIZE = (320, 180)
ARGS = argparse.Namespace(
    preset="balanced", frames=3, bg="#00b140", rvm=Path("there is none"), out=None
)

pytestmark = pytest.mark.skipif(not BUILDS, reason=WHY_NOT)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A card that is the twin's, and work that a processor has done soon."""
    monkeypatch.setattr(steps, "find_gpu", lambda: AMPERE)
    monkeypatch.setattr(steps, "PATH_SIZE", SIZE)
    monkeypatch.setattr(floor, "probe", partial(floor.probe, channels=8, side=8))
    monkeypatch.setattr(speed, "link_rates", partial(floor.link_rates, size=1 << 16))
    monkeypatch.setattr(speed.measured, "__defaults__", ((SIZE,),))


@pytest.mark.usefixtures("twin", "sure")
@pytest.mark.parametrize("name", ["versions", "kernels", "module", "engines", "path", "speed"])
def test_a_step_runs_through(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    steps.STEPS[name](ARGS)
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.usefixtures("twin", "sure")
def test_the_table_shows_every_stage_beside_the_floor(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "table.md"
    steps.speed(argparse.Namespace(**{**vars(ARGS), "out": out}))
    title, _, head, rule, line, *_ = out.read_text().splitlines()
    assert str(AMPERE) in title
    assert "GB/s up" in title
    assert head.count("|") == rule.count("|") == line.count("|")
    stages = ("upload", "preprocess", "mpn", "qun", "mrn", "temporal", "background", "composite")
    assert all(f"| {stage} |" in head for stage in (*stages, "download"))
    assert "320x180" in line
    assert "RVM was not compared" in out.read_text()


@pytest.mark.usefixtures("twin")
def test_an_engine_that_computes_wrongly_is_named_and_the_next_is_tried(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(steps, "BOUNDS", {"f32": 1e-3, "f16": -1.0})
    with pytest.raises(AssertionError, match=r"failed: .*balanced mpn.*balanced mrn"):
        steps.engines(ARGS)
    said = capsys.readouterr()
    assert said.out.count("ready after") >= 3
    assert "more than -1e+00" in said.err
