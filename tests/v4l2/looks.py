"""Whole looks that can be told apart in one picture: backgrounds of all kinds, mirrored or not.

The webcam's room has stripes, so that a blurred room is none of its own colours.
"""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from pathlib import Path

import clip
import cv2
import numpy as np

from bshm_live.compositing.background import DARK
from bshm_live.types import Size

DARK_STRIPE, LIGHT_STRIPE = (40, 10, 6), (80, 70, 54)  # BGR, clip.ROOM in the mean
STRIPE = 16  # pixels at 640
LEFT, RIGHT = (150, 40, 20), (20, 40, 150)  # the picture's halves
VIDEO = (140, None, 140)  # the green of its frames goes up and down
BRIGHT = 110  # no background has all channels so high
SLACK = 11
EDGE = 10  # pixels at 160 round a person that are neither: the toy networks' mattes are soft
# Of the pixels: where the person was before, the toy networks' hint leaves a shadow of it.
MOST, SHADOW, ALL = 0.75, 56, 0.99


def pictures(size: Size) -> Iterator[np.ndarray]:
    """clip.pictures before a striped room, with a block that tells left from right."""
    width, height = size
    dark = (np.arange(width) * 640 // width // STRIPE) % 2 == 0
    room = np.where(dark[None, :, None], DARK_STRIPE, LIGHT_STRIPE).astype(np.uint8)
    room = np.broadcast_to(room, (height, width, 3))
    for image in clip.pictures(size):
        is_room = (image == clip.ROOM).all(2, keepdims=True)
        marked = np.where(is_room, room, image)
        marked[height // 5 : height * 14 // 40, : width // 8] = clip.PERSON
        yield marked


def write_picture(path: Path, size: Size) -> Path:
    width, height = size
    picture = np.full((height, width, 3), LEFT, np.uint8)
    picture[:, width // 2 :] = RIGHT
    cv2.imwrite(str(path), picture)
    return path


def write_video(path: Path, size: Size) -> Path:
    width, height = size
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25, size)
    for level in (*range(40, 100, 2), *range(100, 40, -2)):
        writer.write(np.full((height, width, 3), (VIDEO[0], level, VIDEO[2]), np.uint8))
    writer.release()
    return path


def kind_of(image: np.ndarray) -> str:
    """BACKGROUND, BACKGROUND/mirror or BACKGROUND/alone; in capitals what must not be.

    `image` (H, W, 3) is about 160 wide.
    """
    bright = image.min(2) >= BRIGHT
    wide = np.ones((2 * EDGE + 1, 2 * EDGE + 1))
    outside = cv2.dilate(bright.astype(np.uint8), wide) == 0
    for stripe in (DARK_STRIPE, LIGHT_STRIPE):
        if clip.solid_pixels(near(image, stripe, 12) & outside):
            return "RAW"
    background = background_of(image, outside)
    if background is None:
        return "MIXED"
    if not bright.any():
        return f"{background}/alone"
    height, width = bright.shape
    mark = bright[height * 11 // 40 : height * 12 // 40]
    left, right = mark[:, : width // 10].all(), mark[:, -(width // 10) :].all()
    if left == right:
        return "MISMATCH"
    return background if left else f"{background}/mirror"


def background_of(image: np.ndarray, outside: np.ndarray) -> str | None:
    """Which one lies everywhere round the person; None where it is none or several."""
    halves = np.full_like(image, LEFT)
    halves[:, image.shape[1] // 2 :] = RIGHT
    middle = np.median(image[outside], axis=0)
    candidates = {
        "green": clip.GREEN,
        "blur": clip.ROOM,
        "none": (0, 0, 0),
        "card": (DARK,) * 3,  # what stands in for a blurred room while nobody is there
        "picture": halves,
        "video": (VIDEO[0], middle[1], VIDEO[2]),
    }
    for name, colours in candidates.items():
        shares = [near(image, colours, slack)[outside].mean() for slack in (SLACK, SHADOW)]
        if shares[0] >= MOST and shares[1] >= ALL:
            return name
    return None


def near(image: np.ndarray, colours: object, slack: int) -> np.ndarray:
    """(H, W) bool: where the picture has that colour, or that of another picture."""
    return np.abs(image.astype(int) - np.asarray(colours)).max(2) <= slack


def two_presets(folder: Path) -> Path:
    """The toy networks, and `fast` ones that are smaller."""
    toy = runpy.run_path(str(Path(__file__).resolve().parents[2] / "engines" / "toy" / "make.py"))
    toy["LOW_SIZES"]["fast"] = (32, 32)
    toy["make"](folder)
    return folder
