"""A start that never waits: the CPU makes the pictures until the GPU is ready and agrees.

Engines are built in a process of their own; loading and comparing are done in a
thread. Whatever fails is told in one line, and the CPU goes on.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from ..errors import EngineError
from ..types import Parts
from .switch import Change, Switch
from .trial import Trial

log = logging.getLogger(__name__)

Way = Callable[[], tuple[Parts, str]]  # parts that use the GPU, and a line that names them

PATIENCE_S = 900.0  # TensorRT on a small GPU takes minutes
END_S = 2.0  # what a closing program grants the process, and the thread
NICE = 10  # it must not slow the frames
TOLD = 200  # characters of its last words
OWN = "bshm-live: "  # how it begins a line of its own


class GpuStart:
    """Prepares parts on a GPU beside the loop, and hands them to `switch`.

    `builder` makes what `ways` need; these are tried in order, best first, and
    `trial` decides on each.
    """

    def __init__(self, switch: Switch, builder: Builder, ways: Sequence[Way], trial: Trial) -> None:
        self._switch, self._builder, self._ways, self._trial = switch, builder, ways, trial
        self._closing = threading.Event()
        self._start = time.monotonic()
        self._thread = threading.Thread(target=self._prepare, name="GPU start", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends the builder and the thread; takes a few seconds at most."""
        self._closing.set()
        self._builder.close()
        self._trial.close()
        self._thread.join(END_S)

    def __enter__(self) -> GpuStart:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _prepare(self) -> None:
        """The thread: build ▸ load ▸ compare ▸ hand over."""
        try:
            self._builder.run()
            following, name = self._first_that_agrees()
        except EngineError as error:
            if not self._closing.is_set():
                log.info(f"the CPU goes on: {error}")
            return
        except Exception:
            log.info("the CPU goes on: the GPU's part of this program has a bug:")
            raise  # to the traceback that a thread's end prints
        seconds = time.monotonic() - self._start
        line = f"{name}: takes over after {seconds:.1f} s"
        self._switch.hand_over(Change(following, line, spare=True))

    def _first_that_agrees(self) -> tuple[Parts, str]:
        """The best way that works; its line says why a better one does not. Raises EngineError."""
        *better, last = self._ways
        refused = ""
        for way in better:
            try:
                following, name = self._compared(way)
                return following, name + refused
            except EngineError as error:
                if self._closing.is_set():
                    raise
                refused += f" ({error})"
        following, name = self._compared(last)
        return following, name + refused

    def _compared(self, way: Way) -> tuple[Parts, str]:
        """What a way gives, once it agrees with the CPU. Raises EngineError."""
        following, name = way()
        try:
            self._trial(following)
        except EngineError:
            with suppress(EngineError):
                following.close()
            raise
        return following, name


class Builder:
    """Runs a command line that ends with 0 when the engines lie in the cache."""

    def __init__(self, command: Sequence[str], patience_s: float = PATIENCE_S) -> None:
        self._command, self._patience_s = command, patience_s
        self._lock = threading.Lock()  # of the process and of _closed
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False

    def run(self) -> None:
        """Returns when it is done. Raises EngineError with its last line where it fails."""
        with self._lock:
            if self._closed:
                raise EngineError("closed")
            self._process = process = start_quietly(self._command)
        try:
            _, said = process.communicate(timeout=self._patience_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            reason = f"the engines were not built after {self._patience_s:g} s"
            raise EngineError(f"{reason}; try bshm-live engines build --progress") from None
        if process.returncode:
            reason = last_words(said.decode(errors="replace"))
            raise EngineError(f"building the engines failed ({process.returncode}): {reason}")

    def close(self) -> None:
        """Ends it, from another thread than the one that waits in `run`."""
        with self._lock:
            self._closed = True
            process = self._process
        if process is None:
            return
        process.terminate()
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()


def last_words(said: str) -> str:
    """The program's own last line, behind which libraries may still complain; else the last."""
    lines = said.strip().splitlines() or ["no reason given"]
    own = [line.removeprefix(OWN) for line in lines if line.startswith(OWN)]
    return (own or lines)[-1][:TOLD]


def start_quietly(command: Sequence[str]) -> subprocess.Popen[bytes]:
    """A process that yields to this one, and that Ctrl-C in the terminal does not reach.

    What it says on stderr is kept. Raises EngineError.
    """
    windows = sys.platform == "win32"
    flags: int = getattr(subprocess, "BELOW_NORMAL_PRIORITY_CLASS", 0)  # Windows has it
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=not windows,
            creationflags=flags,
        )
    except OSError as error:
        raise EngineError(f"{command[0]} does not start ({error.strerror})") from error
    if not windows:
        with suppress(OSError):  # it has ended already
            os.setpriority(os.PRIO_PROCESS, process.pid, NICE)
    return process
