"""Real talkers against the mattes of another network: what to choose weights by.

    python -m tools.evaluate.talkers ../shared/data

The clips of DATA/clips have no true alpha. Where Robust Video Matting at 512x512 and at 512x288
make nearly the same of a frame, the mean of both counts as its truth: it tells two candidates
apart, and not how good one is. That is what the clips with a true alpha are kept for. Printed
is Markdown.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from bshm_live.errors import SourceError
from bshm_live.matting.bshm import Bshm
from bshm_live.matting.temporal import as_hint, low_alpha
from bshm_live.runtimes.choice import get_runtime, load_bshm
from bshm_live.types import Alpha, Picture

from .clips import read_video, videos
from .command import add_networks, ended_in_one_line, parser_of
from .networks import THREADS, Rival
from .report import Report

JUDGES = ("rvm_512x512", "rvm_288x512")
HEIGHT = 360
PER_CLIP = 4  # frames, evenly spread
BEFORE = 3  # frames that a recurrent network sees before one that counts
AGREED = 0.015  # highest mean difference of the two
LOOKS = 3  # of ours at the same frame, each with the matte before as its hint


@dataclass(frozen=True)
class Talker:
    """A frame (H, W, 3) BGR and what counts as its alpha (H, W) in [0, 1]."""

    picture: Picture
    alpha: Alpha


def talkers(data: Path, per_clip: int = PER_CLIP) -> Iterator[Talker]:
    """Frames of all clips on which both judges agree. Raises SourceError."""
    paths = videos(data / "clips")
    missing = [name for name in JUDGES if not (data / "rivals" / f"{name}.onnx").is_file()]
    if not paths or missing:
        lacks = f"rivals/{missing[0]}.onnx" if missing else "clips/*.mp4"
        raise SourceError(f"{data}: no {lacks}; give the folder that has both")
    judges = [Rival(data / "rivals" / f"{name}.onnx") for name in JUDGES]
    for path in paths:
        frames = [at_height(frame) for frame in read_video(path)]
        for last in np.linspace(BEFORE, len(frames) - 1, per_clip).astype(int):
            some = frames[max(0, last - BEFORE) : last + 1]
            if some and (alpha := agreed(*(judged(judge, some) for judge in judges))) is not None:
                yield Talker(some[-1], alpha)


def at_height(frame: Picture) -> Picture:
    size = (round(frame.shape[1] * HEIGHT / frame.shape[0]), HEIGHT)
    return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8)


def judged(judge: Rival, frames: Sequence[Picture]) -> Alpha:
    """What it makes of the last of these."""
    judge.start((frames[0].shape[1], frames[0].shape[0]))
    return [judge.alphas(frame, number)[0] for number, frame in enumerate(frames)][-1]


def agreed(one: Alpha, two: Alpha) -> Alpha | None:
    """The mean of both; None where they differ too much."""
    if np.abs(one - two).mean() > AGREED:
        return None
    return np.asarray((one + two) / 2, np.float32)


def off(bshm: Bshm, talker: Talker) -> tuple[float, ...]:
    """MAD x1e3 of MPN's, QUN's and MRN's alpha at the last look, and of MRN's at the first."""
    hint, size, found = None, talker.picture.shape[1::-1], []
    for _ in range(LOOKS):
        matte = bshm.matte(talker.picture, hint)
        hint = as_hint(low_alpha(matte))
        stages = (matte.coarse, matte.unified, matte.alpha)
        found.append([np.abs(cv2.resize(a, size) - talker.alpha).mean() * 1e3 for a in stages])
    return (*(float(value) for value in found[-1]), float(found[0][-1]))


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    parser = parser_of("tools.evaluate.talkers", __doc__)
    parser.add_argument("data", type=Path, help="folder with clips and rivals")
    add_networks(parser)
    parser.add_argument("--per-clip", type=int, default=PER_CLIP, help="frames, evenly spread")
    return parser.parse_args(words)


def evaluate(args: argparse.Namespace) -> None:
    """All of it. Raises BshmError."""
    report, found = Report(), list(talkers(args.data, args.per_clip))
    if not found:
        raise SourceError(f"{args.data}: both judges agree on no frame; give other clips")
    runtime = get_runtime(args.runtime)
    report.head(f"MAD of {len(found)} frames", "MPN", "QUN", "MRN", "MRN at the first look")
    for preset in args.presets:
        with load_bshm(preset, runtime, threads=THREADS) as bshm:
            means = np.mean([off(bshm, talker) for talker in found], 0)
        report.row(preset, *(f"{value:.2f}" for value in means))


def main(words: Sequence[str] | None = None) -> None:
    ended_in_one_line(lambda: evaluate(parse(words)))


if __name__ == "__main__":
    main()
