"""Where the window goes: by the rule of thirds, softly, and not at all while nobody moves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bshm_live.compositing.framing import (
    COUNT_S,
    DEAD,
    GONE_S,
    QUICKNESS,
    SHOTS,
    SPEED,
    ZOOM_MOST,
    Follower,
    Framer,
)
from bshm_live.matting.head import Head
from bshm_live.matting.outline import heads_by_outline
from bshm_live.settings import FRAMINGS, Framing
from bshm_live.types import Frame, HostMatte, Window

PICTURE, SIZE, FPS = (1280, 720), (640, 360), 30.0
ALL = np.zeros((720, 1280, 3), np.uint8)
GRID = (72, 128)
component = st.floats(-3, 3)
place = st.tuples(component, component, component).map(np.array)


def matte(alpha: np.ndarray) -> HostMatte:
    low = np.zeros((GRID[0] // 4, GRID[1] // 4), np.float32)
    guide = np.zeros((*GRID, 3), np.uint8)
    return HostMatte(alpha, np.zeros((*low.shape, 3), np.float32), low, low, guide)


def head(x: float, crown: float, length: float) -> Head:
    """An upright head in pixels of the picture."""
    points = np.zeros((7, 2), np.float32)
    points[:] = x, crown + length / 2
    points[5], points[6] = (x, crown + length), (x, crown)
    return Head(points, 0.9)


FULL = matte(np.ones(GRID, np.float32))  # whoever is found is in the matte, too
EMPTY = matte(np.zeros(GRID, np.float32))


class Run:
    """A framer that is shown heads, frame by frame; `windows` are those that it gave."""

    def __init__(self, framing: Framing = "half", picture: np.ndarray = ALL) -> None:
        self.heads: Sequence[Head] = ()
        self.framer, self.framing = Framer(SIZE, lambda _: self.heads), framing
        self.picture, self.windows, self._index = picture, [], 0  # type: ignore[var-annotated]

    def __call__(
        self,
        heads: Sequence[Head],
        seconds: float = 1 / FPS,
        seen: Callable[[Window], HostMatte] = lambda window: FULL,
    ) -> Window:
        for _ in range(max(1, round(seconds * FPS))):
            self.heads = heads
            frame = Frame(self.picture, self._index, self._index / FPS)
            self.windows.append(self.framer.window(frame, self.framing))
            self.framer.saw(seen(self.windows[-1]) if heads else EMPTY, self.framing)
            self._index += 1
        return self.windows[-1]


def test_the_follower_is_its_two_filters() -> None:
    """Beside many small steps of y' = w (T - y), cut to the speed, and x' = w (y - x)."""
    follower = Follower(np.zeros(3))
    x, y, n = np.zeros(3), np.zeros(3), 4000
    for wanted, seconds in (([2.0, -1.0, 0.3], 0.5), ([0.1, 0.1, 0.1], 1.7), ([0.1, 0.2, 0.0], 3)):
        target = np.array(wanted)
        follower.step(target, seconds)
        for _ in range(n):
            run = QUICKNESS * (target - y)
            run /= max(1.0, (np.abs(run) / SPEED).max())
            x, y = x + QUICKNESS * (y - x) * seconds / n, y + run * seconds / n
        assert follower.place == pytest.approx(x, abs=1e-3)
    assert follower.step(target, 60.0) == pytest.approx(target, abs=0)


@given(st.lists(st.tuples(place, st.floats(0, 0.3)), min_size=1, max_size=40), st.integers(2, 5))
@settings(max_examples=50, deadline=None)
def test_whatever_is_wanted_speed_and_acceleration_are_bounded(
    wishes: list[tuple[np.ndarray, float]], parts: int
) -> None:
    follower = Follower(np.zeros(3))
    last, velocity = follower.place, follower.velocity
    lowest, highest = np.zeros(3), np.zeros(3)
    for wanted, seconds in wishes:
        lowest, highest = np.minimum(lowest, wanted), np.maximum(highest, wanted)
        for _ in range(parts):
            place = follower.step(wanted, seconds / parts)
            most = SPEED * seconds / parts + 1e-4
            assert (np.abs(place - last) <= most).all()
            assert (np.abs(follower.velocity - velocity) <= 2 * QUICKNESS * most + 2e-4).all()
            assert (place >= lowest - 1e-9).all()
            assert (place <= highest + 1e-9).all()
            last, velocity = place, follower.velocity


@given(
    st.lists(
        st.lists(
            st.tuples(st.floats(-99, 1400), st.floats(-99, 800), st.floats(5, 900)), max_size=4
        ),
        min_size=1,
        max_size=12,
    ),
    st.sampled_from(FRAMINGS),
    st.sampled_from([(1280, 720), (720, 1280), (641, 481)]),
)
@settings(max_examples=20, deadline=None)
def test_whoever_is_where_the_window_stays_in_the_picture(
    scenes: list[list[tuple[float, float, float]]], framing: Framing, picture: tuple[int, int]
) -> None:
    run = Run(framing, np.zeros((picture[1], picture[0], 3), np.uint8))
    for heads in scenes:
        run([head(*one) for one in heads], 0.3)
    height = min(picture[1], picture[0] * SIZE[1] / SIZE[0])
    for one in run.windows:
        assert one.width == pytest.approx(one.height * SIZE[0] / SIZE[1])
        assert one.height >= height / ZOOM_MOST - 1e-6
        assert one.left >= -1e-6
        assert one.top >= -1e-6
        assert one.left + one.width <= picture[0] + 1e-6
        assert one.top + one.height <= picture[1] + 1e-6
    for last, one in pairwise(run.windows):
        moves = np.array([one.left - last.left, one.top - last.top, one.height - last.height])
        assert (np.abs(moves) / height * FPS <= SPEED + 1e-3).all()


@pytest.mark.parametrize("framing", FRAMINGS)
def test_the_rule_of_thirds(framing: Framing) -> None:
    share, eyes = SHOTS[framing]
    length = 0.6 * 720 * share  # so that no picture's edge is in the way
    window = Run(framing)([head(600, 300, length)], 8)
    assert length / window.height == pytest.approx(share, rel=0.05)
    assert (600 - window.left) / window.width == pytest.approx(0.5, abs=0.03)
    assert (300 + length / 2 - window.top) / window.height == pytest.approx(eyes, abs=0.03)


def test_small_motion_moves_nothing_and_rest_is_exact() -> None:
    run, rng = Run(), np.random.default_rng(0)
    still = run([head(700, 250, 100)], 8)
    for _ in range(90):
        shift, longer = rng.uniform(-0.6, 0.6) * DEAD * still.width, rng.uniform(0.95, 1.05)
        assert run([head(700 + shift, 250, 100 * longer)]) == still


def test_a_walk_is_followed_closely() -> None:
    run = Run()
    run([head(300, 250, 110)], 5)
    for step in range(150):  # through half of the picture in five seconds
        x = 300 + step / 150 * 640
        window = run([head(x, 250, 110)])
        if step > 45:
            assert (x - window.left) / window.width == pytest.approx(0.5, abs=0.15)


def test_several_people_are_all_in_the_picture() -> None:
    run = Run("head")
    alone = run([head(400, 200, 120)], 8)
    both = [head(400, 200, 120), head(800, 260, 100)]
    assert run(both, COUNT_S - 0.1) == alone  # who only passes changes nothing
    window = run(both, 6)
    for one in both:
        for point in (one.crown, one.chin):
            assert window.left < point[0] < window.left + window.width
            assert window.top < point[1] < window.top + window.height


def test_where_nobody_is_the_whole_picture_comes_back() -> None:
    run = Run()
    near = run([head(400, 200, 110)], 8)
    assert run([], GONE_S - 0.2) == near
    assert run([], 8) == Window(0, 0, 1280, 720)
    run([head(400, 200, 110)], 8)
    run.framing = None  # type: ignore[assignment]
    for index in range(200):
        frame = Frame(ALL, index, 20 + index / FPS)
        window = run.framer.window(frame, None)
    assert window == Window(0, 0, 1280, 720)
    assert run.framer.rests_at_home


def test_a_poster_is_not_followed() -> None:
    """A face that is not in the matte, whether it is in the window just now or not."""

    def left_half(window: Window) -> HostMatte:
        x = window.left + (np.arange(GRID[1]) + 0.5) / GRID[1] * window.width
        return matte(np.tile((x < 640).astype(np.float32), (GRID[0], 1)))

    person, poster = head(300, 300, 110), head(1100, 100, 100)
    assert Run()([person, poster], 8, left_half) == Run()([person], 8, left_half)


def drawn(x: float, crown: float, length: float) -> np.ndarray:
    """The matte of a person with this head, in shares of the picture, on the grid."""
    big = np.zeros((720, 1280), np.uint8)
    at, top, tall = x * 1280, crown * 720, length * 720
    middle, half = (round(at), round(top + tall / 2)), (round(0.37 * tall), round(tall / 2))
    cv2.ellipse(big, (middle, (2 * half[0], 2 * half[1]), 0), 1, -1)
    neck = round(0.2 * tall)
    cv2.rectangle(big, (middle[0] - neck, middle[1]), (middle[0] + neck, 720), 1, -1)
    shoulders = (round(at), round(top + 2.6 * tall))
    cv2.ellipse(big, (shoulders, (round(2.4 * tall), round(2.7 * tall)), 0), 1, -1)
    cv2.rectangle(
        big, (shoulders[0] - half[0] * 3, shoulders[1]), (shoulders[0] + half[0] * 3, 720), 1, -1
    )
    return cv2.resize(big.astype(np.float32), GRID[::-1], interpolation=cv2.INTER_AREA)


@given(st.floats(0.25, 0.75), st.floats(0.05, 0.4), st.floats(0.12, 0.4))
@settings(max_examples=40, deadline=None)
def test_a_matte_alone_says_where_the_head_is(x: float, crown: float, length: float) -> None:
    (found,) = heads_by_outline(drawn(x, crown, length), 16 / 9)
    assert found.x == pytest.approx(x, abs=0.02)
    assert found.crown == pytest.approx(crown, abs=0.025)
    assert found.length == pytest.approx(length, rel=0.3)


def test_heads_by_outline_of_nobody_and_of_two() -> None:
    assert heads_by_outline(np.zeros(GRID, np.float32), 16 / 9) == []
    both = np.maximum(drawn(0.25, 0.3, 0.2), drawn(0.75, 0.4, 0.16))
    places = sorted(one.x for one in heads_by_outline(both, 16 / 9))
    assert places == pytest.approx([0.25, 0.75], abs=0.02)
