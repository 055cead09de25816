"""The loop: from a source through the three networks to the sinks, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from ..compositing.fit import cropped, fitted, turned
from ..compositing.framing import Finder, Framer
from ..compositing.grading import Grading
from ..compositing.opacity import kept_away
from ..compositing.placing import Placer
from ..errors import EngineError
from ..matting.subjects import Subjects
from ..matting.window import Cropper, change
from ..sources.orientation import TURNED
from ..types import Frame, Layers, Matte, Parts, Picture, Shot, Sink, Size, Supply, Window
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
    frame was withheld. `find` finds heads, for framing.
    """

    def __init__(
        self,
        supply: Supply,
        stages: Stages,
        size: Size,
        *,
        fail_closed: bool = True,
        find: Finder | None = None,
    ) -> None:
        self.supply, self.stages, self.size = supply, stages, size
        self.framer, self._crop = Framer(size, find), Cropper(size)
        self._window: Window | None = None  # of the last frame
        self.subjects = Subjects()
        self.placer = Placer(size)
        self.stage = stages()
        self.placer.jump(self.stage.place)
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
        """A frame's way: framing ▸ preprocess ▸ MPN ▸ QUN ▸ MRN ▸ subjects ▸ temporal ▸ guard ▸
        composite.
        """
        self.clock.start()
        self._take()
        self._mind_the_gap(frame)
        frame = self._fit(frame)
        self._mind_the_window(frame)
        matte = None if self.stage.paused else self._matte(frame)
        if self.stage.framing:
            self.framer.saw(matte, self.stage.framing, strict=self.stage.subject > 0)
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
        matte = parts.matting.matte(frame.image, hint, self.clock)
        if self.stage.subject:
            matte = self.subjects(matte, self.stage.subject, frame.time)
        matte = parts.steadier.steady(matte)
        self.clock("temporal")
        return matte

    def _composite(self, frame: Frame, matte: Matte, foreground: bool) -> Layers | None:
        """The person before the background; None where it is not what the matte says."""
        backdrop = self.placer.black
        placed = self.placer.step(self.stage.place, frame.time)

        def attempt() -> tuple[Layers, Picture]:
            nonlocal backdrop
            backdrop = self.stage.background(frame, matte)
            self.clock("background")
            behind = self.placer.black if placed else backdrop
            compositor = self._parts.compositor
            self._grade(frame, matte, backdrop)
            if placed:
                compositor.wrap = 0.0  # black gives no light
            try:
                layers = compositor(frame.image, matte, behind, foreground=foreground)
            except EngineError as error:
                self._use(self.supply.instead(error) or self._parts)
                raise
            return kept_away(layers, behind, frame), behind

        layers = self.guard.composite(attempt, matte)
        if layers is None or not placed:
            return layers
        layers = self.placer(layers, backdrop)
        return layers if self.guard.passes(layers[0], layers[1], matte, backdrop) else None

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
            self.framer.reset()
            self.subjects.reset()

    def _mind_the_window(self, frame: Frame) -> None:
        """Tells what remembers the last frame how far this one shows another part."""
        matrix = change(self._window, frame.window)
        if matrix is not None:
            self._parts.steadier.moved(matrix)
            self.subjects.moved(matrix)
        self._window = frame.window

    def _fit(self, frame: Frame) -> Frame:
        """The frame at the output's size, turned, framed and mirrored where asked for."""
        stage = self.stage
        frame = turned(frame, TURNED[stage.rotate])
        window = self.framer.window(frame, stage.framing, whole=stage.whole, mirror=stage.mirror)
        if self.framer.rests_at_home:
            whole = stage.whole and stage.framing is None
            frame = fitted(frame, self.size, whole=whole, mirror=stage.mirror)
        else:
            frame = cropped(frame, window, self._crop)
        return replace(frame, window=window)
