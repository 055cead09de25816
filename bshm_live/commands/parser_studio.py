"""The words of the command line for what makes a picture look like a studio's."""

from __future__ import annotations

import argparse


def studio_options(parser: argparse.ArgumentParser) -> None:
    """Of every command that makes composites."""
    parser.add_argument(
        "--light",
        nargs="?",
        const="auto",
        metavar="N",
        help="the face in a good exposure and white balance: auto, or 1 to 100 percent of the way",
    )
    parser.add_argument(
        "--match",
        nargs="?",
        const="on",
        metavar="0-1",
        help="the person's colours taken towards those of a picture or video behind; alone: 1",
    )
