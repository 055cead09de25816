"""What a batch leaves beside its pictures: the record that --resume goes by, and report.csv."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PurePath
from typing import Any

from .. import __version__
from ..errors import SettingsError, SinkError
from ..files import path_of
from ..runtimes.official import network_path
from ..settings import OFFICIAL, Networks
from ..stills.cloud import is_cloud, stamp_of
from ..stills.files import INSTEAD, Outcome
from ..stills.read import Item, is_address
from .places import Place, stamp

RECORD = ".bshm-live-done.jsonl"
REPORT = "report.csv"
COLUMNS = ("input", "output", "person", "seconds", "error")
HEAD = ",".join(COLUMNS).encode()
BETWEEN = ";"  # the files of one picture
KEY_LETTERS = 16  # of a SHA-256

log = logging.getLogger(__name__)


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

    def __init__(self, place: Place, key: Callable[[Item], str]) -> None:
        self._place, self._key = place, key
        self._mute = False

    def add(self, item: Item, outcome: Outcome) -> None:
        """Notes a picture that succeeded. A record that cannot be written is one warning."""
        names = [PurePath(file).name for file in outcome.files]
        line = json.dumps(
            {
                **self._of(item),
                "outputs": {name: self._place.stamp(name) for name in names},
                "person": outcome.person,
            }
        )
        try:
            # After a line that was cut off this is one of its own.
            self._place.add(RECORD, f"\n{line}\n")
        except SinkError as error:
            if not self._mute:
                log.warning("--resume will do pictures again: %s", error)
            self._mute = True

    def finished(self, items: Iterable[Item]) -> dict[str, Outcome]:
        """By NAME, the items of `items` that need not be done again."""
        lines = self._lines()
        done = {}
        for item in items:
            line = lines.get(item.name)
            if line is None or {k: line.get(k) for k in self._of(item)} != self._of(item):
                continue
            outputs: dict[str, Any] = line["outputs"]
            if outputs and all(
                made and self._place.stamp(name) == made for name, made in outputs.items()
            ):
                files = tuple(map(self._place.path, outputs))
                done[item.name] = Outcome(item.where, files, line["person"])
        return done

    def _of(self, item: Item) -> dict[str, Any]:
        """What has to be the same for a picture not to be done again."""
        where, made = item.where, None
        if is_cloud(where):
            made = stamp_of(where)
        elif not is_address(where):
            where, made = os.path.abspath(path_of(where)), stamp(path_of(where))
        return {"name": item.name, "input": where, "stamp": made, "options": self._key(item)}

    def _lines(self) -> Mapping[str, Any]:
        """The last line of each NAME."""
        text = (self._place.read(RECORD) or b"").decode("ascii", errors="replace")
        found = {}
        for line in text.splitlines():
            try:
                entry = json.loads(line)
                found[str(entry["name"])] = {**entry, "outputs": dict(entry["outputs"])}
            except (ValueError, KeyError, TypeError, RecursionError):
                continue  # cut off
        return found


def check_report(place: Place) -> None:
    """Refuses to replace a report.csv that is somebody else's. Raises SettingsError."""
    if place.stamp(REPORT) and not (place.read(REPORT) or b"").startswith(HEAD):
        raise SettingsError(f"{place.path(REPORT)} is not a report of bshm-live; {INSTEAD}")


def write_report(place: Place, outcomes: Iterable[Outcome]) -> Path | str:
    """report.csv in UTF-8, a line for each input. Raises SinkError."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for outcome in outcomes:
        files = BETWEEN.join(map(str, outcome.files))
        person = "" if outcome.error else f"{outcome.person:.4f}"
        error = outcome.error or ""
        table.writerow([outcome.source, files, person, f"{outcome.seconds:.3f}", error])
    place.write(REPORT, text.getvalue().encode("utf-8", "surrogateescape"))
    return place.path(REPORT)
