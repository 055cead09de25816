"""The GPU through pycuda, in the context that TensorRT uses too."""

from __future__ import annotations

from contextlib import AbstractContextManager
from ctypes import sizeof
from math import prod
from typing import Any

import numpy as np
import pycuda.driver as driver
from numpy.typing import DTypeLike

from ..runtimes.tensorrt import active, gpu
from ..types import Shape
from .cuda import Array, Event, Pointer, Stream
from .kernels import KERNELS, name_of
from .nvrtc import compiled


class PyCuda:
    """A Cuda. Errors of the driver become EngineError at the end of `active`."""

    def __init__(self) -> None:
        card = gpu()
        code = compiled(card.capability, most=card.cuda[0])
        self._memory: dict[Pointer, Any] = {}
        self._streams: dict[Stream, Any] = {}
        with active():
            self._module = driver.module_from_buffer(code)  # keeps the functions alive
            self._functions = {}
            for kind in KERNELS:
                name = name_of(kind)
                # Prepared: a plain call packs each argument by its type and takes no structure
                self._functions[name] = self._module.get_function(name).prepare(
                    [f"{sizeof(kind)}s"]
                )

    def active(self) -> AbstractContextManager[None]:
        return active()

    def allocate(self, size: int) -> Pointer:
        memory = driver.mem_alloc(size)
        self._memory[int(memory)] = memory
        return int(memory)

    def free(self, pointer: Pointer) -> None:
        self._memory.pop(pointer).free()

    def pinned(self, shape: Shape, dtype: DTypeLike) -> Array:
        flat = driver.pagelocked_empty(max(1, prod(shape)), np.dtype(dtype))
        array: Array = flat[: prod(shape)].reshape(shape)
        return array

    def stream(self) -> Stream:
        stream = driver.Stream()
        self._streams[stream.handle] = stream
        return int(stream.handle)

    def upload(self, pointer: Pointer, array: Array, stream: Stream) -> None:
        driver.memcpy_htod_async(pointer, array, self._streams[stream])

    def download(self, array: Array, pointer: Pointer, stream: Stream) -> None:
        driver.memcpy_dtoh_async(array, pointer, self._streams[stream])

    def clear(self, pointer: Pointer, size: int, stream: Stream) -> None:
        driver.memset_d32_async(pointer, 0, size // 4, self._streams[stream])

    def launch(
        self,
        kernel: str,
        grid: tuple[int, int],
        block: tuple[int, int],
        arguments: bytes,
        stream: Stream,
    ) -> None:
        function, queue = self._functions[kernel], self._streams[stream]
        function.prepared_async_call((*grid, 1), (*block, 1), queue, arguments)

    def event(self) -> Event:
        return driver.Event()

    def record(self, event: Event, stream: Stream) -> None:
        event.record(self._streams[stream])

    def wait(self, stream: Stream, event: Event) -> None:
        self._streams[stream].wait_for_event(event)

    def elapsed(self, first: Event, second: Event) -> float:
        return float(first.time_till(second))

    def synchronize(self, stream: Stream) -> None:
        self._streams[stream].synchronize()
