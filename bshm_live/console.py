"""What the command line tells a person: lines on stderr, the package's log among them."""

from __future__ import annotations

import io
import logging
import os
import sys

PACKAGE = "bshm_live"


def printable(text: str) -> str:
    """The text on one line: what is no letter, sign or blank (also in a file's name) as escapes."""
    return "".join(
        sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text
    )


def escape_what_cannot_be_shown() -> None:
    """From now on no character fails on stdout and stderr, whatever their encoding is."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def say(text: str) -> None:
    """Lines on stderr. Where nobody can hear them any more, the program goes on."""
    lines = "\n".join(map(printable, text.split("\n")))
    try:
        print(lines, file=sys.stderr, flush=True)
    except (OSError, ValueError):  # its reader is gone, the disk is full, or it is closed
        return


def finish_output() -> OSError | None:
    """Everything that was printed leaves now; else the reason, and it is given up."""
    try:
        sys.stdout.flush()
    except OSError as error:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())  # or the interpreter would fail once more at its end
        os.close(nowhere)
        return error
    return None


class Lines(logging.Handler):
    """Shows the log's messages as they are."""

    def emit(self, record: logging.LogRecord) -> None:
        say(record.getMessage())


def show_log() -> None:
    """From now on the package's log, from INFO on, is shown."""
    logger = logging.getLogger(PACKAGE)
    logger.setLevel(logging.INFO)
    if not any(isinstance(handler, Lines) for handler in logger.handlers):
        logger.addHandler(Lines())
