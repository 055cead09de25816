"""Our presets and other networks on varied photographs that were put aside.

    python -m tools.evaluate.photos ../shared/data [--rivals ../shared/data/rivals]

The second set of photographs (`people2`, `alpha2`) names its sources (`mixed_0001.jpg`);
of each source the names whose SHA-256 is lowest are put aside and never trained on. What
is printed is Markdown: intersection over union at 0.5 of one look, as in a call, and of
what `bshm-live image` does, around the ears, by source, and by skin tone, hair, headgear,
glasses and light.
The mattes are a teacher's (Robust Video Matting at 512x512, second pass on the same
picture), which flatters it where it is compared, too.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from bshm_live.errors import SourceError
from bshm_live.matting.bshm import Bshm
from bshm_live.runtimes.choice import get_runtime, load_bshm
from bshm_live.stills.cut import matte_of
from bshm_live.types import Alpha, Picture

from .clips import in_unit, read_still
from .command import add_networks, ended_in_one_line, parser_of
from .groups import Groups, listed
from .networks import THREADS, Rival
from .report import Report

PUT_ASIDE = {"mixed": 100, "mask": 30, "fashion": 30, "flickr": 25, "webcam": 12, "cctv": 3}
LOW_IOU = 0.8  # under it somebody or a good part of somebody is missing, or much is kept

Matter = Callable[[Picture], Alpha]


@dataclass(frozen=True)
class Photo:
    """A photograph (H, W, 3) BGR, its matte (H, W) in [0, 1], and the groups that it is in.

    `ears` are rows and columns around those of the largest face.
    """

    source: str
    picture: Picture
    truth: Alpha
    groups: tuple[str, ...]
    ears: Sequence[tuple[slice, slice]] = ()


class Overlaps(NamedTuple):
    """Intersection over union of each photo, and around each ear."""

    whole: list[float]
    ears: list[float]


def put_aside(data: Path) -> set[str]:
    """The names, without ending, of the photographs of `data/people2` put aside: 200 in all."""
    names = [path.stem for path in (data / "people2").glob("*.jpg")]
    chosen: set[str] = set()
    for source, count in PUT_ASIDE.items():
        own = [name for name in names if name.split("_")[0] == source]
        chosen.update(sorted(own, key=rank)[:count])
    return chosen


def rank(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def read_photos(data: Path) -> list[Photo]:
    """All that were put aside, in order of name. Raises SourceError."""
    names = sorted(put_aside(data))
    if not names:
        raise SourceError(f"{data}: no photographs in people2; give the folder that has it")
    groups, photos = Groups(data), []
    for name in names:
        picture = read_still(data / "people2" / f"{name}.jpg")
        truth = in_unit(read_still(data / "alpha2" / f"{name}.png")[..., 0])
        known = groups.of(name, picture), groups.ears(name, truth.shape)
        photos.append(Photo(name.split("_")[0], picture, truth, *known))
    return photos


def overlap(alpha: Alpha, truth: Alpha) -> float:
    """Intersection over union of what is above a half in both; 1 where nothing is."""
    found, right = alpha > 0.5, truth > 0.5
    either = np.count_nonzero(found | right)
    return np.count_nonzero(found & right) / either if either else 1.0


def overlaps(matter: Matter, photos: Sequence[Photo]) -> Overlaps:
    found = Overlaps([], [])
    for photo in photos:
        height, width = photo.truth.shape
        alpha = cv2.resize(matter(photo.picture), (width, height))
        found.whole.append(overlap(alpha, photo.truth))
        found.ears.extend(overlap(alpha[ear], photo.truth[ear]) for ear in photo.ears)
    return found


def of_preset(bshm: Bshm) -> Matter:
    return lambda picture: bshm.matte(picture).alpha


def of_stills(bshm: Bshm) -> Matter:
    return lambda picture: matte_of(lambda size: bshm, picture).alpha


def of_rival(rival: Rival) -> Matter:
    """From a network without memory of the picture before: each begins anew."""

    def matte(picture: Picture) -> Alpha:
        rival.start((picture.shape[1], picture.shape[0]))
        return rival.alphas(picture, 0)[0]

    return matte


def write_overlaps(report: Report, photos: Sequence[Photo], found: Mapping[str, Overlaps]) -> None:
    """The table by source, and the one by group."""
    counted = {source: sum(p.source == source for p in photos) for source in PUT_ASIDE}
    sources = [source for source, count in counted.items() if count]
    heads = [f"{source} ({counted[source]})" for source in sources]
    ears = f"ears ({sum(len(photo.ears) for photo in photos)})"
    report.head("network", "mean IoU", f"under {LOW_IOU}", ears, *heads)
    for name, (ious, of_ears) in found.items():
        low = sum(iou < LOW_IOU for iou in ious)
        means = [mean_where(ious, [p.source == source for p in photos]) for source in sources]
        around = mean_where(of_ears, [True] * len(of_ears))
        report.row(name, f"{np.mean(ious):.3f}", str(low), around, *means)
    report.line()
    report.head("photographs with", "count", *found)
    for group in listed([photo.groups for photo in photos]):
        where = [group in photo.groups for photo in photos]
        means = [mean_where(ious, where) for ious, _ in found.values()]
        report.row(group, str(sum(where)), *means)
    report.line()


def mean_where(values: Sequence[float], where: Sequence[bool]) -> str:
    chosen = [value for value, use in zip(values, where, strict=True) if use]
    return f"{np.mean(chosen):.3f}" if chosen else "-"


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    parser = parser_of("tools.evaluate.photos", __doc__)
    parser.add_argument("data", type=Path, help="folder with people2, alpha2, faces.json")
    parser.add_argument("--rivals", type=Path, help="folder of ONNX networks to compare with")
    add_networks(parser)
    parser.add_argument("--out", type=Path, metavar="FILE.md", help="the report as a file, too")
    return parser.parse_args(words)


def evaluate(args: argparse.Namespace) -> None:
    """All of it. Raises BshmError."""
    photos = read_photos(args.data)
    runtime = get_runtime(args.runtime)
    found = {}
    for preset in args.presets:
        with load_bshm(preset, runtime, threads=THREADS) as bshm:
            found[f"**{preset}**"] = overlaps(of_preset(bshm), photos)
            found[f"{preset}, as `image` looks"] = overlaps(of_stills(bshm), photos)
    for path in sorted(args.rivals.glob("*.onnx")) if args.rivals else ():
        rival = Rival(path)
        found[rival.rows[0]] = overlaps(of_rival(rival), photos)
    report = Report()
    write_overlaps(report, photos, found)
    report.save(args.out)


def main(words: Sequence[str] | None = None) -> None:
    ended_in_one_line(lambda: evaluate(parse(words)))


if __name__ == "__main__":
    main()
