"""What a card and its link do at most, measured: the floor under a frame's time."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, shape_inference

from bshm_live.gpu.cuda import Cuda, DeviceEngine, Memory
from bshm_live.types import Size

LINK_BYTES, LINK_RUNS = 64 << 20, 9
PROBE_SIDE, PROBE_CHANNELS, PROBE_LAYERS, PROBE_RUNS = 128, 1024, 16, 9
PROBE_POOL = 8


@dataclass(frozen=True)
class Rates:
    """What the card does: bytes per second up and down the link, operations per second."""

    up: float
    down: float
    arithmetic: float


def floor_ms(size: Size, work: float, rates: Rates) -> float:
    """Frame up, composite down, and the networks' `work` in operations, one after the other."""
    picture = size[0] * size[1] * 3
    return (picture / rates.up + picture / rates.down + work / rates.arithmetic) * 1e3


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
    """Writes a network of nothing but arithmetic that a card is good at: 1x1 convolutions.

    The last one, which a float16 engine computes in float32, is a tiny one of its own.
    """
    rng = np.random.default_rng(0)
    nodes, weights = [], []
    for layer in range(PROBE_LAYERS + 1):
        last = layer == PROBE_LAYERS
        shape = (1 if last else channels, channels, 1, 1)
        values = rng.normal(0, channels**-0.5, shape).astype(np.float32)
        weights.append(numpy_helper.from_array(values, f"w{layer}"))
        given = "pooled" if last else f"x{layer}"
        inner = [given, f"w{layer}"], ["out" if last else f"x{layer + 1}"]
        nodes.append(helper.make_node("Conv", *inner, kernel_shape=[1, 1]))
    square = [PROBE_POOL, PROBE_POOL]
    ends = [f"x{PROBE_LAYERS}"], ["pooled"]
    nodes.insert(-1, helper.make_node("MaxPool", *ends, kernel_shape=square, strides=square))
    small = side // PROBE_POOL
    image, found = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, size)
        for name, size in (("x0", [1, channels, side, side]), ("out", [1, 1, small, small]))
    )
    graph = helper.make_graph(nodes, "probe", [image], [found], weights)
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


def card_rate(cuda: Cuda, load: Callable[[Path], DeviceEngine]) -> float:
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
