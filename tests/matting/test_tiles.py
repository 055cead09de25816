from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest
from conftest import Arrays, FakeEngine, fake_networks, portrait
from hypothesis import given, settings
from hypothesis import strategies as st

from bshm_live.errors import EngineError
from bshm_live.matting import tiles
from bshm_live.matting.bshm import Bshm
from bshm_live.matting.preprocess import resized
from bshm_live.matting.tiles import CELL, plan, refine_tiles, shares, starts, unsure
from bshm_live.stills.cut import cut_out, matte_still
from bshm_live.types import HostMatte, Matte

LOW = (16, 32)  # 64 by 128 pixels
sides = st.integers(1, 6000)
lows = st.tuples(st.integers(8, 160), st.integers(8, 256))


def networks(mrn_function=None) -> Bshm:
    """The toy networks, or with another function for MRN."""
    mpn, qun, mrn = fake_networks(LOW)
    if mrn_function:
        mrn = FakeEngine(mrn.inputs, mrn.outputs, mrn_function)
    return Bshm(mpn, qun, mrn)


def first_matte(alpha: np.ndarray, unified: np.ndarray | None = None) -> Matte:
    """What a first pass might say; alpha (64, 128), unified (16, 32)."""
    small = np.zeros(LOW, np.float32) if unified is None else unified
    shade = np.zeros((*LOW, 3), np.float32)
    return HostMatte(alpha, shade, small, small, np.zeros((*alpha.shape, 3), np.uint8))


def from_image(feeds: Arrays) -> Arrays:
    """alpha is the red channel; the residual is what the picture lacks to white, halved."""
    image = feeds["image"]
    small = cv2.resize(image[0].transpose(1, 2, 0), LOW[::-1], interpolation=cv2.INTER_AREA)
    return {"alpha": image[:, :1], "residual": (1 - small.transpose(2, 0, 1)[None]) / 2}


def smooth(width: int, height: int) -> np.ndarray:
    """A picture without an edge, another value in every place; (H, W, 3)."""
    y, x = np.mgrid[:height, :width] / max(width, height)
    waves = [np.sin(5 * x + 3 * y), np.cos(4 * x - 2 * y), np.sin(6 * y - x)]
    return np.rint(np.dstack(waves) * 90 + 128).astype(np.uint8)


# --- where the tiles lie ----------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(sides, sides, lows)
def test_tiles_are_few_overlap_and_cover_the_picture(
    width: int, height: int, low: tuple[int, int]
) -> None:
    layout = plan((width, height), low)
    assert 1 <= len(layout.columns) * len(layout.rows) <= tiles.TILES_MOST
    for places, tile, length in (
        (layout.columns, low[1], layout.size[0]),
        (layout.rows, low[0], layout.size[1]),
    ):
        end = places[-1] + tile
        assert places[0] == 0
        assert length <= end * CELL <= length + CELL - 1
        for before, after in pairwise(places):
            assert after > before
            assert (before + tile - after) * tiles.OVERLAP >= tile


