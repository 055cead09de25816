"""Photos of a drawn person whose points are known: measured in the photo that is made."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bshm_live.errors import SettingsError, SourceError
from bshm_live.matting.head import Head
from bshm_live.stills.id_photo import Photo, id_photo
from bshm_live.stills.sizes import PhotoSize, find, known

# BGR. Nothing of the room may be left in a photo.
ROOM, SKIN, CLOTHES, EYE, CHIN, BEHIND = (
    (0, 255, 0),
    (150, 170, 230),
    (90, 60, 50),
    (255, 0, 0),
    (0, 0, 140),
    (255, 255, 255),
)
# Of a head that is 1 high, from the eyes' middle: x to the right, y down.
POINTS = {
    "eyes": [(-0.14, 0.0), (0.14, 0.0)],
    "nose": [(0.0, 0.17)],
    "mouth": [(-0.1, 0.3), (0.1, 0.3)],
    "chin": [(0.0, 0.5)],
    "crown": [(0.0, -0.5)],
}
OVERSIZE = 4  # times: the picture is drawn so much larger


@dataclass(frozen=True)
class Drawn:
    """A picture of a drawn person, and where its head is."""

    picture: np.ndarray
    head: Head


def person(
    size: tuple[int, int] = (900, 1100),
    length: float = 380,
    middle: tuple[float, float] = (0.5, 0.4),
    tilt: float = 0.0,
    body: bool = True,
    lower: float = 0.0,
) -> Drawn:
    """`length` from crown to chin; `middle` of the eyes in shares of the picture.

    The right eye is drawn `lower` than it is known to be.
    """
    width, height = size
    turn = np.radians(tilt)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    centre = np.array(middle) * size

    def at(x: float, y: float) -> np.ndarray:
        return centre + length * rotation @ (x, y)

    picture = np.full((height, width, 3), ROOM, np.uint8)

    def ellipse(x: float, y: float, a: float, b: float, colour: tuple[int, int, int]) -> None:
        outline = cv2.ellipse2Poly((0, 0), (1000, 1000), 0, 0, 360, 2) / 1000 * (a, b) * length
        polygon = np.rint((outline @ rotation.T + at(x, y) - 0.5) * 16).astype(np.int32)
        cv2.fillPoly(picture, [polygon], colour, cv2.LINE_AA, 4)

    if body:
        ellipse(0, 2.4, 1.0, 1.85, CLOTHES)
    ellipse(0, 0.0, 0.38, 0.5, SKIN)
    texture = np.random.default_rng(0).normal(0, 14, picture.shape[:2])
    skin = (picture == SKIN).all(2)
    picture[skin] = np.clip(np.array(SKIN) + texture[skin][:, None], 0, 255)
    for (x, y), down in zip(POINTS["eyes"], (0.0, lower), strict=True):
        ellipse(x, y + down, 0.035, 0.035, EYE)
    ellipse(0, 0.48, 0.03, 0.02, CHIN)
    points = np.array([at(*point) for part in POINTS.values() for point in part], np.float32)
    return Drawn(picture, Head(points, 1.0))


def cut(picture: np.ndarray) -> dict[str, np.ndarray]:
    """The drawn person, cut out by the room's colour: only the room is pure green."""
    blue, green, red = (picture[..., i].astype(np.float32) for i in range(3))
    room = np.clip((green - np.maximum(blue, red)) / 255, 0, 1)
    alpha = 1 - room
    front = (picture - room[..., None] * np.array(ROOM)) / np.maximum(alpha, 1e-3)[..., None]
    return {
        "alpha": np.rint(alpha * 255).astype(np.uint8),
        "foreground": np.clip(front, 0, 255).astype(np.uint8),
    }


def made(drawn: Drawn, size: PhotoSize, *others: Head, **options: object) -> Photo:
    wide, tall = size.pixels
    behind = np.full((tall, wide, 3), BEHIND, np.uint8)
    heads = sorted([drawn.head, *others], key=lambda head: -head.length)
    return id_photo(drawn.picture, heads, cut, size, behind, **options)


