"""Where a photograph lies in a frame: 2x3 matrices from its pixels to the frame's.

Half of the frames are cropped around a head, as a webcam sees one (`around_head`); the
others anywhere (`anywhere`): heads from a thirtieth to two thirds of the frame's height,
people cut by each edge, off-centre, lying.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from .people import U8, Person

Matrix = NDArray[np.float64]
Size = tuple[int, int]  # width, height

ZOOM = {
    "portrait": 1.9,
    "small": 1.8,
    "hair": 1.5,
    "unsplash": 3.0,
    "street": 4.0,
    "mixed": 4.0,
    "mask": 1.6,
    "fashion": 4.0,
    "flickr": 3.0,
    "webcam": 1.8,
    "cctv": 3.0,
}
HEADS = (1 / 30, 2 / 3)  # of the frame's height
STATURE = 6.0  # heads in a body, where no face was found
SQUEEZED = 0.35  # spread of log(width to height) of photos that were squeezed to a square
STRETCHED = 0.12  # of all others
P_LYING = 0.04
TOUCHING = 60  # alpha at the photograph's edge from which on the person is cut by it


def around_head(
    p: Person, rng: np.random.Generator, size: Size, aspect: float, *, original: bool
) -> Matrix:
    """A crop around the topmost head that stays on the photograph."""
    ph, pw = p.alpha.shape
    zoom = float(np.exp(rng.uniform(np.log(0.9), np.log(ZOOM[p.kind]))))
    crop_h = ph / zoom
    crop_w = crop_h * aspect
    left, _, right, _ = touched(p.alpha)
    if (left or right) and crop_w > pw:  # an original cannot grow; a composite's shoulders can
        width_kept = pw * rng.uniform(1.0, 1.0 if original else 1.35)
        squeeze = rng.uniform(1.0, 1.25)
        crop_h, crop_w = min(crop_h, crop_h * width_kept * squeeze / crop_w), width_kept
    roomy = 0.3 if crop_h > 0.8 * ph else 0.15
    y0 = p.head_top - rng.uniform(-0.04, roomy) * crop_h
    if p.head_top < 3:
        y0 = max(y0, 0.0)
    x0 = p.head_x - crop_w * rng.uniform(0.3, 0.7)
    if left or right:
        x0 = float(np.clip(x0, 0, pw - crop_w)) if crop_w <= pw else (pw - crop_w) / 2
    if y0 + crop_h > ph:
        y0 = ph - crop_h
    angle = float(np.clip(rng.normal(0, 4), -12, 12)) if rng.random() < 0.5 else 0.0
    return placed((x0, y0, crop_w, crop_h), size, angle, flip=rng.random() < 0.5)


def anywhere(
    p: Person, rng: np.random.Generator, size: Size, aspect: float, *, original: bool
) -> Matrix:
    """A crop at any place and of any width, with somebody in it.

    An original stays on the photograph; a composite may show a person whole and small, but
    where the photograph cuts somebody off, there the frame's edge is.
    """
    ph, pw = p.alpha.shape
    heads = p.heads or ((p.head_x, float(p.head_top), stature(p.alpha) / STATURE),)
    x, top, head = heads[int(rng.integers(len(heads)))]
    crop_h = head / float(np.exp(rng.uniform(*np.log(HEADS))))
    spread = SQUEEZED if p.kind == "mixed" else STRETCHED
    crop_w = crop_h * aspect * float(np.exp(rng.normal(0, spread)))
    left, above, right, below = (True,) * 4 if original else touched(p.alpha)
    crop_w, crop_h = fitted(crop_w, crop_h, pw, ph, left and right, above and below)
    if rng.random() < 0.5:  # around some part of somebody instead of a head
        solid = np.flatnonzero(p.alpha > 127)
        top, x = (float(v) for v in divmod(int(rng.choice(solid)), pw))
        head = 0.0
    x0 = x - crop_w * rng.uniform(0.05, 0.95)
    y0 = top + head / 2 - crop_h * rng.uniform(0.05, 0.95)
    x0, y0 = held(x0, crop_w, pw, left, right), held(y0, crop_h, ph, above, below)
    angle = float(np.clip(rng.normal(0, 4), -12, 12)) if rng.random() < 0.3 else 0.0
    if not (left or above or right or below) and rng.random() < P_LYING:
        angle = float(rng.choice([-90, 90])) + angle
    return placed((x0, y0, crop_w, crop_h), size, angle, flip=rng.random() < 0.5)


def fitted(
    crop_w: float, crop_h: float, pw: int, ph: int, wide: bool, tall: bool
) -> tuple[float, float]:
    """A crop no wider and no taller than the photograph, where it may not be.

    Its shape gives way by up to a third, then its scale.
    """
    over_w = max(1.0, crop_w / pw) if wide else 1.0
    over_h = max(1.0, crop_h / ph) if tall else 1.0
    most = max(over_w, over_h)
    crop_w, crop_h = crop_w / max(over_w, most / 1.33), crop_h / max(over_h, most / 1.33)
    return crop_w, crop_h


def held(start: float, length: float, whole: int, low: bool, high: bool) -> float:
    """The crop's start moved so that it does not pass the photograph's ends that hold it."""
    if high:
        start = min(start, whole - length)
    return max(start, 0.0) if low else start


def touched(alpha: U8) -> tuple[bool, bool, bool, bool]:
    """Whether somebody is cut by the left, upper, right and lower edge."""
    edges = (alpha[:, :2], alpha[:2], alpha[:, -2:], alpha[-2:])
    left, above, right, below = (bool((edge > TOUCHING).any()) for edge in edges)
    return left, above, right, below


def stature(alpha: U8) -> float:
    """Rows from the topmost to the lowest person."""
    rows = np.flatnonzero((alpha > 127).any(1))
    return float(rows[-1] - rows[0] + 1)


def placed(box: tuple[float, float, float, float], size: Size, angle: float, flip: bool) -> Matrix:
    """The matrix that shows `box` (x, y, width, height), turned by `angle` degrees."""
    (x0, y0, crop_w, crop_h), (width, height) = box, size
    sx, sy = width / crop_w, height / crop_h
    move = np.array([[sx, 0, -x0 * sx], [0, sy, -y0 * sy], [0, 0, 1]])
    if flip:
        move = np.array([[-1, 0, width], [0, 1, 0], [0, 0, 1]]) @ move
    pivot = (width / 2, height if abs(angle) < 45 else height / 2)
    turn = np.vstack([cv2.getRotationMatrix2D(pivot, angle, 1.03), [0, 0, 1]])
    return (turn @ move)[:2]


def warped(p: Person, m: Matrix, size: Size, *, original: bool) -> tuple[U8, U8, U8]:
    """Picture (of originals alone), foreground (H, W, 3) and alpha (H, W) in the frame."""
    border = cv2.BORDER_REFLECT_101 if original else cv2.BORDER_REPLICATE
    sources = (p.image, p.foreground, p.alpha)
    shrink = min(1.0, max(np.hypot(*m[:, 0]), np.hypot(*m[:, 1])))
    if shrink < 0.6:  # an affine warp alone would alias
        sources = tuple(
            cv2.resize(s, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA) for s in sources
        )
        m = m.copy()
        m[:, :2] /= shrink
    image = cv2.warpAffine(sources[0], m, size, borderMode=border) if original else sources[0]
    front = cv2.warpAffine(sources[1], m, size, borderMode=border)
    alpha = cv2.warpAffine(sources[2], m, size, borderMode=border)
    return image, front, alpha
