"""The three networks on GPU memory: picture in, matte out, and nothing copied between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..errors import EngineError
from ..matting.check import FAULT_TEXT, check
from ..matting.preprocess import colour_image, hint_tensor
from ..types import SPARSE, Alpha, Hint, HostMatte, Matte, Picture, Shape
from .cuda import Array, Buffer, Cuda, DeviceEngine, Memory
from .kernels import (
    FAULT_WORD,
    MOST_HALVED,
    STATE_WORDS,
    CheckKernel,
    PrepareKernel,
    TurnKernel,
    launch,
    ratio,
)
from .lane import Lane, Lanes, read

Clock = Callable[[str], None]


@runtime_checkable
class HintWriter(Protocol):
    """The DeviceHint of this GPU: fills MPN's hint once the low picture is there."""

    @property
    def cuda(self) -> Cuda: ...
    def write(self, low: Buffer, hint: Buffer, state: Buffer, lane: Lane) -> None: ...


class DeviceMatte:
    """A Matte that lies on the GPU; a field is fetched when it is first asked for.

    Valid until the next frame begins. `frame` is the picture it belongs to,
    `buffers` has the networks' results, and `levels`, `low_alpha` and `moments` once
    the matte is steady.
    """

    def __init__(self, lane: Lane, frame: Buffer, buffers: Mapping[str, Buffer]) -> None:
        self.lane, self.frame, self.buffers = lane, frame, dict(buffers)

    @cached_property
    def alpha(self) -> Alpha:
        return plane(self._read("alpha"))

    @cached_property
    def residual(self) -> NDArray[np.float32]:
        return colour_image(self._read("residual"))

    @cached_property
    def unified(self) -> Alpha:
        return plane(self._read("unified"))

    @cached_property
    def coarse(self) -> Alpha:
        return plane(self._read("coarse"))

    @cached_property
    def guide(self) -> Picture:
        return self._read("guide")

    @cached_property
    def _sparse(self) -> Alpha:
        steady = "low_alpha" in self.buffers
        return self._read("low_alpha") if steady else self.alpha[::SPARSE, ::SPARSE]

    def sparse(self) -> Alpha:
        """The mean alpha of every 4x4 pixels, once it is steady: all that is fetched then."""
        return self._sparse

    def sound(self) -> bool:
        """What the `check` kernel said of this frame's matte."""
        return not self._read("state")[FAULT_WORD]

    def weighted(self, weight: Alpha) -> DeviceMatte:
        """As HostMatte.weighted, by way of the host, and waited for. Not once it is steady."""
        buffer = self.buffers["alpha"]
        alpha = (self.alpha * weight).reshape(buffer.shape)
        with self.lane.cuda.active():
            self.lane.upload("weighted", alpha, buffer.pointer)
            self.lane.cuda.synchronize(self.lane.stream)
        return DeviceMatte(self.lane, self.frame, self.buffers)

    def _read(self, name: str) -> Array:
        with self.lane.cuda.active():
            return read(self.lane, self.buffers[name])

    def on_host(self) -> HostMatte:
        """All fields, copied to the host."""
        return HostMatte(self.alpha, self.residual, self.unified, self.coarse, self.guide)


def plane(tensor: Array) -> Array:
    """(1, 1, H, W) to (H, W)."""
    return tensor.reshape(tensor.shape[-2:])


