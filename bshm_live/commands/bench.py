"""How fast this machine is: decoded frame in, composite out, stage by stage."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack

from ..compositing.background import cover
from ..gpu.parts import open_gpu
from ..loop.assemble import preset_for
from ..loop.clock import quantiles, stage_table
from ..loop.parts import Always, cpu_parts
from ..loop.pipeline import Pipeline
from ..loop.stage import open_stage
from ..runtimes.choice import Runtime, get_runtime, load_bshm
from ..settings import BackgroundSpec, Look, Networks
from ..sinks import Null
from ..sources.video_file import VideoFile, demo_clip
from ..types import Frame, Parts, Shot, Size
from .signals import handled

log = logging.getLogger(__name__)

SIZE: Size = (1280, 720)
GPU_SIZES: tuple[Size, ...] = (SIZE, (1920, 1080), (3840, 2160))
WARM_UP = 10
NETWORKS = ("mpn", "qun", "mrn")


def frames(size: Size, count: int) -> Iterator[Frame]:
    """Frames of the packaged clip at `size`, decoded beforehand, to and fro."""
    source = VideoFile(demo_clip())
    some = [cover(frame.image, size) for _, frame in zip(range(30), source, strict=False)]
    source.close()
    order = [*some, *some[-2:0:-1]]
    for index in range(count):
        yield Frame(order[index % len(order)], index, index / source.fps)


@handled()
def run_bench(
    networks: Networks, spec: BackgroundSpec, size: Size | None, count: int, *, as_json: bool
) -> int:
    """A table for each size; with `as_json` the last line is one JSON object.

    Without `size`: 720p, and on a GPU 1080p and 4K too. The object of several sizes has
    theirs under `sizes`. Raises EngineError.
    """
    runtime = get_runtime(networks.runtime)
    sizes = (size,) if size else GPU_SIZES if runtime.name == "tensorrt" else (SIZE,)
    results = []
    for one in sizes:
        results.append(measured(runtime, networks, spec, one, count))
        print_table(results[-1])
    if as_json:
        print(json.dumps(results[0] if len(results) == 1 else {"sizes": results}))
    return 0


def measured(
    runtime: Runtime, networks: Networks, spec: BackgroundSpec, size: Size, count: int
) -> dict[str, object]:
    """What `figures` says of `count` frames in the loop of a live picture."""
    preset = preset_for(networks, size, "file")
    with ExitStack() as stack:
        parts = parts_of(runtime, preset, networks.threads, size, stack)
        stage = open_stage(Look(spec), size)
        pipeline = Pipeline(Always(parts), lambda: stage, size)
        pipeline.run(frames(size, WARM_UP), [Null()])
        pipeline.clock.clear()
        memory = [peak_mb()]
        withheld: list[str | None] = []

        def after(shot: Shot) -> bool:
            if not shot.has_person:
                withheld.append(pipeline.trouble)
            return True

        start = time.perf_counter()
        pipeline.run(frames(size, count), [Null()], after)
        seconds = time.perf_counter() - start
        memory.append(peak_mb())
    if withheld:
        log.info(f"{len(withheld)} of {count} frames show the background alone: {withheld[-1]}")
    return figures(pipeline, runtime, preset, size, count / seconds, memory)


def parts_of(runtime: Runtime, preset: str, threads: int, size: Size, stack: ExitStack) -> Parts:
    """On a GPU all of them run there; elsewhere they are the CPU's. Closed with `stack`."""
    if runtime.name == "tensorrt":
        gpu = open_gpu(preset, size)
        stack.callback(gpu.close)
        return gpu
    return cpu_parts(stack.enter_context(load_bshm(preset, runtime, threads)), size)


def figures(
    pipeline: Pipeline, runtime: Runtime, preset: str, size: Size, rate: float, memory: list[float]
) -> dict[str, object]:
    """All that was measured: times in milliseconds, memory in megabytes."""
    times, stages = pipeline.clock.times, pipeline.clock.quantiles()
    sums = {"networks": NETWORKS, "total": tuple(stages)}
    if not set(NETWORKS) <= set(stages):  # a GPU runs them as one stage: see STAGES
        del sums["networks"]
    for name, parts in sums.items():
        stages[name] = quantiles(map(sum, zip(*(times[p] for p in parts), strict=True)))
    return {
        "runtime": runtime.name,
        "description": runtime.description,
        "preset": preset,
        "size": f"{size[0]}x{size[1]}",
        "frames_per_second": rate,
        "stages_ms": stages,
        "peak_memory_mb": memory[1],
        "memory_growth_mb": memory[1] - memory[0],
    }


def print_table(result: dict[str, object]) -> None:
    print(f"{result['description']}, {result['preset']}, {result['size']}")
    stages = result["stages_ms"]
    assert isinstance(stages, dict)
    print(stage_table(stages))
    print(f"{result['frames_per_second']:.1f} frames/s, peak {result['peak_memory_mb']:.0f} MB")


def peak_mb() -> float:
    """Peak resident memory of this process; 0 on Windows, which Python cannot ask."""
    if sys.platform == "win32":
        return 0.0
    import resource

    # In kilobytes on Linux, in bytes on macOS
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)
