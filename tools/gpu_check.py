"""Everything that only a machine with an NVIDIA GPU can prove, and a table of what it measured.

    python -m tools.gpu_check [--preset quality] [--frames 200] [--out table.md]

Checks what is installed, compiles the kernels, builds and verifies the engines,
runs the tests marked `gpu`, and measures 720p, 1080p and 4K from host frame to
host composite beside the floor: the bytes over the link's measured rate and the
networks' arithmetic over the card's measured rate. Exit code 0: all passed; 1:
something did not; 4: there is no GPU, or something is missing to use it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, shape_inference

from bshm_live.background import Background, Fixed, studio
from bshm_live.bench import frames
from bshm_live.errors import BshmError, EngineError
from bshm_live.gpu.cuda import Cuda, Memory
from bshm_live.gpu.nvrtc import SOURCE, find_nvrtc
from bshm_live.gpu.parts import GpuParts, gpu_parts
from bshm_live.manifest import NETWORKS, load_manifest
from bshm_live.nvidia import Gpu, find_gpu, tensorrt_lacks
from bshm_live.pipeline import Pipeline
from bshm_live.sink import Null
from bshm_live.types import Frame, Size

if TYPE_CHECKING:
    from bshm_live.runtimes.tensorrt import TensorRtEngine

SIZES = {"720p": (1280, 720), "1080p": (1920, 1080), "4K": (3840, 2160)}
WARM_UP = 20
LINK_BYTES, LINK_RUNS = 64 << 20, 9
PROBE_SIDE, PROBE_CHANNELS, PROBE_LAYERS, PROBE_RUNS = 128, 1024, 16, 9
NO_GPU = EngineError.exit_code


@dataclass(frozen=True)
class Rates:
    """What the card does: bytes per second up and down the link, operations per second."""

    up: float
    down: float
    arithmetic: float


@dataclass(frozen=True)
class Row:
    """One size, in milliseconds: the way from host to host, and the GPU's stages."""

    name: str
    p50: float
    p95: float
    loop: float  # p50 in the program's own loop, guard included
    in_flight: float  # frames per second, two at once
    floor: float
    stages: dict[str, float]


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="gpu_check", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--preset", default="quality")
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--out", type=Path, help="file for the table")
    args = parser.parse_args(words)
    found = find_gpu()
    lacks = [str(lack) for lack in tensorrt_lacks()]
    if lacks or not isinstance(found, Gpu):
        print(f"gpu_check: {'; '.join(lacks) or found}", file=sys.stderr)
        return NO_GPU
    try:
        passed = [step() for step in (lambda: kernels(found), build, verify, tests)]
        table = measured(found, args.preset, args.frames)
    except BshmError as error:
        print(f"gpu_check: {error}", file=sys.stderr)
        return 1
    print(table)
    if args.out:
        args.out.write_text(table, "utf-8")
    return 0 if all(passed) else 1


# ---- Checks --------------------------------------------------------------------------------


def kernels(gpu: Gpu) -> bool:
    compiler = find_nvrtc(gpu.cuda[0])
    start = time.perf_counter()
    binary = compiler.compile(SOURCE.read_text("utf-8"), gpu.capability)
    seconds = time.perf_counter() - start
    version = "{}.{}".format(*compiler.version)
    print(f"kernels: {binary.form} for sm_{binary.architecture}, NVRTC {version}, {seconds:.2f} s")
    return True


def build() -> bool:
    return ran("engines", [sys.executable, "-m", "bshm_live", "engines", "build"])


def verify() -> bool:
    command = [sys.executable, "-m", "bshm_live", "engines", "verify"]
    return ran("engines against the goldens", command)


def tests() -> bool:
    return ran("tests on the GPU", [sys.executable, "-m", "pytest", "-q", "-m", "gpu"])


def ran(what: str, command: Sequence[str]) -> bool:
    print(f"== {what}: {' '.join(command[1:])}", flush=True)
    good = subprocess.run(command, check=False).returncode == 0
    print(f"{what}: {'passed' if good else 'FAILED'}", flush=True)
    return good


# ---- Rates ---------------------------------------------------------------------------------


