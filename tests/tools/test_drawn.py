"""The scenes with what is drawn: their truth is exact, what is kept is counted."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import portrait

from tools.evaluate import drawn


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A few photographs of a disc, and rooms."""
    for name in ("people2", "alpha2", "rooms_eval"):
        (tmp_path / name).mkdir()
    one = portrait(160, 140, centre=(80, 80), radius=45)
    faces = {}
    for number in range(3):
        name = f"mask_{number:04d}"
        cv2.imwrite(str(tmp_path / "people2" / f"{name}.jpg"), one.picture)
        cv2.imwrite(str(tmp_path / "alpha2" / f"{name}.png"), np.rint(one.alpha * 255))
        cv2.imwrite(str(tmp_path / "rooms_eval" / f"{number}.jpg"), one.background)
        faces[f"people2/{name}.jpg"] = [{"box": [60, 50, 40, 40]}]
    (tmp_path / "faces.json").write_text(json.dumps(faces))
    return tmp_path


def test_the_scenes_are_the_same_at_every_run_and_their_truth_is_measured(data: Path) -> None:
    made, again = (list(drawn.scenes(data, 2)) for _ in range(2))
    assert [scene.kind for scene in made] == [kind for kind in drawn.KINDS for _ in range(2)]
    for one, other in zip(made, again, strict=True):
        assert np.array_equal(one.picture, other.picture)
        assert one.where.sum() >= drawn.LEAST
        if one.kind == "behind":
            assert one.alpha[one.where].max() < 5
    truth = {scene.picture.tobytes(): scene.alpha for scene in made}
    found = drawn.measured(lambda picture: truth[picture.tobytes()] / np.float32(255), made)
    assert found["strands"] == 0
    assert found["held"] > 0.6
    assert found["behind"] > 0.98
    nobody = drawn.measured(lambda picture: np.zeros((9, 9), np.float32), made)
    assert nobody["strands"] > 0
    assert nobody["held"] == nobody["arms"] == 0
    assert nobody["behind"] == 1


@pytest.mark.usefixtures("toy_engines")
def test_the_command_prints_a_row_for_each_preset(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn.main([str(data), "--scenes", "1", "--presets", "balanced"])
    assert "| **balanced** |" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="people2"):
        drawn.main([str(data / "alpha2")])
