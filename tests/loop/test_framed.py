"""Framing in the loop: the crop follows a person who is drawn, and else nothing moves."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import pytest
from conftest import fake_networks

from bshm_live.compositing.background import Fixed, plain
from bshm_live.loop.parts import Always, cpu_parts
from bshm_live.loop.pipeline import Pipeline
from bshm_live.loop.stage import Stage
from bshm_live.matting.bshm import Bshm
from bshm_live.types import Frame, Place, Shot

CAMERA, SIZE, FPS = (768, 432), (256, 144), 15.0
ROOM, SKIN, BACKDROP = (60, 40, 30), (190, 200, 235), (10, 200, 30)
LENGTH = 70  # pixels: the head that is drawn


def person(x: float, crown: float = 120.0) -> np.ndarray:
    """A bright person in a dark room, as the camera sees it; x to a sixteenth of a pixel."""
    picture = plain(ROOM, CAMERA)
    at = (round(16 * x), round(16 * (crown + LENGTH / 2)))
    cv2.ellipse(picture, at, (16 * 26, 16 * LENGTH // 2), 0, 0, 360, SKIN, -1, cv2.LINE_AA, 4)
    below = (at[0], round(16 * (crown + 200)))
    cv2.ellipse(picture, below, (16 * 85, 16 * 120), 0, 0, 360, SKIN, -1, cv2.LINE_AA, 4)
    cv2.rectangle(picture, (round(x) - 85, round(crown) + 200), (round(x) + 85, 432), SKIN, -1)
    return picture


class Loop:
    """The loop with the toy networks, which find whatever is bright."""

    def __init__(self, **look: object) -> None:
        self.stage = Stage(Fixed(plain(BACKDROP, SIZE)), **{"framing": "half", **look})  # type: ignore[arg-type]
        parts = cpu_parts(Bshm(*fake_networks()), SIZE)
        self.pipeline = Pipeline(Always(parts), lambda: self.stage, SIZE)
        self.index = 0

    def __call__(self, picture: np.ndarray) -> Shot:
        shot = self.pipeline.shoot(Frame(picture, self.index, self.index / FPS))
        self.index += 1
        return replace(shot, composite=shot.composite.copy(), alpha=shot.alpha.copy())

    def run(self, pictures: Iterable[np.ndarray]) -> list[Shot]:
        return [self(picture) for picture in pictures]


def head_in(shot: Shot) -> tuple[float, float]:
    """The middle and the crown of what the composite shows, in shares of it."""
    rows = np.flatnonzero((shot.alpha > 127).any(1))
    top = shot.alpha[rows[0] : rows[0] + 8]
    return float(np.nonzero(top > 127)[1].mean()) / SIZE[0], rows[0] / SIZE[1]


@pytest.mark.usefixtures("sure")
def test_who_walks_through_the_picture_stays_in_place() -> None:
    loop = Loop()
    loop.run([person(220)] * 60)
    place, crown = head_in(loop(person(220)))
    assert place == pytest.approx(0.5, abs=0.1)
    for step in range(75):  # half of the picture in five seconds
        x, top = head_in(loop(person(220 + 4.5 * step)))
        assert x == pytest.approx(place, abs=0.15)
        assert top == pytest.approx(crown, abs=0.15)
    shots = loop.run([person(220 + 4.5 * 75)] * 60)
    assert head_in(shots[-1])[0] == pytest.approx(0.5, abs=0.1)
    assert all(shot.has_person for shot in shots)


@pytest.mark.usefixtures("sure")
@pytest.mark.parametrize("mirror", [False, True])
def test_on_a_still_picture_nothing_moves(mirror: bool) -> None:
    loop, picture = Loop(mirror=mirror), person(560)
    loop.run([picture] * 150)
    first, window = loop(picture), loop.pipeline._window
    assert window is not None
    assert window.height < 0.8 * CAMERA[1]  # it is a part of it
    assert head_in(first)[0] == pytest.approx(0.5, abs=0.1)
    for shot in loop.run([picture] * 10):
        assert loop.pipeline._window == window
        assert np.array_equal(shot.composite, first.composite)


@pytest.mark.usefixtures("sure")
def test_at_rest_noise_moves_nothing() -> None:
    loop, rng, picture = Loop(), np.random.default_rng(0), person(300)
    noisy = [
        np.clip(picture + rng.normal(0, 5, picture.shape), 0, 255).astype(np.uint8)
        for _ in range(8)
    ]
    loop.run(noisy[i % 8] for i in range(90))
    windows = []
    for i in range(30):
        loop(noisy[i % 8])
        windows.append(loop.pipeline._window)
    assert len(set(windows)) == 1


@pytest.mark.usefixtures("sure")
def test_framing_may_begin_and_end_while_it_runs() -> None:
    loop, picture = Loop(framing=None), person(560)
    before = loop.run([picture] * 6)[-1]
    loop.stage = replace(loop.stage, framing="head")
    near = loop.run([picture] * 75)
    assert (near[-1].alpha > 127).mean() > 1.2 * (before.alpha > 127).mean()
    loop.stage = replace(loop.stage, framing=None)
    back = loop.run([picture] * 75)
    assert all(shot.has_person for shot in near + back)
    assert np.abs(back[-1].composite.astype(int) - before.composite).mean() < 0.5
    for last, shot in pairwise(back):  # softly
        assert np.abs(last.alpha.astype(int) - shot.alpha).mean() < 0.05 * 255


@pytest.mark.usefixtures("sure")
def test_with_framing_the_picture_fills_the_output() -> None:
    """Also that of a camera on its side, which `contain` would show whole."""
    loop = Loop(whole=True, rotate=90)
    upright = np.ascontiguousarray(np.rot90(person(300)))
    shot = loop.run([upright] * 60)[-1]
    assert head_in(shot)[0] == pytest.approx(0.5, abs=0.1)


@pytest.mark.usefixtures("sure")
@pytest.mark.parametrize("mirror", [False, True])
def test_a_presenter_stands_at_his_place(mirror: bool) -> None:
    """Wherever the person is in the camera's picture, and whichever way round that is."""
    loop = Loop(mirror=mirror, place=Place(80, 100, 50))
    shot = loop.run([person(300)] * 60)[-1]
    rows, columns = np.nonzero(shot.alpha > 127)
    assert columns.mean() / SIZE[0] == pytest.approx(0.8, abs=0.05)
    assert rows.min() >= SIZE[1] // 2
    assert rows.max() == SIZE[1] - 1
    assert (shot.composite[shot.alpha == 0] == BACKDROP).all()
    loop.stage = replace(loop.stage, place=None)
    before = (shot.alpha > 127).mean()
    back = loop.run([person(300)] * 60)
    assert (back[-1].alpha > 127).mean() > 3 * before
    assert all(one.has_person for one in back)


@pytest.mark.usefixtures("sure")
def test_only_the_nearest_is_shown_and_followed() -> None:
    """Somebody smaller at the other side: the matte and the window are as if he were not there."""
    both = person(560)
    cv2.ellipse(both, (150, 330), (22, 32), 0, 0, 360, SKIN, -1)
    cv2.rectangle(both, (105, 370), (195, 432), SKIN, -1)
    loop = Loop(subject=1)
    shots = loop.run([both] * 60)
    assert not shots[10].alpha[:, : SIZE[0] // 3].any()
    assert head_in(shots[-1])[0] == pytest.approx(0.5, abs=0.1)
