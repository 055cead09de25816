"""How each of the three networks is trained: its losses, and what it sees of a batch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .fit import Losses, fit
from .lite0 import load_imagenet
from .losses import (
    composition_loss,
    feature_loss,
    foreground_loss,
    gradient_loss,
    laplacian_loss,
    leaky_clip,
    mask_loss,
    overlap_loss,
)
from .masks import damaged, fattened, hints, shifted, softened
from .mpn import MPN
from .mrn import CELL, MRN
from .qun import QUN
from .released import load_released
from .sizes import LARGE, MIDDLE, SMALL, UPRIGHT

SHARES = {SMALL: 0.42, MIDDLE: 0.34, LARGE: 0.16, UPRIGHT: 0.08}  # of MPN's batches
BATCH = 32
RATE, RATE_AGAIN = 2e-3, 1e-3  # of learning: anew, and from released weights
KEPT_STAGES = 2  # of the encoder, where released weights are trained on
ADAPTERS_FIRST = 0.04  # share of the time in which released weights do not yet follow the teacher
OVERLAP = 0.3  # weight of MPN's loss of intersection over union
EDGES, SLIM_EDGES = 30, 60  # weights of MRN's loss of gradients
P_LARGE = 0.3  # batches of MRN at the size of `quality`
P_SETTLED = 0.65  # masks for MRN that follow a right hint: as in use after some frames
P_WORSE = 0.07  # and those that QUN would not make
FAR_OFF = (0.2, 0.45)  # a mask's mean difference from the truth: MRN can, and cannot, mend it
FAR_OFF_COUNTS = 0.1
P_OWN_BATCH, P_OWN = 0.3, 0.6  # batches, and hints in them, that are MPN's own

Batch = dict[str, Tensor]


class Supply(Protocol):
    """Where small frames come from: the store, or a GPU that makes them itself.

    `rows` is the size of MPN's batches, `half` whether networks run in bfloat16.
    """

    device: str
    rows: int
    half: bool

    def batch(self, n: int, size: tuple[int, int]) -> Batch: ...


class CropSupply(Protocol):
    """Where MRN's crops come from; see `crops.Crops`."""

    device: str
    rows: int
    half: bool

    def batch(self, n: int) -> Batch: ...

    def seen_at(self, b: Batch, mask: Tensor, width: int) -> Batch: ...

    def cut(self, mask: Tensor, b: Batch) -> Tensor: ...


class Taught(nn.Module):
    """MPN with the 1x1 adapters through which it predicts the teacher's features."""

    def __init__(self) -> None:
        super().__init__()
        self.mpn = MPN()
        self.to_r3 = nn.Conv2d(32, 40, 1)
        self.to_r4 = nn.Conv2d(48, 64, 1)


class BothMrn(nn.Module):
    """The MRN of the larger presets and the slim one, taught side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.full = MRN()
        self.slim = MRN(slim=True)


def run(data: Supply | CropSupply, model: Callable[..., Any], *inputs: Tensor) -> Any:
    """The model's outputs in float32, however it computes."""
    kind = torch.device(data.device).type
    with torch.autocast(kind, torch.bfloat16, enabled=data.half):
        out = model(*inputs)
    return as_float(out)


def as_float(out: Any) -> Any:
    return out.float() if isinstance(out, Tensor) else type(out)(as_float(part) for part in out)


def rate_of(start: Path | None) -> float:
    return RATE if start is None else RATE_AGAIN


def size_at(progress: float) -> tuple[int, int]:
    """Low size first, then the full ones: about three times the samples for the time."""
    if progress < 0.5:
        return SMALL
    if progress < 0.8:
        return MIDDLE if torch.rand(()) < 0.7 else SMALL
    return list(SHARES)[int(torch.multinomial(torch.tensor(list(SHARES.values())), 1))]


