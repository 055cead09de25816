"""Options of kernel modules as modprobe.d writes them and as the kernel reads them.

All `options v4l2loopback` lines of all files are joined in the order of the files'
names; the kernel then reads the words from left to right, and the last value of a
parameter wins. A list (one entry a camera) that is shorter than an earlier one
leaves the earlier one's tail in place. So one line in the last file can add a
camera to those of other programs, without a change to their files.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import SettingsError

MODULE = "v4l2loopback"
# Of two files with one name, the first folder's counts (modprobe.d(5)).
FOLDERS = (
    "etc/modprobe.d",
    "run/modprobe.d",
    "usr/local/lib/modprobe.d",
    "usr/lib/modprobe.d",
    "lib/modprobe.d",
)
SUFFIXES = (".conf", ".alias")

# v4l2loopback's parameters.
MOST_CAMERAS = 8  # MAX_DEVICES
NUMBERS, LABELS, EXCLUSIVE, COUNT = "video_nr", "card_label", "exclusive_caps", "devices"
# guvcview takes four for granted. More would only add to the delay of a reader that is slow.
BUFFERS, BUFFERS_WANTED = "max_buffers", "4"
ANY_NUMBER = -1
OUR_NUMBER = 10
YES, NO = ("1", "y", "t", "on"), ("0", "n", "f", "of")  # by their beginnings, as the kernel has it

Parameter = tuple[str, str | None]  # None: the name stood alone
BLANK = " \t\n\v\f\r"  # the kernel knows no other


def split_words(text: str) -> list[Parameter]:
    """Names and values, in the kernel's way: quotes keep blanks together, and those
    at the beginning and the end of a value (or of the whole word) are taken off."""
    parameters: list[Parameter] = []
    rest = text.strip(BLANK)
    while rest:
        end = _word_end(rest)
        word, rest = rest[:end], rest[end:].lstrip(BLANK)
        if word.startswith('"'):
            word = word[1:].removesuffix('"')
        name, equals, value = word.partition("=")
        if value.startswith('"'):
            value = value[1:].removesuffix('"')
        parameters.append((name.replace("-", "_"), value if equals else None))
    return parameters


def _word_end(text: str) -> int:
    quoted = False
    for place, sign in enumerate(text):
        if sign == '"':
            quoted = not quoted
        elif sign in BLANK and not quoted:
            return place
    return len(text)


def join_words(parameters: Iterable[Parameter]) -> str:
    """The words that `split_words` reads as `parameters`. Raises SettingsError: there are none."""
    words = []
    for parameter in parameters:
        name, value = parameter
        bare = name if value is None else f"{name}={value}"
        quoted = f'{name}="{value}"'
        for word in (quoted, bare) if name == LABELS else (bare, quoted):
            if split_words(word) == [parameter]:
                words.append(word)
                break
        else:
            raise SettingsError(
                f"the module option {name}={value} cannot be written with others; take the quotes "
                "or line ends out of it in /etc/modprobe.d"
            )
    return " ".join(words)


def option_lines(text: str, module: str = MODULE) -> list[str]:
    """What stands behind `options MODULE` in one file; a backslash continues a line."""
    found = []
    for line in text.replace("\\\n", "").split("\n"):
        words = re.split(r"[ \t]+", line.strip(BLANK), maxsplit=2)
        if len(words) == 3 and words[0] == "options" and words[1].replace("-", "_") == module:
            found.append(words[2])
    return found


def config_files(
    root: Path, folders: Sequence[str] = FOLDERS, suffixes: tuple[str, ...] = SUFFIXES
) -> list[Path]:
    """The files that count, in the order in which they are read."""
    by_name: dict[str, Path] = {}
    for folder in folders:
        for path in (root / folder).glob("*"):
            if path.name.endswith(suffixes) and not path.name.startswith(".") and path.is_file():
                by_name.setdefault(path.name, path)
    return [by_name[name] for name in sorted(by_name)]


@dataclass(frozen=True)
class Camera:
    """One device of v4l2loopback: /dev/video`number`, what programs call it, exclusive_caps."""

    number: int
    label: str
    exclusive: bool


def cameras(parameters: Iterable[Parameter]) -> list[Camera]:
    """The devices that the module makes of its parameters. Raises SettingsError: not numbers.

    Empty where no parameter speaks of a device: the one anonymous device of a module
    without options is nobody's.
    """
    lists: dict[str, list[str]] = {NUMBERS: [], LABELS: [], EXCLUSIVE: []}
    count: int | None = None
    named = False
    for name, value in parameters:
        if value is None:
            continue
        if name in lists:
            new = value.split(",")
            lists[name] = new + lists[name][len(new) :]
            named = True
        elif name == COUNT:
            count, named = _number(name, value), True
    numbers = [_number(NUMBERS, text) for text in lists[NUMBERS]]
    exclusive = [_switch(text) for text in lists[EXCLUSIVE]]
    if count is None or count < 0:
        given = [place for place, number in enumerate(numbers) if number >= 0]
        count = given[-1] + 1 if given else int(named)
    return [
        Camera(
            numbers[place] if place < len(numbers) else ANY_NUMBER,
            lists[LABELS][place] if place < len(lists[LABELS]) else "",
            exclusive[place] if place < len(exclusive) else False,
        )
        for place in range(count)
    ]


def _number(name: str, text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        raise _unreadable(name, text) from None


def _switch(text: str) -> bool:
    if text.lower().startswith(YES):
        return True
    if text.lower().startswith(NO):
        return False
    raise _unreadable(EXCLUSIVE, text)


def _unreadable(name: str, text: str) -> SettingsError:
    return SettingsError(
        f"/etc/modprobe.d gives {MODULE} the option {name} with the value '{text}', which the "
        f"kernel refuses; mend it (grep -r {MODULE} /etc/modprobe.d)"
    )


def free_number(taken: Collection[int]) -> int:
    """10, or the next number that no camera has."""
    return next(number for number in range(OUR_NUMBER, 1 << 16) if number not in taken)


def addition(
    there: Sequence[Parameter], label: str, taken: Collection[int] = ()
) -> list[Parameter]:
    """What to put behind `there` so that a camera `label` with exclusive_caps is among the rest.

    `taken` are numbers of other devices. Empty where it is there already. Every
    camera and every option of `there` stays. Raises SettingsError: no room.
    """
    before = cameras(there)
    wanted = [replace(c, exclusive=True) if c.label == label else c for c in before]
    if all(camera.label != label for camera in before):
        used = {*taken, *(camera.number for camera in before)}
        wanted.append(Camera(free_number(used), label, True))
    if wanted == before:
        return []
    if len(wanted) > MOST_CAMERAS:
        raise SettingsError(
            f"/etc/modprobe.d gives {MODULE} {len(before)} cameras, the most it can have; take "
            "one out"
        )
    names = {name for name, _ in there}
    added: list[Parameter] = [(COUNT, str(len(wanted)))] if COUNT in names else []
    added.append((NUMBERS, ",".join(str(camera.number) for camera in wanted)))
    added.append((LABELS, ",".join(camera.label for camera in wanted)))
    added.append((EXCLUSIVE, ",".join(str(int(camera.exclusive)) for camera in wanted)))
    if BUFFERS not in names:
        added.append((BUFFERS, BUFFERS_WANTED))
    return added
