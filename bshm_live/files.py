"""Files and devices by name: where a text becomes a path, and where a file is written whole."""

from __future__ import annotations

import errno
import os
import stat
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Literal

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS)
CAMERA = "camera:"  # before a camera's name
LIST = "`bshm-live devices` lists what is there"
JOIN_GROUP = "add yourself to the group video (sudo usermod -aG video $USER) and log in again"
NAME_MOST = 255  # bytes of one file name, in every common file system
NOWHERE = Path(os.devnull) / "bshm-live"  # nothing can be read or written there
RANDOM_BYTES = 8  # of a part file's name
NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL  # with O_EXCL no link is followed


def path_of(text: str) -> Path:
    """What a person typed, as a path: a leading ~ is a home, unless a file has that very name.

    Raises nothing: `~photo.jpg`, and `~` where nobody knows a home, stay as they are.
    """
    if os.path.lexists(text):
        return Path(text)
    try:
        return Path(os.path.expanduser(text))
    except ValueError:  # a NUL in it: no file can have such a name
        return Path(text)


def own_folder(kind: Literal["cache", "config", "data"]) -> Path:
    """The program's folder of that kind, as the user's system has it; NOWHERE without a home."""
    from platformdirs import user_cache_path, user_config_path, user_data_path

    find = {"cache": user_cache_path, "config": user_config_path, "data": user_data_path}[kind]
    try:
        found = find("bshm-live", appauthor=False)
    except RuntimeError:  # older versions give a folder called ~
        return NOWHERE
    return found if found.is_absolute() else NOWHERE


def real(path: Path | str) -> Path:
    """The absolute path behind all links. Raises nothing, also where there is no such file."""
    try:
        return Path(os.path.normcase(os.path.realpath(path)))
    except (OSError, ValueError):
        return Path(path)


def named_twice(paths: Iterable[Path]) -> Path | None:
    """The first path that leads to the same place as one before it; None if there is none."""
    seen: set[Path] = set()
    for path in paths:
        place = real(path)
        if place in seen:
            return path
        seen.add(place)
    return None


def within_name_limit(stem: str, rest: str = "") -> str:
    """The stem, cut so that stem and `rest` are no longer than a file's name may be."""
    most = NAME_MOST - len(os.fsencode(rest))
    while len(stem.encode("utf-8", "surrogateescape")) > most:
        stem = stem[:-1]
    return stem


def camera_device(text: str) -> str | int | None:
    """The camera that a source's text names: a number, a path or 'camera:NAME'; None: a file."""
    if text.isascii() and text.isdigit():
        return int(text)
    if text.startswith(("/dev/video", "/dev/v4l/", CAMERA)):
        return text
    return text if _is(stat.S_ISCHR, path_of(text)) else None


def _is(kind: Callable[[int], bool], path: Path) -> bool:
    """Whether there is something of that kind; no where it cannot be looked at."""
    try:
        return kind(path.stat().st_mode)
    except (OSError, ValueError):
        return False


def is_file(path: Path) -> bool:
    """Whether a file is there; no, too, where the folder or the name does not let us look."""
    return _is(stat.S_ISREG, path)


def is_folder(path: Path) -> bool:
    """Whether a folder is there; no, too, where we may not look."""
    return _is(stat.S_ISDIR, path)


def why_unreadable(path: Path) -> str | None:
    """One line: why `path` is no file that can be read, and what to try; None where it is one."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return f"{path}: no such file; check the path"
    except (OSError, ValueError) as error:
        return f"{path} cannot be read ({_reason(error)}); check the path and its permissions"
    if stat.S_ISDIR(mode):
        return f"{path} is a folder; give a file"
    if not stat.S_ISREG(mode):
        return f"{path} is not a file; give one"
    if not os.access(path, os.R_OK):
        return f"{path} may not be read; check its permissions"
    return None


def why_unwritable(path: Path, error: Exception, instead: str) -> str:
    """One line: why `path` could not be written, and what to try.

    `error` is an OSError or has its errno; `instead` is the other way that the caller offers.
    """
    number = getattr(error, "errno", None)
    if number in DISK_FULL:
        return f"disk full writing {path}: free some space, or {instead}"
    if number == errno.EFBIG:
        return f"{path} grew too large for this disk: write to another one"
    if number in NOT_ALLOWED:
        return f"{path} may not be written; {instead}"
    if number == errno.ENAMETOOLONG:
        return f"{path}: the name is too long; give a shorter one"
    if number == errno.EISDIR:
        return f"{path} is a folder; give a file name"
    if number == errno.ENOENT:
        return f"{path}: the folder {path.parent} does not exist; make it first"
    return f"{path} cannot be written ({_reason(error)}); {instead}"


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error).splitlines()[0]


class Part:
    """A file beside its target, which it replaces once it is whole. Raises OSError.

    `path`, beside `target`, is hidden and has a name of its own, made anew: never a file, a
    link or a pipe that was there before. Unless it is kept it goes with this object, at the
    latest when the program ends.
    """

    def __init__(self, target: Path, ending: str = "") -> None:
        _check_target(target)
        self.target = target
        name = f".bshm-live-{os.urandom(RANDOM_BYTES).hex()}.part{ending}"
        self.path = target.with_name(name)
        # Before the file is there, so that no interrupt can come in between.
        self._remove = weakref.finalize(self, _remove, self.path)
        try:
            os.close(os.open(self.path, NEW_FILE, 0o666))
        except OSError:
            self._remove.detach()
            raise

    def keep(self) -> None:
        """Puts the file in its place, over what was there."""
        try:
            self.path.replace(self.target)
        except OSError:
            self.drop()
            raise
        self._remove.detach()

    def drop(self) -> None:
        """Takes the file away; does nothing once it was kept. A second try does no harm."""
        if self._remove.alive and _remove(self.path):
            self._remove.detach()


def _check_target(target: Path) -> None:
    """Only a file may be replaced. Finds a name that is too long, too, before work is lost."""
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        return
    except ValueError as error:
        raise OSError(errno.EINVAL, "files here cannot have such a name") from error
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
    if not stat.S_ISREG(mode):
        raise FileExistsError(errno.EEXIST, "a device or a pipe has that name", str(target))


def _remove(path: Path) -> bool:
    """Whether the file is gone: Windows removes none that is open."""
    with suppress(OSError):
        path.unlink(missing_ok=True)
    return not os.path.lexists(path)


@contextmanager
def replacing(*targets: Path) -> Iterator[tuple[Path, ...]]:
    """Files to write instead of `targets`: they take their places together, or after an error none.

    Raises OSError.
    """
    with ExitStack() as undo:
        parts = []
        for target in targets:
            parts.append(Part(target))
            undo.callback(parts[-1].drop)
        yield tuple(part.path for part in parts)
        for part in parts:
            part.keep()


def write_whole(target: Path, content: bytes) -> None:
    """Writes a file so that others see the old one or all of the new. Raises OSError."""
    with replacing(target) as (part,):
        part.write_bytes(content)
