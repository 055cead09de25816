"""Product pictures against their formulas in float64."""

import cv2
import numpy as np
import pytest
from conftest import portrait
from hypothesis import given, settings
from hypothesis import strategies as st

from bshm_live.errors import SettingsError
from bshm_live.stills import product
from bshm_live.stills.product import contact_shadow, in_scene, on_canvas, subject

WHITE = (255, 255, 255)


def person(width: int = 60, height: int = 120) -> tuple[np.ndarray, np.ndarray]:
    """A body on two legs, BGR and alpha, in the middle of a picture with room around it."""
    alpha = np.zeros((height + 20, width + 30), np.uint8)
    alpha[10 : height // 2, 15 : width + 15] = 255
    alpha[height // 2 : height + 10, 15 : 15 + width // 3] = 255
    alpha[height // 2 : height + 10, 15 + width - width // 3 : 15 + width] = 255
    front = np.full((*alpha.shape, 3), (60, 90, 160), np.uint8)
    front[alpha == 0] = 0
    return front, alpha


def scene(width: int = 400, height: int = 300) -> np.ndarray:
    return portrait(width, height).background


# --- who it is about --------------------------------------------------------------------------


def test_the_largest_person_alone() -> None:
    alpha = np.zeros((300, 400), np.uint8)
    alpha[50:250, 100:200] = 255
    alpha[40:50, 120:180] = 60  # hair
    alpha[100:200, 300:350] = 255  # somebody else
    alone, box = subject(alpha)
    assert box == (100, 40, 100, 210)
    assert not alone[:, 250:].any()
    assert np.array_equal(alone[:, :210], alpha[:, :210])


def test_the_box_stands_on_the_feet_not_on_a_faint_floor() -> None:
    alpha = np.zeros((300, 400), np.uint8)
    alpha[50:250, 100:200] = 255
    alpha[250:280, 100:200] = 120
    assert subject(alpha)[1] == (100, 50, 100, 200)


def test_nobody_is_none() -> None:
    assert subject(np.zeros((30, 40), np.uint8)) is None
    assert subject(np.full((30, 40), 20, np.uint8)) is None


def test_a_large_picture_keeps_its_own_matte() -> None:
    alpha = np.zeros((2400, 1800), np.uint8)
    alpha[300:2100, 500:1300] = 255
    alone, box = subject(alpha)
    assert box == (500, 300, 800, 1800)
    assert np.array_equal(alone, alpha)


# --- canvas -----------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(
    st.tuples(st.integers(100, 300), st.integers(100, 300)),
    st.tuples(st.integers(20, 150), st.integers(20, 150)),
    st.floats(0, 0.4),
)
def test_the_box_is_centred_and_its_margin_kept(
    canvas: tuple[int, int], size: tuple[int, int], margin: float
) -> None:
    alpha = np.zeros((170, 190), np.uint8)
    alpha[7 : 7 + size[1], 11 : 11 + size[0]] = 255
    front = np.zeros((*alpha.shape, 3), np.uint8)
    made = on_canvas(front, alpha, (11, 7, *size), canvas, WHITE, margin)
    assert made.shape == (canvas[1], canvas[0], 3)
    x, y, width, height = cv2.boundingRect((made[..., 0] < 128).view(np.uint8))
    free = [(1 - 2 * margin) * side for side in canvas]
    scale = min(free[0] / size[0], free[1] / size[1])
    assert abs(width - scale * size[0]) <= 1.5
    assert abs(height - scale * size[1]) <= 1.5
    assert abs(2 * x + width - canvas[0]) <= 2
    assert abs(2 * y + height - canvas[1]) <= 2


def test_edges_carry_nothing_of_what_is_transparent() -> None:
    front, alpha = person()
    front[alpha == 0] = (0, 255, 0)
    box = subject(alpha)[1]
    made = on_canvas(front, alpha, box, (237, 311), WHITE, 0.05).astype(int)
    assert (made[..., 1] <= np.maximum(made[..., 0], made[..., 2]) + 1).all()


# --- scene ------------------------------------------------------------------------------------


def test_the_shadow_lies_under_each_foot_and_nowhere_else() -> None:
    alpha = np.pad(person()[1], 60) / np.float32(255)
    gone = contact_shadow(alpha, 120)
    assert gone.min() >= 0
    assert gone.max() < 1
    floor = np.flatnonzero((alpha > 0.5).any(1)).max()
    left, right, between = gone[floor, 60 + 25], gone[floor, 60 + 65], gone[floor, 60 + 45]
    assert min(left, right) > 0.6
    assert between < left - 0.2
    assert abs(left - right) < 0.02
    assert gone[floor - 60].max() < 0.01
    assert gone[floor + 30].max() < 0.01


def test_a_shadow_takes_light_away_not_levels() -> None:
    gone = np.linspace(0, 0.9, 10, dtype=np.float32)[None]
    left = product.seen_light(gone)[..., 0].astype(np.float64) ** product.GAMMA
    assert np.abs(left - (1 - gone)).max() < 1e-6


def test_nobody_on_a_floor_has_no_shadow() -> None:
    assert not contact_shadow(np.zeros((30, 30), np.float32), 20).any()


def test_the_person_stands_where_it_was_asked_for() -> None:
    front, alpha = person()
    box, behind = subject(alpha)[1], scene()
    made = in_scene(front, alpha, box, behind, (200, 250, 150))
    assert made.shape == behind.shape
    changed = np.abs(made.astype(int) - behind).max(-1) > 8
    x, y, width, height = cv2.boundingRect(changed.astype(np.uint8))
    assert abs(y + height - 250) <= 1
    assert abs(height - 150) <= 2
    assert abs(x + width / 2 - 200) <= 2
    assert np.array_equal(made[:30], behind[:30])
    solid = made[250 - 100, 200].astype(float)  # deep inside, no light of the rim
    assert np.abs(solid - (60, 90, 160)).max() < 12


@pytest.mark.parametrize("place", [(0, 100, 150), (399, 380, 150), (200, 20, 150), (200, 300, 900)])
def test_what_reaches_out_of_the_scene_is_cut_off(place: tuple[int, int, int]) -> None:
    front, alpha = person()
    box, behind = subject(alpha)[1], scene()
    made = in_scene(front, alpha, box, behind, place, shadow=True, match=True)
    assert made.shape == behind.shape
    assert not np.array_equal(made, behind)


@pytest.mark.parametrize("place", [(900, 100, 50), (200, -1, 50), (200, 400, 50), (9, 9, 30000)])
def test_a_place_out_of_the_scene_is_refused(place: tuple[int, int, int]) -> None:
    front, alpha = person()
    with pytest.raises(SettingsError, match="--place"):
        in_scene(front, alpha, subject(alpha)[1], scene(), place)


def test_the_scene_s_light_falls_on_the_rim() -> None:
    front, alpha = person()
    behind = np.full((300, 400, 3), (250, 40, 40), np.uint8)  # a blue room
    made = in_scene(front, alpha, subject(alpha)[1], behind, (200, 250, 200)).astype(int)
    inside, rim = made[90, 200], made[90, 200 - 49]
    assert np.abs(inside - (60, 90, 160)).max() <= 2
    assert rim[0] > inside[0] + 10
