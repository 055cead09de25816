"""Frames that are fitted, and what an input has cut away."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bshm_live.compositing.fit import BESIDE, contain, cut_away, fitted, over
from bshm_live.types import Frame

sides = st.integers(2, 120)


def frame(width: int, height: int, alpha: np.ndarray | None = None) -> Frame:
    image = np.zeros((height, width, 3), np.uint8)
    image[...] = (10, 200, 30)
    return Frame(image, 3, 0.5, alpha=alpha)


@given(sides, sides, sides, sides)
@settings(max_examples=100, deadline=None)
def test_a_contained_frame_is_whole_and_in_the_middle(
    w: int, h: int, width: int, height: int
) -> None:
    out = contain(frame(w, h), (width, height))
    assert out.image.shape == (height, width, 3)
    assert (out.index, out.time) == (3, 0.5)
    assert out.alpha is not None
    assert out.alpha.shape == (height, width)
    inside = out.alpha == 255
    assert (out.image[inside] == (10, 200, 30)).all()
    assert (out.alpha[~inside] == 0).all()
    assert (out.image[~inside] == BESIDE).all()
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    scale = min(width / w, height / h)
    for seen, long, full in ((rows, h * scale, height), (columns, w * scale, width)):
        assert abs(len(seen) - max(1, long)) <= 1
        assert abs(seen[0] - (full - 1 - seen[-1])) <= 1
        assert len(seen) == seen[-1] - seen[0] + 1


def test_a_whole_portrait_keeps_its_own_alpha() -> None:
    own = np.full((80, 40), 255, np.uint8)
    own[:40] = 0
    out = fitted(frame(40, 80, own), (160, 80), whole=True)
    assert out.alpha is not None
    assert not out.alpha[:38].any()
    assert (out.alpha[42:, 62:98] == 255).all()
    assert not out.alpha[:, :59].any()


def test_a_frame_that_fits_is_left_alone() -> None:
    one = frame(40, 80)
    assert fitted(one, (40, 80)) is one
    assert fitted(one, (40, 80), whole=True) is one


def test_alpha_goes_the_frame_s_way() -> None:
    own = np.zeros((80, 40), np.uint8)
    own[:, :20] = 255
    mirrored = fitted(frame(40, 80, own), (40, 80), mirror=True)
    assert mirrored.alpha is not None
    assert np.array_equal(mirrored.alpha, own[:, ::-1])
    cut = fitted(frame(40, 80, own), (40, 40))
    assert cut.alpha is not None
    assert np.array_equal(cut.alpha, own[20:60])
    assert fitted(frame(40, 80), (40, 40), mirror=True).alpha is None


@pytest.mark.parametrize("with_foreground", [True, False])
def test_what_was_cut_away_stays_away(with_foreground: bool) -> None:
    """alpha_out = alpha alpha_in, and the same composite as with that alpha from the start."""
    rng = np.random.default_rng(0)
    shape = (37, 53)
    front, back = rng.integers(0, 256, (2, *shape, 3)).astype(np.float64)
    matte = rng.integers(0, 256, shape, np.uint8)
    given_alpha = rng.choice([0, 255, 255, 1, 90, 200, 254], shape).astype(np.uint8)
    share = matte[..., None] / 255
    composite = np.rint(front * share + back * (1 - share)).astype(np.uint8)
    foreground = front.astype(np.uint8) if with_foreground else None
    backdrop = back.astype(np.uint8)
    out, alpha, colours = cut_away(
        (composite.copy(), matte.copy(), foreground), backdrop, given_alpha
    )
    exact = matte / 255 * (given_alpha / 255)
    assert np.abs(alpha / 255 - exact).max() <= 0.5 / 255 + 1e-6
    assert (alpha <= given_alpha).all()
    assert np.abs(out - (front * exact[..., None] + back * (1 - exact[..., None]))).max() <= 1.5
    assert (out[alpha == 0] == backdrop[alpha == 0]).all()
    assert (out[given_alpha == 255] == composite[given_alpha == 255])[
        alpha[given_alpha == 255] > 0
    ].all()
    if with_foreground:
        assert colours is not None
        assert not colours[alpha == 0].any()
    else:
        assert colours is None


def test_transparent_pictures_lie_over_a_colour() -> None:
    picture = np.full((1, 3, 3), 100, np.uint8)
    alpha = np.array([[0, 128, 255]], np.uint8)
    out = over(picture, alpha, (0, 50, 200))
    assert out.tolist() == [[[0, 50, 200], [50, 75, 150], [100, 100, 100]]]
    assert over(picture, None) is picture
