"""What the command line tells a person: lines on stderr, the package's log among them."""

from __future__ import annotations

import logging
import sys

PACKAGE = "bshm_live"


def say(line: str) -> None:
    """One line on stderr. Where nobody can hear it any more, the program goes on."""
    try:
        print(line, file=sys.stderr, flush=True)
    except (OSError, ValueError):  # its reader is gone, the disk is full, or it is closed
        return


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
