"""Makes README's strip of what a studio's look does: each person before and after.

python -m tools.make_studio CLIP:ROOM:OPTIONS ...

OPTIONS are those of the command line without their two dashes, with spaces between them:
"light match=0.8 light-wrap". An empty ROOM leaves the clip's own.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from bshm_live.cli import look_of, parse
from bshm_live.compositing.fit import cover
from bshm_live.loop.parts import Always, cpu_parts
from bshm_live.loop.pipeline import Pipeline
from bshm_live.loop.stage import open_stage
from bshm_live.matting.bshm import Bshm
from bshm_live.runtimes.choice import get_runtime, load_bshm
from bshm_live.sources.video_file import VideoFile
from bshm_live.types import Picture

OUT = Path("bshm_live/assets/studio.jpg")
CELL = (256, 224)  # width, height
FRAME = 40  # of a clip: all that is slow has settled
GAP = 4  # pixels between two cells


def shown(clip: str, words: list[str], bshm: Bshm) -> Picture:
    """The composite of FRAME with these options."""
    source = VideoFile(clip)
    stage = open_stage(look_of(parse(["live", *words])), source.size)
    supply = Always(cpu_parts(bshm, source.size))
    pipeline = Pipeline(supply, lambda: stage, source.size, fail_closed=False)
    for frame in source:
        shot = pipeline.shoot(frame)
        if frame.index == FRAME:
            break
    source.close()
    stage.background.close()
    return cover(shot.composite, CELL)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("looks", nargs="+", metavar="CLIP:ROOM:OPTIONS")
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    rows: list[list[Picture]] = [[], []]
    with load_bshm("balanced", get_runtime("onnxruntime")) as bshm:
        for look in args.looks:
            clip, room, options = look.split(":")
            bg = ["--bg", room or "blur"]
            for row, words in zip(rows, ([], [f"--{o}" for o in options.split()]), strict=True):
                row.append(shown(clip, [*bg, *words], bshm))
    lines = [np.concatenate([padded(cell) for cell in row], 1) for row in rows]
    picture = np.concatenate(lines)[:-GAP, :-GAP]
    cv2.imwrite(str(args.out), picture, [cv2.IMWRITE_JPEG_QUALITY, 85])
    print(args.out, picture.shape)


def padded(cell: Picture) -> Picture:
    white = (255, 255, 255)
    return np.asarray(
        cv2.copyMakeBorder(cell, 0, GAP, 0, GAP, cv2.BORDER_CONSTANT, value=white), np.uint8
    )


if __name__ == "__main__":
    main()
