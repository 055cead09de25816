from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bshm_live.matting.temporal import Steadier, gated
from bshm_live.types import HostMatte, Matte

HEIGHT, WIDTH = 64, 96


def matte(alpha: np.ndarray) -> Matte:
    height, width = alpha.shape
    low = np.zeros((height // 4, width // 4), np.float32)
    guide = np.zeros((height, width, 3), np.uint8)
    return HostMatte(
        alpha.astype(np.float32), np.zeros((*low.shape, 3), np.float32), low, low, guide
    )


def edge(at: float) -> np.ndarray:
    """Alpha (H, W): person left of column `at`, two pixels soft."""
    return np.clip((at - np.arange(WIDTH)) / 2 + 0.5, 0, 1) * np.ones((HEIGHT, 1))


def bilinear_times_4(x: np.ndarray) -> np.ndarray:
    """Along the first axis, pixel centres at half, edges repeated; float64."""
    place = np.clip((np.arange(4 * len(x)) + 0.5) / 4 - 0.5, 0, len(x) - 1)
    below = np.minimum(place.astype(int), len(x) - 2)
    share = (place - below)[:, None]
    return x[below] * (1 - share) + x[below + 1] * share


def gated_twin(alpha: np.ndarray, last: np.ndarray) -> np.ndarray:
    """The formula of `gated` in float64, without OpenCV."""
    a, b = alpha.astype(np.float64), last.astype(np.float64)
    blocks = np.abs(a - b).reshape(HEIGHT // 4, 4, WIDTH // 4, 4).mean((1, 3))
    wide = np.pad(blocks, 1, mode="reflect")
    h, w = blocks.shape
    d = sum(wide[y : y + h, x : x + w] for y in range(3) for x in range(3)) / 9
    weight = 0.3 + 0.7 * np.clip((d - 0.03) / 0.12, 0, 1)
    return b + bilinear_times_4(bilinear_times_4(weight).T).T * (a - b)


@given(st.integers(0, 2**32 - 1), st.floats(0, 0.5))
@settings(max_examples=40)
def test_the_gate_is_its_formula(seed: int, change: float) -> None:
    rng = np.random.default_rng(seed)
    last = rng.random((HEIGHT, WIDTH)).astype(np.float32)
    step = change * rng.random((HEIGHT, WIDTH)) * (rng.random((HEIGHT, WIDTH)) < 0.5)
    alpha = np.clip(last + step, 0, 1).astype(np.float32)
    out = gated(alpha, last)
    assert out.dtype == np.float32
    assert np.abs(out - gated_twin(alpha, last)).max() < 1e-5
    assert out.min() >= np.minimum(alpha, last).min() - 1e-6
    assert out.max() <= np.maximum(alpha, last).max() + 1e-6


def test_gated_writes_into_neither() -> None:
    rng = np.random.default_rng(0)
    alpha, last = rng.random((2, HEIGHT, WIDTH)).astype(np.float32)
    kept = alpha.copy(), last.copy()
    gated(alpha, last)
    assert np.array_equal(alpha, kept[0])
    assert np.array_equal(last, kept[1])


def test_flicker_at_rest_shrinks() -> None:
    rng = np.random.default_rng(3)
    steadier = Steadier()
    noisy, steady = [], []
    for _ in range(40):
        alpha = np.clip(edge(40) + rng.normal(0, 0.02, (HEIGHT, WIDTH)), 0, 1)
        noisy.append(alpha)
        steady.append(steadier.steady(matte(alpha)).alpha)
    # a flicker w of the new and 1 - w of the old keeps sqrt(w / (2 - w)) of its size: 0.42
    assert np.std(steady[10:], 0).mean() < 0.5 * np.std(noisy[10:], 0).mean()


def test_a_moving_edge_does_not_lag() -> None:
    for speed in (4, 8, 15):
        steadier = Steadier()
        for at in range(16, 80, speed):
            out = steadier.steady(matte(edge(at))).alpha
            behind = np.abs(out - edge(at)).sum(1)  # per row: pixels of it in the wrong place
            assert behind.max() < 0.5, (speed, at)


def test_a_cut_forgets() -> None:
    steadier = Steadier()
    dark, bright = np.zeros((90, 160, 3), np.uint8), np.full((90, 160, 3), 200, np.uint8)
    assert steadier.hint(dark) is None
    steadier.steady(matte(edge(30)))
    hint = steadier.hint(dark)
    assert hint is not None
    assert hint.shape == (HEIGHT // 4, WIDTH // 4)
    assert steadier.hint(bright) is None
    faint = edge(30) * 0.98
    assert np.array_equal(steadier.steady(matte(faint)).alpha, faint.astype(np.float32))


def test_the_same_scene_in_motion_is_no_cut() -> None:
    rng = np.random.default_rng(1)
    scene = np.kron(rng.integers(0, 255, (9, 32, 3), np.uint8), np.ones((10, 10, 1), np.uint8))
    steadier = Steadier()
    for number in range(10):
        hint = steadier.hint(scene[:, 4 * number : 4 * number + 160])
        steadier.steady(matte(edge(30)))
        assert (hint is None) == (number == 0)


def test_reset_forgets() -> None:
    steadier = Steadier()
    picture = np.zeros((90, 160, 3), np.uint8)
    steadier.hint(picture)
    steadier.steady(matte(edge(30)))
    steadier.reset()
    assert steadier.hint(picture) is None
    again = edge(30) + 0.01 * (edge(30) < 0.5)
    assert np.array_equal(steadier.steady(matte(again)).alpha, again.astype(np.float32))


def test_without_smoothing_mattes_pass_and_hints_stay() -> None:
    steadier = Steadier(smooth=False)
    picture = np.zeros((90, 160, 3), np.uint8)
    steadier.hint(picture)
    steadier.steady(matte(edge(30)))
    second = matte(edge(30) * 0.99)
    assert steadier.steady(second) is second
    assert steadier.hint(picture) is not None


def test_a_doubt_does_not_feed_itself() -> None:
    steadier = Steadier()
    picture = np.zeros((90, 160, 3), np.uint8)
    steadier.hint(picture)
    steadier.steady(matte(0.1 + 0.85 * edge(48)))
    hint = steadier.hint(picture)
    assert hint is not None
    assert hint.dtype == np.float32
    assert (hint[:, :12] == 1).all()
    assert (hint[:, 14:] == 0).all()
