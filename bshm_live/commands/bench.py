"""How fast this machine is: decoded frame in, composite out, stage by stage."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator

from ..compositing.background import cover
from ..loop.assemble import preset_for
from ..loop.clock import quantiles, stage_table
from ..loop.parts import Always, cpu_parts
from ..loop.pipeline import Pipeline
from ..loop.stage import open_stage
from ..runtimes.choice import Runtime, get_runtime, load_bshm
from ..settings import BackgroundSpec, Look, Networks
from ..sinks import Null
from ..sources.video_file import VideoFile, demo_clip
from ..types import Frame, Size
from .signals import handled

SIZE: Size = (1280, 720)
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
    """The CPU in one size, a GPU in all that matter, or in the one that is asked for."""
    runtime = get_runtime(networks.runtime)
    if runtime.name == "tensorrt":
        from ..gpu.bench import SIZES, run_gpu_bench

        preset = networks.preset or "balanced"
        sizes = SIZES if size is None else (size,)
        return run_gpu_bench(preset, sizes, count, runtime.description, spec, as_json=as_json)
    return run_cpu_bench(runtime, networks, spec, size or SIZE, count, as_json=as_json)


def run_cpu_bench(
    runtime: Runtime,
    networks: Networks,
    spec: BackgroundSpec,
    size: Size,
    count: int,
    *,
    as_json: bool,
) -> int:
    """Prints the table; with `as_json` its last line is one JSON object."""
    preset = preset_for(networks, size, "file")
    with load_bshm(preset, runtime, networks.threads) as bshm:
        supply = Always(cpu_parts(bshm, size))
        stage = open_stage(Look(spec), size)
        pipeline = Pipeline(supply, lambda: stage, size)
        pipeline.run(frames(size, WARM_UP), [Null()])
        pipeline.clock.clear()
        memory = [peak_mb()]
        start = time.perf_counter()
        pipeline.run(frames(size, count), [Null()])
        seconds = time.perf_counter() - start
        memory.append(peak_mb())
    result = figures(pipeline, runtime, preset, size, count / seconds, memory)
    print_table(result)
    if as_json:
        print(json.dumps(result))
    return 0


def figures(
    pipeline: Pipeline, runtime: Runtime, preset: str, size: Size, rate: float, memory: list[float]
) -> dict[str, object]:
    """All that was measured: times in milliseconds, memory in megabytes."""
    times, stages = pipeline.clock.times, pipeline.clock.quantiles()
    for name, parts in (("networks", NETWORKS), ("total", tuple(stages))):
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
