"""ID photos of real portraits, measured without the head finder that made them.

Where a photo shows what of its portrait is found by matching both pictures; where the eyes
and the chin are, another face finder has said (faces.json). The crown is where the photo's new
background ends. Tolerances are those of the head finder: its eyes are off by a tenth of their
distance, its chin and the other finder's by more.
"""

from __future__ import annotations

import json
import re
from contextlib import redirect_stderr
from io import StringIO
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from bshm_live.cli import main
from bshm_live.runtimes.manifest import engines_folder
from bshm_live.stills.sizes import find

NUMBERS = ("0006", "0016", "0023", "0034", "0042", "0057", "0067", "0078", "0082", "0089")
WIDE, TALL, DPI = 295, 413, 300  # CN-1: 25x35 mm
KB = (20, 60)
BLUE = (67, 142, 219)  # RGB
MM = DPI / 25.4  # pixels
SHEET_MM, GAP_MM = (152.4, 101.6), 3.0
# Tolerances: eye line, crown to chin, sheet; degrees; of the width, beside the middle
EYES_MM, HEAD_MM, SHEET_OFF_MM, LEVEL, ASIDE = 1.2, 1.8, 0.1, 5.0, 0.03
INK = 60  # levels by which what is no background differs


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, shared: Path) -> dict[str, tuple[Path, str]]:
    """By number the photos' files, all of one batch, and what was said of each."""
    people = shared / "data" / "people"
    if not (engines_folder() / "head.onnx").is_file() or not people.is_dir():
        pytest.skip("no trained head finder, or no portraits")
    out = tmp_path_factory.mktemp("id")
    words = ["--size", "CN-1", "--bg", "blue", "--kb", "-".join(map(str, KB)), "--sheet", "6in"]
    given = [str(people / f"portrait_{number}.jpg") for number in NUMBERS]
    with redirect_stderr(StringIO()) as said:
        assert main(["id", "-i", *given, "-d", str(out), *words]) == 0
    lines = said.getvalue().splitlines()
    return {
        number: (out / f"portrait_{number}_id.jpg", line)
        for number, line in zip(NUMBERS, lines, strict=False)
    }


def way_to(photo: np.ndarray, portrait: np.ndarray, box: list[float]) -> np.ndarray:
    """(2, 3): from a portrait's pixels to the photo's, by what the face in `box` looks like."""
    x, y, w, h = (round(value) for value in box)
    face = np.zeros(portrait.shape[:2], np.uint8)
    face[max(y, 0) : y + h, max(x, 0) : x + w] = 255
    finder = cv2.SIFT_create()
    near, far = finder.detectAndCompute(portrait, face), finder.detectAndCompute(photo, None)
    pairs = cv2.BFMatcher(crossCheck=True).match(near[1], far[1])
    ends = [
        np.float32([p[i].pt for i in index])
        for p, index in (
            (near[0], [pair.queryIdx for pair in pairs]),
            (far[0], [pair.trainIdx for pair in pairs]),
        )
    ]
    way, sure = cv2.estimateAffinePartial2D(*ends, ransacReprojThreshold=1.5)
    assert sure.sum() >= 12
    return way


@pytest.mark.parametrize("number", NUMBERS)
def test_a_photo_measures_right(
    made: dict[str, tuple[Path, str]], shared: Path, number: str
) -> None:
    (file, line), name = made[number], f"people/portrait_{number}.jpg"
    with Image.open(file) as image:
        assert (image.size, image.info["dpi"]) == ((WIDE, TALL), (DPI, DPI))
    assert KB[0] * 1000 <= file.stat().st_size <= KB[1] * 1024
    photo, portrait = cv2.imread(str(file)), cv2.imread(str(shared / "data" / name))
    assert np.abs(photo[4, 4].astype(int) - BLUE[::-1]).max() <= 4
    (face,) = json.loads((shared / "data" / "faces.json").read_text())[name]
    x, y, w, h = face["box"]
    way = way_to(photo, portrait, face["box"])
    left, right, chin = np.array([*face["eyes"], [x + w / 2, y + h]]) @ way[:, :2].T + way[:, 2]
    crown = np.flatnonzero((np.abs(photo.astype(int) - photo[4, 4]).max(2) > INK).any(1))[0]
    head, eyes = (chin[1] - crown) / MM, (TALL - (left + right)[1] / 2) / MM
    said = re.search(r"head ([\d.]+) mm, eyes ([\d.]+) mm", line)
    assert said
    assert head == pytest.approx(float(said[1]), abs=HEAD_MM)
    assert eyes == pytest.approx(float(said[2]), abs=EYES_MM)
    least, most = (share * TALL / MM for share in find("CN-1").head)
    assert least - HEAD_MM < head < most + HEAD_MM
    assert abs(np.degrees(np.arctan2(*(right - left)[::-1]))) < LEVEL
    assert (left + right)[0] / 2 / WIDE == pytest.approx(0.5, abs=ASIDE)


def runs(line: np.ndarray) -> list[tuple[int, int]]:
    """Where something stands in a row or column of truths: first and behind the last."""
    steps = np.flatnonzero(np.diff(np.concatenate(([0], line.astype(int), [0]))))
    return list(zip(steps[::2].tolist(), steps[1::2].tolist(), strict=True))


def test_a_sheet_printed_at_its_dpi_measures_right(made: dict[str, tuple[Path, str]]) -> None:
    file = made[NUMBERS[0]][0]
    path = file.with_name(file.name.replace("_id", "_sheet"))
    with Image.open(path) as image:
        assert image.info["dpi"] == (DPI, DPI)
        sides = sorted(side / MM for side in image.size)
    assert sides == pytest.approx(sorted(SHEET_MM), abs=SHEET_OFF_MM)
    sheet = cv2.imread(str(path)).astype(int)
    printed = sheet.min(2) < 255 - INK  # photos, and cut marks, which are short
    for axis, length in ((0, WIDE), (1, TALL)):
        found = runs(printed.mean(axis) > 0.25)
        assert len(found) >= 2
        for first, last in found:
            assert (last - first) / MM == pytest.approx(length / MM, abs=SHEET_OFF_MM)
        for (_, last), (first, _) in pairwise(found):
            assert (first - last) / MM == pytest.approx(GAP_MM, abs=SHEET_OFF_MM)
