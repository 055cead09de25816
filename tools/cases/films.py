"""What lies in a film or a picture."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray


def frames(path: Path) -> list[NDArray[np.uint8]]:
    """RGB (H, W, 3); none where the film cannot be read."""
    try:
        with av.open(f"file:{path}") as film:
            return [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    except (av.FFmpegError, IndexError):
        return []


def sounds(path: Path) -> list[str]:
    with av.open(f"file:{path}") as film:
        return [stream.codec_context.name for stream in film.streams.audio]


def alpha_of(path: Path) -> NDArray[np.uint8]:
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    return (
        image[:, :, 3]
        if image.ndim == 3 and image.shape[2] == 4
        else image.reshape(image.shape[:2])
    )


def length(path: Path) -> float:
    """Seconds, by the times of its frames."""
    with av.open(f"file:{path}") as film:
        times = [frame.time or 0.0 for frame in film.decode(video=0)]
    return max(times) - min(times)
