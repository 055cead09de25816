"""Where stills come from: files, folders, addresses and object stores to pictures."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from ..errors import BshmError, SettingsError, SourceError
from ..files import is_file, is_folder, path_of, real, within_name_limit
from ..settings import PICTURES, VIDEOS
from ..sources.picture import NotAPicture, Still, check_picture, decode, read_picture
from .cloud import fetch, inside, is_cloud
from .download import download

NAME_LONGEST = 100  # characters of a name that is taken from an address
MORE_PICTURES = frozenset({".gif", ".avif", ".heic", ".heif", ".jp2", ".ppm"})
ADDED = "_foreground.png"  # the longest that is added to a picture's name

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Item:
    """One picture of a run: its place and the NAME of its files.

    `error` is why there is nothing to read.
    """

    where: str
    name: str
    error: BshmError | None = None


def is_picture(path: Path) -> bool:
    """Going by its content; what is one but cannot be read counts: it fails under its own name."""
    try:
        check_picture(path)
    except NotAPicture:
        return False
    except SourceError:
        pass
    return True


def is_film(path: Path) -> bool:
    """Going by its ending."""
    return path.suffix.lower() in VIDEOS


def listed(
    inputs: Sequence[str], wanted: Callable[[Path], bool] = is_picture
) -> tuple[list[Item], frozenset[Path]]:
    """The items of files, folders and addresses, and the real paths of all their files.

    Of a folder those files that are `wanted`. Names depend on the inputs and their order
    alone. Raises SettingsError where nothing is given.
    """
    if not inputs:
        raise SettingsError("nothing to do; give -i a picture, a folder or a URL")
    todo = expand(inputs, wanted)
    names = Names(where for where, _ in todo)
    return [Item(where, names.take(where), error) for where, error in todo], names.inputs


def expand(
    inputs: Iterable[str], wanted: Callable[[Path], bool] = is_picture
) -> list[tuple[str, BshmError | None]]:
    """Files and addresses as they are, a folder as what is wanted of it by name (not recursive)."""
    kind = "picture" if wanted is is_picture else "film"
    todo: list[tuple[str, BshmError | None]] = []
    for where in inputs:
        if is_cloud(where):
            todo += expand_cloud(where, wanted, kind)
            continue
        folder = path_of(where)
        if is_address(where) or not is_folder(folder):
            todo.append((where, None))
            continue
        try:
            found = sorted(p for p in folder.iterdir() if not p.name.startswith("."))
        except OSError as error:
            todo.append((where, SourceError(f"{where}: {error.strerror}; check its permissions")))
            continue
        shown = [(str(p), None) for p in found if taken(p, wanted, kind)]
        nothing = SourceError(f"{where}: no {kind} in this folder; give one that holds some")
        todo += shown or [(where, nothing)]
    return todo


def expand_cloud(
    where: str, wanted: Callable[[Path], bool], kind: str
) -> list[tuple[str, BshmError | None]]:
    """As `expand`, going by the names' endings alone: nothing is fetched yet."""
    try:
        names = inside(where)
    except BshmError as error:
        return [(where, error)]
    if names is None:
        return [(where, None)]
    ends_well = is_film if wanted is is_film else ends_as_picture
    found: list[tuple[str, BshmError | None]] = []
    for name in names:
        if ends_well(Path(name)):
            found.append((name, None))
        else:
            log.warning("%s: skipped, not a %s", name, kind)
    return found or [(where, SourceError(f"{where}: no {kind} in this folder"))]


def ends_as_picture(path: Path) -> bool:
    return path.suffix.lower() in PICTURES | MORE_PICTURES


def taken(path: Path, wanted: Callable[[Path], bool], kind: str) -> bool:
    """Whether it is a file that is wanted; the log names what is skipped."""
    if is_folder(path):
        log.warning("%s: skipped, a folder; give it by its own name", path)
    elif not is_file(path):
        log.warning("%s: skipped, not a file", path)
    elif not wanted(path):
        log.warning("%s: skipped, not a %s", path, kind)
    else:
        return True
    return False


class Names:
    """The NAME of each picture's files: its own, with _2, _3 where two are the same.

    It is cut where the files' names would get longer than a folder takes.
    """

    def __init__(self, places: Iterable[str]) -> None:
        self.inputs = frozenset(real(path_of(place)) for place in places if not is_address(place))
        self._taken: set[str] = set()

    def take(self, where: str) -> str:
        own = address_name(where) if is_address(where) else Path(where).stem
        stem, number = within_name_limit(own, ADDED), 1
        while stem.casefold() in self._taken:  # some file systems know no case
            number += 1
            stem = within_name_limit(own, f"_{number}{ADDED}") + f"_{number}"
        self._taken.add(stem.casefold())
        return stem


def is_address(where: str) -> bool:
    return "://" in where


def address_name(url: str) -> str:
    """The last part of an address as a file's name, without its ending."""
    path = re.split("[?#]", url.partition("://")[2])[0].partition("/")[2]
    last = PurePosixPath(unquote(path)).stem
    return re.sub(r"[^\w.-]", "_", last)[:NAME_LONGEST].strip(".") or "picture"


def read_still(where: str) -> Still:
    """The picture of a file or an address. Raises SourceError."""
    if not is_address(where):
        return read_picture(path_of(where))
    if is_cloud(where):
        return decode(BytesIO(fetch(where)), where)
    return decode(BytesIO(download(where)), where)
