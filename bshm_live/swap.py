"""A start that never waits: the CPU's networks until the GPU's are ready, agree, and take over.

Engines are built in a process of their own; loading and comparing are done in a
thread. The loop sees one object that makes mattes, and the change falls between
two frames. Whatever fails is told in one line, and the CPU goes on.
"""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

import numpy as np

from .errors import EngineError
from .runtimes import get_runtime, load_bshm
from .source import VideoFile, demo_clip
from .types import Alpha, Matte, Matter, Picture, Shape

Clock = Callable[[str], None]
Say = Callable[[str], None]

PATIENCE_S = 900.0  # for the builder: TensorRT on a small GPU takes minutes
TRIALS = 3  # pictures on which both must agree
# Of alpha, between the same networks on CPU and GPU; a hard edge may fall either way
# in a few places, so that those few may be further apart.
AGREE = 2e-2
AGREE_SHARE = 0.999
LEAST_PERSON = 0.01  # of a picture: where nobody is, networks that see nobody agree always
LOOK_S = 0.2  # how often the thread looks whether the program closes
END_S = 2.0  # what a closing program grants builder and thread
NICE = 10  # the builder must not slow the frames
TOLD = 200  # characters of a builder's last words


class Swap:
    """A Matter on the CPU that becomes one on the GPU. Owns both.

    `build` is the builder's command line, which ends with 0 when the engines lie
    in the cache; `load` gives the GPU's networks and a line that names them; `twin`
    gives the same networks on the CPU, with which they are compared on `known`, a
    picture with a person, and on frames as they come. `say` is told what happens,
    from another thread too.
    """

    def __init__(
        self,
        cpu: Matter,
        build: Sequence[str],
        load: Callable[[], tuple[Matter, str]],
        twin: Callable[[], Matter],
        known: Picture,
        say: Say,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._cpu, self._now = cpu, cpu
        self._build, self._load, self._twin, self._known = build, load, twin, known
        self._say, self._patience_s = say, patience_s
        self._next: tuple[Matter, str] | None = None  # agreed, waiting for the end of a frame
        self._frames: queue.Queue[tuple[Picture, Alpha | None]] = queue.Queue(maxsize=1)
        self._looking = threading.Event()  # the thread wants frames
        self._closing = threading.Event()
        self._lock = threading.Lock()  # of _next and _builder against close
        self._builder: subprocess.Popen[bytes] | None = None
        self._start = time.monotonic()
        self._thread = threading.Thread(target=self._prepare, name="swap", daemon=True)
        self._thread.start()

    @property
    def low(self) -> Shape:
        return self._now.low

    @property
    def high(self) -> Shape:
        return self._now.high

    @property
    def swapped(self) -> bool:
        """Whether the GPU makes the mattes now."""
        return self._now is not self._cpu

    def matte(
        self, picture: Picture, hint: Alpha | None = None, clock: Clock = lambda stage: None
    ) -> Matte:
        """As Bshm.matte; its size may differ from the last one's."""
        self._take_over()
        if self._looking.is_set() and self._frames.empty():
            self._frames.put((picture.copy(), None if hint is None else hint.copy()))
        try:
            return self._now.matte(picture, hint, clock)
        except EngineError as error:
            if not self.swapped:
                raise
            self._fall_back(error)
        return self._cpu.matte(picture, hint, clock)

    def close(self) -> None:
        """Ends the builder and frees everything; takes a few seconds at most."""
        self._closing.set()
        with self._lock:
            builder = self._builder
        if builder is not None:
            builder.terminate()
        self._thread.join(END_S)
        if builder is not None and builder.poll() is None:
            builder.kill()
        following = self._agreed()
        for matter in {id(m): m for m in (following, self._now, self._cpu) if m}.values():
            matter.close()

    def __enter__(self) -> Swap:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _take_over(self) -> None:
        """Between two frames: the last is done, the next not begun."""
        if self._next is None:
            return
        name = self._next[1]
        if following := self._agreed():
            self._now = following
            seconds = time.monotonic() - self._start
            self._say(f"{name}: takes over after {seconds:.1f} s")

    def _fall_back(self, error: EngineError) -> None:
        self._say(f"back on the CPU: {error}")
        failed, self._now = self._now, self._cpu
        with suppress(EngineError):  # it has failed already
            failed.close()

    def _agreed(self) -> Matter | None:
        """Takes what the thread has left."""
        with self._lock:
            following, self._next = self._next, None
        return following[0] if following else None

    def _prepare(self) -> None:
        """The thread: build ▸ load ▸ compare ▸ hand over."""
        try:
            self._run_builder()
            following, name = self._load()
            try:
                self._compare(following)
            except EngineError:
                following.close()
                raise
        except EngineError as error:
            if not self._closing.is_set():
                self._say(f"the CPU goes on: {error}")
            return
        with self._lock:
            if not self._closing.is_set():
                self._next = (following, name)
                return
        following.close()

    def _run_builder(self) -> None:
        """Raises EngineError with the builder's last line where it fails."""
        with self._lock:
            if self._closing.is_set():
                raise EngineError("closed")
            self._builder = builder = start_quietly(self._build)
        try:
            _, said = builder.communicate(timeout=self._patience_s)
        except subprocess.TimeoutExpired:
            builder.kill()
            builder.communicate()
            reason = f"the engines were not built after {self._patience_s:g} s"
            raise EngineError(f"{reason}; try bshm-live engines build --progress") from None
        if builder.returncode:
            lines = said.decode(errors="replace").strip().splitlines()
            last = lines[-1].removeprefix("bshm-live: ")[:TOLD] if lines else "no reason given"
            raise EngineError(f"building the engines failed ({builder.returncode}): {last}")

    def _compare(self, following: Matter) -> None:
        """Raises EngineError unless both agree on a known picture and on frames as they come."""
        twin = self._twin()
        try:
            agree(following.matte(self._known), twin.matte(self._known), person=True)
            for _ in range(TRIALS):
                picture, hint = self._next_frame()
                agree(following.matte(picture, hint), twin.matte(picture, hint))
        finally:
            self._looking.clear()
            twin.close()

    def _next_frame(self) -> tuple[Picture, Alpha | None]:
        self._looking.set()
        while not self._closing.is_set():
            try:
                return self._frames.get(timeout=LOOK_S)
            except queue.Empty:
                continue
        raise EngineError("closed")


def swap_in(cpu: Matter, preset: str, threads: int, say: Say) -> Swap:
    """`cpu` now, and TensorRT with a preset of its own when it is ready. Raises EngineError."""
    command = [sys.executable, "-m", "bshm_live", "engines", "build", "--preset", preset]

    def load() -> tuple[Matter, str]:
        runtime = get_runtime("tensorrt")
        return load_bshm(preset, runtime, threads), runtime.description

    def twin() -> Matter:
        return load_bshm(preset, get_runtime("onnxruntime"), threads=1)

    clip = VideoFile(demo_clip())
    known = next(iter(clip)).image.copy()
    clip.close()
    return Swap(cpu, command, load, twin, known, say)


def agree(one: Matte, other: Matte, *, person: bool = False) -> None:
    """Raises EngineError where two mattes of the same picture are not the same.

    `person`: there is one in the picture, so both must have found it.
    """
    if one.alpha.shape != other.alpha.shape:
        raise EngineError("the GPU's mattes have another size than the CPU's; reinstall bshm-live")
    for name in ("alpha", "unified", "coarse", "residual"):
        apart = np.abs(getattr(one, name) - getattr(other, name))
        most = float(np.quantile(apart, AGREE_SHARE))
        if not most <= AGREE:  # a NaN, too, disagrees
            raise EngineError(
                f"the GPU's {name} differs from the CPU's by {most:.1e}, more than {AGREE:.0e}; "
                "update the NVIDIA driver, and run bshm-live engines verify"
            )
    if person and other.alpha.mean() < LEAST_PERSON:
        raise EngineError("nobody found in the picture for comparison; reinstall bshm-live")


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
