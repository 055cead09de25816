"""Frames that are fitted, and what an input has cut away."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bshm_live.compositing.fit import BESIDE, contain, fitted, over, turned
from bshm_live.sources.orientation import TURNED
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


def test_a_frame_is_turned_with_its_alpha() -> None:
    own = np.arange(6, dtype=np.uint8).reshape(2, 3)
    one = Frame(np.repeat(own[..., None], 3, 2), 3, 0.5, alpha=own)
    out = turned(one, TURNED[90])
    assert np.array_equal(out.image[..., 0], np.rot90(own, -1))
    assert out.alpha is not None
    assert np.array_equal(out.alpha, np.rot90(own, -1))
    assert turned(one, TURNED[0]) is one


def test_transparent_pictures_lie_over_a_colour() -> None:
    picture = np.full((1, 3, 3), 100, np.uint8)
    alpha = np.array([[0, 128, 255]], np.uint8)
    assert over(picture, alpha, 200).tolist() == [[[200] * 3, [150] * 3, [100] * 3]]
    assert over(picture, alpha).tolist() == [[[0] * 3, [50] * 3, [100] * 3]]
    assert over(picture, None) is picture
