"""Numbered pictures as a sink: all of them appear together at the end, or none."""

from __future__ import annotations

import os
import re
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2

from ..errors import SinkError
from ..files import path_of, why_unwritable
from ..types import Shot, Size
from .codecs import Layer
from .layers import layer_of

PLACE = re.compile(r"%(?:0[1-9])?d")  # of the number, as C's printf writes it
FIRST = 1  # FFmpeg's own first number
LOSSLESS, LOSSY = (".png", ".tif", ".tiff", ".webp"), (".jpg", ".jpeg")
WITH_ALPHA = (".png", ".tif", ".tiff", ".webp")
INSTEAD = "try another folder"


def is_numbered(path: Path) -> bool:
    """Whether a name is one for many pictures, as frame-%04d.png is."""
    return PLACE.search(path.name) is not None


class PictureWriter:
    """Writes one layer of every shot as a picture of its own, numbered from 1 on.

    They are written into a hidden folder beside their places and moved by
    close(ok=True). `transparent` stores foreground and alpha (straight) in formats
    that can. Raises SinkError, and then nothing is left.
    """

    def __init__(
        self, path: Path | str, size: Size, layer: Layer = "composite", *, transparent: bool = False
    ) -> None:
        self.path = path_of(path) if isinstance(path, str) else path
        self.notes: list[str] = []
        self._size, self._layer, self._count = size, layer, 0
        ending = self.path.suffix.lower()
        if ending not in LOSSLESS + LOSSY:
            kinds = " ".join(LOSSLESS + LOSSY)
            raise SinkError(f"{self.path}: unknown kind of picture; end the name in {kinds}")
        self._with_alpha = transparent and layer == "composite" and ending in WITH_ALPHA
        self.needs_foreground = layer == "foreground" or self._with_alpha
        self._part: TemporaryDirectory[str] | None
        try:
            self._part = TemporaryDirectory(".part", ".bshm-live-", self.path.parent)
        except OSError as error:
            raise SinkError(why_unwritable(self.path, error, INSTEAD)) from error

    def describe(self) -> str:
        width, height = self._size
        return f"pictures {self.path}: {width}x{height}, {self._layer}"

    def send(self, shot: Shot) -> None:
        """Writes one picture."""
        if self._part is None:
            raise SinkError(f"{self.path} is closed; open it again")
        picture = layer_of(shot, self._layer, with_alpha=self._with_alpha)
        done, data = cv2.imencode(self.path.suffix.lower(), picture)
        assert done, "OpenCV writes every kind that is let through"
        try:
            Path(self._part.name, self._name(self._count)).write_bytes(data.tobytes())
        except OSError as error:
            self._drop()
            raise SinkError(why_unwritable(self.path, error, INSTEAD)) from error
        self._count += 1

    def close(self, *, ok: bool = True) -> None:
        """Puts all pictures in their places, or with ok=False leaves no trace of them."""
        if self._part is None or not ok:
            return self._drop()
        try:
            for number in range(self._count):
                name = self._name(number)
                os.replace(Path(self._part.name, name), self.path.with_name(name))
        except OSError as error:
            raise SinkError(why_unwritable(self.path, error, INSTEAD)) from error
        finally:
            self._drop()

    def _name(self, number: int) -> str:
        place = PLACE.search(self.path.name)
        assert place is not None
        start, end = place.span()
        return self.path.name[:start] + place[0] % (FIRST + number) + self.path.name[end:]

    def _drop(self) -> None:
        part, self._part = self._part, None
        if part is not None:
            part.cleanup()
