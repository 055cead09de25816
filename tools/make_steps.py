"""Makes README's picture from the packaged clip: frame, coarse, unified, alpha, composite.

python -m tools.make_steps
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from bshm_live.compositing.background import Fixed, studio
from bshm_live.loop.parts import Always, cpu_parts
from bshm_live.loop.pipeline import Pipeline
from bshm_live.loop.stage import Stage
from bshm_live.runtimes.choice import get_runtime, load_bshm
from bshm_live.sources.video_file import VideoFile, demo_clip

OUT = Path("bshm_live/assets/steps.jpg")
FRAME = 40  # of the clip: the hint from the frame before is settled
CUT = (120, 520)  # columns: the person


def main() -> None:
    source = VideoFile(demo_clip())
    with load_bshm("balanced", get_runtime("onnxruntime")) as bshm:
        parts = cpu_parts(bshm, source.size)
        stage = Stage(Fixed(studio(source.size)))
        pipeline = Pipeline(Always(parts), lambda: stage, source.size, fail_closed=False)
        for frame in source:
            hint = parts.steadier.hint(frame.image)
            matte = bshm.matte(frame.image, hint)
            shot = pipeline.shoot(frame)
            if frame.index == FRAME:
                break
    grey = [
        cv2.resize(np.rint(m * 255).astype(np.uint8), source.size)
        for m in (matte.coarse, matte.unified)
    ]
    masks = [cv2.cvtColor(m, cv2.COLOR_GRAY2BGR) for m in (*grey, shot.alpha)]
    row = [frame.image, *masks, shot.composite]
    picture = np.concatenate([p[:, CUT[0] : CUT[1]] for p in row], 1)
    cv2.imwrite(str(OUT), picture, [cv2.IMWRITE_JPEG_QUALITY, 88])
    print(OUT, picture.shape)


if __name__ == "__main__":
    main()
