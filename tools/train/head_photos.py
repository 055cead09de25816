"""What the head finder learns from: photos turned, scaled, placed and lit, and rooms.

A tenth of the photos, by the hash of their names, is never trained on.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bshm_live.matting.head import FIVE, MIRRORED, POINTS, SIZE, STRAIGHTENED, STRIDE, Head
from bshm_live.stills.look_at_face import turning

from .augment import degrade, light

F32, U8 = NDArray[np.float32], NDArray[np.uint8]
WIDTH, HEIGHT = SIZE
LONGEST_KEPT = 320  # pixels: of a photo in memory
LONGEST_LEARNT, LONG_HEAD = 560, 100  # pixels: more of it, in training, where its head is small
BATCH = 24
HELD_OUT = 10  # one photo in so many
P_ROOM, P_FILLED = 0.08, 0.5  # a room without people; a room around the photo's edges
HEADS = (9.0, 120.0)  # pixels from crown to chin in the network's picture
TURN, TURN_MOST = 9.0, 35.0  # degrees: spread and most
# As in a look from near: how often; the head's length in pixels; how far the look before may
# have been off, in degrees and in lengths of the head.
P_NEAR, NEAR_HEADS, NEAR_TURN, NEAR_OFF = 0.55, (45.0, 115.0), 6.0, 0.06
P_ASLANT, ASLANT = 0.15, 14.0  # eyes that fall to one side while the mouth does not; degrees
SIDEWAYS, P_SIDEWAYS = 22.0, 0.3  # degrees: what is turned to the side; how often one such is taken
CHIN, CHIN_LEAST, CHIN_MOST = 0.62, 0.4, 0.95  # of eyes to mouth, below the mouth
CROWN_LEAST, CROWN_MOST = 1.0, 3.2  # of eyes to mouth, above the eyes
SOLID = 128
NEAR = 0.35  # heat from which a place learns where the points are


class Faces:
    """Photos (RGB) and the points (n, 7, 2) of their heads, NaN where one is not known."""

    def __init__(self, data: Path, *, held_out: bool, most: int = LONGEST_KEPT) -> None:
        known = json.loads((data / "faces.json").read_text())
        names = [name for name, faces in known.items() if faces and is_held_out(name) == held_out]
        self.photos: list[tuple[U8, F32]] = []
        for name in names:
            photo = cv2.imread(str(data / name))
            folder, stem = name.split("/")
            alpha_path = data / folder.replace("people", "alpha") / f"{stem[:-4]}.png"
            alpha = cv2.imread(str(alpha_path), cv2.IMREAD_GRAYSCALE)
            points = np.stack([seven_points(face, alpha) for face in known[name]])
            wanted = LONG_HEAD / max(map(head_length, points)) * max(photo.shape[:2])
            scale = min(1.0, np.clip(wanted, LONGEST_KEPT, most) / max(photo.shape[:2]))
            small = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            self.photos.append((np.ascontiguousarray(small[..., ::-1]), points * scale))
        self.names = names


def is_held_out(name: str) -> bool:
    return hashlib.sha256(name.encode()).digest()[0] % HELD_OUT == 0


def seven_points(face: dict[str, list[float]], alpha: U8 | None) -> F32:
    """Eyes, nose, mouth corners, chin, crown (7, 2); NaN for a crown out of the photo."""
    five = np.array([*face["eyes"], face["nose"], *face["mouth"]], np.float32)
    eyes, mouth = five[:2].mean(0), five[3:5].mean(0)
    length = float(np.linalg.norm(mouth - eyes)) + 1e-6
    axis = (mouth - eyes) / length
    reach = CHIN * length
    if axis[1] > 0.9:  # only there does the box's lower edge say where the chin is
        reach = (face["box"][1] + face["box"][3] - mouth[1]) / axis[1]
    chin = mouth + axis * np.clip(reach, CHIN_LEAST * length, CHIN_MOST * length)
    crown = np.full(2, np.nan, np.float32)
    if alpha is not None:
        crown = crown_above(eyes, -axis, length, alpha)
    return np.stack([*five, chin, crown]).astype(np.float32)


def crown_above(eyes: F32, up: F32, length: float, alpha: U8) -> F32:
    """Where the matte first ends above the eyes, or NaN: out of the photo, or too near or far."""
    for step in np.arange(CROWN_LEAST * 0.5, CROWN_MOST, 0.02):
        x, y = np.rint(eyes + up * step * length).astype(int)
        if not (0 <= x < alpha.shape[1] and 0 <= y < alpha.shape[0]):
            break
        if alpha[y, x] < SOLID:
            return eyes + up * step * length if step >= CROWN_LEAST else np.full(2, np.nan)
    return np.full(2, np.nan, np.float32)


class Batches:
    """Batches for training: photos turned, scaled, placed, lit; rooms without people."""

    def __init__(self, data: Path, seed: int) -> None:
        self.photos = Faces(data, held_out=False, most=LONGEST_LEARNT).photos
        self.sideways = [one for one in self.photos if is_sideways(one[1])]
        self.rng = np.random.default_rng(seed)
        files = [*data.glob("rooms/*"), *data.glob("rooms2/*")]
        rooms = (cv2.imread(str(file)) for file in sorted(files))
        self.rooms = [
            np.ascontiguousarray(fitted(room)[..., ::-1]) for room in rooms if room is not None
        ]

    def batch(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """RGB in [0, 1]; heat; points in pixels with NaN; and how much each place's count."""
        pictures, maps = [], []
        for _ in range(BATCH):
            room = self.rooms[self.rng.integers(len(self.rooms))]
            if self.rng.random() < P_ROOM:
                picture, points = self.crop_of(room), np.zeros((0, POINTS, 2), np.float32)
            else:
                some = self.sideways if self.rng.random() < P_SIDEWAYS else self.photos
                picture, points = self.placed(*some[self.rng.integers(len(some))], room)
            picture = degrade(light(picture, self.rng, 0.3), self.rng)
            pictures.append(picture)
            maps.append(targets(points))
        heat, at, weight = (torch.from_numpy(np.stack(part)) for part in zip(*maps, strict=True))
        images = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255
        return images, heat, at, weight

    def crop_of(self, room: U8) -> U8:
        zoom = self.rng.uniform(1, 2.5)
        corner = -self.rng.random(2) * (np.array(SIZE) * (zoom - 1))
        moved = np.array([[zoom, 0, corner[0]], [0, zoom, corner[1]]])
        return cv2.warpAffine(room, moved, SIZE, borderMode=cv2.BORDER_REFLECT)

    def placed(self, photo: U8, points: F32, room: U8) -> tuple[U8, F32]:
        """The photo so that one of its heads has a random size at a random place."""
        rng = self.rng
        which = rng.integers(len(points))
        one = points[which]
        middle, long = one[:FIVE].mean(0), head_length(one)
        turn = np.clip(rng.normal(0, TURN), -TURN_MOST, TURN_MOST)
        if near := rng.random() < P_NEAR:
            wanted = np.exp(rng.uniform(*np.log(NEAR_HEADS)))
            scale, place = wanted / long, np.array(SIZE) / 2 + rng.normal(0, NEAR_OFF * wanted, 2)
            tilt = Head(one, 1.0).tilt
            if abs(tilt) < STRAIGHTENED:
                turn = tilt + rng.normal(0, NEAR_TURN)
        else:
            scale, middle, place = self.from_far(photo, middle, long)
        matrix = cv2.getRotationMatrix2D((0, 0), turn, scale)
        if mirrored := rng.random() < 0.5:
            matrix[0] *= -1
        matrix[:, 2] = place - matrix[:, :2] @ middle
        small = cv2.GaussianBlur(photo, (0, 0), 0.4 / scale) if scale < 0.7 else photo
        picture = cv2.warpAffine(small, matrix, SIZE, borderValue=(128, 128, 128))
        if rng.random() < P_FILLED:
            full = np.full(photo.shape[:2], 255, np.uint8)
            inside = cv2.warpAffine(full, matrix, SIZE, flags=cv2.INTER_NEAREST)
            picture = np.where(inside[..., None] > 0, picture, room)
        moved = points @ matrix[:, :2].T + matrix[:, 2]
        moved = (moved[:, MIRRORED] if mirrored else moved).astype(np.float32)
        if near and rng.random() < P_ASLANT:
            return aslant(picture, moved, moved[which], rng.normal(0, ASLANT))
        return picture, moved

    def from_far(self, photo: U8, middle: F32, long: float) -> tuple[float, F32, F32]:
        """Scale, the photo's point that is placed, and its place; any, or the whole photo."""
        rng = self.rng
        scale = np.exp(rng.uniform(*np.log(HEADS))) / long
        whole = min(WIDTH / photo.shape[1], HEIGHT / photo.shape[0])
        if rng.random() < 0.4:  # as in use: the whole photo, or near to it
            scale = whole * np.exp(rng.normal(0, 0.15))
        if scale > whole * 1.3:
            return scale, middle, rng.uniform(0.1, 0.9, 2) * SIZE
        return scale, np.array(photo.shape[1::-1]) / 2, np.array(SIZE) / 2 + rng.normal(0, 10, 2)


