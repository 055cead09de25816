"""Engines that were built once, in the user's cache folder, by everything they depend on."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, fields
from pathlib import Path

from ..files import own_folder, path_of, write_whole

FOLDER_VARIABLE = "BSHM_CACHE"
MAGIC = b"bshm-live engine 1"
SHA_SHOWN = 16  # hex digits of a network's sha256 in a file's name; the file holds all


@dataclass(frozen=True)
class Key:
    """All that an engine depends on: one that differs in anything is never loaded.

    `flavour` is TensorRT's module with its version, `capability` the GPUs that the engine
    is for, `size` (width, height) as text, `precision` f16 or f32.
    """

    sha256: str
    flavour: str
    capability: str
    size: str
    precision: str

    @property
    def file(self) -> str:
        parts = (self.sha256[:SHA_SHOWN], self.size, self.precision, self.capability, self.flavour)
        return "-".join(parts)

    def line(self) -> bytes:
        return " ".join(getattr(self, field.name) for field in fields(self)).encode()


def folder() -> Path:
    """BSHM_CACHE, or the user's cache folder as the system has it."""
    chosen = os.environ.get(FOLDER_VARIABLE)
    return path_of(chosen) if chosen else own_folder("cache")


def path(key: Key, kind: str = "engine") -> Path:
    """Where `store` puts it. `kind`: engine, or runtime for what TensorRT adds at the first run."""
    return folder() / "engines" / f"{key.file}.{kind}"


def load(key: Key, kind: str = "engine") -> bytes | None:
    """What was stored under the key; None if it is missing or damaged."""
    try:
        content = path(key, kind).read_bytes()
    except OSError:
        return None
    head, _, rest = content.partition(b"\n")
    line, _, rest = rest.partition(b"\n")
    digest, _, blob = rest.partition(b"\n")
    whole = head == MAGIC and hashlib.sha256(blob).hexdigest().encode() == digest
    return blob if whole and line == key.line() else None


def store(key: Key, blob: bytes, kind: str = "engine") -> Path:
    """Puts it into the cache, whole. Raises OSError."""
    target = path(key, kind)
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(blob).hexdigest().encode()
    write_whole(target, b"\n".join((MAGIC, key.line(), digest, blob)))
    return target


def entries() -> list[Path]:
    """The stored engines, by name."""
    return sorted((folder() / "engines").glob("*.engine"))
