"""One picture to its matte, composite and foreground; touches no file but a scribble's."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ..compositing.background import open_background
from ..compositing.compositor import SOLID, Compositor
from ..compositing.grading import NOTHING, Grading, Wanted
from ..compositing.opacity import cut_away
from ..errors import SettingsError, SourceError
from ..matting.bshm import Bshm
from ..matting.closer import joined, person_box
from ..matting.mirrored import matte_both_ways
from ..matting.tiles import refine_tiles
from ..settings import BackgroundSpec, brief
from ..sources.picture import read_picture
from ..types import Alpha, Frame, Mask8, Matte, Matting, Picture, Size

HINT_LONGEST = 256  # pixels: about the networks' low size
STROKE_GAIN = 4.0  # a stroke that covers a quarter of a hint's pixel counts in full
ASPECT_SLACK = 0.01  # a scribble's aspect may differ by this share: sizes are rounded
CROP_MARGIN = 0.05  # of the person's longer side
CROP_SOLID = 26  # of 255: a tenth
CROP_SPECK = 0.02  # of the largest part's area
CROP_SEARCH = 1024  # pixels of the longer side: fine enough to find the person on
Box = tuple[int, int, int, int]
Layers = Mapping[str, NDArray[np.uint8]]


def matte_still(
    wide: Matting, tall: Matting, picture: Picture, *, hint: Alpha | None = None
) -> Matte:
    """`matte_of` by networks for landscape and portrait format."""
    return matte_of(lambda size: tall if size[1] > size[0] else wide, picture, hint)


def matte_of(
    networks_for: Callable[[Size], Matting], picture: Picture, hint: Alpha | None = None
) -> Matte:
    """Matte of one BGR picture (H, W, 3), by the networks for pictures of its size.

    It is looked at as it is and mirrored, and once more where people fill little of it. Of
    a picture clearly larger than the networks' size, alpha, guide and residual are larger
    too. `hint` (any size, [0, 1]) covers the picture: 1 says person. Raises EngineError.
    """
    size: Size = (picture.shape[1], picture.shape[0])
    networks = networks_for(size)
    if not isinstance(networks, Bshm):
        return networks.matte(picture, hint)  # the official network sees each at its own size
    matte: Matte = matte_both_ways(networks, picture, hint)
    if hint is None and (box := person_box(matte.alpha, size)) is not None:
        x, y, width, height = box
        near = networks_for((width, height))
        # Upright people stretched to a wide size are seen no better than before.
        if isinstance(near, Bshm) and (height > width) == (near.low[0] > near.low[1]):
            part = np.ascontiguousarray(picture[y : y + height, x : x + width])
            matte = joined(picture, matte, matte_both_ways(near, part), box)
    return refine_tiles(networks, picture, matte)


def cut_out(
    picture: Picture,
    matte: Matte,
    background: BackgroundSpec | None = None,
    *,
    opacity: Mask8 | None = None,
    stages: bool = False,
    wanted: Wanted = NOTHING,
) -> Layers:
    """What is written of one picture, by role; every array has the picture's size.

    alpha (H, W); composite BGR over `background`, or BGRA (straight alpha)
    without one; foreground BGR, black outside; with `stages` coarse and unified
    (H, W). All uint8, [0, 255]. `opacity` (H, W) is the picture's own alpha; `wanted` is
    what the person's colours get. Raises SettingsError for the background.
    """
    size: Size = (picture.shape[1], picture.shape[0])
    spec = background or BackgroundSpec("none")
    frame = Frame(picture, 0, 0.0)
    behind = open_background(spec, size)(frame, matte)
    compositor, grading = Compositor(size), Grading()
    grading.see(frame, matte, behind, spec, wanted)
    compositor.grade = grading.grade(frame.time, wanted)
    made = compositor(picture, matte, behind, foreground=True)
    if opacity is not None:
        made = cut_away(made, behind, opacity)
    over, alpha, front = made
    assert front is not None
    if spec.kind == "none":
        over = with_alpha(front, alpha)
    layers = {"alpha": alpha, "composite": over, "foreground": front}
    if stages:
        layers |= {"coarse": enlarged(matte.coarse, size), "unified": enlarged(matte.unified, size)}
    return layers


def with_alpha(front: Picture, alpha: Mask8) -> NDArray[np.uint8]:
    """BGRA (H, W, 4)."""
    whole = np.empty((*alpha.shape, 4), np.uint8)
    cv2.mixChannels([front, alpha], [whole], [0, 0, 1, 1, 2, 2, 3, 3])
    return whole


def crop_to_person(layers: Layers) -> Layers:
    """Every layer cut to the person with CROP_MARGIN around; as it is where there is nobody.

    What is smaller than CROP_SPECK of the largest part does not count.
    """
    alpha = layers["alpha"]
    height, width = alpha.shape
    scale = min(1.0, CROP_SEARCH / max(width, height))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    seen = (cv2.resize(alpha, size, interpolation=cv2.INTER_AREA) >= CROP_SOLID).view(np.uint8)
    _, _, parts, _ = cv2.connectedComponentsWithStats(seen, connectivity=8)
    parts = parts[1:]  # the first is what is not person
    if not len(parts):
        return layers
    parts = parts[parts[:, cv2.CC_STAT_AREA] >= CROP_SPECK * parts[:, cv2.CC_STAT_AREA].max()]
    corner, extent = parts[:, :2], parts[:, 2:4]
    first, last = corner.min(0), (corner + extent).max(0)
    margin = CROP_MARGIN * (last - first).max()
    left, top = np.floor(np.maximum(first - margin, 0) / size * (width, height)).astype(int)
    right, bottom = np.ceil(np.minimum(last + margin, size) / size * (width, height)).astype(int)
    return {
        role: np.ascontiguousarray(layer[top:bottom, left:right]) for role, layer in layers.items()
    }


def enlarged(mask: Alpha, size: Size) -> Mask8:
    """A mask in [0, 1] as uint8 of `size` (width, height)."""
    levels = cv2.convertScaleAbs(np.clip(mask, 0, 1), alpha=SOLID)
    return cv2.resize(levels, size, interpolation=cv2.INTER_LINEAR)


def parse_box(text: str) -> Box:
    """'x,y,w,h' in pixels, the corner at the upper left. Raises SettingsError."""
    number = r"\s*(\d{1,6})\s*"
    match = re.fullmatch(",".join([number] * 4), text, re.ASCII)
    if not match or not (int(match[3]) and int(match[4])):
        raise SettingsError(
            f"--box {brief(text)}: write x,y,w,h in pixels, for example 40,0,300,480"
        )
    return int(match[1]), int(match[2]), int(match[3]), int(match[4])


def hint_for(picture: Picture, box: Box | None, strokes: Mask8 | None) -> Alpha | None:
    """MPN's hint (h, w) in [0, 1], small, over the whole picture. Raises SettingsError."""
    height, width = picture.shape[:2]
    if box:
        return box_hint(box, (width, height))
    return None if strokes is None else scribble_hint(strokes, (width, height))


