"""The loop for files on a GPU: two frames in flight."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

from ..compositing.opacity import kept_away
from ..errors import EngineError
from ..gpu.matting import DeviceMatte
from ..gpu.parts import IN_FLIGHT, GpuParts
from ..matting.check import FAULT_TEXT
from ..types import Frame, Picture, Shot, Size
from .parts import Always
from .pipeline import Pipeline
from .stage import Stages


class InFlight(Pipeline):
    """A Pipeline whose frames are each made while the one before is on its way.

    One frame's upload and way back overlap with the other one's networks, and each
    leaves one frame later than it could: nothing for a live picture, which also
    wants a guard that looks at every matte. A matte that cannot be one is an error.
    """

    def __init__(self, parts: GpuParts, stages: Stages, size: Size) -> None:
        super().__init__(Always(parts), stages, size, fail_closed=False)
        self._gpu = parts

    def shots(self, source: Iterable[Frame], *, foreground: bool) -> Iterator[tuple[Frame, Shot]]:
        """As Pipeline.shots; a shot's arrays are valid until the next one is asked for."""
        waiting: deque[tuple[Frame, DeviceMatte, Picture]] = deque()
        for frame in map(self._fit, source):
            self._mind_the_gap(frame)
            waiting.append((frame, *self._begin(frame, foreground)))
            if len(waiting) == IN_FLIGHT:
                yield self._finish(*waiting.popleft(), foreground)
        while waiting:
            yield self._finish(*waiting.popleft(), foreground)

    def _begin(self, frame: Frame, foreground: bool) -> tuple[DeviceMatte, Picture]:
        """Queues a frame's whole way; its matte, and what lies behind it."""
        parts = self._gpu
        with parts.matting.cuda.active():
            matte = parts.matting.begin(frame.image, parts.steadier.hint(frame.image))
            matte = parts.steadier.begin(matte)
            backdrop = self.stage.background(frame, matte)
            self._grade(frame, matte, backdrop)
            parts.compositor.begin(matte, backdrop, foreground=foreground)
        return matte, backdrop

    def _finish(
        self, frame: Frame, matte: DeviceMatte, backdrop: Picture, foreground: bool
    ) -> tuple[Frame, Shot]:
        """Waits for it. Raises EngineError."""
        with self._gpu.matting.cuda.active():
            layers = self._gpu.compositor.finish(matte.lane, foreground=foreground)
        if matte.lane.fault[0]:
            raise EngineError(FAULT_TEXT)
        layers = kept_away(layers, backdrop, frame)
        self._touch(layers)
        return frame, Shot(*layers, frame.index, frame.time, True)