def link_rates(cuda: Cuda, size: int = LINK_BYTES) -> tuple[float, float]:
    """Bytes per second up and down, medians."""
    with cuda.active():
        memory, stream = Memory(cuda), cuda.stream()
        there, here = memory.array((size,), np.uint8), cuda.pinned((size,), np.uint8)
        up = timed(cuda, stream, lambda: cuda.upload(there.pointer, here, stream), LINK_RUNS)
        down = timed(cuda, stream, lambda: cuda.download(here, there.pointer, stream), LINK_RUNS)
        memory.close()
    return size / up * 1e3, size / down * 1e3


def timed(cuda: Cuda, stream: int, work: Callable[[], None], runs: int) -> float:
    """Milliseconds of one run, the median, by the GPU's clock."""
    marks = [cuda.event() for _ in range(runs + 2)]
    work()  # the first one warms up
    for mark in marks:
        cuda.record(mark, stream)
        work()
    cuda.synchronize(stream)
    return float(np.median([cuda.elapsed(one, other) for one, other in pairwise(marks)]))


def probe(path: Path, channels: int = PROBE_CHANNELS, side: int = PROBE_SIDE) -> None:
    """Writes a network of nothing but arithmetic that a card is good at: 1x1 convolutions."""
    rng = np.random.default_rng(0)
    nodes, weights = [], []
    for layer in range(PROBE_LAYERS):
        values = rng.normal(0, channels**-0.5, (channels, channels, 1, 1)).astype(np.float32)
        weights.append(numpy_helper.from_array(values, f"w{layer}"))
        inner = [f"x{layer}", f"w{layer}"], [f"x{layer + 1}"]
        nodes.append(helper.make_node("Conv", *inner, kernel_shape=[1, 1]))
    shape = [1, channels, side, side]
    ends = [
        helper.make_tensor_value_info(f"x{layer}", TensorProto.FLOAT, shape)
        for layer in (0, PROBE_LAYERS)
    ]
    graph = helper.make_graph(nodes, "probe", ends[:1], ends[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path))


