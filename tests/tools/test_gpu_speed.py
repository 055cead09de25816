"""What tools/gpu_check measures, on the twin of a GPU; and the floor's parts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from conftest import TOY, fake_networks
from gpu_twin import HostCuda, host_engines, host_kernels

from bshm_live.compositing.background import Fixed, plain
from bshm_live.errors import EngineError
from bshm_live.gpu.parts import GpuParts, gpu_parts
from bshm_live.runtimes.float16 import to_float16
from bshm_live.runtimes.manifest import load_manifest
from bshm_live.runtimes.onnxruntime import OnnxRuntimeEngine
from tools.gpu_check import floor
from tools.gpu_check.floor import Rates, floor_ms, link_rates, operations, probe
from tools.gpu_check.speed import Report, row, table

SIZE = (256, 128)
GREEN = Fixed(plain((0, 255, 0), SIZE))


def parts_of(cuda: HostCuda, broken: bool = False) -> GpuParts:
    engines = fake_networks()
    if broken:
        engines[2].function = lambda feeds: {"alpha": np.full((1, 1, 128, 256), np.nan)}
    return gpu_parts(cuda, host_engines(cuda, engines), SIZE)


def test_the_probe_is_a_network_of_known_work(tmp_path: Path) -> None:
    path = tmp_path / "probe.onnx"
    probe(path, channels=8, side=16)
    in_half, in_full = floor.PROBE_LAYERS * 8 * 8 * 16 * 16, 8 * 2 * 2
    assert operations(path) == 2 * (in_half + in_full)
    out = OnnxRuntimeEngine(path).run({"x0": np.ones((1, 8, 16, 16), np.float32)})
    assert np.isfinite(next(iter(out.values()))).all()


def test_the_probe_s_work_is_in_half_precision(tmp_path: Path) -> None:
    """Else the card would look slower than it is, and the floor higher."""
    path = tmp_path / "probe.onnx"
    probe(path, channels=8, side=16)
    graph = onnx.load_from_string(to_float16(path.read_bytes())).graph
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    halves = [all(name.endswith("_f16") for name in node.input) for node in convolutions]
    assert halves == [True] * floor.PROBE_LAYERS + [False]


def test_the_networks_work_is_counted() -> None:
    networks = load_manifest().preset("quality")
    work = {name: operations(network.path) for name, network in networks.items()}
    assert all(1e7 < value < 1e11 for value in work.values()), work
    assert operations(load_manifest(TOY).preset("balanced")["mpn"].path) > 0


def test_the_floor_is_its_formula() -> None:
    measured = Rates(up=20e9, down=10e9, arithmetic=100e12)
    assert floor_ms((1920, 1080), 1e9, measured) == pytest.approx(0.31104 + 0.62208 + 0.01)


@pytest.mark.usefixtures("sure")
def test_a_row_is_measured_and_shown() -> None:
    cuda = HostCuda(host_kernels(), seed=1)
    parts = parts_of(cuda)
    up, down = link_rates(cuda, 1 << 10)
    assert min(up, down) > 0
    found = row(parts, GREEN, 3, 0.5)
    parts.close()
    assert not cuda.held
    assert 0 < found.p50 <= found.p95
    assert found.in_flight > 0
    assert not any(lane.timed for lane in parts.lanes.all)
    report = Report("A card", Rates(1e9, 1e9, 1e12), 1e9, [found])
    title, _, head, rule, line = table(report).splitlines()
    assert "1.0 Tflop/s" in title
    assert head.count("|") == rule.count("|") == line.count("|")
    for stage in ("upload", "preprocess", "mpn", "qun", "mrn", "composite", "download"):
        assert f"| {stage} |" in head


def test_frames_without_a_matte_are_not_measured() -> None:
    with pytest.raises(EngineError, match="without its matte: the networks gave"):
        row(parts_of(HostCuda(host_kernels()), broken=True), GREEN, 3, 0.5)
