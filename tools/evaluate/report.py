"""Markdown, line by line as it becomes known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from .foreground import OWN_ALPHA
from .metrics import Scores
from .networks import REFERENCE

DECIMALS = {"MAD": 1, "MSE": 1, "Grad": 2, "Conn": 2, "dtSSD": 2}


class Report:
    """Prints each line at once and keeps it."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def line(self, text: str = "") -> None:
        print(text, flush=True)
        self.lines.append(text)

    def row(self, *cells: str) -> None:
        self.line(f"| {' | '.join(cells)} |")

    def head(self, *cells: str) -> None:
        self.row(*cells)
        self.line("|" + "---|" * len(cells))

    def text(self) -> str:
        return "\n".join(self.lines) + "\n"

    def save(self, path: Path | None) -> None:
        """Writes all of it to a file; None: it was only to be printed."""
        if path:
            path.write_text(self.text(), encoding="utf-8")


def networks_head(clips: Sequence[str]) -> list[str]:
    return ["network", *DECIMALS, "networks, ms", f"of {REFERENCE}", f"MAD of {', '.join(clips)}"]


def network_cells(row: str, scores: Scores, times: Mapping[str, float]) -> list[str]:
    errors = [f"{scores.mean(metric):.{digits}f}" for metric, digits in DECIMALS.items()]
    clips = ", ".join(f"{sum(mads) / len(mads):.1f}" for mads in scores.mad_of.values())
    ms = f"{times[row]:.1f}" if row in times else "-"
    return [row, *errors, ms, ratio(times.get(row), times.get(REFERENCE)), clips]


def ratio(ms: float | None, reference: float | None) -> str:
    """'1/20.4' of the reference's time, or '1.8' times it; '-' where one is not known."""
    if ms is None or reference is None:
        return "-"
    return f"1/{reference / ms:.1f}" if ms < reference else f"{ms / reference:.1f}"


def write_colours(report: Report, errors: Mapping[str, float], truth: str) -> None:
    report.head("foreground", "error, 8-bit levels", "of F = I")
    plain = errors["F = I"]
    for row, error in errors.items():
        share = "-" if row.endswith(OWN_ALPHA) or not plain else f"{error / plain:.2f}"
        report.row(row, f"{error:.2f}", share)
    report.line()
    report.line(
        "Mean |alpha (F - true F)| where 0.02 < true alpha < 0.98, with the true alpha; in the "
        f'rows "own alpha too" the matte\'s error is in it. True F: {truth}. The people were in '
        "the training set, the rooms were not."
    )
