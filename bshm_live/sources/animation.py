"""Animated pictures that FFmpeg shows as stills: WebP and PNG (APNG), by Pillow."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
from PIL import Image, UnidentifiedImageError

from ..errors import SourceError

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

SHORTEST_S = 0.02  # what says less is shown for DEFAULT_S, as browsers do
DEFAULT_S = 0.1
BROKEN = (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError)


def is_animation(path: Path) -> bool:
    """Whether the file is a WebP or PNG of more than one picture."""
    try:
        with path.open("rb") as file, Image.open(file, formats=("WEBP", "PNG")) as picture:
            return getattr(picture, "n_frames", 1) > 1
    except (UnidentifiedImageError, *BROKEN):
        return False


class Animation:
    """An animated picture with the face of a Film. Raises SourceError."""

    aspect: Fraction | None = None

    def __init__(self, path: Path) -> None:
        self._path = path
        times = [seconds for _, seconds in self._pictures()]
        self.count: int | None = len(times)
        self.length: float | None = sum(times)
        self.fps = len(times) / self.length

    def frames(self) -> Iterator[tuple[VideoFrame, float]]:
        """Every frame (RGBA) and seconds since the first."""
        at = 0.0
        for picture, seconds in self._pictures():
            rgba = np.asarray(picture.convert("RGBA"), np.uint8)
            yield av.VideoFrame.from_ndarray(rgba, format="rgba"), at
            at += seconds

    def close(self) -> None:
        """Nothing is kept open."""

    def _pictures(self) -> Iterator[tuple[Image.Image, float]]:
        """Every picture as it is to be seen, and for how many seconds."""
        try:
            with self._path.open("rb") as file, Image.open(file) as picture:
                for number in range(getattr(picture, "n_frames", 1)):
                    picture.seek(number)
                    picture.load()
                    seconds = float(picture.info.get("duration") or 0) / 1000
                    yield picture, seconds if seconds >= SHORTEST_S else DEFAULT_S
        except BROKEN as error:
            raise SourceError(
                f"{self._path} is damaged ({' '.join(str(error).split())}); copy it again"
            ) from error
