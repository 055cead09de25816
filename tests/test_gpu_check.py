"""tools/gpu_check, as far as it goes without a GPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import TOY, fake_networks
from gpu_twin import HostCuda, host_engines, host_kernels

pytest.importorskip("onnx")

from bshm_live.gpu.parts import gpu_parts
from bshm_live.manifest import load_manifest
from bshm_live.nvidia import Lack
from bshm_live.runtimes.onnxruntime import OnnxRuntimeEngine
from tools import gpu_check
from tools.gpu_check import Rates, Row, floor_ms, markdown, operations, probe, row


def test_without_a_gpu_it_says_so_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lack = Lack("no NVIDIA driver", "install it")
    monkeypatch.setattr(gpu_check, "find_gpu", lambda: lack)
    monkeypatch.setattr(gpu_check, "tensorrt_lacks", lambda: iter([lack]))
    assert gpu_check.main([]) == 4
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "gpu_check: no NVIDIA driver: install it\n"


def test_the_probe_is_a_network_of_known_work(tmp_path: Path) -> None:
    path = tmp_path / "probe.onnx"
    probe(path, channels=8, side=4)
    assert operations(path) == 2 * gpu_check.PROBE_LAYERS * 8 * 8 * 4 * 4
    out = OnnxRuntimeEngine(path).run({"x0": np.ones((1, 8, 4, 4), np.float32)})
    assert np.isfinite(next(iter(out.values()))).all()


def test_the_networks_work_is_counted() -> None:
    networks = load_manifest().preset("quality")
    work = {name: operations(network.path) for name, network in networks.items()}
    assert all(1e7 < value < 1e11 for value in work.values()), work
    assert operations(load_manifest(TOY).preset("balanced")["mpn"].path) > 0


def test_the_floor_is_its_formula() -> None:
    rates = Rates(up=20e9, down=10e9, arithmetic=100e12)
    assert floor_ms((1920, 1080), 1e9, rates) == pytest.approx(0.31104 + 0.62208 + 0.01)


def test_a_row_is_measured_on_the_twin() -> None:
    cuda = HostCuda(host_kernels())
    parts = gpu_parts(cuda, host_engines(cuda, fake_networks()), (64, 36))
    up, down = gpu_check.link_rates(cuda, 1 << 10)
    assert min(up, down) > 0
    found = row(parts, "tiny", (64, 36), 3, 0.5)
    parts.close()
    assert not cuda.held
    assert 0 < found.p50 <= found.p95
    assert found.loop > 0
    assert found.in_flight > 0
    table = markdown("A card", Rates(1e9, 1e9, 1e12), 1e9, [found])
    _, _, head, rule, line = table.splitlines()
    assert head.count("|") == rule.count("|") == line.count("|")
    for stage in ("upload", "preprocess", "mpn", "qun", "mrn", "composite", "download"):
        assert f"| {stage} |" in head + "|"
    assert isinstance(found, Row)
