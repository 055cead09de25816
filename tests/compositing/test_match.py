"""Colours taken towards a scene's, against the formula in float64."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bshm_live.compositing import match
from bshm_live.compositing.grade import graded
from bshm_live.compositing.match import Tone, lab, match_grade, matched, tone


def lab64(colours: np.ndarray) -> np.ndarray:
    """sRGB levels, BGR, to CIELAB under D65 (IEC 61966-2-1, CIE 15)."""
    v = colours[..., ::-1].astype(np.float64) / 255
    linear = np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array(
        [
            [0.412453, 0.357580, 0.180423],
            [0.212671, 0.715160, 0.072169],
            [0.019334, 0.119193, 0.950227],
        ]
    )
    xyz = linear @ to_xyz.T / to_xyz.sum(1)
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    x, y, z = np.moveaxis(f, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)


def test_colours_are_matched_as_the_formula_says() -> None:
    rng = np.random.default_rng(5)
    colours = rng.uniform(50, 180, (40, 30, 3)).astype(np.float32)
    opacity = rng.uniform(0, 1, (40, 30)).astype(np.float32)
    room = rng.uniform((90, 100, 120), (160, 170, 200), (50, 60, 3)).astype(np.float32)
    own, other = lab64(colours), lab64(room)
    weight = opacity[..., None].astype(np.float64) / opacity.sum()
    mean = (weight * own).sum((0, 1))
    deviation = np.sqrt((weight * (own - mean) ** 2).sum((0, 1)))
    gain = np.clip(other.std((0, 1)) / deviation, match.SPREAD_LEAST, match.SPREAD_MOST)
    way = match.MATCH * (other.mean((0, 1)) - mean)
    shift = np.clip(way, -match.SHIFT_MOST, match.SHIFT_MOST)
    light = own[..., :1] / 100
    right = own + 4 * light * (1 - light) * ((gain - 1) * (own - mean) + shift)
    made = matched(colours, opacity, room)
    inside = (made > 1).all(-1) & (made < 254).all(-1)  # others have left sRGB
    assert inside.mean() > 0.9
    assert np.abs(lab64(made) - right)[inside].max() < 0.5


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 255), st.integers(0, 255), st.integers(0, 255))
def test_a_match_stays_within_its_bounds(blue: int, green: int, red: int) -> None:
    grey = np.full((8, 8, 3), 110, np.float32)
    room = np.full((8, 8, 3), (blue, green, red), np.float32)
    moved = lab64(matched(grey, np.ones((8, 8), np.float32), room)) - lab64(grey)
    assert (np.abs(moved) <= match.SHIFT_MOST + 0.5).all()


def test_black_stays_black_and_white_white() -> None:
    colours = np.array([[[0, 0, 0], [255, 255, 255]]], np.float32)
    room = np.full((4, 4, 3), (200, 120, 30), np.float32)
    assert np.abs(matched(colours, np.ones((1, 2), np.float32), room) - colours).max() < 2.5


tones = st.builds(
    lambda light, a, b, wide: Tone(np.array([light, a, b]), np.array([wide, wide / 3, wide / 3])),
    st.floats(20, 80),
    st.floats(-15, 25),
    st.floats(-15, 25),
    st.floats(0, 30),
)


def test_no_strength_changes_nothing() -> None:
    person, scene = (Tone(np.array([50.0, 12, 14]), np.array([s, 5.0, 5])) for s in (18.0, 9.0))
    colours = np.random.default_rng(0).uniform(0, 255, (200, 3)).astype(np.float32)
    assert np.abs(graded(colours, match_grade(person, scene, 0.0)) - colours).max() < 0.01


@given(tones, tones, st.floats(0, 1))
@settings(max_examples=40, deadline=None)
def test_the_table_is_the_formula_at_the_person_s_mean(
    person: Tone, scene: Tone, strength: float
) -> None:
    """A live picture's table agrees with the stills' formula for the colours in the middle."""
    made = match_grade(person, scene, strength)
    grey = np.repeat(np.arange(30, 226, 5, dtype=np.float32)[:, None], 3, 1)
    bent = Tone(person.mean * [1, 0, 0], person.deviation)  # its mean tint is none
    flat = match_grade(bent, scene, strength)
    right = match.bgr(match.towards(lab(grey[None]), bent, scene, strength))[0]
    inside = ((right > 1) & (right < 254)).all(-1)
    assert np.abs(graded(grey, flat) - right)[inside].max(initial=0) < 1.0
    assert np.isfinite(made).all()


@given(tones, tones, st.floats(0, 1))
@settings(max_examples=40, deadline=None)
def test_a_table_stays_within_the_bounds(person: Tone, scene: Tone, strength: float) -> None:
    """Of the shift and the spread; and what is brighter stays brighter."""
    made = match_grade(person, scene, strength)
    grey = np.repeat(np.arange(256, dtype=np.float32)[:, None], 3, 1)
    out = graded(grey, made)
    moved = lab(out[None]) - lab(grey[None])
    # The table is exact for the person's tint alone: greys may be 2 off.
    most = match.SHIFT_MOST + 0.15 * np.abs(lab(grey[None]) - person.mean) + 2
    assert (np.abs(moved) <= strength * most + 0.5).all()
    assert (np.diff(out @ [0.114, 0.587, 0.299]) >= -0.3).all()


def test_the_person_s_mean_moves_towards_the_scene_s() -> None:
    rng = np.random.default_rng(4)
    person = rng.normal((90, 110, 170), 25, (60, 60, 3)).clip(0, 255).astype(np.float32)
    scene = rng.normal((150, 90, 60), 40, (60, 60, 3)).clip(0, 255).astype(np.float32)
    own, other = tone(lab(person)), tone(lab(scene))
    before = np.abs(own.mean - other.mean)
    steps = []
    for strength in (0.3, 0.6, 1.0):
        made = tone(lab(graded(person, match_grade(own, other, strength))))
        steps.append(np.abs(made.mean - other.mean)[[0, 2]].sum())
    assert before[[0, 2]].sum() > steps[0] > steps[1] > steps[2]


def test_stills_and_live_pictures_agree() -> None:
    """The person's mean comes out alike, by the formula at each pixel and by the table."""
    rng = np.random.default_rng(5)
    person = rng.normal((80, 105, 160), 20, (50, 50, 3)).clip(0, 255).astype(np.float32)
    scene = rng.normal((170, 150, 120), 30, (50, 50, 3)).clip(0, 255).astype(np.float32)
    still = matched(person, np.ones((50, 50), np.float32), scene)
    live = graded(person, match_grade(tone(lab(person)), tone(lab(scene)), 1.0))
    assert np.abs(lab(still).mean((0, 1)) - lab(live).mean((0, 1))).max() < 1.5
