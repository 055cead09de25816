"""The heads in a picture: eyes, nose, mouth corners, chin and crown of each.

A network of our own looks at the whole picture, then at each head from near: larger and
smaller, and mirrored; the median of what it sees counts, and what it does not see again is
no head. It answers with a heat map of the faces' middles and, at each place, where the points of
its head lie (after Zhou et al., "Objects as Points", 2019).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ..types import Engine, Picture, Size, Tensor
from .warp import Matrix, mapped, sampled

SIZE = (192, 128)  # pixels: width and height of the network's picture
GLANCE_SIZE = (384, 216)  # pixels: what a glance leaves of a picture, at least
STRIDE = 8  # pixels: one place of the maps
POINTS, FIVE = 7, 5  # left and right eye (as seen), nose, mouth corners; then chin and crown
LEVELS = 255.0
GREY = 128  # around a picture of another shape
HEAT_LEAST = 0.35  # of 1: what is a head
SURE_LEAST = 0.65  # of 1: the same of the looks from near, where rooms look less like heads
APART = 0.35  # of a head's length: two middles nearer than this are one head
NEAR_LENGTHS = (56, 73, 95)  # pixels: crown to chin in the looks from near
PASSES = 2  # each from where the last one found the head
STRAIGHTENED = 40.0  # degrees: what is tilted more is looked at as it is
MIRRORED = [1, 0, 2, 4, 3, 5, 6]  # the points' places in a mirrored picture
Points = NDArray[np.float32]


@dataclass(frozen=True)
class Head:
    """One head: `points` (7, 2) are x, y in pixels, `sure` is in [0, 1].

    Left eye and left mouth corner are those on the left of the picture of an upright head.
    """

    points: Points
    sure: float

    @property
    def eyes(self) -> Points:
        return self.points[:2]

    @property
    def nose(self) -> Points:
        return self.points[2]

    @property
    def mouth(self) -> Points:
        return self.points[3:5]

    @property
    def chin(self) -> Points:
        return self.points[5]

    @property
    def crown(self) -> Points:
        return self.points[6]

    @property
    def middle(self) -> Points:
        """Of the face: the mean of eyes, nose and mouth corners."""
        middle: Points = self.points[:FIVE].mean(0)
        return middle

    @property
    def length(self) -> float:
        """From the crown to the chin, in pixels."""
        return float(np.linalg.norm(self.crown - self.chin))

    @property
    def tilt(self) -> float:
        """Degrees that the line of the eyes falls to the right."""
        x, y = self.eyes[1] - self.eyes[0]
        return float(np.degrees(np.arctan2(y, x)))


class HeadFinder:
    """Finds heads, the largest first. Owns its engine; raises EngineError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __call__(self, picture: Picture) -> list[Head]:
        """The heads of a BGR picture (H, W, 3) of any size, in its pixels."""
        rgb = np.ascontiguousarray(picture[..., ::-1])
        first = self._look(rgb, letterbox(rgb))
        nearer = [self._nearer(rgb, head) for head in first]
        heads = apart([head for head in nearer if head])
        return sorted(heads, key=lambda head: -head.length)

    def glance(self, picture: Picture) -> list[Head]:
        """The same by a single look at every few of its pixels: a tenth of the time, less exact."""
        height, width = picture.shape[:2]
        step = max(1, min(width // GLANCE_SIZE[0], height // GLANCE_SIZE[1]))
        few = (width // step, height // step)
        small = cv2.resize(picture, few, interpolation=cv2.INTER_NEAREST)
        rgb = np.ascontiguousarray(small[..., ::-1])
        scale = np.array([width / few[0], height / few[1]], np.float32)
        found = self._look(rgb, letterbox(rgb))
        return [Head(head.points * scale, head.sure) for head in found]

    def close(self) -> None:
        self._engine.close()

    def _look(self, rgb: Picture, matrix: Matrix, *, mirrored: bool = False) -> list[Head]:
        """The heads that the network sees where `matrix` maps the picture to its own."""
        if mirrored:
            matrix = matrix * [[-1], [1]] + [[0, 0, SIZE[0]], [0, 0, 0]]
        small = sampled(rgb, matrix, SIZE, border=GREY, method=cv2.INTER_LINEAR)
        tensor: Tensor = np.ascontiguousarray(
            small.transpose(2, 0, 1)[None] * np.float32(1 / LEVELS)
        )
        maps = self._engine.run({"image": tensor})
        heads = heads_of(maps["heat"], maps["points"])
        back = cv2.invertAffineTransform(matrix)
        order = MIRRORED if mirrored else slice(None)
        return [
            Head(mapped(head.points, back).astype(np.float32)[order], head.sure) for head in heads
        ]

    def _nearer(self, rgb: Picture, head: Head) -> Head | None:
        """The same head upright and from near, several times; None where most see none there."""
        scale = min(1.0, 2 * NEAR_LENGTHS[-1] / max(size_of(head), 1.0))
        base = sampled(rgb, np.eye(2, 3) * scale, scaled(rgb, scale)) if scale < 1 else rgb
        head = Head(head.points * np.float32(scale), head.sure)
        for _ in range(PASSES):
            seen = [
                min(same, key=lambda one: distance(one, head))
                for length in NEAR_LENGTHS
                for mirrored in (False, True)
                if (same := self._same(base, head, length, mirrored))
            ]
            if len(seen) <= len(NEAR_LENGTHS):  # of twice as many
                return None
            points = np.median([one.points for one in seen], axis=0).astype(np.float32)
            head = Head(points, float(np.median([one.sure for one in seen])))
        if head.sure < SURE_LEAST:
            return None
        return Head(head.points / np.float32(scale), head.sure)

    def _same(self, base: Picture, head: Head, length: float, mirrored: bool) -> list[Head]:
        found = self._look(base, upright(head, length), mirrored=mirrored)
        return [one for one in found if distance(one, head) < APART * size_of(head)]


def letterbox(picture: Picture) -> Matrix:
    """The whole picture inside SIZE, in its middle."""
    height, width = picture.shape[:2]
    scale = min(SIZE[0] / width, SIZE[1] / height)
    corner = (np.array(SIZE) - scale * np.array([width, height])) / 2
    return np.array([[scale, 0, corner[0]], [0, scale, corner[1]]])


def upright(head: Head, length: float) -> Matrix:
    """The head in the middle of SIZE, `length` pixels long, straight if it is not far from it."""
    scale = length / max(size_of(head), 1.0)
    turn = np.radians(head.tilt) if abs(head.tilt) < STRAIGHTENED else 0.0
    cos, sin = scale * np.cos(turn), scale * np.sin(turn)
    rotation = np.array([[cos, sin], [-sin, cos]])
    corner: Matrix = np.array(SIZE) / 2 - rotation @ head.middle
    return np.column_stack((rotation, corner))


def scaled(picture: Picture, scale: float) -> Size:
    height, width = picture.shape[:2]
    return max(1, round(width * scale)), max(1, round(height * scale))


def size_of(head: Head) -> float:
    """The head's length, in pixels; by the face where the crown is too near to be true."""
    return max(head.length, 1.5 * float(np.linalg.norm(head.chin - head.eyes.mean(0))))


def heads_of(heat: Tensor, points: Tensor) -> list[Head]:
    """Heads in the network's pixels: the peaks of heat (1, 1, h, w), the surest first.

    A head's points are those at its peak and beside it, weighted by their heat.
    """
    place = heat[0, 0]
    around = cv2.dilate(place, np.ones((3, 3), np.uint8))
    peaks = np.argwhere((place >= around) & (place >= HEAT_LEAST))
    heads = []
    for row, column in sorted(peaks.tolist(), key=lambda at: -place[at[0], at[1]]):
        rows = slice(max(row - 1, 0), row + 2)
        columns = slice(max(column - 1, 0), column + 2)
        weight = place[rows, columns] ** 2
        weight = weight * (weight >= 0.25 * place[row, column] ** 2)
        mean = (points[0, :, rows, columns] * weight).sum((1, 2)) / weight.sum()
        heads.append(Head(mean.reshape(POINTS, 2), float(place[row, column])))
    return apart(heads)


def apart(heads: list[Head]) -> list[Head]:
    """Each head once: of two at one place the surer."""
    kept: list[Head] = []
    for head in sorted(heads, key=lambda head: -head.sure):
        if all(distance(head, one) > APART * max(head.length, one.length) for one in kept):
            kept.append(head)
    return kept


def distance(one: Head, other: Head) -> float:
    """Between the middles of two faces, in pixels."""
    return float(np.linalg.norm(one.middle - other.middle))
