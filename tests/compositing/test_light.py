"""Light on the face: its curve, where a face lies, and that it is slow and steady over time."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from conftest import ArraySource, ListSink, fake_networks, loop_of, portrait
from hypothesis import given, settings
from hypothesis import strategies as st

from bshm_live.compositing.background import Fixed, plain
from bshm_live.compositing.grade import graded
from bshm_live.compositing.grading import NOTHING, Grading, Wanted
from bshm_live.compositing.light import (
    BRIGHT_LEAST,
    BRIGHT_MOST,
    GAIN_MOST,
    RATES,
    TINT_MOST,
    curve,
    darkness,
    face_of,
    light_grade,
    measured,
)
from bshm_live.compositing.slow import MEMORY_S, Slow
from bshm_live.matting.bshm import Bshm
from bshm_live.types import Frame, HostMatte

SKIN = np.array([105.0, 125, 165])  # BGR, in good light
WEIGHTS = np.array([0.114, 0.587, 0.299])
LOW = (48, 80)
GREY = np.repeat(np.arange(256, dtype=np.float32)[:, None], 3, 1)
gains = st.floats(float(np.exp(-GAIN_MOST)), float(np.exp(GAIN_MOST)))


# --- the curve --------------------------------------------------------------------------------


@given(gains)
def test_the_curve_is_a_shift_of_the_log_odds(gain: float) -> None:
    x = np.arange(1, 255) / 255
    odds = np.exp(np.log(x / (1 - x)) + np.log(gain))
    assert np.abs(curve(gain)[0][1:255, 0] - 255 * odds / (1 + odds)).max() < 1e-3


@given(gains, st.floats(-0.2, 0.2), st.floats(-0.2, 0.2), st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_light_keeps_black_white_and_the_order_and_bounds_the_slope(
    gain: float, warmth: float, green: float, strength: float
) -> None:
    made = light_grade(np.array([np.log(gain), warmth, green, 90.0]), strength)
    out = graded(GREY, made).astype(np.float64)
    assert out[0].max() < 0.5
    assert out[255].min() > 254.5
    assert (np.diff(out @ WEIGHTS) > -1e-2).all()
    most = max(gain, 1 / gain) ** strength
    assert np.diff(out @ WEIGHTS).max() <= most + 0.05  # noise is not raised by more
    assert np.abs(out - (out @ WEIGHTS)[:, None]).max() <= 255 * 3 * TINT_MOST


@given(gains, st.lists(st.integers(0, 255), min_size=3, max_size=3))
@settings(max_examples=60, deadline=None)
def test_highlights_are_not_clipped(gain: float, colour: list[int]) -> None:
    """What is not saturated keeps its differences: skin's highlights, a white shirt."""
    given_ = np.array([colour], np.float32)
    if np.ptp(given_) > 60 or given_.max() > 250:
        return
    values = np.array([np.log(gain), 0.0, 0.0, 90.0])
    assert graded(given_, light_grade(values, 1.0)).max() < 255


def test_no_strength_changes_nothing() -> None:
    values = np.array([0.7, 0.1, -0.1, 60.0])
    colours = np.random.default_rng(0).uniform(0, 255, (500, 3)).astype(np.float32)
    assert np.abs(graded(colours, light_grade(values, 0.0)) - colours).max() < 1e-3


# --- the face ---------------------------------------------------------------------------------


