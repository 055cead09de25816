"""Our presets and other networks on clips with a true alpha, in one run.

    python -m tools.evaluate ../shared/eval [--rivals ../shared/data/rivals]

A clip is NAME.mp4 with NAME_alpha.mkv (8-bit grey, same frames). Metrics as in
the tables of Robust Video Matting (Lin et al., WACV 2022): MAD and MSE x1e3
over all pixels; Grad, the squared difference of gradient magnitudes (Gaussian
derivatives, sigma 1.4), summed, /1e3 per frame; dtSSD x1e2.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from bshm_live.background import Fixed, plain
from bshm_live.bshm import Bshm
from bshm_live.pipeline import Pipeline
from bshm_live.runtimes import get_runtime, load_bshm
from bshm_live.settings import PRESETS
from bshm_live.types import Frame

SIGMA = 1.4
GREEN = (64, 177, 0)
RVM_STATE = ("r1", "r2", "r3", "r4")

Image = np.ndarray
Predict = Callable[[Image, int], Image]  # BGR frame and its number to alpha (H, W) in [0, 1]


@dataclass
class Clip:
    name: str
    frames: list[Image]
    truth: list[Image]


@dataclass
class Scores:
    """Sums over frames of one network on all clips."""

    name: str
    values: dict[str, list[float]] = field(
        default_factory=lambda: {k: [] for k in ("MAD", "MSE", "Grad", "dtSSD", "ms")}
    )
    per_clip: dict[str, float] = field(default_factory=dict)

    def row(self) -> str:
        mean = {k: float(np.mean(v)) for k, v in self.values.items() if k != "ms"}
        ms = float(np.median(self.values["ms"]))
        clips = " ".join(f"{v:.1f}" for v in self.per_clip.values())
        return (
            f"| {self.name} | {mean['MAD']:.1f} | {mean['MSE']:.1f} | {mean['Grad']:.2f} "
            f"| {mean['dtSSD']:.2f} | {ms:.1f} | {clips} |"
        )


def read_video(path: Path, *, grey: bool = False) -> Iterator[Image]:
    reader = cv2.VideoCapture(str(path))
    while True:
        more, frame = reader.read()
        if not more:
            return
        yield frame[..., 0].astype(np.float32) / 255 if grey else frame


def read_clips(folder: Path) -> list[Clip]:
    clips = []
    for alpha in sorted(folder.glob("*_alpha.mkv")):
        name = alpha.stem.removesuffix("_alpha")
        frames = list(read_video(folder / f"{name}.mp4"))
        truth = list(read_video(alpha, grey=True))
        if len(frames) != len(truth):
            raise SystemExit(f"{name}: {len(frames)} frames but {len(truth)} mattes")
        clips.append(Clip(name, frames, truth))
    if not clips:
        raise SystemExit(f"{folder}: no NAME.mp4 with NAME_alpha.mkv in it")
    return clips


def gradient(alpha: Image) -> Image:
    """Gradient magnitude with Gaussian derivatives of sigma 1.4, kernels of L2 norm 1."""
    radius = int(np.ceil(3 * SIGMA))
    x = np.arange(-radius, radius + 1, dtype=np.float64)
    smooth = np.exp(-(x**2) / (2 * SIGMA**2))
    slope = x * smooth
    smooth, slope = (k / np.sqrt((k**2).sum()) for k in (smooth, slope))
    along = cv2.sepFilter2D(alpha, cv2.CV_32F, slope, smooth)
    down = cv2.sepFilter2D(alpha, cv2.CV_32F, smooth, slope)
    return np.sqrt(along**2 + down**2)


def score(clip: Clip, predict: Predict, into: Scores) -> None:
    before: tuple[Image, Image] | None = None
    mads = []
    for number, (frame, truth) in enumerate(zip(clip.frames, clip.truth, strict=True)):
        start = time.perf_counter()
        alpha = predict(frame, number)
        into.values["ms"].append((time.perf_counter() - start) * 1e3)
        difference = alpha - truth
        mads.append(float(np.abs(difference).mean() * 1e3))
        into.values["MSE"].append(float((difference**2).mean() * 1e3))
        edge = (gradient(alpha) - gradient(truth)) ** 2
        into.values["Grad"].append(float(edge.sum() / 1e3))
        if before is not None:
            change = (alpha - before[0]) - (truth - before[1])
            into.values["dtSSD"].append(float(np.sqrt((change**2).mean()) * 1e2))
        before = (alpha, truth)
    into.values["MAD"] += mads
    into.per_clip[clip.name] = float(np.mean(mads))


class Ours:
    """The product's own path, background and all; or its first stages alone."""

    def __init__(self, bshm: Bshm, stages: str = "all", *, smooth: bool = True) -> None:
        self.bshm, self.stages, self.smooth = bshm, stages, smooth

    def __call__(self, frame: Image, number: int) -> Image:
        size = frame.shape[1::-1]
        if number == 0:
            background = Fixed(plain(GREEN, size))
            self.pipeline = Pipeline(
                self.bshm, background, size, smooth=self.smooth, fail_closed=False
            )
        if self.stages == "all":
            return self.pipeline.shoot(Frame(frame, number, number / 25)).alpha / np.float32(255)
        steadier = self.pipeline.steadier
        matte = self.bshm.matte(frame, steadier.hint(frame))
        steadier.steady(matte)
        mask = matte.coarse if self.stages == "coarse" else matte.unified
        return cv2.resize(mask, size)


