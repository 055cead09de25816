"""The user's own file: default options, and named looks (scenes).

    [defaults]
    preset = "balanced"

    [scenes.office]
    bg = "~/Pictures/office.jpg"
    mirror = true

It is read as a whole and refused as a whole, with the file and the line of what is wrong.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import SettingsError
from ..files import is_file, own_folder, why_unwritable, write_whole
from ..settings import (
    FITS,
    FRAMINGS,
    NOTHING,
    PRECISIONS,
    PRESETS,
    ROTATIONS,
    RUNTIMES,
    TROUBLES,
    VCAM_FORMATS,
    Live,
    Networks,
    check_live,
    check_networks,
    parse_background,
    parse_size,
)
from .person import parse_subject, place_of
from .touches import border_of, light_of, strength_of
from .wire import checked_name

FILE = "config.toml"
# What may stand in [scenes.NAME], by the kind of its value.
SCENE: Mapping[str, type] = {
    "bg": str,
    "mirror": bool,
    "light_wrap": bool,
    "rotate": int,
    "fit": str,
    "light": int,
    "match": float,
    "depth": bool,
    "vignette": float,
    "border": str,
    "overlay": str,
    "frame": str,
    "subject": str,
    "place": str,
}
# What may stand in [defaults]: the main command's options, by the kind of their values.
DEFAULTS: Mapping[str, type] = {
    **SCENE,
    "source": str,
    "sink": list,
    "vcam_format": str,
    "size": str,
    "fps": float,
    "preset": str,
    "runtime": str,
    "threads": int,
    "precision": str,
    "no_steady": bool,
    "on_trouble": str,
    "on_demand": bool,
    "stats": bool,
    "name": str,
    "control": bool,
    "tray": bool,
    "backgrounds": str,
}
CHOICES = {
    "preset": PRESETS,
    "runtime": RUNTIMES,
    "precision": PRECISIONS,
    "vcam_format": VCAM_FORMATS,
    "on_trouble": TROUBLES,
    "rotate": ROTATIONS,
    "fit": FITS,
    "frame": (*FRAMINGS, NOTHING),
}
# What else a value must be. Whether a background's or an overlay's file is there counts when
# it is shown.
CHECKS: Mapping[str, Callable[[Any], object]] = {
    "bg": lambda text: text.startswith(("#", "blur:")) and parse_background(text),
    "light": lambda percent: light_of(str(percent)),
    "match": lambda share: strength_of("match", str(share)),
    "vignette": lambda share: strength_of("vignette", str(share)),
    "border": border_of,
    "subject": parse_subject,
    "place": place_of,
    "sink": lambda sinks: check_live(Live(sinks=tuple(sinks))),
    "size": parse_size,
    "fps": lambda rate: check_live(Live(fps=rate)),
    "threads": lambda count: check_networks(Networks(threads=count)),
    "name": checked_name,
}
NAMES = re.compile(r"[\w.-]{1,40}")

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Config:
    """`defaults` by option, `scenes` by name: what the file says, checked for kind."""

    path: Path
    defaults: Values = field(default_factory=dict)
    scenes: Mapping[str, Values] = field(default_factory=dict)

    def scene(self, name: str) -> dict[str, str]:
        """A scene in words, as `set` takes them. Raises SettingsError.

        A background that lies beside the file is found there, whatever folder one is in.
        """
        if name not in self.scenes:
            known = ", ".join(self.scenes) or "none yet: bshm-live set save=NAME makes one"
            raise SettingsError(f"--scene {name}: not in {self.path}; there is {known}")
        words = {plain(key): _word(value) for key, value in self.scenes[name].items()}
        beside = self.path.parent / words.get("bg", "")
        return {**words, "bg": str(beside)} if "bg" in words and is_file(beside) else words

    def words(self, given: Sequence[str]) -> list[str]:
        """The defaults as options of the command line, to stand before those `given`."""
        options = {word.partition("=")[0] for word in given}
        words: list[str] = []
        for key, value in self.defaults.items():
            option = f"--{key.replace('_', '-')}"
            if (option == "--sink" and option in options) or (
                option == "--bg" and "--scene" in options
            ):
                continue
            if isinstance(value, bool):
                words += [option] if value else []
            else:
                many = value if isinstance(value, list) else [value]
                words += [f"{option}={one}" for one in many]
        return words


def gallery_folder() -> Path:
    """Where the user's backgrounds lie, unless another folder was named."""
    from platformdirs import user_data_path

    return user_data_path("bshm-live", appauthor=False) / "backgrounds"


