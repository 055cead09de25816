"""The program: `bshm-live`, or `python -m bshm_live`."""

import os
import signal
import sys
from collections.abc import Callable
from types import FrameType

INTERRUPTED = 130  # 128 + SIGINT, as shells have it
ENDING = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT")


def main() -> int:
    """Runs one command; returns its exit code. What a signal does meanwhile: `commands.signals`."""
    # While modules are loaded there is nothing to clean up, and some of them take an
    # exception at that time for a fault of their own: the process just ends.
    _on_signals(lambda *_: os._exit(INTERRUPTED))
    from .cli import main as run

    code = run()
    # The work is done; one who asks twice gets the exit code of the first time.
    _on_signals(signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # should a library hang at its end
    return code


def _on_signals(handler: Callable[[int, FrameType | None], object] | signal.Handlers) -> None:
    for number in (getattr(signal, name) for name in ENDING if hasattr(signal, name)):
        # Ignored from the start is nohup: the program is meant to outlive its terminal.
        if number == signal.SIGINT or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)


if __name__ == "__main__":
    sys.exit(main())
