"""Our presets on scenes with drawn hair, held objects and things behind, whose truth is exact.

    python -m tools.evaluate.drawn ../shared/data

People from the photographs put aside, framed as a webcam frames, before rooms that no
network was trained on. What is drawn is drawn as in training, by other dice: strands of
hair; things and arms that belong to the person; chairs, lamps, plants and screens that do
not. What is printed is Markdown.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from bshm_live.compositing.background import cover
from bshm_live.errors import SourceError
from bshm_live.runtimes.choice import get_runtime, load_bshm
from bshm_live.types import Mask8, Picture
from tools.train import hair, objects
from tools.train.drawing import over
from tools.train.framing import around_head, warped
from tools.train.people import Person, heads_of, read_person

from .clips import in_unit, read_still
from .command import add_networks, ended_in_one_line, parser_of
from .networks import THREADS
from .photos import Matter, of_preset, put_aside
from .report import Report

SIZE = (768, 512)  # width, height
SEED = 77
SCENES = 40  # of each kind
KINDS = ("strands", "held", "arms", "behind")
LEAST = 200  # pixels of what is drawn, outside the person, for a scene to count
FRAMED = ("mask", "webcam", "fashion", "flickr")  # sources whose heads are large enough


@dataclass(frozen=True)
class Scene:
    """A picture (H, W, 3) BGR, its alpha (H, W) uint8, and where something was drawn."""

    kind: str
    picture: Picture
    alpha: Mask8
    where: NDArray[np.bool_]


def people(data: Path) -> list[Person]:
    """The photographs put aside that show a head large. Raises SourceError."""
    found = []
    heads = heads_of(data)
    for name in sorted(put_aside(data)):
        known = heads.get(f"people2/{name}.jpg", ())
        if name.split("_")[0] in FRAMED and known:
            paths = (data / "people2" / f"{name}.jpg", data / "alpha2" / f"{name}.png")
            found.append(read_person(*paths, known))
    people = [person for person in found if person is not None]
    if not people:
        raise SourceError(f"{data}: no photographs with faces in people2; give another folder")
    return people


def scenes(data: Path, count: int = SCENES) -> Iterator[Scene]:
    """`count` of each kind, the same at every run. Raises SourceError."""
    rng = np.random.default_rng(SEED)
    persons = people(data)
    rooms = [read_still(path)[..., ::-1] for path in sorted((data / "rooms_eval").glob("*.jpg"))]
    for kind in KINDS:
        made = 0
        while made < count:
            person = persons[int(rng.integers(len(persons)))]
            room, other = (rooms[int(at)] for at in rng.integers(len(rooms), size=2))
            scene = drawn(kind, person, room, other, rng)
            if np.count_nonzero(scene.where) >= LEAST:
                made += 1
                yield scene


def drawn(
    kind: str, person: Person, room: Picture, other: Picture, rng: np.random.Generator
) -> Scene:
    """One scene; `other` is a room whose patterns things are made of."""
    maps = around_head(person, rng, SIZE, SIZE[0] / SIZE[1], original=False)
    _, front, bare = warped(person, maps, SIZE, original=False)
    back, alpha = np.ascontiguousarray(cover(room, SIZE)), bare
    x, top, head = person.heads[0]
    face = tuple(float(v) for v in maps @ np.array([x, top + 0.6 * head, 1]))
    skin = objects.skin_of(front, bare, face, rng)
    if kind == "strands" and (layer := hair.hair(front, bare, rng)):
        front, alpha = over(front, bare, layer)
    elif kind == "held":
        front, alpha = objects.held(front, bare, other, skin, rng)
    elif kind == "arms":
        front, alpha = objects.arm(front, bare, face, skin, rng)
    where = alpha.astype(int) - bare > (12 if kind == "strands" else 127)
    if kind == "behind":
        new = objects.behind(back, bare, other, rng)
        where, back = (new != back).any(2) & (bare < 5), new
    weight = in_unit(alpha)[..., None]
    picture = np.rint(front * weight + back * (1 - weight)).astype(np.uint8)
    return Scene(kind, np.ascontiguousarray(picture[..., ::-1]), alpha, where)


def measured(matter: Matter, made: Sequence[Scene]) -> dict[str, float]:
    """SAD/1e3 of the strands' pixels a scene; the share kept of what is held, removed of the rest.

    The shares are means over scenes of alpha (1 - alpha) where something was drawn.
    """
    values: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for scene in made:
        alpha = cv2.resize(matter(scene.picture), SIZE)[scene.where]
        if scene.kind == "strands":
            value = float(np.abs(alpha - in_unit(scene.alpha)[scene.where]).sum() / 1e3)
        else:
            value = float(alpha.mean())
        values[scene.kind].append(1 - value if scene.kind == "behind" else value)
    return {kind: float(np.mean(found)) for kind, found in values.items() if found}


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    parser = parser_of("tools.evaluate.drawn", __doc__)
    parser.add_argument("data", type=Path, help="folder with people2, alpha2, rooms_eval")
    add_networks(parser)
    parser.add_argument("--scenes", type=int, default=SCENES, help="of each kind")
    return parser.parse_args(words)


def evaluate(args: argparse.Namespace) -> None:
    """All of it. Raises BshmError."""
    report, made = Report(), list(scenes(args.data, args.scenes))
    runtime = get_runtime(args.runtime)
    report.head("network", "strands, SAD", "held kept", "arms kept", "behind removed")
    for preset in args.presets:
        with load_bshm(preset, runtime, threads=THREADS) as bshm:
            found = measured(of_preset(bshm), made)
        shares = (f"{100 * found[kind]:.1f} %" for kind in KINDS[1:])
        report.row(f"**{preset}**", f"{found['strands']:.3f}", *shares)


def main(words: Sequence[str] | None = None) -> None:
    ended_in_one_line(lambda: evaluate(parse(words)))


if __name__ == "__main__":
    main()
