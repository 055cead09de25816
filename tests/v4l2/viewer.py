"""Somebody in the call: reads the virtual camera all the time, and says what each picture is.

    python viewer.py clip|squares|looks FOLDER

`clip` knows the composites of clip.py, `squares` those of vivid's coloured squares,
of which the toy networks take the bright ones for a person, `looks` those of looks.py.
A picture that should not be is kept in FOLDER.
"""

from __future__ import annotations

import itertools
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import clip
import cv2
import kit
import looks
import numpy as np

DARK, BRIGHT = 60, 200  # levels of vivid's squares that are never, and sometimes, person
JUMP = 37 / 4  # pixels at 640 that a disc may be off its place


def kind_of_clip(image: np.ndarray) -> str:
    number = clip.number_of(image)
    if clip.raw_pixels(image):
        return "RAW"
    if number is not None:
        xs, place = clip.places(image.shape[1::-1])[0], clip.place_of(image)
        near = JUMP * image.shape[1] / 640
        return "frame" if place and abs(place[0] - xs[number]) < near else "MISMATCH"
    return "background" if clip.is_background(image) else "OTHER"


def kind_of_squares(image: np.ndarray) -> str:
    if clip.solid_pixels(image.max(2) <= DARK):
        return "RAW"
    if clip.solid_pixels(image.min(2) >= BRIGHT):
        return "frame"
    return "background" if clip.is_background(image) else "OTHER"


def watch(kind_of: str, folder: Path) -> None:
    """Prints a line for each picture, for ever: when, what."""
    kinds = {"clip": kind_of_clip, "squares": kind_of_squares, "looks": looks.kind_of}
    tell, step = kinds[kind_of], 4 if kind_of == "looks" else 2
    # As quick as on a machine of its own: one that is late sees torn pictures.
    os.setpriority(os.PRIO_PROCESS, 0, -15)
    camera = cv2.VideoCapture(kit.OUT, cv2.CAP_V4L2)
    while True:
        there, image = camera.read()
        # Not every pixel, for the same reason.
        kind = tell(image[::step, ::step]) if there else "nothing"
        print(time.monotonic(), kind, flush=True)
        if not there:
            time.sleep(0.05)
        elif kind.isupper():
            cv2.imwrite(str(folder / f"{kind}.png"), image)


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
        wrong = {kind for _, kind in self.seen if kind.isupper()}
        assert not wrong, wrong


@contextmanager
def viewing(folder: Path, kind_of: str = "clip", first: str = "frame") -> Iterator[Viewer]:
    """Once the first composite was seen; at the end every picture must have been in order."""
    log = folder / "viewer.log"
    kit.until(lambda: kit.is_camera(kit.OUT), 40)
    with kit.Program(sys.executable, __file__, kind_of, folder, log=log):
        viewer = Viewer(log)
        viewer.waits_for(first, 0.0, 40)
        yield viewer
    for path in folder.glob("*.png"):
        shutil.copy(path, os.environ["GUEST_KEPT"])
    viewer.check()


if __name__ == "__main__":
    watch(sys.argv[1], Path(sys.argv[2]))
