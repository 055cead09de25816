"""A start that never waits: the CPU's parts until the GPU's are ready, agree, and take over.

Engines are built in a process of their own; loading and comparing are done in a
thread. The loop sees one matter, one steadier and one compositor, and the change
falls between two frames. Whatever fails is told in one line, and the CPU goes on.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from ..errors import EngineError
from ..gpu.parts import open_gpu
from ..runtimes.choice import get_runtime, load_bshm
from ..sources.video_file import VideoFile, demo_clip
from ..types import Layers, Matte, Matter, Parts, Picture, Shape
from .gpu_start import Builder
from .parts import CpuParts
from .trial import Trial

Clock = Callable[[str], None]
Say = Callable[[str], None]
Way = Callable[[], tuple[Parts, str]]  # parts that use the GPU, and a line that names them

END_S = 2.0  # what a closing program grants the thread


class Swap:
    """Parts on the CPU that become others on a GPU. Owns both.

    `builder` makes what `ways` need; these are tried in order, best first, and
    `trial` decides on each. `say` is told what happens, from another thread too.
    """

    def __init__(
        self,
        cpu: CpuParts,
        builder: Builder,
        ways: Sequence[Way],
        trial: Trial,
        say: Say,
    ) -> None:
        self.cpu = cpu
        self.now: Parts = cpu
        self.steadier, self.compositor = SwapSteadier(self), SwapCompositor(self)
        self._builder, self._ways, self._trial, self._say = builder, ways, trial, say
        self._next: tuple[Parts, str] | None = None  # agreed, waiting for the end of a frame
        self._closing = threading.Event()
        self._lock = threading.Lock()  # of _next against close
        self._start = time.monotonic()
        self._thread = threading.Thread(target=self._prepare, name="swap", daemon=True)
        self._thread.start()

    @property
    def bshm(self) -> Matter:
        return self

    @property
    def low(self) -> Shape:
        return self.now.bshm.low

    @property
    def high(self) -> Shape:
        return self.now.bshm.high

    @property
    def swapped(self) -> bool:
        """Whether the GPU makes the mattes now."""
        return self.now is not self.cpu

    def matte(self, picture: Picture, hint: Any = None, clock: Clock = lambda stage: None) -> Matte:
        """As Bshm.matte; its size may differ from the last one's."""
        self._trial.offer(picture, hint)
        try:
            return self.now.bshm.matte(picture, hint, clock)
        except EngineError as error:
            if not self.swapped:
                raise
            self.fall_back(error)
        return self.cpu.bshm.matte(picture, self.cpu.steadier.hint(picture), clock)

    def take_over(self) -> None:
        """Between two frames: the last is done, the next not begun."""
        if self._next is None:
            return
        name = self._next[1]
        if following := self._agreed():
            self.now = following
            seconds = time.monotonic() - self._start
            self._say(f"{name}: takes over after {seconds:.1f} s")

    def fall_back(self, error: EngineError) -> None:
        """For good: the CPU makes this frame, or the next."""
        self._say(f"back on the CPU: {error}")
        failed, self.now = self.now, self.cpu
        self.cpu.steadier.reset()  # what it remembers is long gone
        with suppress(EngineError):  # it has failed already
            failed.close()

    def close(self) -> None:
        """Ends the builder and frees everything; takes a few seconds at most."""
        self._closing.set()
        self._builder.close()
        self._trial.close()
        self._thread.join(END_S)
        following = self._agreed()
        for parts in {id(p): p for p in (following, self.now, self.cpu) if p}.values():
            parts.close()

    def __enter__(self) -> Swap:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _agreed(self) -> Parts | None:
        """Takes what the thread has left."""
        with self._lock:
            following, self._next = self._next, None
        return following[0] if following else None

    def _prepare(self) -> None:
        """The thread: build ▸ load ▸ compare ▸ hand over."""
        try:
            self._builder.run()
            following, name = self._first_that_agrees()
        except EngineError as error:
            if not self._closing.is_set():
                self._say(f"the CPU goes on: {error}")
            return
        except Exception:
            self._say("the CPU goes on: the GPU's part of this program has a bug:")
            raise  # to the traceback that a thread's end prints
        with self._lock:
            if not self._closing.is_set():
                self._next = (following, name)
                return
        following.close()

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


class SwapSteadier:
    """The steadier of whoever makes the mattes; a frame begins with its hint."""

    def __init__(self, swap: Swap) -> None:
        self._swap = swap

    def hint(self, picture: Picture) -> Any:
        self._swap.take_over()
        return self._swap.now.steadier.hint(picture)

    def steady(self, matte: Matte) -> Matte:
        return self._swap.now.steadier.steady(matte)

    def reset(self) -> None:
        self._swap.now.steadier.reset()


class SwapCompositor:
    """The compositor of whoever makes the mattes."""

    def __init__(self, swap: Swap) -> None:
        self._swap = swap

    def __call__(
        self, image: Picture, matte: Matte, background: Picture, *, foreground: bool = False
    ) -> Layers:
        """A GPU that fails here has this frame withheld; the CPU makes the next."""
        try:
            return self._swap.now.compositor(image, matte, background, foreground=foreground)
        except EngineError as error:
            if self._swap.swapped:
                self._swap.fall_back(error)
            raise

    def covered(self, background: Picture) -> Layers:
        return self._swap.now.compositor.covered(background)


def swap_in(cpu: CpuParts, preset: str, threads: int, say: Say) -> Swap:
    """`cpu` now, and TensorRT with a preset of its own when it is ready. Raises EngineError."""
    size = cpu.compositor.size
    command = [sys.executable, "-m", "bshm_live", "engines", "build", "--preset", preset]

    def whole() -> tuple[Parts, str]:
        parts = open_gpu(preset, size, smooth=cpu.steadier.smooth, wrap=cpu.compositor.wrap)
        return parts, f"{get_runtime('tensorrt').description}, frames stay on the GPU"

    def networks_alone() -> tuple[Parts, str]:
        runtime = get_runtime("tensorrt")
        parts = replace(cpu, bshm=load_bshm(preset, runtime, threads))
        return parts, f"{runtime.description}, composites on the CPU"

    def twin() -> Matter:
        return load_bshm(preset, get_runtime("onnxruntime"), threads=1)

    clip = VideoFile(demo_clip())
    known = next(iter(clip)).image.copy()
    clip.close()
    trial = Trial(cpu, twin, known)
    return Swap(cpu, Builder(command), (whole, networks_alone), trial, say)
