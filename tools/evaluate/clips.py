"""Clips with a true alpha, read whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from bshm_live.errors import SourceError
from bshm_live.types import Alpha, Mask8, Picture

ALPHA_ENDING = "_alpha.mkv"
VIDEO_ENDINGS = {".mp4", ".mkv", ".webm"}


@dataclass(frozen=True)
class Clip:
    """Frames (H, W, 3) BGR uint8 and their true alpha (H, W) in [0, 1], one for one."""

    name: str
    frames: list[Picture]
    truth: list[Alpha]


def read_clips(folder: Path, clips: int | None = None, frames: int | None = None) -> list[Clip]:
    """Every NAME.mp4 with NAME_alpha.mkv in order of name, or the first `clips` of them.

    Of each all frames, or the first `frames`. Raises SourceError.
    """
    mattes = sorted(folder.glob(f"*{ALPHA_ENDING}"))[:clips]
    if not mattes:
        raise SourceError(f"{folder}: no NAME.mp4 with NAME{ALPHA_ENDING}; try another folder")
    return [read_clip(path, frames) for path in mattes]


def read_clip(matte: Path, count: int | None = None) -> Clip:
    """The clip of one NAME_alpha.mkv. Raises SourceError."""
    name = matte.name.removesuffix(ALPHA_ENDING)
    video = matte.with_name(f"{name}.mp4")
    frames = list(islice(read_video(video), count))
    truth = [in_unit(grey[..., 0]) for grey in islice(read_video(matte), count)]
    if not frames or len(frames) != len(truth):
        found = f"{len(frames)} frames but {len(truth)} mattes"
        raise SourceError(f"{video}: {found}; give each frame its matte")
    if frames[0].shape[:2] != truth[0].shape:
        raise SourceError(f"{video}: its mattes have another size; give both the same")
    return Clip(name, frames, truth)


def in_unit(levels: Mask8) -> Alpha:
    """uint8 levels as float32 in [0, 1]."""
    return np.divide(levels, np.float32(255), dtype=np.float32)


def read_still(path: Path) -> Picture:
    """A picture as BGR. Raises SourceError."""
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise SourceError(f"{path}: not a picture that can be read; give a JPEG or PNG")
    return np.asarray(picture, np.uint8)


def videos(folder: Path) -> list[Path]:
    """The files of a folder that are videos, in order of name, and not mattes of others."""
    found = (path for path in sorted(folder.glob("*")) if path.suffix in VIDEO_ENDINGS)
    return [path for path in found if not path.stem.endswith("_alpha")]


def read_video(path: Path) -> Iterator[Picture]:
    """The frames of a file, BGR; none where it cannot be read."""
    reader = cv2.VideoCapture(str(path))
    try:
        while True:
            more, frame = reader.read()
            if not more:
                return
            yield frame
    finally:
        reader.release()
