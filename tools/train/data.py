"""Photographs of people, their mattes and empty rooms, framed as a webcam sees them.

Everything is RGB uint8 and held in memory, decoded once; `Frames.make` returns
one new training frame each time: a picture, its alpha and its foreground.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tools.evaluate.foreground import blur_fusion

from .augment import degrade, light

U8 = NDArray[np.uint8]

# How often a frame is made in each way. Composites have an exact alpha;
# originals have the real light and edges, and the teacher's matte.
P_EMPTY = 0.05
P_COMPOSITE = 0.55
P_SECOND_PERSON = 0.08
P_PLAIN_BACKGROUND = 0.12
P_ALIKE = 0.25  # a background in the person's own colours: pale shoulder, pale wall
P_PORTRAIT_ON_WALL = 0.07  # a photograph of somebody behind: not the person
P_SAME_LIGHT = 0.4  # person and room dimmed or tinted together
P_OWN_LENS = 0.35  # the person blurred, compressed or noisy where the room is not
# Official portraits are framed as a webcam frames: they come more often.
WEIGHTS = {"portrait": 3.0, "small": 2.5, "unsplash": 2.0, "street": 1.0, "hair": 0.7}
ZOOM = {"portrait": 1.9, "small": 1.8, "hair": 1.5, "unsplash": 3.0, "street": 4.0}


@dataclass(frozen=True)
class Person:
    """One photograph: picture and straight foreground (H, W, 3), alpha (H, W)."""

    kind: str
    image: U8
    foreground: U8
    alpha: U8
    head_x: float
    head_top: int


def read_rgb(path: Path) -> U8:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise FileNotFoundError(path)
    return np.ascontiguousarray(image[..., ::-1])


def foreground_of(image: U8, alpha: U8) -> U8:
    """Blur fusion, and the picture itself where alpha is full."""
    front = (blur_fusion(image, alpha) + 0.5).astype(np.uint8)
    return np.where(alpha[..., None] > 0.98 * 255, image, front).astype(np.uint8)


def load_people(data: Path, cache: Path) -> list[Person]:
    """All photographs, their foregrounds estimated once and kept in `cache`."""
    if cache.exists():
        people: list[Person] = pickle.loads(cache.read_bytes())
        return people
    people = _read_people(data)
    cache.parent.mkdir(parents=True, exist_ok=True)
    cache.write_bytes(pickle.dumps(people))
    return people


def _read_people(data: Path) -> list[Person]:
    people = []
    for path in sorted((data / "people").glob("*.jpg")):
        alpha = cv2.imread(str(data / "alpha" / f"{path.stem}.png"), cv2.IMREAD_GRAYSCALE)
        if alpha is None:
            continue
        image = read_rgb(path)
        rows = np.flatnonzero((alpha > 127).sum(1) > alpha.shape[1] * 0.03)
        if not len(rows):
            continue
        top = int(rows[0])
        band = alpha[top : top + max(8, alpha.shape[0] // 12)].astype(np.float32).sum(0)
        head_x = float((band * np.arange(len(band))).sum() / max(band.sum(), 1))
        kind = path.stem.split("_")[0]
        people.append(Person(kind, image, foreground_of(image, alpha), alpha, head_x, top))
    return people


def load_rooms(data: Path) -> list[U8]:
    return [read_rgb(path) for path in sorted((data / "rooms").glob("*.jpg"))]


@dataclass(frozen=True)
class Photos:
    """Where the photographs lie and where what is made of them is kept."""

    data: Path
    work: Path
    seed: int = 0

    def people(self) -> list[Person]:
        return load_people(self.data, self.work / "people.pickle")

    def rooms(self) -> list[U8]:
        return load_rooms(self.data)

    def rng(self, shard: str) -> np.random.Generator:
        """Of one file of training frames: the same frames again where it is made again."""
        return np.random.default_rng([self.seed, *shard.encode()])


class Frames:
    """An endless supply of frames; one generator per process, seeded by it."""

    def __init__(self, people: list[Person], rooms: list[U8], seed: int) -> None:
        self.people, self.rooms = people, rooms
        self.rng = np.random.default_rng(seed)
        weights = np.array([WEIGHTS[p.kind] for p in people])
        count = {k: sum(p.kind == k for p in people) for k in WEIGHTS}
        # Between "every photo alike" and "every kind alike".
        weights /= np.array([count[p.kind] for p in people]) ** 0.5
        self.chances = weights / weights.sum()

    def make(self, width: int, height: int) -> tuple[U8, U8, U8]:
        """Picture and foreground (height, width, 3), alpha (height, width)."""
        rng = self.rng
        aspect = float(rng.choice([4 / 3, 16 / 9, rng.uniform(1.2, 1.9)]))
        if rng.random() < P_EMPTY:
            image = self._background(width, height, aspect)
            alpha = np.zeros((height, width), np.uint8)
            return degrade(light(image, rng, 0.3), rng), alpha, image
        person = self._person()
        original = rng.random() >= P_COMPOSITE
        maps = self._frame(person, width, height, aspect, original=original)
        if original:
            image, front, alpha = self._warp(person, maps, width, height, original=True)
            both = light(np.concatenate([image, front]), rng, 0.25)
            return degrade(both[:height], rng), alpha, both[height:]
        _, front, alpha = self._warp(person, maps, width, height, original=False)
        front = light(front, rng, 0.2)
        if rng.random() < P_OWN_LENS:
            front = degrade(front, rng)
        back = light(self._background(width, height, aspect), rng, 0.3)
        if rng.random() < P_PORTRAIT_ON_WALL:
            self._hang_portrait(back)
        if rng.random() < P_ALIKE:
            back = self._alike(back, front, alpha)
        if rng.random() < P_SECOND_PERSON:
            front, alpha = self._beside(front, alpha, width, height, aspect)
        image = blend(front, alpha, back)
        if rng.random() < P_SAME_LIGHT:
            both = light(np.concatenate([image, front]), rng, 0.4)
            image, front = both[:height], both[height:]
        return degrade(image, rng), alpha, front

    def _alike(self, back: U8, front: U8, alpha: U8) -> U8:
        """`back` moved towards the mean colour of one band of the person."""
        rng = self.rng
        h = alpha.shape[0]
        top = int(rng.uniform(0, 0.7) * h)
        band = np.s_[top : top + max(4, h // 3)]
        solid = alpha[band] > 230
        if not solid.any():
            return back
        shift = front[band][solid].mean(0) - back.mean((0, 1))
        moved = back.astype(np.float32) + shift * rng.uniform(0.5, 1.0)
        return np.clip(moved, 0, 255).astype(np.uint8)

    def _hang_portrait(self, back: U8) -> None:
        """Somebody's photograph on the wall, drawn into `back`."""
        rng = self.rng
        h, w = back.shape[:2]
        picture = self._person().image
        side = rng.uniform(0.12, 0.4) * h
        size = (max(8, int(side * rng.uniform(0.7, 1.1))), max(8, int(side)))
        x = int(rng.uniform(0, max(1, w - size[0])))
        y = int(rng.uniform(0, 0.6) * max(1, h - size[1]))
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        back[y : y + size[1], x : x + size[0]] = picture[: h - y, : w - x]

    def _person(self) -> Person:
        return self.people[int(self.rng.choice(len(self.people), p=self.chances))]

    def _beside(
        self, front: U8, alpha: U8, width: int, height: int, aspect: float
    ) -> tuple[U8, U8]:
        """A second person behind the first; the union of both is the matte."""
        other = self._person()
        maps = self._frame(other, width, height, aspect, original=False)
        maps[0, 2] += self.rng.uniform(-0.6, 0.6) * width
        _, front2, alpha2 = self._warp(other, maps, width, height, original=False)
        a1, a2 = alpha.astype(np.float32) / 255, alpha2.astype(np.float32) / 255
        union = a1 + (1 - a1) * a2
        share = (a1 / np.maximum(union, 1e-4))[..., None]
        colour = front * share + light(front2, self.rng, 0.2) * (1 - share)
        return colour.astype(np.uint8), (union * 255 + 0.5).astype(np.uint8)

    def _frame(
        self, p: Person, width: int, height: int, aspect: float, *, original: bool
    ) -> NDArray[np.float64]:
        """2x3 matrix, photo to frame: a crop around the head that stays on the photo."""
        rng = self.rng
        ph, pw = p.alpha.shape
        zoom = float(np.exp(rng.uniform(np.log(0.9), np.log(ZOOM[p.kind]))))
        crop_h = ph / zoom
        crop_w = crop_h * aspect
        touches = (p.alpha[:, :2] > 60).any() or (p.alpha[:, -2:] > 60).any()
        if touches and crop_w > pw:  # an original cannot grow; a composite's shoulders can
            width_kept = pw * rng.uniform(1.0, 1.0 if original else 1.35)
            squeeze = rng.uniform(1.0, 1.25)
            crop_h, crop_w = min(crop_h, crop_h * width_kept * squeeze / crop_w), width_kept
        roomy = 0.3 if crop_h > 0.8 * ph else 0.15
        y0 = p.head_top - rng.uniform(-0.04, roomy) * crop_h
        if p.head_top < 3:
            y0 = max(y0, 0.0)
        x0 = p.head_x - crop_w * rng.uniform(0.3, 0.7)
        if touches:
            x0 = float(np.clip(x0, 0, pw - crop_w)) if crop_w <= pw else (pw - crop_w) / 2
        if y0 + crop_h > ph:
            y0 = ph - crop_h
        sx, sy = width / crop_w, height / crop_h
        flip = rng.random() < 0.5
        angle = float(np.clip(rng.normal(0, 4), -12, 12)) if rng.random() < 0.5 else 0.0
        move = np.array([[sx, 0, -x0 * sx], [0, sy, -y0 * sy], [0, 0, 1]])
        if flip:
            move = np.array([[-1, 0, width], [0, 1, 0], [0, 0, 1]]) @ move
        turn = np.vstack([cv2.getRotationMatrix2D((width / 2, height), angle, 1.03), [0, 0, 1]])
        return (turn @ move)[:2]

    def _warp(
        self, p: Person, m: NDArray[np.float64], width: int, height: int, *, original: bool
    ) -> tuple[U8, U8, U8]:
        size = (width, height)
        border = cv2.BORDER_REFLECT_101 if original else cv2.BORDER_REPLICATE
        sources = (p.image, p.foreground, p.alpha)
        shrink = min(1.0, max(abs(m[0, 0]), abs(m[1, 1])))
        if shrink < 0.6:  # an affine warp alone would alias
            sources = tuple(
                cv2.resize(s, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
                for s in sources
            )
            m = m.copy()
            m[:, :2] /= shrink
        image = cv2.warpAffine(sources[0], m, size, borderMode=border) if original else sources[0]
        front = cv2.warpAffine(sources[1], m, size, borderMode=border)
        alpha = cv2.warpAffine(sources[2], m, size, borderMode=border)
        return image, front, alpha

    def _background(self, width: int, height: int, aspect: float) -> U8:
        rng = self.rng
        if rng.random() < P_PLAIN_BACKGROUND:
            return self._plain(width, height)
        room = self.rooms[int(rng.integers(len(self.rooms)))]
        rh, rw = room.shape[:2]
        crop_h = min(rh, rw / aspect) * rng.uniform(0.35, 1.0)
        crop_w = crop_h * aspect
        x, y = rng.uniform(0, rw - crop_w), rng.uniform(0, rh - crop_h)
        part = room[int(y) : int(y + crop_h) + 1, int(x) : int(x + crop_w) + 1]
        image = cv2.resize(part, (width, height), interpolation=cv2.INTER_LINEAR)
        if rng.random() < 0.5:
            image = image[:, ::-1]
        if rng.random() < 0.4:  # out of focus
            image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 0.02 * width))
        return np.ascontiguousarray(image)

    def _plain(self, width: int, height: int) -> U8:
        """A wall: two colours that run into each other."""
        corners = self.rng.uniform(0, 255, 3) + self.rng.normal(0, 25, (2, 2, 3))
        wall = cv2.resize(np.clip(corners, 0, 255).astype(np.float32), (width, height))
        return wall.astype(np.uint8)


def blend(front: U8, alpha: U8, back: U8) -> U8:
    a = (alpha.astype(np.float32) / 255)[..., None]
    return (front * a + back * (1 - a) + 0.5).astype(np.uint8)