def aslant(picture: U8, points: F32, face: F32, degrees: float) -> tuple[U8, F32]:
    """Brows and eyes of one face fall to the right by `degrees`; its mouth stays."""
    (cx, cy), apart = face[:2].mean(0), float(np.linalg.norm(face[1] - face[0])) + 1e-3

    def shift(x: F32, y: F32) -> F32:
        near = np.clip(1 - np.abs(y - cy) / (0.9 * apart), 0, 1)
        near = near**2 * (3 - 2 * near) * np.clip(1.6 - np.abs(x - cx) / apart, 0, 1)
        return np.asarray(np.tan(np.radians(degrees)) * (x - cx) * near, np.float32)

    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    border = cv2.BORDER_REPLICATE
    bent = cv2.remap(picture, x, y - shift(x, y), cv2.INTER_LINEAR, borderMode=border)
    moved = points.copy()
    for _ in range(5):  # a point lies where the picture came from it
        moved[..., 1] = points[..., 1] + shift(points[..., 0], moved[..., 1])
    return bent, moved


def is_sideways(points: F32) -> bool:
    return any(turning(Head(one, 1.0)) > SIDEWAYS for one in points)


def head_length(points: F32) -> float:
    """Crown to chin, or what is usual where the crown is not known."""
    crown, chin = points[6], points[5]
    if not np.isnan(crown).any():
        return float(np.linalg.norm(crown - chin)) + 1e-3
    eyes, mouth = points[:2].mean(0), points[3:5].mean(0)
    return 3.3 * float(np.linalg.norm(mouth - eyes)) + 1e-3


