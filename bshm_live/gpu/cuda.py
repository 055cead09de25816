"""What the data path asks of a GPU, and of networks that run on one.

Pointers and streams are plain integers, CUDA's own handles. Everything that
takes a stream only queues the work and returns; work on one stream runs in
order, work on two streams in any order except where an event ties them.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from math import prod
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..types import Shape

Pointer: TypeAlias = int
Stream: TypeAlias = int
Event: TypeAlias = Any  # the adapter's own
Array: TypeAlias = "NDArray[Any]"


class Cuda(Protocol):
    """One GPU and its compiled kernels. Raises EngineError."""

    def active(self) -> AbstractContextManager[None]:
        """Makes the GPU current in this thread; everything below is called inside."""
        ...

    def allocate(self, size: int) -> Pointer:
        """Uninitialised GPU memory, `size` in bytes."""
        ...

    def free(self, pointer: Pointer) -> None: ...
    def pinned(self, shape: Shape, dtype: DTypeLike) -> Array:
        """Page-locked host memory, which the GPU can read and write; C-contiguous."""
        ...

    def stream(self) -> Stream: ...
    def upload(self, pointer: Pointer, array: Array, stream: Stream) -> None:
        """`array` must be pinned and must not change until the stream has done the copy."""
        ...

    def download(self, array: Array, pointer: Pointer, stream: Stream) -> None:
        """`array` must be pinned, and is valid once the stream has done the copy."""
        ...

    def clear(self, pointer: Pointer, size: int, stream: Stream) -> None:
        """Sets `size` bytes to zero; a multiple of 4."""
        ...

    def launch(
        self,
        kernel: str,
        grid: tuple[int, int],
        block: tuple[int, int],
        arguments: bytes,
        stream: Stream,
    ) -> None: ...

    def event(self) -> Event: ...
    def record(self, event: Event, stream: Stream) -> None: ...
    def wait(self, stream: Stream, event: Event) -> None:
        """What is queued on `stream` from now on waits for the event's last record."""
        ...

    def elapsed(self, first: Event, second: Event) -> float:
        """Milliseconds between two recorded events that have passed."""
        ...

    def synchronize(self, stream: Stream) -> None:
        """Returns when all work queued on the stream is done."""
        ...


class DeviceEngine(Protocol):
    """A network that reads and writes GPU memory. Raises EngineError.

    Every input and output is bound to a pointer once; `enqueue` queues one run.
    All tensors are float32.
    """

    @property
    def inputs(self) -> Mapping[str, Shape]: ...
    @property
    def outputs(self) -> Mapping[str, Shape]: ...
    def bind(self, name: str, pointer: Pointer) -> None: ...
    def enqueue(self, stream: Stream) -> None: ...
    def close(self) -> None: ...


@dataclass(frozen=True)
class Buffer:
    """An array on the GPU."""

    pointer: Pointer
    shape: Shape
    dtype: np.dtype[Any]

    @property
    def size(self) -> int:
        """In bytes."""
        return prod(self.shape) * self.dtype.itemsize


class Memory:
    """GPU arrays that are freed together."""

    def __init__(self, cuda: Cuda) -> None:
        self.cuda = cuda
        self._buffers: list[Buffer] = []

    def array(self, shape: Shape, dtype: DTypeLike) -> Buffer:
        kind = np.dtype(dtype)
        buffer = Buffer(self.cuda.allocate(prod(shape) * kind.itemsize), tuple(shape), kind)
        self._buffers.append(buffer)
        return buffer

    def close(self) -> None:
        while self._buffers:
            self.cuda.free(self._buffers.pop().pointer)
