"""A sheet of paper full of one photo, at true printed size, with marks to cut along."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..errors import SettingsError
from ..settings import brief
from ..types import Picture, Size
from .sizes import INCH, Range

# mm, width and height; the other way round where more photos fit
PAPERS: dict[str, Range] = {
    "5in": (127, 88.9),
    "6in": (152.4, 101.6),
    "4x6in": (152.4, 101.6),
    "5x7in": (177.8, 127),
    "10x15cm": (150, 100),
    "a4": (297, 210),
    "a5": (210, 148),
    "letter": (279.4, 215.9),
}
PAPER_MOST = 1200  # mm
GAP, MARGIN = 3.0, 4.0  # mm between photos; at the paper's edge, where printers print nothing
MARK_LENGTH, MARK_AWAY = 2.0, 0.5  # mm: of a cut mark, and from the photo's corner
WHITE, INK = 255, 90


@dataclass(frozen=True)
class Layout:
    """Where photos lie on a sheet: `sheet` (width, height) and `corners` (x, y), in pixels."""

    sheet: Size
    corners: tuple[Size, ...]
    photo: Size
    dpi: int


def paper_of(text: str) -> Range:
    """A name, or WxHmm, WxHcm, WxHin: its sides in millimetres. Raises SettingsError."""
    if known := PAPERS.get(text.strip().casefold()):
        return known
    number = r"(\d{1,4}(?:\.\d{1,2})?)"
    match = re.fullmatch(rf"{number}\s*[xX×]\s*{number}\s*(mm|cm|in)", text.strip(), re.ASCII)
    unit = {"mm": 1.0, "cm": 10.0, "in": INCH}[match[3]] if match else 0.0
    sides = (float(match[1]) * unit, float(match[2]) * unit) if match else (0.0, 0.0)
    if not all(0 < side <= PAPER_MOST for side in sides):
        raise SettingsError(
            f"--sheet {brief(text)}: write {', '.join(PAPERS)} or a size such as 102x152mm"
        )
    return sides


def layout(photo: Size, dpi: int, paper: Range, gap: float = GAP, margin: float = MARGIN) -> Layout:
    """As many photos as fit on the paper, upright or on its side, in its middle.

    `gap` and `margin` are in millimetres. Raises SettingsError where not one fits.
    """
    both = [grid(photo, dpi, sides, gap, margin) for sides in (paper, paper[::-1])]
    best = max(both, key=lambda found: len(found.corners))
    if not best.corners:
        wide, tall = (side / dpi * INCH for side in photo)
        raise SettingsError(
            f"--sheet: a photo of {wide:.0f}x{tall:.0f} mm does not fit on paper of "
            f"{paper[0]:.0f}x{paper[1]:.0f} mm; take a larger one"
        )
    return best


def grid(photo: Size, dpi: int, paper: Range, gap: float, margin: float) -> Layout:
    sheet: Size = (pixels(paper[0], dpi), pixels(paper[1], dpi))
    between, border = pixels(gap, dpi), pixels(margin, dpi)
    counts = [
        max(0, (whole - 2 * border + between) // (side + between))
        for whole, side in zip(sheet, photo, strict=True)
    ]
    starts = [
        (whole - count * side - (count - 1) * between) // 2
        for whole, side, count in zip(sheet, photo, counts, strict=True)
    ]
    steps = [side + between for side in photo]
    corners = tuple(
        (starts[0] + column * steps[0], starts[1] + row * steps[1])
        for row in range(counts[1])
        for column in range(counts[0])
    )
    return Layout(sheet, corners, photo, dpi)


def filled(photo: Picture, plan: Layout) -> Picture:
    """The sheet, BGR: white, the photos, and thin marks beside their corners, never on them."""
    width, height = plan.sheet
    sheet = np.full((height, width, 3), WHITE, np.uint8)
    thick = max(1, round(plan.dpi / 300))
    for rows, columns in marks(plan, thick):
        sheet[rows, columns] = INK
    wide, tall = plan.photo
    for x, y in plan.corners:
        sheet[y : y + tall, x : x + wide] = photo
    return sheet


def marks(plan: Layout, thick: int) -> Iterator[tuple[slice, slice]]:
    """Rows and columns of each mark: two at every corner, along the lines to cut."""
    away, length = pixels(MARK_AWAY, plan.dpi), pixels(MARK_LENGTH, plan.dpi)
    wide, tall = plan.photo
    for left, top in plan.corners:
        for x in (left, left + wide - thick):
            for y in (top - away - length, top + tall + away):
                yield slice(max(y, 0), max(y + length, 0)), slice(x, x + thick)
        for y in (top, top + tall - thick):
            for x in (left - away - length, left + wide + away):
                yield slice(y, y + thick), slice(max(x, 0), max(x + length, 0))


def pixels(mm: float, dpi: int) -> int:
    return round(mm / INCH * dpi)
