"""The loop: from a source through the three networks to the sinks, in order."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

import cv2
import numpy as np

from .background import Background, cover
from .bshm import Bshm
from .composite import Compositor
from .errors import EngineError
from .temporal import Steadier
from .types import Frame, Matte, Shot, Sink, Size

STAGES = ("preprocess", "mpn", "qun", "mrn", "temporal", "background", "composite", "sink")


class StageClock:
    """Milliseconds per stage, from the end of the last one to the call."""

    def __init__(self) -> None:
        self.times: dict[str, list[float]] = defaultdict(list)
        self._last = time.perf_counter()

    def start(self) -> None:
        self._last = time.perf_counter()

    def __call__(self, stage: str) -> None:
        now = time.perf_counter()
        self.times[stage].append((now - self._last) * 1e3)
        self._last = now

    def quantile(self, stage: str, share: float) -> float:
        return float(np.quantile(self.times[stage], share)) if self.times[stage] else 0.0


class Pipeline:
    """What every frame goes through; frame N meets matte N and no other.

    With `fail_closed` a frame without a valid matte leaves as the background
    alone; without it (files, where a run can be repeated) the error is raised.
    """

    def __init__(
        self,
        bshm: Bshm,
        background: Background,
        size: Size,
        *,
        mirror: bool = False,
        smooth: bool = True,
        fail_closed: bool = True,
    ) -> None:
        self.bshm, self.background = bshm, background
        self.size, self.mirror, self.fail_closed = size, mirror, fail_closed
        self.steadier = Steadier(smooth=smooth)
        self.compositor = Compositor(size)
        self.clock = StageClock()
        self.trouble: str | None = None

    def run(
        self,
        source: Iterable[Frame],
        sinks: Sequence[Sink],
        after: Callable[[Shot], bool] = lambda shot: True,
    ) -> int:
        """Until the source ends or `after` says False. Returns the number of frames."""
        count = 0
        foreground = any(sink.needs_foreground for sink in sinks)
        for frame in source:
            shot = self.shoot(frame, foreground=foreground)
            for sink in sinks:
                sink.send(shot)
            self.clock("sink")
            count += 1
            if not after(shot):
                break
        return count

    def shoot(self, frame: Frame, *, foreground: bool = False) -> Shot:
        """One frame's way: preprocess ▸ MPN ▸ QUN ▸ MRN ▸ temporal ▸ composite."""
        self.clock.start()
        frame = self._fit(frame)
        matte = self._matte(frame)
        backdrop = self.background(frame, matte)
        self.clock("background")
        if matte is None:
            layers = self.compositor.covered(backdrop)
        else:
            layers = self.compositor(frame.image, matte, backdrop, foreground=foreground)
        self.clock("composite")
        return Shot(*layers, frame.index, frame.time, matte is not None)

    def _matte(self, frame: Frame) -> Matte | None:
        """This frame's own matte, or None where it has no valid one."""
        try:
            hint = self.steadier.hint(frame.image)
            matte = self.bshm.matte(frame.image, hint, self.clock)
            self.trouble = None
        except EngineError as error:
            if not self.fail_closed:
                raise
            self.trouble = str(error)
            self.steadier.reset()
            return None
        steady = self.steadier.steady(matte)
        self.clock("temporal")
        return steady

    def _fit(self, frame: Frame) -> Frame:
        """The frame at the output's size, mirrored where asked for."""
        image = frame.image
        if image.shape[1::-1] != self.size:
            image = cover(image, self.size)
        if self.mirror:
            image = cv2.flip(image, 1)
        return frame if image is frame.image else Frame(image, frame.index, frame.time)
