"""The latest composite for whoever looks, small and as JPEG; nothing is done while nobody does."""

from __future__ import annotations

import time

import cv2
import numpy as np

from ..types import Picture, Shot, Size

WIDTH = 640  # pixels at most
PERIOD_S = 1 / 12  # between two pictures
LOOKED_S = 2.0  # since the last look: after it nobody looks
QUALITY = 75  # of JPEG


class Preview:
    """A Sink that keeps one composite. `jpeg` may be called from any thread.

    It never holds the loop up: a picture that nobody has fetched is written over.
    """

    needs_foreground = False

    def __init__(self, size: Size) -> None:
        width, height = size
        scale = min(1.0, WIDTH / width)
        self._size = (max(2, round(width * scale)), max(2, round(height * scale)))
        self._picture: Picture | None = None
        self._made: tuple[Picture, bytes] | None = None  # the JPEG, and what it was made of
        self._looked_at = self._kept_at = float("-inf")

    def describe(self) -> str:
        return "preview for the control page"

    def send(self, shot: Shot) -> None:
        now = time.monotonic()
        if now - self._looked_at > LOOKED_S or now - self._kept_at < PERIOD_S:
            return
        self._kept_at = now
        small = cv2.resize(shot.composite, self._size, interpolation=cv2.INTER_AREA)
        self._picture = np.asarray(small, np.uint8)

    def jpeg(self) -> bytes | None:
        """The newest composite; None where there is none yet."""
        self._looked_at = time.monotonic()
        picture, made = self._picture, self._made
        if picture is None:
            return None
        if made is None or made[0] is not picture:
            quality = [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
            made = picture, cv2.imencode(".jpg", picture, quality)[1].tobytes()
            self._made = made
        return made[1]

    def close(self, *, ok: bool = True) -> None:
        """Nothing to give back."""
