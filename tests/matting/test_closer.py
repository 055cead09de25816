"""The second look at people who fill little of a still."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from conftest import fake_networks
from hypothesis import given, settings
from hypothesis import strategies as st

from bshm_live.matting import closer
from bshm_live.matting.bshm import Bshm
from bshm_live.matting.closer import joined, person_box
from bshm_live.stills.cut import matte_still
from bshm_live.types import HostMatte

sides = st.integers(40, 900)


def matte(alpha: np.ndarray, value: float = 0.0) -> HostMatte:
    height, width = alpha.shape
    small = np.full((height // 4, width // 4), value, np.float32)
    residual = np.repeat(small[..., None], 3, 2)
    return HostMatte(alpha, residual, small, small, np.zeros((height, width, 3), np.uint8))


def somebody(place: tuple[int, int, int, int], size: tuple[int, int] = (128, 64)) -> np.ndarray:
    """Alpha (H, W): 1 in x, y, width, height."""
    x, y, width, height = place
    alpha = np.zeros(size[::-1], np.float32)
    alpha[y : y + height, x : x + width] = 1
    return alpha


@settings(max_examples=60, deadline=None)
@given(st.data(), sides, sides)
def test_the_box_holds_somebody_and_a_margin(data: st.DataObject, width: int, height: int) -> None:
    x, y = data.draw(st.integers(0, 100)), data.draw(st.integers(0, 50))
    across, down = data.draw(st.integers(2, 128 - x)), data.draw(st.integers(2, 64 - y))
    box = person_box(somebody((x, y, across, down)), (width, height))
    if box is None:
        assert across / 128 * down / 64 > 0.2 or width * height < 40_000  # with its margin: much
        return
    left, top, wide, high = box
    assert 0 <= left <= x * width / 128
    assert 0 <= top <= y * height / 64
    assert (x + across) * width / 128 <= left + wide <= width
    assert (y + down) * height / 64 <= top + high <= height
    assert wide * high <= closer.SPARE * width * height


def test_nobody_and_somebody_near_need_no_second_look() -> None:
    assert person_box(np.zeros((64, 128), np.float32), (640, 320)) is None
    assert person_box(somebody((0, 0, 1, 0)), (640, 320)) is None
    assert person_box(somebody((10, 5, 110, 59)), (640, 320)) is None


@pytest.mark.parametrize(
    ("size", "whole"),
    [
        ((128, 64), (128, 64)),
        ((100, 50), (128, 64)),
        ((400, 200), (400, 200)),
        ((4000, 2000), (512, 256)),
    ],
)
def test_it_is_as_large_as_there_is_detail(size: tuple[int, int], whole: tuple[int, int]) -> None:
    picture = np.zeros((*size[::-1], 3), np.uint8)
    box = size[0] // 4, size[1] // 4, size[0] // 4, size[1] // 4  # four times nearer
    out = joined(
        picture, matte(np.zeros((64, 128), np.float32)), matte(np.ones((64, 128), np.float32)), box
    )
    assert out.alpha.shape == out.guide.shape[:2] == whole[::-1]
    assert out.unified.shape == out.coarse.shape == (whole[1] // 4, whole[0] // 4)


def test_the_second_look_counts_in_its_part_and_the_first_elsewhere() -> None:
    first = np.random.default_rng(1).random((64, 128), np.float32)
    picture = np.zeros((64, 128, 3), np.uint8)
    box = 32, 16, 64, 48  # down to the picture's lower edge
    out = joined(picture, matte(first, 0.25), matte(np.full((64, 128), 0.5, np.float32), 0.75), box)
    inside = np.zeros((64, 128), bool)
    inside[16:64, 32:96] = True
    assert np.array_equal(out.alpha[~inside], first[~inside])
    assert np.allclose(out.alpha[20:64, 40:88], 0.5)  # the lower edge is nobody's: no ramp there
    edge = out.alpha[40, 32:40] - first[40, 32:40]
    toward = (0.5 - first[40, 32:40]) * np.minimum(
        (np.arange(8) + 0.5) / (closer.MARGIN / 2 * 64), 1
    )
    assert np.allclose(edge, toward, atol=1e-6)
    assert np.allclose(out.unified[8:16, 12:20], 0.75)
    assert np.allclose(out.unified[:4], 0.25)
    assert np.allclose(out.residual[8:16, 12:20], 0.75)


def test_a_small_person_is_looked_at_twice() -> None:
    """By the networks for the person's own format."""
    wide, tall = (Bshm(*fake_networks(low)) for low in ((16, 32), (32, 16)))
    picture = np.zeros((300, 600, 3), np.uint8)
    cv2.rectangle(picture, (100, 60), (160, 240), (255, 255, 255), -1)
    made = matte_still(wide, tall, picture)
    looks = 4  # one picture both ways, and before each MPN alone
    assert (wide.mpn.calls, tall.mpn.calls) == (looks, looks)
    alpha = cv2.resize(made.alpha, (600, 300))
    assert alpha[150:160, 125:135].mean() > 0.99
    assert alpha[:, 300:].max() < 0.01
    matte_still(wide, tall, picture, hint=np.ones((30, 60), np.float32))  # somebody was meant
    matte_still(wide, wide, picture)  # there are no networks for an upright person
    assert (wide.mpn.calls, tall.mpn.calls) == (2 * looks + 2, looks)
