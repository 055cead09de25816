"""The networks that come with the program on scenes whose truth is known: people before rooms.

The rooms were kept out of training. Bounds are mean absolute differences of alpha.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from bshm_live.compositing.background import cover
from bshm_live.loop.guard import Guard
from bshm_live.matting.bshm import Bshm
from bshm_live.matting.temporal import Steadier
from bshm_live.runtimes.choice import get_runtime, load_bshm
from bshm_live.types import Alpha, Frame, Picture

WIDTH, HEIGHT = 640, 360
NOBODY = 0.005  # mean alpha of a room
SEATED = 0.04  # a person before a room
TOGETHER = 0.06
HAND_KEPT = {"fast": 0.4, "balanced": 0.65, "quality": 0.75}


@pytest.fixture(scope="module", params=["fast", "balanced", "quality"])
def bshm(request: pytest.FixtureRequest) -> Iterator[Bshm]:
    with load_bshm(request.param, get_runtime("onnxruntime"), threads=2) as networks:
        yield networks


@pytest.fixture(scope="module")
def rooms(shared: Path) -> list[Picture]:
    return [
        cover(read(path), (WIDTH, HEIGHT))
        for path in sorted((shared / "data" / "rooms_eval").glob("*.jpg"))
    ]


@pytest.fixture(scope="module")
def people(shared: Path) -> list[tuple[Picture, Alpha]]:
    """Official portraits, head and shoulders, and their mattes, 300 pixels tall."""
    found = []
    for path in sorted((shared / "data" / "people").glob("portrait_*.jpg"))[:40:8]:
        alpha = read(shared / "data" / "alpha" / f"{path.stem}.png")[..., 0]
        pair = read(path), alpha
        sides = [cv2.resize(x, (250, 300), interpolation=cv2.INTER_AREA) for x in pair]
        found.append((sides[0], (sides[1] / np.float32(255)).astype(np.float32)))
    return found


@pytest.fixture(scope="module")
def hand(shared: Path) -> tuple[Picture, Alpha]:
    """A raised hand beside the body it belongs to, without that body, 252 pixels tall."""
    name, part = "unsplash_0171", np.s_[262:430, 36:178]
    pair = (
        read(shared / "data" / "people" / f"{name}.jpg")[part],
        read(shared / "data" / "alpha" / f"{name}.png")[part][..., 0],
    )
    sides = [cv2.resize(x, (213, 252), interpolation=cv2.INTER_LINEAR) for x in pair]
    return sides[0], (sides[1] / np.float32(255)).astype(np.float32)


def read(path: Path) -> Picture:
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    assert picture is not None, path
    return picture


def before(
    room: Picture, alpha: Alpha, person: tuple[Picture, Alpha], left: int
) -> tuple[Picture, Alpha]:
    """The scene with one more person, whose left side is at that column; may be outside."""
    picture, matte = person
    height, width = matte.shape
    shown = slice(max(0, -left), min(width, WIDTH - left))
    if shown.stop <= shown.start:
        return room, alpha
    at = np.s_[HEIGHT - height :, left + shown.start : left + shown.stop]
    mixed, union, own = room.copy(), alpha.copy(), matte[:, shown, None]
    mixed[at] = np.rint(picture[:, shown] * own + room[at] * (1 - own)).astype(np.uint8)
    union[at] = own[..., 0] + (1 - own[..., 0]) * alpha[at]
    return mixed, union


def nobody() -> Alpha:
    return np.zeros((HEIGHT, WIDTH), np.float32)


def at_full_size(alpha: Alpha) -> Alpha:
    return cv2.resize(alpha, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)


def test_rooms_are_nobody(bshm: Bshm, rooms: list[Picture]) -> None:
    means = [float(bshm.matte(room).alpha.mean()) for room in rooms[::3]]
    assert len(means) == 20
    assert np.mean(means) < NOBODY


def test_somebody_comes_stays_goes_and_comes_back(
    bshm: Bshm, rooms: list[Picture], people: list[tuple[Picture, Alpha]]
) -> None:
    """As the loop calls it, each matte the next one's hint: nothing of the person stays behind."""
    middle, outside = (WIDTH - 250) // 2, WIDTH
    walk = list(range(outside, middle, -32))
    lefts = [outside] * 4 + walk + [middle] * 6 + walk[::-1] + [outside] * 6 + [middle] * 6
    steadier = Steadier()
    errors, kept = {}, {}
    for number, left in enumerate(lefts):
        picture, truth = before(rooms[3], nobody(), people[0], left)
        matte = steadier.steady(bshm.matte(picture, steadier.hint(picture)))
        alpha = at_full_size(matte.alpha)
        errors[number], kept[number] = float(np.abs(alpha - truth).mean()), float(alpha.mean())
    seated = 4 + len(walk) + 5
    gone = seated + len(walk) + 6
    assert errors[seated] < SEATED
    assert kept[3] < NOBODY
    assert kept[gone] < NOBODY
    assert errors[len(lefts) - 1] < SEATED


