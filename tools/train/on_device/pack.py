"""The photographs in a few small files: JPEG pictures, PNG mattes, where the heads are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..people import Heads, photographs, read_rgb
from ..store import save_rows

U8 = NDArray[np.uint8]
Packed = tuple[str, U8, U8, NDArray[np.float32]]
LIMIT = 40_000_000  # bytes of a file
QUALITY = 80
HEADS = 4  # of each photograph, at most
ROOM = "room"  # the kind of a picture without anybody


def shrunk(image: U8, side: int) -> U8:
    """At most `side` pixels long."""
    scale = side / max(image.shape[:2])
    if scale >= 1:
        return image
    return cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def packed(path: Path, matte: Path | None, heads: Heads, side: int) -> tuple[Any, ...]:
    """One row: kind, JPEG and PNG as bytes, heads (HEADS, 3) with zeros where there are none."""
    image = read_rgb(path)
    scale = min(1.0, side / max(image.shape[:2]))
    found = np.zeros((HEADS, 3), np.float32)
    for at, head in enumerate(heads[:HEADS]):
        found[at] = np.array(head) * scale
    kind = ROOM if matte is None else path.stem.split("_")[0]
    jpeg = cv2.imencode(".jpg", shrunk(image, side)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    png = np.zeros(0, np.uint8)
    if matte is not None:
        png = cv2.imencode(".png", shrunk(read_rgb(matte)[..., 0].copy(), side))[1]
    return kind, jpeg[1].tobytes(), png.tobytes(), found


def rows(data: Path, side: int) -> Iterator[tuple[Any, ...]]:
    """All photographs in an order that mixes their kinds, the rooms among them."""
    found: list[tuple[Path, Path | None, Heads]] = [*photographs(data)]
    for name in ("rooms", "rooms2"):
        found += [(path, None, ()) for path in sorted((data / name).glob("*.*"))]
    for at in np.random.default_rng(0).permutation(len(found)):
        yield packed(*found[at], side)


def pack(data: Path, out: Path, side: int, files: int) -> list[Path]:
    """Writes up to `files` files of LIMIT bytes; photographs that do not fit are left out."""
    out.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    held: list[tuple[Any, ...]] = []
    size = 0
    for row in rows(data, side):
        weight = len(row[1]) + len(row[2]) + 200
        if size + weight > LIMIT:
            written.append(save(out, len(written), held))
            held, size = [], 0
            if len(written) == files:
                return written
        held.append(row)
        size += weight
    if held:
        written.append(save(out, len(written), held))
    return written


def save(out: Path, number: int, held: list[tuple[Any, ...]]) -> Path:
    kinds, pictures, mattes, heads = zip(*held, strict=True)
    path = out / f"photos{number:02d}.npz"
    columns = [(*joined(pictures), *joined(mattes), np.array(kinds), np.stack(heads))]
    names = ("picture", "picture_end", "matte", "matte_end", "kind", "heads")
    save_rows(path, names, columns)
    return path


def joined(parts: tuple[bytes, ...]) -> tuple[U8, NDArray[np.int64]]:
    ends = np.cumsum([len(part) for part in parts])
    return np.frombuffer(b"".join(parts), np.uint8), ends


def unpack(path: Path) -> Iterator[Packed]:
    """Each row of a file: kind, JPEG, PNG (empty where nobody is), heads (HEADS, 3)."""
    file = {key: value[0] for key, value in np.load(path).items()}
    pictures = np.split(file["picture"], file["picture_end"][:-1])
    mattes = np.split(file["matte"], file["matte_end"][:-1])
    for kind, *rest in zip(file["kind"], pictures, mattes, file["heads"], strict=True):
        yield str(kind), *rest


def decoded(picture: U8, matte: U8) -> tuple[U8, U8 | None]:
    """Picture (H, W, 3) RGB and matte (H, W), if there is one."""
    image = np.ascontiguousarray(cv2.imdecode(picture, cv2.IMREAD_COLOR)[..., ::-1])
    return image, cv2.imdecode(matte, cv2.IMREAD_GRAYSCALE) if len(matte) else None
