"""One picture in; alpha, composite and foreground PNGs out.

    inputs ▸ read ▸ hint ▸ BSHM ▸ composite ▸ write

A picture that fails is reported and the next one is taken.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2

from ..compositing.background import open_background
from ..compositing.compositor import SOLID
from ..errors import BshmError, SettingsError, SinkError
from ..files import real, replacing, why_unwritable
from ..matting.bshm import Bshm
from ..settings import BackgroundSpec
from ..types import Mask8
from .cut import Box, Layers, crop_to_person, cut_out, hint_for, matte_still, read_scribble
from .read import Names, expand, read_still

INSTEAD = "choose another --output_dir"


@dataclass(frozen=True)
class Outcome:
    """What became of one input: its PNGs, or the error.

    `person` is the person's share of the picture, 0 to 1. str() is the line to print.
    """

    source: str
    files: tuple[Path, ...] = ()
    person: float = 0.0
    error: BshmError | None = None

    def __str__(self) -> str:
        if self.error:
            return str(self.error)
        found = f"person {self.person:.0%}" if self.person else "no person found"
        return f"{self.source} ▸ {', '.join(map(str, self.files))} ({found})"


@dataclass(frozen=True)
class Task:
    """What is done with every picture of a run: its PNGs go to `output_dir`.

    `box` or `scribble` (a file, white on black) say where the person is; `stages` adds
    MPN's and QUN's masks; `crop` cuts every file to the person with a little around.
    """

    output_dir: Path
    background: BackgroundSpec | None = None
    box: Box | None = None
    scribble: Path | None = None
    stages: bool = False
    crop: bool = False


def run_image(
    inputs: Sequence[str],
    task: Task,
    wide: Bshm,
    tall: Bshm,
    report: Callable[[Outcome], None] = lambda outcome: None,
) -> int:
    """Cuts out every picture of `inputs` (files, folders, addresses).

    `report` gets each picture's outcome as soon as it is there, failures too.
    Returns the exit code: 0, or that of the first failure. What would fail for
    every picture is raised at once: SettingsError (background, scribble, no
    input) and SinkError (the folder). The caller keeps and closes the networks.
    """
    if not inputs:
        raise SettingsError("image: nothing to cut out; give -i a picture, a folder or a URL")
    if task.box and task.scribble:
        raise SettingsError("--box and --scribble: give one of them")
    if task.background:
        open_background(task.background, (64, 64))
    strokes = read_scribble(task.scribble) if task.scribble else None
    todo = expand(inputs)
    names = Names(where for where, _ in todo)
    cutter = Cutter(wide, tall, task, ready(task.output_dir), names, strokes)
    code = 0
    for where, error in todo:
        outcome = Outcome(where, error=error) if error else cutter(where)
        report(outcome)
        code = code or (outcome.error.exit_code if outcome.error else 0)
    return code


@dataclass(frozen=True)
class Cutter:
    """What all pictures of a run have in common; called, it takes one from its place to PNGs."""

    wide: Bshm
    tall: Bshm
    task: Task
    folder: Path
    names: Names
    strokes: Mask8 | None

    def __call__(self, where: str) -> Outcome:
        """read ▸ hint ▸ BSHM ▸ composite ▸ write; an error becomes the outcome."""
        name = self.names.take(where)
        try:
            still = read_still(where)
            hint = hint_for(still.picture, self.task.box, self.strokes)
            matte = matte_still(self.wide, self.tall, still.picture, hint=hint)
            layers = cut_out(
                still.picture,
                matte,
                self.task.background,
                opacity=still.alpha,
                stages=self.task.stages,
            )
            person = cv2.mean(layers["alpha"])[0] / SOLID
            if self.task.crop:
                layers = crop_to_person(layers)
            files = write_pngs(layers, self.folder, name, keep=self.names.inputs)
        except BshmError as error:
            return Outcome(where, error=error)
        return Outcome(where, files, person)


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
    """Every layer as NAME_role.png: all of them complete, or none. Raises SinkError.

    Files in `keep` are never replaced.
    """
    files = {folder / f"{name}_{role}.png": layer for role, layer in layers.items()}
    for file in files:
        if real(file) in keep:
            raise SinkError(f"{file}: is an input of this run; {INSTEAD}")
    try:
        with replacing(*files) as parts:
            for part, layer in zip(parts, files.values(), strict=True):
                part.write_bytes(cv2.imencode(".png", layer)[1].tobytes())
    except OSError as error:
        raise SinkError(why_unwritable(folder / f"{name}_*.png", error, INSTEAD)) from None
    return tuple(files)
