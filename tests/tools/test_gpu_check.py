"""tools/gpu_check, as far as it goes without a GPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from bshm_live.runtimes.nvidia import Lack
from tools.gpu_check import __main__ as command
from tools.gpu_check import rival as rivals
from tools.gpu_check.rival import ON_GPU, rival, rvm_ms


def test_without_a_gpu_it_says_so_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lack = Lack("no NVIDIA driver", "install it")
    monkeypatch.setattr(command, "tensorrt_lacks", lambda: iter([lack]))
    assert command.main([]) == 4
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "gpu_check: no NVIDIA driver: install it\n"


def recurrent(path: Path) -> Path:
    """A network that is called as RVM is: a picture and a state, their sum and the next state."""
    names = ("src", "r1i"), ("pha", "r1o")
    given, found = (
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4, 4, 3]) for name in row]
        for row in names
    )
    nodes = [helper.make_node("Add", names[0], [name]) for name in names[1]]
    graph = helper.make_graph(nodes, "rvm", given, found)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path))
    return path


def test_a_rival_is_timed_where_it_runs(tmp_path: Path) -> None:
    path = recurrent(tmp_path / "rvm.onnx")
    times = [rvm_ms(path, "CPUExecutionProvider", runs) for runs in (3, 5)]
    assert all(np.isfinite(time) and time > 0 for time in times)


def test_why_rvm_was_not_compared_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "there is no rvm.onnx (--rvm FILE)" in rival(tmp_path / "rvm.onnx", 0.5)
    path = recurrent(tmp_path / "rvm.onnx")
    monkeypatch.setattr(rivals.ort, "get_available_providers", lambda: ["another"])
    assert "pip install onnxruntime-gpu" in rival(path, 0.5)
    monkeypatch.setattr(rivals.ort, "get_available_providers", lambda: [ON_GPU])
    monkeypatch.setattr(rivals, "rvm_ms", lambda *_: 6.0)
    assert rival(path, 0.5).endswith("6.00 ms, 12.0 times ours.")


def test_a_step_that_fails_keeps_its_traceback_and_the_next_one_runs(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Here there is no GPU: the kernels cannot be compiled for it."""
    monkeypatch.setattr(command, "tensorrt_lacks", lambda: iter(()))
    assert command.main(["kernels", "versions"]) == 1
    said = capfd.readouterr()
    assert "Traceback" in said.err
    first, second = said.out.splitlines()[-2:]
    assert first.startswith("kernels   FAILED (code 1) in ")
    assert second.startswith("versions  passed in ")
    assert "numpy" in said.out


def test_a_step_that_does_not_end_is_ended(capfd: pytest.CaptureFixture[str]) -> None:
    assert "FAILED (it did not end)" in command.outcome("versions", [], patience_s=0.01)
