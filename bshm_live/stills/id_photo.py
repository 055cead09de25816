"""A photo for a document: the head straight, of the right size, at the right place.

    heads ▸ one that fits? ▸ matte ▸ crown ▸ place ▸ new background

Nothing is stretched, retouched or invented: what the picture does not show is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import SettingsError, SourceError
from ..matting.head import Head
from ..matting.warp import Matrix, mapped, sampled
from ..types import Mask8, Picture, Size
from .cut import Layers
from .look_at_face import FORCE, faults_of, grown_up
from .sizes import TOP_LEAST, PhotoSize, Range

SOLID = 255
PERSON = 128  # of 255: alpha from which a place counts as person
UPRIGHT = 4.0  # degrees: less tilt is within the head finder's own error, and stays
STRIP = 0.6  # of the eyes' distance, to each side of their middle: where the crown is looked for
CROWN_SLACK = (0.6, 1.7)  # of what the head finder says
CROWN_SCALE = 160  # pixels from crown to chin while it is looked for
SHARES, LINES = 7, 5  # places tried: sizes of the head, heights of the eyes
TOP_SHARE = (0.25, 0.42, 0.6)  # of what is free: least, best and most above the head
CUT_LEAST = 0.015  # of the photo's width: a cut that is shorter does not count
HAIR_LEAST = 0.02  # of the photo's height
MARGIN = 0.6  # of the photo's sides: what the networks see around it
Cut = Callable[[Picture], Layers]


@dataclass(frozen=True)
class Photo:
    """BGR (h, w, 3), and what was measured in it.

    `head` (crown to chin) and `eyes` (their line above the lower edge) are shares of the
    height, `turned` the degrees by which it was straightened, `person` the share of the photo
    that is person; `faults` is what does not fit.
    """

    picture: Picture
    head: float
    eyes: float
    turned: float
    person: float
    faults: tuple[str, ...] = ()


@dataclass(frozen=True)
class Place:
    """Where the picture goes: `matrix` (2, 3) maps its points (x, y) to those of the photo."""

    matrix: Matrix
    head: float
    eyes: float

    def of(self, points: NDArray[np.floating]) -> Matrix:
        """Points (n, 2) of the picture in the photo."""
        moved: Matrix = mapped(points, self.matrix)
        return moved


def chosen(heads: Sequence[Head], number: int | None) -> tuple[Head, list[str]]:
    """The head that is meant, and why another may have been. Raises SourceError for none."""
    if not heads:
        raise SourceError("no head found (0); take a picture with a face seen from the front")
    if number is not None:
        if not 1 <= number <= len(heads):
            raise SettingsError(f"--head {number}: there are {len(heads)}, the largest is 1")
        return heads[number - 1], []
    large = grown_up(heads)
    several = [f"{len(large)} heads found, 1 is wanted (--head N takes one, the largest is 1)"]
    return heads[0], several if len(large) > 1 else []


def id_photo(
    picture: Picture,
    heads: Sequence[Head],
    cut: Cut,
    size: PhotoSize,
    backdrop: Picture,
    *,
    number: int | None = None,
    force: bool = False,
) -> Photo:
    """The photo of one head of a BGR picture (H, W, 3), before `backdrop` (h, w, 3).

    `heads` are the picture's, the largest first; `cut` gives alpha and foreground of a
    picture. Raises SourceError with what does not fit, unless `force`; without a head always.
    """
    head, faults = chosen(heads, number)
    first = next(places(head, head.crown, size))
    faults += faults_of(picture, head, first.matrix, size.pixels[1])
    refuse(faults, force)
    corner, part = around(picture, first, size.pixels)
    layers = cut(part)
    near = Head(head.points - corner, head.sure)
    crown = crown_in(near, layers["alpha"])
    place, late = fitting(near, crown, layers["alpha"], size, edges_of(picture, part, corner))
    for other in heads:
        if other is not head and inside(place.of((other.middle - corner)[None]), size.pixels):
            late.append("another head stands inside the photo")
    refuse(faults + late, force)
    made, person = placed(layers, place.matrix, backdrop)
    return Photo(made, place.head, place.eyes, straightening(head), person, tuple(faults + late))


def refuse(faults: Sequence[str], force: bool) -> None:
    if faults and not force:
        raise SourceError(f"{'; '.join(faults)}; {FORCE}")


# --- where the head goes ----------------------------------------------------------------------


def places(head: Head, crown: NDArray[np.floating], size: PhotoSize) -> Iterator[Place]:
    """All that fit the rule, the one nearest to its middle first; one at least."""
    height = size.pixels[1]
    up, down = along(head, crown), -along(head, head.chin)
    found = False
    for share in spread(size.head, sum(size.head) / 2, SHARES):
        scale = share * height / max(up + down, 1.0)
        for line in lines(share, scale * up / height, size):
            found = True
            yield place_of(head, scale, line * height, share, size.pixels)
    if not found:  # the rule's eyes are above or below where this head has them
        share = sum(size.head) / 2
        scale = share * height / max(up + down, 1.0)
        line = scale * up + TOP_SHARE[1] * (1 - share) * height
        yield place_of(head, scale, line, share, size.pixels)


def lines(share: float, up: float, size: PhotoSize) -> Iterator[float]:
    """The eyes' lines below the upper edge that are allowed, the best first.

    All are shares of the height: `share` is the head's, `up` that from the eyes to the crown.
    """
    free = 1 - share
    least, best, most = (part * free for part in TOP_SHARE)
    if size.top:
        least, most = size.top
        best = (least + most) / 2
    low, high = up + max(least, TOP_LEAST), up + most
    wanted = up + best
    if size.eyes:
        low, high = max(up + TOP_LEAST, 1 - size.eyes[1]), 1 - size.eyes[0]
        wanted = 1 - sum(size.eyes) / 2
    if low <= high:
        yield from spread((low, high), wanted, LINES)


def spread(limits: Range, best: float, count: int) -> list[float]:
    """Values from least to most, the one nearest to `best` first."""
    return sorted([*np.linspace(*limits, count).tolist()], key=lambda value: abs(value - best))


def place_of(head: Head, scale: float, line: float, share: float, pixels: Size) -> Place:
    """The head upright at `scale`, its eyes' middle at `line` pixels from above, in the middle."""
    turn = np.radians(straightening(head))
    rotation = scale * np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    width, height = pixels
    middle = head.eyes.mean(0).astype(np.float64)
    target = np.array([width / 2, line])
    matrix = np.column_stack((rotation, target - rotation @ middle))
    return Place(matrix, share, 1 - line / height)


