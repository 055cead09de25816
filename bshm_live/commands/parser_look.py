"""The words for what is done with the person, on the command line."""

from __future__ import annotations

from argparse import ArgumentParser

from ..settings import FRAME_DEFAULT, FRAMINGS, NOTHING


def person_options(parser: ArgumentParser) -> None:
    """Of the main command and of `video`."""
    parser.add_argument(
        "--frame",
        nargs="?",
        const=FRAME_DEFAULT,
        choices=(*FRAMINGS, NOTHING),
        help="the picture follows the people: their heads, half of them (without a word), or "
        "loosely; a camera with more pixels than --size loses nothing",
    )
    parser.add_argument(
        "--subject",
        metavar="WHO",
        help="of several people: all, only the nearest, or so many (1 to 9); default: all",
    )
    parser.add_argument(
        "--place",
        metavar="x,y,h",
        help="the person stands small before the background, as before slides: where the middle "
        "of the lower edge is, and how high, in pixels or percent; for example 85%%,100%%,40%%",
    )
