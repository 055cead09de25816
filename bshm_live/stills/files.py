"""One picture in; alpha, composite and foreground PNGs out.

    item ▸ read ▸ hint ▸ BSHM ▸ composite ▸ write

A picture that fails has an outcome as well, and nothing of it is written.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2

from ..compositing.background import open_background
from ..compositing.compositor import SOLID
from ..compositing.grading import wanted
from ..compositing.touches import open_touches
from ..errors import BshmError, SettingsError, SinkError
from ..files import real, replacing, why_unwritable
from ..settings import BackgroundSpec, Look
from ..types import Mask8, Matting
from .cut import Box, Layers, crop_to_person, cut_out, hint_for, matte_still, read_scribble
from .read import Item, read_still

INSTEAD = "choose another --output_dir"


@dataclass(frozen=True)
class Outcome:
    """What became of one input: its files (addresses in an object store), or the error.

    `person` is the person's share of the picture, 0 to 1; `seconds` is what it took.
    str() is the line to print.
    """

    source: str
    files: tuple[Path | str, ...] = ()
    person: float = 0.0
    error: BshmError | None = None
    seconds: float = 0.0

    def __str__(self) -> str:
        if self.error:
            return str(self.error)
        found = f"person {self.person:.0%}" if self.person else "no person found"
        return f"{self.source} ▸ {', '.join(map(str, self.files))} ({found})"


CUT_OUT = Look(BackgroundSpec("none"))


@dataclass(frozen=True)
class Task:
    """What is done with every picture of a run: its PNGs go to `output_dir`.

    Of the `look` counts what a single picture can have: background, light, match, and what is
    drawn last. `box` or `scribble` (a file, white on black) say where the person is; `stages`
    adds MPN's and QUN's masks; `crop` cuts every file to the person with a little around.
    """

    output_dir: Path
    look: Look = CUT_OUT
    box: Box | None = None
    scribble: Path | None = None
    stages: bool = False
    crop: bool = False


def check_task(task: Task) -> Mask8 | None:
    """What would fail for every picture. Raises SettingsError, and SinkError for the folder.

    Returns the scribble's strokes (h, w).
    """
    if task.box and task.scribble:
        raise SettingsError("--box and --scribble: give one of them")
    look, kind = task.look, task.look.background.kind
    if kind == "none" and (look.vignette or look.border or look.overlay):
        raise SettingsError(
            "--vignette, --border and --overlay are drawn over a background: give --bg"
        )
    open_background(look.background, (64, 64))
    strokes = read_scribble(task.scribble) if task.scribble else None
    ready(task.output_dir)
    return strokes


@dataclass(frozen=True)
class Cutter:
    """What all pictures of a run have in common; called, it takes one from its place to PNGs.

    Files in `inputs` are never replaced. The caller keeps and closes the networks.
    """

    wide: Matting
    tall: Matting
    task: Task
    inputs: frozenset[Path] = frozenset()
    strokes: Mask8 | None = None

    def __call__(self, item: Item) -> Outcome:
        """read ▸ hint ▸ BSHM ▸ composite ▸ write; an error becomes the outcome."""
        look = self.task.look
        try:
            still = read_still(item.where)
            hint = hint_for(still.picture, self.task.box, self.strokes)
            matte = matte_still(self.wide, self.tall, still.picture, hint=hint)
            layers = cut_out(
                still.picture,
                matte,
                self.task.look.background,
                opacity=still.alpha,
                stages=self.task.stages,
                wanted=wanted(look.light, look.match, look.background),
            )
            person = cv2.mean(layers["alpha"])[0] / SOLID
            if self.task.crop:
                layers = crop_to_person(layers)
            over = layers["composite"]
            if touches := open_touches(look, (over.shape[1], over.shape[0])):
                touches(over)
            files = write_pngs(layers, self.task.output_dir, item.name, keep=self.inputs)
        except BshmError as error:
            return Outcome(item.where, error=error)
        return Outcome(item.where, files, person)


def ready(output_dir: Path) -> Path:
    """The folder, made where it is missing. Raises SinkError unless it can be written to."""
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=output_dir):
            return output_dir
    except OSError as error:
        raise SinkError(why_unwritable(output_dir, error, INSTEAD)) from None


def write_pngs(
    layers: Layers, folder: Path, name: str, keep: frozenset[Path] = frozenset()
) -> tuple[Path, ...]:
    """Every layer as NAME_role.png: see `write_files`."""
    files = {
        folder / f"{name}_{role}.png": cv2.imencode(".png", layer)[1].tobytes()
        for role, layer in layers.items()
    }
    return write_files(files, folder / f"{name}_*.png", keep)


def write_files(
    files: Mapping[Path, bytes], shown: Path, keep: frozenset[Path] = frozenset()
) -> tuple[Path, ...]:
    """All of them complete, or none. Raises SinkError, which says `shown` for all of them.

    Files in `keep` are never replaced.
    """
    for file in files:
        if real(file) in keep:
            raise SinkError(f"{file}: is an input of this run; {INSTEAD}")
    try:
        with replacing(*files) as parts:
            for part, content in zip(parts, files.values(), strict=True):
                part.write_bytes(content)
    except OSError as error:
        raise SinkError(why_unwritable(shown, error, INSTEAD)) from None
    return tuple(files)
