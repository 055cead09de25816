"""Trains, measures and exports the head finder: heads with seven points each.

    python -m tools.train.head --data ../shared/data --work .train             # trains, 20 minutes
    python -m tools.train.head --data ../shared/data --work .train --measure   # figures alone
    python -m tools.train.head --data ../shared/data --work .train --export    # engines/head.onnx

One heat map of the faces' middles and, at each place, where the points of its head
lie (Zhou et al., "Objects as Points", 2019; one scale, stride 8). `faces.json` gives
eyes, nose and mouth; the chin is the box's lower edge on the face's axis, the crown the
place where the matte ends above it.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bshm_live.matting.head import FIVE, GREY, POINTS, SIZE, STRIDE, HeadFinder, letterbox
from bshm_live.matting.warp import sampled
from bshm_live.runtimes.manifest import HEAD_INPUTS, HEAD_OUTPUTS

from .export import ready, to_onnx
from .fit import Losses, fit
from .head_photos import F32, HEIGHT, U8, WIDTH, Batches, Faces, grid, head_length
from .layers import Context, Conv, enlarge

RATE = 3e-3
# How much each point counts: eyes, nose, mouth, chin, crown (which the matte shows better).
WORTH = np.array([2.5, 2.5, 2.0, 1.25, 1.25, 0.75, 0.5])
SHAPE = 4.0  # how much it counts how they lie to each other


class HeadNetwork(nn.Module):
    """RGB (1, 3, 128, 192) to heat (1, 1, 16, 24) and points (1, 14, 16, 24) in its pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.quarter = nn.Sequential(Conv(3, 16, 3, 2), Conv(16, 24, 3, 2), Inverted(24))
        self.eighth = nn.Sequential(Conv(24, 56, 3, 2), Inverted(56), Inverted(56))
        self.sixteenth = nn.Sequential(
            Conv(56, 80, 3, 2), Inverted(80), Inverted(80), Context(80), Inverted(80)
        )
        self.deep = nn.Conv2d(80, 56, 1)
        self.last = nn.Sequential(Inverted(56), Conv(56, 96, 1))
        self.heat, self.points = nn.Conv2d(96, 1, 1), nn.Conv2d(96, 2 * POINTS, 1)
        nn.init.constant_(self.heat.bias, -4.0)  # type: ignore[arg-type]
        y, x = torch.meshgrid(
            *(torch.arange(n) * float(STRIDE) + STRIDE / 2 for n in grid()), indexing="ij"
        )
        self.register_buffer("middles", torch.stack((x, y))[None].repeat(1, POINTS, 1, 1))

    def logits(self, image: Tensor) -> tuple[Tensor, Tensor]:
        near = self.eighth(self.quarter(image * 2 - 1))
        seen = self.last(near + enlarge(self.deep(self.sixteenth(near)), 2))
        points: Tensor = self.middles + STRIDE * self.points(seen)
        return self.heat(seen), points

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        heat, points = self.logits(image)
        return heat.sigmoid(), points


