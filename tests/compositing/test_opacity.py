from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bshm_live.compositing import opacity as module
from bshm_live.compositing.opacity import cut_away


def scene(seed: int, height: int, width: int) -> tuple[np.ndarray, ...]:
    """Foreground, background, matte and the input's own alpha."""
    rng = np.random.default_rng(seed)
    front, back = rng.integers(0, 256, (2, height, width, 3), np.uint8)
    matte, alpha = rng.choice([0, 1, 5, 40, 128, 254, 255], (2, height, width)).astype(np.uint8)
    return front, back, matte, alpha


def over(front: np.ndarray, back: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """In float64; `alpha` in [0, 1]."""
    return back + alpha[..., None] * (front.astype(float) - back)


@given(st.integers(0, 99), st.integers(1, 9), st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_it_is_as_if_the_product_of_both_alphas_had_been_composited(
    seed: int, height: int, width: int
) -> None:
    front, back, matte, alpha = scene(seed, height, width)
    composite = np.rint(over(front, back, matte / 255)).astype(np.uint8)
    start = composite.copy(), matte.copy(), front.copy()
    mixed, level, ahead = cut_away(start, back, alpha)
    assert ahead is not None
    assert np.abs(level - matte / 255.0 * alpha).max() <= 0.51
    assert (level <= alpha).all()
    there = level > 0
    assert (
        np.abs(mixed - over(front, back, matte / 255.0 * alpha / 255))[there].max(initial=0) < 1.1
    )
    assert np.array_equal(mixed[~there & (alpha < 255)], back[~there & (alpha < 255)])
    assert np.array_equal(ahead[there], front[there])
    assert not ahead[~there & (alpha < 255)].any()
    assert np.array_equal(mixed[alpha == 255], composite[alpha == 255])


def test_the_compositor_s_own_arrays_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    front, back, matte, alpha = scene(3, 6, 7)
    whole = cut_away((front.copy(), matte.copy(), None), back, alpha)
    monkeypatch.setattr(module, "CHUNK", 5)
    mixed, level, ahead = cut_away((front, matte, None), back, alpha)
    assert mixed is front
    assert level is matte
    assert ahead is None
    assert np.array_equal(mixed, whole[0])
    assert np.array_equal(level, whole[1])
