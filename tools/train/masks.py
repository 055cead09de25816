"""Hints for MPN and damaged masks for QUN, made from true mattes in batches.

All take and give (N, 1, h, w) in [0, 1]. They are wrong in every way in which
the real ones go wrong, so that a bad matte never feeds itself.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def shifted(mask: Tensor, amount: float, scale: float = 0.0) -> Tensor:
    """Moved by up to `amount` of the size and scaled by 1 +- `scale`, each its own way."""
    n = mask.shape[0]
    grow = 1 + (torch.rand(n, device=mask.device) * 2 - 1) * scale
    move = (torch.rand(n, 2, device=mask.device) * 2 - 1) * amount * 2
    theta = torch.zeros(n, 2, 3, device=mask.device)
    theta[:, 0, 0] = theta[:, 1, 1] = grow
    theta[:, :, 2] = move
    grid = F.affine_grid(theta, list(mask.shape), align_corners=False)
    return F.grid_sample(mask, grid, padding_mode="border", align_corners=False)


def fattened(mask: Tensor, radius: int) -> Tensor:
    """Dilated by `radius` pixels, eroded where it is negative."""
    size = 2 * abs(radius) + 1
    if radius < 0:
        return 1 - F.max_pool2d(1 - mask, size, 1, abs(radius))
    return F.max_pool2d(mask, size, 1, radius) if radius else mask


def softened(mask: Tensor, radius: int) -> Tensor:
    return F.avg_pool2d(mask, 2 * radius + 1, 1, radius, count_include_pad=False)


def blobs(mask: Tensor, level: float = 0.82) -> Tensor:
    """Smooth random patches, 1 inside and 0 outside, a few for each picture."""
    n, _, h, w = mask.shape
    coarse = torch.rand(n, 1, max(3, h // 24), max(3, w // 24), device=mask.device)
    field = F.interpolate(coarse, size=(h, w), mode="bicubic", align_corners=False)
    return ((field - level) * 12).sigmoid()


def boxes(mask: Tensor) -> Tensor:
    """The rectangle around each mask; nothing where the mask is empty."""
    rows = (mask.amax(3) > 0.5).float()
    columns = (mask.amax(2) > 0.5).float()
    spans = [(x.cummax(2)[0] * x.flip(2).cummax(2)[0].flip(2)) for x in (rows, columns)]
    return spans[0][..., None] * spans[1][..., None, :]


def scribbles(mask: Tensor) -> Tensor:
    """Strokes well inside the person."""
    inside = fattened(mask, -3)
    strokes = (blobs(mask, 0.5) - 0.5).abs()
    return inside * (strokes < 0.2).float()


def hints(alpha: Tensor) -> Tensor:
    """What may stand in MPN's fourth channel: mostly nothing or the last matte."""
    last = softened(shifted(alpha, 0.03, 0.03), int(torch.randint(0, 3, ())))
    last = fattened(last, int(torch.randint(-2, 3, ())))
    far = shifted(alpha, 0.25, 0.2)
    other = alpha.roll(1, 0)
    patches = blobs(last, 0.85)
    holed = last * (1 - patches) + (1 - last) * patches
    choices = [torch.zeros_like(alpha), last, holed, far, other, boxes(alpha), scribbles(alpha)]
    return _pick(choices, [0.38, 0.16, 0.18, 0.1, 0.1, 0.04, 0.04], alpha)


def damaged(alpha: Tensor) -> Tensor:
    """Coarse masks as a bad MPN gives them: holes, shifts, fat edges, stuck furniture."""
    coarse = softened(alpha, int(torch.randint(2, 6, ())))
    holes = coarse * (1 - blobs(alpha))
    stuck = torch.maximum(coarse, blobs(alpha, 0.88))
    fat = softened(fattened(alpha, int(torch.randint(-4, 5, ()))), 3)
    moved = softened(shifted(alpha, 0.03, 0.03), 2)
    unsure = coarse * 0.8 + 0.1
    both = torch.maximum(holes, blobs(alpha, 0.92) * 0.8)
    return _pick([coarse, holes, stuck, fat, moved, unsure, both], [1 / 7] * 7, alpha)


def _pick(choices: list[Tensor], chances: list[float], like: Tensor) -> Tensor:
    which = torch.multinomial(torch.tensor(chances), like.shape[0], replacement=True)
    return torch.stack(choices)[which, torch.arange(like.shape[0])]
