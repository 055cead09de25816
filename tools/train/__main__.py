"""Trains MPN, QUN, MRN and each preset's own MPN and QUN in order; goes on where it was stopped.

    python -m tools.train --data ../shared/data            # on two CPU cores
    python -m tools.train --data ../shared/data --start engines --seed 1   # from released weights

The time given to each network is its schedule: learning rate and picture size
follow the share that is spent. Checkpoints, logs and the store of training
frames lie in --work; an interrupted run continues from there. On a machine with
a GPU, `tools.train.on_device` makes the frames there.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import nn

from . import store
from .batches import Store
from .crops import Crops, build_crops
from .data import Photos
from .own import OWN, train_mpn_for, train_qun_for
from .qun import QUN
from .stages import Taught, train_all


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path(".train"))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--minutes", type=float, nargs=4, default=(60, 12, 35, 10))
    parser.add_argument(
        "--own-minutes", type=float, default=16, help="of MPN and of QUN for one preset"
    )
    parser.add_argument("--frames", type=int, default=26000, help="stills in the store")
    parser.add_argument("--crops", type=int, default=12000, help="crops for MRN")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=Path, help="folder of released networks to train on from")
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    np.random.seed(args.seed)
    args.work.mkdir(parents=True, exist_ok=True)
    photos = Photos(args.data, args.work, args.seed)
    store.build(photos, args.frames)

    def crops() -> Crops:
        build_crops(photos, args.crops)
        return Crops(args.work, args.device)

    frames = Store(args.work, args.device)
    train_all(frames, crops, args.minutes, args.work, args.start)
    mpn, qun = Taught().to(args.device), QUN().to(args.device)
    for preset in OWN:
        take(mpn, args.work / "mpn.pt")
        train_mpn_for(frames, mpn, preset, args.own_minutes, args.work)
        take(mpn, args.work / f"mpn_{preset}.pt")
        take(qun, args.work / "qun.pt")
        train_qun_for(frames, mpn.mpn, qun, preset, args.own_minutes, args.work)


def take(model: nn.Module, path: Path) -> None:
    """The averaged weights of a checkpoint, all to be trained on."""
    model.load_state_dict(torch.load(path, weights_only=True)["average"])
    model.requires_grad_(True)


if __name__ == "__main__":
    main()
