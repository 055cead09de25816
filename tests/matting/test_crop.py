from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bshm_live.matting.temporal import Steadier, as_hint
from bshm_live.matting.window import Cropper, change, cut, moved, was_seen
from bshm_live.types import HostMatte, Window

share = st.floats(0, 1)


@st.composite
def windows(draw: st.DrawFn) -> Window:
    width, height = draw(st.floats(10, 640)), draw(st.floats(10, 360))
    left, top = draw(share) * (640 - width), draw(share) * (360 - height)
    return Window(left, top, width, height, draw(st.booleans()))


def bilinear(picture: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """At places from the first pixel's centre, edges repeated; float64."""
    tall, wide = picture.shape[:2]
    x, y = np.clip(x, 0, wide - 1), np.clip(y, 0, tall - 1)
    left, top = np.minimum(x.astype(int), wide - 2), np.minimum(y.astype(int), tall - 2)
    h, v = (x - left)[None, :, None], (y - top)[:, None, None]
    p = picture.astype(np.float64)
    rows = [p[t][:, left] * (1 - h) + p[t][:, left + 1] * h for t in (top, top + 1)]
    return rows[0] * (1 - v) + rows[1] * v


@given(windows(), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_a_part_is_its_formula(window: Window, seed: int) -> None:
    picture = np.random.default_rng(seed).integers(0, 256, (360, 640, 3), np.uint8)
    size = (160, 90)
    if max(window.width / size[0], window.height / size[1]) >= 2:
        return
    out = Cropper(size)(picture, window)
    x = window.left + (np.arange(size[0]) + 0.5) * window.width / size[0] - 0.5
    y = window.top + (np.arange(size[1]) + 0.5) * window.height / size[1] - 0.5
    # A weight has eleven bits, a row in between seven more than a level.
    assert np.abs(out - bilinear(picture, x, y)).max() < 1.0
    grey = cut(picture[..., 0].copy(), window, size)
    assert np.abs(grey.astype(int) - out[..., 0]).max() <= 8  # a thirty-second of a pixel


@given(st.integers(0, 320), st.integers(0, 180), st.integers(0, 9), st.integers(0, 3))
@settings(max_examples=30, deadline=None)
def test_a_part_of_that_size_keeps_its_pixels(left: int, top: int, seed: int, threads: int) -> None:
    picture = np.random.default_rng(seed).integers(0, 256, (360, 640, 3), np.uint8)
    out = Cropper((320, 180), threads)(picture, Window(left, top, 320, 180))
    assert np.array_equal(out, picture[top : top + 180, left : left + 320])


def test_what_is_much_larger_is_no_mosaic() -> None:
    fine = np.zeros((720, 1280, 3), np.uint8)
    fine[:, ::2] = 200  # a pattern that a few of its pixels cannot show
    out = Cropper((320, 180))(fine, Window(0, 0, 1280, 720))
    assert np.abs(out.astype(int) - 100).max() <= 1


@given(windows(), windows(), share, share)
@settings(max_examples=100, deadline=None)
def test_a_change_moves_every_point_to_where_it_is_shown(
    before: Window, now: Window, x: float, y: float
) -> None:
    def shown(window: Window) -> tuple[float, float]:
        across, down = (
            (640 * x - window.left) / window.width,
            (360 * y - window.top) / window.height,
        )
        return 1 - across if window.mirrored else across, down

    matrix = change(before, now)
    if matrix is None:
        assert before == now
        return
    assert matrix @ [*shown(before), 1] == pytest.approx(shown(now), abs=1e-6)
    assert change(None, now) is None


def test_what_is_moved_lies_where_it_is_seen_now() -> None:
    """A disc in the camera's picture, as two windows show it."""

    def disc(window: Window) -> np.ndarray:
        x = window.left + (np.arange(96) + 0.5) / 96 * window.width
        y = window.top + (np.arange(64) + 0.5) / 64 * window.height
        far = np.hypot(x - 300, y[:, None] - 200)
        out = np.clip((90 - far) / 20 + 0.5, 0, 1).astype(np.float32)
        return np.ascontiguousarray(out[:, ::-1]) if window.mirrored else out

    whole, part = Window(0, 0, 640, 427), Window(120.4, 77.7, 420, 280, mirrored=True)
    matrix = change(whole, part)
    assert matrix is not None
    found, right = moved(disc(whole), matrix), disc(part)
    assert np.abs(found - right).max() < 0.15
    assert np.abs(found - right).mean() < 0.01
    assert was_seen((64, 36), matrix).all()
    back = change(part, whole)
    assert back is not None
    assert 0.4 < was_seen((64, 36), back).mean() < 0.46  # 420 x 280 of 640 x 427

    low = np.zeros((16, 24), np.float32)
    guide = np.zeros((64, 96, 3), np.uint8)
    steadier = Steadier()
    steadier.hint(np.zeros((427, 640, 3), np.uint8))
    steadier.steady(HostMatte(disc(whole), np.zeros((16, 24, 3), np.float32), low, low, guide))
    steadier.moved(matrix)
    hint = steadier.hint(np.zeros((427, 640, 3), np.uint8))
    assert hint is not None
    assert np.abs(hint - as_hint(right.reshape(16, 4, 24, 4).mean((1, 3)))).max() < 0.1
