"""The photographs put aside: which they are, how overlap, skin tone and light are measured."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import portrait

from bshm_live.errors import SourceError
from tools.evaluate import groups, photos

COUNT = 40


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Forty photographs of one source, with mattes, and a face in each."""
    for name in ("people2", "alpha2"):
        (tmp_path / name).mkdir()
    one = portrait(80, 64, radius=20)
    faces = {}
    for number in range(COUNT):
        name = f"flickr_{number:04d}"
        cv2.imwrite(str(tmp_path / "people2" / f"{name}.jpg"), one.picture)
        cv2.imwrite(str(tmp_path / "alpha2" / f"{name}.png"), np.rint(one.alpha * 255))
        faces[f"people2/{name}.jpg"] = [
            {"box": [25, 15, 30, 30], "eyes": [[32, 25], [47, 25]], "nose": [40, 33]}
        ]
    (tmp_path / "faces.json").write_text(json.dumps(faces))
    return tmp_path


def test_the_same_photographs_are_put_aside_whatever_else_is_there(data: Path) -> None:
    chosen = photos.put_aside(data)
    assert len(chosen) == photos.PUT_ASIDE["flickr"]
    spare = next(name for name in sorted(p.stem for p in (data / "people2").glob("*.jpg"))
                 if name not in chosen)  # fmt: skip
    (data / "people2" / f"{spare}.jpg").unlink()
    assert photos.put_aside(data) == chosen


def test_what_is_put_aside_is_not_trained_on(data: Path) -> None:
    from tools.train.people import photographs

    for name in ("people", "alpha"):
        (data / name).mkdir()
    names = {picture.stem for picture, _, _ in photographs(data)}
    assert len(names) == COUNT - photos.PUT_ASIDE["flickr"]
    assert not names & photos.put_aside(data)


def test_overlap_is_intersection_over_union() -> None:
    a, b = np.zeros((4, 4), np.float32), np.zeros((4, 4), np.float32)
    assert photos.overlap(a, b) == 1
    a[:2], b[1:3] = 1, 0.6
    assert photos.overlap(a, b) == pytest.approx(4 / 12)
    assert photos.overlap(a, np.zeros_like(a)) == 0


@pytest.mark.parametrize(
    ("rgb", "tone"),
    [((240, 205, 185), "light"), ((200, 150, 120), "intermediate"), ((70, 45, 35), "dark")],
)
def test_the_tone_is_that_of_the_largest_face(rgb: tuple[int, int, int], tone: str) -> None:
    picture = np.full((60, 60, 3), (255, 0, 0), np.uint8)
    picture[10:50, 10:50] = rgb[::-1]
    face = {"box": [10, 10, 40, 40], "eyes": [[20, 22], [40, 22]], "nose": [30, 34]}
    far = {"box": [0, 0, 13, 13], "eyes": [[2, 2], [8, 2]], "nose": [5, 8]}
    assert groups.tone_of(picture, [far, face]) == tone
    small = {**far, "box": [0, 0, 5, 5]}
    assert groups.tone_of(picture, [small]) is None


def test_a_photograph_is_in_one_group_of_each_kind(data: Path) -> None:
    picture, shown = np.full((80, 64, 3), 120, np.uint8), groups.Groups(data)
    kinds = {name: len(shown.of(name, picture)) for name in photos.put_aside(data)}
    assert kinds.pop("flickr_0013") == 0  # a statue's face
    assert set(kinds.values()) == {6}


def test_an_ear_lies_beside_a_large_face_seen_from_the_front(tmp_path: Path) -> None:
    face = {"box": [60, 40, 80, 100], "eyes": [[80, 80], [120, 80]], "nose": [102, 100]}
    turned = {**face, "nose": [118, 100]}
    small = {**face, "box": [60, 40, 40, 50]}
    cut = {**face, "box": [0, 40, 80, 100], "eyes": [[10, 80], [50, 80]], "nose": [30, 100]}
    faces = {f"people2/{name}.jpg": [face] for name, face in
             (("front", face), ("turned", turned), ("small", small), ("cut", cut))}  # fmt: skip
    (tmp_path / "faces.json").write_text(json.dumps(faces))
    known = groups.Groups(tmp_path)
    left, right = known.ears("front", (200, 200))
    for y, _ in (left, right):
        assert y.start < 95 < y.stop  # between the eyes and the nose
    assert left[1].start < 60 < left[1].stop
    assert right[1].start < 140 < right[1].stop
    assert known.ears("turned", (200, 200)) == known.ears("small", (200, 200)) == []
    assert len(known.ears("cut", (200, 200))) == 2
    assert len(known.ears("cut", (200, 50))) == 1  # the other lies outside


@pytest.mark.parametrize(("level", "light"), [(30, "dim"), (120, "even"), (230, "glaring")])
def test_light_is_the_photograph_s_own(level: int, light: str) -> None:
    assert groups.light_of(np.full((8, 8, 3), level, np.uint8)) == light


@pytest.mark.usefixtures("toy_engines")
def test_the_command_prints_both_tables(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "photos.md"
    photos.main([str(data), "--presets", "balanced", "--out", str(out)])
    text = capsys.readouterr().out
    assert out.read_text("utf-8") == text
    (line,) = (line for line in text.splitlines() if line.startswith("| **balanced**"))
    assert 0.3 < float(line.split("|")[2]) <= 1
    assert f"| {groups.ALL} | 24 |" in text  # one is a statue
    assert "flickr (25)" in text


def test_a_folder_without_photographs_says_so(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="people2"):
        photos.read_photos(tmp_path)
    with pytest.raises(SystemExit, match="people2"):
        photos.main([str(tmp_path)])
