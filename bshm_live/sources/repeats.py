"""A camera that sends one picture again and again has frozen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ..types import Picture

REPEATS_S = 2.5  # noise makes any two pictures of a live camera differ
SAMPLED = 16  # every 16th row is compared first: nearly always that settles it


class Repeats:
    """Tells what is wrong with a camera's picture once it has been the same for REPEATS_S.

    A broken camera may send its last picture for ever, and OpenCV gives the last one that
    it could decode for each that it could not. Where a still picture is right (a covered
    lens, a photo that is played) it shows nobody alive: no person is lost.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._last: Picture | None = None
        self._since = 0.0

    def __call__(self, picture: Picture, now: float) -> str | None:
        """The fault of a picture (H, W, 3) that came at `now` seconds; None where it has none."""
        if self._last is None or not _same(picture, self._last):
            self._since = now
        self._last = picture
        if now - self._since < REPEATS_S:
            return None
        return (
            f"camera {self._name} sends the same picture again and again; "
            "open its cover, or unplug it and plug it in again"
        )


def _same(one: Picture, other: Picture) -> bool:
    return np.array_equal(one[::SAMPLED], other[::SAMPLED]) and np.array_equal(one, other)
