"""One picture as a JPEG or PNG of a true printed size, its file within limits."""

from __future__ import annotations

from io import BytesIO
from typing import Literal

import cv2
from PIL import Image

from ..errors import SinkError
from ..types import Picture

Format = Literal["jpg", "png"]
FORMATS: tuple[Format, ...] = ("jpg", "png")
QUALITY, QUALITY_LEAST, QUALITY_MOST = 95, 30, 100
# A kilobyte is 1000 bytes to some offices and 1024 to others: files suit both.
LEAST_BYTES, MOST_BYTES = 1024, 1000


def encoded(picture: Picture, kind: Format, dpi: int, kb: tuple[int, int] | None = None) -> bytes:
    """The file's bytes; `dpi` stands in it. BGR (h, w, 3).

    A JPEG comes into `kb` (least and most, in kilobytes) by its quality alone. Raises
    SinkError where none will do.
    """
    image = Image.fromarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
    first = _written(image, kind, dpi, QUALITY)
    if kb is None:
        return first
    least, most = kb[0] * LEAST_BYTES, kb[1] * MOST_BYTES
    if least <= len(first) <= most:
        return first
    if kind == "png":
        raise SinkError(
            f"{len(first) / MOST_BYTES:.0f} kB as PNG, {kb[0]}-{kb[1]} are asked for; use jpg"
        )
    low, high = (QUALITY_LEAST, QUALITY - 1) if len(first) > most else (QUALITY + 1, QUALITY_MOST)
    best = None
    while low <= high:  # the largest file that is not too large
        quality = (low + high) // 2
        made = _written(image, kind, dpi, quality)
        if len(made) <= most:
            best, low = made, quality + 1
        else:
            high = quality - 1
    if best is None or len(best) < least:
        size = len(best if best is not None else made) / MOST_BYTES
        raise SinkError(
            f"{size:.0f} kB at the {'best' if best is not None else 'lowest'} quality, "
            f"{kb[0]}-{kb[1]} are asked for; choose other --kb or another --size"
        )
    return best


def _written(image: Image.Image, kind: Format, dpi: int, quality: int) -> bytes:
    file = BytesIO()
    if kind == "png":
        image.save(file, "PNG", dpi=(dpi, dpi), optimize=True)
    else:  # no colour is halved: thin red and blue edges stay
        image.save(file, "JPEG", dpi=(dpi, dpi), quality=quality, subsampling=0, optimize=True)
    return file.getvalue()
