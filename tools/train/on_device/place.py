"""Boxes of photographs and how a frame looks into them, for a whole batch at once."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ..framing import HEADS, STRETCHED
from .deck import Deck

ZOOM = 2.2  # of crops around a head, at most
ANGLE = 5.0  # spread of the camera's tilt in degrees
BLURRED = 1.5  # source pixels to a frame's pixel from which on a smaller copy is read


def uniform(like: Tensor, low: float, high: float) -> Tensor:
    return torch.rand_like(like) * (high - low) + low


def boxes(deck: Deck, rows: Tensor, aspect: Tensor, original: Tensor) -> Tensor:
    """x, y, width, height (N, 4) in pixels: crops around a head, or anywhere.

    `original` (N,) is 1 where the photograph's own background is kept: such a crop stays
    on the photograph. Others end where the photograph cuts somebody off.
    """
    size, edges = deck.size[rows], deck.edges[rows]
    pw, ph = size.unbind(1)
    pick = torch.randint(0, deck.heads.shape[1], (len(rows),), device=rows.device)
    x, top, head = deck.heads[rows, pick].unbind(1)
    free = (torch.rand_like(x) < deck.anywhere[rows]).float()
    near = ph / torch.exp(uniform(x, math.log(0.9), math.log(ZOOM)))
    far = head / torch.exp(uniform(x, math.log(HEADS[0]), math.log(HEADS[1])))
    height = far * free + near * (1 - free)
    width = height * aspect * torch.exp(torch.randn_like(x) * STRETCHED)
    bound = torch.maximum(edges, original[:, None])
    left, above, right, below = bound.unbind(1)
    over_w = (width / pw).clamp(min=1) * left * right + (1 - left * right)
    over_h = (height / ph).clamp(min=1) * above * below + (1 - above * below)
    most = torch.maximum(over_w, over_h)
    width = width / torch.maximum(over_w, most / 1.33)
    height = height / torch.maximum(over_h, most / 1.33)
    across = uniform(x, 0.05, 0.95) * free + uniform(x, 0.3, 0.7) * (1 - free)
    down = uniform(x, 0.05, 0.95) * free + uniform(x, 0.0, 0.2) * (1 - free)
    x0 = held(x - width * across, width, pw, left, right)
    y0 = held(top + free * head / 2 - height * down, height, ph, above, below)
    return torch.stack([x0, y0, width, height], 1)


def held(start: Tensor, length: Tensor, whole: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Starts moved so that a crop does not pass an end of the photograph that holds it."""
    start = torch.where(high > 0, torch.minimum(start, whole - length), start)
    return torch.where(low > 0, start.clamp(min=0), start)


def grids(box: Tensor, side: int, size: tuple[int, int], turned: Tensor, flip: Tensor) -> Tensor:
    """Where each pixel of a frame (h, w) lies in its square (N, h, w, 2), in [-1, 1].

    `turned` (N,) is in degrees, `flip` (N,) 1 or -1.
    """
    h, w = size
    angle = turned * (math.pi / 180)
    c, s = torch.cos(angle), torch.sin(angle)
    shape = w / h  # of the frame, so that a turn is one in pixels
    zero = torch.zeros_like(c)
    turn = torch.stack([c * flip, s / shape, zero, -s * shape * flip, c, zero], 1).view(-1, 2, 3)
    grid = F.affine_grid(turn, [len(box), 1, h, w], align_corners=False)
    middle = (box[:, :2] + box[:, 2:] / 2)[:, None, None]
    pixels = middle + grid * (box[:, None, None, 2:] / 2)
    return pixels * (2 / side) - 1


def looked_at(squares: Tensor, box: Tensor, grid: Tensor) -> Tensor:
    """Squares (N, C, S, S) uint8 seen through grids (N, h, w, 2): (N, C, h, w) in [0, 1].

    Where a frame's pixel is wide, copies of a half and a quarter of the size are read.
    """
    level = squares.float() / 255
    step = box[:, 2] / grid.shape[2]
    out = seen(level, grid)
    for factor in (2, 4, 8):
        level = F.avg_pool2d(level, 2)
        coarse = (step > BLURRED * factor / 2).view(-1, 1, 1, 1)
        if coarse.any():
            out = torch.where(coarse, seen(level, grid), out)
    return out


def seen(level: Tensor, grid: Tensor) -> Tensor:
    return F.grid_sample(level, grid, padding_mode="border", align_corners=False)
