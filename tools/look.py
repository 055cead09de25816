"""A sheet of composites to look at: of each clip the first, the middle and the last frame.

python -m tools.look --out sheet.jpg --preset balanced CLIP ...
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from bshm_live.compositing.background import Fixed, cover, studio
from bshm_live.loop.parts import Always, cpu_parts
from bshm_live.loop.pipeline import Pipeline
from bshm_live.loop.stage import Stage
from bshm_live.matting.bshm import Bshm
from bshm_live.runtimes.choice import get_runtime, load_bshm
from bshm_live.settings import PRESETS
from bshm_live.sources.video_file import VideoFile
from bshm_live.types import Picture

CELL = (400, 300)  # width, height


def looks(path: Path, bshm: Bshm) -> list[Picture]:
    """Each of the three frames, and its composite."""
    source = VideoFile(str(path))
    stage = Stage(Fixed(studio(source.size)))
    supply = Always(cpu_parts(bshm, source.size))
    pipeline = Pipeline(supply, lambda: stage, source.size, fail_closed=False)
    middle = sum(1 for _ in VideoFile(str(path))) // 2  # some files do not say it
    chosen: list[tuple[Picture, Picture]] = []
    for frame in source:
        last = frame.image.copy(), pipeline.shoot(frame).composite.copy()
        if frame.index in (0, middle):
            chosen.append(last)
    return [cover(picture, CELL) for pair in (*chosen, last) for picture in pair]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--preset", default="balanced", choices=PRESETS)
    parser.add_argument("--out", type=Path, default=Path("results/look.jpg"))
    args = parser.parse_args()
    with load_bshm(args.preset, get_runtime("onnxruntime")) as bshm:
        rows = [np.concatenate(looks(path, bshm), 1) for path in args.clips]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(args.out), np.concatenate(rows), [cv2.IMWRITE_JPEG_QUALITY, 88])
    print(args.out)


if __name__ == "__main__":
    main()
