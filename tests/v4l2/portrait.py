"""A clip of a real person whose composites can be told apart, for the trained networks.

A talking head with a known alpha, filmed as by an unsteady hand: each picture is
moved sideways by a step against the one before. Its number stands on the person's
chin, in Gray code, where a composite keeps it. A cut-out that fits the true alpha
of another picture better than that of its own number was made with another matte.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from clip import GREEN, gray, is_background, ungray

from bshm_live.compositing.background import cover
from bshm_live.types import Size

CLIPS = Path(os.environ.get("GUEST_CLIPS", "."))
NAME = "clip07"
FRAMES = 64
BITS = 6
ZERO, ONE = 80, 215  # grey levels of a mark
# Of the first mark, in shares of the picture; all lie in the middle of what is always chin.
LEFT, TOP, WIDE, HIGH = 0.46, 0.82, 0.0167, 0.07
PERIOD, STEP = 12, 0.018  # the sway: to and fro in so many pictures, each a step of the width
NEAR = 3  # pictures before and after one whose alphas are compared with it
CUT_OUT = 60  # levels from the background's colour: what is person


def there() -> bool:
    return (CLIPS / f"{NAME}.mp4").is_file()


def steps(number: int) -> int:
    """How far a picture is moved: 0 to 6 and back."""
    return abs(number % PERIOD - PERIOD // 2)


def moved(image: np.ndarray, number: int, size: Size) -> np.ndarray:
    """The picture at `size`, a few steps to the side."""
    width, height = size
    step = round(STEP * width)
    at = steps(number) * step
    return cover(image, (width + PERIOD // 2 * step, height))[:, at : at + width]


def pictures(size: Size) -> Iterator[np.ndarray]:
    """(H, W, 3) BGR uint8, with their numbers on them."""
    for number, image in enumerate(_read(f"{NAME}.mp4")):
        picture = np.ascontiguousarray(moved(image, number, size))
        for bit, (rows, columns) in enumerate(_marks(size)):
            picture[rows, columns] = ONE if gray(number) >> bit & 1 else ZERO
        yield picture


def alphas(size: Size, step: int = 1) -> list[np.ndarray]:
    """True alpha of each picture, (H, W) bool: more person than not. `step` as in readers.Seen."""
    return [
        moved(image, number, size)[::step, ::step, 0] > 127
        for number, image in enumerate(_read(f"{NAME}_alpha.mkv"))
    ]


def _read(name: str) -> Iterator[np.ndarray]:
    reader = cv2.VideoCapture(str(CLIPS / name))
    for _ in range(FRAMES):
        more, image = reader.read()
        assert more, f"{name} is too short"
        yield image
    reader.release()


def _marks(size: Size) -> list[tuple[slice, slice]]:
    width, height = size
    rows = slice(round(TOP * height), round((TOP + HIGH) * height))
    lefts = [round((LEFT + bit * WIDE) * width) for bit in range(BITS)]
    return [(rows, slice(left, left + round(WIDE * width))) for left in lefts]


def middles() -> list[tuple[float, float]]:
    """Of the marks, as shares of the picture."""
    return [(LEFT + (bit + 0.5) * WIDE, TOP + HIGH / 2) for bit in range(BITS)]


def number_of(image: np.ndarray) -> int | None:
    """The number on the chin; None where there is none."""
    code = 0
    for bit, (rows, columns) in enumerate(_marks(image.shape[1::-1])):
        block = image[rows, columns]
        down, across = block.shape[0] // 3, block.shape[1] // 3
        level = float(block[down:-down, across:-across].mean())
        if abs(level - ZERO) > 35 and abs(level - ONE) > 35:
            return None
        code |= (level > (ZERO + ONE) / 2) << bit
    return ungray(code)


def person(image: np.ndarray) -> np.ndarray:
    """(H, W) bool: what is not background."""
    return np.abs(image.astype(np.int16) - GREEN).max(2) > CUT_OUT


def whose_matte(image: np.ndarray, number: int, true: Sequence[np.ndarray]) -> int:
    """The picture near `number` whose true alpha the cut-out fits best."""
    cut = person(image)
    around = [(number + step) % FRAMES for step in range(-NEAR, NEAR + 1)]
    # On the way back a picture stands where another stood: those two look alike.
    others = [near for near in around if near == number or steps(near) != steps(number)]
    return min(others, key=lambda near: int((cut ^ true[near]).sum()))


def check(images: Sequence[np.ndarray], true: Sequence[np.ndarray]) -> int:
    """Each is a person by its own matte, or the background alone; how many different numbers."""
    found = faults(images, true)
    assert not found, found
    return len({number_of(image) for image in images} - {None})


def faults(images: Sequence[np.ndarray], true: Sequence[np.ndarray]) -> list[str]:
    """What is wrong with pictures that are no background alone; those are kept."""
    found = []
    for image in images:
        if not is_background(image) and (fault := _fault(image, true)):
            found.append(fault)
            name = "".join(sign if sign.isalnum() else "-" for sign in fault)
            cv2.imwrite(os.path.join(os.environ["GUEST_KEPT"], f"fault-{name}.png"), image)
    return found


def _fault(image: np.ndarray, true: Sequence[np.ndarray]) -> str:
    number = number_of(image)
    if number is None:
        return "no number"
    other = whose_matte(image, number, true)
    if other != number:
        return f"the matte of {other} on {number}"
    return "" if min(corners(image)) > 0.95 else f"room in a corner of {number}"


def corners(image: np.ndarray) -> tuple[float, float]:
    """Shares of the upper corners, left and right, in which nothing is but background."""
    room = ~person(image)
    height, width = room.shape
    left, right = room[: height // 6, : width // 10], room[: height // 6, -width // 10 :]
    return float(left.mean()), float(right.mean())
