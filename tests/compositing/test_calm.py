"""Noise in the dark, filtered over time: against the formula, and what must not be filtered."""

from __future__ import annotations

import numpy as np
import pytest

from bshm_live.compositing.calm import Calm

REST, NONE, FULL, DARK, BRIGHT, FAR, STEEP = 0.25, 2.0, 7.0, 80.0, 120.0, 24.0, 16.0
SIZES = [(64, 32), (67, 31), (8, 4), (5, 3), (9, 1)]


def right(frames: list[np.ndarray], amount: float) -> list[np.ndarray]:
    """Block by block in float64."""
    last, out = frames[0].astype(np.float64), []
    for frame in frames:
        now = frame.astype(np.float64)
        made = np.empty_like(now)
        for y in range(0, now.shape[0], 4):
            for x in range(0, now.shape[1], 8):
                at = np.s_[y : y + 4, x : x + 8]
                moved = np.abs((now[at] - np.floor(last[at] + 0.5)).mean((0, 1))).max()
                moves = np.clip((moved - NONE) / (FULL - NONE), 0, 1)
                dark = np.clip((BRIGHT - now[at].mean()) / (BRIGHT - DARK), 0, 1)
                weight = 1 - amount * dark * (1 - REST) * (1 - moves)
                over = np.clip(np.abs(now[at] - last[at]) - FAR, 0, None) * 64 * STEEP / 32768
                made[at] = last[at] + np.minimum(np.maximum(weight, over), 1) * (now[at] - last[at])
        last = made
        out.append(made)
    return out


def noisy(
    rng: np.random.Generator, size: tuple[int, int], level: float, sigma: float
) -> np.ndarray:
    width, height = size
    return np.clip(rng.normal(level, sigma, (height, width, 3)), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("amount", [0.0, 0.4, 1.0])
def test_it_is_the_formula(size: tuple[int, int], amount: float) -> None:
    rng = np.random.default_rng(0)
    frames = [noisy(rng, size, level, 9) for level in (40, 41, 40, 90, 90, 50, 200, 40)]
    calm = Calm(size)
    for frame, made in zip(frames, right(frames, amount), strict=True):
        off = np.abs(calm(frame, amount).astype(float) - made)
        assert off.mean() < 0.5  # levels; rounding alone is 0.25 in the mean
        assert off.max() <= 2


def test_noise_at_rest_is_less_than_half() -> None:
    rng = np.random.default_rng(1)
    calm, out = Calm((128, 64)), []
    for _ in range(20):
        out.append(calm(noisy(rng, (128, 64), 45, 6), 1.0).astype(float))
    assert np.std(np.stack(out[8:]), 0).mean() < 0.45 * 6


def test_what_moves_leaves_no_trace() -> None:
    """A bar of 30 levels more, which moves by four pixels a frame, before a dark ground."""
    calm = Calm((128, 32))
    for step in range(12):
        frame = np.full((32, 128, 3), 40, np.uint8)
        frame[:, 4 * step : 4 * step + 16] = 70
        made = calm(frame, 1.0).astype(int)
    assert np.abs(made - frame).max() <= 8
    assert np.abs(made - frame).mean() < 0.6


def test_a_slow_change_is_followed() -> None:
    calm = Calm((64, 32))
    for step in range(60):
        made = calm(np.full((32, 64, 3), 30 + step // 2, np.uint8), 1.0)
    assert abs(int(made[0, 0, 0]) - 59) <= 2


def test_a_cut_is_seen_at_once_and_what_is_bright_stays_as_it_is() -> None:
    rng = np.random.default_rng(2)
    calm = Calm((64, 32))
    calm(noisy(rng, (64, 32), 30, 3), 1.0)
    other = noisy(rng, (64, 32), 75, 3)
    assert np.abs(calm(other, 1.0).astype(int) - other).max() <= 1
    for _ in range(3):
        bright = noisy(rng, (64, 32), 180, 8)
        assert np.array_equal(calm(bright, 1.0), bright)


def test_rows_may_lie_apart() -> None:
    rng = np.random.default_rng(3)
    wide = [noisy(rng, (100, 20), 40, 8) for _ in range(3)]
    loose, packed = Calm((64, 20)), Calm((64, 20))
    for picture in wide:
        part = picture[:, 10:74]
        assert np.array_equal(loose(part, 1.0), packed(part.copy(), 1.0))
