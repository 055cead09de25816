"""One portrait in; an ID photo and a sheet of it out.

    item ▸ read ▸ heads ▸ photo ▸ sheet ▸ write

A picture that will not do has an outcome with the reason, and nothing of it is written.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..compositing.background import plain
from ..errors import BshmError, SinkError, SourceError
from ..matting.head import HeadFinder
from ..sinks.photo import Format, encoded
from ..types import Matting, Picture, Size
from .cut import Layers, cut_out, matte_still
from .files import Outcome, ready, write_files
from .id_photo import id_photo
from .read import Item, read_still
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
class IdOutcome(Outcome):
    """What became of one portrait, with what was measured in its photo of `bytes` bytes.

    `head` and `eyes` are millimetres: crown to chin, and the eyes' line above the lower edge.
    """

    size: PhotoSize | None = None
    head: float = 0.0
    eyes: float = 0.0
    faults: tuple[str, ...] = ()
    bytes: int = 0

    def __str__(self) -> str:
        if self.size is None:
            return super().__str__()
        (wide, tall), files = self.size.pixels, ", ".join(map(str, self.files))
        line = (
            f"{self.source} ▸ {files} ({wide}x{tall}, {self.size.dpi} dpi, "
            f"{self.bytes / 1000:.0f} kB, head {self.head:.1f} mm, "
            f"eyes {self.eyes:.1f} mm above the edge)"
        )
        return "; ".join([line, *self.faults])


def backdrop(text: str, size: Size) -> Picture:
    """One colour, or one that fades to white below; (h, w, 3) BGR. Raises SettingsError."""
    word, _, name = text.partition(":")
    if word != GRADIENT:
        return plain(colour_of(text), size)
    colour = np.array(colour_of(name or "blue"), np.float32)
    way = np.linspace(0, FADED, size[1], dtype=np.float32)[:, None, None]
    rows = colour * (1 - way) + WHITE * way
    return np.rint(np.broadcast_to(rows, (size[1], size[0], 3))).astype(np.uint8)


def check_id(task: IdTask) -> None:
    """What would fail for every portrait. Raises SettingsError, and SinkError for the folder."""
    backdrop_of(task)
    if task.paper:
        layout(task.size.pixels, task.size.dpi, task.paper)
    ready(task.output_dir)


def backdrop_of(task: IdTask) -> Picture:
    return backdrop(task.background or task.size.colours[0], task.size.pixels)


@dataclass(frozen=True)
class Photographer:
    """What all portraits of a run have in common; called, it takes one from its place to files.

    `wide` and `tall` are the networks for pictures in landscape and in portrait format. Files
    in `inputs` are never replaced. The caller keeps and closes the networks.
    """

    wide: Matting
    tall: Matting
    heads: HeadFinder
    task: IdTask
    inputs: frozenset[Path] = frozenset()

    def __call__(self, item: Item) -> Outcome:
        """An error becomes the outcome."""
        try:
            return self._made(item)
        except (SourceError, SinkError) as error:
            named = error if item.where in str(error) else type(error)(f"{item.where}: {error}")
            return Outcome(item.where, error=named)
        except BshmError as error:
            return Outcome(item.where, error=error)

    def _made(self, item: Item) -> IdOutcome:
        task = self.task
        picture = read_still(item.where).over(WHITE)
        photo = id_photo(
            picture,
            self.heads(picture),
            self._cut,
            task.size,
            backdrop_of(task),
            number=task.number,
            force=task.force,
        )
        target = task.output_dir / f"{item.name}_id.{task.kind}"
        files = encoded_files(photo.picture, task, target)
        write_files(files, target, self.inputs)
        high = task.size.printed[1]
        return IdOutcome(
            item.where,
            tuple(files),
            photo.person,
            size=task.size,
            head=photo.head * high,
            eyes=photo.eyes * high,
            faults=photo.faults,
            bytes=len(files[target]),
        )

    def _cut(self, picture: Picture) -> Layers:
        return cut_out(picture, matte_still(self.wide, self.tall, picture))


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
