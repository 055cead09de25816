"""The main job: a webcam with another background, into a virtual camera, for hours."""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from types import FrameType

from ..compositing.background import card, first_picture, open_background, plain
from ..compositing.compositor import LIGHT_WRAP
from ..console import say
from ..loop.parts import CpuParts, cpu_parts
from ..loop.pipeline import Pipeline, quantiles, stage_table
from ..loop.switch import swap_in
from ..matting.bshm import Bshm
from ..runtimes.choice import Runtime, get_runtime, lacking, load_bshm, require
from ..runtimes.manifest import load_manifest
from ..settings import Settings
from ..sinks import open_sink
from ..sinks.virtual_camera import VirtualCamera
from ..sources import open_source
from ..sources.live_camera import AnyOf, LiveCamera
from ..sources.video_file import VideoFile, demo_clip
from ..types import Matter, Parts, Picture, Shot, Sink, Size

NETWORKS_SHARE = 0.75  # of a frame's time; the rest is for camera, composite and sinks
TRIALS = 7
TRIALS_MS = 300.0  # the first frame waits for them, on a slow machine for fewer
# Frames without a matte after which it is told: shorter ones are counted at the end only.
TELL_AFTER = 5


def run_live(settings: Settings, most: int | None = None) -> None:
    """From source to sinks until the source ends, `most` frames are done or a signal comes."""
    require(settings.runtime)  # before a camera is opened for nothing
    with ExitStack() as parts:
        interrupt_on_term(parts)
        text = str(demo_clip()) if settings.source == "demo" else settings.source
        source = open_source(text, settings.size, settings.fps, say)
        parts.callback(source.close)
        size = settings.size or source.size
        background = open_background(settings.background, size)
        alone = card(size) if settings.on_trouble == "card" else None
        placeholder = first_picture(background, size) if alone is None else alone
        # Before the networks: the camera is there, and again there, seconds earlier.
        sinks = open_sinks(settings, size, source.fps, placeholder, parts)
        runtime, made = live_parts(settings, size, source.fps, parts)
        if settings.on_demand and isinstance(source, LiveCamera):
            rest_on_demand(source, sinks, parts)
        pipeline = Pipeline(
            made.bshm,
            background,
            size,
            mirror=settings.mirror,
            card=alone,
            steadier=made.steadier,
            compositor=made.compositor,
        )
        say(f"{source.describe()}; output {size[0]}x{size[1]}; {runtime.description}")
        for sink in sinks:
            say(sink.describe())
        watch = LiveWatch(pipeline, sinks, most)
        end_on_signal(watch, source, parts)
        pipeline.run(source, sinks, watch)
        watch.summary(stats=settings.stats)


class LiveWatch:
    """Called after every frame: tells what changed, counts, and says when to stop."""

    def __init__(self, pipeline: Pipeline, sinks: Sequence[Sink], most: int | None) -> None:
        self.pipeline, self.sinks, self.most = pipeline, sinks, most
        self.stop, self.count, self.withheld, self.missed = False, 0, 0, 0
        self._told: str | None = None
        self._in_row = 0  # frames without a matte
        self._next_index: int | None = None
        self._start = time.monotonic()

    def __call__(self, shot: Shot) -> bool:
        self.count += 1
        self.withheld += not shot.covered
        if self._next_index is not None:
            self.missed += max(0, shot.index - self._next_index)
        self._next_index = shot.index + 1
        self._tell(shot.covered)
        if any(getattr(sink, "closed", False) for sink in self.sinks):
            return False
        return not self.stop and (self.most is None or self.count < self.most)

    def _tell(self, covered: bool) -> None:
        """A line when the matte has been away for some frames, and when it is back."""
        self._in_row = 0 if covered else self._in_row + 1
        if covered and self._told:
            self._told = None
            say("the matte is back")
        elif self._in_row >= TELL_AFTER and self.pipeline.trouble != self._told:
            self._told = self.pipeline.trouble
            say(f"{self._instead()}: {self._told}")

    def _instead(self) -> str:
        return "background alone" if self.pipeline.card is None else "card"

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


def networks(runtime: str, preset: str, threads: int, parts: ExitStack) -> tuple[Runtime, Bshm]:
    """The runtime of that name and a preset's three networks, closed with `parts`."""
    found = get_runtime(runtime)
    return found, parts.enter_context(load_bshm(preset, found, threads))


