"""Who is meant: drawn people who come, pass behind each other, hold things and leave."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest

from bshm_live.matting.subjects import GONE_S, NEARER_S, Subjects
from bshm_live.types import HostMatte, Matte

SIZE, FPS = (512, 288), 30.0
LOW = (72, 128)


ROWS = np.arange(LOW[0])[:, None] * 4
NOISE = np.random.default_rng(0).integers(-12, 12, (*LOW, 3)) + np.array([0, 10, 30])
Body = tuple[np.ndarray, np.ndarray]


def body(x: float, height: float, skin: int, clothes: int) -> Body:
    """The alpha (288, 512) of somebody who is so high, and his colours on the small grid."""
    wide, tall = SIZE
    alpha = np.zeros((tall, wide), np.uint8)
    top, head = tall - height, 0.16 * height + 12
    ellipse((x, top + head), (0.75 * head, head), alpha)
    ellipse((x, tall), (1.9 * head, height - 2.1 * head), alpha)
    neck = round(x - 0.4 * head), round(top + head)
    cv2.rectangle(alpha, neck, (round(x + 0.4 * head), tall), 255, -1)
    levels = np.where(top + 1.9 * head > ROWS, skin, clothes)[..., None]
    levels = levels + np.roll(NOISE, round(x / 4), 1)  # of clothes, which move with him
    return alpha.astype(np.float32) / 255, np.clip(levels, 0, 255).astype(np.uint8)


def ellipse(at: tuple[float, float], axes: tuple[float, float], alpha: np.ndarray) -> None:
    """To a sixteenth of a pixel."""
    (x, y), (a, b) = ((round(16 * one), round(16 * other)) for one, other in (at, axes))
    cv2.ellipse(alpha, (x, y), (a, b), 0, 0, 360, 255, -1, cv2.LINE_AA, 4)


def scene(*people: Body) -> Matte:
    """The matte of people, the last one in front; its picture is as small as the grid."""
    picture, alpha = np.full((*LOW, 3), 90, np.uint8), np.zeros(SIZE[::-1], np.float32)
    for own, colours in people:
        cv2.copyTo(colours, (own[::4, ::4] > 0.5).astype(np.uint8), picture)
        alpha = np.maximum(alpha, own)
    low = alpha[::4, ::4]
    return HostMatte(alpha, np.zeros((*LOW, 3), np.float32), low, low, picture)


NEAR_X = 230.0
TOLERATED = 0.008  # of the picture: the soft line between two people


def near(step: int = 0) -> Body:
    """Somebody who sits in front, and sways."""
    return body(NEAR_X + 6 * np.sin(step / 15), 220, 150, 60)


def far(x: float) -> Body:
    return body(x, 170, 165, 200)


class Run:
    def __init__(self, count: int = 1) -> None:
        self.subjects, self.count, self.index = Subjects(), count, 0

    def __call__(self, *people: Body) -> tuple[Matte, Matte]:
        """What is kept, and what there was."""
        given = scene(*people)
        kept = self.subjects(given, self.count, self.index / FPS)
        self.index += 1
        return kept, given


def too_much(kept: Matte, own: np.ndarray) -> float:
    """How much is left of others, of the picture."""
    return float(np.maximum(kept.alpha - own, 0).mean())


def lost(kept: Matte, own: np.ndarray) -> float:
    return float(np.maximum(own - kept.alpha, 0).mean())


@pytest.mark.parametrize("seconds", [1.5, 2.5, 4.0])
@pytest.mark.parametrize("way", [1, -1])
def test_who_walks_past_behind_is_removed(seconds: float, way: int) -> None:
    """In all frames but three at most, and the near one is whole in all of them."""
    run, wrong, hurt = Run(), 0, 0
    for step in range(10):
        run(near(step))
    frames = round(seconds * FPS)
    for i in range(frames):
        step = 10 + i
        x = -60 + (SIZE[0] + 120) * (i / frames if way > 0 else 1 - i / frames)
        own = near(step)
        kept, _ = run(far(x), own)
        wrong += too_much(kept, own[0]) > TOLERATED
        hurt += lost(kept, own[0]) > TOLERATED
    assert wrong <= 3
    assert hurt <= 3


@pytest.mark.parametrize("way", [1, -1])
def test_who_comes_out_slowly_and_looks_like_the_near_one_is_removed(way: int) -> None:
    """The near one's outline of before tells who it is, where neither colours nor one frame do."""
    run, wrong, hurt = Run(), 0, 0
    for x in np.linspace(-60, SIZE[0] + 60, 10 + round(3.5 * FPS))[::way]:
        own = near(run.index)
        kept, _ = run(body(x, 200, 150, 60), own)
        wrong += too_much(kept, own[0]) > TOLERATED
        hurt += lost(kept, own[0]) > TOLERATED
    assert wrong <= 6  # drawn twins, in the same plain colours
    assert hurt <= 3


