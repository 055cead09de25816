"""Pictures of people to product pictures: on a plain canvas, or in a scene."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2

from ..compositing.compositor import SOLID
from ..errors import BshmError, SettingsError, SourceError
from ..files import path_of, real, why_unreadable
from ..loop.assemble import still_networks
from ..settings import DIGITS, Networks, brief, parse_colour
from ..sinks.photo import FORMATS, Format, encoded
from ..sources.picture import read_picture
from ..stills.cut import cut_out, matte_still
from ..stills.files import Outcome, ready, write_files
from ..stills.product import Place, in_scene, on_canvas, subject
from ..stills.read import Item, listed, read_still
from ..types import Matting, Picture, Size
from .batch import run_batch, share
from .options import Batch
from .record import options_key
from .workers import Do

SIDE_LEAST, SIDE_MOST = 16, 8192  # pixels of a canvas
MARGIN_MOST = 45.0  # percent: beyond it no room is left
DPI = 72  # what stands in the file: a picture for screens
JOBS_MOST = 50_000_000  # bytes of a list of jobs
YES, NO = ("1", "yes", "true", "on"), ("", "0", "no", "false", "off")


@dataclass(frozen=True)
class Product:
    """What is made of one picture: a canvas, or with `scene` the scene with the person in it.

    `canvas` is (width, height), `colour` (B, G, R), `margin` a share of each side; `kb` the
    most kilobytes of a JPEG.
    """

    canvas: Size = (800, 800)
    colour: tuple[int, int, int] = (255, 255, 255)
    margin: float = 0.03
    scene: Path | None = None
    place: Place | None = None
    shadow: bool = False
    match: bool = False
    kind: Format = "jpg"
    kb: int | None = None


# --- words ▸ a product ------------------------------------------------------------------------


def product_of(words: Mapping[str, str], base: Product | None = None) -> Product:
    """What was asked for, word by word; what is not in `words` is as in `base`.

    Raises SettingsError for a word; `whole` looks at all of them together.
    """
    unknown = set(words) - set(PARSE)
    if unknown:
        raise SettingsError(f"{brief(min(unknown))}: unknown; there are {', '.join(PARSE)}")
    fields = {PARSE[word][0]: PARSE[word][1](text) for word, text in words.items()}
    return replace(base or Product(), **fields)


def whole(made: Product) -> Product:
    """The same, once it makes sense. Raises SettingsError."""
    if made.scene is not None and made.place is None:
        raise SettingsError("--scene needs --place x,y,h: where the feet are, and how tall")
    if made.scene is None and (made.place or made.shadow or made.match):
        raise SettingsError("--place, --shadow and --match belong to a scene: give --scene")
    return made


def parse_canvas(text: str) -> Size:
    match = re.fullmatch(rf"(\d{{1,{DIGITS}}})[xX](\d{{1,{DIGITS}}})", text.strip(), re.ASCII)
    sides = (int(match[1]), int(match[2])) if match else (0, 0)
    if not all(SIDE_LEAST <= side <= SIDE_MOST for side in sides):
        raise SettingsError(
            f"--canvas {brief(text)}: write WIDTHxHEIGHT, each {SIDE_LEAST} to {SIDE_MOST}"
        )
    return sides


def parse_paint(text: str) -> tuple[int, int, int]:
    try:
        return parse_colour(text)
    except SettingsError:
        raise SettingsError(
            f"--bg {brief(text)}: not a colour; give #rrggbb or a CSS name such as white"
        ) from None


def parse_margin(text: str) -> float:
    match = re.fullmatch(r"(\d{1,2}(?:\.\d{1,3})?)\s*%?", text.strip(), re.ASCII)
    if not match or float(match[1]) > MARGIN_MOST:
        raise SettingsError(f"--margin {brief(text)}: write 0% to {MARGIN_MOST:.0f}%")
    return float(match[1]) / 100


def parse_place(text: str) -> Place:
    number = r"\s*(-?\d{1,5})\s*"
    match = re.fullmatch(",".join([number] * 3), text, re.ASCII)
    if not match or int(match[3]) < 1:
        raise SettingsError(
            f"--place {brief(text)}: write x,y,h in pixels of the scene: where the feet are, and "
            "how tall the person is, for example 900,1400,1100"
        )
    return int(match[1]), int(match[2]), int(match[3])


def parse_scene(text: str) -> Path:
    path = path_of(text)
    if why := why_unreadable(path):
        raise SettingsError(f"--scene {why}")
    return path


def parse_most(text: str) -> int:
    match = re.fullmatch(r"[1-9]\d{0,5}", text.strip(), re.ASCII)
    if not match:
        raise SettingsError(f"--kb {brief(text)}: write the most kilobytes, for example 500")
    return int(match[0])


def parse_kind(text: str) -> Format:
    for kind in FORMATS:
        if text == kind:
            return kind
    raise SettingsError(f"--format {brief(text)}: {' or '.join(FORMATS)}")


def parse_yes(text: str) -> bool:
    if text.lower() not in YES + NO:
        raise SettingsError(f"{brief(text)}: write yes or no")
    return text.lower() in YES


# Word: the field of a Product, and what reads it
PARSE: dict[str, tuple[str, Callable[[str], Any]]] = {
    "canvas": ("canvas", parse_canvas),
    "bg": ("colour", parse_paint),
    "margin": ("margin", parse_margin),
    "scene": ("scene", parse_scene),
    "place": ("place", parse_place),
    "shadow": ("shadow", parse_yes),
    "match": ("match", parse_yes),
    "format": ("kind", parse_kind),
    "kb": ("kb", parse_most),
}


# --- a list of jobs ---------------------------------------------------------------------------


def read_jobs(path: Path, base: Product) -> list[tuple[str, Product]]:
    """The input and the product of each line of a CSV or JSON file. Raises SettingsError.

    A line has `input` and any words of PARSE; an empty one is as in `base`.
    """
    jobs = []
    for number, line in enumerate(_lines(path), 1):
        words = {key: _text(value) for key, value in line.items() if value not in (None, "")}
        given = words.pop("input", "")
        if not given:
            raise SettingsError(f"--jobs {path}: job {number} has no input")
        try:
            jobs.append((given, whole(product_of(words, base))))
        except SettingsError as error:
            raise SettingsError(f"--jobs {path}: job {number}: {error}") from None
    if not jobs:
        raise SettingsError(f"--jobs {path}: no jobs in it")
    return jobs


def _lines(path: Path) -> list[dict[str, Any]]:
    if why := why_unreadable(path):
        raise SettingsError(f"--jobs {why}")
    try:
        with path.open("rb") as file:
            text = file.read(JOBS_MOST).decode("utf-8-sig", "surrogateescape")
        if not text.lstrip().startswith(("[", "{")):
            return [dict(line) for line in csv.DictReader(text.splitlines(), restkey="")]
        lines = json.loads(text)
        if isinstance(lines, list) and all(isinstance(line, dict) for line in lines):
            return lines
    except (OSError, ValueError, RecursionError, csv.Error) as error:
        raise SettingsError(f"--jobs {path}: cannot be read ({error}); save it again") from None
    raise SettingsError(f"--jobs {path}: a JSON list of objects, please, each with an input")


def _text(value: Any) -> str:
    """JSON's numbers, lists and truths as the command line has them."""
    if isinstance(value, list):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


