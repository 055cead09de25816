"""Two processes that train one network, their weights averaged now and then.

Networks as small as these leave two threads waiting for each other: two processes of one
thread each see more than twice the batches (local SGD; Stich, "Local SGD converges fast and
communicates little", ICLR 2019). They share what was in memory before.
"""

from __future__ import annotations

from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from .fit import keep
from .store import together

EVERY = 20  # batches between two meetings


class Partner:
    """One of the two; `weights` (2, N) is shared, a row of NaN until its process wrote it."""

    def __init__(self, rank: int, weights: Tensor) -> None:
        self.rank, self.weights, self.steps = rank, weights, 0

    def meet(self, model: nn.Module) -> None:
        """Called before each batch: now and then the mean of both weights goes on from here."""
        self.steps += 1
        if self.steps % EVERY != self.rank * EVERY // 2:
            return
        mine, other = flat(model), self.weights[1 - self.rank].clone()
        if other.isfinite().all():
            mine.add_(other).div_(2)
            put(mine, model)
        self.weights[self.rank] = mine


def in_pair(train: Callable[[Partner, Path], None], model: nn.Module, path: Path) -> None:
    """Calls `train(partner, file)` in two processes; `path` gets the mean of their averages.

    Each writes its own checkpoint to its `file`, and goes on from it when called again.
    Raises SystemExit where one fails.
    """
    weights = torch.full((2, len(flat(model))), torch.nan).share_memory_()
    files = [path.with_name(f"{path.stem}_{rank}.pt") for rank in range(2)]

    def run(rank: int) -> None:
        torch.set_num_threads(1)
        seed = torch.initial_seed() % 2**31 + rank
        torch.manual_seed(seed)
        np.random.seed(seed)
        train(Partner(rank, weights), files[rank])

    together([get_context("fork").Process(target=run, args=(rank,)) for rank in range(2)])
    one, two = (torch.load(file, weights_only=True)["average"] for file in files)
    mean = {k: (v + two[k]) / 2 if v.is_floating_point() else v for k, v in one.items()}
    keep(mean, path)


def floats(model: nn.Module) -> list[Tensor]:
    return [value for value in model.state_dict().values() if value.is_floating_point()]


def flat(model: nn.Module) -> Tensor:
    """All weights and statistics of a network, side by side."""
    return torch.cat([value.flatten() for value in floats(model)])


@torch.no_grad()
def put(weights: Tensor, model: nn.Module) -> None:
    """`weights`, side by side, into a network."""
    values = floats(model)
    parts = weights.split([value.numel() for value in values])
    for value, part in zip(values, parts, strict=True):
        value.copy_(part.view_as(value))
