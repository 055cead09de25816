"""The main job: a webcam with another background, into a virtual camera, for hours."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack

from ..console import say
from ..loop.assemble import live_supply
from ..loop.clock import quantiles, stage_table
from ..loop.pipeline import Pipeline
from ..loop.stage import open_stage
from ..runtimes.choice import require
from ..settings import Live, Look, Networks
from ..sinks import open_sink
from ..sinks.virtual_camera import VirtualCamera
from ..sources import open_source
from ..sources.live_camera import AnyOf, LiveCamera
from ..sources.video_file import demo_clip
from ..types import Picture, Shot, Sink, Size
from .signals import end_if_asked, frames, handled, held

# Frames without a matte after which it is told: shorter ones are counted at the end only.
TELL_AFTER = 5


@handled()
def run_live(look: Look, networks: Networks, live: Live) -> None:
    """From source to sinks until the source ends, `live.frames` are done or a signal comes."""
    require(networks.runtime)  # before a camera is opened for nothing
    with ExitStack() as stack:
        text = str(demo_clip()) if live.source == "demo" else live.source
        source = open_source(text, live.size, live.fps, say)
        stack.callback(source.close)
        size = live.size or source.size
        stage = open_stage(look, size, live.on_trouble)
        stack.enter_context(held())  # a recording is whole or not there
        # Before the networks: the camera is there, and again there, seconds earlier.
        sinks = open_sinks(look, live, size, source.fps, stage.empty(size), stack)
        with held(hold=False):
            words, supply = live_supply(networks, size, source.fps, stack, wrap=stage.wrap or 0.0)
        if live.on_demand and isinstance(source, LiveCamera):
            rest_on_demand(source, sinks, stack)
        pipeline = Pipeline(supply, lambda: stage, size)
        say(f"{source.describe()}; output {size[0]}x{size[1]}; {words}")
        for sink in sinks:
            say(sink.describe())
        watch = LiveWatch(pipeline, sinks, live.frames)
        pipeline.run(frames(source), sinks, watch)
        if not watch.count:
            end_if_asked()  # there is nothing to keep
        watch.summary(stats=live.stats)


class LiveWatch:
    """Called after every frame: tells what changed, counts, and says when to stop."""

    def __init__(self, pipeline: Pipeline, sinks: Sequence[Sink], most: int | None) -> None:
        self.pipeline, self.sinks, self.most = pipeline, sinks, most
        self.count, self.withheld, self.missed = 0, 0, 0
        self._told: str | None = None
        self._in_row = 0  # frames without a matte
        self._next_index: int | None = None
        self._start = time.monotonic()

    def __call__(self, shot: Shot) -> bool:
        self.count += 1
        self.withheld += not shot.has_person
        if self._next_index is not None:
            self.missed += max(0, shot.index - self._next_index)
        self._next_index = shot.index + 1
        self._tell(shot.has_person)
        if any(getattr(sink, "closed", False) for sink in self.sinks):
            return False
        return self.most is None or self.count < self.most

    def _tell(self, has_person: bool) -> None:
        """A line when the matte has been away for some frames, and when it is back."""
        self._in_row = 0 if has_person else self._in_row + 1
        if has_person and self._told:
            self._told = None
            say("the matte is back")
        elif self._in_row >= TELL_AFTER and self.pipeline.trouble != self._told:
            self._told = self.pipeline.trouble
            say(f"{self._instead()}: {self._told}")

    def _instead(self) -> str:
        return "background alone" if self.pipeline.stage.card is None else "card"

    def summary(self, *, stats: bool) -> None:
        """Frames and rate; what was dropped, repeated and withheld; the delay."""
        seconds = max(time.monotonic() - self._start, 1e-6)
        notes = [f"{self.count} frames in {seconds:.1f} s: {self.count / seconds:.1f} frames/s"]
        if dropped := self.missed + self._most_of("dropped"):
            notes.append(f"{dropped} dropped")
        if repeated := self._most_of("repeated"):
            notes.append(f"{repeated} repeated")
        if self.withheld:
            notes.append(f"{self.withheld} with the {self._instead()}")
        say(", ".join(notes))
        stages = self.pipeline.clock.quantiles()
        if delays := self.pipeline.clock.delays:
            stages["delay"] = delay = quantiles(delays)
            say(
                f"delay from camera to sink: p50 {delay['p50']:.0f} ms, p95 {delay['p95']:.0f} ms; "
                f"set {delay['p50']:.0f} ms audio delay in OBS or PipeWire"
            )
        if stats:
            say(stage_table(stages))

    def _most_of(self, name: str) -> int:
        """The largest of a count that some sinks keep."""
        return max((getattr(sink, name, 0) for sink in self.sinks), default=0)


def open_sinks(
    look: Look, live: Live, size: Size, fps: float, placeholder: Picture, stack: ExitStack
) -> list[Sink]:
    """All sinks, closed with `stack`: each, and a recording is kept, whatever ended the run."""
    transparent = look.background.kind == "none"
    sinks: list[Sink] = []
    for text in live.sinks:
        sinks.append(open_sink(text, size, fps, placeholder=placeholder, transparent=transparent))
        stack.callback(sinks[-1].close)
    return sinks


def rest_on_demand(camera: LiveCamera, sinks: Sequence[Sink], stack: ExitStack) -> None:
    """The camera is off while no program reads any of the virtual cameras."""
    found = [sink.viewers() for sink in sinks if isinstance(sink, VirtualCamera)]
    known = [viewers for viewers in found if viewers is not None]
    if len(known) < len(found):
        say("--on-demand: who reads the virtual camera cannot be known here; the camera stays on")
        return
    camera.viewers = AnyOf(known)
    stack.callback(camera.viewers.close)
