"""A frame is computed again where it shows something else, and never reused in doubt."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import fake_networks, portrait

from bshm_live.matting.bshm import Bshm
from bshm_live.matting.unmoved import MOVED

LOW = (32, 64)


@pytest.fixture
def counted() -> tuple[Bshm, dict[str, int]]:
    """Networks that reuse, and how often each of them ran."""
    runs = dict.fromkeys(("mpn", "qun", "mrn"), 0)
    networks = dict(zip(runs, fake_networks(LOW), strict=True))
    for name, network in networks.items():

        def counting(feeds: object, name: str = name, run: object = network.run) -> object:
            runs[name] += 1
            return run(feeds)  # type: ignore[operator]

        network.run = counting  # type: ignore[method-assign]
    return Bshm(**networks, reuse=True), runs


def noisy(picture: np.ndarray, seed: int, levels: float = 3) -> np.ndarray:
    """As a webcam sees it."""
    noise = np.random.default_rng(seed).normal(0, levels, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def test_masks_serve_every_second_frame_of_a_still_room(
    counted: tuple[Bshm, dict[str, int]],
) -> None:
    bshm, runs = counted
    picture, hint = portrait().picture, np.full(LOW, 0.3, np.float32)
    for seed in range(6):
        told: list[str] = []
        bshm.matte(noisy(picture, seed), hint, told.append)
        assert told == ["preprocess", "mpn", "qun", "mrn"]
    assert runs == {"mpn": 3, "qun": 3, "mrn": 6}


def test_the_very_same_picture_has_the_very_same_matte(
    counted: tuple[Bshm, dict[str, int]],
) -> None:
    bshm, runs = counted
    picture, hint = portrait().picture, np.full(LOW, 0.3, np.float32)
    first = bshm.matte(picture, hint)
    assert all(bshm.matte(picture, hint) is first for _ in range(4))
    assert runs == {"mpn": 1, "qun": 1, "mrn": 1}
    bshm.matte(picture, hint + np.float32(0.05))  # another question
    assert runs["mrn"] == 2


def test_what_moved_is_computed(counted: tuple[Bshm, dict[str, int]]) -> None:
    bshm, runs = counted
    picture, hint = portrait().picture, np.full(LOW, 0.3, np.float32)
    bshm.matte(picture, hint)
    height, width = picture.shape[:2]
    moved = picture.copy()  # one block of the small picture
    block = moved[: height * 8 // LOW[0], : width * 8 // LOW[1]]
    block[...] = np.where(block < 128, block + round(255 * 2 * MOVED), block - 8)
    bshm.matte(moved, hint)
    assert runs["mpn"] == 2
    other = hint.copy()  # the picture is the same, the last matte is not
    other[8:16, 8:16] = 0.6
    bshm.matte(moved, other)
    assert runs["mpn"] == 3


def test_without_a_hint_the_networks_are_asked(counted: tuple[Bshm, dict[str, int]]) -> None:
    """A false alarm must be found anew each time, or the guard would believe an echo."""
    bshm, runs = counted
    for _ in range(4):
        bshm.matte(portrait().picture)
    assert runs == {"mpn": 4, "qun": 4, "mrn": 4}


def test_mattes_stay_right_when_masks_are_reused(counted: tuple[Bshm, dict[str, int]]) -> None:
    bshm, _ = counted
    picture, hint = portrait().picture, np.full(LOW, 0.3, np.float32)
    twin = Bshm(*fake_networks(LOW))
    for seed in range(4):
        frame = noisy(picture, seed, 1)
        one, right = bshm.matte(frame, hint), twin.matte(frame, hint)
        assert np.array_equal(one.guide, right.guide)
        assert np.abs(one.alpha - right.alpha).max() < 0.05


def test_stills_reuse_nothing() -> None:
    bshm = Bshm(*fake_networks(LOW))
    picture, hint = portrait().picture, np.full(LOW, 0.3, np.float32)
    assert bshm.matte(picture, hint) is not bshm.matte(picture, hint)
