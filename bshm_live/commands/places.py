"""Where a batch's outputs, its record and its report lie: a folder, or one in an object store.

What goes to a store is written into a folder of this machine first, and sent when it is whole.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol

from ..errors import BshmError, SinkError
from ..files import why_unwritable, write_whole
from ..settings import Networks
from ..stills.cloud import Bucket, stamp_of
from ..stills.files import INSTEAD, Outcome
from ..stills.read import Item
from .workers import Do, Work

SEND_S = 30.0  # between two times that lines are sent: a store cannot add to a file
Stamp = list[object]


def stamp(path: Path) -> Stamp | None:
    """Size in bytes and time of change in ns; None where it cannot be looked at."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return [found.st_size, found.st_mtime_ns]


class Place(Protocol):
    """A folder by the names in it. Raises SinkError for what cannot be written."""

    def path(self, name: str) -> Path | str: ...
    def stamp(self, name: str) -> Stamp | None: ...
    def read(self, name: str) -> bytes | None:
        """None for what is not there or cannot be read."""
        ...

    def add(self, name: str, text: str) -> None:
        """More text at a file's end, there after `close` at the latest."""
        ...

    def write(self, name: str, content: bytes) -> None: ...
    def close(self) -> None: ...


class Folder:
    """On this machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, name: str) -> Path:
        return self._folder / name

    def stamp(self, name: str) -> Stamp | None:
        return stamp(self.path(name))

    def read(self, name: str) -> bytes | None:
        try:
            return self.path(name).read_bytes()
        except OSError:
            return None

    def add(self, name: str, text: str) -> None:
        self._told(name, lambda path: append(path, text))

    def write(self, name: str, content: bytes) -> None:
        self._told(name, lambda path: write_whole(path, content))

    def close(self) -> None:
        """Nothing waits."""

    def _told(self, name: str, write: Callable[[Path], object]) -> None:
        try:
            write(self.path(name))
        except OSError as error:
            raise SinkError(why_unwritable(self.path(name), error, INSTEAD)) from None


def append(path: Path, text: str) -> None:
    with path.open("a", encoding="ascii") as file:
        file.write(text)


class Cloud:
    """In an object store; `add` collects."""

    def __init__(self, where: str) -> None:
        self._bucket = Bucket(where)
        self._bucket.check()
        self._texts: dict[str, str] = {}
        self._sent_at = time.monotonic()

    def path(self, name: str) -> str:
        return self._bucket.address(name)

    def stamp(self, name: str) -> Stamp | None:
        return stamp_of(self.path(name))

    def read(self, name: str) -> bytes | None:
        with suppress(BshmError):
            return self._bucket.read(name)
        return None

    def add(self, name: str, text: str) -> None:
        if name not in self._texts:
            self._texts[name] = (self.read(name) or b"").decode("ascii", errors="replace")
        self._texts[name] += text
        if time.monotonic() - self._sent_at > SEND_S:
            self.close()

    def write(self, name: str, content: bytes) -> None:
        self._bucket.write(name, content)

    def close(self) -> None:
        self._sent_at = time.monotonic()
        for name, text in self._texts.items():
            self.write(name, text.encode("ascii", errors="replace"))


@dataclass(frozen=True)
class Sending:
    """Work whose finished files go from `folder`, in whatever process, to a store's `where`.

    Nothing at an address of `inputs` is replaced.
    """

    work: Work
    where: str
    folder: Path
    inputs: frozenset[str]

    @property
    def unit(self) -> str:
        return self.work.unit

    @property
    def networks(self) -> Networks:
        return self.work.networks

    def open(self, stack: ExitStack) -> tuple[str, Do]:
        words, do = self.work.open(stack)
        return words, partial(self._one, do, Bucket(self.where))

    def key(self, item: Item) -> str:
        return self.work.key(item)

    def _one(self, do: Do, bucket: Bucket, item: Item) -> Outcome:
        self.folder.mkdir(parents=True, exist_ok=True)  # another machine has none yet
        outcome = do(item)
        files = {Path(file).name: Path(file) for file in outcome.files}
        try:
            for address in map(bucket.address, files):
                if address in self.inputs:
                    raise SinkError(f"{address}: is an input of this run; {INSTEAD}")
            return replace(outcome, files=bucket.put(files))
        except BshmError as error:
            return Outcome(item.where, error=error)
        finally:
            for file in files.values():
                file.unlink(missing_ok=True)
