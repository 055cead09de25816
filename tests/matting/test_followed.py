"""An outline moves with whom it belongs to, and tells where nobody stands before him."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bshm_live.matting.followed import (
    BINS,
    STEPS,
    WIDEST,
    Glance,
    Outline,
    coarse,
    touched,
    weights,
)
from bshm_live.types import HostMatte

SHAPE = (72, 128)
AT = np.s_[20:60, 40:80]
far = st.integers(-STEPS, STEPS)


def room() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*SHAPE, 3), np.uint8)


def person() -> tuple[np.ndarray, np.ndarray]:
    """His cells, and a picture of him in smooth colours."""
    cells = np.zeros(SHAPE, bool)
    cells[AT] = True
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    shades = [120 + 60 * np.sin((x + k * y) / 9) for k in (0, 1, 2)]
    return cells, np.stack(shades, 2).astype(np.uint8)


def moved(layer: np.ndarray, down: int, right: int) -> np.ndarray:
    return np.roll(layer, (down, right), (0, 1))


@given(far, far)
@settings(max_examples=30, deadline=None)
def test_it_moves_with_him(down: int, right: int) -> None:
    cells, looks = person()
    outline = Outline(cells, looks, 0.0)
    now = np.where(moved(cells, down, right)[..., None], moved(looks, down, right), room())
    assert outline.follow(now)
    assert np.array_equal(outline.cells(), moved(cells, down, right))
    assert np.array_equal(outline.unchanged(now), moved(cells, down, right))


def test_where_somebody_stands_before_him_he_is_not_sure() -> None:
    cells, looks = person()
    outline, now = Outline(cells, looks, 0.0), looks.copy()
    now[30:45, 50:60] = 255
    assert outline.follow(now)
    assert np.array_equal(outline.unchanged(now), cells & (now == looks).all(2))


def test_who_is_gone_is_not_followed() -> None:
    cells, looks = person()
    assert not Outline(cells, looks, 0.0).follow(255 - (looks > 120) * np.uint8(255))


def test_what_lies_at_the_pictures_edge_is_not_cut_where_he_moves_away_from_it() -> None:
    cells, looks = np.zeros(SHAPE, bool), person()[1]
    cells[40:, 50:80] = True
    outline = Outline(cells, looks, 0.0)
    assert outline.follow(moved(looks, -3, 0))
    assert outline.cells()[-1, 50:80].all()


def test_touched_are_whole_parts() -> None:
    cells = np.array([[1, 1, 0, 1], [0, 1, 0, 1], [0, 0, 0, 1]], bool)
    by = np.array([[0, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 1]], bool)
    assert np.array_equal(touched(cells, by), cells & (np.arange(4) == 3))


@pytest.mark.parametrize("width", [128, 160, 256, 512])
def test_a_fine_grid_is_thinned(width: int) -> None:
    alpha = np.arange(width * 4, dtype=np.float32).reshape(4, width)
    found = coarse(alpha)
    assert found.shape[1] <= WIDEST
    assert np.array_equal(found, alpha[:: width // found.shape[1], :: width // found.shape[1]])


def test_each_colour_has_one_number() -> None:
    picture, low = room(), np.zeros(SHAPE, np.float32)
    matte = HostMatte(low, np.zeros((*SHAPE, 3), np.float32), low, low, picture)
    levels = picture.astype(int) * BINS // 256
    right = (levels[..., 0] * BINS + levels[..., 1]) * BINS + levels[..., 2]
    assert np.array_equal(Glance(matte, SHAPE).colours, right)


def test_weights_are_one_and_zero_but_for_a_soft_line() -> None:
    x = np.arange(SHAPE[1])
    chosen, others = np.tile(x < 40, (SHAPE[0], 1)), np.tile(x > 80, (SHAPE[0], 1))
    found = weights(chosen, others, (288, 512))
    assert (found[:, : 4 * 58] == 1).all()
    assert (found[:, 4 * 63 :] == 0).all()
    assert (np.diff(found[0]) <= 0).all()
    assert not weights(np.zeros_like(chosen), others, (288, 512)).any()
