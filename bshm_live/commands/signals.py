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
from collections.abc import Callable, Iterable, Iterator
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
LOADING = "<frozen importlib._bootstrap>"  # the file of code that loads a module
Handler = Callable[[int, FrameType | None], None]
LOADED_S = 0.02  # how often we look whether that is done


class _Signals:
    """What has come, and what it may do: one for the process, as are its signal handlers."""

    def __init__(self) -> None:
        self.asked_at: float | None = None  # by the monotonic clock
        self.interrupts = True
        self._impatient = False
        self._due = False  # an interrupt that is not yet raised

    def ending(self, number: int, frame: FrameType | None) -> None:
        """The handler of what ends a program."""
        if signal.Signals(number).name == "SIGHUP":
            _leave_terminal()
        now, before = time.monotonic(), self.asked_at
        if before is None or now - before > PATIENCE_S:
            self._impatient, self._due, self.asked_at = before is not None, True, now
        self.interrupt(number, frame)

    def interrupt(self, _: int, frame: FrameType | None) -> None:
        """Raises KeyboardInterrupt once, where that is allowed; the handler of the timer.

        Not while a module is loaded: native ones take that for a fault of their own.
        """
        if not self._due or not (self.interrupts or self._impatient):
            return
        if hasattr(signal, "setitimer") and _loads_module(frame):
            signal.setitimer(signal.ITIMER_REAL, LOADED_S)
            return
        self._due = False
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
    handlers: dict[int, Handler] = {
        number: _signals.ending for number in ENDING if not _outlives(number)
    }
    if hasattr(signal, "SIGALRM"):
        handlers[signal.SIGALRM] = _signals.interrupt
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
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


def _loads_module(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == LOADING:
            return True
        frame = frame.f_back
    return False


def _leave_terminal() -> None:
    """What is said to a terminal that is gone goes nowhere; it would be an error."""
    for output in (1, 2):
        with suppress(OSError):
            if stat.S_ISCHR(os.fstat(output).st_mode) and not os.isatty(output):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, output)
                os.close(nowhere)
