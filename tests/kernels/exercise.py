"""Runs every kernel on pictures of given sizes; what they gave, as one number each.

python exercise.py FOLDER WxH ...    with the library in FOLDER instead of the package's own
"""

from __future__ import annotations

import sys
import zlib
from pathlib import Path

import numpy as np

from bshm_live.compositing.background import Blur
from bshm_live.compositing.compositor import Compositor
from bshm_live.kernels import library as home
from bshm_live.loop.guard import spots
from bshm_live.matting.preprocess import Preprocessor
from bshm_live.matting.temporal import gated
from bshm_live.matting.window import Cropper
from bshm_live.types import Frame, HostMatte, Window

LOW = (6, 10)


def picture(rng: np.random.Generator, width: int, height: int, apart: int) -> np.ndarray:
    """Noise (H, W, 3) whose rows lie `apart` bytes from each other, at an odd address."""
    row = 3 * width + apart
    memory = rng.integers(0, 256, height * row + 1, np.uint8)[1:]
    return np.lib.stride_tricks.as_strided(memory, (height, width, 3), (row, 3, 1))


def matte(rng: np.random.Generator, tall: int, wide: int) -> HostMatte:
    """A third room, a third person, a third soft, in blocks and in single pixels."""
    h, w = -(-tall // 4), -(-wide // 4)
    coarse = np.repeat(np.repeat(rng.random((h, w)), 4, 0), 4, 1)[:tall, :wide]
    alpha = np.clip(3 * coarse - 1 + 0.2 * (rng.random((tall, wide)) < 0.1), -0.01, 1.01)
    residual = rng.uniform(-1, 1, (h, w, 3)).astype(np.float32)
    low = np.zeros((h, w), np.float32)
    guide = rng.integers(0, 256, (tall, wide, 3), np.uint8)
    return HostMatte(alpha.astype(np.float32), residual, low, low, guide)


def exercise(width: int, height: int, apart: int = 0, seed: int = 0) -> list[np.ndarray]:
    """All that the kernels make of pictures of one size."""
    rng = np.random.default_rng(seed)
    image, room = (picture(rng, width, height, apart) for _ in range(2))
    made = [*Preprocessor(LOW, (4 * LOW[0], 4 * LOW[1]))(image)]
    part = Window(0.3 * width, 0.2 * height, 0.6 * width, 0.7 * height)
    made.append(Cropper((4 * LOW[1] + 1, 4 * LOW[0]))(image, part))
    small = [matte(rng, 4 * LOW[0], 4 * LOW[1]) for _ in range(2)]
    made.append(gated(small[0].alpha, small[1].alpha))
    made.append(Blur(25, (width, height))(Frame(image, 0, 0.0), small[0]))
    made.append(Blur(25, (width, height), depth=True)(Frame(image, 0, 0.0), small[0]))
    own = matte(rng, min(height, 300), min(width, 300))  # a still's: not of whole fours
    for one, wrap in ((small[0], 0.0), (small[1], 0.7), (own, 0.7)):
        layers = Compositor((width, height), wrap=wrap)(image, one, room, foreground=True)
        made += [*layers, np.array(spots(layers[0], layers[1], room))]
    graded = Compositor((width, height), wrap=0.7)
    graded.grade, graded.calm = rng.uniform(0, 2, (256, 8)).astype(np.float32), 0.8
    for picture_in in (image, room, image // 4, image // 5):
        layers = graded(picture_in, small[0], room, foreground=True)
        made += [layer.copy() for layer in layers if layer is not None]
    return made


def main() -> None:
    home.HERE = Path(sys.argv[1])
    for size in sys.argv[2:]:
        width, height = map(int, size.split("x"))
        made = exercise(width, height, apart=7)
        print(size, *(zlib.crc32(array.tobytes()) for array in made))


if __name__ == "__main__":
    main()