class GpuBshm:
    """As Bshm, on a GPU. Owns its engines, not the lanes.

    The size of the pictures may change: new memory is allocated then.
    """

    def __init__(self, lanes: Lanes, mpn: DeviceEngine, qun: DeviceEngine, mrn: DeviceEngine):
        self.cuda: Cuda = lanes.cuda
        self.lanes = lanes
        self.mpn, self.qun, self.mrn = mpn, qun, mrn
        self.low: Shape = mpn.inputs["image"][2:]
        self.high: Shape = mrn.inputs["image"][2:]
        with self.cuda.active():
            self._memory = Memory(self.cuda)
            self.buffers = self._allocate()
            self._bind()

    def _allocate(self) -> dict[str, Buffer]:
        array = self._memory.array
        buffers = {
            "low": array((1, 3, *self.low), np.float32),
            "high": array((1, 3, *self.high), np.float32),
            "hint": array((1, 1, *self.low), np.float32),
            "coarse": array((1, 1, *self.low), np.float32),
            "unified": array((1, 1, *self.low), np.float32),
            "alpha": array((1, 1, *self.high), np.float32),
            "residual": array((1, 3, *self.low), np.float32),
            "guide": array((*self.high, 3), np.uint8),
            "state": array((STATE_WORDS,), np.uint32),
        }
        lane = self.lanes.all[0]
        self.cuda.clear(buffers["state"].pointer, buffers["state"].size, lane.stream)
        self.cuda.synchronize(lane.stream)
        return buffers

    def _bind(self) -> None:
        for engine, image in ((self.mpn, "low"), (self.qun, "low"), (self.mrn, "high")):
            for name, shape in {**engine.inputs, **engine.outputs}.items():
                buffer = self.buffers[image if name == "image" else name]
                if tuple(shape) != buffer.shape:
                    raise EngineError(f"a network's {name} is {shape}, not {buffer.shape}")
                engine.bind(name, buffer.pointer)

    def matte(
        self,
        picture: Picture,
        hint: Hint | None = None,
        clock: Clock = lambda stage: None,
    ) -> Matte:
        """As Bshm.matte. With a hint that lies on the GPU the matte stays there too.

        `clock` is told one stage: the networks are queued together. Raises
        EngineError, also for a matte that is not valid.
        """
        with self.cuda.active():
            matte = self.begin(picture, hint)
            if not matte.sound():
                raise EngineError(FAULT_TEXT)
        clock("matte")
        if isinstance(hint, HintWriter):
            return matte
        full = matte.on_host()
        check(full)
        return full

    def begin(self, picture: Picture, hint: Hint | None) -> DeviceMatte:
        """Queues a frame up to its matte and returns at once. The GPU must be current.

        A matte that is not valid sets the fault word of `state`, and its composite
        is the background alone.
        """
        lane, use = self.lanes.next(), self.buffers
        frame = lane.load(picture)
        self.lanes.enter(lane)
        stream = lane.stream
        launch(self.cuda, TurnKernel(use["state"].pointer), (1, 1), stream)
        self._prepare(frame, lane)
        self._hint(hint, lane)
        lane.mark("preprocess")
        for name, engine in (("mpn", self.mpn), ("qun", self.qun), ("mrn", self.mrn)):
            engine.enqueue(stream)
            lane.mark(name)
        names = ("coarse", "unified", "residual", "alpha", "state")
        pointers = [use[name].pointer for name in names]
        launch(self.cuda, CheckKernel(*pointers, *self._low_size()), self._low_size(), stream)
        lane.mark("temporal")
        self.cuda.record(lane.done, stream)
        fields = ("low", "alpha", "residual", "unified", "coarse", "guide", "state")
        return DeviceMatte(lane, frame, {name: use[name] for name in fields})

    def _prepare(self, frame: Buffer, lane: Lane) -> None:
        height, width = frame.shape[:2]
        halved = [halvings(*sides) for sides in zip(frame.shape[:2], self.high, strict=True)]
        if max(halved) > MOST_HALVED:
            raise EngineError(f"a picture of {width}x{height} is too large: make it smaller")
        scales = [
            ratio(side >> times, high)
            for side, times, high in zip(frame.shape[:2], halved, self.high, strict=True)
        ]
        targets = (self.buffers[name].pointer for name in ("low", "high", "guide"))
        arguments = PrepareKernel(
            frame.pointer, *targets, *scales[::-1], width, height, *self._low_size(), *halved[::-1]
        )
        launch(self.cuda, arguments, self._low_size(), lane.stream)

    def _hint(self, hint: Hint | None, lane: Lane) -> None:
        target = self.buffers["hint"]
        if hint is None:
            self.cuda.clear(target.pointer, target.size, lane.stream)
        elif isinstance(hint, HintWriter):
            hint.write(self.buffers["low"], target, self.buffers["state"], lane)
        else:
            lane.upload("hint", hint_tensor(hint, self.low), target.pointer)

    def _low_size(self) -> tuple[int, int]:
        return self.low[1], self.low[0]

    def close(self) -> None:
        """Frees all but the lanes, each part even if another fails. Raises EngineError."""
        with ExitStack() as parts:
            for engine in (self.mpn, self.qun, self.mrn):
                parts.callback(engine.close)
            with self.cuda.active():
                self.lanes.synchronize()
                self._memory.close()

    def __enter__(self) -> GpuBshm:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


def halvings(side: int, target: int) -> int:
    """How often preprocess.resized halves a side before its bilinear step."""
    times = 0
    while side >> times >= 2 * target:
        times += 1
    return times
