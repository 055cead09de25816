"""What the guard lets out of empty rooms, and what it withholds of people.

    python -m tools.evaluate.guard ../shared/data [../shared/eval]

Rooms are DATA/rooms_eval/*.jpg, panned and shaken as a camera in the hand is; people are the
clips of DATA/clips and of any further folder. Printed is Markdown.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from bshm_live.compositing.background import cover
from bshm_live.errors import BshmError
from bshm_live.loop.guard import Guard
from bshm_live.matting.temporal import Steadier
from bshm_live.runtimes.choice import get_runtime, load_bshm
from bshm_live.settings import PRESETS
from bshm_live.types import Frame, Matting, Picture, Size

from .clips import read_still, read_video, videos

SIZE: Size = (640, 360)
FPS = 30.0
ROOM = 1.25  # of the picture's size: what is left is room to pan
PANS = (0.1, 1.0)  # swings to and fro a second, from slow to fast
SHAKES = (0.002, 0.015)  # of the width: standard deviation from frame to frame
TURN = 0.4  # degrees, the same
NOISE = 2.0  # levels, the same
ROOM_HEAD = "| preset | frames of rooms | over 1 % out | over 2 % out | most out |"
CLIP_HEAD = "| preset | clips | frames | withheld | reasons |"


def panned(room: Picture, seed: int, count: int) -> Iterator[Picture]:
    """A window that swings over a room along one line, and shakes; (360, 640, 3) each."""
    random, (width, height) = np.random.default_rng(seed), SIZE
    large = cover(room, (round(width * ROOM), round(height * ROOM)))
    slack = (np.array(large.shape[1::-1]) - SIZE) / 2
    pan, angle, phase = random.uniform(*PANS), *random.uniform(0, 2 * np.pi, 2)
    shake = random.uniform(*SHAKES) * width
    middle = (large.shape[1] / 2, large.shape[0] / 2)
    for number in range(count):
        swing = np.sin(phase + 2 * np.pi * pan * number / FPS)
        corner = slack * (1 + swing * np.array([np.cos(angle), np.sin(angle)]))
        turn = cv2.getRotationMatrix2D(middle, random.normal(0, TURN), 1)
        turn[:, 2] -= corner + random.normal(0, shake, 2)
        window = cv2.warpAffine(large, turn, SIZE, borderMode=cv2.BORDER_REFLECT_101)
        yield np.clip(window + random.normal(0, NOISE, window.shape), 0, 255).astype(np.uint8)


def rate(path: Path) -> float:
    """Frames a second."""
    reader = cv2.VideoCapture(str(path))
    fps: float = reader.get(cv2.CAP_PROP_FPS) or FPS
    reader.release()
    return fps


def guarded(
    matting: Matting, pictures: Iterator[Picture], fps: float
) -> Iterator[tuple[float, str | None]]:
    """For each picture the share of it that leaves, and why not where it is withheld."""
    guard, steadier = Guard(now=lambda: 0.0), Steadier()  # how fast this machine is counts not
    for number, picture in enumerate(pictures):
        frame = Frame(picture, number, number / fps)
        matte = guard(
            frame,
            lambda p=picture: steadier.steady(matting.matte(p, steadier.hint(p))),  # type: ignore[misc]
        )
        if matte is None:
            steadier.reset()
        yield (0.0 if matte is None else float(matte.alpha.mean())), guard.reason


def room_row(preset: str, matting: Matting, rooms: Sequence[Path], count: int) -> str:
    out = np.array(
        [
            share
            for seed, path in enumerate(rooms)
            for share, _ in guarded(matting, panned(read_still(path), seed, count), FPS)
        ]
    )
    over = [int((out > limit).sum()) for limit in (0.01, 0.02)]
    return f"| {preset} | {len(out)} | {over[0]} | {over[1]} | {100 * out.max():.1f} % |"


def clip_row(preset: str, matting: Matting, clips: Sequence[Path], count: int) -> str:
    frames, reasons = 0, []
    for path in clips:
        pictures = islice(read_video(path), count)
        for number, (_, reason) in enumerate(guarded(matting, pictures, rate(path))):
            frames += 1
            if reason is not None:
                reasons.append(f"{path.stem} {number}: {reason.split(';')[0]}")
    return f"| {preset} | {len(clips)} | {frames} | {len(reasons)} | {'; '.join(reasons[:8])} |"


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m tools.evaluate.guard", description=__doc__)
    parser.add_argument("data", type=Path, help="folder with rooms_eval and clips")
    parser.add_argument("more", type=Path, nargs="*", help="folders with more clips of people")
    parser.add_argument("--presets", nargs="+", default=list(PRESETS), choices=PRESETS)
    parser.add_argument("--rooms", type=int, default=None, help="the first so many")
    parser.add_argument("--frames", type=int, default=40, help="of each room")
    parser.add_argument("--clip-frames", type=int, default=600, help="of each clip; 0 for none")
    args = parser.parse_args(words)
    rooms = sorted((args.data / "rooms_eval").glob("*.jpg"))[: args.rooms]
    folders = [args.data / "clips", *args.more]
    clips = [path for folder in folders for path in videos(folder)]
    lines: dict[str, list[str]] = {ROOM_HEAD: [], CLIP_HEAD: []}
    for preset in args.presets:
        with load_bshm(preset, get_runtime("onnxruntime"), threads=1) as matting:
            if rooms and args.frames:
                lines[ROOM_HEAD].append(room_row(preset, matting, rooms, args.frames))
            if clips and args.clip_frames:
                lines[CLIP_HEAD].append(clip_row(preset, matting, clips, args.clip_frames))
    for head, rows in lines.items():
        print(head, "|---" * (head.count("|") - 1) + "|", *rows, sep="\n", end="\n\n")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BshmError as error:
        sys.exit(f"tools.evaluate.guard: {error}")
