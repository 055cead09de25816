"""Training frames: people over rooms and as they were photographed.

`Frames.make` returns one new frame each time: a picture, its alpha and its foreground,
RGB uint8. Half of the frames show heads as a webcam does, the others people as varied
as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from . import objects
from .augment import degrade, hues, light
from .drawing import onto, over
from .fabric import draped
from .framing import Matrix, anywhere, around_head, touched, warped
from .hair import hair
from .people import U8, Person, load_people, load_rooms

# How often a frame is made in each way. Composites have an exact alpha;
# originals have the real light and edges, and the teacher's matte.
P_EMPTY = 0.1
P_COMPOSITE = 0.55
P_COMPOSITE_ANYWHERE = 0.4
P_PLAIN_BACKGROUND = 0.12
P_ALIKE = 0.25  # a background in the person's own colours: pale shoulder, pale wall
P_PORTRAIT_ON_WALL = 0.07  # a photograph of somebody behind: not the person
P_SAME_LIGHT = 0.4  # person and room dimmed or tinted together
P_OWN_LENS = 0.35  # the person blurred, compressed or noisy where the room is not
P_OTHERS_ROOM = 0.3  # a background cut from a photograph of people: streets, fields, stages
P_HELD, P_ARM, P_BEHIND = 0.12, 0.1, 0.25  # drawn into composites
P_LOWER, LOWER = 0.1, 0.45  # little more than a head is seen; by so much of the picture's height
P_HUES = 0.25  # a room in other colours
P_DRAPED = 0.15  # a bed, a sofa or a curtain of a room in the cloth of clothes
P_HAIR = 0.1  # strands drawn onto somebody; `Frames.p_hair`
OTHERS = (0.92, 0.08)  # chances of 0, 1, ... more people in a webcam's frame
OTHERS_ANYWHERE = (0.7, 0.15, 0.08, 0.04, 0.03)
# Official portraits are framed as a webcam frames: they come more often.
WEIGHTS = {"portrait": 3.0, "small": 2.5, "unsplash": 2.0, "street": 1.0, "hair": 0.7}
WEIGHTS |= {"mixed": 4.0, "mask": 1.5, "fashion": 1.5, "flickr": 2.5, "webcam": 3.0, "cctv": 2.0}
# Share of each kind's frames that are cropped anywhere; the others are cropped around a head.
ANYWHERE = {"portrait": 0.2, "small": 0.2, "unsplash": 0.5, "street": 0.5, "hair": 0.2}
ANYWHERE |= {"mixed": 0.85, "mask": 0.3, "fashion": 0.8, "flickr": 0.85, "webcam": 0.4, "cctv": 1.0}
ASPECTS = (4 / 3, 16 / 9)  # of webcams
ASPECTS_ANYWHERE = (0.56, 1.95)  # of photographs, evenly in their logarithm
EMPTY_TRIES = 6
NOBODY = 8  # highest alpha in a background cut from a photograph of people


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
    """An endless supply of frames; one generator per process, seeded by it.

    `aspect` is that of the last frame before it was stretched to the size asked for.
    """

    def __init__(self, people: list[Person], rooms: list[U8], seed: int) -> None:
        self.people, self.rooms = people, rooms
        self.rng = np.random.default_rng(seed)
        self.aspect, self.p_hair = 1.0, P_HAIR
        weights = np.array([WEIGHTS[p.kind] for p in people])
        count = {k: sum(p.kind == k for p in people) for k in WEIGHTS}
        # Between "every photo alike" and "every kind alike".
        weights /= np.array([count[p.kind] for p in people]) ** 0.5
        self.chances = weights / weights.sum()

    def make(self, width: int, height: int) -> tuple[U8, U8, U8]:
        """Picture and foreground (height, width, 3), alpha (height, width)."""
        rng = self.rng
        person = self._person()
        free = rng.random() < ANYWHERE[person.kind]
        if free:
            self.aspect = float(np.exp(rng.uniform(*np.log(ASPECTS_ANYWHERE))))
        else:
            self.aspect = float(rng.choice([*ASPECTS, rng.uniform(1.2, 1.9)]))
        if rng.random() < P_EMPTY:
            image = self._background(width, height)
            alpha = np.zeros((height, width), np.uint8)
            if rng.random() < P_BEHIND:
                image = objects.behind(image, alpha, self._room(), rng)
            return degrade(light(image, rng, 0.3), rng), alpha, image
        if rng.random() < (P_COMPOSITE_ANYWHERE if free else P_COMPOSITE):
            return self._composite(person, (width, height), free)
        maps = self._frame(person, (width, height), free, original=True)
        image, front, alpha = warped(person, maps, (width, height), original=True)
        if rng.random() < self.p_hair and (strands := hair(front, alpha, rng)):
            image, (front, alpha) = onto(image, strands), over(front, alpha, strands)
        both = light(np.concatenate([image, front]), rng, 0.25)
        return degrade(both[:height], rng), alpha, both[height:]

    def _composite(self, person: Person, size: tuple[int, int], free: bool) -> tuple[U8, U8, U8]:
        rng, height = self.rng, size[1]
        maps = self._frame(person, size, free, original=False)
        if not free and rng.random() < P_LOWER:
            maps[1, 2] += rng.uniform(0, LOWER) * height
        _, front, alpha = warped(person, maps, size, original=False)
        front, alpha = self._drawn_on(person, maps, front, alpha)
        front = light(front, rng, 0.2)
        if rng.random() < P_OWN_LENS:
            front = degrade(front, rng)
        back = light(self._background(*size), rng, 0.3)
        if rng.random() < P_PORTRAIT_ON_WALL:
            self._hang_portrait(back)
        if rng.random() < P_BEHIND:
            back = objects.behind(back, alpha, self._room(), rng)
        if rng.random() < P_ALIKE:
            back = self._alike(back, front, alpha)
        chances = OTHERS_ANYWHERE if free else OTHERS
        for _ in range(int(rng.choice(len(chances), p=chances))):
            front, alpha = self._beside(front, alpha, free)
        image = blend(front, alpha, back)
        if rng.random() < P_SAME_LIGHT:
            both = light(np.concatenate([image, front]), rng, 0.4)
            image, front = both[:height], both[height:]
        return degrade(image, rng), alpha, front

    def _drawn_on(self, p: Person, maps: Matrix, front: U8, alpha: U8) -> tuple[U8, U8]:
        """Strands of hair, something held or worn, an arm: what is drawn belongs to the person."""
        rng, face = self.rng, None
        if p.heads:
            x, top, head = p.heads[0]
            face = tuple(float(v) for v in maps @ np.array([x, top + 0.6 * head, 1]))
        skin = objects.skin_of(front, alpha, face, rng)
        if rng.random() < self.p_hair and (strands := hair(front, alpha, rng)):
            front, alpha = over(front, alpha, strands)
        if rng.random() < P_HELD:
            front, alpha = objects.held(front, alpha, self._room(), skin, rng)
        if rng.random() < P_ARM:
            front, alpha = objects.arm(front, alpha, face, skin, rng)
        return front, alpha

    def _frame(self, p: Person, size: tuple[int, int], free: bool, *, original: bool) -> Matrix:
        framing = anywhere if free else around_head
        return framing(p, self.rng, size, self.aspect, original=original)

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

    def _beside(self, front: U8, alpha: U8, free: bool) -> tuple[U8, U8]:
        """Another person behind the first; the union of both is the matte."""
        other, (height, width) = self._person(), alpha.shape
        maps = self._frame(other, (width, height), free, original=False)
        left, _, right, _ = touched(other.alpha)
        if not (free or left or right):  # whom the photograph cuts off stays at the frame's edge
            maps[0, 2] += self.rng.uniform(-0.6, 0.6) * width
        _, front2, alpha2 = warped(other, maps, (width, height), original=False)
        a1, a2 = alpha.astype(np.float32) / 255, alpha2.astype(np.float32) / 255
        union = a1 + (1 - a1) * a2
        share = (a1 / np.maximum(union, 1e-4))[..., None]
        colour = front * share + light(front2, self.rng, 0.2) * (1 - share)
        return colour.astype(np.uint8), (union * 255 + 0.5).astype(np.uint8)

    def _background(self, width: int, height: int) -> U8:
        rng = self.rng
        if rng.random() < P_PLAIN_BACKGROUND:
            return self._plain(width, height)
        part = self._others_room() if rng.random() < P_OTHERS_ROOM else None
        if part is None:
            part = self._room()
        image = cv2.resize(part, (width, height), interpolation=cv2.INTER_LINEAR)
        if rng.random() < 0.5:
            image = image[:, ::-1]
        if rng.random() < 0.4:  # out of focus
            image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 0.02 * width))
        return np.ascontiguousarray(image)

    def _room(self) -> U8:
        rng = self.rng
        room = self.rooms[int(rng.integers(len(self.rooms)))]
        rh, rw = room.shape[:2]
        crop_h = min(rh, rw / self.aspect) * rng.uniform(0.35, 1.0)
        crop_w = crop_h * self.aspect
        x, y = rng.uniform(0, rw - crop_w), rng.uniform(0, rh - crop_h)
        part = room[int(y) : int(y + crop_h) + 1, int(x) : int(x + crop_w) + 1]
        if rng.random() < P_HUES:
            part = hues(part, rng)
        return draped(part, self._person(), rng) if rng.random() < P_DRAPED else part

    def _others_room(self) -> U8 | None:
        """A part of somebody's photograph in which nobody is; None where none is found."""
        rng = self.rng
        for _ in range(EMPTY_TRIES):
            p = self._person()
            ph, pw = p.alpha.shape
            h, w = (int(side * rng.uniform(0.3, 0.9)) for side in (ph, pw))
            y, x = int(rng.integers(ph - h)), int(rng.integers(pw - w))
            if p.alpha[y : y + h, x : x + w].max() < NOBODY:
                return p.image[y : y + h, x : x + w]
        return None

    def _plain(self, width: int, height: int) -> U8:
        """A wall: two colours that run into each other."""
        corners = self.rng.uniform(0, 255, 3) + self.rng.normal(0, 25, (2, 2, 3))
        wall = cv2.resize(np.clip(corners, 0, 255).astype(np.float32), (width, height))
        return wall.astype(np.uint8)


def blend(front: U8, alpha: U8, back: U8) -> U8:
    a = (alpha.astype(np.float32) / 255)[..., None]
    return (front * a + back * (1 - a) + 0.5).astype(np.uint8)
