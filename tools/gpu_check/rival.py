"""RVM on the same card, for comparison."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import onnxruntime as ort

ON_GPU = "CUDAExecutionProvider"
RVM = Path(__file__).parents[3] / "shared" / "data" / "rivals" / "rvm_288x512.onnx"
WARM_UP, RUNS = 20, 200


def rival(path: Path, networks_ms: float) -> str:
    """RVM's time beside that of our networks, or why there is none."""
    if not path.is_file():
        return f"RVM was not compared: there is no {path.name} (--rvm FILE)."
    if ON_GPU not in ort.get_available_providers():
        return "RVM was not compared: this ONNX Runtime has no CUDA (pip install onnxruntime-gpu)."
    theirs = rvm_ms(path, ON_GPU)
    return (
        f"{path.stem} through ONNX Runtime {ort.__version__} on the same card: {theirs:.2f} ms, "
        f"{theirs / networks_ms:.1f} times ours."
    )


def rvm_ms(path: Path, provider: str, runs: int = RUNS) -> float:
    """Milliseconds of one frame, the median; inputs and state stay where the network runs."""
    session = ort.InferenceSession(str(path), providers=[provider])
    device = "cuda" if provider == ON_GPU else "cpu"
    binding = session.io_binding()
    for given in session.get_inputs():
        zeros = np.zeros(given.shape, np.float32)
        binding.bind_ortvalue_input(given.name, ort.OrtValue.ortvalue_from_numpy(zeros, device, 0))
    for found in session.get_outputs():
        binding.bind_output(found.name, device)
    times = []
    for _ in range(WARM_UP + runs):
        start = time.perf_counter()
        session.run_with_iobinding(binding)
        binding.synchronize_outputs()
        times.append((time.perf_counter() - start) * 1e3)
    return float(np.median(times[WARM_UP:]))
