"""One picture in; alpha, composite and foreground PNGs out.

    inputs ▸ read ▸ hint ▸ BSHM ▸ composite ▸ write

A picture that fails is reported and the next one is taken.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ..compositing.background import open_background, plain
from ..compositing.compositor import SOLID, Compositor
from ..errors import BshmError, SettingsError, SinkError, SourceError
from ..matting.bshm import Bshm
from ..matting.tiles import refine_tiles
from ..settings import BackgroundSpec
from ..types import Alpha, Frame, Mask8, Matte, Picture, Size
from .read import Names, decode, expand, read_bytes, read_still

HINT_LONGEST = 256  # pixels: about the networks' low size
STROKE_GAIN = 4.0  # a stroke that covers a quarter of a hint's pixel counts in full
ASPECT_SLACK = 0.01  # a scribble's aspect may differ by this share: sizes are rounded

Box = tuple[int, int, int, int]
Layers = Mapping[str, NDArray[np.uint8]]


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


def run_image(
    inputs: Sequence[str],
    output_dir: Path,
    wide: Bshm,
    tall: Bshm,
    *,
    background: BackgroundSpec | None = None,
    box: Box | None = None,
    scribble: Path | None = None,
    stages: bool = False,
    report: Callable[[Outcome], None] = lambda outcome: None,
) -> int:
    """Cuts out every picture of `inputs` (files, folders, addresses) into `output_dir`.

    `report` gets each picture's outcome as soon as it is there, failures too.
    Returns the exit code: 0, or that of the first failure. What would fail for
    every picture is raised at once: SettingsError (background, scribble, no
    input) and SinkError (`output_dir`). The caller keeps and closes the networks.
    """
    if not inputs:
        raise SettingsError("image: nothing to cut out; give -i a picture, a folder or a URL")
    if box and scribble:
        raise SettingsError("--box and --scribble: give one of them")
    if background:
        open_background(background, (64, 64))
    strokes = read_scribble(scribble) if scribble else None
    todo = expand(inputs)
    names = Names(where for where, _ in todo)
    folder = ready(output_dir)
    cutter = Cutter(wide, tall, folder, names, background, box, strokes, stages)
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
    folder: Path
    names: Names
    background: BackgroundSpec | None
    box: Box | None
    strokes: Mask8 | None
    stages: bool

    def __call__(self, where: str) -> Outcome:
        """read ▸ hint ▸ BSHM ▸ composite ▸ write; an error becomes the outcome."""
        name = self.names.take(where)
        try:
            picture = read_still(where)
            hint = hint_for(picture, self.box, self.strokes)
            matte = matte_still(self.wide, self.tall, picture, hint=hint)
            layers = cut_out(picture, matte, self.background, stages=self.stages)
            files = write_pngs(layers, self.folder, name, keep=self.names.inputs)
        except BshmError as error:
            return Outcome(where, error=error)
        return Outcome(where, files, cv2.mean(layers["alpha"])[0] / SOLID)


def matte_still(wide: Bshm, tall: Bshm, picture: Picture, *, hint: Alpha | None = None) -> Matte:
    """Matte of one BGR picture (H, W, 3), by the networks of its orientation.

    Of a picture clearly larger than their size, alpha, guide and residual are larger too.
    `hint` (any size, [0, 1]) covers the picture: 1 says person. Raises EngineError.
    """
    height, width = picture.shape[:2]
    networks = tall if height > width else wide
    return refine_tiles(networks, picture, networks.matte(picture, hint))


def cut_out(
    picture: Picture,
    matte: Matte,
    background: BackgroundSpec | None = None,
    *,
    stages: bool = False,
) -> Layers:
    """What is written of one picture, by role; every array has the picture's size.

    alpha (H, W); composite BGR over `background`, or BGRA (straight alpha)
    without one; foreground BGR, black outside; with `stages` coarse and unified
    (H, W). All uint8, [0, 255]. Raises SettingsError for the background.
    """
    size: Size = (picture.shape[1], picture.shape[0])
    if background is None or background.kind == "none":
        _, alpha, front = Compositor(size)(picture, matte, plain((0, 0, 0), size), foreground=True)
        assert front is not None
        over = cv2.merge([*cv2.split(front), alpha])
    else:
        behind = open_background(background, size)(Frame(picture, 0, 0.0), matte)
        over, alpha, front = Compositor(size)(picture, matte, behind, foreground=True)
        assert front is not None
    layers = {"alpha": alpha, "composite": over, "foreground": front}
    if stages:
        layers |= {"coarse": enlarged(matte.coarse, size), "unified": enlarged(matte.unified, size)}
    return layers


def enlarged(mask: Alpha, size: Size) -> Mask8:
    """A mask in [0, 1] as uint8 of `size` (width, height)."""
    levels = cv2.convertScaleAbs(np.clip(mask, 0, 1), alpha=SOLID)
    return cv2.resize(levels, size, interpolation=cv2.INTER_LINEAR)


# --- hints ------------------------------------------------------------------------------------


def parse_box(text: str) -> Box:
    """'x,y,w,h' in pixels, the corner at the upper left. Raises SettingsError."""
    match = re.fullmatch(r"\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*", text)
    if not match or not (int(match[3]) and int(match[4])):
        raise SettingsError(f"--box {text}: write x,y,w,h in pixels, for example 40,0,300,480")
    return int(match[1]), int(match[2]), int(match[3]), int(match[4])


def hint_for(picture: Picture, box: Box | None, strokes: Mask8 | None) -> Alpha | None:
    """MPN's hint (h, w) in [0, 1], small, over the whole picture. Raises SettingsError."""
    height, width = picture.shape[:2]
    if box:
        return box_hint(box, (width, height))
    return None if strokes is None else scribble_hint(strokes, (width, height))


