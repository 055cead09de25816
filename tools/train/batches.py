"""Batches from the store, as tensors on the training device."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

P_CLIP = 0.2
FLIP = 0.5


class Store:
    """All shards in memory as uint8; `batch` draws from stills and from clips."""

    def __init__(self, work: Path, device: str) -> None:
        self.device = device
        self.stills = self._load(sorted(work.glob("still*.npz")))
        clips = sorted(work.glob("clip_*.npz"))
        self.clips = self._load(clips) if clips else None
        starts = np.cumsum([0] + [len(np.load(c)["alpha"]) for c in clips])[:-1]
        total = len(self.clips["alpha"]) if self.clips is not None else 0
        self.inner = np.setdiff1d(np.arange(total), starts)  # frames that have one before

    @staticmethod
    def _load(paths: list[Path]) -> dict[str, np.ndarray]:
        parts = [dict(np.load(p)) for p in paths]
        return {k: np.concatenate([p[k] for p in parts]) for k in ("image", "alpha", "r3", "r4")}

    def batch(self, n: int, size: tuple[int, int]) -> dict[str, Tensor]:
        """image, alpha, last (the matte before, zero in stills), r3, r4; size is (h, w)."""
        from_clips = int(np.random.binomial(n, P_CLIP)) if self.clips is not None else 0
        rows = np.random.randint(0, len(self.stills["alpha"]), n - from_clips)
        parts = [{**{k: v[rows] for k, v in self.stills.items()}}]
        parts[0]["last"] = np.zeros_like(parts[0]["alpha"])
        if from_clips and self.clips is not None:
            rows = np.random.choice(self.inner, from_clips)
            parts.append({k: v[rows] for k, v in self.clips.items()})
            parts[1]["last"] = self.clips["alpha"][rows - 1]
        whole = {k: np.concatenate([p[k] for p in parts]) for k in parts[0]}
        out = {
            "image": self._tensor(whole["image"]).permute(0, 3, 1, 2),
            "alpha": self._tensor(whole["alpha"])[:, None],
            "last": self._tensor(whole["last"])[:, None],
        }
        out = {
            k: F.interpolate(v, size=size, mode="bilinear", antialias=True) for k, v in out.items()
        }
        for key in ("r3", "r4"):
            out[key] = torch.from_numpy(whole[key]).to(self.device, torch.float32)
        out["is_clip"] = (torch.arange(n, device=self.device) >= n - from_clips)[
            :, None, None, None
        ].float()
        return recoloured(flipped(out))

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(self.device).float() / 255


def flipped(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    if torch.rand(()) < FLIP:
        return {k: v.flip(3) if v.shape[3] > 1 else v for k, v in batch.items()}
    return batch


def recoloured(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Exposure and white balance anew, so that a stored frame is never seen twice alike."""
    image = batch["image"]
    n = image.shape[0]
    gain = torch.exp(torch.randn(n, 1, 1, 1, device=image.device) * 0.15)
    tint = torch.exp(torch.randn(n, 3, 1, 1, device=image.device) * 0.06)
    lift = torch.randn(n, 1, 1, 1, device=image.device) * 0.04
    image = ((image * gain * tint) + lift).clamp(0, 1)
    return {**batch, "image": image.contiguous(memory_format=torch.channels_last)}
