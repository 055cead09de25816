from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bshm_live.compositing import opacity as module
from bshm_live.compositing.opacity import FAINT, straight, within
from bshm_live.sources.picture import NEUTRAL, Still


def layers(seed: int, height: int, width: int) -> tuple[np.ndarray, ...]:
    """Straight colours, opacity, matte, background and the layers of the matte alone."""
    rng = np.random.default_rng(seed)
    colours, background = rng.integers(0, 256, (2, height, width, 3), np.uint8)
    matte, opacity = rng.choice([0, 1, 5, 40, 128, 254, 255], (2, height, width)).astype(np.uint8)
    share = matte[..., None] / 255
    seen = Still(colours, opacity).over(NEUTRAL)
    front = np.where(share > 0, seen, 0).astype(np.uint8)
    composite = np.rint(share * seen + (1 - share) * background).astype(np.uint8)
    return colours, opacity, matte, background, seen, composite, front


@given(st.integers(0, 99), st.integers(1, 9), st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_the_smaller_alpha_counts_and_colours_are_straight(seed: int, h: int, w: int) -> None:
    colours, opacity, matte, background, seen, composite, front = layers(seed, h, w)
    over, alpha, ahead = within(
        (composite.copy(), matte.copy(), front.copy()), seen, opacity, background
    )
    assert ahead is not None
    assert np.array_equal(alpha, np.minimum(matte, opacity))
    whole = opacity == 255
    assert np.array_equal(over[whole], composite[whole])
    assert np.array_equal(ahead[whole], front[whole])
    assert np.array_equal(over[alpha == 0], background[alpha == 0])
    assert not ahead[alpha == 0].any()
    share = alpha[..., None] / 255
    clear = (opacity >= FAINT) & ~whole & (alpha > 0)
    rounding = 0.51 * 255 / np.maximum(opacity, 1)[..., None] + 0.51
    assert (np.abs(ahead.astype(int) - colours) <= rounding)[clear].all()
    want = share * colours + (1 - share) * background
    assert (np.abs(over - want) <= share * rounding + 0.51)[clear].all()


def test_a_colour_hidden_under_next_to_nothing_does_not_show() -> None:
    opacity = np.tile(np.array([0, 1, 2, 9], np.uint8), (4, 1))
    hidden = np.full((4, 4, 3), (255, 0, 255), np.uint8)
    seen = Still(hidden, opacity).over(NEUTRAL)
    background = np.full_like(seen, NEUTRAL)
    start = (seen.copy(), np.full((4, 4), 255, np.uint8), seen.copy())
    over, alpha, front = within(start, seen, opacity, background)
    assert np.array_equal(alpha, opacity)
    assert np.abs(over.astype(int) - NEUTRAL).max() <= 9
    assert front is not None
    assert front.max() <= NEUTRAL + 9


def test_the_layers_are_the_compositor_s_and_the_foreground_may_be_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "CHUNK", 5)
    _, opacity, matte, background, seen, composite, _ = layers(3, 6, 7)
    over, alpha, front = within((composite, matte, None), seen, opacity, background)
    assert over is composite
    assert alpha is matte
    assert front is None


def test_straight_colours_come_back() -> None:
    colours = np.random.default_rng(1).integers(0, 256, (256, 3), np.uint8)
    opacity = np.arange(256, dtype=np.uint8)
    over = Still(colours[None], opacity[None]).over(NEUTRAL)[0]
    back = straight(over, opacity)
    assert (np.abs(back - colours) <= 0.51 * 255 / np.maximum(opacity, 1)[:, None])[1:].all()
    assert (back[0] == NEUTRAL).all()
