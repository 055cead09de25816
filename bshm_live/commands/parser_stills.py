"""The words of the command line for many inputs: batches, films and product pictures."""

from __future__ import annotations

import argparse

from ..settings import brief, whole_number

KINDS = ("mp4", "mov", "mkv", "webm")


def whole(text: str) -> int:
    """A whole number. Raises what argparse tells in one line."""
    number = whole_number(text)
    if number is None:
        raise argparse.ArgumentTypeError(f"{brief(text)} is not a whole number")
    return number


def batch_options(parser: argparse.ArgumentParser) -> None:
    """How many inputs are done."""
    parser.add_argument(
        "--workers",
        type=whole,
        default=1,
        metavar="N",
        help="so many processes, each with its share of the cores; default: 1",
    )
    parser.add_argument(
        "--ray", metavar="ADDRESS", help="by a Ray cluster instead: host:port, or auto"
    )
    parser.add_argument(
        "--resume", action="store_true", help="leave out what an earlier run has finished"
    )


def film_options(parser: argparse.ArgumentParser) -> None:
    """One film, or many."""
    parser.add_argument("film", nargs="?", metavar="IN", help="one film, for -o OUT")
    parser.add_argument("-o", "--output", metavar="OUT")
    parser.add_argument("-i", "--input", nargs="+", metavar="IN", help="many, or folders, for -d")
    parser.add_argument("-d", "--output_dir", "--output-dir", metavar="DIR", help="for many")
    parser.add_argument(
        "--format", choices=KINDS, help="of many; default: mov where --bg is none, else mp4"
    )


def product_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-i", "--input", nargs="+", metavar="IN", help="pictures, folders, URLs")
    parser.add_argument("-d", "--output_dir", "--output-dir", default="./results", metavar="DIR")
    parser.add_argument("--canvas", metavar="WxH", help="default: 800x800")
    parser.add_argument("--bg", metavar="COLOUR", help="of the canvas; default: white")
    parser.add_argument("--margin", metavar="N%", help="of each side of the canvas; default: 3%%")
    parser.add_argument(
        "--scene", metavar="FILE", help="a picture to stand in, instead of a canvas"
    )
    parser.add_argument(
        "--place",
        metavar="x,y,h",
        help="in the scene's pixels: where the feet are, and how tall the person is",
    )
    parser.add_argument("--shadow", action="store_true", help="a contact shadow on the floor")
    parser.add_argument("--match", action="store_true", help="colours taken towards the scene's")
    parser.add_argument("--format", choices=("jpg", "png"), help="default: jpg")
    parser.add_argument("--kb", metavar="N", help="the most kilobytes, met by the JPEG's quality")
    parser.add_argument(
        "--jobs",
        metavar="FILE",
        help="CSV or JSON: an input a line, and any of these words with a value",
    )
    batch_options(parser)
