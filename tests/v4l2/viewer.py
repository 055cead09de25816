"""Somebody in the call: reads the virtual camera all the time, and says what each picture is.

    python viewer.py clip|squares FOLDER

`clip` knows the composites of clip.py, `squares` those of vivid's coloured squares,
of which the toy networks take the bright ones for a person. A raw picture is kept.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import clip
import cv2
import kit
import numpy as np

DARK, BRIGHT = 60, 200  # levels of vivid's squares that are never, and sometimes, person
JUMP = 37 / 4  # pixels at 640 that a disc may be off its place


def kind_of_clip(image: np.ndarray) -> str:
    number = clip.number_of(image)
    if clip.raw_pixels(image):
        return "RAW"
    if number is not None:
        xs, place = clip.places(image.shape[1::-1])[0], clip.place_of(image)
        return "frame" if place and abs(place[0] - xs[number]) < JUMP else "MISMATCH"
    return "background" if clip.is_background(image) else "OTHER"


def kind_of_squares(image: np.ndarray) -> str:
    if clip.solid_pixels(image.max(2) <= DARK):
        return "RAW"
    if clip.solid_pixels(image.min(2) >= BRIGHT):
        return "frame"
    return "background" if clip.is_background(image) else "OTHER"


def watch(kind_of: str, folder: Path) -> None:
    """Prints a line for each picture, for ever: when, what."""
    tell = {"clip": kind_of_clip, "squares": kind_of_squares}[kind_of]
    camera = cv2.VideoCapture(kit.OUT, cv2.CAP_V4L2)
    while True:
        there, image = camera.read()
        kind = tell(image) if there else "nothing"
        print(time.monotonic(), kind, flush=True)
        if not there:
            time.sleep(0.05)
        elif kind == "RAW":
            cv2.imwrite(str(folder / "raw.png"), image)


class Viewer:
    """What was seen, and when."""

    def __init__(self, log: Path) -> None:
        self.log = log

    @property
    def seen(self) -> list[tuple[float, str]]:
        rows = [line.split() for line in self.log.read_text().splitlines()]
        return [(float(row[0]), row[1]) for row in rows if len(row) == 2]

    def waits_for(self, kind: str, since: float, seconds: float = 30) -> float:
        """When the first picture of that kind was seen after `since`."""
        kit.until(lambda: self._first(kind, since) is not None, seconds, f"no {kind} was seen")
        first = self._first(kind, since)
        assert first is not None
        return first

    def _first(self, kind: str, since: float) -> float | None:
        return next((at for at, what in self.seen if what == kind and at > since), None)

    def longest_silence(self, since: float) -> float:
        """Seconds without a picture."""
        times = [at for at, what in self.seen if at > since and what != "nothing"]
        return max((b - a for a, b in itertools.pairwise(times)), default=0.0)

    def longest_without(self, kind: str, since: float) -> float:
        """Seconds without a picture of that kind."""
        times = [at for at, what in self.seen if at > since and what == kind]
        return max((b - a for a, b in itertools.pairwise([since, *times])), default=0.0)

    def check(self) -> None:
        kinds = {kind for _, kind in self.seen}
        assert kinds <= {"frame", "background", "nothing"}, kinds


@contextmanager
def viewing(folder: Path, kind_of: str = "clip") -> Iterator[Viewer]:
    """Once the first composite was seen; at the end every picture must have been in order."""
    log = folder / "viewer.log"
    kit.until(lambda: kit.is_camera(kit.OUT), 40)
    with kit.Program(sys.executable, __file__, kind_of, folder, log=log):
        viewer = Viewer(log)
        viewer.waits_for("frame", 0.0, 40)
        yield viewer
    viewer.check()


if __name__ == "__main__":
    watch(sys.argv[1], Path(sys.argv[2]))
