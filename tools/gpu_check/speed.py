"""How fast a GPU is: host frame in, host composite out, beside the floor."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from bshm_live.commands.bench import GPU_SIZES, frames
from bshm_live.compositing.background import Background, open_background
from bshm_live.errors import EngineError
from bshm_live.gpu.parts import GpuParts, open_gpu
from bshm_live.loop.in_flight import InFlight
from bshm_live.loop.parts import Always
from bshm_live.loop.pipeline import Pipeline
from bshm_live.loop.stage import Stage
from bshm_live.runtimes.manifest import NETWORKS, load_manifest
from bshm_live.settings import BackgroundSpec
from bshm_live.sinks import Null
from bshm_live.types import Frame, Shot, Size

from .floor import Rates, card_rate, floor_ms, link_rates, operations

WARM_UP = 20


@dataclass(frozen=True)
class Row:
    """One size: milliseconds of a frame alone and of each stage on the GPU; frames per second.

    p50 and p95 are from host frame to host composite in the program's own loop, all
    its checks included; `in_flight` is the rate with two frames at once; `stages` are
    medians by the GPU's own clock, of which `temporal` and `background` include what
    the host does in between.
    """

    size: Size
    p50: float
    p95: float
    in_flight: float
    floor: float
    stages: dict[str, float]


@dataclass(frozen=True)
class Report:
    """All that was measured; `work` is the networks' operations for one frame."""

    title: str
    rates: Rates
    work: float
    rows: Sequence[Row]

    @property
    def networks_ms(self) -> float:
        """The three networks, from the smallest picture's row."""
        return sum(self.rows[0].stages[name] for name in NETWORKS)


def measured(
    preset: str,
    count: int,
    title: str,
    background: BackgroundSpec,
    sizes: Sequence[Size] = GPU_SIZES,
) -> Report:
    """Everything, one size after the other, and a line when each is done. Raises EngineError."""
    from bshm_live.gpu.pycuda import PyCuda  # both are there only where they can run
    from bshm_live.runtimes.tensorrt import TensorRtEngine

    cuda = PyCuda()
    rates = Rates(*link_rates(cuda), card_rate(cuda, TensorRtEngine))
    print(rates, flush=True)
    networks = load_manifest().preset(preset)
    work = sum(operations(networks[name].path) for name in NETWORKS)
    rows = []
    for size in sizes:
        parts = open_gpu(preset, size)
        try:
            floor = floor_ms(size, work, rates)
            rows.append(row(parts, open_background(background, size), count, floor))
            print(rows[-1], flush=True)
        finally:
            parts.close()
    return Report(f"{title}, {preset}", rates, work, rows)


def row(parts: GpuParts, background: Background, count: int, floor: float) -> Row:
    """Measures one size. Raises EngineError where a frame has no matte."""
    size = parts.compositor.size
    some = list(frames(size, count))  # decoded beforehand: the clock starts with the host's frame
    in_the_loop(parts, background, some[:WARM_UP])
    times = in_the_loop(parts, background, some)
    start = time.perf_counter()
    InFlight(parts, lambda: Stage(background), size).run(some, [Null()])
    rate = len(some) / (time.perf_counter() - start)
    stages = stage_medians(parts, background, some)
    p50, p95 = np.quantile(times, (0.5, 0.95))
    return Row(size, float(p50), float(p95), rate, floor, stages)


def in_the_loop(
    parts: GpuParts,
    background: Background,
    some: Sequence[Frame],
    after: Callable[[], None] = lambda: None,
) -> list[float]:
    """Milliseconds of each frame in the loop that a live picture takes."""
    size = parts.compositor.size
    pipeline = Pipeline(Always(parts), lambda: Stage(background), size)
    times, start = [], time.perf_counter()

    def done(shot: Shot) -> bool:
        nonlocal start
        times.append((time.perf_counter() - start) * 1e3)
        if not shot.has_person:
            raise EngineError(f"a frame without its matte: {pipeline.trouble}")
        after()
        start = time.perf_counter()
        return True

    parts.steadier.reset()
    pipeline.run(some, [Null()], done)
    return times


def stage_medians(
    parts: GpuParts, background: Background, some: Sequence[Frame]
) -> dict[str, float]:
    """Milliseconds per stage by CUDA events."""
    found: dict[str, list[float]] = {}

    def note() -> None:
        with parts.matting.cuda.active():
            times = parts.lanes.last.stage_ms()
        for stage, milliseconds in times.items():
            found.setdefault(stage, []).append(milliseconds)

    for lane in parts.lanes.all:
        lane.timed = True
    in_the_loop(parts, background, some, note)
    for lane in parts.lanes.all:
        lane.timed = False
    return {stage: float(np.median(times)) for stage, times in found.items()}


def table(report: Report) -> str:
    """In Markdown, under a line that names the card and its rates."""
    rates, stages = report.rates, list(report.rows[0].stages)
    head = ["size", "p50 ms", "p95 ms", "frames/s, two in flight", "floor ms", "times the floor"]
    head += stages
    lines = [
        f"{report.title}. Measured: link {rates.up / 1e9:.1f} GB/s up, {rates.down / 1e9:.1f} GB/s "
        f"down; card {rates.arithmetic / 1e12:.1f} Tflop/s; the networks, "
        f"{report.work / 1e9:.2f} Gflop, {report.networks_ms:.2f} ms.",
        "",
        "| " + " | ".join(head) + " |",
        "|---" * len(head) + "|",
    ]
    for r in report.rows:
        cells = [f"{r.size[0]}x{r.size[1]}", f"{r.p50:.2f}", f"{r.p95:.2f}", f"{r.in_flight:.0f}"]
        cells += [f"{r.floor:.2f}", f"{r.p50 / r.floor:.1f}"]
        cells += [f"{r.stages[stage]:.3f}" for stage in stages]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