def fitted(room: U8) -> U8:
    scale = max(WIDTH / room.shape[1], HEIGHT / room.shape[0])
    large = cv2.resize(room, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return cv2.resize(large[:HEIGHT, :WIDTH], SIZE)


def grid() -> tuple[int, int]:
    return HEIGHT // STRIDE, WIDTH // STRIDE


def targets(points: F32) -> tuple[F32, F32, F32]:
    """heat (1, h, w), points (14, h, w) with NaN, weight (1, h, w): 1 / head's length there.

    Where a head is too small to be looked for, heat is NaN: neither right nor wrong.
    """
    h, w = grid()
    y, x = np.mgrid[:h, :w] * STRIDE + STRIDE / 2
    heat, weight = np.zeros((1, h, w), np.float32), np.zeros((1, h, w), np.float32)
    at = np.full((2 * POINTS, h, w), np.nan, np.float32)
    for one in sorted(points, key=head_length):
        middle, long = one[:FIVE].mean(0), head_length(one)
        if not (0 <= middle[0] < WIDTH and 0 <= middle[1] < HEIGHT):
            continue
        spread = max(0.1 * long, 0.45 * STRIDE)
        bump = np.exp(-((x - middle[0]) ** 2 + (y - middle[1]) ** 2) / (2 * spread**2))
        bump /= bump.max()
        if long < 0.6 * HEADS[0]:
            heat[0][bump > NEAR] = np.nan
            continue
        heat[0] = np.fmax(heat[0], bump)
        mine = bump > NEAR
        at[:, mine] = one.reshape(-1, 1)
        weight[0][mine] = bump[mine] / max(long, 8.0)
    return heat, at, weight
