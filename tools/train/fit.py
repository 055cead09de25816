"""The training loop that all three networks share."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from bshm_live.files import replacing

from .losses import finite

CHECKPOINT_SECONDS = 60
LONGEST_STEP = 5.0  # a step in which the machine slept counts no more than this
WARM_UP = 0.02
RATE_LEAST = 1e-6
GRADIENT_MOST = 2.0  # norm of all gradients together
KEEP_MOST = 0.999  # of the average, at each step
REPORT_STEPS = 100
SLOW = 0.25  # of the rate, for what is pretrained

Losses = dict[str, Tensor]
Step = Callable[[float], Losses]


def fit(
    name: str,
    model: nn.Module,
    step: Step,
    seconds: float,
    lr: float,
    work: Path,
    slow: nn.Module | None = None,
) -> nn.Module:
    """Trains `model` for `seconds` of its own time and returns the averaged weights.

    `step(progress)` computes the losses of one new batch; progress runs from 0
    to 1 and sets the learning rate (warm-up, then cosine). Goes on from
    `work/name.pt`; `work/name.csv` gets a line every hundred steps. The part
    `slow`, which is pretrained, learns at a share of the rate.
    """
    run = Run(work / f"{name}.pt", model, optimizer_of(model, lr, slow))
    run.resume()
    model.train()
    last_save, sums, since = time.monotonic(), dict[str, float](), 0
    while run.spent_s < seconds:
        rate = rate_at(run.spent_s / seconds, lr)
        for key, value in run.step(step, run.spent_s / seconds, rate).items():
            sums[key] = sums.get(key, 0.0) + value.item()
        since += 1
        if run.state["step"] % REPORT_STEPS == 0:
            means = {key: value / since for key, value in sums.items()}
            report(work / f"{name}.csv", run.state, rate, means)
            sums, since = {}, 0
        if time.monotonic() - last_save > CHECKPOINT_SECONDS:
            run.save()
            last_save = time.monotonic()
    run.save()
    return run.average.eval()


def optimizer_of(model: nn.Module, lr: float, slow: nn.Module | None) -> torch.optim.AdamW:
    """The part `slow` has a group of its own; `share` is a group's share of the rate."""
    held = {id(p) for p in slow.parameters()} if slow is not None else set()
    groups = [
        {"params": [p for p in model.parameters() if id(p) not in held], "share": 1.0},
        {"params": [p for p in model.parameters() if id(p) in held], "share": SLOW},
    ]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr, weight_decay=0.01)


def rate_at(progress: float, lr: float) -> float:
    """The learning rate: a linear start, then a cosine."""
    rate = lr * min(1.0, progress / WARM_UP) * (0.5 + 0.5 * math.cos(math.pi * progress))
    return max(rate, RATE_LEAST)


class Run:
    """A network in training, the average of its weights, and how far it is; kept in a file."""

    def __init__(self, path: Path, model: nn.Module, optimizer: torch.optim.AdamW) -> None:
        self.path, self.model, self.optimizer = path, model, optimizer
        self.average = copy.deepcopy(model).requires_grad_(False)
        self.state: dict[str, float] = {"step": 0, "spent": 0.0}

    @property
    def spent_s(self) -> float:
        """Seconds of its own time."""
        return self.state["spent"]

    def resume(self) -> None:
        """Goes on from the file, if there is one."""
        if not self.path.exists():
            return
        saved = torch.load(self.path, weights_only=True)
        self.model.load_state_dict(saved["model"])
        self.average.load_state_dict(saved["average"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.state = saved["state"]

    def save(self) -> None:
        parts = {"model": self.model, "average": self.average, "optimizer": self.optimizer}
        saved = {name: part.state_dict() for name, part in parts.items()}
        with replacing(self.path) as (file,):
            torch.save({**saved, "state": self.state}, file)

    def step(self, step: Step, progress: float, rate: float) -> Losses:
        """One batch; returns its losses."""
        start = time.monotonic()
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["share"]
        losses = step(progress)
        total = torch.stack(list(losses.values())).sum()
        self.optimizer.zero_grad()
        finite(total).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.model.parameters(), GRADIENT_MOST)
        self.optimizer.step()
        blend_in(self.average, self.model, min(KEEP_MOST, 1 - 1 / (self.state["step"] + 2)))
        self.state["step"] += 1
        self.state["spent"] += min(time.monotonic() - start, LONGEST_STEP)
        return losses


def blend_in(average: nn.Module, model: nn.Module, keep: float) -> None:
    """Exponential moving average of weights; BatchNorm's statistics alike."""
    with torch.no_grad():
        now = model.state_dict()
        for key, value in average.state_dict().items():
            if value.is_floating_point():
                value.lerp_(now[key], 1 - keep)
            else:
                value.copy_(now[key])


def loaded(model: nn.Module, path: Path) -> bool:
    """Whether there is that checkpoint; if so, its averaged weights are the model's."""
    if path.exists():
        model.load_state_dict(torch.load(path, weights_only=True)["average"])
    return path.exists()


def keep(weights: dict[str, Tensor], path: Path) -> None:
    """Writes averaged weights as a checkpoint that `loaded` takes."""
    with replacing(path) as (part,):
        torch.save({"average": weights}, part)


def report(path: Path, state: dict[str, float], rate: float, means: dict[str, float]) -> None:
    if not path.exists():
        path.write_text("step,spent,lr," + ",".join(means) + "\n")
    values = ",".join(f"{v:.5f}" for v in means.values())
    line = f"{state['step']:.0f},{state['spent']:.0f},{rate:.2e},{values}"
    with path.open("a") as file:
        file.write(line + "\n")
    print(path.stem, line, flush=True)