def train_mpn(data: Supply, minutes: float, work: Path, start: Path | None) -> MPN:
    model = Taught()
    if start is None:
        load_imagenet(model.mpn.encoder)
    else:
        b = data.batch(BATCH, MIDDLE)
        load_released(
            model.mpn,
            start / "balanced/mpn.onnx",
            "mpn.",
            lambda: model.mpn(b["image"].cpu(), hints(b["alpha"]).cpu()),
        )
        model.mpn.encoder.freeze(KEPT_STAGES)
    model = model.to(data.device, memory_format=torch.channels_last)

    def step(progress: float) -> Losses:
        b = data.batch(data.rows, size_at(progress if start is None else 1.0))
        logits, (u4, u8) = run(data, model.mpn, b["image"], own_hint(data, model.mpn, b))
        losses = {
            "mask": mask_loss(logits, b["alpha"]),
            "overlap": OVERLAP * overlap_loss(logits, b["alpha"]),
        }
        if "taught" in b:
            if start is not None and progress < ADAPTERS_FIRST:
                u4, u8 = u4.detach(), u8.detach()
            losses["r3"] = feature_loss(model.to_r3(u4), b["r3"], b["taught"])
            losses["r4"] = feature_loss(model.to_r4(u8), b["r4"], b["taught"])
        return losses

    taught = fit("mpn", model, step, minutes * 60, rate_of(start), work, slow=model.mpn.encoder)
    assert isinstance(taught, Taught)
    return taught.mpn


def hint_of(b: Batch) -> Tensor:
    """In clips the frame before, mostly; in stills the ways of `hints`."""
    made = hints(b["alpha"])
    use_last = b["is_clip"] * (torch.rand_like(b["is_clip"]) < 0.5).float()
    return b["last"] * use_last + made * (1 - use_last)


def own_hint(data: Supply, mpn: MPN, b: Batch) -> Tensor:
    """Often what MPN itself makes of a hint, so that its faults do not feed themselves."""
    hint = hint_of(b)
    if torch.rand(()) > P_OWN_BATCH:
        return hint
    with torch.no_grad():
        made = run(data, mpn, b["image"], hint)[0].sigmoid()
        if torch.rand(()) < 0.5:  # as the pipeline hands the last matte on
            made = fattened(((made - 0.15) / 0.7).clamp(0, 1), 1)
        made = shifted(made, 0.015)
    return often(P_OWN, made, hint)


def often(chance: float, one: Tensor, other: Tensor) -> Tensor:
    """`one` in that share of a batch, else `other`."""
    return torch.where(torch.rand(len(one), 1, 1, 1, device=one.device) < chance, one, other)


