"""How fast this machine is: decoded frame in, composite out, stage by stage."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np

from ..compositing.background import cover, studio
from ..gpu.parts import open_gpu
from ..loop.assemble import head_finder, paced, preset_for
from ..loop.clock import quantiles, stage_table
from ..loop.parts import Always, cpu_parts
from ..loop.pipeline import Pipeline
from ..loop.stage import open_stage
from ..runtimes.choice import Runtime, get_runtime
from ..runtimes.manifest import load_manifest
from ..settings import Look, Networks
from ..sinks import Null
from ..sources.video_file import VideoFile, demo_clip
from ..types import Frame, Parts, Shot, Size
from .measure import LIVE_FPS, CpuClock, Typical, VirtualCamera, Webcam
from .signals import handled

log = logging.getLogger(__name__)

SIZE: Size = (1280, 720)
GPU_SIZES: tuple[Size, ...] = (SIZE, (1920, 1080), (3840, 2160))
WARM_UP = 10
NETWORKS = ("mpn", "qun", "mrn")
TYPICAL_PRESET, TYPICAL_FRAMES = "balanced", 30  # its MPN costs what MediaPipe's network does
Result = dict[str, Any]  # as in the JSON object


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
    networks: Networks,
    look: Look,
    size: Size | None,
    count: int,
    *,
    as_json: bool,
    live: bool = False,
) -> int:
    """A table for each size; with `as_json` the last line is one JSON object.

    Without `size`: 720p, and on a GPU 1080p and 4K too. The object of several sizes has
    theirs under `sizes`. With `live` a webcam and a virtual camera in memory stand at the
    two ends. Raises EngineError.
    """
    runtime = get_runtime(networks.runtime)
    sizes = (size,) if size else GPU_SIZES if runtime.name == "tensorrt" else (SIZE,)
    results = []
    for one in sizes:
        results.append(measured(runtime, networks, look, one, count, live=live))
        print_table(results[-1])
    if as_json:
        print(json.dumps(results[0] if len(results) == 1 else {"sizes": results}))
    return 0


def measured(
    runtime: Runtime,
    networks: Networks,
    look: Look,
    size: Size,
    count: int,
    *,
    live: bool = False,
) -> Result:
    """What `figures` says of `count` frames in the loop of a live picture."""
    preset = preset_for(networks, size, "file")
    with ExitStack() as stack:
        runtime, parts = parts_of(runtime, preset, networks, size, stack)
        stage = open_stage(look, size)
        pipeline = Pipeline(Always(parts), lambda: stage, size, find=head_finder(stack))
        pipeline.clock = clock = CpuClock()
        sink = VirtualCamera(size) if live else Null()
        pipeline.run(frames(size, WARM_UP), [sink])
        clock.clear()
        decoded = list(frames(size, count))  # now: only the loop is measured
        source = Webcam(decoded) if live else decoded
        on_cpu = runtime.name != "tensorrt"
        typical = open_typical(runtime, networks.threads, size, stack) if on_cpu else None
        # Half before and half after: what else runs here changes.
        usual = typical.cpu_ms(decoded[:TYPICAL_FRAMES]) if typical else []
        memory, start, cpu = [peak_mb()], time.perf_counter(), time.process_time()
        pipeline.run(source, [sink], tell_withheld(pipeline))
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        memory.append(peak_mb())
        result = figures(pipeline, runtime, preset, size, count / seconds, memory)
        if typical:
            usual += typical.cpu_ms(decoded[:TYPICAL_FRAMES])
            result |= cpu_figures(clock, cpu, count, float(np.median(usual)))
    return result


def tell_withheld(pipeline: Pipeline) -> Callable[[Shot], bool]:
    """Says once that a frame shows the background alone: its time is not a composite's."""
    told: list[str] = []

    def after(shot: Shot) -> bool:
        if not shot.has_person and not told:
            told.append(f"frame {shot.index} shows the background alone: {pipeline.trouble}")
            log.info(told[0])
        return True

    return after


def open_typical(runtime: Runtime, threads: int, size: Size, stack: ExitStack) -> Typical:
    """The pipeline to compare with, warm; closed with `stack`."""
    engine = runtime.load(load_manifest().preset(TYPICAL_PRESET)["mpn"].path, threads)
    stack.callback(engine.close)
    typical = Typical(engine, studio(size))
    typical.cpu_ms(frames(size, WARM_UP))
    return typical


def cpu_figures(clock: CpuClock, cpu_s: float, count: int, typical: float) -> Result:
    """Processor time over all threads, in milliseconds a frame."""
    total = cpu_s / count * 1e3
    return {
        "cpu_ms": total,
        "stages_cpu_ms": clock.cpu_ms(count),
        "cores_at_30": total * LIVE_FPS / 1e3,
        "typical_cpu_ms": typical,
        "share_of_typical": total / typical,
    }


def parts_of(
    runtime: Runtime, preset: str, networks: Networks, size: Size, stack: ExitStack
) -> tuple[Runtime, Parts]:
    """On a GPU all of them run there; elsewhere they are the CPU's. Closed with `stack`."""
    if runtime.name == "tensorrt":
        gpu = open_gpu(preset, size)
        stack.callback(gpu.close)
        return runtime, gpu
    runtime, matting, _ = paced(networks, preset, size, LIVE_FPS, "live")
    stack.enter_context(matting)
    return runtime, cpu_parts(matting, size, threads=networks.threads)


def figures(
    pipeline: Pipeline, runtime: Runtime, preset: str, size: Size, rate: float, memory: list[float]
) -> Result:
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


def print_table(result: Result) -> None:
    print(f"{result['description']}, {result['preset']}, {result['size']}")
    print(stage_table(result["stages_ms"], result.get("stages_cpu_ms")))
    print(f"{result['frames_per_second']:.1f} frames/s, peak {result['peak_memory_mb']:.0f} MB")
    if "cpu_ms" in result:
        print(
            "processor time {cpu_ms:.1f} ms a frame, {cores_at_30:.2f} cores at 30 frames/s: "
            "{share_of_typical:.2f} of the {typical_cpu_ms:.1f} ms of the usual pipeline in Python "
            "(MediaPipe's network, NumPy on whole pictures)".format(**result)
        )


def peak_mb() -> float:
    """Peak resident memory of this process; 0 on Windows, which Python cannot ask."""
    if sys.platform == "win32":
        return 0.0
    import resource

    # In kilobytes on Linux, in bytes on macOS
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)
