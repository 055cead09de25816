"""Everything that only a machine with an NVIDIA GPU can prove, and a table of what it measured.

    python -m tools.gpu_check [--preset quality] [--frames 200] [--rvm FILE] [--out table.md]

Checks what is installed, compiles the kernels, builds and verifies the engines,
runs the tests marked `gpu`, and measures 720p, 1080p and 4K from host frame to
host composite beside the floor: the bytes over the link's measured rate and the
networks' arithmetic over the card's measured rate; and RVM on the same card, where
its file and an ONNX Runtime for the GPU are there. Exit code 0: all passed; 1:
something did not; 4: there is no GPU, or something is missing to use it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort

from bshm_live.errors import BshmError, EngineError
from bshm_live.gpu.bench import SIZES, Report, measured, table
from bshm_live.gpu.nvrtc import SOURCE, find_nvrtc
from bshm_live.runtimes.choice import get_runtime
from bshm_live.runtimes.nvidia import Gpu, find_gpu, tensorrt_lacks
from bshm_live.settings import parse_background

NO_GPU = EngineError.exit_code
ON_GPU = "CUDAExecutionProvider"
RVM = Path(__file__).parents[2] / "shared" / "data" / "rivals" / "rvm_288x512.onnx"
WARM_UP, RUNS = 20, 200
BACKGROUND = "#00b140"


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="gpu_check", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--preset", default="quality")
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--rvm", type=Path, default=RVM, help="RVM as an ONNX file to compare with")
    parser.add_argument("--out", type=Path, help="file for the table")
    args = parser.parse_args(words)
    found = find_gpu()
    lacks = [str(lack) for lack in tensorrt_lacks()]
    if lacks or not isinstance(found, Gpu):
        print(f"gpu_check: {'; '.join(lacks) or found}", file=sys.stderr)
        return NO_GPU
    try:
        passed = [step() for step in (lambda: kernels(found), build, verify, tests)]
        title, plain = get_runtime("tensorrt").description, parse_background(BACKGROUND)
        report = measured(args.preset, SIZES, args.frames, title, plain)
    except BshmError as error:
        print(f"gpu_check: {error}", file=sys.stderr)
        return 1
    text = f"{table(report)}\n\n{rival(args.rvm, report)}\n"
    print(text)
    if args.out:
        args.out.write_text(text, "utf-8")
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
    return ran("tests on the GPU", [sys.executable, "-m", "pytest", "-q", "-rs", "-m", "gpu"])


def ran(what: str, command: Sequence[str]) -> bool:
    print(f"== {what}: {' '.join(command[1:])}", flush=True)
    good = subprocess.run(command, check=False).returncode == 0
    print(f"{what}: {'passed' if good else 'FAILED'}", flush=True)
    return good


# ---- RVM on the same card ------------------------------------------------------------------


def rival(path: Path, report: Report) -> str:
    """RVM's time beside ours in the same run, or why there is none."""
    if not path.is_file():
        return f"RVM was not compared: there is no {path.name} (--rvm FILE)."
    if ON_GPU not in ort.get_available_providers():
        return "RVM was not compared: this ONNX Runtime has no CUDA (pip install onnxruntime-gpu)."
    theirs = rvm_ms(path, ON_GPU)
    return (
        f"{path.stem} through ONNX Runtime {ort.__version__} on the same card: {theirs:.2f} ms, "
        f"{theirs / report.networks_ms:.1f} times ours."
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


if __name__ == "__main__":
    sys.exit(main())
