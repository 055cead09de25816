"""What makes a picture look like a studio's, in words: from a command, a scene and a page."""

from __future__ import annotations

import re

from ..errors import SettingsError
from ..settings import LIGHT_AUTO, brief, whole_number

ON, OFF, TOGGLE, AUTO = ("on", "yes", "true"), ("off", "no", "false"), "toggle", "auto"
PERCENT = 100
FULL = {"match": 1.0, "vignette": 0.5}  # what `on` means


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
