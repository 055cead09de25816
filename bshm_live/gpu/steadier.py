"""Steadies the matte on the GPU; the last one and the last glance never leave it."""

from __future__ import annotations

import numpy as np

from ..kernels.call import MOMENTS
from ..matting.window import moved
from ..types import Matrix, Matte, Picture
from .cuda import Buffer, Memory
from .kernels import GLANCE, GateKernel, GlanceKernel, HintKernel, SteadyKernel, launch
from .lane import Lane, Lanes, read
from .matting import DeviceMatte, GpuBshm


class GpuSteadier:
    """As Steadier, for the mattes of one GpuBshm; it is itself the hint that it gives.

    Whether the scene was cut is seen on the low picture, and decided by the
    kernels: nothing waits for the answer.
    """

    def __init__(self, bshm: GpuBshm, *, smooth: bool = True) -> None:
        self.smooth = smooth
        self.cuda = bshm.cuda
        self.lanes: Lanes = bshm.lanes
        self._low = (bshm.low[1], bshm.low[0])
        self._has_last = False
        with self.cuda.active():
            self._memory = Memory(self.cuda)
            array = self._memory.array
            low, high = bshm.low, bshm.high
            self._glance = array(GLANCE, np.uint8)
            self._weight = array(low, np.float32)
            self._low_alpha = array(low, np.float32)
            self._last = array(high, np.float32)
            self._levels = array(high, np.uint8)
            self._moments = array((*low, MOMENTS), np.float32)

    def moved(self, change: Matrix) -> None:
        """As Steadier.moved, by way of the host, and waited for: pictures are moved but rarely.

        A glance stays where it is: it is too coarse to notice what moves in one frame.
        """
        if not self._has_last:
            return
        with self.cuda.active():
            lane = self.lanes.last
            for name in ("_last", "_low_alpha"):
                buffer: Buffer = getattr(self, name)
                lane.upload(name, moved(read(lane, buffer), change), buffer.pointer)
            self.cuda.synchronize(lane.stream)

    def hint(self, picture: Picture) -> GpuSteadier:
        """This object: it writes MPN's hint once `picture` is on the GPU."""
        return self

    def write(self, low: Buffer, hint: Buffer, state: Buffer, lane: Lane) -> None:
        """Queues the kernels that write the hint: zeros at the start, after a cut or a fault."""
        glance = GlanceKernel(low.pointer, self._glance.pointer, state.pointer, *self._low)
        launch(self.cuda, glance, (GLANCE[2], GLANCE[1]), lane.stream)
        pointers = (self._low_alpha.pointer, hint.pointer, state.pointer)
        launch(self.cuda, HintKernel(*pointers, *self._low, self._has_last), self._low, lane.stream)

    def steady(self, matte: Matte) -> DeviceMatte:
        """The matte without its flicker, still on the GPU, in this object's memory."""
        if not isinstance(matte, DeviceMatte):
            raise TypeError("a GpuSteadier takes the mattes of its GpuBshm")
        with self.cuda.active():
            return self.begin(matte)

    def begin(self, matte: DeviceMatte) -> DeviceMatte:
        """Queues the kernels. The GPU must be current."""
        lane, given = matte.lane, matte.buffers
        leans = self._has_last and self.smooth
        alpha, state = given["alpha"].pointer, given["state"].pointer
        weight, last = self._weight.pointer, self._last.pointer
        gate = GateKernel(alpha, last, weight, state, *self._low, leans)
        launch(self.cuda, gate, self._low, lane.stream)
        kept = (self._levels, self._low_alpha, self._moments)
        steady = SteadyKernel(
            *(alpha, weight, given["guide"].pointer, last),
            *(buffer.pointer for buffer in kept),
            *(state, *self._low, leans),
        )
        launch(self.cuda, steady, self._low, lane.stream)
        lane.mark("temporal")
        self.cuda.record(lane.done, lane.stream)
        self._has_last = True
        results = {
            "alpha": self._last,
            "levels": self._levels,
            "low_alpha": self._low_alpha,
            "moments": self._moments,
        }
        return DeviceMatte(lane, matte.frame, {**given, **results})

    def reset(self) -> None:
        """Forget: the next frame has nothing to do with the last."""
        self._has_last = False

    def close(self) -> None:
        with self.cuda.active():
            self._memory.close()