class Inverted(nn.Module):
    """MBConv: 1x1 to twice the channels, 5x5 on each, 1x1 back, added to the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        wide = 2 * channels
        self.path = nn.Sequential(
            *Conv(channels, wide, 1),
            nn.Conv2d(wide, wide, 5, 1, 2, groups=wide, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU(inplace=True),
            nn.Conv2d(wide, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.path(x)
        return out


def losses(network: HeadNetwork, batch: tuple[Tensor, Tensor, Tensor, Tensor]) -> Losses:
    """Focal loss of the heat (Law and Deng, "CornerNet", 2018); points in lengths of the head."""
    image, heat, at, weight = batch
    logit, points = network.logits(image)
    told = ~heat.isnan()
    heat = heat.nan_to_num(0)
    chance = logit.sigmoid()
    hit = heat > 0.99
    positive = F.logsigmoid(logit) * (1 - chance) ** 2 * hit
    negative = F.logsigmoid(-logit) * chance**2 * (1 - heat) ** 4 * ~hit
    count = hit.sum().clamp(min=1)
    off = (points - at.nan_to_num(0)).abs() * weight * ~at.isnan()
    off = off * torch.from_numpy(np.repeat(WORTH, 2).astype(np.float32))[:, None, None]
    shape = (shape_of(points) - shape_of(at.nan_to_num(0))).abs() * weight
    return {
        "heat": -((positive + negative) * told).sum() / count,
        "points": 2 * off.sum() / (weight > 0).sum().clamp(min=1),
        "shape": SHAPE * shape.sum() / (weight > 0).sum().clamp(min=1),
    }


def shape_of(points: Tensor) -> Tensor:
    """What tells a turned head and a tilted one: how eyes, nose and mouth lie to each other."""
    left, right, nose, one, other = points.unflatten(1, (POINTS, 2))[:, :FIVE].unbind(1)
    lines = right - left, other - one, nose - (left + right) / 2, nose - (one + other) / 2
    return torch.cat(lines, 1)


# --- figures ----------------------------------------------------------------------------------


class Network:
    """The network as an Engine: what is measured is what the product does with it."""

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self.inputs, self.outputs = HEAD_INPUTS, HEAD_OUTPUTS

    def run(self, feeds: Mapping[str, F32]) -> Mapping[str, F32]:
        with torch.no_grad():
            heat, points = self._network(torch.from_numpy(feeds["image"]))
        return {"heat": heat.numpy(), "points": points.numpy()}

    def close(self) -> None:
        """Nothing to give back."""


def found_in(finder: HeadFinder, picture: U8) -> F32:
    """Heads (n, 7, 2) in pixels of an RGB picture, as the product finds them."""
    found = [head.points for head in finder(picture[..., ::-1])]
    return np.array(found).reshape(-1, POINTS, 2)


def errors(finder: HeadFinder, faces: Faces) -> Iterator[tuple[F32 | None, float]]:
    """Of each head: its points' errors by the eyes' distance (None: not found), and its size.

    The size is crown to chin in the network's picture.
    """
    for photo, known in faces.photos:
        found = found_in(finder, photo)
        scale = min(WIDTH / photo.shape[1], HEIGHT / photo.shape[0])
        for one in known:
            eyes = float(np.linalg.norm(one[0] - one[1])) + 1e-6
            long = head_length(one)
            best: F32 | None = None
            for head in found:
                if np.linalg.norm(head[:FIVE].mean(0) - one[:FIVE].mean(0)) < 0.25 * long:
                    best = np.linalg.norm(head - one, axis=1) / max(eyes, 0.15 * long)
            yield best, long * scale


def measure(network: nn.Module, data: Path) -> list[str]:
    """Lines for the model card."""
    finder = HeadFinder(Network(network))
    rows = list(errors(finder, Faces(data, held_out=True)))
    lines = []
    for least, most in ((6, 12), (12, 24), (24, 128)):
        some = [off for off, size in rows if least <= size < most]
        off = np.array([one for one in some if one is not None])
        parts = {"eyes": off[:, :2], "nose": off[:, 2], "mouth": off[:, 3:5]}
        parts |= {"chin": off[:, 5], "crown": off[:, 6]}
        text = ", ".join(
            f"{name} {np.nanmean(part):.1%} (median {np.nanmedian(part):.1%})"
            for name, part in parts.items()
        )
        lines.append(f"{least}-{most} px: {len(off)} of {len(some)} found; {text}")
    rooms = [cv2.imread(str(file)) for file in sorted(data.glob("rooms_eval/*"))]
    seen = [len(found_in(finder, room[..., ::-1])) for room in rooms if room is not None]
    lines.append(f"rooms: {sum(seen)} false finds in {sum(map(bool, seen))} of {len(seen)}")
    return lines


def export(network: nn.Module, folder: Path, picture: Path) -> None:
    """head.onnx, and in head.npz what PyTorch makes of one picture."""
    inputs = {"image": (1, 3, HEIGHT, WIDTH)}
    to_onnx(network, inputs, ["heat", "points"], folder / "head.onnx")
    _, bgr = cv2.VideoCapture(str(picture)).read()
    small = sampled(bgr[..., ::-1], letterbox(bgr), SIZE, border=GREY, method=cv2.INTER_LINEAR)
    image = np.ascontiguousarray(small.transpose(2, 0, 1)[None])
    with torch.no_grad():
        heat, points = network(torch.from_numpy(image).float() / 255)
    np.savez_compressed(folder / "head.npz", image=image, heat=heat.numpy(), points=points.numpy())
    digest = hashlib.sha256((folder / "head.onnx").read_bytes()).hexdigest()
    manifest = folder / "manifest.toml"
    start, _, end = manifest.read_text().partition('file = "head.onnx"\nsha256 = "')
    manifest.write_text(f'{start}file = "head.onnx"\nsha256 = "{digest}{end[len(digest) :]}')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path(".train"))
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rate", type=float, default=RATE)
    parser.add_argument("--start", type=Path, metavar="HEAD.PT", help="weights to train on from")
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--export", type=Path, metavar="FOLDER", help="engines")
    parser.add_argument("--picture", type=Path, default=Path("bshm_live/assets/demo.mp4"))
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    args.work.mkdir(parents=True, exist_ok=True)
    # In this order of memory a step takes half of the time on a CPU.
    network = HeadNetwork().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if args.start:
        network.load_state_dict(torch.load(args.start, weights_only=True)["model"])
    if not (args.measure or args.export):
        batches = Batches(args.data, args.seed)
        fit(
            "head",
            network,
            lambda progress: losses(network, batches.batch()),
            args.minutes * 60,
            args.rate,
            args.work,
        )
    saved = torch.load(args.work / "head.pt", weights_only=True)
    # Not the average: it is that of all steps as long as they are few.
    network.load_state_dict(saved["model"])
    ready(network.eval())
    if args.export:
        export(network, args.export, args.picture)
    else:
        print("\n".join(measure(network, args.data)))


if __name__ == "__main__":
    main()
