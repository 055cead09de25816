from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bshm_live.matting.preprocess import (
    Preprocessor,
    colour_image,
    hint_tensor,
    planes,
    resized,
)

seeds = st.integers(0, 2**32 - 1)
sides = st.integers(1, 40)


def noise(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


@given(seeds, sides, sides)
def test_planes_are_the_channels_in_rgb_order(seed: int, height: int, width: int) -> None:
    picture = noise(seed, height, width, 3)
    out = np.full((1, 3, height, width), np.nan, np.float32)
    planes(picture, out)
    for plane, channel in ((0, 2), (1, 1), (2, 0)):
        exact = picture[..., channel].astype(np.float64) / 255
        assert np.abs(out[0, plane] - exact).max() < 1e-7
        assert np.array_equal(np.rint(out[0, plane] * 255), picture[..., channel])
    assert out.min() >= 0
    assert out.max() <= 1


@given(seeds)
@settings(max_examples=20)
def test_a_picture_of_the_high_size_goes_through_unchanged(seed: int) -> None:
    picture = noise(seed, 32, 64, 3)
    low, high, guide = Preprocessor((8, 16), (32, 64))(picture)
    assert np.array_equal(guide, picture)
    assert np.array_equal(np.rint(high[0] * 255), picture[..., ::-1].transpose(2, 0, 1))
    means = picture.astype(np.float64).reshape(8, 4, 16, 4, 3).mean((1, 3))[..., ::-1]
    assert np.abs(low[0] * 255 - means.transpose(2, 0, 1)).max() <= 0.5 + 1e-4


@pytest.mark.parametrize("shape", [(1, 1), (7, 3), (32, 64), (33, 65), (200, 31), (90, 1000)])
def test_any_size_gives_the_preset_s_shapes_and_range(shape: tuple[int, int]) -> None:
    low, high, guide = Preprocessor((8, 16), (32, 64))(noise(1, *shape, 3))
    assert (low.shape, high.shape) == ((1, 3, 8, 16), (1, 3, 32, 64))
    assert (low.dtype, high.dtype, guide.dtype) == (np.float32, np.float32, np.uint8)
    assert guide.shape == (32, 64, 3)
    assert low.flags.c_contiguous
    assert high.flags.c_contiguous
    assert 0 <= high.min() <= high.max() <= 1


def test_the_guide_is_not_the_source_s_memory() -> None:
    picture = noise(0, 32, 64, 3)
    _, _, guide = Preprocessor((8, 16), (32, 64))(picture)
    assert not np.shares_memory(guide, picture)


@pytest.mark.parametrize("shape", [(256, 512), (256, 64), (32, 512)])
def test_shrinking_does_not_alias(shape: tuple[int, int]) -> None:
    """A chequered picture becomes grey; sampling alone would keep black and white."""
    y, x = np.indices(shape)
    grey = (np.where((x + y) % 2, 255, 0)[..., None] * np.ones(3)).astype(np.uint8)
    small = resized(grey, (64, 32))
    assert np.abs(small.astype(int) - 127.5).max() <= 1


@given(seeds, sides, sides)
@settings(max_examples=30)
def test_half_a_width_is_the_mean_of_pairs(seed: int, height: int, width: int) -> None:
    picture = noise(seed, height, 2 * width, 3)
    means = np.rint(picture.reshape(height, width, 2, 3).mean(2))  # halves to even
    assert np.array_equal(resized(picture, (width, height)), means)


def test_colour_and_place_survive_resizing() -> None:
    """Pixel centres at half: a ramp keeps its middle and its symmetry."""
    ramp = np.linspace(0, 255, 300)[None, :, None] * np.ones((50, 1, 3))
    for width in (70, 150, 299, 300, 640):
        small = resized(ramp.astype(np.uint8), (width, 40)).astype(float)[20, :, 0]
        assert np.abs(small + small[::-1] - 254.5).max() <= 2.5


def test_no_hint_is_all_zero() -> None:
    hint = hint_tensor(None, (8, 16))
    assert hint.shape == (1, 1, 8, 16)
    assert hint.dtype == np.float32
    assert not hint.any()


@given(seeds)
@settings(max_examples=20)
def test_a_hint_is_shrunk_by_its_mean(seed: int) -> None:
    alpha = np.random.default_rng(seed).random((32, 64)).astype(np.float32)
    hint = hint_tensor(alpha, (8, 16))
    means = alpha.astype(np.float64).reshape(8, 4, 16, 4).mean((1, 3))
    assert np.abs(hint[0, 0] - means).max() < 1e-6


@given(seeds, sides, sides)
def test_colour_image_is_the_way_back(seed: int, height: int, width: int) -> None:
    picture = noise(seed, height, width, 3)
    tensor = np.empty((1, 3, height, width), np.float32)
    planes(picture, tensor)
    back = colour_image(tensor)
    assert np.array_equal(np.rint(back * 255), picture)
    assert back.flags.c_contiguous
    assert not np.shares_memory(back, tensor)
