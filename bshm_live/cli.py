"""The command line: words ▸ settings ▸ a command ▸ one line and an exit code."""

from __future__ import annotations

import argparse
import errno
import sys
from collections.abc import Sequence
from dataclasses import replace

from .commands.missing import told
from .commands.options import (
    batch_of,
    files_of,
    live_of,
    look_of,
    networks_of,
    optional_path,
    output_folder,
    size_of,
)
from .commands.parser import build_parser
from .console import escape_what_cannot_be_shown, finish_output, printable, say, show_log
from .control.config import read_config
from .errors import BshmError, SettingsError, SinkError
from .files import path_of
from .settings import (
    check_frames,
    check_outputs,
    check_quality,
    parse_background,
)

INTERRUPTED = 130  # 128 + SIGINT, as shells have it


def _service_live(args: argparse.Namespace) -> None:
    """The service's options through the main command's parser: what is wrong is refused now."""
    words = [word for place, word in enumerate(args.options) if place or word != "--"]
    if args.action == "install":
        args.live = build_parser().parse_args(["live", *words])
        args.live.on_demand = True
        args.live_defaults = build_parser().parse_args(["live", "--bg", ""])
    elif words:
        build_parser().error(f"service remove takes no options: {' '.join(words)}")


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """argv without the program's name; without a command it means `live`."""
    words = list(argv)
    plain = {"-h", "--help", "--version"}
    if words and words[0] not in plain and words[0] not in RUN:
        words.insert(0, "live")
    args = build_parser().parse_args(words or ["--help"])
    if args.command == "live":
        defaults = read_config().words(words[1:])
        args = build_parser().parse_args(["live", *defaults, *words[1:]])
    elif args.command == "service":
        _service_live(args)
    return args


# --- settings ▸ a command ---------------------------------------------------------------------
# What a command needs is imported when it runs: --help answers at once.


def live(args: argparse.Namespace) -> int:
    from .commands.live import run_live

    look, where = look_of(args), live_of(args)
    check_outputs(map(path_of, where.sinks), (path_of(where.source), *files_of(look)))
    run_live(look, networks_of(args), where)
    return 0


def control(args: argparse.Namespace) -> int:
    """The words to a program that runs."""
    from .commands import control as to

    if args.command == "set":
        to.run_set(args.words, args.name)
    elif args.command == "status":
        to.run_status(args.name, as_json=args.json)
    elif args.command == "open":
        to.run_open(args.name)
    else:
        to.run_scenes()
    return 0


def video(args: argparse.Namespace) -> int:
    from .commands.video import Outputs, run_video

    if args.input:
        return _films(args)
    if not (args.film and args.output):
        raise SettingsError("video: give IN -o OUT, or many: -i IN ... -d DIR")
    look, given = look_of(args), path_of(args.film)
    layers = optional_path(args.alpha), optional_path(args.foreground)
    outputs = Outputs(path_of(args.output), *layers)
    if args.quality is not None:
        outputs = replace(outputs, quality=check_quality(args.quality))
    check_outputs(filter(None, (outputs.composite, *layers)), (given, *files_of(look)))
    run_video(given, outputs, look, networks_of(args))
    return 0


def _films(args: argparse.Namespace) -> int:
    from .commands.films import run_films
    from .sinks.codecs import QUALITY

    if args.film or args.output or args.alpha or args.foreground or not args.output_dir:
        raise SettingsError("video: -i IN ... goes with -d DIR; -o, --alpha, --foreground do not")
    look = look_of(args)
    kind = args.format or ("mov" if look.background.kind == "none" else "mp4")
    quality = QUALITY if args.quality is None else check_quality(args.quality)
    folder, networks = output_folder(args.output_dir), networks_of(args)
    return run_films(args.input, folder, kind, quality, look, networks, batch_of(args))


def demo(args: argparse.Namespace) -> int:
    from .commands.video import run_demo

    spec = parse_background(args.bg) if args.bg else None
    output = path_of(args.output)
    check_outputs((output,), (spec.path if spec else None,))
    run_demo(output, spec, args.bg or "a studio", networks_of(args))
    return 0


