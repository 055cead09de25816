"""Two frames in flight: each has a lane of its own, and the networks take turns."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ..types import Picture, Shape
from .cuda import Array, Buffer, Cuda, Event, Memory, Pointer


class Lane:
    """One frame's stream and its own memory, on the host and on the GPU.

    Upload and download of one lane overlap with the other lane's kernels.
    """

    def __init__(self, cuda: Cuda) -> None:
        self.cuda = cuda
        self.stream = cuda.stream()
        self.done = cuda.event()  # the next frame may use the shared buffers
        self.fault = cuda.pinned((1,), np.uint32)  # of the last downloaded composite
        self.timed = False
        self._memory = Memory(cuda)
        self._host: dict[str, Array] = {}
        self._device: dict[str, Buffer] = {}
        self._marks: list[tuple[str, Event]] = []

    def host(self, name: str, shape: Shape, dtype: DTypeLike = np.uint8) -> Array:
        """The lane's pinned array of that name; a new one if the shape has changed."""
        array = self._host.get(name)
        if array is None or array.shape != shape or array.dtype != dtype:
            array = self._host[name] = self.cuda.pinned(shape, dtype)
        return array

    def device(self, name: str, shape: Shape, dtype: DTypeLike = np.uint8) -> Buffer:
        """The lane's GPU array of that name; a new one if the shape has changed."""
        buffer = self._device.get(name)
        if buffer is None or buffer.shape != tuple(shape):
            buffer = self._device[name] = self._memory.array(shape, dtype)
        return buffer

    def upload(self, name: str, array: Array, pointer: Pointer) -> None:
        """Through the lane's own pinned memory, unless `array` is that memory.

        A source that decodes straight into `host("frame", ...)` saves the copy.
        """
        staged = self.host(name, array.shape, array.dtype)
        if array is not staged:
            np.copyto(staged, array)
        self.cuda.upload(pointer, staged, self.stream)

    def load(self, picture: Picture) -> Buffer:
        """Queues the next frame's upload, once this lane's last frame is done."""
        self.cuda.synchronize(self.stream)
        self._marks.clear()
        self.mark("start")
        frame = self.device("frame", picture.shape)
        self.upload("frame", picture, frame.pointer)
        self.mark("upload")
        return frame

    def mark(self, stage: str) -> None:
        """Records the end of a stage on the GPU's own clock, if the lane is `timed`."""
        if self.timed:
            event = self.cuda.event()
            self.cuda.record(event, self.stream)
            self._marks.append((stage, event))

    def stage_ms(self) -> dict[str, float]:
        """Milliseconds of each marked stage of the last frame; the stream must be done."""
        spans: dict[str, float] = {}
        for (_, first), (stage, second) in pairwise(self._marks):
            spans[stage] = spans.get(stage, 0.0) + self.cuda.elapsed(first, second)
        return spans

    def close(self) -> None:
        """Frees all memory, pinned memory too. The GPU must be current."""
        self.cuda.synchronize(self.stream)
        self._marks.clear()
        self._host.clear()
        self._device.clear()
        self._memory.close()


class Lanes:
    """Takes the lanes in turn, and keeps the use of shared buffers in order."""

    def __init__(self, cuda: Cuda, count: int = 2) -> None:
        self.cuda = cuda
        with cuda.active():
            self.all = [Lane(cuda) for _ in range(count)]
        self._turn = 0
        self._last: Lane | None = None

    @property
    def last(self) -> Lane:
        """The lane of the newest frame; there must have been one."""
        assert self._last is not None
        return self._last

    def next(self) -> Lane:
        lane = self.all[self._turn % len(self.all)]
        self._turn += 1
        return lane

    def enter(self, lane: Lane) -> None:
        """From here on `lane` may use the shared buffers: it waits for the frame before it."""
        if self._last is not None:
            self.cuda.wait(lane.stream, self._last.done)
        self._last = lane

    def synchronize(self) -> None:
        for lane in self.all:
            self.cuda.synchronize(lane.stream)

    def close(self) -> None:
        with self.cuda.active():
            for lane in self.all:
                lane.close()


def read(lane: Lane, buffer: Buffer) -> np.ndarray[Any, Any]:
    """A new host array with a GPU array's content; waits for it."""
    staged = lane.host(f"read {buffer.shape} {buffer.dtype}", buffer.shape, buffer.dtype)
    lane.cuda.download(staged, buffer.pointer, lane.stream)
    lane.cuda.synchronize(lane.stream)
    return staged.copy()
