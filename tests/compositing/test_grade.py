"""The table of colours by brightness: the compositor against its formula in float64."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.append(str(Path(__file__).parent))
from test_compositor import noise, random_matte, seeds

from bshm_live.compositing.compositor import Compositor
from bshm_live.compositing.grade import LEVELS, graded, table, then

SIZES = [(64, 32), (128, 64), (157, 83), (30, 20)]


def random_table(rng: np.random.Generator) -> np.ndarray:
    scale = rng.uniform(0.5, 1.6, (256, 3)).astype(np.float32)
    return table(scale, rng.uniform(-30, 30, (256, 3)).astype(np.float32))


def right(colours: np.ndarray, grade: np.ndarray) -> np.ndarray:
    """Pixel by pixel, in float64."""
    out = np.empty(colours.shape, np.float64)
    for at in np.ndindex(colours.shape[:-1]):
        b, g, r = (float(v) for v in colours[at])
        row = grade[int(0.114 * b + 0.587 * g + 0.299 * r + 0.5)].astype(np.float64)
        out[at] = np.clip(np.array([b, g, r]) * row[:3] + row[4:7], 0, 255)
    return out


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("wrap", [0.0, 0.5])
def test_a_table_of_ones_is_bit_exact(size: tuple[int, int], wrap: float) -> None:
    rng = np.random.default_rng(1)
    image, back = (noise(rng, size[1], size[0], 0, 256) for _ in range(2))
    matte = random_matte(rng, (8, 16))
    one, other = (Compositor(size, wrap=wrap) for _ in range(2))
    other.grade = table(np.ones((256, 3), np.float32), np.zeros((256, 3), np.float32))
    made = [compositor(image, matte, back, foreground=True) for compositor in (one, other)]
    assert all(np.array_equal(a, b) for a, b in zip(*made, strict=True))


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_the_person_s_colours_are_the_formula_s(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(2)
    image, back = (noise(rng, size[1], size[0], 0, 256) for _ in range(2))
    matte, compositor = random_matte(rng, (8, 16)), Compositor(size)
    plain = [layer.copy() for layer in compositor(image, matte, back, foreground=True)]  # type: ignore[union-attr]
    compositor.grade = grade = random_table(rng)
    composite, alpha, front = compositor(image, matte, back, foreground=True)
    assert front is not None
    assert np.array_equal(alpha, plain[1])
    solid, soft = alpha == 255, (alpha > 0) & (alpha < 255)
    assert np.abs(front[solid] - right(image[solid], grade)).max() <= 0.51
    assert np.array_equal(composite[solid], front[solid])
    assert np.array_equal(composite[alpha == 0], back[alpha == 0])
    assert not front[alpha == 0].any()
    a = alpha[soft, None] / 255.0
    assert np.abs(composite[soft] - (a * front[soft] + (1 - a) * back[soft])).max() <= 1.01


@given(seeds, st.tuples(st.integers(1, 90), st.integers(1, 90)))
@settings(max_examples=30, deadline=None)
def test_no_table_lets_a_camera_pixel_out(seed: int, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(seed)
    image, back = noise(rng, size[1], size[0], 200, 256), noise(rng, size[1], size[0], 0, 50)
    compositor = Compositor(size, wrap=0.5)
    compositor.grade, compositor.calm = random_table(rng), 1.0
    composite, alpha, front = compositor(image, random_matte(rng, (8, 16)), back, foreground=True)
    assert front is not None
    assert np.array_equal(composite[alpha == 0], back[alpha == 0])
    assert not front[alpha == 0].any()


def test_two_tables_are_one() -> None:
    """Exact where the first keeps tints; and none is none."""
    x = LEVELS / 255
    first = table(np.full((256, 1), 1.0), 60 * x * (1 - x) * np.ones(3))
    second = table(0.8 + 0.2 * x * np.ones(3), np.array([8.0, 0, -8]) * (1 - x))
    colours = np.random.default_rng(3).uniform(20, 180, (300, 3)).astype(np.float32)
    both = then(first, second)
    assert np.abs(graded(colours, both) - graded(graded(colours, first), second)).max() < 1
    assert then(None, second) is second
    assert then(first, None) is first
    assert then(None, None) is None
    assert graded(colours, None) is colours
