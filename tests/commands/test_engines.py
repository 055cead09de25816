from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import goldens

from bshm_live.commands import engines as verify
from bshm_live.errors import EngineError
from bshm_live.runtimes.choice import BOUNDS, NAMES, Runtime, available, get_runtime
from bshm_live.runtimes.manifest import engines_folder


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BSHM_ENGINES", str(tmp_path / "engines"))
    return tmp_path / "engines"


def test_verify_passes_within_the_bound(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    goldens(folder, 0.0)
    assert verify.verify_engines() == 0
    text = capsys.readouterr().out
    assert "all within" in text
    assert text.count("bound") == len(available()) + 1
    for name in NAMES:
        assert (f"not verified: {name}: " in text) == (name not in available())


@pytest.mark.parametrize("shift", [2 * BOUNDS["f32"], np.nan])
def test_verify_fails_outside_the_bound(folder: Path, shift: float) -> None:
    goldens(folder, shift)
    with pytest.raises(EngineError, match="from the goldens of balanced"):
        verify.verify_engines()


def test_each_precision_has_its_bound(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is wrong in float32 may be right in float16, and only so far."""

    def half(name: str) -> Runtime:
        return replace(get_runtime(name), bound=BOUNDS["f16"])

    monkeypatch.setattr(verify, "get_runtime", half)
    goldens(folder, 2 * BOUNDS["f32"])
    assert verify.verify_engines() == 0
    shutil.rmtree(folder)
    goldens(folder, 2 * BOUNDS["f16"])
    with pytest.raises(EngineError, match="from the goldens of balanced"):
        verify.verify_engines()


def test_the_committed_networks_agree_with_their_goldens(
    capsys: pytest.CaptureFixture[str],
) -> None:
    if not (engines_folder() / "goldens.npz").is_file():
        pytest.skip("no trained networks in this checkout")
    assert verify.verify_engines() == 0


@pytest.mark.usefixtures("toy_engines")
def test_list_names_every_network_and_runtime(capsys: pytest.CaptureFixture[str]) -> None:
    assert verify.list_engines() == 0
    text = capsys.readouterr().out
    assert all(name in text for name in ("mpn", "qun", "mrn", "balanced", "ONNX Runtime"))


@pytest.mark.usefixtures("toy_engines")
def test_verify_without_goldens_is_one_line() -> None:
    with pytest.raises(EngineError, match=r"goldens\.npz: missing"):
        verify.verify_engines()