def box_hint(box: Box, size: Size) -> Alpha:
    """1 in the box, 0 around it; `box` in pixels of the picture's `size`."""
    x, y, w, h = box
    width, height = size
    if x + w > width or y + h > height:
        raise SettingsError(
            f"--box {x},{y},{w},{h}: reaches out of the picture, which is {width}x{height}"
        )
    mask = np.zeros((height, width), np.uint8)
    mask[y : y + h, x : x + w] = SOLID
    return shrunk(mask)


def scribble_hint(strokes: Mask8, size: Size) -> Alpha:
    """White strokes (h, w) of the same aspect as `size`; thin ones count in full."""
    height, width = strokes.shape
    if abs(width * size[1] / (height * size[0]) - 1) > ASPECT_SLACK:
        raise SettingsError(
            f"--scribble: {width}x{height} is not the shape of the picture, "
            f"{size[0]}x{size[1]}; draw it on a copy of the picture"
        )
    hint: Alpha = np.minimum(shrunk(strokes) * np.float32(STROKE_GAIN), np.float32(1))
    return hint


def read_scribble(path: Path) -> Mask8:
    """White on black (h, w), or on nothing. Raises SettingsError."""
    try:
        strokes = cv2.cvtColor(read_picture(path).over(0), cv2.COLOR_BGR2GRAY)
    except SourceError as error:
        raise SettingsError(f"--scribble {error}") from None
    if not strokes.any():
        raise SettingsError(f"--scribble {path}: all black; mark the person in white")
    return strokes


def shrunk(mask: Mask8) -> Alpha:
    """To the hint's size at most, [0, 1]: MPN sees no more, and a float copy stays small."""
    height, width = mask.shape
    scale = min(1.0, HINT_LONGEST / max(width, height))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(mask, size, interpolation=cv2.INTER_AREA)
    return (small * np.float32(1 / SOLID)).astype(np.float32)
