"""The loop: from a source through the three networks to the sinks, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from ..compositing.fit import fitted, turned
from ..compositing.grading import Grading
from ..compositing.opacity import kept_away
from ..errors import EngineError
from ..sources.orientation import TURNED
from ..types import Frame, Layers, Matte, Parts, Picture, Shot, Sink, Size, Supply
from .clock import StageClock
from .guard import Guard
from .stage import Stages

GAP_S = 1.0  # between two frames: after it the last matte says nothing of the next


class Pipeline:
    """What every frame goes through; frame N meets matte N and no other.

    `supply` is asked for the parts and `stages` for what stands around the person at the
    start of each frame: a change falls between two frames. With `fail_closed` a frame
    without a valid matte leaves as the background alone, or as the stage's card; without it
    (files, where a run can be repeated) the error is raised. `trouble` says why the last
    frame was withheld.
    """

    def __init__(
        self,
        supply: Supply,
        stages: Stages,
        size: Size,
        *,
        fail_closed: bool = True,
    ) -> None:
        self.supply, self.stages, self.size = supply, stages, size
        self.stage = stages()
        self.guard = Guard(strict=not fail_closed)
        self.clock = StageClock()
        self._grading = Grading()
        self._parts: Parts = supply.current()
        self._seen: tuple[int, float] | None = None  # session and time of the last frame

    @property
    def trouble(self) -> str | None:
        return None if self.stage.paused else self.guard.reason

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
        self._take()
        frame = self._fit(frame)
        self._mind_the_gap(frame)
        matte = None if self.stage.paused else self._matte(frame)
        layers = None if matte is None else self._composite(frame, matte, foreground)
        has_person = layers is not None
        if layers is None:
            layers = self._withhold(frame)
        self._touch(layers)
        self.clock("composite")
        return Shot(*layers, frame.index, frame.time, has_person)

    def _take(self) -> None:
        """Takes what has changed since the last frame."""
        self.stage = self.stages()
        self._use(self.supply.current())

    def _use(self, parts: Parts) -> None:
        """These make the pictures from now on, with the stage's light."""
        self._parts = parts
        if self.stage.wrap is not None:
            parts.compositor.wrap = self.stage.wrap

    def _matte(self, frame: Frame) -> Matte | None:
        """This frame's own matte, or None where it has none that may leave."""
        matte = self.guard(frame, lambda: self._attempt(frame))
        if matte is None:
            self._parts.steadier.reset()  # a matte in doubt must not be the next one's hint
        return matte

    def _attempt(self, frame: Frame) -> Matte:
        """The matte of the current parts; where they fail, of those that take their place."""
        try:
            return self._steadied(frame)
        except EngineError as error:
            other = self.supply.instead(error)
            if other is None:
                raise
            self._use(other)
        return self._steadied(frame)

    def _steadied(self, frame: Frame) -> Matte:
        parts = self._parts
        hint = parts.steadier.hint(frame.image)
        matte = parts.steadier.steady(parts.matting.matte(frame.image, hint, self.clock))
        self.clock("temporal")
        return matte

    def _composite(self, frame: Frame, matte: Matte, foreground: bool) -> Layers | None:
        """The person before the background; None where it is not what the matte says."""

        def attempt() -> tuple[Layers, Picture]:
            backdrop = self.stage.background(frame, matte)
            self.clock("background")
            compositor = self._parts.compositor
            self._grade(frame, matte, backdrop)
            try:
                layers = compositor(frame.image, matte, backdrop, foreground=foreground)
            except EngineError as error:
                self._use(self.supply.instead(error) or self._parts)
                raise
            return kept_away(layers, backdrop, frame), backdrop

        return self.guard.composite(attempt, matte)

    def _grade(self, frame: Frame, matte: Matte, backdrop: Picture) -> None:
        """How the compositor changes the person's colours in this frame."""
        stage, compositor = self.stage, self._parts.compositor
        self._grading.see(frame, matte, backdrop, stage.background, stage.wanted)
        compositor.grade = self._grading.grade(frame.time, stage.wanted)
        compositor.calm = self._grading.darkness(frame.time, stage.wanted)

    def _touch(self, layers: Layers) -> None:
        """Draws what lies over all of it: nothing of the camera's."""
        if self.stage.touches is not None:
            self.stage.touches(layers[0])

    def _withhold(self, frame: Frame) -> Layers:
        """The background alone, or the card."""
        stage = self.stage
        backdrop = stage.background(frame, None) if stage.card is None else stage.card
        self.clock("background")
        return self._parts.compositor.background_alone(backdrop)

    def _mind_the_gap(self, frame: Frame) -> None:
        """Forgets the last frame where this one has nothing to do with it."""
        last, self._seen = self._seen, (frame.session, frame.time)
        if last is None:
            return
        if frame.session != last[0] or not 0 <= frame.time - last[1] <= GAP_S:
            self._parts.steadier.reset()
            self.guard.reset()
            self._grading.reset()

    def _fit(self, frame: Frame) -> Frame:
        """The frame at the output's size, turned and mirrored where asked for."""
        stage = self.stage
        frame = turned(frame, TURNED[stage.rotate])
        return fitted(frame, self.size, whole=stage.whole, mirror=stage.mirror)
