"""The commands: `pack` and `train`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from ..stages import train_all
from . import __doc__ as about
from .deck import load
from .frames import Frames, LargeFrames
from .pack import pack

SHARES = (0.6, 0.1, 0.24, 0.06)  # of the time: MPN, QUN, MRN, its slim form
SIDE, FILES = 288, 2
BATCH = 256


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    summary = (about or "").split("\n")[0]
    parser = argparse.ArgumentParser("python -m tools.train.on_device", description=summary)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("pack", help="photographs to files of at most 40 MB")
    one.add_argument("--data", type=Path, required=True)
    one.add_argument("--out", type=Path, default=Path("packs"))
    one.add_argument("--side", type=int, default=SIDE, help="longest side in pixels")
    one.add_argument("--files", type=int, default=FILES, help="at most so many")
    two = commands.add_parser("train", help="all networks, frames made on the device")
    two.add_argument("--packs", type=Path, default=Path("packs"))
    two.add_argument("--work", type=Path, default=Path(".train"))
    two.add_argument("--start", type=Path, default=Path("engines"), help="released networks")
    two.add_argument("--device", default="cuda")
    two.add_argument("--minutes", type=float, default=8, help="of training in all")
    two.add_argument("--batch", type=int, default=BATCH)
    two.add_argument("--side", type=int, default=SIDE, help="as packed")
    two.add_argument("--seed", type=int, default=0)
    return parser.parse_args(words)


def train(args: argparse.Namespace) -> None:
    torch.manual_seed(args.seed)
    args.work.mkdir(parents=True, exist_ok=True)
    deck = load(args.packs, args.side, args.device)
    print(f"{len(deck.size)} photographs, {len(deck.scenes)} scenes", flush=True)
    half = torch.device(args.device).type != "cpu"
    frames = Frames(deck, args.device, args.batch, half)
    minutes = tuple(args.minutes * share for share in SHARES)
    # A crop's frame is large: a quarter of MPN's batch fills the device as well.
    crops = LargeFrames(frames, max(2, args.batch // 4))
    train_all(frames, lambda: crops, minutes, args.work, args.start)


def main(words: Sequence[str] | None = None) -> None:
    args = parse(words)
    if args.command == "pack":
        for path in pack(args.data, args.out, args.side, args.files):
            print(path, path.stat().st_size)
    else:
        train(args)


if __name__ == "__main__":
    main()