def spots(photo: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """The middles (n, 2) of what has a colour, from the left; in pixels from the corner."""
    near = (np.abs(photo.astype(int) - colour).max(2) < 90).astype(np.uint8)
    _, _, parts, middles = cv2.connectedComponentsWithStats(near)
    found = [m + 0.5 for part, m in list(zip(parts, middles, strict=True))[1:] if part[4] > 20]
    return np.array(sorted(found, key=lambda m: m[0]))


def top_row(photo: np.ndarray) -> float:
    """Where the person begins, from above."""
    return float(np.flatnonzero((photo.min(2) < 200).any(1))[0])


@pytest.mark.parametrize("size", known(), ids=lambda size: size.name)
def test_every_document_has_its_head_and_eyes_where_they_belong(size: PhotoSize) -> None:
    large = size.pixels[1] > 700
    photo = made(person((1300, 1600), 560) if large else person(), size)
    wide, tall = size.pixels
    assert photo.picture.shape == (tall, wide, 3)
    assert photo.faults == ()
    crown, (chin,) = top_row(photo.picture), spots(photo.picture, CHIN)
    head = (chin[1] - crown) / 0.98 / tall  # the spot lies at 0.98 of the head
    assert head == pytest.approx(photo.head, abs=0.012)
    assert size.head[0] - 0.012 <= head <= size.head[1] + 0.012
    left, right = spots(photo.picture, EYE)
    assert left[1] == pytest.approx(right[1], abs=0.6)
    eyes = 1 - (left[1] + right[1]) / 2 / tall
    assert eyes == pytest.approx(photo.eyes, abs=0.004)
    if size.eyes:
        assert size.eyes[0] - 0.004 <= eyes <= size.eyes[1] + 0.004
    if size.top:
        assert size.top[0] - 0.012 <= crown / tall <= size.top[1] + 0.012
    assert (left[0] + right[0]) / 2 == pytest.approx(wide / 2, abs=0.7)


@settings(max_examples=12, deadline=None)
@given(
    tilt=st.floats(-9.5, -4.1) | st.just(0.0) | st.floats(4.1, 9.5),
    length=st.floats(260, 380),
    x=st.floats(0.4, 0.6),
    y=st.floats(0.33, 0.42),
)
def test_straight_never_stretched(tilt: float, length: float, x: float, y: float) -> None:
    size = find("CN-2")
    photo = made(person((1000, 1100), length, (x, y), tilt), size)
    left, right = spots(photo.picture, EYE)
    (chin,) = spots(photo.picture, CHIN)
    apart = right - left
    assert abs(apart[1]) < 0.8  # the eyes are level
    down = chin[1] - (left[1] + right[1]) / 2
    assert apart[0] / down == pytest.approx(0.28 / 0.48, rel=0.03)
    assert photo.turned == pytest.approx(tilt, abs=0.05)


def test_a_hardly_tilted_head_stays_as_it_is() -> None:
    assert made(person(tilt=3), find("CN-2")).turned == 0


def test_no_old_background_at_the_edges() -> None:
    photo = made(person(), find("CN-1")).picture.astype(int)
    greener = photo[..., 1] - np.maximum(photo[..., 0], photo[..., 2])
    assert greener.max() <= 20  # of 255: the cut of a mixed pixel is no better here


# --- what is refused --------------------------------------------------------------------------


def refused(drawn: Drawn, reason: str, *others: Head, size: str = "CN-2", **options: int) -> None:
    """With the reason; with force the photo is made, and the reason stands beside it."""
    with pytest.raises(SourceError, match=reason) as caught:
        made(drawn, find(size), *others, **options)
    assert "\n" not in str(caught.value)
    assert "--force" in str(caught.value)
    photo = made(drawn, find(size), *others, force=True, **options)
    assert photo.picture.shape == (*find(size).pixels[::-1], 3)
    assert photo.faults


def test_no_head_is_refused_with_force_too() -> None:
    behind = np.zeros((579, 413, 3), np.uint8)
    for force in (False, True):
        with pytest.raises(SourceError, match=r"no head found \(0\)"):
            id_photo(person().picture, [], cut, find("CN-2"), behind, force=force)


def test_several_heads() -> None:
    other = Head(person(length=300, middle=(0.5, 3.0)).head.points, 1.0)
    refused(person(), r"2 heads found, 1 is wanted \(--head N", other)
    assert made(person(), find("CN-2"), other, number=1).faults == ()
    with pytest.raises(SettingsError, match="--head 3: there are 2"):
        made(person(), find("CN-2"), other, number=3)
    small = Head(person(length=100, middle=(0.9, 3.0)).head.points, 1.0)
    assert made(person(), find("CN-2"), small).faults == ()  # far behind


def test_another_head_inside_the_photo() -> None:
    other = Head(person(length=200, middle=(0.6, 0.6)).head.points, 1.0)
    refused(person(), "another head stands inside", other, number=1)


def test_too_small() -> None:
    drawn = person((300, 400), 110, (0.5, 0.35))
    refused(drawn, r"head too small: 110 pixels high, 2\d\d are needed")


def test_tilted() -> None:
    refused(person(tilt=15), r"tilted by 15\.0° \(10° at most\)")


def test_eyes_not_level() -> None:
    refused(person(lower=0.06), r"eyes not level with the mouth: 1\d\.\d° \(7° at most\)")


def test_turned() -> None:
    drawn = person()
    drawn.head.points[2, 0] += 35
    refused(drawn, r"head turned by about 33° \(\d+° at most; look straight at the camera\)")


def test_too_dark() -> None:
    drawn = person()
    refused(Drawn(drawn.picture // 5, drawn.head), r"too dark: the face's lights have \d+ of 255")


def test_blurred() -> None:
    drawn = person()
    soft = cv2.GaussianBlur(drawn.picture, (0, 0), 9)
    refused(Drawn(soft, drawn.head), r"blurred: sharpness 0\.0\d\d")


@pytest.mark.parametrize(
    ("middle", "side"), [((0.5, 0.12), "upper"), ((0.5, 0.75), "lower"), ((0.06, 0.4), "left")]
)
def test_cut_by_the_edge(middle: tuple[float, float], side: str) -> None:
    refused(person(middle=middle), rf"cut by the picture's {side} edge, \d+ pixels inside")


def test_a_room_beside_the_picture_is_no_reason() -> None:
    """Where only the room ends, the new background goes on."""
    drawn = person((420, 1100), 380, (0.5, 0.4), body=False)
    assert made(drawn, find("US-passport")).faults == ()


def test_hair_that_reaches_out_of_the_photo() -> None:
    drawn = person()
    hair = cv2.ellipse(np.zeros((1100, 900), np.uint8), (450, 440), (400, 180), 0, 0, 360, 1, -1)
    drawn.picture[(hair > 0) & (drawn.picture == ROOM).all(2)] = (40, 60, 90)
    refused(drawn, r"hair or head reach out of the photo, along \d+ pixels")
