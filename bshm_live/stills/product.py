"""Product pictures: a person on a plain canvas, or standing in a scene; touches no file.

Pictures are BGR uint8 (H, W, 3) in sRGB, alpha (H, W) uint8, foregrounds straight colour.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from ..compositing.background import plain
from ..compositing.compositor import SOLID
from ..compositing.match import matched
from ..errors import SettingsError
from ..types import Alpha, Mask8, Picture, Size
from .cut import Box

Place = tuple[int, int, int]  # of the feet's middle x and y, and the person's height; scene pixels
Colours = NDArray[np.float32]  # (H, W, 3) BGR, levels
SEARCH = 1024  # pixels of the longer side: fine enough to tell people apart on
FAINT = 26  # of 255: a tenth
SURE = 230  # of 255: nine tenths
MEGAPIXELS_MOST = 16  # of a person in a scene: bounds the memory
AROUND = 0.4  # of the person's height: how much of the scene is looked at and may change

# Contact shadow, lengths as shares of the person's height
FEET = 0.08  # how far above the lowest point of a person something may stand on the floor
SOLE = 0.012  # half the height of what touches the floor
TIGHT = (0.020, 0.010)  # sigma of the dark line under a foot, across and down
WIDE = (0.10, 0.03)  # sigma of the soft shadow around
TIGHT_DARK, WIDE_DARK = 0.75, 0.6  # of the light that is gone at the darkest place
GAMMA = 2.2  # light l is seen as the level l ** (1 / GAMMA)

# Light wrap: see compositing/light_wrap.py
WRAP = 0.4
RIM = 0.012  # sigma of the rim, a share of the person's height
GLOW = 0.05  # sigma of the scene out of focus


def subject(alpha: Mask8) -> tuple[Mask8, Box] | None:
    """The largest person alone: alpha without the others, and the box (x, y, width, height).

    Below, the box ends where alpha is sure, so that it stands on the feet and not on a piece
    of floor that came along. None where there is nobody.
    """
    height, width = alpha.shape
    scale = min(1.0, SEARCH / max(width, height))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(alpha, size, interpolation=cv2.INTER_AREA)
    _, labels, parts, _ = cv2.connectedComponentsWithStats(
        (small >= FAINT).view(np.uint8), connectivity=8
    )
    if len(parts) < 2:  # the first is what is not person
        return None
    one = (labels == 1 + parts[1:, cv2.CC_STAT_AREA].argmax()).astype(np.uint8)
    whole = cv2.dilate(one, np.ones((3, 3), np.uint8)) * np.uint8(SOLID)  # with its faint rim
    mask = cv2.resize(whole, (width, height), interpolation=cv2.INTER_LINEAR)
    alone = cv2.multiply(alpha, mask, scale=1 / SOLID)
    x, y, wide, tall = cv2.boundingRect((alone >= FAINT).view(np.uint8))
    sure = np.flatnonzero((alone >= SURE).any(1))
    bottom = int(sure[-1]) + 1 if len(sure) else y + tall
    return alone, (x, y, wide, bottom - y)


def on_canvas(
    front: Picture,
    alpha: Mask8,
    box: Box,
    canvas: Size,
    colour: tuple[int, int, int],
    margin: float,
) -> Picture:
    """The person's box in the middle of a canvas (width, height) of one colour.

    It is scaled, never stretched, until it fills the canvas but for `margin`, a share of
    each side.
    """
    wide, tall = canvas
    _, _, width, height = box
    scale = min(wide * (1 - 2 * margin) / width, tall * (1 - 2 * margin) / height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    person, opacity = scaled(front, alpha, box, size)
    left, top = (wide - size[0]) // 2, (tall - size[1]) // 2
    picture = plain(colour, canvas)
    part = picture[top : top + size[1], left : left + size[0]]
    part[...] = blended(person, opacity, part.astype(np.float32))
    return picture


def in_scene(
    front: Picture,
    alpha: Mask8,
    box: Box,
    scene: Picture,
    place: Place,
    *,
    shadow: bool = False,
    match: bool = False,
) -> Picture:
    """A copy of the scene, at its own size, in which the person stands at `place`.

    What reaches out of the scene is cut off. The scene's light falls on the rim; `match`
    takes the person's colours towards the scene's around, `shadow` darkens the floor.
    Raises SettingsError for a place out of the scene.
    """
    left, top, width, height = placed(box, scene, place)
    around = round(AROUND * height)
    person, opacity = scaled(front, alpha, box, (width, height))
    person = np.pad(person, ((around, around), (around, around), (0, 0)))
    opacity = np.pad(opacity, around)
    behind, seen, inner = window(scene, left - around, top - around, opacity.shape)
    if match:
        person = matched(person, opacity, behind)
    if shadow:
        behind *= seen_light(contact_shadow(opacity, height))
    person = wrapped(person, opacity, behind, height)
    out = scene.copy()
    out[seen] = blended(person, opacity, behind)[inner]
    return out


def placed(box: Box, scene: Picture, place: Place) -> Box:
    """The person's box in the scene, at `place`. Raises SettingsError."""
    x, y, height = place
    tall, wide = scene.shape[:2]
    width = max(1, round(box[2] * height / box[3]))
    corner = (x - width // 2, y - height)
    if not (-width < corner[0] < wide and -height < corner[1] < tall):
        raise SettingsError(f"--place {x},{y},{height}: not in the scene, which is {wide}x{tall}")
    if width * height > MEGAPIXELS_MOST * 1_000_000:
        raise SettingsError(
            f"--place {x},{y},{height}: a person over {MEGAPIXELS_MOST} megapixels; "
            "take a smaller scene"
        )
    return *corner, width, height


Part = tuple[slice, slice]


def window(
    scene: Picture, left: int, top: int, shape: tuple[int, ...]
) -> tuple[Colours, Part, Part]:
    """A part (h, w) of the scene that may reach out of it, there its edge's colours go on.

    Also where it lies in the scene, and where the scene lies in it.
    """
    tall, wide = scene.shape[:2]
    bottom, right = top + shape[0], left + shape[1]
    rows, columns = slice(max(0, top), min(tall, bottom)), slice(max(0, left), min(wide, right))
    inner = (
        slice(rows.start - top, rows.stop - top),
        slice(columns.start - left, columns.stop - left),
    )
    beyond = (
        (inner[0].start, bottom - rows.stop),
        (inner[1].start, right - columns.stop),
        (0, 0),
    )
    return np.pad(scene[rows, columns].astype(np.float32), beyond, "edge"), (rows, columns), inner


def scaled(front: Picture, alpha: Mask8, box: Box, size: Size) -> tuple[Colours, Alpha]:
    """The box of the person at another size: straight colours in levels, alpha in [0, 1].

    Scaled as premultiplied colours, so that what is transparent gives none of its own.
    """
    x, y, width, height = box
    part = np.s_[y : y + height, x : x + width]
    opacity = alpha[part] * np.float32(1 / SOLID)
    colours = front[part] * opacity[..., None]
    way = cv2.INTER_AREA if size[0] < width else cv2.INTER_LINEAR
    opacity = cv2.resize(opacity, size, interpolation=way)
    colours = cv2.resize(colours, size, interpolation=way)
    return colours / np.maximum(opacity, np.float32(1e-4))[..., None], opacity


def blended(person: Colours, opacity: Alpha, behind: Colours) -> Picture:
    """behind + a (person - behind), rounded."""
    mixed = behind + opacity[..., None] * (person - behind)
    return np.rint(np.clip(mixed, 0, SOLID)).astype(np.uint8)


def contact_shadow(opacity: Alpha, height: int) -> Alpha:
    """How much of the light on the floor is gone, (H, W) in [0, 1], for a person so high.

    Where the person's lowest points touch the floor: a dark line, and a soft shadow around.
    """
    touch = soles(opacity, height)
    gone = np.ones_like(touch)
    for (across, down), dark in ((TIGHT, TIGHT_DARK), (WIDE, WIDE_DARK)):
        soft = cv2.GaussianBlur(
            touch, (0, 0), sigmaX=max(0.5, across * height), sigmaY=max(0.5, down * height)
        )
        most = float(soft.max())
        if most > 0:
            gone *= 1 - soft * np.float32(dark / most)
    return 1 - gone


def soles(opacity: Alpha, height: int) -> Alpha:
    """What touches the floor (H, W), 0 or 1: the lowest person of each column, if near the feet."""
    solid = opacity >= SURE / SOLID
    rows = np.arange(len(opacity))[:, None]
    lowest = np.where(solid, rows, -1).max(0)  # of each column
    floor = int(lowest.max())
    stands = (lowest >= 0) & (lowest >= floor - FEET * height)
    half = max(1, round(SOLE * height))
    return ((np.abs(rows - lowest) <= half) & stands).astype(np.float32)


def seen_light(gone: Alpha) -> Alpha:
    """The factor (H, W, 1) of a level in sRGB where so much of the light is gone."""
    return np.power(1 - gone, np.float32(1 / GAMMA))[..., None]


def wrapped(person: Colours, opacity: Alpha, behind: Colours, height: int) -> Colours:
    """F + WRAP share (glow - F): the scene's light on the rim.

    glow is the scene out of focus, share how much of the surroundings is not person.
    """
    share = 1 - cv2.GaussianBlur(opacity, (0, 0), max(0.5, RIM * height))
    glow = cv2.GaussianBlur(behind, (0, 0), max(0.5, GLOW * height))
    return person + np.float32(WRAP) * share[..., None] * (glow - person)
