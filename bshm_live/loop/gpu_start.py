"""A process of its own that builds engines, and yields to the frames."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress

from ..errors import EngineError

PATIENCE_S = 900.0  # TensorRT on a small GPU takes minutes
END_S = 2.0  # what a closing program grants it
NICE = 10  # it must not slow the frames
TOLD = 200  # characters of its last words
OWN = "bshm-live: "  # how it begins a line of its own


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
