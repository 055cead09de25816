"""What stands behind the person: each background gives a picture for a frame."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from ..errors import SettingsError, SourceError
from ..files import why_unreadable
from ..kernels.call import Room, address, run
from ..settings import BackgroundSpec
from ..sources.animation import is_still
from ..sources.picture import read_picture
from ..types import Frame, Matte, Picture, Size
from .depth import Depth, grid_of
from .fit import UNDER
from .fit import cover as cover
from .moving import Beside, InStep

# Strength and what it does: the Gaussian's sigma in pixels of a picture 720 high, linear in
# between. At the least, letters 32 pixels high have lost their strokes; less is not offered.
BLUR_STRENGTHS = (1, 25, 200)
BLUR_SIGMAS = (11.0, 13.75, 100.0)
BLUR_HEIGHT = 720
BLUR_GRID = 4  # the blur is computed on a picture at least this much smaller,
BLUR_MOST = 5.0  # and so small that no sigma there is larger: its cost does not grow
DARK = 24  # level of the card that stands in for a blur without a matte


class Background(Protocol):
    """A picture (H, W, 3) of the output's size; the caller does not write into it.

    `matte` is None where the frame has no valid one. `close` ends what runs for it.
    """

    def __call__(self, frame: Frame, matte: Matte | None) -> Picture: ...
    def close(self) -> None: ...


def open_background(
    spec: BackgroundSpec, size: Size, *, live: bool = False, depth: bool = False
) -> Background:
    """The background that was asked for, at the output's size. Raises SettingsError.

    A video gives a file's frames the pictures of their own times; in a `live` run
    it plays beside the loop. With `depth` a blur grows with the distance.
    """
    if spec.path is not None:
        return open_file(spec.path, size, live=live)
    if spec.kind == "blur":
        return Blur(spec.radius, size, depth=depth)
    return Fixed(plain(spec.colour, size))


def open_file(path: Path, size: Size, *, live: bool) -> Background:
    """A picture or a video: the content decides, not the name's ending."""
    if why := why_unreadable(path):
        raise SettingsError(f"--bg {why}")
    try:
        if is_still(path):
            return Fixed(cover(read_picture(path).over(UNDER), size))
        return Beside(path, size) if live else InStep(path, size)
    except SourceError as error:
        raise SettingsError(f"--bg {error}") from None


class Fixed:
    """The same picture behind every frame."""

    def __init__(self, picture: Picture) -> None:
        self._picture = picture

    def __call__(self, frame: Frame, matte: Matte | None) -> Picture:
        return self._picture

    def close(self) -> None:
        """Nothing runs."""


class Blur:
    """The frame's own room, out of focus, without the person in it.

    Normalised convolution (Knutsson and Westin, CVPR 1993): blur(w B) / blur(w)
    of the room's own colour B, w = (1 - a)², so that the person does not bleed into it.
    `strength` is as in BLUR_STRENGTHS. With `depth` it is a lens's: see depth.py.
    """

    def __init__(self, strength: int, size: Size, *, depth: bool = False) -> None:
        width, height = size
        sigma = np.interp(strength, BLUR_STRENGTHS, BLUR_SIGMAS) * height / BLUR_HEIGHT
        grid = max(BLUR_GRID, grid_of(sigma) if depth else sigma / BLUR_MOST)
        self._size = size
        self._small = (max(2, int(width / grid)), max(2, int(height / grid)))
        self._sigma = sigma * self._small[1] / height
        self._depth = Depth(self._small, self._sigma) if depth else None
        self._card = plain((DARK, DARK, DARK), size)

    def __call__(self, frame: Frame, matte: Matte | None) -> Picture:
        if matte is None:
            return self._card
        width, height = self._small
        small = shrunk(frame.image, self._small)
        alpha = cv2.resize(matte.alpha, self._small, interpolation=cv2.INTER_AREA)
        residual = cv2.resize(matte.residual, self._small, interpolation=cv2.INTER_LINEAR)
        # I = a F + (1 - a) B and F = I + residual, so that hair leaves no tint in the room:
        # (1 - a) B = (1 - a) I - a residual. And once more by 1 - a: what is nearly all
        # person says little of the room.
        seen = np.empty((height, width, 4), np.float32)
        arguments = Room(
            small=address(small, (height, width, 3), np.uint8),
            alpha=address(alpha, (height, width), np.float32),
            residual=address(residual, (height, width, 3), np.float32),
            seen=seen.ctypes.data,
            w=width,
            h=height,
            lifted=self._depth is not None,
        )
        run("room", arguments, height)
        # Deep inside the person no room is near: the mean of all of it stands in.
        *sums, weight = cv2.sumElems(seen)
        arguments.mean[:] = [total / max(weight, 1e-3) for total in sums]
        if self._depth is None:
            blurred = cv2.GaussianBlur(seen, (0, 0), self._sigma)
        else:
            blurred = self._depth(seen, alpha, frame.time)
        arguments.blurred = blurred.ctypes.data
        room = np.empty((height, width, 3), np.uint8)
        arguments.out = room.ctypes.data
        run("spread", arguments, height)
        return cv2.resize(room, self._size, interpolation=cv2.INTER_LINEAR)

    def close(self) -> None:
        """Nothing runs."""


def shrunk(picture: Picture, size: Size) -> Picture:
    """The picture at a smaller size; through a quarter of it, where OpenCV is fastest."""
    height, width = picture.shape[:2]
    quarter = (width // BLUR_GRID, height // BLUR_GRID)
    if size[0] < quarter[0] and size[1] < quarter[1]:
        picture = cv2.resize(picture, quarter, interpolation=cv2.INTER_AREA)
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


def plain(colour: tuple[int, int, int], size: Size) -> Picture:
    """One (B, G, R) colour."""
    return np.full((size[1], size[0], 3), colour, np.uint8)


def studio(size: Size) -> Picture:
    """A drawn background: a dusky wall with a pool of warm light."""
    width, height = size
    x = np.linspace(-1, 1, width, dtype=np.float32)[None]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    glow = np.exp(-1.6 * ((x - 0.35) ** 2 + (y + 0.25) ** 2))[..., None]
    dusk, lamp = np.array([92, 58, 46], np.float32), np.array([112, 168, 226], np.float32)
    return (dusk * (1 - glow) + lamp * glow).astype(np.uint8)


CARD_TEXT = "Back in a moment"
CARD_GROUND, CARD_INK = (52, 44, 40), (214, 208, 204)  # BGR
CARD_SHARE = 0.5  # of the card's width


def card(size: Size, text: str = CARD_TEXT) -> Picture:
    """A plain picture (H, W, 3) with a short text in its middle."""
    width, height = size
    picture = np.full((height, width, 3), CARD_GROUND, np.uint8)
    font = cv2.FONT_HERSHEY_SIMPLEX
    (wide, _), _ = cv2.getTextSize(text, font, 1.0, 1)
    scale = CARD_SHARE * width / wide
    thick = max(1, round(2 * scale))
    (wide, high), _ = cv2.getTextSize(text, font, scale, thick)
    corner = ((width - wide) // 2, (height + high) // 2)
    cv2.putText(picture, text, corner, font, scale, CARD_INK, thick, cv2.LINE_AA)
    return picture


def first_picture(background: Background, size: Size) -> Picture:
    """The background alone, before there is a frame."""
    return background(Frame(plain((0, 0, 0), size), 0, 0.0), None)
