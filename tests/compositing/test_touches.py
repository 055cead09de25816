"""What is drawn last, against its formulas in float64, and that it stays when nobody is seen."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import ArraySource, FakeEngine, ListSink, fake_networks, loop_of, portrait
from hypothesis import given, settings
from hypothesis import strategies as st

from bshm_live.compositing.background import Fixed, plain
from bshm_live.compositing.touches import Touches, open_touches
from bshm_live.control.touches import border_of, border_text, overlay_of, overlay_text
from bshm_live.errors import SettingsError
from bshm_live.loop.stage import Stage, open_stage
from bshm_live.matting.bshm import Bshm
from bshm_live.settings import Border, Look, Overlay, parse_background
from bshm_live.types import Frame

SIZE = (96, 54)
sizes = st.tuples(st.integers(8, 90), st.integers(8, 90))


def noise(size: tuple[int, int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)


@given(sizes, st.floats(0.01, 1))
@settings(max_examples=30, deadline=None)
def test_a_vignette_is_its_formula(size: tuple[int, int], strength: float) -> None:
    picture = noise(size)
    made = picture.copy()
    Touches(size, strength)(made)
    (width, height), out = size, np.empty(picture.shape)
    for y, x in np.ndindex(height, width):
        r = np.hypot((2 * x + 1) / width - 1, (2 * y + 1) / height - 1) / np.sqrt(2)
        out[y, x] = picture[y, x] * (1 - strength * r**4)
    assert np.abs(made - out).max() <= 1.01


def test_nothing_is_nothing() -> None:
    picture = noise(SIZE)
    made = picture.copy()
    Touches(SIZE)(made)
    assert np.array_equal(made, picture)
    assert open_touches(Look(parse_background("none")), SIZE) is None


def test_a_border_is_as_wide_as_it_says() -> None:
    picture = noise(SIZE)
    made = picture.copy()
    Touches(SIZE, border=Border(5, (1, 2, 3)))(made)
    assert np.array_equal(made[5:-5, 5:-5], picture[5:-5, 5:-5])
    made[5:-5, 5:-5] = (1, 2, 3)
    assert (made == (1, 2, 3)).all()


def logo(folder: Path, width: int = 20, height: int = 10) -> tuple[Path, np.ndarray]:
    picture = np.random.default_rng(1).integers(0, 256, (height, width, 4), np.uint8)
    picture[0, :, 3], picture[1, :, 3] = 0, 255
    cv2.imwrite(str(folder / "logo.png"), picture)
    return folder / "logo.png", picture


def pasted(picture: np.ndarray, over: np.ndarray, x: int, y: int) -> np.ndarray:
    """Pixel by pixel in float64; what lies outside is left out."""
    out = picture.astype(np.float64)
    for j, i in np.ndindex(over.shape[:2]):
        if 0 <= y + j < out.shape[0] and 0 <= x + i < out.shape[1]:
            a = over[j, i, 3] / 255
            out[y + j, x + i] += a * (over[j, i, :3] - out[y + j, x + i])
    return out


@pytest.mark.parametrize(
    ("words", "corner"),
    [
        ("@3,4", (3, 4)),
        ("@-0,-0", (76, 44)),
        ("@-6,4", (70, 4)),
        ("@50%,-10%", (48, 39)),
        ("", (73, 42)),
        ("@-90,-50", (-14, -6)),
        ("@88,50", (88, 50)),
    ],
)
def test_an_overlay_lies_where_it_is_said(
    tmp_path: Path, words: str, corner: tuple[int, int]
) -> None:
    path, over = logo(tmp_path)
    found = overlay_of(f"{path}{words}")
    assert found is not None
    assert overlay_of(overlay_text(found)) == found  # in words that mean the same
    touches = open_touches(Look(parse_background("none"), overlay=found), SIZE)
    assert touches is not None
    picture = noise(SIZE)
    made = picture.copy()
    touches(made)
    faint = over.copy()
    faint[over[..., 3] < 16, :3] = 128  # read_picture: what was meant to be hidden is grey
    assert np.abs(made - pasted(picture, faint, *corner)).max() <= 1.01
    outside = pasted(picture, faint, *corner) == picture
    assert np.array_equal(made[outside], picture[outside])


@pytest.mark.parametrize(
    "text", ["nowhere.png", "nowhere.png@1,2", "@1,2", "logo.png@1", "logo.png@1,2,3", ""]
)
def test_an_overlay_that_makes_no_sense_is_one_line(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logo(tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match="--overlay") as error:
        overlay_of(text)
    assert "\n" not in str(error.value)


def test_an_overlay_out_of_the_picture_or_not_a_picture_is_refused(tmp_path: Path) -> None:
    path, _ = logo(tmp_path)
    (tmp_path / "no.png").write_bytes(b"no picture")
    nothing = parse_background("none")
    for overlay, says in (
        (Overlay(path, "96", "0"), "not in the picture"),
        (Overlay(path, "-97", "0"), "not in the picture"),
        (Overlay(tmp_path / "no.png", "0", "0"), "not a picture"),
    ):
        with pytest.raises(SettingsError, match=says):
            open_touches(Look(nothing, overlay=overlay), SIZE)
    with pytest.raises(SettingsError, match="nothing would be left"):
        open_touches(Look(nothing, border=Border(27)), SIZE)


def test_a_file_may_have_an_at_sign_in_its_name(tmp_path: Path) -> None:
    path, _ = logo(tmp_path)
    path = path.rename(tmp_path / "me@work.png")
    found = overlay_of(str(path))
    assert found is not None
    assert found.path == path


@pytest.mark.parametrize(
    ("text", "border"),
    [("8", Border(8)), ("3,#010203", Border(3, (3, 2, 1))), ("off", None), ("0", None)],
)
def test_borders_in_words(text: str, border: Border | None) -> None:
    assert border_of(text) == border
    assert border is None or border_of(border_text(border)) == border


@pytest.mark.parametrize("text", ["", "x", "-1", "501", "8,", "8,nocolour", "8 px"])
def test_a_border_that_makes_no_sense_is_one_line(text: str) -> None:
    with pytest.raises(SettingsError, match="--border"):
        border_of(text)


def test_it_is_drawn_whoever_is_seen(tmp_path: Path, sure: None) -> None:
    """On a composite, on the background alone, on the card, in a pause and before a frame."""
    path, _ = logo(tmp_path)
    look = Look(parse_background("#102030"), border=Border(2), overlay=overlay_of(f"{path}@9,9"))
    stage = open_stage(look, SIZE)
    right = plain((0x30, 0x20, 0x10), SIZE)
    assert stage.touches is not None
    stage.touches(right)
    assert np.array_equal(stage.empty(SIZE), right)
    assert (stage.background(Frame(right, 0, 0.0), None) == (0x30, 0x20, 0x10)).all()
    seen = portrait(*SIZE).picture
    for fault in (False, True):
        networks: list[FakeEngine] = list(fake_networks())
        if fault:
            networks[2].function = lambda feeds: {"alpha": np.float32(np.nan)}
        sink = ListSink()
        loop = loop_of(Bshm(*networks), stage.background, SIZE, touches=stage.touches)
        loop.run(ArraySource([seen] * 2), [sink])
        for shot in sink.shots:
            assert shot.has_person == (not fault)
            assert (shot.composite[:2] == 255).all()
            outside = shot.alpha == 0
            assert outside.any()
            assert np.array_equal(shot.composite[outside], right[outside])


def test_a_card_is_drawn_over_and_stays_as_it_is() -> None:
    card = plain((1, 2, 3), SIZE)
    stage = Stage(Fixed(card), card=card, touches=Touches(SIZE, border=Border(4)))
    assert (stage.empty(SIZE)[:4] == 255).all()
    assert (card == (1, 2, 3)).all()