def config_path() -> Path:
    """Where the file lies; it need not be there."""
    return own_folder("config") / FILE


def read_config(path: Path | None = None) -> Config:
    """The file's content; nothing where there is no file. Raises SettingsError."""
    path = config_path() if path is None else path
    try:
        text = path.read_text("utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return Config(path)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise SettingsError(f"{path} cannot be read ({reason}); mend it or take it away") from None
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: {' '.join(str(error).split())}") from None
    _check(content, path, text)
    return Config(path, content.get("defaults", {}), content.get("scenes", {}))


def save_scene(name: str, values: Values, path: Path | None = None) -> Path:
    """Adds or replaces a scene; all else in the file stays as it is. Raises SettingsError."""
    import tomlkit

    if not NAMES.fullmatch(name):
        raise SettingsError(f"save={name}: letters, digits, - _ and . only, 40 at most")
    path = read_config(path).path  # a file that is wrong is not written over
    text = path.read_text("utf-8") if path.is_file() else ""
    document = tomlkit.parse(text)
    scenes = document.setdefault("scenes", tomlkit.table(is_super_table=True))
    scene = tomlkit.table()
    scene.update(values)
    scenes[name] = scene
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, tomlkit.dumps(document).encode())
    except OSError as error:
        raise SettingsError(why_unwritable(path, error, "save it elsewhere")) from None
    return path


def _check(content: Values, path: Path, text: str) -> None:
    """Raises SettingsError with the line of the first thing that has no place."""
    for section, value in content.items():
        if section not in ("defaults", "scenes"):
            raise _wrong(path, text, "", section, "unknown; there is [defaults] and [scenes.NAME]")
        if not isinstance(value, dict):
            raise _wrong(path, text, "", section, f"write it as a table, [{section}]")
    _check_table(content.get("defaults", {}), DEFAULTS, "defaults", path, text)
    for name, scene in content.get("scenes", {}).items():
        where = f"scenes.{name}"
        if not isinstance(scene, dict):
            raise _wrong(path, text, "scenes", name, f"write it as a table, [{where}]")
        _check_table(scene, SCENE, where, path, text)


def _check_table(
    table: Values, known: Mapping[str, type], where: str, path: Path, text: str
) -> None:
    for key, value in table.items():
        if plain(key) not in known:
            raise _wrong(path, text, where, key, f"unknown; it may be {', '.join(known)}")
        try:
            _check_value(plain(key), value, known[plain(key)])
        except SettingsError as error:
            raise _wrong(path, text, where, key, str(error)) from None


def _check_value(key: str, value: Any, kind: type) -> None:
    """Raises SettingsError, which leaves out the key."""
    fits = isinstance(value, kind) or (kind is float and isinstance(value, int))
    if not fits or (kind in (int, float) and isinstance(value, bool)):
        raise SettingsError(f"{value!r} is not {_KINDS[kind]}")
    if value not in CHOICES.get(key, (value,)):
        raise SettingsError(f"{value!r}: choose from {', '.join(map(str, CHOICES[key]))}")
    if kind is list and not all(isinstance(one, str) for one in value):
        raise SettingsError("a list of texts")
    try:
        CHECKS.get(key, bool)(value)
    except SettingsError as error:
        raise SettingsError(str(error).removeprefix(f"--{key} ")) from None


def plain(key: str) -> str:
    """A key as an option's name: both on-demand and on_demand may be written."""
    return key.replace("-", "_")


_KINDS = {str: "a text", bool: "true or false", int: "a whole number", float: "a number"}
_KINDS[list] = "a list"


def _wrong(path: Path, text: str, where: str, key: str, reason: str) -> SettingsError:
    return SettingsError(f"{path}, line {_line_of(text, where, key)}: {key}: {reason}")


def _line_of(text: str, where: str, key: str) -> int:
    """The line, from 1, on which `key` stands in the table `where`; that of the table else."""
    section, found = "", 1
    for number, line in enumerate(text.splitlines(), 1):
        head = re.match(r"\s*\[+\s*([^\]]+?)\s*\]+", line)
        if head:
            section = head[1].replace('"', "").replace(" ", "")
            if section in (where, key, f"{where}.{key}"):
                found = number
        elif section == where and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*[=.]", line):
            return number
    return found


def _word(value: Any) -> str:
    return ("on" if value else "off") if isinstance(value, bool) else str(value)