# --- a product ▸ a file -----------------------------------------------------------------------


@dataclass(frozen=True)
class Maker:
    """Takes one picture from its place to a file; an error becomes the outcome."""

    wide: Matting
    tall: Matting
    products: Mapping[str, Product]  # by NAME
    folder: Path
    inputs: frozenset[Path]

    def __call__(self, item: Item) -> Outcome:
        product = self.products[item.name]
        file = self.folder / f"{item.name}_product.{product.kind}"
        try:
            picture, person = self._made(item, product)
            limits = None if product.kb is None else (0, product.kb)
            content = encoded(picture, product.kind, DPI, limits)
            files = write_files({file: content}, file, self.inputs)
        except BshmError as error:
            named = error if item.where in str(error) else type(error)(f"{item.where}: {error}")
            return Outcome(item.where, error=named)
        return Outcome(item.where, files, person)

    def _made(self, item: Item, product: Product) -> tuple[Picture, float]:
        """The picture, and the person's share of the input."""
        still = read_still(item.where)
        matte = matte_still(self.wide, self.tall, still.picture)
        layers = cut_out(still.picture, matte, opacity=still.alpha)
        front, found = layers["foreground"], subject(layers["alpha"])
        if found is None:
            raise SourceError(f"{item.where}: no person found; take another picture")
        alpha, box = found
        person = cv2.mean(alpha)[0] / SOLID
        if product.scene is None or product.place is None:
            made = on_canvas(front, alpha, box, product.canvas, product.colour, product.margin)
            return made, person
        scene = read_picture(product.scene).over(SOLID)
        shadow, match = product.shadow, product.match
        return in_scene(front, alpha, box, scene, product.place, shadow=shadow, match=match), person


@dataclass(frozen=True)
class Making:
    """What `product` does with every picture; see workers.Work."""

    products: Mapping[str, Product]
    folder: Path
    networks: Networks
    inputs: frozenset[Path]
    unit = "pictures"

    def open(self, stack: ExitStack) -> tuple[str, Do]:
        runtime, wide, tall = still_networks(self.networks, stack)
        maker = Maker(wide, tall, self.products, self.folder, self.inputs)
        return runtime.description, maker

    def key(self, item: Item) -> str:
        product = self.products[item.name]
        return options_key(self.networks, product, files=[product.scene])


def run_products(
    inputs: Sequence[str],
    jobs: Path | None,
    words: Mapping[str, str],
    folder: Path,
    networks: Networks,
    batch: Batch,
) -> int:
    """Makes a picture of every input, or of every line of `jobs`.

    Returns the exit code: 0, or that of the first picture that failed.
    """
    if bool(inputs) == bool(jobs):
        raise SettingsError("product: give -i pictures, or --jobs with a list of them")
    if jobs is None:
        items, files = listed(inputs)
        products = dict.fromkeys((item.name for item in items), whole(product_of(words)))
    else:
        listing = read_jobs(jobs, product_of(words))
        items, files = listed([where for where, _ in listing])
        if len(items) != len(listing):
            raise SettingsError(f"--jobs {jobs}: a folder is no input of a job; name its pictures")
        products = {item.name: made for item, (_, made) in zip(items, listing, strict=True)}
    scenes = {real(made.scene) for made in products.values() if made.scene}
    work = Making(products, ready(folder), share(networks, batch), files | scenes)
    return run_batch(items, work, folder, batch)
