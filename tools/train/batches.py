"""Batches from the store, as tensors on the training device."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .store import KEYS

Rows = NDArray[Any]

P_CLIP = 0.3
ROWS = 32  # of a batch
TALL = 0.9  # aspect under which a frame is for the tall preset
REFRESH = 120.0
FLIP = 0.5
P_NEARER = 0.6  # frames that are cropped anew
NEAREST = 0.7  # share of the frame's sides that such a crop keeps at least
WIDER = 0.05  # by how much of its height a crop may be stretched


@dataclass(frozen=True)
class View:
    """The part of a stored frame that is seen, and whether it is mirrored."""

    rows: slice
    columns: slice
    mirrored: bool

    def of(self, frame: Rows, size: tuple[int, int]) -> Rows:
        """uint8 (H, W) or (H, W, 3) to (h, w) or (h, w, 3); size is (h, w)."""
        part = frame[self.rows, self.columns]
        smaller = part.shape[0] >= size[0] and part.shape[1] >= size[1]
        how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
        seen = cv2.resize(part, size[::-1], interpolation=how)
        return seen[:, ::-1] if self.mirrored else seen


def view(shape: tuple[int, int], *, whole: bool) -> View:
    """A random part of a frame (H, W); all of it where `whole`."""
    height, width = shape
    if not whole and np.random.random() < P_NEARER:
        kept = np.random.uniform(NEAREST, 1)
        height = min(height, round(height * kept * np.random.uniform(1 - WIDER, 1 + WIDER)))
        width = round(width * kept)
    y, x = (
        np.random.randint(all_of - some + 1)
        for all_of, some in zip(shape, (height, width), strict=True)
    )
    return View(slice(y, y + height), slice(x, x + width), np.random.random() < FLIP)


class Shards:
    """Files of rows in memory, one array for each key and file; more can be added."""

    def __init__(self) -> None:
        self.parts: list[dict[str, Rows]] = []
        self.names: set[str] = set()

    def add(self, paths: list[Path]) -> None:
        for path in paths:
            if path.name not in self.names:
                self.parts.append(without_blank_maps(dict(np.load(path))))
                self.names.add(path.name)
        self.ends = np.cumsum([len(part["alpha"]) for part in self.parts])
        self.aspect = np.concatenate([part["aspect"] for part in self.parts])

    def __len__(self) -> int:
        return int(self.ends[-1])

    def take(self, rows: Rows) -> dict[str, Rows]:
        part = np.searchsorted(self.ends, rows, side="right")
        at = rows - np.concatenate([[0], self.ends])[part]
        return {
            key: np.stack([self.parts[p][key][i] for p, i in zip(part, at, strict=True)])
            for key in KEYS
        }


def without_blank_maps(part: dict[str, Rows]) -> dict[str, Rows]:
    """One row of zeros stands for all where the teacher was not asked: most of the memory."""
    if part["taught"].any():
        return part
    blank = {key: np.broadcast_to(part[key][:1].copy(), part[key].shape) for key in ("r3", "r4")}
    return part | blank


class Store:
    """All shards in memory as uint8; `batch` draws from stills and from clips.

    Shards that are written meanwhile are taken up every `REFRESH` seconds.
    """

    def __init__(self, work: Path, device: str) -> None:
        self.device, self.work, self.rows = device, work, ROWS
        self.half = torch.cpu.get_capabilities().get("avx512_bf16", False) or device != "cpu"
        self.stills, self.clips = Shards(), Shards()
        clips = sorted(work.glob("clip_*.npz"))
        if clips:
            self.clips.add(clips)
        starts = [0, *self.clips.ends[:-1]] if clips else []
        total = len(self.clips) if clips else 0
        self.inner = np.setdiff1d(np.arange(total), starts)  # frames that have one before
        self.refresh()

    def refresh(self) -> None:
        self.stills.add(sorted(self.work.glob("still*.npz")))
        self.tall = np.flatnonzero(self.stills.aspect < TALL)
        self.looked = time.monotonic()

    def batch(self, n: int, size: tuple[int, int]) -> dict[str, Tensor]:
        """image, alpha, last (the matte before, zero in stills), r3, r4; size is (h, w).

        `full` is alpha at the store's own size; `taught` is 1 where r3 and r4 are the teacher's.
        A size that is taller than wide gets frames that were so.
        """
        if time.monotonic() - self.looked > REFRESH:
            self.refresh()
        upright = size[0] > size[1]
        from_clips = int(np.random.binomial(n, P_CLIP)) if len(self.inner) and not upright else 0
        rows = np.random.randint(0, len(self.stills), n - from_clips)
        if upright:
            rows = np.random.choice(self.tall, n)
        parts = [self.stills.take(rows)]
        parts[0]["last"] = np.zeros_like(parts[0]["alpha"])
        if from_clips:
            rows = np.random.choice(self.inner, from_clips)
            parts.append(self.clips.take(rows))
            parts[1]["last"] = self.clips.take(rows - 1)["alpha"]
        whole = {k: np.concatenate([p[k] for p in parts]) for k in parts[0]}
        return self._tensors(whole, from_clips, size)

    def empty(self) -> Rows:
        """The stills in which nobody is, as indices."""
        filled = [
            part["alpha"].reshape(len(part["alpha"]), -1).any(1) for part in self.stills.parts
        ]
        return np.flatnonzero(~np.concatenate(filled))

    def these(self, rows: Rows, size: tuple[int, int]) -> dict[str, Tensor]:
        """A batch, as `batch` gives it, of stills by index."""
        taken = self.stills.take(rows)
        return self._tensors({**taken, "last": np.zeros_like(taken["alpha"])}, 0, size)

    def _tensors(
        self, whole: dict[str, Rows], from_clips: int, size: tuple[int, int]
    ) -> dict[str, Tensor]:
        shape = whole["alpha"].shape[1:]
        # The teacher's maps are of the whole frame.
        views = [view(shape, whole=bool(taught)) for taught in whole["taught"]]

        def seen(key: str, at: tuple[int, int]) -> Tensor:
            frames = [v.of(frame, at) for v, frame in zip(views, whole[key], strict=True)]
            return torch.from_numpy(np.stack(frames)).to(self.device).float() / 255

        out = {"image": seen("image", size).permute(0, 3, 1, 2)}
        out |= {key: seen(key, size)[:, None] for key in ("alpha", "last")}
        out["full"] = seen("alpha", shape)[:, None]
        mirrored = self._column(np.array([v.mirrored for v in views]))
        out["taught"] = self._column(whole["taught"])
        for key in ("r3", "r4"):
            maps = torch.from_numpy(whole[key]).to(self.device, torch.float32)
            out[key] = torch.where(mirrored > 0, maps.flip(3), maps)
        out["is_clip"] = self._column(np.arange(len(views)) >= len(views) - from_clips)
        return recoloured(out)

    def _column(self, values: Rows) -> Tensor:
        """(N, 1, 1, 1), one value for each frame."""
        return torch.from_numpy(values).to(self.device, torch.float32)[:, None, None, None]


def recoloured(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Exposure and white balance anew, so that a stored frame is never seen twice alike."""
    image = batch["image"]
    n = image.shape[0]
    gain = torch.exp(torch.randn(n, 1, 1, 1, device=image.device) * 0.15)
    tint = torch.exp(torch.randn(n, 3, 1, 1, device=image.device) * 0.06)
    lift = torch.randn(n, 1, 1, 1, device=image.device) * 0.04
    image = ((image * gain * tint) + lift).clamp(0, 1)
    return {**batch, "image": image.contiguous(memory_format=torch.channels_last)}
