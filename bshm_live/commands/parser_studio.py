"""The words of the command line for what makes a picture look like a studio's."""

from __future__ import annotations

import argparse


def still_options(parser: argparse.ArgumentParser) -> None:
    """What a single picture can get, too."""
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
        help="the person's colours taken towards those of a picture or video behind; alone: 0.7",
    )
    parser.add_argument(
        "--vignette",
        nargs="?",
        const="on",
        metavar="0-1",
        help="darker towards the corners; alone: 0.5",
    )
    parser.add_argument(
        "--border", metavar="N[,COLOUR]", help="a frame N pixels wide; white unless it is said"
    )
    parser.add_argument(
        "--overlay",
        metavar="FILE[@x,y]",
        help="a picture with alpha over all of it, a logo or a name: x,y in pixels or percent, "
        "with - from the right and from below; lower right unless it is said",
    )


def studio_options(parser: argparse.ArgumentParser) -> None:
    """Of every command that makes moving pictures."""
    still_options(parser)
    parser.add_argument(
        "--depth",
        action="store_true",
        help="with blur: the further away, the more out of focus, highlights as discs",
    )
