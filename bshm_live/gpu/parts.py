"""The three parts of the data path that run on a GPU, made together; and two frames in flight."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ..background import Background
from ..errors import EngineError
from ..types import Frame, Shot, Size
from .compositor import Format, GpuCompositor
from .cuda import Cuda, DeviceEngine
from .lane import Lanes
from .matter import FAULT_TEXT, DeviceMatte, GpuBshm
from .steadier import GpuSteadier

IN_FLIGHT = 2


@dataclass(frozen=True)
class GpuParts:
    """What stands in a Pipeline for its bshm, steadier and compositor."""

    lanes: Lanes
    bshm: GpuBshm
    steadier: GpuSteadier
    compositor: GpuCompositor

    def close(self) -> None:
        self.compositor.close()
        self.steadier.close()
        self.bshm.close()
        with self.bshm.cuda.active():
            self.lanes.close()

    def shots(
        self,
        frames: Iterable[Frame],
        background: Background,
        *,
        foreground: bool = False,
        strict: bool = False,
    ) -> Iterator[Shot]:
        """Finished frames in order, each made while the one before it is on its way.

        For files: one frame's upload and way back overlap with the other one's
        networks, and each leaves one frame later than it could. All have the
        compositor's size. A frame without a valid matte is the background
        alone, or with `strict` an EngineError. A shot's arrays are valid until the
        next one is asked for.
        """
        waiting: deque[tuple[Frame, DeviceMatte]] = deque()
        for frame in frames:
            waiting.append((frame, self._begin(frame, background, foreground)))
            if len(waiting) == IN_FLIGHT:
                yield self._finish(*waiting.popleft(), foreground, strict)
        while waiting:
            yield self._finish(*waiting.popleft(), foreground, strict)

    def _begin(self, frame: Frame, background: Background, foreground: bool) -> DeviceMatte:
        with self.bshm.cuda.active():
            hint = self.steadier.hint(frame.image)
            matte = self.steadier.begin(self.bshm.begin(frame.image, hint))
            self.compositor.begin(matte, background(frame, matte), foreground=foreground)
        return matte

    def _finish(self, frame: Frame, matte: DeviceMatte, foreground: bool, strict: bool) -> Shot:
        with self.bshm.cuda.active():
            layers = self.compositor.finish(matte.lane, foreground=foreground)
        fault = bool(matte.lane.fault[0])
        if fault and strict:
            raise EngineError(FAULT_TEXT)
        return Shot(*layers, frame.index, frame.time, not fault)


def gpu_parts(
    cuda: Cuda,
    engines: tuple[DeviceEngine, DeviceEngine, DeviceEngine],
    size: Size,
    *,
    smooth: bool = True,
    wrap: float = 0.0,
    layout: Format = "bgr",
) -> GpuParts:
    """MPN, QUN and MRN on a GPU, and what goes around them, for frames of one size.

    Owns the engines. Raises EngineError.
    """
    with cuda.active():
        lanes = Lanes(cuda, IN_FLIGHT)
    bshm = GpuBshm(lanes, *engines)
    compositor = GpuCompositor(bshm, size, wrap=wrap, layout=layout)
    return GpuParts(lanes, bshm, GpuSteadier(bshm, smooth=smooth), compositor)