class Other:
    """A network with RGB (1, H, W, 3) in [0, 1] in; recurrent state fed back."""

    def __init__(self, path: Path) -> None:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = 2
        options.log_severity_level = 3
        self.session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.image, *self.memory = self.session.get_inputs()
        self.names = [o.name for o in self.session.get_outputs()]

    def __call__(self, frame: Image, number: int) -> Image:
        if number == 0:
            self.state = {m.name: np.zeros(m.shape, np.float32) for m in self.memory}
        _, height, width, _ = self.image.shape
        small = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)
        rgb = np.ascontiguousarray(small[..., ::-1], np.float32)[None] / 255
        out = dict(
            zip(
                self.names,
                self.session.run(None, {self.image.name: rgb, **self.state}),
                strict=True,
            )
        )
        self.state = {f"{k}i": out[f"{k}o"] for k in RVM_STATE} if self.memory else {}
        alpha = out["pha"] if "pha" in out else next(iter(out.values()))
        if alpha.shape[-1] == 2:
            raw = np.exp(alpha - alpha.max(-1, keepdims=True))
            alpha = raw[..., 1:] / raw.sum(-1, keepdims=True)
        return cv2.resize(alpha.reshape(height, width), frame.shape[1::-1])


def candidates(args: argparse.Namespace) -> Iterator[tuple[str, Predict]]:
    runtime = get_runtime(args.runtime)
    for preset in args.presets:
        bshm = load_bshm(preset, runtime, threads=2)
        yield f"{preset}: MPN", Ours(bshm, "coarse")
        yield f"{preset}: MPN, QUN", Ours(bshm, "unified")
        yield f"{preset}: MPN, QUN, MRN", Ours(bshm, smooth=False)
        yield f"**{preset}**, steadied", Ours(bshm)
    for path in sorted(args.rivals.glob("*.onnx")) if args.rivals else ():
        yield path.stem, Other(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", type=Path)
    parser.add_argument("--rivals", type=Path, help="folder of ONNX networks to compare with")
    parser.add_argument("--presets", nargs="+", default=list(PRESETS), choices=PRESETS)
    parser.add_argument("--runtime", default="onnxruntime")
    args = parser.parse_args()
    clips = read_clips(args.clips)
    names = ", ".join(c.name for c in clips)
    print(f"| network | MAD | MSE | Grad | dtSSD | ms, whole frame | MAD of {names} |")
    print("|---|---|---|---|---|---|---|")
    for name, predict in candidates(args):
        scores = Scores(name)
        for clip in clips:
            score(clip, predict, scores)
        print(scores.row(), flush=True)


if __name__ == "__main__":
    main()
