"""Who is shown and where, in words: for a command, a scene and a page alike."""

from __future__ import annotations

import re

from ..errors import SettingsError
from ..settings import ALL, DIGITS, NEAREST, SUBJECTS_MOST, brief, whole_number
from ..types import Place
from .touches import NO


def parse_subject(text: str) -> int:
    """'all' to 0, 'nearest' to 1, and a number of people. Raises SettingsError."""
    known = {ALL: 0, NEAREST: 1}
    if text in known:
        return known[text]
    number = whole_number(text)
    if number is None or not 1 <= number <= SUBJECTS_MOST:
        raise SettingsError(
            f"--subject {brief(text)}: all, nearest, or how many people, 1 to {SUBJECTS_MOST}"
        )
    return number


def place_of(text: str) -> Place | None:
    """As `parse_place`; None for 'off'. Raises SettingsError."""
    return None if text.lower() in NO else parse_place(text)


def parse_place(text: str) -> Place:
    """'85%,100%,40%' or pixels. Raises SettingsError."""
    number = rf"\s*(\d{{1,{DIGITS}}}(?:\.\d{{1,{DIGITS}}})?)(%?)\s*"
    match = re.fullmatch(",".join([number] * 3), text, re.ASCII)
    if not match:
        raise SettingsError(
            f"--place {brief(text)}: write x,y,h, where the person stands and how high, in pixels "
            "or percent; try 85%,100%,40%"
        )
    x, y, height = (float(match[one]) for one in (1, 3, 5))
    return Place(x, y, height, (bool(match[2]), bool(match[4]), bool(match[6])))


def subject_text(subject: int) -> str:
    """parse_subject's other direction."""
    return {0: ALL, 1: NEAREST}.get(subject, str(subject))
