from __future__ import annotations

from io import BytesIO
from itertools import pairwise

import numpy as np
import pytest
from conftest import portrait
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bshm_live.errors import SettingsError, SinkError
from bshm_live.sinks.photo import encoded
from bshm_live.stills.id_files import backdrop
from bshm_live.stills.sheet import GAP, MARGIN, PAPERS, WHITE, filled, layout, paper_of
from bshm_live.stills.sizes import INCH, colour_of, find, known, parse_kb

# --- sizes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "pixels"),
    [
        ("一寸", (295, 413)),
        ("CN-1", (295, 413)),
        ("小一寸", (260, 378)),
        ("大一寸", (390, 567)),
        ("二寸", (413, 579)),
        ("小二寸", (413, 531)),
        ("学信网", (480, 640)),
        ("us passport", (600, 600)),
        ("Schengen visa", (413, 531)),
        ("UK", (413, 531)),
        ("35x45mm", (413, 531)),
        ("2x2in", (600, 600)),
        ("3.5x4.5cm", (413, 531)),
        ("413x579px", (413, 579)),
    ],
)
def test_sizes(text: str, pixels: tuple[int, int]) -> None:
    assert find(text).pixels == pixels


def test_dpi_enlarges_what_is_known_in_millimetres() -> None:
    assert find("US-passport", 600).pixels == (1200, 1200)
    assert find("35x45mm", 600).pixels == (827, 1063)
    assert find("413x579px", 600).pixels == (413, 579)
    assert find("CN-chsi", 600).printed == pytest.approx((480 / 600 * INCH, 640 / 600 * INCH))


@pytest.mark.parametrize("size", known(), ids=lambda size: size.name)
def test_every_row_makes_sense(size: object) -> None:
    row = find(getattr(size, "name"))  # noqa: B009 - a row is known by its name
    assert row.country
    assert row.document
    assert row.source
    assert len(row.date) == 10
    assert 0.3 < row.head[0] < row.head[1] < 0.9
    for colour in row.colours:
        colour_of(colour)
    if row.mm:  # millimetres and pixels are the same photo, to a millimetre
        assert np.abs(np.subtract(row.mm, row.printed)).max() < 1
    if row.kb:
        assert row.kb[0] < row.kb[1]


@pytest.mark.parametrize("text", ["", "35x45", "0x45mm", "9999x9999mm", "passport", "35x45mmm"])
def test_a_size_that_is_none_is_one_line(text: str) -> None:
    with pytest.raises(SettingsError, match="--size") as caught:
        find(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dpi", [0, -300, 100_000])
def test_dpi_has_limits(dpi: int) -> None:
    with pytest.raises(SettingsError, match="--dpi"):
        find("35x45mm", dpi)


def test_kilobytes() -> None:
    assert parse_kb("20-100") == (20, 100)
    assert parse_kb("50") == (0, 50)
    for text in ("", "100-20", "a-b", "0", "-5"):
        with pytest.raises(SettingsError, match="--kb"):
            parse_kb(text)


def test_colours_of_photos() -> None:
    assert backdrop("blue", (2, 2))[0, 0].tolist() == [219, 142, 67]
    assert backdrop("#ff0000", (2, 2))[1, 1].tolist() == [0, 0, 255]
    fading = backdrop("gradient", (4, 100))
    assert fading[0, 0].tolist() == [219, 142, 67]
    assert (np.diff(fading[:, 0].astype(int), axis=0) >= 0).all()
    assert fading[-1].min() > 220
    with pytest.raises(SettingsError, match="colour"):
        backdrop("gradient:nothing", (2, 2))


# --- files ------------------------------------------------------------------------------------


def opened(data: bytes) -> Image.Image:
    image = Image.open(BytesIO(data))
    image.load()
    return image


@pytest.mark.parametrize("kind", ["jpg", "png"])
def test_dpi_stands_in_the_file(kind: str) -> None:
    image = opened(encoded(portrait(295, 413).picture, kind, 300))
    assert image.size == (295, 413)
    assert image.info["dpi"] == pytest.approx((300, 300), abs=0.01)


@pytest.mark.parametrize("kb", [(20, 40), (60, 100), (8, 12), (40, 45)])
def test_kilobytes_are_met_by_quality(kb: tuple[int, int]) -> None:
    noisy = portrait(480, 640).picture
    noisy = noisy + np.random.default_rng(0).integers(0, 12, noisy.shape).astype(np.uint8)
    data = encoded(noisy, "jpg", 300, kb)
    assert kb[0] * 1024 <= len(data) <= kb[1] * 1000
    assert opened(data).size == (480, 640)


def test_kilobytes_that_cannot_be_are_one_line() -> None:
    picture = portrait(100, 140).picture
    with pytest.raises(SinkError, match=r"\d+ kB at the best quality, 500-600 are asked for"):
        encoded(picture, "jpg", 300, (500, 600))
    with pytest.raises(SinkError, match=r"\d+ kB at the lowest quality"):
        encoded(portrait(2000, 3000).picture, "jpg", 300, (1, 5))
    with pytest.raises(SinkError, match="as PNG"):
        encoded(picture, "png", 300, (500, 600))


# --- sheets -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "paper", "count"),
    [("CN-1", "5in", 9), ("CN-1", "6in", 10), ("CN-2", "6in", 4), ("US-passport", "4x6in", 2)],
)
def test_as_many_as_fit(size: str, paper: str, count: int) -> None:
    photo = find(size)
    plan = layout(photo.pixels, photo.dpi, paper_of(paper))
    assert len(plan.corners) == count
    sides = sorted(side / photo.dpi * INCH for side in plan.sheet)
    assert sides == pytest.approx(sorted(PAPERS[paper]), abs=0.1)


