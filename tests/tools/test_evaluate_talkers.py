"""Talkers by the mattes of others: what counts as true, and the command on a clip made here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import write_clip
from test_evaluate import write_rival

from tools.evaluate.talkers import AGREED, HEIGHT, JUDGES, agreed, at_height, main


def test_only_what_both_say_counts() -> None:
    one = np.linspace(0, 0.5, 12, dtype=np.float32).reshape(3, 4)
    both = agreed(one, one + np.float32(AGREED * 0.9))
    assert both is not None
    assert both == pytest.approx(one + AGREED * 0.45, abs=1e-6)
    assert agreed(one, one + np.float32(AGREED * 1.1)) is None


def test_a_frame_keeps_its_format() -> None:
    assert at_height(np.zeros((90, 160, 3), np.uint8)).shape == (HEIGHT, HEIGHT * 16 // 9, 3)


@pytest.mark.usefixtures("toy_engines")
def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("clips", "rivals"):
        (tmp_path / name).mkdir()
    for name in JUDGES:
        write_rival(tmp_path / "rivals" / f"{name}.onnx")
    write_clip(tmp_path / "clips" / "one.mp4")
    main([str(tmp_path), "--presets", "balanced", "--per-clip", "3"])
    head, _, row = capsys.readouterr().out.splitlines()
    assert head.startswith("| MAD of 3 frames |")
    cells = row.strip("| ").split(" | ")
    assert cells[0] == "balanced"
    assert all(0 < float(value) < 1000 for value in cells[1:])


@pytest.mark.parametrize(("folder", "lacks"), [("clips", "rivals/rvm"), ("rivals", "clips/")])
def test_what_is_missing_is_one_line(tmp_path: Path, folder: str, lacks: str) -> None:
    (tmp_path / folder).mkdir()
    if folder == "clips":
        (tmp_path / "clips" / "one.mp4").touch()
    else:
        for name in JUDGES:
            (tmp_path / "rivals" / f"{name}.onnx").touch()
    with pytest.raises(SystemExit, match=f"no {lacks}"):
        main([str(tmp_path)])
