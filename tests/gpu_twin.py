"""The in-memory twin of a GPU: kernels.cu compiled for the processor, pointers into host memory.

Its streams are as late as CUDA allows: work that is queued runs when somebody
waits for it, or at any moment before, as a seed decides. Who forgot to wait, or
writes into memory that is still read, is found out. Memory starts as garbage,
and every array is fenced.
"""

from __future__ import annotations

import atexit
import ctypes
import random
import shutil
import subprocess
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bshm_live.gpu.kernels import DEFINITIONS, KERNELS, name_of
from bshm_live.gpu.nvrtc import HEADER as PIXEL
from bshm_live.gpu.nvrtc import SOURCE
from bshm_live.types import Engine, Shape

HEADER = Path(__file__).with_name("gpu_host.h")
FENCE = 64  # bytes before and behind every array
GARBAGE = 0xFF  # as float32 or float16: not a number


@cache
def host_kernels() -> Path:
    """The kernels' library, compiled once in a test run; skips the test without a compiler."""
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("there is no g++ to compile the kernels for the processor")
    folder = tempfile.mkdtemp(prefix="bshm-kernels-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    library = Path(folder) / "kernels.so"
    options = ["-std=c++17", "-O1", "-ffp-contract=off", "-Wno-unknown-pragmas", "-shared", "-fPIC"]
    options += [*DEFINITIONS, "-include", str(HEADER), "-I", str(PIXEL.parent)]
    command = [compiler, "-x", "c++", *options, str(SOURCE), "-o", str(library)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return library


@dataclass
class Queue:
    """A stream: work in order. `done` and `queued` count it."""

    work: deque[Callable[[], None]] = field(default_factory=deque)
    done: int = 0
    queued: int = 0


@dataclass
class Mark:
    """An event: a place in a stream."""

    stream: int = 0
    place: int = 0


class HostCuda:
    """A Cuda without a GPU. Without a seed work runs at once; without a library, no kernels."""

    def __init__(self, library: Path | None, *, seed: int | None = None) -> None:
        self._library: ctypes.CDLL | None = None
        if library is not None:
            self.use(library)
        self._random = None if seed is None else random.Random(seed)
        self._memory: dict[int, np.ndarray] = {}
        self._queues: dict[int, Queue] = {}
        self.launched: list[str] = []
        self._contexts = threading.local()  # each thread has a stack of its own

    def use(self, library: Path) -> None:
        """Takes its kernels from there."""
        self._library = ctypes.CDLL(str(library))

    @property
    def current(self) -> int:
        """Depth of `active` in this thread."""
        return getattr(self._contexts, "depth", 0)

    @current.setter
    def current(self, depth: int) -> None:
        self._contexts.depth = depth

    @contextmanager
    def active(self) -> Iterator[None]:
        self.current += 1
        try:
            yield
        finally:
            self.current -= 1

    def sizes(self) -> dict[str, int]:
        """Bytes of each kernel's arguments, as the compiler laid them out."""
        names = [name_of(kind) for kind in KERNELS]
        assert self._library is not None
        return {n: ctypes.c_size_t.in_dll(self._library, f"{n}_size").value for n in names}

    def allocate(self, size: int) -> int:
        assert self.current
        whole = np.full(size + 2 * FENCE, GARBAGE, np.uint8)
        pointer = whole.ctypes.data + FENCE
        self._memory[pointer] = whole
        return pointer

    def free(self, pointer: int) -> None:
        assert self.current
        self.check_fences()
        del self._memory[pointer]

    def check_fences(self) -> None:
        for whole in self._memory.values():
            assert (whole[:FENCE] == GARBAGE).all(), "a kernel wrote before an array"
            assert (whole[-FENCE:] == GARBAGE).all(), "a kernel wrote behind an array"

    @property
    def held(self) -> int:
        """How many arrays are not freed."""
        return len(self._memory)

    def pinned(self, shape: Shape, dtype: Any) -> np.ndarray:
        array = np.empty(shape, dtype)
        array.view(np.uint8)[...] = GARBAGE
        return array

    def view(self, pointer: int, shape: Shape, dtype: Any) -> np.ndarray:
        """GPU memory as an array, for whoever plays the GPU."""
        size = prod(shape) * np.dtype(dtype).itemsize
        assert any(p <= pointer and pointer + size <= p + len(m) for p, m in self._memory.items())
        return np.frombuffer((ctypes.c_char * size).from_address(pointer), dtype).reshape(shape)

    def stream(self) -> int:
        self._queues[len(self._queues) + 1] = Queue()
        return len(self._queues)

    def queue(self, stream: int, work: Callable[[], None]) -> None:
        """Anything may happen now that may happen later."""
        assert self.current, "no GPU is current in this thread"
        queue = self._queues[stream]
        queue.work.append(work)
        queue.queued += 1
        if self._random is None:
            self.synchronize(stream)
        elif self._random.random() < 0.3:
            other = self._random.choice(list(self._queues))
            self._run(other, self._queues[other].done + self._random.randrange(4))

    def _run(self, stream: int, place: int) -> None:
        queue = self._queues[stream]
        while queue.work and queue.done < place:
            queue.done += 1
            queue.work.popleft()()

    def synchronize(self, stream: int) -> None:
        assert self.current
        self._run(stream, self._queues[stream].queued)

    def upload(self, pointer: int, array: np.ndarray, stream: int) -> None:
        assert array.flags.c_contiguous
        target = self.view(pointer, array.shape, array.dtype)
        self.queue(stream, lambda: np.copyto(target, array))

    def download(self, array: np.ndarray, pointer: int, stream: int) -> None:
        assert array.flags.c_contiguous
        origin = self.view(pointer, array.shape, array.dtype)
        self.queue(stream, lambda: np.copyto(array, origin))

    def clear(self, pointer: int, size: int, stream: int) -> None:
        target = self.view(pointer, (size,), np.uint8)
        self.queue(stream, lambda: target.fill(0))

    def launch(
        self,
        kernel: str,
        grid: tuple[int, int],
        block: tuple[int, int],
        arguments: bytes,
        stream: int,
    ) -> None:
        self.launched.append(kernel)
        pairs = [(ctypes.c_int * 2)(*pair) for pair in (grid, block)]
        function = getattr(self._library, kernel)
        self.queue(stream, lambda: function(*pairs, arguments))

    def event(self) -> Mark:
        return Mark()

    def record(self, event: Mark, stream: int) -> None:
        event.stream, event.place = stream, self._queues[stream].queued

    def wait(self, stream: int, event: Mark) -> None:
        other, place = event.stream, event.place
        if other:
            self.queue(stream, lambda: self._run(other, place))

    def elapsed(self, first: Mark, second: Mark) -> float:
        assert all(self._queues[m.stream].done >= m.place for m in (first, second))
        return float(second.place - first.place)


class HostEngine:
    """A DeviceEngine that lets an Engine compute on the twin's memory."""

    def __init__(self, cuda: HostCuda, engine: Engine) -> None:
        self.cuda, self.engine = cuda, engine
        self.inputs: Mapping[str, Shape] = engine.inputs
        self.outputs: Mapping[str, Shape] = engine.outputs
        self.bound: dict[str, np.ndarray] = {}

    def bind(self, name: str, pointer: int) -> None:
        shape = {**self.inputs, **self.outputs}[name]
        self.bound[name] = self.cuda.view(pointer, shape, np.float32)

    def enqueue(self, stream: int) -> None:
        def run() -> None:
            feeds = {name: self.bound[name].copy() for name in self.inputs}
            for name, array in self.engine.run(feeds).items():
                self.bound[name][...] = array

        self.cuda.queue(stream, run)

    def close(self) -> None:
        self.engine.close()


def host_engines(
    cuda: HostCuda, engines: Sequence[Engine]
) -> tuple[HostEngine, HostEngine, HostEngine]:
    mpn, qun, mrn = (HostEngine(cuda, engine) for engine in engines)
    return mpn, qun, mrn
