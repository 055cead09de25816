"""The program: `bshm-live`, or `python -m bshm_live`."""

import signal
import sys


def main() -> int:
    """Runs one command; returns its exit code. What a signal does meanwhile: `commands.signals`."""
    # While modules are loaded there is nothing to clean up, and some of them take an
    # exception at that time for a fault of their own: Ctrl-C just ends the process.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from .cli import main as run

    code = run()
    # The work is done; one who asks twice gets the exit code of the first time.
    for name in ("SIGINT", "SIGHUP", "SIGQUIT"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    return code


if __name__ == "__main__":
    sys.exit(main())
