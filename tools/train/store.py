"""A store of training frames with what the teacher makes of them, computed once.

Each shard holds frames at 288x192 with alpha, and the teacher's recurrent
feature maps at 1/8 (`r3`) and 1/16 (`r4`) of its 256x144 picture: the student's
decoder is made to predict them, which teaches it more per frame than the
matte alone. The teacher takes six times as long as the frame itself, so that
most of the stills go without. Clips are stored in order with the recurrent
teacher's mattes.

    python -m tools.train.store --data ../shared/data --frames 30000

fills a store beside a training that has begun: it takes up new shards as they come.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from multiprocessing import Process
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from bshm_live.files import replacing

from .data import Frames, Photos
from .sizes import FRAME

HEIGHT, WIDTH = FRAME
SHARD = 500
TAUGHT = 0.25  # share of the shards of stills with the teacher's maps; zeros in the others
TAUGHT_ASPECT = 1.1  # narrower frames are squeezed too much for the teacher
KEYS = ("image", "alpha", "r3", "r4", "taught", "aspect")
TEACHER = "rivals/rvm_144x256.onnx"
RECURRENT = {"r1": (72, 128, 16), "r2": (36, 64, 20), "r3": (18, 32, 40), "r4": (9, 16, 64)}


class Teacher:
    """Robust Video Matting at 256x144: RGB uint8 frames to matte and features."""

    def __init__(self, data: Path, threads: int = 1) -> None:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        self.session = ort.InferenceSession(
            str(data / TEACHER), options, providers=["CPUExecutionProvider"]
        )
        self.reset()

    def reset(self) -> None:
        self.state = {f"{k}i": np.zeros((1, *s), np.float32) for k, s in RECURRENT.items()}

    def __call__(self, image: Any) -> dict[str, Any]:
        src = cv2.resize(image, (256, 144), interpolation=cv2.INTER_AREA)
        feeds = {"src": src[None].astype(np.float32) / 255, **self.state}
        names = [o.name for o in self.session.get_outputs()]
        out = dict(zip(names, self.session.run(names, feeds), strict=True))
        self.state = {f"{k}i": out[f"{k}o"] for k in RECURRENT}
        return out


def save_rows(path: Path, keys: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    columns = [np.stack(column) for column in zip(*rows, strict=True)]
    with replacing(path) as (part,), part.open("wb") as file:
        np.savez(file, **dict(zip(keys, columns, strict=True)))


def features(out: dict[str, Any]) -> tuple[Any, Any]:
    return tuple(out[k][0].transpose(2, 0, 1).astype(np.float16) for k in ("r3o", "r4o"))  # type: ignore[return-value]


def no_features() -> tuple[Any, Any]:
    shapes = [(c, h, w) for h, w, c in (RECURRENT["r3"], RECURRENT["r4"])]
    return tuple(np.zeros(shape, np.float16) for shape in shapes)  # type: ignore[return-value]


def in_parallel(
    photos: Photos, names: list[str], make: Callable[[Photos, Frames, list[str]], None]
) -> None:
    """Makes the shards that are missing in two processes."""
    missing = [name for name in names if not (photos.work / name).exists()]
    if not missing:
        return
    frames = Frames(photos.people(), photos.rooms(), 0)
    together([Process(target=make, args=(photos, frames, missing[i::2])) for i in range(2)])


def together(jobs: Sequence[BaseProcess]) -> None:
    """Runs processes until all have ended. Raises SystemExit where one failed."""
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    if any(job.exitcode for job in jobs):
        raise SystemExit("a process of the training failed: see above")


def stills(photos: Photos, frames: Frames, names: list[str]) -> None:
    teacher = Teacher(photos.data)
    cv2.setNumThreads(1)
    for name in names:
        frames.rng = photos.rng(name)
        rows: list[tuple[Any, ...]] = []
        for _ in range(SHARD):
            image, alpha, _ = frames.make(WIDTH, HEIGHT)
            teacher.reset()
            seen = taught(name) and frames.aspect > TAUGHT_ASPECT
            maps = features(teacher(image)) if seen else no_features()
            rows.append((image, alpha, *maps, seen, np.float32(frames.aspect)))
        save_rows(photos.work / name, KEYS, rows)
        print(name, flush=True)


def taught(name: str) -> bool:
    """Whether a shard holds the teacher's maps; so of any first shards about the same share."""
    return int(name[5:9]) % round(1 / TAUGHT) == 0


def clips(data: Path, work: Path) -> None:
    teacher = Teacher(data, threads=2)
    for source in sorted((data / "clips").iterdir()):
        path = work / f"clip_{source.stem}.npz"
        if path.exists():
            continue
        reader, rows = cv2.VideoCapture(str(source)), []
        teacher.reset()
        while True:
            more, frame = reader.read()
            if not more or len(rows) == 300:
                break
            image = cv2.resize(
                frame[..., ::-1].copy(), (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA
            )
            out = teacher(image)
            alpha = cv2.resize((out["pha"][0, ..., 0] * 255).astype(np.uint8), (WIDTH, HEIGHT))
            aspect = np.float32(frame.shape[1] / frame.shape[0])
            rows.append((image, alpha, *features(out), True, aspect))
        save_rows(path, KEYS, rows)
        print(path.name, len(rows), flush=True)


def build(photos: Photos, count: int) -> None:
    """Fills the store with `count` stills and all clips; shards that exist stay."""
    names = [f"still{shard:04d}.npz" for shard in range(count // SHARD)]
    # The slow ones first, so that both processes have as many of them.
    in_parallel(photos, sorted(names, key=taught, reverse=True), stills)
    clips(photos.data, photos.work)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path(".train"))
    parser.add_argument("--frames", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    build(Photos(args.data, args.work, args.seed), args.frames)


if __name__ == "__main__":
    main()