def box_hint(box: Box, size: Size) -> Alpha:
    """1 in the box, 0 around it; `box` in pixels of the picture's `size`."""
    x, y, w, h = box
    width, height = size
    if x + w > width or y + h > height:
        raise SettingsError(
            f"--box {x},{y},{w},{h}: reaches out of the picture, which is {width}x{height}"
        )
    mask = np.zeros((height, width), np.uint8)
    mask[y : y + h, x : x + w] = SOLID
    return shrunk(mask)


def scribble_hint(strokes: Mask8, size: Size) -> Alpha:
    """White strokes (h, w) of the same aspect as `size`; thin ones count in full."""
    height, width = strokes.shape
    if abs(width * size[1] / (height * size[0]) - 1) > ASPECT_SLACK:
        raise SettingsError(
            f"--scribble: {width}x{height} is not the shape of the picture, "
            f"{size[0]}x{size[1]}; draw it on a copy of the picture"
        )
    hint: Alpha = np.minimum(shrunk(strokes) * np.float32(STROKE_GAIN), np.float32(1))
    return hint


def read_scribble(path: Path) -> Mask8:
    """White on black (h, w). Raises SettingsError."""
    try:
        strokes = decode(read_bytes(path.expanduser()), str(path), cv2.IMREAD_GRAYSCALE)
    except SourceError as error:
        raise SettingsError(f"--scribble {error}") from None
    if not strokes.any():
        raise SettingsError(f"--scribble {path}: all black; mark the person in white")
    return strokes


def shrunk(mask: Mask8) -> Alpha:
    """To the hint's size at most, [0, 1]: MPN sees no more, and a float copy stays small."""
    height, width = mask.shape
    scale = min(1.0, HINT_LONGEST / max(width, height))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(mask, size, interpolation=cv2.INTER_AREA)
    return (small * np.float32(1 / SOLID)).astype(np.float32)


# --- outputs ----------------------------------------------------------------------------------


def ready(output_dir: Path) -> Path:
    """The folder, made where it is missing. Raises SinkError unless it can be written to."""
    folder = output_dir.expanduser()
    probe = folder / f".bshm-live-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise SinkError(f"{folder}: {why(error)}") from None
    return folder


def write_pngs(
    layers: Layers, folder: Path, name: str, keep: frozenset[Path] = frozenset()
) -> tuple[Path, ...]:
    """Every layer as NAME_role.png: all of them complete, or none. Raises SinkError.

    Written beside their place and renamed; files in `keep` are never replaced.
    """
    files = {folder / f"{name}_{role}.png": layer for role, layer in layers.items()}
    for file in files:
        if file.resolve() in keep:
            raise SinkError(f"{file}: is an input of this run; choose another --output_dir")
    parts = {file: file.with_name(f".{file.name}.part") for file in files}
    try:
        for file, layer in files.items():
            parts[file].write_bytes(cv2.imencode(".png", layer)[1].tobytes())
        for file, part in parts.items():
            part.replace(file)
    except OSError as error:
        raise SinkError(f"{folder / name}_*.png: {why(error)}") from None
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)
    return tuple(files)


def why(error: OSError) -> str:
    """What failed and what to try."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full; free some space or choose another --output_dir"
    return f"cannot be written ({error.strerror}); choose another --output_dir"
