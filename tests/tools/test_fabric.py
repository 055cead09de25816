from __future__ import annotations

import cv2
import numpy as np
from conftest import portrait

from tools.train.fabric import LEAST, MOST, draped, patterned, surface_of, worn
from tools.train.people import Person


def room() -> np.ndarray:
    """A wall, and a bed of another colour over a fifth of the picture, with a fold."""
    picture = np.full((160, 256, 3), (200, 190, 170), np.uint8)
    cv2.rectangle(picture, (60, 95), (200, 150), (90, 60, 60), -1)
    cv2.line(picture, (130, 95), (130, 150), (84, 55, 55), 3)
    return picture


def somebody() -> Person:
    one = portrait(256, 160, centre=(128, 110), radius=70)
    alpha = np.rint(one.alpha * 255).astype(np.uint8)
    return Person("small", one.picture, one.picture, alpha, 128.0, 40)


def test_one_surface_gets_another_cloth_and_the_rest_stays() -> None:
    changed = 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        surface = surface_of(room(), np.random.default_rng(seed))
        found = draped(room(), somebody(), rng)
        other = (np.abs(found.astype(int) - room()) > 2).any(2)
        if surface is None:
            assert not other.any()
            continue
        assert LEAST < surface.mean() / 255 < MOST
        assert not other[cv2.dilate(surface, np.ones((9, 9), np.uint8)) == 0].any()
        changed += bool(other.mean() > LEAST)
    assert changed > 5


def test_cloth_is_as_large_as_asked_for_and_clothes_are_the_person_s() -> None:
    person, rng = somebody(), np.random.default_rng(0)
    solid = person.image[person.alpha > 250].astype(int)
    for _ in range(20):
        assert patterned((50, 70), rng).shape == (50, 70, 3)
        cloth = worn(person, (50, 70), rng)
        if cloth is not None:
            assert cloth.shape == (50, 70, 3)
            assert solid.min() <= cloth.min() <= cloth.max() <= solid.max()
