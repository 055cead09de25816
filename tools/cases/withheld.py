"""A last network that says person nearly everywhere, from the fifth frame of a still room on.

python -m tools.cases.withheld ROOM prints for each frame how much of it is a person, how much of
the room is seen as it is, and why it is withheld.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from bshm_live.compositing.background import Fixed, plain
from bshm_live.loop.parts import Always, cpu_parts
from bshm_live.loop.pipeline import Pipeline
from bshm_live.loop.stage import Stage
from bshm_live.runtimes.choice import get_runtime, load_bshm
from bshm_live.types import Engine, Frame, Tensor

from ..evaluate.clips import read_still

SIZE = (640, 360)
FPS = 30
FRAMES, WRONG_FROM = 12, 4
RIGHT_COLUMNS = 12  # of the matte; all others are called person
GREEN = (0, 255, 0)


class Wrong:
    """The last network, which from some frame on says what it must not."""

    def __init__(self, mrn: Engine) -> None:
        self._mrn, self.inputs, self.outputs = mrn, mrn.inputs, mrn.outputs
        self.runs = 0

    def run(self, feeds: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        said, self.runs = self._mrn.run(feeds), self.runs + 1
        if self.runs <= WRONG_FROM:
            return said
        alpha = np.ones_like(said["alpha"])
        alpha[..., -RIGHT_COLUMNS:] = 0
        return {**said, "alpha": alpha}

    def close(self) -> None:
        self._mrn.close()


def main() -> None:
    parser = argparse.ArgumentParser("python -m tools.cases.withheld", description=__doc__)
    parser.add_argument("room", type=Path)
    room = cv2.resize(read_still(parser.parse_args().room), SIZE)
    with load_bshm("fast", get_runtime("onnxruntime"), threads=1) as bshm:
        bshm.mrn = Wrong(bshm.mrn)
        pipeline = Pipeline(
            Always(cpu_parts(bshm, SIZE)), lambda: Stage(Fixed(plain(GREEN, SIZE))), SIZE
        )
        for number in range(FRAMES):
            shot = pipeline.shoot(Frame(room, number, number / FPS))
            person, seen = shot.alpha.mean() / 255, (shot.composite == room).all(2).mean()
            print(f"{number} person {person:.3f} room {seen:.3f} {pipeline.trouble or ''}")


if __name__ == "__main__":
    main()
