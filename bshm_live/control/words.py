"""Changes in words: `bg=beach.jpg mirror=on`, in a command, a scene and a page alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from ..errors import SettingsError
from ..settings import (
    FITS,
    FRAME_DEFAULT,
    FRAMINGS,
    NOTHING,
    OFFICIAL,
    PRESETS,
    ROTATIONS,
    Look,
    Networks,
    check_live_networks,
    parse_background,
)
from .desk import Wish
from .person import parse_subject, place_of, subject_text
from .touches import (
    AUTO,
    NO,
    TOGGLE,
    YES,
    border_of,
    border_text,
    light_of,
    overlay_of,
    overlay_text,
    strength_of,
)

T = TypeVar("T")

LOOK = (
    *("bg", "blur", "mirror", "light_wrap", "rotate", "fit", "paused"),
    *("light", "match", "depth", "vignette", "border", "overlay"),
    *("frame", "subject", "place"),
)
NETWORKS = ("preset", "steady")
SHORT = {"pause": "paused=on", "resume": "paused=off"}  # words that stand alone


def parse_words(words: Sequence[str]) -> dict[str, str]:
    """KEY=VALUE and the short words, by key. Raises SettingsError."""
    found: dict[str, str] = {}
    for word in words:
        key, equals, value = SHORT.get(word, word).partition("=")
        key = key.strip().replace("-", "_")
        key = "paused" if key == "pause" else key
        if not equals:
            raise SettingsError(f"set {word}: write KEY=VALUE, for example bg=beach.jpg mirror=on")
        found[key] = value.strip()
    return found


def changed(wish: Wish, words: Mapping[str, str]) -> Wish:
    """The wish with some of it changed. Raises SettingsError for what makes no sense."""
    look, networks = wish.look, wish.networks
    for key, value in words.items():
        if key in LOOK:
            look = _LOOK[key](look, value)
        elif key in NETWORKS:
            networks = _NETWORKS[key](networks, value)
        else:
            known = ", ".join((*LOOK, *NETWORKS, "scene"))
            raise SettingsError(f"set {key}: unknown; it may be {known}")
    return Wish(look, networks)


def words_of(look: Look) -> dict[str, str | bool | int | float]:
    """A look as a scene writes it: what `changed` makes the same look of."""
    return {
        "bg": look.background.text,
        "mirror": look.mirror,
        "light_wrap": look.light_wrap,
        "rotate": look.rotate,
        "fit": look.fit,
        "light": look.light,
        "match": look.match,
        "depth": look.depth,
        "vignette": look.vignette,
        "border": border_text(look.border),
        "overlay": overlay_text(look.overlay),
        "frame": look.framing or NOTHING,
        "subject": subject_text(look.subject),
        "place": look.place.text if look.place else NOTHING,
    }


def is_on(key: str, value: str, now: bool) -> bool:
    """What is on `now`, once it was set to on, off or toggle. Raises SettingsError."""
    if value.lower() == TOGGLE:
        return not now
    if value.lower() in YES:
        return True
    if value.lower() in NO:
        return False
    raise SettingsError(f"set {key}={value}: on, off or toggle")


def _one_of(key: str, value: str, choices: tuple[T, ...]) -> T:
    """The choice of that name. Raises SettingsError."""
    for choice in choices:
        if value == str(choice):
            return choice
    raise SettingsError(f"set {key}={value}: choose from {', '.join(map(str, choices))}")


def _blur(look: Look, value: str) -> Look:
    return replace(look, background=parse_background(f"blur:{value}"))


def _frame(look: Look, value: str) -> Look:
    """One of the framings; on, off and toggle mean the usual one."""
    if value in FRAMINGS:
        return replace(look, framing=_one_of("frame", value, FRAMINGS))
    if value.lower() not in (*YES, *NO, TOGGLE):
        raise SettingsError(f"set frame={value}: {', '.join(FRAMINGS)}, on, off or toggle")
    on = is_on("frame", value, look.framing is not None)
    return replace(look, framing=(look.framing or FRAME_DEFAULT) if on else None)


def _preset(networks: Networks, value: str) -> Networks:
    preset = None if value == AUTO else _one_of("preset", value, (*PRESETS, OFFICIAL))
    return check_live_networks(replace(networks, preset=preset))


_LOOK: dict[str, Callable[[Look, str], Look]] = {
    "bg": lambda look, value: replace(look, background=parse_background(value)),
    "blur": _blur,
    "mirror": lambda look, value: replace(look, mirror=is_on("mirror", value, look.mirror)),
    "light_wrap": lambda look, value: replace(
        look, light_wrap=is_on("light_wrap", value, look.light_wrap)
    ),
    "rotate": lambda look, value: replace(look, rotate=_one_of("rotate", value, ROTATIONS)),
    "fit": lambda look, value: replace(look, fit=_one_of("fit", value, FITS)),
    "frame": _frame,
    "place": lambda look, value: replace(look, place=place_of(value)),
    "subject": lambda look, value: replace(look, subject=parse_subject(value)),
    "paused": lambda look, value: replace(look, paused=is_on("pause", value, look.paused)),
    "light": lambda look, value: replace(look, light=light_of(value, look.light)),
    "match": lambda look, value: replace(look, match=strength_of("match", value, look.match)),
    "depth": lambda look, value: replace(look, depth=is_on("depth", value, look.depth)),
    "vignette": lambda look, value: replace(
        look, vignette=strength_of("vignette", value, look.vignette)
    ),
    "border": lambda look, value: replace(look, border=border_of(value)),
    "overlay": lambda look, value: replace(look, overlay=overlay_of(value)),
}
_NETWORKS: dict[str, Callable[[Networks, str], Networks]] = {
    "preset": _preset,
    "steady": lambda networks, value: replace(
        networks, steady=is_on("steady", value, networks.steady)
    ),
}
