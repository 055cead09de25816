"""The words of the command line: every command with its options."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn

from .. import __version__
from ..console import printable
from ..control.wire import NAME
from ..settings import (
    FITS,
    OFFICIAL,
    PRECISIONS,
    PRESETS,
    ROTATIONS,
    RUNTIMES,
    TALL,
    TROUBLES,
    VCAM_FORMATS,
    brief,
)
from .parser_look import person_options
from .parser_stills import batch_options, film_options, product_options, whole
from .parser_studio import still_options, studio_options

BG_HELP = (
    "a picture, a video (loops), blur or blur:N, #rrggbb or a CSS colour name, none; N is 1 (text "
    "up to 32 pixels high at 720p cannot be read) to 200, 25 by default; large shapes stay "
    "recognisable"
)
NAME_HELP = "of the running program; several may run"
WRAP_HELP = "the background's light on the person's rim"
EPILOG = """commands:
  bshm-live --bg BG                 the webcam with another background, into a virtual camera
  bshm-live set KEY=VALUE ...       the running program: at once, no restart
  bshm-live status                  what runs, and how
  bshm-live scenes                  the looks in your file
  bshm-live open                    the control page, where it runs with --control
  bshm-live video IN -o OUT         a video file
  bshm-live image -i IN -d DIR      pictures, folders, URLs
  bshm-live product -i IN -d DIR    people on a plain canvas, or in a scene
  bshm-live id -i IN -d DIR         ID photos of portraits; --list shows the sizes
  bshm-live demo                    the main job on the clip that comes with the package
  bshm-live bench                   how fast this machine is, stage by stage
  bshm-live devices                 cameras and virtual cameras
  bshm-live doctor                  what is missing, and the line to type
  bshm-live setup                   the virtual camera: what is missing; --apply does it
  bshm-live service install|remove  the virtual camera at every login, on demand
  bshm-live engines list|build|verify|import    the networks and the runtimes

bshm-live COMMAND --help tells more."""


def rate(text: str) -> float:
    """Frames per second."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{brief(text)}: a number such as 30") from None


