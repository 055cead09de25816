"""What is told of a live picture: troubles as they come, figures when they are asked for."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from typing import Any

from ..console import say
from ..loop.clock import quantiles, stage_table
from ..loop.pipeline import Pipeline
from ..types import Shot, Sink
from .steering import Steering

# Frames without a matte after which it is told: shorter ones are counted at the end only.
TELL_AFTER = 5
MARK_S, RATE_S = 0.5, 5.0  # rates are those of the last five seconds
DELAYS = 150  # frames whose delay counts


class LiveWatch:
    """Called after every frame: tells what changed, counts, and says when to stop."""

    def __init__(
        self,
        pipeline: Pipeline,
        sinks: Sequence[Sink],
        most: int | None,
        steering: Steering | None = None,
        fps: float = 30.0,
    ) -> None:
        self.pipeline, self.sinks, self.most = pipeline, sinks, most
        self._steering, self._period_s = steering, 1 / fps
        if steering is not None:
            steering.status = self.status
        self.count, self.withheld, self.missed = 0, 0, 0
        self._told: str | None = None
        self._in_row = 0  # frames without a matte
        self._next_index: int | None = None
        self._start = time.monotonic()
        self._marks: deque[tuple[float, float, int]] = deque([(self._start, _cpu_s(), 0)])

    def __call__(self, shot: Shot) -> bool:
        self.count += 1
        if self._next_index is not None:
            self.missed += max(0, shot.index - self._next_index)
        self._next_index = shot.index + 1
        if not self.pipeline.stage.paused:
            self.withheld += not shot.has_person
            self._tell(shot.has_person)
        self._mark()
        if self._steering is not None and shot.has_person:  # the others took the networks no time
            self._steering.frame_done(self.pipeline.clock.took_s, self._period_s)
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

    def _mark(self) -> None:
        """Remembers the clock, the processor's and the count, for the rates of the last seconds."""
        now = time.monotonic()
        if now - self._marks[-1][0] >= MARK_S:
            self._marks.append((now, _cpu_s(), self.count))
            while now - self._marks[0][0] > RATE_S:
                self._marks.popleft()

    def status(self) -> dict[str, Any]:
        """Figures of the last seconds, and counts since the start; for another thread, too."""
        now, cpu, count = time.monotonic(), _cpu_s(), self.count
        then, cpu_then, count_then = self._marks[0]
        seconds, delays = max(now - then, 1e-6), list(self.pipeline.clock.delays)[-DELAYS:]
        return {
            "seconds": round(now - self._start, 1),
            "frames": count,
            "frames_per_second": round((count - count_then) / seconds, 1),
            "cores": round((cpu - cpu_then) / seconds, 2),
            "delay_ms": round(quantiles(delays)["p50"]) if delays else None,
            "dropped": self.missed + self._most_of("dropped"),
            "repeated": self._most_of("repeated"),
            "withheld": self.withheld,
            "trouble": self.pipeline.trouble,
        }

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


def _cpu_s() -> float:
    """Seconds of processor time, all threads added up."""
    return time.process_time()
