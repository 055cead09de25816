"""Draws the loss curves of a training run, from the logs in its work folder.

python -m tools.train.plot --work .train --out engines/loss.png
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

NETWORKS = ("mpn", "qun", "mrn", "slim", "mpn_fast", "mpn_balanced")
NOT_LOSSES = {"step", "spent", "lr"}


def read_log(path: Path) -> dict[str, list[float]]:
    with path.open() as file:
        rows = list(csv.DictReader(file))
    return {key: [float(row[key]) for row in rows] for key in rows[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path(".train"))
    parser.add_argument("--out", type=Path, default=Path("engines/loss.png"))
    args = parser.parse_args()
    names = [name for name in NETWORKS if (args.work / f"{name}.csv").exists()]
    size = (3.75 * len(names), 3.2)
    figure, axes = plt.subplots(1, len(names), figsize=size, constrained_layout=True, squeeze=False)
    for axis, name in zip(axes[0], names, strict=True):
        log = read_log(args.work / f"{name}.csv")
        minutes = [seconds / 60 for seconds in log["spent"]]
        for key in log.keys() - NOT_LOSSES:
            axis.plot(minutes, log[key], label=key)
        axis.set(title=name.replace("_", " of "), xlabel="minutes", yscale="log")
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    figure.savefig(args.out, dpi=90)


if __name__ == "__main__":
    main()