@given(
    wide=st.integers(60, 900),
    tall=st.integers(60, 900),
    dpi=st.sampled_from([150, 300, 600]),
    paper=st.sampled_from(sorted(PAPERS)),
)
def test_photos_lie_apart_and_inside(wide: int, tall: int, dpi: int, paper: str) -> None:
    try:
        plan = layout((wide, tall), dpi, PAPERS[paper])
    except SettingsError:
        across = [side / dpi * INCH + 2 * MARGIN for side in sorted((wide, tall))]
        # Half a pixel of each margin may be rounded away.
        assert any(a > b - 0.5 for a, b in zip(across, sorted(PAPERS[paper]), strict=True))
        return
    width, height = plan.sheet
    taken = np.zeros((height, width), np.uint8)
    for x, y in plan.corners:
        assert not taken[y : y + tall, x : x + wide].any()
        taken[y : y + tall, x : x + wide] = 1
    assert taken.sum() == len(plan.corners) * wide * tall  # none reaches out
    xs = sorted({x for x, _ in plan.corners})
    gap = round(GAP / INCH * dpi)
    assert all(b - a == wide + gap for a, b in pairwise(xs))


def test_a_sheet_shows_whole_photos_and_marks_beside_them() -> None:
    photo = np.full((413, 295, 3), 40, np.uint8)
    plan = layout((295, 413), 300, PAPERS["6in"])
    sheet = filled(photo, plan)
    for x, y in plan.corners:
        assert (sheet[y : y + 413, x : x + 295] == 40).all()
        sheet[y : y + 413, x : x + 295] = WHITE
    rows, columns = np.nonzero((sheet < WHITE).any(2))
    assert len(rows)
    lines = {x for x, _ in plan.corners} | {x + 294 for x, _ in plan.corners}
    heights = {y for _, y in plan.corners} | {y + 412 for _, y in plan.corners}
    assert all(x in lines or y in heights for y, x in zip(rows, columns, strict=True))


def test_paper_that_is_too_small_or_unknown() -> None:
    with pytest.raises(SettingsError, match="does not fit"):
        layout((2000, 2000), 300, PAPERS["6in"])
    for text in ("a99", "", "0x10mm", "5000x5000mm"):
        with pytest.raises(SettingsError, match="--sheet"):
            paper_of(text)
    assert paper_of("102x152mm") == (102, 152)
    assert paper_of("A4") == PAPERS["a4"]