def test_who_was_seen_first_at_the_near_one_s_side_is_removed_once_he_is_apart() -> None:
    run = Run()
    for step in range(40):
        own = near(step)
        kept, _ = run(far(NEAR_X + 40 + 5 * step), own)
    assert too_much(kept, own[0]) == 0
    assert lost(kept, own[0]) < TOLERATED


def test_one_person_s_matte_is_left_alone() -> None:
    run = Run()
    for step in range(20):
        kept, given = run(near(step))
        assert kept is given


def test_away_from_the_other_the_near_one_s_matte_is_the_same() -> None:
    run = Run()
    for step in range(20):
        kept, given = run(far(440), near(step))
        left = np.s_[:, : round(NEAR_X)]
        assert np.array_equal(kept.alpha[left], given.alpha[left])
        assert not kept.alpha[:, 400:].any()
        for name in ("residual", "unified", "coarse", "guide"):
            assert getattr(kept, name) is getattr(given, name)


def test_hands_and_what_they_hold_stay() -> None:
    def hand(x: float, y: float) -> Body:
        alpha = np.zeros(SIZE[::-1], np.uint8)
        cv2.circle(alpha, (round(x), round(y)), 17, 255, -1, cv2.LINE_AA)
        return alpha.astype(np.float32) / 255, np.full((*LOW, 3), 170, np.uint8)

    run = Run()
    for step in range(40):
        raised = hand(NEAR_X + 60 + step, 130 - 1.5 * step)
        own = near(step)
        kept, _ = run(far(470), own, raised)
        both = np.maximum(own[0], raised[0])
        assert lost(kept, both) < 0.001
        assert not kept.alpha[:, 430:].any()


def test_the_choice_does_not_jump() -> None:
    """Two of the same size: whoever is a little larger for a moment is not taken."""
    run = Run()
    for step in range(60):
        one, other = (body(x, 200 + 8 * np.sin(step + x), 150, 60) for x in (150, 370))
        kept, _ = run(one, other)
        sides = [float(kept.alpha[:, part].sum()) for part in (np.s_[:256], np.s_[256:])]
        if step == 0:
            first = int(np.argmax(sides))
        assert sides[first] > 100
        assert sides[1 - first] < 1


def test_who_comes_nearer_is_taken_after_a_while_and_who_is_left_when_one_goes() -> None:
    run = Run()
    for _ in range(20):
        run(body(130, 130, 150, 60))
    seen = []
    for _ in range(round((NEARER_S + 1.5) * FPS)):
        kept, _ = run(body(130, 130, 150, 60), body(340, 240, 165, 200))
        seen.append(float(kept.alpha[:, 256:].sum()) > 100)
    assert not any(seen[: round(0.8 * NEARER_S * FPS)])
    assert seen[-1]
    assert sum(a != b for a, b in pairwise(seen)) == 1
    for _ in range(round((GONE_S + 0.5) * FPS)):
        kept, given = run(body(130, 130, 150, 60))
    assert kept is given


def test_two_of_three_are_kept() -> None:
    run = Run(2)
    people = [
        body(90, 120, 150, 60),
        body(250, 220, 150, 90),
        body(430, 200, 150, 200),
    ]
    for _ in range(20):
        kept, _ = run(*people)
    assert not kept.alpha[:, :140].any()
    assert kept.alpha[:, 200:].mean() > 0.3