class Parser(argparse.ArgumentParser):
    """Says in one line what is wrong, and what to try."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"bshm-live: {printable(message)}; {self.prog} --help tells more\n")


def build_parser() -> argparse.ArgumentParser:
    """The whole command line; `live` is the command that needs no name."""
    parser = Parser(
        prog="bshm-live",
        description="Another background behind a person in live video.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"bshm-live {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _live(commands.add_parser("live", help="webcam to virtual camera (needs no name)"))
    _control(commands)
    _video(commands.add_parser("video", help="a video file"))
    _image(commands.add_parser("image", help="pictures, folders, URLs"))
    product = commands.add_parser("product", help="people on a plain canvas, or in a scene")
    product_options(product)
    _engine_options(product)
    _id(commands.add_parser("id", help="ID photos of portraits"))
    demo = commands.add_parser("demo", help="the main job on the packaged clip")
    demo.add_argument("-o", "--output", default="demo.mp4", help="default: demo.mp4")
    demo.add_argument("--bg", help=BG_HELP + "; default: a drawn studio")
    _engine_options(demo)
    _bench(commands.add_parser("bench", help="milliseconds per stage"))
    commands.add_parser("devices", help="cameras and virtual cameras")
    commands.add_parser("doctor", help="what is missing, and the line to type")
    _setup(commands.add_parser("setup", help="the virtual camera on this machine"))
    _service(commands.add_parser("service", help="the virtual camera at every login"))
    engines = commands.add_parser("engines", help="the networks and the runtimes")
    _engines(engines)
    return parser


def _bench(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="last line of stdout is JSON")
    parser.add_argument(
        "--size", metavar="WxH", help="default: 1280x720; on a GPU also 1920x1080 and 3840x2160"
    )
    parser.add_argument("--frames", type=whole, default=300)
    parser.add_argument(
        "--live", action="store_true", help="with a webcam's decoding and a virtual camera's format"
    )
    parser.add_argument("--bg", default="#00b140", help=BG_HELP)
    parser.add_argument("--light-wrap", action="store_true", help=WRAP_HELP)
    studio_options(parser)
    person_options(parser)
    _engine_options(parser)


def _engines(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("list", "build", "verify", "import"))
    parser.add_argument("graph", nargs="?", metavar="GRAPH", help="to import: tf_graph.pb")
    parser.add_argument("--runtime", choices=RUNTIMES, default="tensorrt", help="to build for")
    parser.add_argument("--preset", choices=(*PRESETS, TALL), help="to build; default: all")
    parser.add_argument("--progress", action="store_true", help="a bar, also where nobody watches")


def _engine_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runtime", choices=RUNTIMES, default="auto")
    parser.add_argument(
        "--preset",
        choices=(*PRESETS, OFFICIAL),
        help="default: balanced; live on a slow machine: fast; stills: quality; official, for "
        "files: the BSHM release, once engines import has read it",
    )
    parser.add_argument("--threads", type=whole, default=0, help="0: as many as there are cores")
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="auto",
        help="of the networks on a CPU; default: live int8 where it is faster, else f32",
    )


def _live(parser: argparse.ArgumentParser) -> None:
    """The words of the main command, in the order in which a person meets them."""
    parser.add_argument("--bg", help=BG_HELP)
    parser.add_argument("--scene", metavar="NAME", help="a look from your file; see scenes")
    _live_places(parser)
    _live_look(parser)
    _live_run(parser)
    _engine_options(parser)


def _live_places(parser: argparse.ArgumentParser) -> None:
    """Where frames come from and go to."""
    parser.add_argument(
        "--source",
        default="0",
        help="camera number, /dev/videoN, camera:NAME, a video file, demo; default: 0",
    )
    parser.add_argument(
        "--sink",
        action="append",
        metavar="SINK",
        help="vcam, vcam:/dev/videoN, pipewire, a file, window, null; may be given several times",
    )
    parser.add_argument(
        "--vcam-format",
        choices=VCAM_FORMATS,
        default="I420",
        help="what the virtual camera of Linux carries, for a program that shows no picture of "
        "it; default: I420",
    )
    parser.add_argument("--size", metavar="WxH", help="output size; default: the camera's")
    parser.add_argument("--fps", type=rate, help="frames/s to ask the camera for")
    parser.add_argument("--preview", action="store_true", help="a window beside the other sinks")


def _live_look(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--mirror", action="store_true", help="flip left and right")
    _turning(parser)
    parser.add_argument(
        "--fit",
        choices=FITS,
        default="cover",
        help="a picture of another format is cut to fill the output, or shown whole with the "
        "new background beside it; default: cover",
    )
    parser.add_argument("--no-steady", action="store_true", help="no filter over time")
    parser.add_argument("--light-wrap", action="store_true", help=WRAP_HELP)
    studio_options(parser)
    person_options(parser)


def _live_run(parser: argparse.ArgumentParser) -> None:
    """How it runs and is reached."""
    parser.add_argument("--name", default=NAME, help=NAME_HELP)
    parser.add_argument("--control", action="store_true", help="a page to change it on")
    parser.add_argument("--tray", action="store_true", help="an icon to change it with")
    parser.add_argument("--backgrounds", metavar="DIR", help="the pictures that the page shows")
    parser.add_argument(
        "--on-trouble",
        choices=TROUBLES,
        default="background",
        help="what to show while there is no matte; default: the background alone",
    )
    parser.add_argument(
        "--on-demand",
        action="store_true",
        help="the webcam is off while nobody reads the virtual camera (Linux)",
    )
    parser.add_argument("--stats", action="store_true", help="milliseconds per stage at the end")
    parser.add_argument("--frames", type=whole, help="stop after so many frames")


def _turning(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--rotate",
        type=int,
        choices=ROTATIONS,
        default=0,
        help="degrees clockwise that the picture is turned",
    )


def _control(commands: Any) -> None:
    """The commands to a program that runs."""
    change = commands.add_parser("set", help="change the running program")
    change.add_argument(
        "words",
        nargs="+",
        metavar="KEY=VALUE",
        help="bg, blur, mirror, light_wrap, light, match, depth, vignette, border, overlay, "
        "frame, subject, place, preset, steady, scene, save, pause, resume",
    )
    status = commands.add_parser("status", help="what runs, and how")
    status.add_argument("--json", action="store_true", help="one JSON object")
    commands.add_parser("scenes", help="the looks in your file")
    page = commands.add_parser("open", help="the control page of the running program")
    for parser in (change, status, page):
        parser.add_argument("--name", default=NAME, help=NAME_HELP)


def _video(parser: argparse.ArgumentParser) -> None:
    film_options(parser)
    parser.add_argument("--bg", default="none", help=BG_HELP + "; default: none")
    parser.add_argument("--alpha", metavar="FILE", help=".mkv: lossless 8-bit grey (FFV1)")
    parser.add_argument("--foreground", metavar="FILE", help="the person's own colours on black")
    _turning(parser)
    parser.add_argument(
        "--flip", dest="mirror", action="store_true", help="left and right change places"
    )
    parser.add_argument(
        "--quality", type=whole, metavar="N", help="of the file, 0 to 100; default: 80"
    )
    parser.add_argument("--no-steady", action="store_true", help="no filter over time")
    parser.add_argument("--light-wrap", action="store_true", help=WRAP_HELP)
    studio_options(parser)
    person_options(parser)
    batch_options(parser)
    _engine_options(parser)


def _image(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-i", "--input", nargs="+", required=True, metavar="IN")
    parser.add_argument("-d", "--output_dir", "--output-dir", default="./results", metavar="DIR")
    parser.add_argument("--bg", help=BG_HELP)
    hint = parser.add_mutually_exclusive_group()
    hint.add_argument("--box", metavar="x,y,w,h", help="where the person is, in pixels")
    hint.add_argument("--scribble", metavar="PNG", help="white where the person is")
    parser.add_argument("--stages", action="store_true", help="also MPN's and QUN's masks")
    parser.add_argument(
        "--crop-to-person", action="store_true", help="only the part of the picture with the person"
    )
    still_options(parser)
    batch_options(parser)
    _engine_options(parser)


def _id(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-i", "--input", nargs="+", metavar="IN")
    parser.add_argument("-d", "--output_dir", "--output-dir", default="./results", metavar="DIR")
    parser.add_argument("--size", default="35x45mm", help="35x45mm, 413x531px, or a name; --list")
    parser.add_argument(
        "--bg",
        metavar="COLOUR",
        help="blue, red, white, light, #rrggbb, gradient or gradient:COLOUR",
    )
    parser.add_argument("--dpi", type=whole, metavar="N", help="default: 300")
    parser.add_argument("--kb", metavar="A-B", help="kilobytes of the file, met by its quality")
    parser.add_argument("--sheet", metavar="PAPER", help="6in, 4x6in, a4, 102x152mm, ...")
    parser.add_argument("--format", choices=("jpg", "png"), default="jpg")
    parser.add_argument("--head", type=whole, metavar="N", help="of several; the largest is 1")
    parser.add_argument("--force", action="store_true", help="also of what does not fit")
    parser.add_argument("--list", action="store_true", help="the sizes that have names")
    batch_options(parser)
    _engine_options(parser)


def _setup(parser: argparse.ArgumentParser) -> None:
    parser.description = "Shows what the virtual camera needs; changes nothing by itself."
    change = parser.add_mutually_exclusive_group()
    change.add_argument("--apply", action="store_true", help="do it (with sudo)")
    change.add_argument("--undo", action="store_true", help="take it back (with sudo)")
    parser.add_argument(
        "--hide-camera",
        action="store_true",
        help="about the webcam: hidden from other programs, so that no call can pick it (Linux)",
    )


def _service(parser: argparse.ArgumentParser) -> None:
    parser.description = "A systemd service of your own, with the webcam off while nobody looks."
    parser.add_argument("action", choices=("install", "remove"))
    parser.add_argument(
        "options",
        nargs=argparse.REMAINDER,
        metavar="OPTIONS",
        help="for install: those of the main command, for example --bg office.jpg",
    )
