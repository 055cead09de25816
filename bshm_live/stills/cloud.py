"""Files behind addresses of object stores, by fsspec: read, listed, put whole or not at all.

An object appears in such a store when all of it has arrived, and the old one stays until then.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ..errors import BshmError, SettingsError, SinkError, SourceError

SCHEMES = ("s3", "s3a", "gs", "gcs", "memory")
INSTALL = "pip install 'bshm-live[cloud]'"
PICTURE_MOST = 1_000_000_000  # bytes: what is held in memory
INSTEAD = "check the address and who may use it, or choose another --output_dir"
TRIAL = ".bshm-live-trial"


def is_cloud(where: str) -> bool:
    """Whether it is the address of an object store."""
    return where.partition("://")[0].lower() in SCHEMES and "://" in where


@contextmanager
def as_ours(where: str, kind: type[BshmError], instead: str) -> Iterator[None]:
    """Inside it a store's errors become one line of ours; each store has classes of its own."""
    try:
        yield
    except BshmError:
        raise
    except ImportError as error:
        raise SettingsError(f"{where}: {first_line(error)}; {INSTALL}") from None
    except FileNotFoundError:
        raise kind(f"{where}: not there; {instead}") from None
    except Exception as error:
        raise kind(f"{where}: {first_line(error)}; {instead}") from error


def first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def opened(where: str) -> tuple[Any, str]:
    """The store, by fsspec, and the place in it."""
    import fsspec

    store, place = fsspec.core.url_to_fs(where)
    return store, str(place)


def fetch(where: str) -> bytes:
    """What lies at an address. Raises SourceError, SettingsError."""
    with as_ours(where, SourceError, "check the address"):
        store, place = opened(where)
        if store.size(place) > PICTURE_MOST:
            raise SourceError(f"{where}: larger than {PICTURE_MOST // 1_000_000} MB")
        content: bytes = store.cat_file(place)
        return content


def fetch_to(where: str, file: Path) -> None:
    """As `fetch`, of any size, into a file."""
    with as_ours(where, SourceError, "check the address"):
        store, place = opened(where)
        store.get_file(place, str(file))


def inside(where: str) -> list[str] | None:
    """The addresses of what lies in a folder, by name (not recursive); None for a file.

    Raises SourceError, SettingsError.
    """
    with as_ours(where, SourceError, "check the address"):
        store, place = opened(where)
        if not store.isdir(place):
            return None
        entries = store.ls(place, detail=True)
        return sorted(store.unstrip_protocol(e["name"]) for e in entries if e["type"] == "file")


def stamp_of(where: str) -> list[object] | None:
    """What is another where the object is another; None where there is none."""
    try:
        with as_ours(where, SourceError, ""):
            store, place = opened(where)
            found = store.info(place)
    except BshmError:
        return None
    known = ("ETag", "etag", "md5Hash", "LastModified", "mtime", "created")
    return [found.get("size"), next((str(found[key]) for key in known if key in found), None)]


class Bucket:
    """A folder in an object store. Raises SinkError; SettingsError where fsspec lacks a part."""

    def __init__(self, where: str) -> None:
        self.where = where.rstrip("/")
        with self._told():
            self._store, self._place = opened(self.where)

    def address(self, name: str) -> str:
        return f"{self.where}/{name}"

    def read(self, name: str) -> bytes | None:
        """None where there is no such file."""
        with self._told():
            place = f"{self._place}/{name}"
            return self._store.cat_file(place) if self._store.exists(place) else None

    def write(self, name: str, content: bytes) -> None:
        with self._told():
            self._store.pipe_file(f"{self._place}/{name}", content)

    def put(self, files: Mapping[str, Path]) -> tuple[str, ...]:
        """All of the files, by name, or none: what had arrived before an error goes again."""
        done: list[str] = []
        try:
            with self._told():
                for name, file in files.items():
                    place = f"{self._place}/{name}"
                    self._store.put_file(str(file), place)
                    done.append(place)
        except BaseException:
            for place in done:
                with suppress(Exception):  # the store has failed once; the first error counts
                    self._store.rm_file(place)
            raise
        return tuple(map(self.address, files))

    def check(self) -> None:
        """Whether it can be written to."""
        with self._told():
            self._store.pipe_file(f"{self._place}/{TRIAL}", b"")
            self._store.rm_file(f"{self._place}/{TRIAL}")

    def _told(self) -> Any:
        return as_ours(self.where, SinkError, INSTEAD)
