"""The photographs of people with their mattes, and pictures without anybody, read once.

Everything is RGB uint8 and held in memory. Two sets lie side by side in the data
folder: `people`, `alpha` and `rooms`, mostly heads; `people2`, `alpha2`, `rooms2`,
people as varied as they are. A part of the second set is put aside for evaluation
(`is_put_aside`) and is never read for training.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing import Pool
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tools.evaluate.foreground import blur_fusion
from tools.evaluate.photos import put_aside

U8 = NDArray[np.uint8]
Heads = tuple[tuple[float, float, float], ...]
SETS = (("people", "alpha"), ("people2", "alpha2"))
HEAD_OF_FACE = 1.5  # a head's height, hair and all, of the height of the face's box
ABOVE_FACE = 0.4  # of the box's height, from its top to the head's


@dataclass(frozen=True)
class Person:
    """One photograph: picture and straight foreground (H, W, 3), alpha (H, W).

    `heads` holds centre x, top and height in pixels of the heads that a face finder saw.
    """

    kind: str
    image: U8
    foreground: U8
    alpha: U8
    head_x: float
    head_top: int
    heads: Heads = ()


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
        with cache.open("rb") as file:
            people: list[Person] = pickle.load(file)
        return people
    with Pool(2) as pool:
        found = pool.starmap(read_person, photographs(data), chunksize=16)
    people = [person for person in found if person is not None]
    cache.parent.mkdir(parents=True, exist_ok=True)
    part = cache.with_suffix(".part")
    with part.open("wb") as file:
        pickle.dump(people, file, protocol=5)
    part.replace(cache)
    return people


def heads_of(data: Path) -> dict[str, Heads]:
    """SET/NAME.jpg to the heads around its faces; nothing where no faces are known."""
    if not (data / "faces.json").exists():
        return {}
    faces: dict[str, list[dict[str, list[float]]]] = json.loads((data / "faces.json").read_text())
    return {
        name: tuple(
            (x + w / 2, y - ABOVE_FACE * h, HEAD_OF_FACE * h)
            for x, y, w, h in (face["box"] for face in found)
        )
        for name, found in faces.items()
    }


def photographs(data: Path) -> Iterator[tuple[Path, Path, Heads]]:
    """Picture, matte and heads of each photograph that may be trained on."""
    heads, aside = heads_of(data), put_aside(data)
    for pictures, mattes in SETS:
        for path in sorted((data / pictures).glob("*.jpg")):
            matte = data / mattes / f"{path.stem}.png"
            if path.stem in aside or not matte.exists():
                continue
            yield path, matte, heads.get(f"{pictures}/{path.name}", ())


def read_person(path: Path, matte: Path, heads: Heads) -> Person | None:
    """One photograph; None where its matte is empty."""
    image, alpha = read_rgb(path), read_rgb(matte)[..., 0].copy()
    rows = np.flatnonzero((alpha > 127).sum(1) > alpha.shape[1] * 0.03)
    if not len(rows):
        return None
    top = int(rows[0])
    band = alpha[top : top + max(8, alpha.shape[0] // 12)].astype(np.float32).sum(0)
    head_x = float((band * np.arange(len(band))).sum() / max(band.sum(), 1))
    kind = path.stem.split("_")[0]
    return Person(kind, image, foreground_of(image, alpha), alpha, head_x, top, heads)


def load_rooms(data: Path) -> list[U8]:
    return [
        read_rgb(path) for name in ("rooms", "rooms2") for path in sorted((data / name).glob("*.*"))
    ]