@settings(max_examples=40, deadline=None)
@given(sides, sides, lows)
def test_what_fits_into_the_tiles_keeps_its_size(
    width: int, height: int, low: tuple[int, int]
) -> None:
    layout = plan((width, height), low)
    least = (low[1] * CELL, low[0] * CELL)
    full = tuple(max(side, tile) for side, tile in zip((width, height), least, strict=True))
    across, down = (-(-side // CELL) for side in full)
    if len(starts(across, low[1])) * len(starts(down, low[0])) <= tiles.TILES_MOST:
        assert layout.size == full
    else:
        assert layout.size <= full
        assert len(layout.columns) * len(layout.rows) >= tiles.TILES_MOST / 4


@settings(max_examples=30, deadline=None)
@given(st.integers(8, 300), st.integers(8, 200))
def test_the_weights_together_are_exactly_one(cells: int, tile: int) -> None:
    cells = max(cells, tile)
    places = starts(cells, tile)
    weights = shares(places, tile, cells)
    assert np.array_equal(sum(weights), np.ones(cells, np.float32))
    for start, weight in zip(places, weights, strict=True):
        assert weight.min() >= 0
        assert not weight[:start].any()
        assert not weight[start + tile :].any()
    other = shares((0, 5), 12, 17)  # and so are the products of two sides
    products = sum(np.outer(a, b) for a in weights for b in other)
    assert np.array_equal(products, np.ones((cells, 17), np.float32))


# --- what comes of them -----------------------------------------------------------------------


@pytest.mark.parametrize("size", [(300, 200), (403, 211), (461, 30), (90, 230), (1001, 700)])
def test_no_seam_and_no_gap(size: tuple[int, int]) -> None:
    picture = smooth(*size)
    doubt = np.full((64, 128), 0.5, np.float32)
    matte = refine_tiles(networks(from_image), picture, first_matte(doubt))
    height, width = matte.alpha.shape
    assert (width, height) == plan(size, LOW).size
    seen = resized(picture, (width, height)).astype(np.float32) / 255
    assert np.abs(matte.alpha - seen[..., 2]).max() < 1e-5
    small = cv2.resize(seen, matte.residual.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(matte.residual - (1 - small) / 2).max() < 0.02
    assert np.array_equal(matte.guide, resized(picture, (width, height)))


def test_the_mask_of_a_tile_is_its_part_of_the_unified_mask() -> None:
    def from_mask(feeds: Arrays) -> Arrays:
        large = cv2.resize(feeds["unified"][0, 0], (LOW[1] * CELL, LOW[0] * CELL))
        return {"alpha": large, "residual": np.float32(0)}

    slope = np.tile(np.linspace(0.1, 0.9, LOW[1], dtype=np.float32), (LOW[0], 1))
    doubt = np.full((64, 128), 0.5, np.float32)
    matte = refine_tiles(networks(from_mask), smooth(448, 224), first_matte(doubt, slope))
    inner = np.s_[16:-16, 16:-16]  # a mask's last half cell is flat
    assert np.abs(matte.alpha - cv2.resize(slope, (448, 224)))[inner].max() < 5e-3


def test_a_pixel_wide_line_survives() -> None:
    """A hair across a picture that is four times too large: the first pass cannot hold it."""
    picture = np.zeros((224, 448, 3), np.uint8)
    picture[:, 300] = 255
    bshm = networks(from_image)
    first = bshm.matte(picture)
    assert first.alpha.max() < 0.5
    alpha = cut_out(picture, refine_tiles(bshm, picture, first))["alpha"]
    assert (alpha[:, 300] == 255).all()
    assert not alpha[:, 302:].any()


def test_the_first_matte_stands_where_it_is_sure() -> None:
    """The tiles say the contrary of the truth, yet only the soft band is theirs."""
    made = portrait(448, 224, centre=(0, 112), radius=220, soft=1.0)
    alpha = cv2.resize(made.alpha, (128, 64), interpolation=cv2.INTER_AREA)

    def contrary(feeds: Arrays) -> Arrays:
        return {"alpha": 1 - feeds["image"][:, :1].round(), "residual": np.float32(1)}

    bshm = networks(contrary)
    matte = refine_tiles(bshm, made.picture, first_matte(alpha))
    before = cv2.resize(alpha, (448, 224))
    sure = cv2.resize(unsure(alpha), (448, 224)) == 0
    assert 0.1 < sure.mean() < 0.9
    assert np.array_equal(matte.alpha[sure], before[sure])
    assert matte.alpha[112, 20] == pytest.approx(1)
    assert not np.array_equal(matte.alpha, before)


@pytest.mark.parametrize("value", [0.0, 0.01, 0.99, 1.0])
def test_where_nothing_is_unsure_no_tile_is_run(value: float) -> None:
    bshm = networks()
    sure = np.full((64, 128), value, np.float32)
    matte = refine_tiles(bshm, smooth(700, 300), first_matte(sure))
    assert bshm.mrn.calls == 0
    assert np.all(matte.alpha == np.float32(value))


def test_a_sharp_edge_is_unsure_too() -> None:
    alpha = np.zeros((100, 100), np.float32)
    alpha[:, 50:] = 1
    trust = unsure(alpha)
    assert np.allclose(trust[:, 45:55], 1)
    assert not trust[:, : 50 - tiles.REACH - tiles.FADE - 1].any()
    assert not trust[:, 50 + tiles.REACH + tiles.FADE + 1 :].any()


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 166), st.integers(1, 83))
def test_a_small_picture_is_left_alone(width: int, height: int) -> None:
    bshm, picture = networks(), portrait(width, height).picture
    first = bshm.matte(picture)
    assert refine_tiles(bshm, picture, first) is first


def test_a_picture_just_large_enough_is_run_twice() -> None:
    bshm, picture = networks(), portrait(167, 84).picture
    assert matte_still(bshm, bshm, picture).alpha.shape == (84, 167)
    assert bshm.mrn.calls > 1


def test_a_broken_tile_is_the_engine_s_error() -> None:
    picture = smooth(300, 200)
    doubt = first_matte(np.full((64, 128), 0.5, np.float32))
    for value, says in ((np.nan, "not a number"), (2.0, "out of range")):
        bad = networks(lambda feeds, v=value: {"alpha": np.float32(v), "residual": np.float32(0)})
        with pytest.raises(EngineError, match=says):
            refine_tiles(bad, picture, doubt)
