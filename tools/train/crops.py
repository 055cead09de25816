"""MRN's training crops: the small frame whole, the large one where the edge is.

A crop is 320x320 of a 1152x768 frame; the frame itself is kept at 288x192, the size of
`quality`, so that MRN meets the masks that MPN and QUN really make of it.

    python -m tools.train.crops --data ../shared/data --crops 8000

makes them beside the training of the other two.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .data import U8, Frames, Photos
from .mrn import CELL
from .sizes import FRAME
from .store import in_parallel, save_rows

LOW = FRAME[::-1]  # width, height
SIDE = 320
SHARD = 250
PER_FRAME = 2
ROWS = 32  # of MPN's batches; a batch of crops has half as many
P_HAIR = 0.5  # frames with drawn strands
MULTIPLE = 16  # MRN halves the mask's grid twice
KEYS = ("low", "low_alpha", "image", "alpha", "foreground", "window")


def build_crops(photos: Photos, count: int) -> None:
    """Fills the store with `count` crops; shards that exist stay."""
    in_parallel(photos, [f"crop{shard:04d}.npz" for shard in range(count // SHARD)], _crops)


def _crops(photos: Photos, frames: Frames, names: list[str]) -> None:
    cv2.setNumThreads(1)
    for name in names:
        frames.rng, frames.p_hair = photos.rng(name), P_HAIR
        rows: list[tuple[Any, ...]] = []
        while len(rows) < SHARD:
            image, alpha, front = frames.make(LOW[0] * CELL, LOW[1] * CELL)
            low, low_alpha = (
                cv2.resize(x, LOW, interpolation=cv2.INTER_AREA) for x in (image, alpha)
            )
            for _ in range(PER_FRAME):
                x, y = _window(alpha, frames.rng)
                part = np.s_[y : y + SIDE, x : x + SIDE]
                window = np.array([x, y], np.int32) // CELL
                rows.append((low, low_alpha, image[part], alpha[part], front[part], window))
        save_rows(photos.work / name, KEYS, rows)
        print(name, flush=True)


def _window(alpha: U8, rng: np.random.Generator) -> tuple[int, int]:
    """Top left of a crop, mostly with a soft pixel in it, on the low grid."""
    h, w = alpha.shape
    y, x = rng.integers(0, h), rng.integers(0, w)
    soft = np.flatnonzero((alpha > 12) & (alpha < 243))
    if len(soft) and rng.random() < 0.85:
        y, x = np.unravel_index(int(rng.choice(soft)), alpha.shape)  # type: ignore[assignment]
    x = np.clip(x - rng.integers(32, SIDE - 32), 0, w - SIDE)
    y = np.clip(y - rng.integers(32, SIDE - 32), 0, h - SIDE)
    return int(x) // CELL * CELL, int(y) // CELL * CELL


class Crops:
    """All crops in memory."""

    def __init__(self, work: Path, device: str) -> None:
        parts = [dict(np.load(p)) for p in sorted(work.glob("crop*.npz"))]
        self.all = {k: np.concatenate([p[k] for p in parts]) for k in KEYS}
        self.device, self.rows, self.half = device, ROWS, False

    def batch(self, n: int) -> dict[str, Tensor]:
        """low (N, 3, 192, 288) with low_alpha; image and foreground (N, 3, 320, 320) with alpha.

        `window` (N, 2) is the crop's top left on the low frame.
        """
        rows = np.random.randint(0, len(self.all["alpha"]), n)
        b = {k: torch.from_numpy(v[rows]).to(self.device) for k, v in self.all.items()}
        out = {k: b[k].permute(0, 3, 1, 2).float() / 255 for k in ("low", "image", "foreground")}
        out |= {k: b[k][:, None].float() / 255 for k in ("low_alpha", "alpha")}
        out["window"] = b["window"]
        gain = torch.exp(torch.randn(n, 1, 1, 1, device=self.device) * 0.12)
        tint = torch.exp(torch.randn(n, 3, 1, 1, device=self.device) * 0.05)
        for key in ("low", "image", "foreground"):
            out[key] = (out[key] * gain * tint).clamp(0, 1)
        return out

    @staticmethod
    def cut(mask: Tensor, b: dict[str, Tensor], side: int = SIDE // CELL) -> Tensor:
        """The crop's part (N, 1, side, side) of a whole frame's mask of any size."""
        (width, height), part = LOW, SIDE // CELL
        theta = torch.zeros(len(mask), 2, 3, device=mask.device)
        theta[:, 0, 0], theta[:, 1, 1] = part / width, part / height
        centre = (b["window"].to(mask) + part / 2) / mask.new_tensor([width, height])
        theta[:, :, 2] = 2 * centre - 1
        grid = F.affine_grid(theta, [len(mask), 1, side, side], align_corners=False)
        return F.grid_sample(mask, grid, padding_mode="border", align_corners=False)

    def seen_at(self, b: dict[str, Tensor], mask: Tensor, width: int) -> dict[str, Tensor]:
        """The crops as they are where the whole frame's mask is `width` wide, with its part."""
        side = round(SIDE * width / LOW[0] / MULTIPLE) * MULTIPLE
        names = ("image", "alpha", "foreground")
        out = {
            k: F.interpolate(b[k], size=(side, side), mode="bilinear", antialias=True)
            for k in names
        }
        return {**out, "mask": self.cut(mask, b, side // CELL)}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path(".train"))
    parser.add_argument("--crops", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    build_crops(Photos(args.data, args.work, args.seed), args.crops)


if __name__ == "__main__":
    main()