def operations(path: Path) -> float:
    """Multiplications and additions of one run of a network, in its sums of products alone."""
    graph = shape_inference.infer_shapes(onnx.load(str(path)), strict_mode=True).graph
    shapes = {weight.name: tuple(weight.dims) for weight in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        shapes[value.name] = tuple(d.dim_value for d in value.type.tensor_type.shape.dim)
    total = 0
    for node in graph.node:
        if node.op_type == "Conv":
            total += prod(shapes[node.output[0]]) * prod(shapes[node.input[1]][1:])
        elif node.op_type == "ConvTranspose":
            total += prod(shapes[node.input[0]]) * prod(shapes[node.input[1]][1:])
        elif node.op_type in ("Gemm", "MatMul"):
            total += prod(shapes[node.output[0]]) * shapes[node.input[0]][-1]
    return 2.0 * total


def card_rate(cuda: Cuda, load: Callable[[Path], TensorRtEngine]) -> float:
    """Operations per second of dense float16 convolutions, through the same runtime."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "probe.onnx"
        probe(path)
        engine, work = load(path), operations(path)
    with cuda.active():
        stream = cuda.stream()
        milliseconds = timed(cuda, stream, lambda: engine.enqueue(stream), PROBE_RUNS)
    engine.close()
    return work / milliseconds * 1e3


# ---- Frames --------------------------------------------------------------------------------


def measured(gpu: Gpu, preset: str, count: int) -> str:
    """The table, in Markdown."""
    from bshm_live.gpu.pycuda import PyCuda
    from bshm_live.runtimes.tensorrt import TensorRtEngine, version

    cuda, networks = PyCuda(), load_manifest().preset(preset)
    paths = [networks[name].path for name in NETWORKS]
    rates = Rates(*link_rates(cuda), card_rate(cuda, TensorRtEngine))
    work, rows = sum(map(operations, paths)), []
    for name, size in SIZES.items():
        mpn, qun, mrn = (TensorRtEngine(path) for path in paths)
        parts = gpu_parts(cuda, (mpn, qun, mrn), size)
        rows.append(row(parts, name, size, count, floor_ms(size, work, rates)))
        parts.close()
    return markdown(f"{gpu.name}, {version()}, {preset}", rates, work, rows)


def floor_ms(size: Size, work: float, rates: Rates) -> float:
    """Frame up, composite down, and the networks' arithmetic, one after the other."""
    picture = size[0] * size[1] * 3
    return (picture / rates.up + picture / rates.down + work / rates.arithmetic) * 1e3


def row(parts: GpuParts, name: str, size: Size, count: int, floor: float) -> Row:
    background = Fixed(studio(size))
    one_by_one(parts, background, size, WARM_UP)
    alone = one_by_one(parts, background, size, count)
    loop = in_the_loop(parts, background, size, count)
    start = time.perf_counter()
    done = sum(1 for _ in parts.shots(frames_of(size, count), background))
    rate = done / (time.perf_counter() - start)
    stages = stage_medians(parts, background, size, count)
    p50, p95 = np.quantile(alone, (0.5, 0.95))
    return Row(name, float(p50), float(p95), float(np.median(loop)), rate, floor, stages)


def frames_of(size: Size, count: int) -> list[Frame]:
    """Decoded beforehand: the clock starts with the host's frame."""
    return list(frames(size, count))


def one_by_one(parts: GpuParts, background: Background, size: Size, count: int) -> list[float]:
    """Milliseconds from host frame to host composite, each frame alone."""
    times = []
    for frame in frames_of(size, count):
        start = time.perf_counter()
        matte = parts.bshm.matte(frame.image, parts.steadier.hint(frame.image))
        steady = parts.steadier.steady(matte)
        parts.compositor(frame.image, steady, background(frame, steady))
        times.append((time.perf_counter() - start) * 1e3)
    return times


def in_the_loop(parts: GpuParts, background: Background, size: Size, count: int) -> list[float]:
    """The same in the program's own loop, with all that it checks."""
    pipeline = Pipeline(parts.bshm, background, size)
    pipeline.steadier, pipeline.compositor = parts.steadier, parts.compositor
    times, start = [], time.perf_counter()

    def after(_: object) -> bool:
        nonlocal start
        now = time.perf_counter()
        times.append((now - start) * 1e3)
        start = now
        return True

    pipeline.run(frames_of(size, count), [Null()], after)
    return times[1:]


def stage_medians(
    parts: GpuParts, background: Background, size: Size, count: int
) -> dict[str, float]:
    """Milliseconds per stage by CUDA events."""
    for lane in parts.lanes.all:
        lane.timed = True
    found: dict[str, list[float]] = {}
    for frame in frames_of(size, count):
        matte = parts.bshm.matte(frame.image, parts.steadier.hint(frame.image))
        steady = parts.steadier.steady(matte)
        parts.compositor(frame.image, steady, background(frame, steady))
        for stage, milliseconds in steady.lane.stage_ms().items():
            found.setdefault(stage, []).append(milliseconds)
    for lane in parts.lanes.all:
        lane.timed = False
    return {stage: float(np.median(times)) for stage, times in found.items()}


def markdown(title: str, rates: Rates, work: float, rows: Sequence[Row]) -> str:
    stages = list(rows[0].stages)
    head = ["size", "p50 ms", "p95 ms", "in the loop", "frames/s, two in flight"]
    head += ["floor ms", "times the floor", *stages]
    lines = [
        f"{title}. Link {rates.up / 1e9:.1f} GB/s up, {rates.down / 1e9:.1f} GB/s down; card "
        f"{rates.arithmetic / 1e12:.1f} Tflop/s measured; the networks {work / 1e9:.2f} Gflop.",
        "",
        "| " + " | ".join(head) + " |",
        "|---" * len(head) + "|",
    ]
    for r in rows:
        cells = [r.name, f"{r.p50:.2f}", f"{r.p95:.2f}", f"{r.loop:.2f}", f"{r.in_flight:.0f}"]
        cells += [f"{r.floor:.2f}", f"{r.p50 / r.floor:.1f}"]
        cells += [f"{r.stages[stage]:.3f}" for stage in stages]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
