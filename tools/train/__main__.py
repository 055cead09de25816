"""Trains all networks in order, and goes on where it was stopped.

    python -m tools.train --data ../shared/data            # on two CPU cores
    python -m tools.train --data ../shared/data --start engines --presets fast --seed 1

First MPN, QUN and MRN for all sizes, then each preset's own: MPN, and QUN with MRN over it.
With --start a preset's own begin with the released ones instead, and MPN goes a part of the
way back to them. The time given to each network is its schedule: learning rate and picture
size follow the share that is spent. Checkpoints, logs and the store of training frames lie
in --work; an interrupted run continues from there. On a machine with a GPU,
`tools.train.on_device` makes the frames there.
"""

from __future__ import annotations

import argparse
import copy
from pathlib import Path

import numpy as np
import torch

from . import store
from .batches import Store
from .crops import Crops, build_crops
from .data import Photos
from .fit import blend_in, keep, loaded
from .masks import damaged, hints
from .own import OWN, train_mpn_for
from .refine import Refiner, train_refiner_for
from .released import load_released
from .sizes import PRESETS
from .stages import BATCH, Taught, train_all

BEFORE = 0.25  # of MPN's weights trained on: those before (Wortsman et al. 2022)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path(".train"))
    parser.add_argument("--minutes", type=float, nargs=4, default=(60, 12, 35, 10))
    parser.add_argument(
        "--own-minutes",
        type=float,
        nargs=2,
        default=(16, 12),
        help="of a preset's MPN, of the rest",
    )
    parser.add_argument("--frames", type=int, default=26000, help="stills in the store")
    parser.add_argument("--crops", type=int, default=8000, help="crops for MRN")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=Path, help="folder of released networks to train on from")
    parser.add_argument("--presets", nargs="+", default=list(OWN), choices=OWN)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    np.random.seed(args.seed)
    args.work.mkdir(parents=True, exist_ok=True)
    photos = Photos(args.data, args.work, args.seed)
    store.build(photos, args.frames)
    build_crops(photos, args.crops)
    frames, crops = Store(args.work, "cpu"), Crops(args.work, "cpu")
    if args.start is None:
        train_all(frames, lambda: crops, args.minutes, args.work, None)
    for preset in args.presets:
        train_own(frames, crops, preset, args.own_minutes, args.work, args.start)


def train_own(
    frames: Store,
    crops: Crops,
    preset: str,
    minutes: tuple[float, float],
    work: Path,
    start: Path | None,
) -> None:
    """A preset's own networks: writes `work/mpn_PRESET.pt` and `work/refiner_PRESET.pt`."""
    taught, refiner, file = Taught(), Refiner(preset), work / f"mpn_{preset}.pt"
    if start is None:
        loaded(taught, work / "mpn.pt")
        refiner.load_general(work)
    else:
        load_own(taught, refiner, frames, crops, preset, start)
    before = copy.deepcopy(taught)
    train_mpn_for(frames, taught, preset, minutes[0], work)
    loaded(taught, file)
    if start is not None:
        blend_in(taught, before, 1 - BEFORE)
        keep(taught.state_dict(), file)
    train_refiner_for(frames, crops, taught.mpn, refiner, preset, minutes[1], work)


def load_own(
    taught: Taught, refiner: Refiner, frames: Store, crops: Crops, preset: str, start: Path
) -> None:
    """Takes a preset's own as they were exported."""
    size = PRESETS[preset]
    b, c = frames.batch(BATCH, size), crops.batch(BATCH)
    image, alpha = b["image"], b["alpha"]
    seen = crops.seen_at(c, c["low_alpha"], size[1])
    for name, model, inputs in (
        ("mpn", taught.mpn, (image, hints(alpha))),
        ("qun", refiner.qun, (image, damaged(alpha))),
        ("mrn", refiner.mrn, (seen["image"], seen["mask"])),
    ):
        file = start / preset / f"{name}.onnx"
        load_released(model, file, f"{name}.", lambda m=model, i=inputs: m(*i))


if __name__ == "__main__":
    main()
