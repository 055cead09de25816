from __future__ import annotations

import cv2
import numpy as np
import pytest
from conftest import Arrays, FakeEngine
from hypothesis import given, settings
from hypothesis import strategies as st

from bshm_live.matting.head import (
    POINTS,
    SIZE,
    STRIDE,
    Head,
    HeadFinder,
    heads_of,
    letterbox,
)
from bshm_live.matting.warp import mapped, sampled
from bshm_live.runtimes.manifest import HEAD_INPUTS, HEAD_OUTPUTS

# A head that is a disc: its points, in radiuses from the disc's middle. The middle of the first
# five is the middle of the disc.
DISC = np.array(
    [[-0.4, -0.3], [0.4, -0.3], [0, 0.1], [-0.3, 0.25], [0.3, 0.25], [0, 0.9], [0, -1]], np.float32
)


def discs(feeds: Arrays) -> Arrays:
    """Every white disc is a head with the points DISC."""
    image = feeds["image"][0].mean(0)
    heat = np.zeros((SIZE[1] // STRIDE, SIZE[0] // STRIDE), np.float32)
    points = np.zeros((2 * POINTS, *heat.shape), np.float32)
    white = (image > 0.75).astype(np.uint8)
    _, _, parts, middles = cv2.connectedComponentsWithStats(white)
    for (_, _, _, _, area), middle in list(zip(parts, middles + 0.5, strict=True))[1:]:
        column, row = (np.clip(middle, 0, np.array(SIZE) - 1) // STRIDE).astype(int)
        heat[row, column] = 0.9
        radius = np.sqrt(area / np.pi)
        points[:, row, column] = (middle + radius * DISC).reshape(-1)
    return {"heat": heat[None, None], "points": points[None]}


def engine() -> FakeEngine:
    return FakeEngine(HEAD_INPUTS, HEAD_OUTPUTS, discs)


def drawn(size: tuple[int, int], *heads: tuple[float, float, float]) -> np.ndarray:
    """Grey with white discs (x, y, radius); all in pixels, fractions too."""
    width, height = size
    y, x = np.mgrid[:height, :width].astype(np.float32) + 0.5
    grey = np.full((height, width), 128, np.float32)
    for cx, cy, radius in heads:
        inside = np.clip(radius - np.hypot(x - cx, y - cy) + 0.5, 0, 1)
        grey += (255 - grey) * inside
    return np.repeat(np.rint(grey).astype(np.uint8)[..., None], 3, 2)


@pytest.mark.parametrize("size", [(640, 360), (300, 700), (192, 128), (90, 60), (2000, 1500)])
def test_a_head_is_found_where_it_is(size: tuple[int, int]) -> None:
    width, height = size
    middle, radius = np.array([0.4 * width, 0.55 * height]), 0.12 * min(size)
    (head,) = HeadFinder(engine())(drawn(size, (*middle, radius)))
    np.testing.assert_allclose(head.points, middle + radius * DISC, atol=0.07 * radius + 0.5)
    assert head.length == pytest.approx(1.9 * radius, rel=0.08)
    assert head.tilt == pytest.approx(0, abs=0.1)
    assert head.sure == pytest.approx(0.9)


@settings(max_examples=25, deadline=None)
@given(x=st.floats(100, 900), y=st.floats(100, 500), radius=st.floats(30, 90))
def test_the_second_look_is_finer_than_a_pixel_of_the_first(
    x: float, y: float, radius: float
) -> None:
    (head,) = HeadFinder(engine())(drawn((1000, 600), (x, y, radius)))
    assert np.abs(head.middle - [x, y]).max() < 0.02 * radius + 0.3


def test_each_head_once_the_largest_first() -> None:
    picture = drawn((600, 400), (120, 120, 30), (420, 200, 70), (200, 320, 45))
    network = engine()
    heads = HeadFinder(network)(picture)
    assert [round(head.length / 1.9) for head in heads] == pytest.approx([70, 45, 30], abs=2)


def test_nobody_is_nobody() -> None:
    assert HeadFinder(engine())(drawn((640, 480))) == []


def test_a_peak_and_its_shoulders_are_one_head() -> None:
    heat = np.zeros(HEAD_OUTPUTS["heat"], np.float32)
    points = np.zeros(HEAD_OUTPUTS["points"], np.float32)
    heat[0, 0, 5, 6:8] = 0.8, 0.7  # two places, both sure of the same head
    points[0, :, 5, 6] = (50 + 20 * DISC).reshape(-1)
    points[0, :, 5, 7] = (52 + 20 * DISC).reshape(-1)
    (head,) = heads_of(heat, points)
    mean = 50 + 2 * 0.7**2 / (0.8**2 + 0.7**2)
    np.testing.assert_allclose(head.points, mean + 20 * DISC, atol=1e-4)


def test_tilt_is_that_of_the_eyes() -> None:
    turn = np.radians(12)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    assert Head(DISC @ rotation.T, 1.0).tilt == pytest.approx(12, abs=1e-4)


@pytest.mark.parametrize(("scale", "corner"), [(0.31, (7.4, -3.2)), (1.7, (-40.0, -30.5))])
def test_what_is_seen_lies_where_it_is_said_to(scale: float, corner: tuple[float, float]) -> None:
    picture = drawn((400, 300), (100, 60, 25))
    matrix = np.array([[scale, 0, corner[0]], [0, scale, corner[1]]])
    small = sampled(picture, matrix, SIZE, border=128)[..., 0].astype(np.float64) - 128
    y, x = np.mgrid[: SIZE[1], : SIZE[0]] + 0.5
    seen = np.array([(x * small).sum(), (y * small).sum()]) / small.sum()
    np.testing.assert_allclose(seen, scale * np.array([100, 60]) + corner, atol=0.05)


def test_letterbox_shows_all_in_the_middle() -> None:
    matrix = letterbox(drawn((100, 400), (50, 200, 50)))
    corners = mapped(np.array([[0, 0], [50, 200], [100, 400]]), matrix)
    np.testing.assert_allclose(corners, [[80, 0], [96, 64], [112, 128]])


def test_what_is_not_seen_again_from_near_is_no_head() -> None:
    """A spot that is bright only while it is small."""

    def fickle(feeds: Arrays) -> Arrays:
        found = dict(discs(feeds))
        if (feeds["image"] > 0.75).mean() > 0.04:
            found["heat"] = np.zeros_like(found["heat"])
        return found

    finder = HeadFinder(FakeEngine(HEAD_INPUTS, HEAD_OUTPUTS, fickle))
    assert finder(drawn((640, 400), (300, 200, 20))) == []
