"""A sheet of one clip: what every network made of its first, middle and last frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from bshm_live.errors import SinkError
from bshm_live.types import Alpha, Picture

from .clips import Clip
from .metrics import mad

CELL_WIDTH = 300  # pixels; a smaller clip is drawn at its own size
CAPTION = 20
GAIN = 2  # of the drawn difference
INK, PAPER = (20, 20, 20), 255

Mattes = Mapping[int, Alpha]  # frame number to alpha


def shown(clip: Clip) -> list[int]:
    """The numbers of the frames on the sheet."""
    count = len(clip.frames)
    return sorted({0, count // 2, count - 1})


def write_sheet(path: Path, clip: Clip, mattes: Mapping[str, Mattes]) -> None:
    """Two lines a frame: input and each network's alpha; truth and each difference to it."""
    lines = [line for number in shown(clip) for line in frame_lines(clip, number, mattes)]
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), np.concatenate(lines)):
        raise SinkError(f"{path}: cannot be written; try another folder with --pictures")


def frame_lines(clip: Clip, number: int, mattes: Mapping[str, Mattes]) -> Sequence[Picture]:
    truth = clip.truth[number]
    upper = [cell(clip.frames[number], f"{clip.name}, frame {number}")]
    lower = [cell(grey(truth), "truth")]
    for name, alphas in mattes.items():
        alpha = alphas[number]
        upper.append(cell(grey(alpha), name))
        caption = f"MAD {mad(alpha, truth):.1f}: red kept, blue lost"
        lower.append(cell(difference(alpha, truth), caption))
    return np.concatenate(upper, 1), np.concatenate(lower, 1)


def cell(picture: Picture, caption: str) -> Picture:
    """A picture at most CELL_WIDTH wide under its caption."""
    scale = min(1.0, CELL_WIDTH / picture.shape[1])
    if scale < 1:
        picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    head = np.full((CAPTION, picture.shape[1], 3), PAPER, np.uint8)
    place = (4, CAPTION - 6)
    cv2.putText(head, caption, place, cv2.FONT_HERSHEY_SIMPLEX, 0.42, INK, 1, cv2.LINE_AA)
    return np.concatenate([head, picture])


def grey(alpha: Alpha) -> Picture:
    levels = np.clip(np.rint(alpha * 255), 0, 255).astype(np.uint8)
    return cv2.cvtColor(levels, cv2.COLOR_GRAY2BGR)


def difference(alpha: Alpha, truth: Alpha) -> Picture:
    """White where both agree, red where too much is kept, blue where too much is lost."""
    error = np.clip(GAIN * (alpha - truth), -1, 1)
    kept, lost = np.maximum(error, 0), np.maximum(-error, 0)
    levels = np.stack([1 - kept, 1 - kept - lost, 1 - lost], -1)
    return np.rint(levels * 255).astype(np.uint8)
