"""A clip for the toy networks whose composites can be told apart.

64 pictures. A strip of bright blocks at the top carries the number of the
picture in Gray code; a bright disc, the "person" of the toy networks, stands
where that number says. A composite whose strip says N but whose cut-out is not at
N's place was made with another frame's matte.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import cv2
import numpy as np

from bshm_live.types import Size

FRAMES = 64
BITS = 6
ZERO, ONE = 195, 250  # both count as person for the toy networks
PERSON, ROOM = 225, (60, 40, 30)
GREEN = (64, 177, 0)  # BGR of #00b140
SLACK = 12  # levels of a plain colour that went through I420


def places(size: Size) -> tuple[np.ndarray, int, int]:
    """x of the disc for each number; its y and radius, in pixels."""
    width, height = size
    radius = height // 6
    span = width - 4 * radius
    return 2 * radius + (np.arange(FRAMES) * 37 * width // 640) % span, height * 5 // 8, radius


def picture(number: int, size: Size) -> np.ndarray:
    """(H, W, 3) BGR uint8."""
    width, height = size
    xs, y, radius = places(size)
    image = np.full((height, width, 3), ROOM, np.uint8)
    cv2.circle(image, (int(xs[number]), y), radius, (PERSON,) * 3, -1)
    for bit in range(BITS):
        level = ONE if gray(number) >> bit & 1 else ZERO
        image[: height // 5, bit * width // BITS : (bit + 1) * width // BITS] = level
    return image


def number_of(image: np.ndarray) -> int | None:
    """The number in a picture's strip; None where there is none."""
    height, width = image.shape[:2]
    code = 0
    for bit in range(BITS):
        middle = (2 * bit + 1) * width // (2 * BITS)
        block = image[height // 20 : height // 12, middle - 8 : middle + 8]
        level = float(block.mean())
        if abs(level - ZERO) > 20 and abs(level - ONE) > 20:
            return None
        code |= (level > (ZERO + ONE) / 2) << bit
    return ungray(code)


def gray(number: int) -> int:
    """Two neighbours differ in one bit: a picture in between is one of them."""
    return number ^ (number >> 1)


def ungray(code: int) -> int:
    number = 0
    while code:
        number ^= code
        code >>= 1
    return number


def place_of(image: np.ndarray) -> tuple[float, int] | None:
    """x of what was cut out before green, and how many pixels that is; None: nothing."""
    height = image.shape[0]
    below = image[height * 3 // 8 :].astype(int)
    person = np.abs(below - GREEN).max(2) > 100
    if not person.any():
        return None
    return float(np.nonzero(person)[1].mean()), int(person.sum())


def raw_pixels(image: np.ndarray) -> int:
    """Pixels of the room, which nobody may see; the soft edges of a matte are left out."""
    return solid_pixels(np.abs(image.astype(int) - ROOM).max(2) <= 30)


def solid_pixels(those: np.ndarray) -> int:
    """How many of `those` (H, W) bool have only such around them."""
    across = those.shape[0] // 40
    return int(cv2.erode(those.astype(np.uint8), np.ones((across, across))).sum())


def is_background(image: np.ndarray) -> bool:
    """Whether it is the background alone."""
    return bool(np.abs(image.astype(int) - GREEN).max() <= SLACK)


def check_composites(images: Sequence[np.ndarray], size: Size) -> list[int]:
    """Every composite is of one frame and its own matte, and no room is in it. Their numbers."""
    numbers = []
    for image in images:
        try:
            numbers.append(checked_number(image, size))
        except AssertionError:
            cv2.imwrite(os.path.join(os.environ.get("GUEST_KEPT", "."), "unsound.png"), image)
            raise
    return [number for number in numbers if number is not None]


def checked_number(image: np.ndarray, size: Size) -> int | None:
    """None for the background alone: a frame without a matte."""
    assert image.shape == (size[1], size[0], 3)
    assert raw_pixels(image) == 0
    number = number_of(image)
    if number is None:
        assert is_background(image)
        return None
    xs, _, radius = places(size)
    place = place_of(image)
    assert place is not None, f"frame {number} has no person"
    assert abs(place[0] - xs[number]) < 37 / 4, (number, place, xs[number])
    assert 0.7 < place[1] / (np.pi * radius**2) < 1.3, (number, place)
    return number


def pictures(size: Size) -> list[np.ndarray]:
    """All of them."""
    return [picture(number, size) for number in range(FRAMES)]
