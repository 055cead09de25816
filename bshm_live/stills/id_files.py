"""Portraits in; ID photos and sheets of them out.

    inputs ▸ read ▸ heads ▸ photo ▸ sheet ▸ write

A picture that will not do is reported with the reason, and the next one is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..compositing.background import plain
from ..errors import BshmError, SettingsError, SinkError, SourceError
from ..matting.head import HeadFinder
from ..sinks.photo import Format, encoded
from ..types import Matting, Picture, Size
from .cut import Layers, cut_out, matte_still
from .files import Outcome, ready, write_files
from .id_photo import Photo, id_photo
from .read import Names, expand, read_still
from .sheet import filled, layout
from .sizes import PhotoSize, Range, colour_of

GRADIENT = "gradient"
FADED = 0.85  # of the way to white, at a gradient's lower end
WHITE = 255


@dataclass(frozen=True)
class IdTask:
    """What is made of every portrait of a run, in `output_dir`.

    `background` is a colour, `gradient` (blue) or `gradient:COLOUR`; None is what the
    document asks for. `paper` (mm) adds a sheet; `number` says which head, the largest is 1;
    `force` makes what does not fit.
    """

    output_dir: Path
    size: PhotoSize
    background: str | None = None
    paper: Range | None = None
    kind: Format = "jpg"
    number: int | None = None
    force: bool = False


@dataclass(frozen=True)
class Networks:
    """Those for pictures in landscape and in portrait format, and the head finder."""

    wide: Matting
    tall: Matting
    heads: HeadFinder

    def cut(self, picture: Picture) -> Layers:
        return cut_out(picture, matte_still(self.wide, self.tall, picture))


@dataclass(frozen=True)
class IdOutcome(Outcome):
    """What became of one portrait; `photo` is its picture with what was measured in it."""

    photo: Photo | None = None
    size: PhotoSize | None = None
    bytes: int = 0

    def __str__(self) -> str:
        if self.photo is None or self.size is None:
            return super().__str__()
        (wide, tall), high = self.size.pixels, self.size.printed[1]
        head, eyes = self.photo.head * high, self.photo.eyes * high
        line = (
            f"{self.source} ▸ {', '.join(map(str, self.files))} ({wide}x{tall}, "
            f"{self.size.dpi} dpi, {self.bytes / 1000:.0f} kB, head {head:.1f} mm, "
            f"eyes {eyes:.1f} mm above the edge)"
        )
        return "; ".join([line, *self.photo.faults])


def backdrop(text: str, size: Size) -> Picture:
    """One colour, or one that fades to white below; (h, w, 3) BGR. Raises SettingsError."""
    word, _, name = text.partition(":")
    if word != GRADIENT:
        return plain(colour_of(text), size)
    colour = np.array(colour_of(name or "blue"), np.float32)
    way = np.linspace(0, FADED, size[1], dtype=np.float32)[:, None, None]
    rows = colour * (1 - way) + WHITE * way
    return np.rint(np.broadcast_to(rows, (size[1], size[0], 3))).astype(np.uint8)


def run_id(
    inputs: Sequence[str],
    task: IdTask,
    networks: Networks,
    report: Callable[[Outcome], None] = lambda outcome: None,
) -> int:
    """Makes an ID photo of every picture of `inputs` (files, folders, addresses).

    `report` gets each outcome as soon as it is there. Returns the exit code: 0, or that
    of the first failure. What would fail for all is raised at once: SettingsError
    (colour, paper) and SinkError (the folder). The caller closes the networks.
    """
    if not inputs:
        raise SettingsError("id: nothing to make a photo of; give -i a portrait, a folder or a URL")
    behind = backdrop(task.background or task.size.colours[0], task.size.pixels)
    if task.paper:
        layout(task.size.pixels, task.size.dpi, task.paper)
    todo = expand(inputs)
    names = Names(where for where, _ in todo)
    folder, code = ready(task.output_dir), 0
    for where, error in todo:
        outcome = Outcome(where, error=error)
        if error is None:
            target = folder / f"{names.take(where)}_id.{task.kind}"
            outcome = _one(where, task, networks, behind, target, names.inputs)
        report(outcome)
        code = code or (outcome.error.exit_code if outcome.error else 0)
    return code


def _one(
    where: str,
    task: IdTask,
    networks: Networks,
    behind: Picture,
    target: Path,
    keep: frozenset[Path],
) -> Outcome:
    """One portrait to its files; an error becomes the outcome."""
    try:
        picture = read_still(where).over(WHITE)
        heads = networks.heads(picture)
        photo = id_photo(
            picture, heads, networks.cut, task.size, behind, number=task.number, force=task.force
        )
        files = encoded_files(photo.picture, task, target)
        write_files(files, next(iter(files)), keep)
    except SettingsError as error:
        return Outcome(where, error=error)
    except (SourceError, SinkError) as error:
        text = str(error)
        kind = type(error)
        return Outcome(where, error=error if where in text else kind(f"{where}: {text}"))
    except BshmError as error:
        return Outcome(where, error=error)
    return IdOutcome(where, tuple(files), photo=photo, size=task.size, bytes=len(files[target]))


def encoded_files(photo: Picture, task: IdTask, target: Path) -> dict[Path, bytes]:
    """The photo, and the sheet beside it. Raises SinkError where the kilobytes cannot be met."""
    size = task.size
    files = {target: encoded(photo, task.kind, size.dpi, size.kb)}
    if task.paper:
        sheet = filled(photo, layout(size.pixels, size.dpi, task.paper))
        beside = target.with_name(f"{target.stem.removesuffix('_id')}_sheet.{task.kind}")
        files[beside] = encoded(sheet, task.kind, size.dpi)
    return files


def in_words(size: PhotoSize) -> str:
    """One line of the list of sizes."""
    wide, tall = size.mm or (None, None)
    mm = f"{wide:g}x{tall:g} mm" if wide else ""
    pixels = f"{size.pixels[0]}x{size.pixels[1]}"
    head = f"head {size.head[0]:.0%}-{size.head[1]:.0%}"
    eyes = f"eyes {size.eyes[0]:.0%}-{size.eyes[1]:.0%}" if size.eyes else ""
    kb = f"{size.kb[0]}-{size.kb[1]} kB" if size.kb else ""
    parts = (
        f"{size.name:13} {size.country:15} {size.document:31} {mm:12} {pixels:>8} {size.dpi} dpi",
        head,
        eyes,
        kb,
        "/".join(size.colours),
        f"[{size.source}, {size.date}]",
    )
    return "  ".join(filter(None, parts))
