"""Every installed runtime computes the toy networks as their formulas say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import TOY, fake_networks, portrait

from bshm_live.errors import EngineError
from bshm_live.matting.bshm import Bshm
from bshm_live.runtimes import choice as runtimes
from bshm_live.runtimes import nvidia
from bshm_live.runtimes.choice import NAMES, available, cpu_runtime, get_runtime, load_bshm
from bshm_live.runtimes.manifest import load_manifest
from bshm_live.runtimes.nvidia import Gpu, Lack, find_gpu
from bshm_live.runtimes.onnxruntime import OnnxRuntimeEngine, spinning

BOUND = 1e-5  # float32 sums in another order


@pytest.mark.parametrize("name", list(NAMES))
def test_a_runtime_agrees_with_the_formulas(name: str) -> None:
    if name not in available():
        pytest.skip(f"{name} is not installed")
    picture = portrait().picture
    with load_bshm("balanced", get_runtime(name), manifest=load_manifest(TOY)) as bshm:
        first = bshm.matte(picture)
        second = bshm.matte(255 - picture, hint=first.alpha)
    twin = Bshm(*fake_networks())
    for matte, right in ((first, twin.matte(picture)), (second, None)):
        right = right or twin.matte(255 - picture, hint=first.alpha)
        for part in ("coarse", "unified", "alpha", "residual"):
            assert np.abs(getattr(matte, part) - getattr(right, part)).max() < BOUND


def test_auto_takes_what_is_there_and_says_what_it_is() -> None:
    runtime = get_runtime("auto")
    assert runtime.name == available()[0]
    gpu = find_gpu()
    if isinstance(gpu, Lack):
        assert "CPU" in runtime.description
        assert runtime.description.endswith(f"({gpu.what})")


def test_auto_beside_an_idle_gpu_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU that is there and not used is never passed over in silence."""
    gpu = Gpu("Toy RTX", (8, 6), (13, 0))
    monkeypatch.setattr(runtimes, "find_gpu", lambda: gpu)
    monkeypatch.setattr(nvidia, "find_gpu", lambda: gpu)
    monkeypatch.setattr(nvidia, "find_spec", lambda name: None)
    runtime = get_runtime("auto")
    assert runtime.name in ("openvino", "onnxruntime")
    assert "not on Toy RTX: tensorrt: TensorRT is not installed" in runtime.description
    assert nvidia.EXTRA in runtime.description


def test_a_broken_tensorrt_is_told_and_passed_over(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Installed, but its libraries do not load: auto goes on, and who asked for it is told."""
    gpu = Gpu("Toy RTX", (8, 6), (13, 0))
    monkeypatch.setattr(runtimes, "find_gpu", lambda: gpu)
    monkeypatch.setattr(runtimes, "tensorrt_lacks", lambda: iter(()))
    monkeypatch.setitem(sys.modules, "pycuda", None)  # any import of it fails
    monkeypatch.delitem(sys.modules, "bshm_live.runtimes.tensorrt", raising=False)
    with pytest.raises(EngineError, match=r"--runtime tensorrt: .*does not load"):
        get_runtime("tensorrt")
    assert "not on Toy RTX: tensorrt: " in get_runtime("auto").description
    assert runtimes.state("tensorrt")[0] is False


def test_the_cpus_best_needs_no_gpu() -> None:
    assert cpu_runtime().name in ("openvino", "onnxruntime")


def test_a_wrong_file_is_one_line(tmp_path: Path) -> None:
    wrong = tmp_path / "mpn.onnx"
    wrong.write_bytes(b"not a network")
    for name in available():
        with pytest.raises(EngineError, match=r"mpn\.onnx is not a network") as error:
            get_runtime(name).load(wrong, 1)
        assert "\n" not in str(error.value)


def test_another_network_under_the_right_name_is_refused(tmp_path: Path) -> None:
    engine = OnnxRuntimeEngine(TOY / "balanced" / "mpn.onnx")
    with pytest.raises(EngineError, match="ONNX Runtime failed"):
        engine.run({"image": np.zeros((1, 3, 8, 8), np.float32)})


def test_a_missing_runtime_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bshm_live.runtimes.choice.find_spec", lambda module: None)
    with pytest.raises(EngineError, match="pip install"):
        get_runtime("openvino")


def test_openvino_cannot_report_its_use() -> None:
    pytest.importorskip("openvino")
    from bshm_live.runtimes import openvino  # noqa: F401

    with pytest.raises(ImportError):
        __import__("openvino_telemetry")


@pytest.mark.skipif(sys.platform != "linux", reason="the signal stack is Linux's")
def test_a_signal_after_openvino_does_not_crash() -> None:
    pytest.importorskip("openvino")
    code = (
        "import os, signal; from bshm_live.runtimes.choice import get_runtime, load_bshm\n"
        "bshm = load_bshm('fast', get_runtime('openvino'), 1)\n"
        "signal.signal(signal.SIGUSR1, lambda *_: None)\n"
        "os.kill(os.getpid(), signal.SIGUSR1)\n"
        "bshm.close()\n"
        "del bshm\n"
        "os.kill(os.getpid(), signal.SIGUSR1)\n"
    )
    done = subprocess.run([sys.executable, "-X", "faulthandler", "-c", code], check=False)
    assert done.returncode == 0


def test_idle_workers_of_onnx_runtime_sleep() -> None:
    """Releases that know no limit for the waiting never wait awake."""
    for version in ("1.19.2", "1.27.0"):
        assert spinning(version) == {"session.intra_op.allow_spinning": "0"}
    assert spinning("1.32.0")["session.force_spinning_stop"] == "1"
    assert int(spinning("2.0.0")["session.intra_op.spin_duration_us"]) < 1000
