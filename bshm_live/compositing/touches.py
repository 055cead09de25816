"""What is drawn last, over whatever is shown: vignette, border, a picture with alpha.

None of it comes from the camera, so it stays when nobody may be seen.
"""

from __future__ import annotations

import cv2
import numpy as np

from ..errors import SettingsError, SourceError
from ..settings import Border, Look, Overlay
from ..sources.picture import read_picture
from ..types import Picture, Size

SOLID = 255


class Touches:
    """Draws into pictures (H, W, 3) of one size.

    Vignette: every pixel times 1 - strength r^4, r the distance from the middle over that of a
    corner. Overlay: O a + P (1 - a).
    """

    def __init__(self, size: Size, vignette: float = 0.0, border: Border | None = None) -> None:
        self._mask = falloff(size, vignette) if vignette else None
        self._border = border
        self._overlay: tuple[tuple[slice, slice], Picture, Picture] | None = None

    def lay(self, picture: Picture, alpha: np.ndarray | None, corner: tuple[int, int]) -> None:
        """Takes a picture (h, w, 3), alpha (h, w) uint8 or None, to draw with its corner there.

        (x, y) of a place where all of it lies in the picture.
        """
        height, width = picture.shape[:2]
        x, y = corner
        opaque = np.full((height, width), SOLID, np.uint8) if alpha is None else alpha
        share = cv2.merge([opaque] * 3)
        front = cv2.multiply(picture, share, scale=1 / SOLID)
        self._overlay = np.s_[y : y + height, x : x + width], front, SOLID - share

    def __call__(self, picture: Picture) -> None:
        """Draws over the picture."""
        if self._mask is not None:
            cv2.multiply(picture, self._mask, dst=picture, scale=1 / SOLID)
        if self._border is not None:
            n, colour = self._border.width, self._border.colour
            for edge in (np.s_[:n], np.s_[-n:], np.s_[:, :n], np.s_[:, -n:]):
                picture[edge] = colour
        if self._overlay is not None:
            place, front, rest = self._overlay
            part = picture[place]
            cv2.add(cv2.multiply(part, rest, scale=1 / SOLID), front, dst=part)


def falloff(size: Size, strength: float) -> Picture:
    """What a vignette leaves, (H, W, 3) in 1/255."""
    width, height = size
    x = (np.arange(width, dtype=np.float32) + 0.5) * 2 / width - 1
    y = (np.arange(height, dtype=np.float32) + 0.5) * 2 / height - 1
    square = (x**2 + (y**2)[:, None]) / 2
    left = np.rint(SOLID * (1 - np.float32(strength) * square**2)).astype(np.uint8)
    return np.asarray(cv2.merge([left] * 3), np.uint8)


def open_touches(look: Look, size: Size) -> Touches | None:
    """What a look draws last; None where that is nothing. Raises SettingsError."""
    if not (look.vignette or look.border or look.overlay):
        return None
    if look.border and 2 * look.border.width >= min(size):
        raise SettingsError(
            f"--border {look.border.width}: nothing would be left of {size[0]}x{size[1]}"
        )
    touches = Touches(size, look.vignette, look.border)
    if look.overlay:
        _lay(touches, look.overlay, size)
    return touches


def start(length: str, part: int, side: int) -> int:
    """Where something `part` pixels long begins in a side of so many; see Overlay."""
    number = float(length.rstrip("%"))
    pixels = round(number * side / 100) if length.endswith("%") else int(number)
    return side - part + pixels if length.startswith("-") else pixels


def _lay(touches: Touches, overlay: Overlay, size: Size) -> None:
    try:
        still = read_picture(overlay.path)
    except SourceError as error:
        raise SettingsError(f"--overlay {error}") from None
    height, width = still.picture.shape[:2]
    x, y = start(overlay.x, width, size[0]), start(overlay.y, height, size[1])
    left, top = max(0, -x), max(0, -y)
    right, bottom = min(width, size[0] - x), min(height, size[1] - y)
    if left >= right or top >= bottom:
        raise SettingsError(
            f"--overlay {overlay.path}: {width}x{height} at {x},{y} is not in the picture, "
            f"which is {size[0]}x{size[1]}"
        )
    part = np.s_[top:bottom, left:right]
    alpha = None if still.alpha is None else np.ascontiguousarray(still.alpha[part])
    touches.lay(np.ascontiguousarray(still.picture[part]), alpha, (x + left, y + top))