def test_two_people_are_both_kept(
    bshm: Bshm, rooms: list[Picture], people: list[tuple[Picture, Alpha]]
) -> None:
    for room, one, other in zip(rooms[8:11], people, people[1:], strict=False):
        picture, truth = before(room, nobody(), one, 40)
        picture, truth = before(picture, truth, other, 350)
        alpha = at_full_size(bshm.matte(picture).alpha)
        assert np.abs(alpha - truth).mean() < TOGETHER
        for half in (np.s_[:, : WIDTH // 2], np.s_[:, WIDTH // 2 :]):
            assert alpha[half][truth[half] > 0.99].mean() > 0.9


def test_a_person_who_has_only_an_edge_in_the_picture_is_kept(
    bshm: Bshm, rooms: list[Picture], people: list[tuple[Picture, Alpha]]
) -> None:
    """A shoulder that reaches in, beside somebody seated: neither is lost, no room is kept."""
    picture, truth = before(rooms[5], nobody(), people[2], 300)
    picture, truth = before(picture, truth, people[3], -120)
    alpha = at_full_size(bshm.matte(picture).alpha)
    assert np.abs(alpha - truth).mean() < TOGETHER


def test_a_hand_alone_is_mostly_kept(
    bshm: Bshm,
    rooms: list[Picture],
    hand: tuple[Picture, Alpha],
    request: pytest.FixtureRequest,
) -> None:
    """A hand and forearm that reach in from below, nobody else: of the rooms' mean."""
    kept, outside = [], []
    for room, left in zip(rooms[::6], range(30, 400, 40), strict=False):
        for picture, alpha in (hand, (hand[0][:, ::-1], hand[1][:, ::-1])):
            scene, truth = before(room, nobody(), (picture, alpha), left)
            found = at_full_size(bshm.matte(scene).alpha)
            kept.append(found[truth > 0.99].mean())
            outside.append(found[truth < 0.01].mean())
    assert len(kept) == 20
    assert np.mean(kept) > HAND_KEPT[request.node.callspec.params["bshm"]]
    assert np.mean(outside) < SEATED


FPS = 30
SHOWN_S = 0.3  # whoever comes is there by then
SEEN = 0.02  # of the picture: less of a person is nobody yet


def grown(person: tuple[Picture, Alpha], scale: float) -> tuple[Picture, Alpha]:
    picture, alpha = (
        cv2.resize(x, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR) for x in person
    )
    return picture, alpha


def lower(person: tuple[Picture, Alpha], rows: int) -> tuple[Picture, Alpha]:
    """As much as stands above the picture's lower edge, by so many rows further down."""
    picture, alpha = person
    return picture[: len(alpha) - rows], alpha[: len(alpha) - rows]


def coming(way: str, person: tuple[Picture, Alpha], share: float) -> tuple[tuple, int]:  # type: ignore[type-arg]
    """The person at a share of their way, and the column of the left side."""
    if way == "walks in":
        return person, round(WIDTH + ((WIDTH - 250) // 2 - WIDTH) * share)
    if way == "leans in":
        near = grown(person, 0.8 + 0.9 * share)
        return lower(near, max(0, len(near[1]) - HEIGHT)), (WIDTH - near[1].shape[1]) // 2
    near = grown(person, 1.15)
    rows = round(len(near[1]) * (1 - share))
    return lower(near, min(rows, len(near[1]) - 2)), (WIDTH - near[1].shape[1]) // 2


@pytest.mark.parametrize("way", ["walks in", "leans in", "stands up"])
def test_who_comes_is_shown_in_time(
    bshm: Bshm, rooms: list[Picture], people: list[tuple[Picture, Alpha]], way: str
) -> None:
    """Through the guard, in 0.6 s: no longer withheld than SHOWN_S, and then all there."""
    guard, steadier = Guard(now=lambda: 0.0), Steadier()
    shares = [0.0] * 6 + [i / 17 for i in range(18)] + [1.0] * 10
    seen, withheld, errors = 0, [], []
    for number, share in enumerate(shares):
        shown, left = coming(way, people[0], share)
        picture, truth = before(rooms[7], nobody(), shown, left)
        frame = Frame(picture, number, number / FPS)
        matte = guard(frame, lambda p=picture: steadier.steady(bshm.matte(p, steadier.hint(p))))  # type: ignore[misc]
        if matte is None:
            steadier.reset()
        seen += truth.mean() > SEEN
        if seen and matte is None:
            withheld.append(number)
        alpha = nobody() if matte is None else at_full_size(matte.alpha)
        errors.append(float(np.abs(alpha - truth).mean()))
    assert len(withheld) <= SHOWN_S * FPS
    assert not withheld or withheld[-1] - withheld[0] < SHOWN_S * FPS
    assert max(errors[-10:]) < SEATED