def live_parts(
    settings: Settings, size: Size, fps: float, parts: ExitStack
) -> tuple[Runtime, Parts]:
    """The CPU's, or with TensorRT those that become the GPU's; closed with `parts`."""
    if settings.runtime == "tensorrt" or (settings.runtime == "auto" and not lacking("tensorrt")):
        return cpu_then_gpu(settings, size, fps, parts)
    runtime, bshm = live_networks(settings, size, fps, parts)
    return runtime, around(bshm, settings, size)


def live_networks(
    settings: Settings, size: Size, fps: float, parts: ExitStack
) -> tuple[Runtime, Bshm]:
    """The preset that was asked for; else balanced, or fast where that keeps no pace."""
    preset = settings.preset or "balanced"
    runtime, bshm = networks(settings.runtime, preset, settings.threads, parts)
    if settings.preset or "fast" not in load_manifest().presets:
        return runtime, bshm
    takes, frame = milliseconds(bshm, size), 1000 / fps
    if takes < frame * NETWORKS_SHARE:
        return runtime, bshm
    say(
        f"the balanced networks take {takes:.0f} ms here, too much of a frame's {frame:.0f} ms: "
        "using --preset fast (give --preset balanced for better edges at fewer frames/s)"
    )
    return networks(settings.runtime, "fast", settings.threads, parts)


def around(bshm: Bshm, settings: Settings, size: Size) -> CpuParts:
    """The networks' mattes on the CPU, and what was asked for around them."""
    return cpu_parts(bshm, size, smooth=settings.steady, wrap=LIGHT_WRAP * settings.light_wrap)


def cpu_then_gpu(
    settings: Settings, size: Size, fps: float, parts: ExitStack
) -> tuple[Runtime, Parts]:
    """A start that never waits for the GPU.

    The CPU makes the first mattes, in a preset that it can keep up with, until the
    GPU is ready with the one that was asked for, or quality.
    """
    presets = load_manifest().presets
    preset = settings.preset or ("quality" if "quality" in presets else "balanced")
    on_cpu = replace(settings, runtime="onnxruntime", preset=None)  # the one that starts soonest
    runtime, bshm = live_networks(on_cpu, size, fps, parts)
    cpu = around(bshm, settings, size)
    swap = parts.enter_context(swap_in(cpu, preset, settings.threads, say))
    return replace(runtime, description=f"{runtime.description}, until TensorRT is ready"), swap


def milliseconds(bshm: Matter, size: Size) -> float:
    """What one matte takes on this machine, the median of a few; nothing else is counted.

    Nor is the first, for which memory is claimed: it may take many times as long.
    """
    picture = plain((128, 128, 128), size)
    times: list[float] = []
    bshm.matte(picture)
    while len(times) < TRIALS and sum(times) < TRIALS_MS:
        start = time.perf_counter()
        bshm.matte(picture)
        times.append((time.perf_counter() - start) * 1e3)
    return sorted(times)[len(times) // 2]


def open_sinks(
    settings: Settings, size: Size, fps: float, placeholder: Picture, parts: ExitStack
) -> list[Sink]:
    """All sinks, closed with `parts`: each, and a recording is kept, whatever ended the run."""
    sinks: list[Sink] = []
    for text in settings.sinks:
        transparent = settings.background.kind == "none"
        sinks.append(open_sink(text, size, fps, placeholder=placeholder, transparent=transparent))
        parts.callback(sinks[-1].close)
    return sinks


def rest_on_demand(camera: LiveCamera, sinks: Sequence[Sink], parts: ExitStack) -> None:
    """The camera is off while no program reads any of the virtual cameras."""
    demands = [sink.demand() for sink in sinks if isinstance(sink, VirtualCamera)]
    known = [demand for demand in demands if demand is not None]
    if len(known) < len(demands):
        say("--on-demand: who reads the virtual camera cannot be known here; the camera stays on")
        return
    camera.wanted = AnyOf(known)
    parts.callback(camera.wanted.close)


def interrupt_on_term(parts: ExitStack) -> None:
    """Until `parts` closes, SIGTERM ends like Ctrl-C: what was begun is taken away."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    parts.callback(signal.signal, signal.SIGTERM, before)


def end_on_signal(watch: LiveWatch, source: LiveCamera | VideoFile, parts: ExitStack) -> None:
    """Until `parts` closes, Ctrl-C and SIGTERM end after the frame in hand: files are whole."""

    def stop(number: int, frame: FrameType | None) -> None:
        if watch.stop:  # asked twice: at once
            raise KeyboardInterrupt
        watch.stop = True
        if isinstance(source, LiveCamera):
            source.stop()  # it may be waiting for its camera

    for number in (signal.SIGINT, signal.SIGTERM):
        parts.callback(signal.signal, number, signal.signal(number, stop))
