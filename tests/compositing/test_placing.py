from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bshm_live.compositing.placing import Placer, check_place, straight
from bshm_live.control.person import parse_place
from bshm_live.errors import SettingsError
from bshm_live.types import Layers, Picture, Place

SIZE = (320, 180)


def layers(alpha: np.ndarray, colour: tuple[int, int, int]) -> Layers:
    """Of a plain person over black, alpha (H, W) in [0, 1]."""
    front = np.full((*alpha.shape, 3), colour, np.float64)
    composite = np.floor(alpha[..., None] * front).astype(np.uint8)
    return composite, np.rint(alpha * 255).astype(np.uint8), front.astype(np.uint8)


def blob() -> np.ndarray:
    x, y = np.meshgrid(np.arange(SIZE[0]) + 0.5, np.arange(SIZE[1]) + 0.5)
    return np.clip((60 - np.hypot(x - 150, y - 120)) / 14 + 0.5, 0, 1)


def backdrop() -> Picture:
    return np.random.default_rng(0).integers(0, 256, (SIZE[1], SIZE[0], 3), np.uint8)


def at_rest(place: Place) -> Placer:
    placer = Placer(SIZE)
    placer.jump(place)
    assert placer.step(place, 0.0)
    return placer


def right_alpha(place: Place) -> tuple[np.ndarray, np.ndarray]:
    """The blob's formula where the place takes it, float64; and where the layers' edges lie."""
    x0, y0, tall = place.pixels(SIZE)
    scale = SIZE[1] / tall
    x, y = np.meshgrid(np.arange(SIZE[0]) + 0.5, np.arange(SIZE[1]) + 0.5)
    u, v = (x - x0) * scale + SIZE[0] / 2, (y - y0) * scale + SIZE[1]
    inside = (u > 0) & (u < SIZE[0]) & (v > 0) & (v < SIZE[1])
    edges = [u, u - SIZE[0], v, v - SIZE[1]]
    edge = np.min(np.abs(edges), axis=0) < scale
    return np.clip((60 - np.hypot(u - 150, v - 120)) / 14 + 0.5, 0, 1) * inside, edge


@given(st.floats(0, 320), st.floats(60, 220), st.floats(40, 180))
@settings(max_examples=40, deadline=None)
def test_the_person_is_scaled_and_laid_over_the_backdrop(x: float, y: float, tall: float) -> None:
    place = Place(x, y, tall, (False, False, False))
    behind, colour = backdrop(), (200, 150, 90)
    composite, alpha, foreground = at_rest(place)(layers(blob(), colour), behind)
    right, edge = right_alpha(place)
    assert np.abs(alpha / 255 - right)[~edge].max() < 0.08
    assert np.abs(alpha / 255 - right).mean() < 0.004
    share = alpha[..., None] / 255
    assert np.abs(composite - (share * colour + (1 - share) * behind)).max() < 3
    assert np.array_equal(composite[alpha == 0], behind[alpha == 0])
    assert foreground is not None
    assert not foreground[alpha == 0].any()
    assert np.abs(foreground[alpha > 200].astype(int) - colour).max(initial=0) < 4


def test_it_goes_to_its_place_softly_and_back() -> None:
    placer, place = Placer(SIZE), Place(80, 100, 40)
    assert not placer.step(None, 0.0)
    middles, heights = [], []
    for frame in range(120):
        assert placer.step(place, 1 + frame / 30)
        _, alpha, _ = placer((*layers(blob(), (9, 9, 9))[:2], None), backdrop())
        rows, columns = np.nonzero(alpha > 127)
        middles.append(np.average(np.arange(SIZE[0]), weights=alpha.sum(0)))
        heights.append(np.ptp(rows) + 1)
        assert len(columns)
    steps = np.diff(middles)
    assert np.abs(steps).max() < 0.9 * SIZE[1] / 30 + 0.5  # SPEED, and the scale's part
    assert np.abs(np.diff(steps)).max() < 1.0  # pixels: no jump, not even by a pixel
    assert heights[-1] == pytest.approx(0.4 * 120, abs=3)  # of the blob
    for frame in range(300):
        still = placer.step(None, 6 + frame / 30)
    assert not still


def test_a_place_that_is_all_of_the_output_is_none() -> None:
    placer = Placer(SIZE)
    placer.jump(Place(50, 100, 100))
    assert not placer.step(Place(50, 100, 100), 0.0)


def test_straight_takes_the_share_out() -> None:
    share = np.array([[0, 1, 128, 255]], np.uint8)
    colour = np.array([[[0, 0, 0], [1, 0, 1], [64, 128, 0], [7, 8, 9]]], np.uint8)
    assert straight(colour, share).tolist() == [
        [[0, 0, 0], [255, 0, 255], [128, 255, 0], [7, 8, 9]]
    ]


@pytest.mark.parametrize("text", ["85%,100%,40%", "300,180,90", "50%,170,33.5%"])
def test_a_place_in_words_is_the_same_place(text: str) -> None:
    assert parse_place(text).text == text
    assert check_place(parse_place(text), SIZE).text == text


@pytest.mark.parametrize("text", ["", "1,2", "a,b,c", "1;2;3", "-5,10,50", "1,2,3,4", "1e9,2,3"])
def test_a_place_that_is_none_is_one_line(text: str) -> None:
    with pytest.raises(SettingsError, match="--place") as error:
        parse_place(text)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["400,180,90", "50%,100%,5%", "50%,100%,101%", "50%,0,40%"])
def test_a_place_out_of_the_output_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="--place"):
        check_place(parse_place(text), SIZE)
