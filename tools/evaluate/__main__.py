"""The command: reads the clips, measures, prints."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from bshm_live.errors import SettingsError
from bshm_live.matting.bshm import Bshm
from bshm_live.runtimes.choice import get_runtime, load_bshm
from bshm_live.types import Alpha

from . import __doc__ as about
from .clips import Clip, read_clips, read_still
from .command import add_networks, ended_in_one_line, parser_of
from .foreground import colour_errors, composites, has_pymatting
from .metrics import Scores
from .networks import THREADS, Network, Ours, Rival, median_times, other_work
from .pictures import shown, write_sheet
from .report import Report, network_cells, networks_head, write_colours

ROUNDS = 40
COMPOSITES = 40

Kept = dict[str, dict[str, dict[int, Alpha]]]  # clip, network, frame number: what the sheets show


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    """The command line. Folders that are not given are looked for beside the clips."""
    parser = parser_of("tools.evaluate", about)
    parser.add_argument("folder", type=Path, help="clips: NAME.mp4 with NAME_alpha.mkv")
    parser.add_argument(
        "--rivals",
        type=Path,
        help="folder of ONNX networks to compare with (default: DATA/rivals where it is there)",
    )
    parser.add_argument("--no-rivals", action="store_true", help="our presets alone")
    parser.add_argument(
        "--data",
        type=Path,
        help="folder with people, alpha and rooms_eval (default: ../data from the clips)",
    )
    add_networks(parser)
    parser.add_argument("--precision", default="f32", choices=("f32", "int8"))
    parser.add_argument("--reuse", action="store_true", help="as live: see matting/unmoved.py")
    parser.add_argument("--clips", type=count, metavar="N", help="the first N clips alone")
    parser.add_argument("--frames", type=count, metavar="N", help="the first N frames of each")
    parser.add_argument("--rounds", type=count, default=ROUNDS, help="of the timing; 0 for none")
    parser.add_argument("--composites", type=count, default=COMPOSITES, help="for the foreground")
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="a PNG of every clip")
    parser.add_argument("--out", type=Path, metavar="FILE.md", help="the report as a file, too")
    args = parser.parse_args(words)
    args.data = args.data or args.folder.resolve().parent / "data"
    if args.rivals and not args.rivals.is_dir():
        raise SettingsError(f"--rivals {args.rivals}: no such folder; check the path")
    args.rivals = None if args.no_rivals else args.rivals or args.data / "rivals"
    return args


def count(text: str) -> int:
    """For argparse, whose message names the function: a number of things."""
    number = int(text)
    if number < 0:
        raise ValueError(text)
    return number


def compare(network: Network, clips: Sequence[Clip], kept: Kept | None) -> dict[str, Scores]:
    """Row to the network's errors on all clips; `kept` takes its whole chain's mattes."""
    scores = {row: Scores() for row in network.rows}
    for clip in clips:
        height, width = clip.truth[0].shape
        network.start((width, height))
        for one in scores.values():
            one.start(clip.name)
        for number, frame in enumerate(clip.frames):
            alphas = network.alphas(frame, number)
            for one, alpha in zip(scores.values(), alphas, strict=True):
                one.add(alpha, clip.truth[number])
            if kept is not None and number in shown(clip):
                mattes = kept.setdefault(clip.name, {})
                mattes.setdefault(network.rows[-1].replace("*", ""), {})[number] = alphas[-1]
    return scores


def write_networks(
    report: Report, networks: Sequence[Network], clips: Sequence[Clip], rounds: int
) -> Kept:
    """The table of all networks: times first, on the first clip's middle frame."""
    busy = other_work() if rounds else None
    times = median_times(networks, clips[0].frames[len(clips[0].frames) // 2], rounds)
    report.head(*networks_head([clip.name for clip in clips]))
    kept: Kept = {}
    for network in networks:
        for row, scores in compare(network, clips, kept).items():
            report.row(*network_cells(row, scores, times))
    report.line()
    report.line(
        "MAD, MSE x1e3; Grad, Conn /1e3; dtSSD x1e2. Times: the networks alone, "
        f"{THREADS} threads, median of {rounds} rounds in which they took turns."
    )
    if busy:
        report.line(busy)
    report.line()
    return kept


def write_foreground(report: Report, data: Path, presets: Mapping[str, Bshm], number: int) -> None:
    """The table of foreground colour, or why there is none."""
    if not all((data / name).is_dir() for name in ("people", "alpha", "rooms_eval")):
        report.line(f"Foreground: left out, no people, alpha and rooms_eval in {data.name}/.")
    elif not number:
        report.line("Foreground: left out, no composites asked for.")
    else:
        truth = "pymatting's, of the photograph"
        if not has_pymatting():
            truth = "blur fusion's, of the photograph"
            report.line("pymatting is not installed: left out.")
            report.line()
        write_colours(report, colour_errors(composites(data, number), presets), truth)
    report.line()


def write_empty_rooms(report: Report, data: Path, presets: Mapping[str, Bshm]) -> None:
    """What each preset keeps of rooms without a person."""
    rooms = [read_still(path) for path in sorted((data / "rooms_eval").glob("*.jpg"))]
    if not rooms:
        report.line(f"No person: left out, no rooms_eval in {data.name}/.")
    for preset, bshm in presets.items() if rooms else ():
        alphas = [bshm.matte(room).alpha for room in rooms]
        means = [float(alpha.mean()) for alpha in alphas]
        highest = max(float(alpha.max()) for alpha in alphas)
        report.line(
            f"- No person, {preset}: {len(rooms)} rooms, mean alpha "
            f"{100 * sum(means) / len(means):.2f} %, at most {100 * max(means):.2f} % in one room; "
            f"highest pixel {100 * highest:.0f} %"
        )


def evaluate(args: argparse.Namespace) -> None:
    """All of it. Raises BshmError."""
    clips = read_clips(args.folder, args.clips, args.frames)
    runtime = get_runtime(args.runtime)
    int8 = args.precision == "int8"
    presets = {p: load_bshm(p, runtime, threads=THREADS, int8=int8) for p in args.presets}
    networks: list[Network] = [
        Ours(preset, bshm, reuse=args.reuse) for preset, bshm in presets.items()
    ]
    if args.rivals:
        networks += [Rival(path) for path in sorted(args.rivals.glob("*.onnx"))]
    report = Report()
    kept = write_networks(report, networks, clips, args.rounds)
    write_foreground(report, args.data, presets, args.composites)
    write_empty_rooms(report, args.data, presets)
    if args.pictures:
        for clip in clips:
            write_sheet(args.pictures / f"{clip.name}.png", clip, kept[clip.name])
    report.save(args.out)


def main(words: Sequence[str] | None = None) -> None:
    ended_in_one_line(lambda: evaluate(parse(words)))


if __name__ == "__main__":
    main()