def train_qun(data: Supply, mpn: MPN, minutes: float, work: Path, start: Path | None) -> QUN:
    model = QUN()
    if start is not None:
        b = data.batch(BATCH, MIDDLE)
        load_released(
            model,
            start / "balanced/qun.onnx",
            "qun.",
            lambda: model(b["image"].cpu(), damaged(b["alpha"]).cpu()),
        )
    model = model.to(data.device, memory_format=torch.channels_last)

    def step(progress: float) -> Losses:
        b = data.batch(data.rows // 2, (SMALL, MIDDLE, LARGE)[int(torch.randint(0, 3, ()))])
        with torch.no_grad():
            coarse = run(data, mpn, b["image"], hint_of(b))[0].sigmoid()
        one = run(data, model, b["image"], coarse)
        two = run(data, model, b["image"], damaged(b["alpha"]))
        return {
            "mask": mask_loss(one, b["alpha"]) + 0.3 * mask_loss(two, b["alpha"]),
            "gradient": 300 * gradient_loss(as_seen(one, b["full"]), b["full"]),
            "consistency": 0.2 * (one.sigmoid() - two.sigmoid()).abs().mean(),
            "identity": 0.1 * (one.sigmoid() - coarse).abs().mean(),
        }

    qun = fit("qun", model, step, minutes * 60, rate_of(start), work)
    assert isinstance(qun, QUN)
    return qun


def as_seen(logits: Tensor, like: Tensor) -> Tensor:
    """A mask at the size at which its edges are looked at."""
    return as_large(logits.sigmoid(), like)


def train_mrn(
    data: CropSupply, mpn: MPN, qun: QUN, minutes: float, work: Path, start: Path | None
) -> BothMrn:
    model = BothMrn()
    if start is not None:
        b = data.batch(BATCH)
        image, mask = b["image"].cpu(), data.cut(b["low_alpha"], b).cpu()
        for mrn, preset in ((model.full, "balanced"), (model.slim, "fast")):
            file = start / preset / "mrn.onnx"
            load_released(mrn, file, "mrn.", lambda mrn=mrn: mrn(image, mask))
    model = model.to(data.device, memory_format=torch.channels_last)

    def step(progress: float) -> Losses:
        b = data.batch(data.rows // 2)
        sizes = {"slim": SMALL, "full": LARGE if torch.rand(()) < P_LARGE else MIDDLE}
        losses = {}
        for name, size in sizes.items():
            seen = met(data, b, mpn, qun, size)
            for key, value in refinement_losses(data, getattr(model, name), seen).items():
                losses[f"{name}_{key}"] = value
        return losses

    mrn = fit("mrn", model, step, minutes * 60, rate_of(start), work)
    assert isinstance(mrn, BothMrn)
    return mrn


def train_slim(data: CropSupply, mpn: MPN, qun: QUN, slim: MRN, minutes: float, work: Path) -> None:
    """The slim form longer, by itself: it has the least to see edges with."""

    def step(progress: float) -> Losses:
        seen = met(data, data.batch(data.rows // 2), mpn, qun, SMALL)
        return refinement_losses(data, slim, seen, SLIM_EDGES)

    fit("slim", slim.requires_grad_(True), step, minutes * 60, RATE_AGAIN, work)


@torch.no_grad()
def met(data: CropSupply, b: Batch, mpn: MPN, qun: QUN, size: tuple[int, int]) -> Batch:
    """The crops of `b` as MRN meets them where the small frame is of that size; see `weighed`."""
    low, alpha, coarse = settled(data, b, mpn, size)
    unified = run(data, qun, low, coarse).sigmoid()
    return weighed(data, b, often(P_WORSE, damaged(alpha), unified), size)


@torch.no_grad()
def settled(
    data: CropSupply, b: Batch, mpn: MPN, size: tuple[int, int]
) -> tuple[Tensor, Tensor, Tensor]:
    """The whole small frames of `b`, alpha and MPN's mask, at the start and later on in a call."""
    low, alpha = (
        F.interpolate(b[k], size=size, mode="bilinear", antialias=True)
        for k in ("low", "low_alpha")
    )
    hint = often(P_SETTLED, shifted(alpha, 0.015), hints(alpha))
    return low, alpha, run(data, mpn, low, hint)[0].sigmoid()


def weighed(data: CropSupply, b: Batch, mask: Tensor, size: tuple[int, int]) -> Batch:
    """The crops of `b` with their part of the small frames' masks.

    `weight` (N, 1, 4h, 4w) is how much each pixel counts: little where the mask is far off
    over more than its own edge. To follow the truth there, MRN would learn to doubt every mask.
    """
    seen = data.seen_at(b, mask, size[1])
    with torch.no_grad():
        off = softened(seen["mask"] - F.avg_pool2d(seen["alpha"], CELL), 3).abs()
        least, most = FAR_OFF
        hopeless = ((off - least) / (most - least)).clamp(0, 1)
        weight = 1 - (1 - FAR_OFF_COUNTS) * as_large(hopeless, seen["alpha"])
    return {**seen, "weight": weight}


def as_large(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, size=like.shape[2:], mode="bilinear")


def refinement_losses(data: CropSupply, mrn: MRN, b: Batch, edges: float = EDGES) -> Losses:
    raw, residual = run(data, mrn, b["image"], b["mask"])
    alpha, weight = leaky_clip(raw), b["weight"]
    truth = b["alpha"] * weight + alpha.detach() * (1 - weight)
    halves = F.avg_pool2d(alpha, 2), F.avg_pool2d(truth, 2)
    return {
        "alpha": (alpha - truth).abs().mean(),
        "laplacian": 0.5 * laplacian_loss(alpha, truth),
        "gradient": edges * gradient_loss(*halves),
        "composition": composition_loss(alpha, truth, b["foreground"]),
        "foreground": 2 * foreground_loss(residual, b["image"], b["foreground"], b["alpha"]),
    }


def train_all(
    low: Supply,
    crops: Callable[[], CropSupply],
    minutes: tuple[float, float, float, float],
    work: Path,
    start: Path | None,
) -> None:
    """MPN, QUN, MRN and MRN's slim form in order; `crops` is called when they are needed."""
    mpn = train_mpn(low, minutes[0], work, start)
    qun = train_qun(low, mpn, minutes[1], work, start)
    cut = crops()
    mrn = train_mrn(cut, mpn, qun, minutes[2], work, start)
    train_slim(cut, mpn, qun, mrn.slim, minutes[3], work)
