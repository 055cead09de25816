"""What makes a picture look like a studio's, in words: from a command, a scene and a page."""

from __future__ import annotations

import os
import re

from ..errors import SettingsError
from ..files import path_of, why_unreadable
from ..settings import LIGHT_AUTO, Border, Overlay, brief, parse_colour, whole_number

ON, OFF, TOGGLE, AUTO = ("on", "yes", "true"), ("off", "no", "false"), "toggle", "auto"
YES, NO = (*ON, "1"), (*OFF, "0")  # where a number is no amount
PERCENT = 100
BORDER_MOST = 500  # pixels
CORNER = "-3%"  # where an overlay lies unless it is said: lower right
LENGTH = re.compile(r"-?\d{1,5}(\.\d{1,2})?%?", re.ASCII)
FULL = {"match": 0.7, "vignette": 0.5}  # what `on` means


def light_of(text: str, now: int = 0) -> int:
    """'auto', 'off', 'toggle' or a number to percent. Raises SettingsError."""
    word = text.lower()
    if word == TOGGLE:
        return 0 if now else LIGHT_AUTO
    if word in OFF:
        return 0
    number = LIGHT_AUTO if word in (AUTO, *ON) else whole_number(text)
    if number is None or not 0 <= number <= PERCENT:
        raise SettingsError(f"--light {brief(text)}: give auto, off, or 1 to {PERCENT}")
    return number


def strength_of(key: str, text: str, now: float = 0.0) -> float:
    """A number in [0, 1], 'on', 'off' or 'toggle'. Raises SettingsError."""
    word = text.lower()
    if word == TOGGLE:
        return 0.0 if now else FULL[key]
    if word in OFF:
        return 0.0
    if word in ON:
        return FULL[key]
    if not re.fullmatch(r"0?\.\d{1,4}|[01](\.0{0,4})?", text, re.ASCII):
        raise SettingsError(f"--{key} {brief(text)}: give 0 to 1, for example 0.5, or off")
    return float(text)


def border_of(text: str) -> Border | None:
    """'8' or '8,COLOUR'; None for 'off'. Raises SettingsError."""
    width, comma, colour = text.partition(",")
    if width.strip().lower() in NO:
        return None
    number = whole_number(width.strip())
    try:
        if number is None or not 1 <= number <= BORDER_MOST:
            raise SettingsError("no width")
        return Border(number, parse_colour(colour.strip())) if comma else Border(number)
    except SettingsError:
        raise SettingsError(
            f"--border {brief(text)}: give 1 to {BORDER_MOST} pixels and maybe a colour, for "
            "example 8,white, or off"
        ) from None


def border_text(border: Border | None) -> str:
    if border is None:
        return OFF[0]
    blue, green, red = border.colour
    return f"{border.width},#{red:02x}{green:02x}{blue:02x}"


def overlay_of(text: str) -> Overlay | None:
    """'logo.png' or 'logo.png@x,y'; None for 'off'. Raises SettingsError."""
    if text.lower() in OFF:
        return None
    name, _, place = text.rpartition("@")
    ends = [part.strip() for part in place.split(",")]
    if not (name and len(ends) == 2 and all(map(LENGTH.fullmatch, ends))):
        name, ends = text, [CORNER, CORNER]  # an @ may stand in a file's name
    path = path_of(name)
    if why := why_unreadable(path):
        raise SettingsError(
            f"--overlay {why} (write FILE@x,y; pixels or percent, - from right and below)"
        )
    return Overlay(path, *ends)


def overlay_text(overlay: Overlay | None) -> str:
    """In words that mean the same in any folder."""
    if overlay is None:
        return OFF[0]
    return f"{os.path.abspath(overlay.path)}@{overlay.x},{overlay.y}"
