"""Strands, limbs and things as coverage maps of a whole batch (N, 1, h, w) in [0, 1]."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from .place import uniform

STRANDS, POINTS = 60, 24
LEVEL = 0.9  # alpha inside of which strands have their roots


def over(front: Tensor, alpha: Tensor, colour: Tensor, cover: Tensor) -> tuple[Tensor, Tensor]:
    """A layer laid on a straight foreground (N, 3, h, w) and its alpha."""
    union = cover + (1 - cover) * alpha
    share = cover / union.clamp(min=1e-4)
    return colour * share + front * (1 - share), union


def strands(front: Tensor, alpha: Tensor) -> tuple[Tensor, Tensor]:
    """Colour and coverage of strands grown from the upper outline of each matte."""
    h, w = alpha.shape[2:]
    edge = F.max_pool2d(alpha, 3, 1, 1) - alpha
    edge = edge * (alpha.cummax(2)[0].cumsum(2) < 0.35 * h)  # the upper part of each column
    chance = edge.flatten(1) + 1e-8
    roots = torch.multinomial(chance, STRANDS, replacement=True)
    y, x = (roots // w).float(), (roots % w).float()
    mass = alpha.flatten(1).sum(1, keepdim=True).clamp(min=1)
    centre_x = (alpha.sum(2).flatten(1) * torch.arange(w, device=x.device)).sum(1, keepdim=True)
    way = torch.atan2(-torch.ones_like(y), (x - centre_x / mass) / mass.sqrt() * 2)
    way = way + torch.randn_like(way) * 0.6
    length = mass.sqrt() * torch.exp(uniform(x, math.log(0.04), math.log(0.3)))
    t = torch.linspace(-0.15, 1, POINTS, device=x.device)
    bend = torch.randn_like(x)[..., None] * 0.8
    path_x = x[..., None] + torch.cos(way[..., None] + bend * t) * t * length[..., None]
    path_y = y[..., None] + torch.sin(way[..., None] + bend * t) * t * length[..., None]
    path_y = path_y + 0.4 * length[..., None] * t.clamp(min=0) ** 2
    cover = splat(path_x.flatten(1), path_y.flatten(1), (h, w))
    inside = (alpha > LEVEL).float()
    near = F.avg_pool2d(front * inside, 15, 1, 7) / F.avg_pool2d(inside, 15, 1, 7).clamp(min=1e-2)
    near = F.max_pool2d(near, 9, 1, 4) * torch.exp(uniform(alpha[:, :, :1, :1], -0.5, 0.2))
    return near.clamp(0, 1), cover * uniform(alpha[:, :, :1, :1], 0.5, 1)


def splat(x: Tensor, y: Tensor, size: tuple[int, int]) -> Tensor:
    """Points (N, P) as coverage (N, 1, h, w): each spread over the four pixels around it."""
    h, w = size
    canvas = x.new_zeros(len(x), h * w)
    left, top = x.floor(), y.floor()
    for dx in (0, 1):
        for dy in (0, 1):
            px, py = left + dx, top + dy
            weight = (1 - (x - px).abs()) * (1 - (y - py).abs())
            inside = (px >= 0) & (px < w) & (py >= 0) & (py < h)
            at = (py.clamp(0, h - 1) * w + px.clamp(0, w - 1)).long()
            canvas.scatter_add_(1, at, weight * inside)
    return canvas.view(len(x), 1, h, w).clamp(0, 1)


def limbs(like: Tensor, start: Tensor, end: Tensor, width: Tensor) -> Tensor:
    """Capsules from `start` to `end` (N, K, 2) in pixels, of radius `width` (N, K)."""
    h, w = like.shape[2:]
    y, x = torch.meshgrid(
        torch.arange(h, device=like.device), torch.arange(w, device=like.device), indexing="ij"
    )
    at = torch.stack([x, y], -1).float()[None, None]  # (1, 1, h, w, 2)
    a, b = start[:, :, None, None], end[:, :, None, None]
    along = b - a
    t = ((at - a) * along).sum(-1) / (along * along).sum(-1).clamp(min=1e-3)
    nearest = a + along * t.clamp(0, 1)[..., None]
    distance = (at - nearest).norm(dim=-1) - width[:, :, None, None]
    return (0.5 - distance).clamp(0, 1).amax(1, keepdim=True)


def arms(alpha: Tensor) -> Tensor:
    """Coverage of an arm with a hand that begins on somebody, or at the frame's edge."""
    h, w = alpha.shape[2:]
    spot = torch.multinomial(alpha.flatten(1) + 1e-8, 1)[:, 0]
    root = torch.stack([spot % w, spot // w], 1).float()
    scale = alpha.flatten(1).sum(1).sqrt().clamp(min=0.3 * h)
    way = uniform(scale, -math.pi, 0.2)
    tip = (
        root + torch.stack([way.cos(), way.sin()], 1) * (scale * uniform(scale, 0.3, 0.9))[:, None]
    )
    wide = scale * uniform(scale, 0.05, 0.1)
    fingers = torch.arange(4, device=alpha.device) - 1.5
    ways = way[:, None] + fingers * uniform(scale, 0.1, 0.4)[:, None]
    ends = tip[:, None] + torch.stack([ways.cos(), ways.sin()], 2) * wide[:, None, None] * 2.6
    start = torch.cat([root[:, None], tip[:, None].expand(-1, 5, -1)], 1)
    end = torch.cat([tip[:, None], tip[:, None], ends], 1)
    shares = wide.new_tensor([1.0, 1.3, 0.3, 0.3, 0.3, 0.3])
    return limbs(alpha, start, end, wide[:, None] * shares)


def things(alpha: Tensor, spread: float) -> Tensor:
    """Coverage of boxes with round corners around somebody; `spread` is how far away."""
    h, w = alpha.shape[2:]
    spot = torch.multinomial(alpha.flatten(1) + 1e-8, 1)[:, 0]
    scale = alpha.flatten(1).sum(1).sqrt().clamp(min=0.2 * h)
    middle = torch.stack([spot % w, spot // w], 1).float()
    middle = middle + torch.randn_like(middle) * (spread * scale)[:, None]
    half = scale[:, None] * uniform(middle, 0.06, 0.25 + spread)
    y = torch.arange(h, device=alpha.device).view(1, h, 1)
    x = torch.arange(w, device=alpha.device).view(1, 1, w)
    corner = half.amin(1).view(-1, 1, 1) * uniform(scale, 0, 1).view(-1, 1, 1)
    dx = ((x - middle[:, :1, None]).abs() - half[:, :1, None] + corner).clamp(min=0)
    dy = ((y - middle[:, 1:, None]).abs() - half[:, 1:, None] + corner).clamp(min=0)
    return (0.5 + corner - (dx * dx + dy * dy).sqrt()).clamp(0, 1)[:, None]
