"""How fast this machine is: decoded frame in, composite out, stage by stage."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator

from ..compositing.background import cover, open_background
from ..loop.pipeline import Pipeline, quantiles, stage_table
from ..runtimes.choice import Runtime, load_bshm
from ..settings import parse_background
from ..sinks import Null
from ..sources.video_file import VideoFile, demo_clip
from ..types import Frame, Size

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


def run_bench(args: argparse.Namespace, runtime: Runtime, preset: str, size: Size) -> int:
    """Prints the table of a runtime on the CPU; with --json its last line is one JSON object."""
    with load_bshm(preset, runtime, args.threads) as bshm:
        pipeline = Pipeline(bshm, open_background(parse_background(args.bg), size), size)
        pipeline.run(frames(size, WARM_UP), [Null()])
        pipeline.clock.clear()
        memory = [peak_mb()]
        start = time.perf_counter()
        pipeline.run(frames(size, args.frames), [Null()])
        seconds = time.perf_counter() - start
        memory.append(peak_mb())
    result = figures(pipeline, runtime, preset, size, args.frames / seconds, memory)
    print_table(result)
    if args.json:
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
