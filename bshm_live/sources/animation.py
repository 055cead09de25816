"""Animated pictures that FFmpeg shows as stills: WebP and PNG (APNG), by Pillow."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
from PIL import Image

from ..errors import SourceError

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

SHORTEST_S = 0.02  # what says less is shown for DEFAULT_S, as browsers do
DEFAULT_S = 0.1
ANIMATED = ("GIF", "WEBP", "PNG", "AVIF")  # other formats of several pictures hold pages or views
HEIF = (b"heic", b"heix", b"mif1")  # what a phone's picture says it is, which looks like a video


def is_animation(path: Path) -> bool:
    """Whether the file is a WebP or PNG of more than one picture."""
    kind, count = _looked(path)
    return kind in ("WEBP", "PNG") and count > 1


def is_still(path: Path) -> bool:
    """Whether the file is one picture by its content, in a format that pictures have."""
    kind, count = _looked(path)
    return kind is not None and (count == 1 or kind not in ANIMATED)


def _looked(path: Path) -> tuple[str | None, int]:
    """The kind of picture that a file is, None where it is none, and how many are in it.

    From its header alone: nothing is decoded.
    """
    try:
        with warnings.catch_warnings(), path.open("rb") as file:
            warnings.simplefilter("ignore")  # Pillow's, of what it can live with
            with Image.open(file) as picture:
                return picture.format, _count(picture)
    except Image.DecompressionBombError:  # the one who decodes it refuses it by its size
        return "enormous", 1
    except Exception:  # a decoder's own, as various as what may be wrong in a file
        pass
    with suppress(OSError), path.open("rb") as file:
        head = file.read(12)
        if head[4:8] == b"ftyp" and head[8:12] in HEIF:
            return "HEIF", 1
    return None, 0


def _count(picture: Image.Image) -> int:
    """How many pictures are in the file; 1 where its decoder fails, as it will once more."""
    try:
        return int(getattr(picture, "n_frames", 1))
    except Exception:
        return 1


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
        except Exception as error:  # a decoder's own
            raise SourceError(
                f"{self._path} is damaged ({' '.join(str(error).split())}); copy it again"
            ) from error
