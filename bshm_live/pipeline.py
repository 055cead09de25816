"""The loop: from a source through the three networks to the sinks, in order."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence

import cv2
import numpy as np

from .background import Background, cover
from .bshm import Bshm
from .composite import Compositor
from .errors import EngineError
from .temporal import Steadier
from .types import Frame, Matte, Shot, Sink, Size

STAGES = ("preprocess", "mpn", "qun", "mrn", "temporal", "background", "composite", "sink")
KEPT = 10_000  # latest times of each stage: a call may last for hours

Quantiles = dict[str, dict[str, float]]  # stage: p50 and p95 in milliseconds


class StageClock:
    """Milliseconds per stage, from the end of the last one to the call."""

    def __init__(self) -> None:
        self.clear()
        self.start()

    def clear(self) -> None:
        self.times: dict[str, deque[float]] = {}

    def start(self) -> None:
        self._last = time.perf_counter()

    def __call__(self, stage: str) -> None:
        now = time.perf_counter()
        self.times.setdefault(stage, deque(maxlen=KEPT)).append((now - self._last) * 1e3)
        self._last = now

    def quantiles(self) -> Quantiles:
        """Of the stages that ran, in order."""
        return {stage: quantiles(self.times[stage]) for stage in STAGES if stage in self.times}


def quantiles(times: Iterable[float]) -> dict[str, float]:
    p50, p95 = np.quantile(list(times), (0.5, 0.95))
    return {"p50": float(p50), "p95": float(p95)}


def stage_table(stages: Mapping[str, Mapping[str, float]]) -> str:
    """Milliseconds per stage, a line each."""
    rows = [f"{stage:12}{q['p50']:8.1f}{q['p95']:8.1f}" for stage, q in stages.items()]
    return "\n".join([f"{'stage':12}{'p50 ms':>8}{'p95 ms':>8}", *rows])


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
