"""The sizes of ID photos: those of the table by name, and any other in millimetres or pixels."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import SettingsError
from ..settings import brief, parse_colour
from ..types import Size

TABLE = Path(__file__).with_name("sizes.toml")
INCH = 25.4  # mm
DPI, DPI_LEAST, DPI_MOST = 300, 50, 1200
SIDE_LEAST, SIDE_MOST = 60, 6000  # pixels
HEAD = (0.55, 0.75)  # of the height, where no rule says more
TOP_LEAST = 0.03  # of the height: hair and head stay whole
COLOURS = {"blue": (219, 142, 67), "red": (0, 0, 255), "light": (235, 235, 235)}  # B, G, R
Range = tuple[float, float]


@dataclass(frozen=True)
class PhotoSize:
    """A photo of `pixels` (width, height), printed at `dpi`.

    `head` (crown to chin), `eyes` (their line above the lower edge) and `top` (free space
    above the head) are least and most, as shares of the height. `kb` is least and
    most of the file, in kilobytes.
    """

    name: str
    pixels: Size
    dpi: int = DPI
    head: Range = HEAD
    eyes: Range | None = None
    top: Range | None = None
    colours: tuple[str, ...] = ("white",)
    kb: tuple[int, int] | None = None
    mm: Range | None = None
    country: str = ""
    document: str = ""
    source: str = ""
    date: str = ""

    @property
    def printed(self) -> Range:
        """Width and height in millimetres, as the file says them."""
        width, height = (side / self.dpi * INCH for side in self.pixels)
        return width, height


@cache
def table() -> dict[str, PhotoSize]:
    """All of the package, by name and by every other name in lower case."""
    content = tomllib.loads(TABLE.read_text("utf-8"))
    found = {}
    for name, entry in content.items():
        size = _from_entry(name, dict(entry))
        for word in (name, *entry["names"]):
            found[word.casefold()] = size
    return found


def known() -> list[PhotoSize]:
    """Each size once, in the table's order."""
    return list(dict.fromkeys(table().values()))


def find(text: str, dpi: int | None = None) -> PhotoSize:
    """A name of the table, WxHmm, WxHin, WxHcm or WxHpx. Raises SettingsError.

    `dpi` makes a size in millimetres larger or smaller in pixels; one that is known in pixels
    alone is printed larger or smaller.
    """
    if dpi is not None and not DPI_LEAST <= dpi <= DPI_MOST:
        raise SettingsError(f"--dpi {dpi}: must be between {DPI_LEAST} and {DPI_MOST}; try {DPI}")
    size = table().get(text.strip().casefold()) or _measured(text)
    if dpi is not None and dpi != size.dpi:
        pixels = _pixels(size.mm, dpi) if size.mm else size.pixels
        size = replace(size, dpi=dpi, pixels=pixels)
    if not all(SIDE_LEAST <= side <= SIDE_MOST for side in size.pixels):
        wide, tall = size.pixels
        raise SettingsError(
            f"--size {brief(text)}: {wide}x{tall} pixels; each side must be between "
            f"{SIDE_LEAST} and {SIDE_MOST}"
        )
    return size


def parse_kb(text: str) -> tuple[int, int]:
    """'20-100' to (20, 100), '100' to (0, 100). Raises SettingsError."""
    match = re.fullmatch(r"(?:(\d{1,6})-)?(\d{1,6})", text.strip(), re.ASCII)
    least, most = (int(match[1] or 0), int(match[2])) if match else (1, 0)
    if least > most or most < 1:
        raise SettingsError(f"--kb {brief(text)}: write LEAST-MOST in kilobytes, such as 20-100")
    return least, most


def colour_of(text: str) -> tuple[int, int, int]:
    """The photos' own blue (67, 142, 219), red and light; #rrggbb or a CSS name. B, G, R."""
    return COLOURS.get(text) or parse_colour(text)


def _from_entry(name: str, entry: dict[str, Any]) -> PhotoSize:
    del entry["names"]
    fixed: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()
    }
    return PhotoSize(name, **fixed)


def _measured(text: str) -> PhotoSize:
    number = r"(\d{1,5}(?:\.\d{1,3})?)"
    match = re.fullmatch(rf"{number}\s*[xX×]\s*{number}\s*(mm|cm|in|px)", text.strip(), re.ASCII)
    if not match:
        raise SettingsError(
            f"--size {brief(text)}: write 35x45mm, 413x531px, or a name such as US-passport; "
            "bshm-live id --list shows all"
        )
    wide, tall = float(match[1]), float(match[2])
    if match[3] == "px":
        return PhotoSize(text, (round(wide), round(tall)))
    unit = {"mm": 1.0, "cm": 10.0, "in": INCH}[match[3]]
    mm = (wide * unit, tall * unit)
    return PhotoSize(text, _pixels(mm, DPI), mm=mm)


def _pixels(mm: Range, dpi: int) -> Size:
    return round(mm[0] / INCH * dpi), round(mm[1] / INCH * dpi)
