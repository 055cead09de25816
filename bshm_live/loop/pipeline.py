"""The loop: from a source through the three networks to the sinks, in order."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import cv2
import numpy as np

from ..compositing.background import Background, cover
from ..compositing.compositor import Compositor
from ..matting.temporal import Steadier
from ..types import (
    Composite,
    Frame,
    Layers,
    Matte,
    Matter,
    Picture,
    Shot,
    Sink,
    Size,
    Steady,
)
from .guard import Guard

# On a GPU the stages up to the matte are one: they are queued together and waited for once.
STAGES = ("preprocess", "mpn", "qun", "mrn", "matte", "temporal", "background", "composite", "sink")
KEPT = 10_000  # latest times of each stage: a call may last for hours
GAP_S = 1.0  # between two frames: after it the last matte says nothing of the next

Quantiles = dict[str, dict[str, float]]  # stage: p50 and p95 in milliseconds


class StageClock:
    """Milliseconds per stage, from the end of the last one to the call."""

    def __init__(self) -> None:
        self.clear()
        self.start()

    def clear(self) -> None:
        self.times: dict[str, deque[float]] = {}
        self.delays: deque[float] = deque(maxlen=KEPT)  # from the camera to the last sink

    def start(self) -> None:
        self._last = time.perf_counter()

    def __call__(self, stage: str) -> None:
        now = time.perf_counter()
        self.times.setdefault(stage, deque(maxlen=KEPT)).append((now - self._last) * 1e3)
        self._last = now

    def arrived(self, captured: float | None) -> None:
        """A frame captured at that time.monotonic() has left through the last sink."""
        if captured is not None:
            self.delays.append((time.monotonic() - captured) * 1e3)

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
    alone, or as `card` where one is given; without it (files, where a run can be
    repeated) the error is raised. `trouble` says why the last frame was withheld.
    Whose mattes lie on a GPU brings its own `steadier` and `compositor`.
    """

    def __init__(
        self,
        bshm: Matter,
        background: Background,
        size: Size,
        *,
        mirror: bool = False,
        smooth: bool = True,
        fail_closed: bool = True,
        card: Picture | None = None,
        steadier: Steady | None = None,
        compositor: Composite | None = None,
    ) -> None:
        self.bshm, self.background, self.card = bshm, background, card
        self.size, self.mirror = size, mirror
        self.steadier: Steady = steadier or Steadier(smooth=smooth)
        self.guard = Guard(strict=not fail_closed)
        self.compositor: Composite = compositor or Compositor(size)
        self.clock = StageClock()
        self._seen: tuple[int, float] | None = None  # session and time of the last frame

    @property
    def trouble(self) -> str | None:
        return self.guard.reason

    def run(
        self,
        source: Iterable[Frame],
        sinks: Sequence[Sink],
        after: Callable[[Shot], bool] = lambda shot: True,
    ) -> int:
        """Until the source ends or `after` says False. Returns the number of frames."""
        count = 0
        foreground = any(sink.needs_foreground for sink in sinks)
        for frame, shot in self.shots(source, foreground=foreground):
            for sink in sinks:
                sink.send(shot)
            self.clock("sink")
            self.clock.arrived(frame.captured)
            count += 1
            if not after(shot):
                break
        return count

    def shots(self, source: Iterable[Frame], *, foreground: bool) -> Iterator[tuple[Frame, Shot]]:
        """Every frame and what became of it, in order."""
        for frame in source:
            yield frame, self.shoot(frame, foreground=foreground)

    def shoot(self, frame: Frame, *, foreground: bool = False) -> Shot:
        """One frame's way: preprocess ▸ MPN ▸ QUN ▸ MRN ▸ temporal ▸ guard ▸ composite."""
        self.clock.start()
        frame = self._fit(frame)
        self._mind_the_gap(frame)
        matte = self._matte(frame)
        layers = None if matte is None else self._composite(frame, matte, foreground)
        covered = layers is not None
        if layers is None:
            layers = self._withhold(frame)
        self.clock("composite")
        return Shot(*layers, frame.index, frame.time, covered)

    def _matte(self, frame: Frame) -> Matte | None:
        """This frame's own matte, or None where it has none that may leave."""
        hint = self.steadier.hint(frame.image)

        def attempt() -> Matte:
            matte = self.steadier.steady(self.bshm.matte(frame.image, hint, self.clock))
            self.clock("temporal")
            return matte

        matte = self.guard(attempt)
        if matte is None:
            self.steadier.reset()  # a matte in doubt must not be the next one's hint
        return matte

    def _composite(self, frame: Frame, matte: Matte, foreground: bool) -> Layers | None:
        """The person before the background; None where it is not what the matte says."""

        def attempt() -> tuple[Layers, Picture]:
            backdrop = self.background(frame, matte)
            self.clock("background")
            layers = self.compositor(frame.image, matte, backdrop, foreground=foreground)
            return layers, backdrop

        return self.guard.composite(attempt, matte)

    def _withhold(self, frame: Frame) -> Layers:
        """The background alone, or the card."""
        backdrop = self.background(frame, None) if self.card is None else self.card
        self.clock("background")
        return self.compositor.covered(backdrop)

    def _mind_the_gap(self, frame: Frame) -> None:
        """Forgets the last frame where this one has nothing to do with it."""
        last, self._seen = self._seen, (frame.session, frame.time)
        if last is None:
            return
        if frame.session != last[0] or not 0 <= frame.time - last[1] <= GAP_S:
            self.steadier.reset()
            self.guard.reset()

    def _fit(self, frame: Frame) -> Frame:
        """The frame at the output's size, mirrored where asked for."""
        image = frame.image
        if image.shape[1::-1] != self.size:
            image = cover(image, self.size)
        if self.mirror:
            image = cv2.flip(image, 1)
        return frame if image is frame.image else replace(frame, image=image)
