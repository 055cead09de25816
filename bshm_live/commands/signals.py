"""Ctrl-C, a closed terminal, SIGTERM: the program ends within a second, its files whole or gone.

Between `handled` and its end the first such signal raises KeyboardInterrupt where it comes,
and those that follow change nothing: what cleans up is not interrupted. Where files are open
(`held`) the first one waits as well, but in `frames`, which then end.
"""

from __future__ import annotations

import os
import signal
import stat
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..types import Frame

# `Ctrl-C`, `kill`, the end of the terminal, Ctrl-\; on Windows Ctrl-Break.
ENDING = tuple(
    signal.Signals[name]
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGBREAK")
    if name in signal.Signals.__members__
)
PATIENCE_S = 5.0  # whoever asks again so much later no longer waits for what hangs


class _Signals:
    """What has come, and what it may do: one for the process, as are its signal handlers."""

    def __init__(self) -> None:
        self.asked_at: float | None = None  # by the monotonic clock
        self.interrupts = True

    def __call__(self, number: int, _: FrameType | None) -> None:
        """The handler."""
        if signal.Signals(number).name == "SIGHUP":
            _leave_terminal()
        now, before = time.monotonic(), self.asked_at
        if before is None or now - before > PATIENCE_S:
            self.asked_at = now
            if self.interrupts or before is not None:
                raise KeyboardInterrupt


_signals = _Signals()


@contextmanager
def handled() -> Iterator[None]:
    """Inside it, signals that end a program end this one in order. For the main thread."""
    global _signals
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _signals = _Signals()
    before = {number: signal.signal(number, _signals) for number in ENDING if not _outlives(number)}
    try:
        yield
    finally:
        _signals.interrupts = False
        for number, handler in before.items():
            signal.signal(number, handler)
        _signals = _Signals()


@contextmanager
def held(*, hold: bool = True) -> Iterator[None]:
    """Inside it no signal interrupts; `asked` and `end_if_asked` tell of it.

    With hold=False it does again, at once where one has come: for what takes long
    and may be left at any place.
    """
    signals = _signals
    before, signals.interrupts = signals.interrupts, not hold
    try:
        if not hold:
            end_if_asked()
        yield
    finally:
        signals.interrupts = before


def asked() -> bool:
    """Whether the program shall end."""
    return _signals.asked_at is not None


def end_if_asked() -> None:
    """Raises KeyboardInterrupt if the program shall end."""
    if asked():
        raise KeyboardInterrupt


def frames(source: Iterable[Frame]) -> Iterator[Frame]:
    """The frames of `source` until it ends or the program shall; waits for no frame then."""
    every = iter(source)
    try:
        while True:
            with held(hold=False):
                frame = next(every, None)
            if frame is None:
                return
            yield frame
    except KeyboardInterrupt:
        if not asked():
            raise


def _outlives(number: signal.Signals) -> bool:
    """Whether this program was started to outlive its terminal (nohup)."""
    return number.name == "SIGHUP" and signal.getsignal(number) is signal.SIG_IGN


def _leave_terminal() -> None:
    """What is said to a terminal that is gone goes nowhere; it would be an error."""
    for output in (1, 2):
        with suppress(OSError):
            if stat.S_ISCHR(os.fstat(output).st_mode) and not os.isatty(output):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, output)
                os.close(nowhere)
