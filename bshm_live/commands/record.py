"""What a batch leaves beside its pictures: the record that --resume goes by, and report.csv."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from .. import __version__
from ..errors import SettingsError, SinkError
from ..files import is_file, path_of, why_unwritable, write_whole
from ..runtimes.official import network_path
from ..settings import OFFICIAL, Networks
from ..stills.files import INSTEAD, Outcome
from ..stills.read import Item, is_address

RECORD = ".bshm-live-done.jsonl"
REPORT = "report.csv"
COLUMNS = ("input", "output", "person", "seconds", "error")
HEAD = ",".join(COLUMNS).encode()
BETWEEN = ";"  # the files of one picture
KEY_LETTERS = 16  # of a SHA-256

log = logging.getLogger(__name__)


def stamp(path: Path) -> list[int] | None:
    """Size in bytes and time of change in ns; None where it cannot be looked at."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return [found.st_size, found.st_mtime_ns]


def options_key(networks: Networks, *options: object, files: Iterable[Path | None] = ()) -> str:
    """A short text that is another one where the preset, an option or one of `files` is."""
    official = network_path() if networks.preset == OFFICIAL else None
    said = [*map(repr, (__version__, networks.preset, *options))]
    said += [f"{path} {stamp(path)}" for path in (official, *files) if path]
    return hashlib.sha256("\n".join(said).encode("utf-8", "surrogateescape")).hexdigest()[
        :KEY_LETTERS
    ]


class Record:
    """One line of JSON for each finished picture: input, options, outputs and their sizes.

    A line is written after the files are whole and in place; one that is cut off counts as
    not there, and so does one whose input or outputs are others now.
    """

    def __init__(self, folder: Path, key: Callable[[Item], str]) -> None:
        self._folder, self._key = folder, key
        self._path = folder / RECORD
        self._mute = False

    def add(self, item: Item, outcome: Outcome) -> None:
        """Notes a picture that succeeded. A record that cannot be written is one warning."""
        line = json.dumps(
            {
                **self._of(item),
                "outputs": {file.name: stamp(file) for file in outcome.files},
                "person": outcome.person,
            }
        )
        try:
            with self._path.open("a", encoding="ascii") as file:
                file.write(f"\n{line}\n")  # after a line that was cut off this is one of its own
        except OSError as error:
            if not self._mute:
                why = why_unwritable(self._path, error, INSTEAD)
                log.warning("--resume will do pictures again: %s", why)
            self._mute = True

    def finished(self, items: Iterable[Item]) -> dict[str, Outcome]:
        """By NAME, the items of `items` that need not be done again."""
        lines = self._lines()
        done = {}
        for item in items:
            line = lines.get(item.name)
            if line is None or {k: line.get(k) for k in self._of(item)} != self._of(item):
                continue
            outputs = {self._folder / name: made for name, made in line["outputs"].items()}
            if outputs and all(made and stamp(file) == made for file, made in outputs.items()):
                done[item.name] = Outcome(item.where, tuple(outputs), line["person"])
        return done

    def _of(self, item: Item) -> dict[str, Any]:
        """What has to be the same for a picture not to be done again."""
        if is_address(item.where):
            return {
                "name": item.name,
                "input": item.where,
                "stamp": None,
                "options": self._key(item),
            }
        path = path_of(item.where)
        return {
            "name": item.name,
            "input": os.path.abspath(path),
            "stamp": stamp(path),
            "options": self._key(item),
        }

    def _lines(self) -> Mapping[str, Any]:
        """The last line of each NAME."""
        try:
            text = self._path.read_text("ascii", errors="replace")
        except OSError:
            return {}
        found = {}
        for line in text.splitlines():
            try:
                entry = json.loads(line)
                found[str(entry["name"])] = {**entry, "outputs": dict(entry["outputs"])}
            except (ValueError, KeyError, TypeError, RecursionError):
                continue  # cut off
        return found


def check_report(folder: Path) -> None:
    """Refuses to replace a report.csv that is somebody else's. Raises SettingsError."""
    path = folder / REPORT
    if not is_file(path):
        return
    try:
        with path.open("rb") as file:
            ours = file.read(len(HEAD)) == HEAD
    except OSError:
        ours = False
    if not ours:
        raise SettingsError(f"{path} is not a report of bshm-live; {INSTEAD}")


def write_report(folder: Path, outcomes: Iterable[Outcome]) -> Path:
    """report.csv in UTF-8, a line for each picture. Raises SinkError."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for outcome in outcomes:
        files = BETWEEN.join(map(str, outcome.files))
        person = "" if outcome.error else f"{outcome.person:.4f}"
        error = outcome.error or ""
        table.writerow([outcome.source, files, person, f"{outcome.seconds:.3f}", error])
    path = folder / REPORT
    try:
        write_whole(path, text.getvalue().encode("utf-8", "surrogateescape"))
    except OSError as error:
        raise SinkError(why_unwritable(path, error, INSTEAD)) from None
    return path
