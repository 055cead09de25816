"""What the commands of this folder have in common: their words, and how they end."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from bshm_live.errors import BshmError
from bshm_live.settings import PRESETS, RUNTIMES


def parser_of(module: str, about: str | None) -> argparse.ArgumentParser:
    """Of `python -m MODULE`; the first line of `about` says what it does."""
    summary = (about or "").split("\n")[0]
    return argparse.ArgumentParser(f"python -m {module}", description=summary)


def add_networks(parser: argparse.ArgumentParser) -> None:
    """Which of our networks, and what runs them."""
    parser.add_argument("--presets", nargs="+", default=list(PRESETS), choices=PRESETS)
    parser.add_argument("--runtime", default="onnxruntime", choices=RUNTIMES)


def ended_in_one_line(evaluate: Callable[[], None]) -> None:
    """Runs it; what is wrong with words, data or networks is one line, exit code 1."""
    try:
        evaluate()
    except BshmError as error:
        raise SystemExit(f"evaluate: {error}") from None