def image(args: argparse.Namespace) -> int:
    from .commands.stills import run_stills
    from .stills.cut import parse_box
    from .stills.files import Task

    task = Task(
        output_dir=output_folder(args.output_dir),
        look=look_of(args, "none"),
        box=parse_box(args.box) if args.box else None,
        scribble=optional_path(args.scribble),
        stages=args.stages,
        crop=args.crop_to_person,
    )
    return run_stills(args.input, task, networks_of(args), batch_of(args))


def product(args: argparse.Namespace) -> int:
    from .commands.product import PARSE, run_products

    given = {word: getattr(args, word) for word in PARSE}
    # A flag says yes; without one a list of jobs may still say it.
    words = {word: str(value) for word, value in given.items() if value not in (None, False)}
    folder, networks = output_folder(args.output_dir), networks_of(args)
    return run_products(
        args.input or (), optional_path(args.jobs), words, folder, networks, batch_of(args)
    )


def id_(args: argparse.Namespace) -> int:
    from .commands.id import list_sizes, run_portraits, task_of

    if args.list:
        list_sizes()
        return 0
    words = {"background": args.bg, "paper": args.sheet, "kind": args.format, "number": args.head}
    folder = output_folder(args.output_dir)
    task = task_of(folder, args.size, dpi=args.dpi, kb=args.kb, force=args.force, **words)
    return run_portraits(args.input or (), task, networks_of(args), batch_of(args))


def bench(args: argparse.Namespace) -> int:
    from .commands.bench import run_bench

    look, size = look_of(args), size_of(args)
    count = check_frames(args.frames)
    return run_bench(networks_of(args), look, size, count, as_json=args.json, live=args.live)


def machine(args: argparse.Namespace) -> int:
    """What is on this machine, and the virtual camera's setup."""
    from .commands import machine as this

    if args.command == "devices":
        return this.list_devices()
    if args.command == "doctor":
        return this.run_doctor()
    return this.run_setup(apply=args.apply, undo=args.undo, hide_camera=args.hide_camera)


def service(args: argparse.Namespace) -> int:
    from .commands.machine import install_service, remove_service

    if args.action == "remove":
        remove_service()
        return 0
    # A wrong one is refused now, not at the next login.
    look_of(args.live), live_of(args.live), networks_of(args.live)
    install_service(vars(args.live), vars(args.live_defaults))
    return 0


def engines(args: argparse.Namespace) -> int:
    from .commands import engines as to

    if (args.action == "import") != bool(args.graph):
        raise SettingsError("engines import takes the release's tf_graph.pb, the others no file")
    if args.action == "import":
        return to.import_official(path_of(args.graph))
    if args.action == "build":
        return to.build_engines(args.runtime, args.preset, progress=args.progress)
    return to.list_engines() if args.action == "list" else to.verify_engines()


RUN = {
    "live": live,
    "set": control,
    "status": control,
    "scenes": control,
    "open": control,
    "video": video,
    "image": image,
    "product": product,
    "id": id_,
    "demo": demo,
    "bench": bench,
    "devices": machine,
    "doctor": machine,
    "setup": machine,
    "service": service,
    "engines": engines,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command. Returns the exit code."""
    escape_what_cannot_be_shown()
    show_log()
    try:
        code = _run(argv)
    finally:
        lost = finish_output()
    if lost is not None and not code:
        return _lost_output(lost)
    return code


def _lost_output(error: OSError) -> int:
    """After words on stdout that got lost: the exit code. Who closed a pipe has seen enough."""
    if error.errno != errno.EPIPE:
        say(f"bshm-live: what was printed is lost: {error.strerror}; free some space")
    return SinkError.exit_code


def _run(argv: Sequence[str] | None) -> int:
    try:
        args = parse(sys.argv[1:] if argv is None else argv)
        with told():
            return RUN[args.command](args)
    except BshmError as error:
        say(f"bshm-live: {printable(str(error))}")
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:
        if error.errno not in (errno.EPIPE, errno.ENOSPC):
            raise
        return _lost_output(error)