def straightening(head: Head) -> float:
    """Degrees by which the head is turned back."""
    return head.tilt if abs(head.tilt) >= UPRIGHT else 0.0


def along(head: Head, point: NDArray[np.floating]) -> float:
    """How far a point lies above the eyes' line, in pixels; below it is negative."""
    turn = np.radians(straightening(head))
    offset = point - head.eyes.mean(0)
    return float(offset[0] * np.sin(turn) - offset[1] * np.cos(turn))


def crown_in(head: Head, alpha: Mask8) -> NDArray[np.float64]:
    """The head's upper end, hair included, in the matte; the head finder's where that is odd."""
    up, apart = along(head, head.crown), float(np.linalg.norm(head.eyes[1] - head.eyes[0]))
    scale = CROWN_SCALE / max(head.length, 1.0)
    wide = max(1, round(2 * STRIP * apart * scale))
    tall = max(2, round(CROWN_SLACK[1] * up * scale))
    upright = place_of(head, scale, tall, 0.0, (wide, tall))
    strip = sampled(alpha, upright.matrix, (wide, tall)).max(1)
    empty = np.flatnonzero(strip < PERSON)
    rows = tall - 1 - empty[-1] if len(empty) else tall
    found = rows / scale
    if not CROWN_SLACK[0] * up <= found < CROWN_SLACK[1] * up - 1 / scale:
        found = up
    turn = np.radians(straightening(head))
    crown: NDArray[np.float64] = head.eyes.mean(0) + found * np.array([np.sin(turn), -np.cos(turn)])
    return crown


# --- whether the picture shows all of it ------------------------------------------------------


def fitting(
    head: Head, crown: NDArray[np.floating], alpha: Mask8, size: PhotoSize, edges: Sequence[str]
) -> tuple[Place, list[str]]:
    """The first place at which nothing is cut, or the best of all and what is cut there."""
    best: tuple[Place, list[str]] | None = None
    for place in places(head, crown, size):
        faults = [*cuts(alpha, place, size, edges), *hair_cut(alpha, place, head, size)]
        if not faults:
            return place, []
        best = best or (place, faults)
    assert best is not None
    return best


