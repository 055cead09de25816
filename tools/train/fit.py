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
    held = {id(p) for p in slow.parameters()} if slow is not None else set()
    groups = [
        {"params": [p for p in model.parameters() if id(p) not in held], "share": 1.0},
        {"params": [p for p in model.parameters() if id(p) in held], "share": SLOW},
    ]
    optimizer = torch.optim.AdamW([g for g in groups if g["params"]], lr, weight_decay=0.01)
    average = copy.deepcopy(model).requires_grad_(False)
    state: dict[str, float] = {"step": 0, "spent": 0.0}
    path = work / f"{name}.pt"
    if path.exists():
        saved = torch.load(path, weights_only=True)
        model.load_state_dict(saved["model"])
        average.load_state_dict(saved["average"])
        optimizer.load_state_dict(saved["optimizer"])
        state = saved["state"]

    def checkpoint() -> None:
        saved = {
            "model": model.state_dict(),
            "average": average.state_dict(),
            "optimizer": optimizer.state_dict(),
            "state": state,
        }
        with replacing(path) as (part,):
            torch.save(saved, part)

    model.train()
    last_save, sums, since = time.monotonic(), dict[str, float](), 0
    while state["spent"] < seconds:
        start = time.monotonic()
        progress = state["spent"] / seconds
        rate = lr * min(1.0, progress / WARM_UP) * (0.5 + 0.5 * math.cos(math.pi * progress))
        for group in optimizer.param_groups:
            group["lr"] = max(rate, 1e-6) * group["share"]
        losses = step(progress)
        total = torch.stack(list(losses.values())).sum()
        optimizer.zero_grad()
        finite(total).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 2.0)
        optimizer.step()
        blend_in(average, model, min(0.999, 1 - 1 / (state["step"] + 2)))
        state["step"] += 1
        state["spent"] += min(time.monotonic() - start, LONGEST_STEP)
        for key, value in losses.items():
            sums[key] = sums.get(key, 0.0) + value.item()
        since += 1
        if state["step"] % 100 == 0:
            means = {key: value / since for key, value in sums.items()}
            report(work / f"{name}.csv", state, rate, means)
            sums, since = {}, 0
        if time.monotonic() - last_save > CHECKPOINT_SECONDS:
            checkpoint()
            last_save = time.monotonic()
    checkpoint()
    return average.eval()


def blend_in(average: nn.Module, model: nn.Module, keep: float) -> None:
    """Exponential moving average of weights; BatchNorm's statistics alike."""
    with torch.no_grad():
        now = model.state_dict()
        for key, value in average.state_dict().items():
            if value.is_floating_point():
                value.lerp_(now[key], 1 - keep)
            else:
                value.copy_(now[key])


def report(path: Path, state: dict[str, float], rate: float, means: dict[str, float]) -> None:
    if not path.exists():
        path.write_text("step,spent,lr," + ",".join(means) + "\n")
    values = ",".join(f"{v:.5f}" for v in means.values())
    line = f"{state['step']:.0f},{state['spent']:.0f},{rate:.2e},{values}"
    with path.open("a") as file:
        file.write(line + "\n")
    print(path.stem, line, flush=True)