@cache
def figure(
    centre: float = 40.0, hand: bool = False, arm: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Alpha of head and shoulders, and where the face is; a hand before it, or an arm up."""
    y, x = np.mgrid[: LOW[0], : LOW[1]].astype(float)
    head = ((x - centre) / 8) ** 2 + ((y - 17) / 11) ** 2 < 1
    body = (((x - centre) / 24) ** 2 + ((y - 50) / 20) ** 2 < 1) & (y > 28)
    face = ((x - centre) / 6) ** 2 + ((y - 19) / 8) ** 2 < 1
    alpha = head | body
    if hand:
        alpha |= (np.abs(x - centre - 3) < 5) & (y > 12)
    if arm:
        alpha |= (np.abs(x - centre - 20) < 3) & (y > 2)
    return alpha.astype(np.float32), face


@pytest.mark.parametrize("centre", [20.0, 40.0, 60.0])
def test_the_face_is_where_it_is(centre: float) -> None:
    alpha, face = figure(centre)
    place = face_of(alpha)
    assert place is not None
    assert face[place].mean() > 0.85
    assert face[place].sum() > 0.4 * face.sum()


def test_nobody_has_no_face() -> None:
    assert face_of(np.zeros(LOW, np.float32)) is None
    assert measured(np.zeros((*LOW, 3), np.uint8), np.zeros(LOW, np.float32)) is None


@cache
def seen(level: float, tint: tuple[float, float, float] = (1, 1, 1), **more: bool) -> np.ndarray:
    """The figure with a face of so much light, dark hair, a dark shirt, a grey room."""
    alpha, face = figure(**more)  # type: ignore[arg-type]
    picture = np.full((*LOW, 3), 90.0)
    picture[alpha > 0] = 30
    picture[face] = SKIN * level
    noise = np.random.default_rng(7).normal(0, 3, picture.shape)
    return np.clip(picture * tint + noise, 0, 255).astype(np.uint8)


def test_a_face_in_good_light_is_left_alone() -> None:
    values = measured(seen(1.05), figure()[0])
    assert values is not None
    assert np.abs(values[:3]).max() < 1e-6


@pytest.mark.parametrize("level", [0.35, 0.5, 0.8, 1.6])
def test_a_face_is_taken_to_the_nearest_good_exposure(level: float) -> None:
    values = measured(seen(level), figure()[0])
    assert values is not None
    lit = graded(np.full((1, 3), values[3], np.float32), light_grade(values, 1.0))[0, 0]
    if abs(values[0]) < GAIN_MOST - 1e-6:
        assert BRIGHT_LEAST - 2 < lit < BRIGHT_MOST + 2
    assert (lit > values[3]) == (level < 1)


def test_a_blue_face_gets_warmer_by_a_few_percent() -> None:
    values = measured(seen(1.0, (1.3, 1.0, 0.85)), figure()[0])
    assert values is not None
    colour = (SKIN * (1.3, 1.0, 0.85)).astype(np.float32)[None]
    made = graded(colour, light_grade(values, 1.0))[0] / colour[0]
    assert 0.9 < made[0] < 0.97
    assert 1.02 < made[2] < 1.1
    assert abs(made[1] - 1) < 0.04


def test_noise_is_filtered_in_the_dark_alone() -> None:
    dark, bright = measured(seen(0.3), figure()[0]), measured(seen(1.0), figure()[0])
    assert dark is not None
    assert bright is not None
    assert darkness(dark) > 0.5
    assert darkness(bright) == 0


# --- over time --------------------------------------------------------------------------------

FPS = 10.0


def session(
    scene: Callable[[float], tuple[np.ndarray, np.ndarray]], seconds: float, fps: float = FPS
) -> np.ndarray:
    """What becomes of the colour SKIN / 2 in each frame; `scene` gives picture and alpha."""
    grading, wanted, out = Grading(), Wanted(light=1.0), []
    back = plain((90, 90, 90), (80, 48))
    for index in range(int(seconds * fps)):
        colours, alpha = scene(index / fps)
        large = (np.kron(colours, np.ones((4, 4, 1), np.uint8)), np.kron(alpha, np.ones((4, 4))))
        low = np.zeros(LOW, np.float32)
        matte = HostMatte(large[1].astype(np.float32), np.zeros((*LOW, 3)), low, low, large[0])
        frame = Frame(large[0], index, index / fps)
        grading.see(frame, matte, back, back, wanted)
        made = graded((SKIN / 2).astype(np.float32)[None], grading.grade(frame.time, wanted))
        out.append(made[0] @ WEIGHTS)
    return np.array(out)


def test_at_rest_nothing_moves() -> None:
    out = session(lambda t: (seen(0.5), figure()[0]), 2)
    assert np.ptp(out) < 1e-6


def test_noise_and_a_walk_do_not_show() -> None:
    def walk(t: float) -> tuple[np.ndarray, np.ndarray]:
        place = 40 + 18 * np.sin(2 * t)
        rng = np.random.default_rng(int(t * 1000))
        alpha, face = figure(place)
        picture = np.full((*LOW, 3), 90.0)
        picture[alpha > 0] = 30
        picture[face] = SKIN / 2
        return np.clip(picture + rng.normal(0, 6, picture.shape), 0, 255).astype(np.uint8), alpha

    out = session(walk, 6)
    assert np.ptp(out) < 4
    assert np.abs(np.diff(out)).max() < 0.5


@pytest.mark.parametrize("level", [0.2, 1.4])
def test_a_hand_that_passes_is_not_seen(level: float) -> None:
    """Less than half of the memory before the face, dark or bright: the light stays as it is."""

    def passes(t: float) -> tuple[np.ndarray, np.ndarray]:
        if not 3 <= t < 3.8:
            return seen(0.5), figure()[0]
        return seen(level, hand=True), figure(hand=True)[0]

    out = session(passes, 7)
    assert np.ptp(out) < 1


def test_a_bright_shirt_and_a_raised_arm_do_not_pump() -> None:
    def wears(t: float) -> tuple[np.ndarray, np.ndarray]:
        alpha, _ = figure(arm=bool(2 < t < 2.9))
        picture = seen(0.5).copy()
        if t > 4:
            y = np.arange(LOW[0])[:, None]
            picture[(alpha > 0) & (y > 32)] = 240
        return picture, alpha

    assert np.ptp(session(wears, 8)) < 2


@pytest.mark.parametrize("fps", [7.0, 20.0])
def test_lights_switched_settle_smoothly(fps: float) -> None:
    """Within 5 s, never faster than the rate, whatever the frame rate."""
    out = session(lambda t: (seen(0.95 if t < 2 else 0.42), figure()[0]), 8, fps)
    odds = np.log(out / (255 - out))
    assert np.abs(np.diff(odds)).max() <= RATES[0] / fps + 0.01
    late = out[int(7 * fps) :]
    assert np.ptp(late) < 1
    assert late[-1] > out[0] + 15
    assert out[int(2.8 * fps)] - out[0] < 1  # it waits whether it lasts


def test_a_session_that_begins_anew_begins_with_its_own_light() -> None:
    grading, wanted = Grading(), Wanted(light=1.0)

    def made(level: float, time: float) -> float:
        colours, alpha = seen(level), figure()[0]
        low = np.zeros(LOW, np.float32)
        large = (np.kron(colours, np.ones((4, 4, 1), np.uint8)), np.kron(alpha, np.ones((4, 4))))
        matte = HostMatte(large[1].astype(np.float32), np.zeros((*LOW, 3)), low, low, large[0])
        grading.see(Frame(large[0], 0, time), matte, large[0], 0, wanted)
        values = grading.grade(time, wanted)
        return float(graded((SKIN / 2).astype(np.float32)[None], values)[0] @ WEIGHTS)

    bright = made(1.0, 0.0)
    grading.reset()
    assert made(0.4, 0.1) > bright + 15


def test_a_match_goes_with_its_background_and_on_after_a_gap() -> None:
    grading, wanted = Grading(), Wanted(match=1.0)
    colours, alpha = np.kron(seen(0.9), np.ones((4, 4, 1), np.uint8)), figure()[0]
    low, large = np.zeros(LOW, np.float32), np.kron(alpha, np.ones((4, 4), np.float32))
    matte = HostMatte(large, np.zeros((*LOW, 3), np.float32), low, low, colours)
    blue, red = plain((200, 80, 40), (80, 48)), plain((40, 60, 200), (80, 48))

    def tint(time: float, back: np.ndarray, behind: object) -> float:
        grading.see(Frame(colours, 0, time), matte, back, behind, wanted)
        made = graded(np.full((1, 3), 120, np.float32), grading.grade(time, wanted))[0]
        return float(made[2] - made[0])

    assert tint(0.0, blue, 1) < -3
    assert tint(0.01, red, 2) > 3  # at once, as the background's own change
    shots = [blue.copy() for _ in range(180)]  # a video that cuts to another colour: slowly
    tints = [tint(0.05 + index / 20, shot, 2) for index, shot in enumerate(shots)]
    assert min(tints[:15]) > 3
    assert tints[-1] < -3
    assert np.abs(np.diff(tints)).max() < 2
    for time in (9.0, 20.0):
        grading.reset()
        assert tint(time, red, 2) > 3


def test_a_clock_that_is_set_back_does_not_stop_it() -> None:
    slow = Slow(np.array([1.0]))
    slow.see(100.0, np.array([0.0]))
    assert slow(100.0) == 0
    assert slow.due(1.0)
    for step in range(100):
        if slow.due(1 + step / 10):
            slow.see(1 + step / 10, np.array([0.5]))
        value = slow(1 + step / 10)
    assert value == pytest.approx(0.5, abs=0.01)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 3), st.floats(-5, 5)), min_size=1, max_size=30))
def test_no_value_is_faster_than_its_rate(steps: list[tuple[float, float]]) -> None:
    slow, time, last = Slow(np.array([0.7])), 0.0, None
    for wait, value in steps:
        time += wait
        slow.see(time, np.array([value]))
        now = slow(time)
        assert now is not None
        if last is not None:
            assert abs(now - last)[0] <= 0.7 * wait + 1e-9
        last = now


def test_nobody_leaves_the_light_as_it_was() -> None:
    def leaves(t: float) -> tuple[np.ndarray, np.ndarray]:
        alpha = figure()[0] if not 1 < t < 1 + 2 * MEMORY_S else np.zeros(LOW, np.float32)
        return seen(0.5), alpha

    assert np.ptp(session(leaves, 7)) < 1e-6


# --- in the loop ------------------------------------------------------------------------------


def test_on_changes_the_person_alone_and_off_nothing(sure: None) -> None:
    scene, back = portrait(256, 128), Fixed(plain((120, 60, 30), (256, 128)))
    off, on = ListSink(), ListSink()
    for sink, wanted in ((off, NOTHING), (on, Wanted(light=1.0, match=1.0))):
        loop = loop_of(Bshm(*fake_networks()), back, (256, 128), wanted=wanted)
        loop.run(ArraySource([scene.picture] * 3), [sink])
    for one, other in zip(off.shots, on.shots, strict=True):
        changed = (one.composite != other.composite).any(-1)
        assert np.array_equal(one.alpha, other.alpha)
        assert changed[one.alpha == 255].mean() > 0.9
        assert not changed[one.alpha == 0].any()
        assert np.array_equal(one.composite[one.alpha == 255], scene.picture[one.alpha == 255])