def cuts(alpha: Mask8, place: Place, size: PhotoSize, edges: Sequence[str]) -> list[str]:
    """Where the person goes on beyond the picture's edge, inside the photo.

    `edges` are the sides of `alpha` that are the picture's own.
    """
    height, width = alpha.shape
    x, y = np.arange(width) + 0.5, np.arange(height) + 0.5
    borders = {
        "upper": (alpha[0], np.column_stack((x, 0 * x))),
        "lower": (alpha[-1], np.column_stack((x, 0 * x + height))),
        "left": (alpha[:, 0], np.column_stack((0 * y, y))),
        "right": (alpha[:, -1], np.column_stack((0 * y + width, y))),
    }
    (wide, tall), faults = size.pixels, []
    scale = float(np.hypot(*place.matrix[:, 0]))
    for side in edges:
        levels, points = borders[side]
        person = place.of(points[levels >= PERSON])
        seen = person[[inside(point[None], size.pixels) for point in person]]
        if len(seen) * scale < CUT_LEAST * wide:
            continue
        gap = {
            "upper": seen[:, 1].max(),
            "lower": tall - seen[:, 1].min(),
            "left": seen[:, 0].max(),
            "right": wide - seen[:, 0].min(),
        }[side]
        if gap >= 1:
            faults.append(f"cut by the picture's {side} edge, {gap:.0f} pixels inside the photo")
    return faults


def hair_cut(alpha: Mask8, place: Place, head: Head, size: PhotoSize) -> list[str]:
    """Hair or ears that the photo's own sides would cut."""
    tall = size.pixels[1]
    seen = sampled(alpha, place.matrix, size.pixels)
    chin = int(np.clip(place.of(head.chin[None])[0, 1], 1, tall))
    lost = max(int((seen[:chin, side] >= PERSON).sum()) for side in (0, -1))
    lost = max(lost, int((seen[0] >= PERSON).sum()))
    if lost < HAIR_LEAST * tall:
        return []
    return [f"hair or head reach out of the photo, along {lost} pixels of its edge"]


def inside(point: NDArray[np.floating], pixels: Size) -> bool:
    """Whether a point (1, 2) lies inside the photo."""
    x, y = point[0]
    return bool(0 <= x <= pixels[0] and 0 <= y <= pixels[1])


def around(picture: Picture, place: Place, pixels: Size) -> tuple[NDArray[np.int64], Picture]:
    """The part of the picture around the photo, and its corner (x, y)."""
    height, width = picture.shape[:2]
    back = cv2.invertAffineTransform(place.matrix)
    frame = np.array([[x, y] for x in (0, pixels[0]) for y in (0, pixels[1])], np.float64)
    corners = mapped(frame, back)
    margin = MARGIN * (corners.max(0) - corners.min(0))
    first = np.maximum(np.floor(corners.min(0) - margin), 0).astype(np.int64)
    last = np.minimum(np.ceil(corners.max(0) + margin), (width, height)).astype(np.int64)
    part = picture[first[1] : last[1], first[0] : last[0]]
    return first, np.ascontiguousarray(part)


def edges_of(picture: Picture, part: Picture, corner: NDArray[np.int64]) -> list[str]:
    """The sides of a part that are those of the whole picture."""
    (height, width), (tall, wide) = picture.shape[:2], part.shape[:2]
    left, top = corner
    own = {
        "upper": top == 0,
        "lower": top + tall == height,
        "left": left == 0,
        "right": left + wide == width,
    }
    return [side for side, is_own in own.items() if is_own]


def placed(layers: Layers, matrix: Matrix, backdrop: Picture) -> tuple[Picture, float]:
    """The person's own colours over the backdrop, and the person's share of it.

    Colours are weighted before they are moved.
    """
    size: Size = (backdrop.shape[1], backdrop.shape[0])
    share = layers["alpha"].astype(np.float32) / SOLID
    weighted = np.dstack((layers["foreground"] * share[..., None], share * SOLID))
    moved = sampled(weighted, matrix, size)
    front, alpha = np.maximum(moved[..., :3], 0), np.clip(moved[..., 3:] / SOLID, 0, 1)
    made = front + (1 - alpha) * backdrop
    return np.clip(made + np.float32(0.5), 0, SOLID).astype(np.uint8), float(alpha.mean())
