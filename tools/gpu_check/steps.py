"""The steps, from what is installed to how fast it is; each raises where something is wrong."""

from __future__ import annotations

import argparse
import importlib.metadata
import platform
import shutil
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bshm_live.commands.bench import frames
from bshm_live.commands.engines import verify_engines
from bshm_live.compositing.background import Fixed, studio
from bshm_live.gpu.kernels import KERNELS, name_of
from bshm_live.gpu.nvrtc import SOURCE, find_nvrtc
from bshm_live.gpu.parts import open_gpu
from bshm_live.loop.in_flight import InFlight
from bshm_live.loop.parts import Always, cpu_parts
from bshm_live.loop.pipeline import Pipeline
from bshm_live.loop.stage import Stage
from bshm_live.loop.trial import agree_around
from bshm_live.runtimes.choice import BOUNDS, get_runtime, load_bshm
from bshm_live.runtimes.manifest import Network, load_manifest
from bshm_live.runtimes.nvidia import Gpu, find_gpu, toolkit
from bshm_live.runtimes.onnxruntime import OnnxRuntimeEngine
from bshm_live.settings import parse_background
from bshm_live.types import Size

from .rival import rival
from .speed import measured, table

Step = Callable[[argparse.Namespace], None]

PACKAGES = (
    *("bshm-live", "numpy", "opencv-python", "onnx", "onnxruntime", "onnxruntime-gpu"),
    *("tensorrt", "tensorrt-cu12", "tensorrt-cu13", "tensorrt-rtx", "tensorrt-rtx-cu13"),
    *("pycuda", "nvidia-cuda-nvrtc", "nvidia-cuda-nvrtc-cu12", "nvidia-cuda-runtime"),
)
DRIVER = Path("/proc/driver/nvidia/version")
SMI = "name,driver_version,memory.total,pcie.link.gen.max,pcie.link.width.max,compute_mode"
PATH_SIZE: Size = (1280, 720)
PATH_FRAMES = 6
SHARE = 0.999  # of all values: a hard edge may fall either way in a few places
LEVELS = 255 * BOUNDS["f16"] + 1  # what float16 may change in a composite


def versions(args: argparse.Namespace) -> None:
    """What is installed."""
    print(f"{platform.platform()}, Python {platform.python_version()}")
    print(f"GPU: {find_gpu()!r}")
    if DRIVER.is_file():
        print(DRIVER.read_text().splitlines()[0])
    if smi := shutil.which("nvidia-smi"):
        subprocess.run([smi, f"--query-gpu={SMI}", "--format=csv"], check=False)
    for name in PACKAGES:
        try:
            print(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    print(f"nvcc: {toolkit()}")


def kernels(args: argparse.Namespace) -> None:
    """NVRTC compiles the kernels for this card."""
    gpu = the_gpu()
    compiler = find_nvrtc(gpu.cuda[0])
    start = time.perf_counter()
    binary = compiler.compile(SOURCE.read_text("utf-8"), gpu.capability)
    seconds = time.perf_counter() - start
    version = "{}.{}".format(*compiler.version)
    print(f"{binary.form} for sm_{binary.architecture}, NVRTC {version}, {seconds:.2f} s")


def module(args: argparse.Namespace) -> None:
    """The card takes the kernels; memory goes up and comes back."""
    from bshm_live.gpu.pycuda import PyCuda

    cuda = PyCuda()
    print(f"loaded: {', '.join(name_of(kind) for kind in KERNELS)}")
    with cuda.active():
        stream = cuda.stream()
        sent, back = (cuda.pinned((1 << 20,), np.uint8) for _ in range(2))
        sent[...] = np.arange(1 << 20) % 251
        pointer = cuda.allocate(sent.nbytes)
        cuda.upload(pointer, sent, stream)
        cuda.download(back, pointer, stream)
        cuda.synchronize(stream)
        assert np.array_equal(sent, back), "what came back is not what went up"
        cuda.clear(pointer, sent.nbytes, stream)
        cuda.download(back, pointer, stream)
        cuda.synchronize(stream)
        assert not back.any(), "memory was not cleared"
        cuda.free(pointer)
    print(f"1 MiB up and down, pointer {pointer:#x}, stream {stream:#x}")


def arithmetic(args: argparse.Namespace) -> None:
    """Each kernel on the card against NumPy."""
    pytest("tests/gpu/test_gpu_kernels.py")


def engines(args: argparse.Namespace) -> None:
    """Every network: built, loaded, run, against ONNX Runtime."""
    wrong = []
    for network in load_manifest().networks:
        try:
            one_engine(network)
        except Exception:  # the next one may tell more
            traceback.print_exc()
            wrong.append(f"{network.preset} {network.name}")
    assert not wrong, f"failed: {', '.join(wrong)}"


def one_engine(network: Network) -> None:
    """Both precisions, three runs each: as it is, recorded, and as the recorded graph."""
    from bshm_live.runtimes.tensorrt import TensorRtEngine

    rng = np.random.default_rng(0)
    feeds = {name: rng.random(shape, np.float32) for name, shape in network.inputs.items()}
    right = OnnxRuntimeEngine(network.path).run(feeds)
    for precision, bound in BOUNDS.items():
        start = time.perf_counter()
        engine = TensorRtEngine(network.path, precision=precision)
        seconds = time.perf_counter() - start
        runs = [{k: v.copy() for k, v in engine.run(feeds).items()} for _ in range(3)]
        engine.close()
        apart = [max(float(np.abs(run[k] - right[k]).max()) for k in right) for run in runs]
        words = " ".join(f"{value:.1e}" for value in apart)
        name = f"{network.preset} {network.name} {precision}"
        print(f"{name:20} ready after {seconds:6.2f} s, differs by {words}", flush=True)
        assert max(apart) <= bound, f"{name}: more than {bound:.0e}"


def verify(args: argparse.Namespace) -> None:
    """Every runtime against PyTorch's goldens."""
    verify_engines()


def path(args: argparse.Namespace) -> None:
    """A few frames through the whole path, beside the CPU's composites."""
    some, stage = list(frames(PATH_SIZE, PATH_FRAMES)), Stage(Fixed(studio(PATH_SIZE)))
    parts = open_gpu(args.preset, PATH_SIZE)
    gpu = Pipeline(Always(parts), lambda: stage, PATH_SIZE, fail_closed=False)
    with load_bshm(args.preset, get_runtime("onnxruntime")) as bshm:
        supply = Always(cpu_parts(bshm, PATH_SIZE))
        cpu = Pipeline(supply, lambda: stage, PATH_SIZE, fail_closed=False)
        right = [cpu.shoot(frame).composite.copy() for frame in some]
    found = []
    for frame, wanted in zip(some, right, strict=True):
        apart = np.abs(gpu.shoot(frame).composite.astype(int) - wanted)
        found.append(float(np.quantile(apart, SHARE)))
        print(f"frame {frame.index}: 99.9 % within {found[-1]:.1f} levels, max {apart.max()}")
    parts.steadier.reset()
    agree_around(parts, cpu_parts(parts.matting, PATH_SIZE), [frame.image for frame in some])
    print("steadier and compositor agree with NumPy on the card's own mattes")
    two = InFlight(parts, lambda: stage, PATH_SIZE)
    count = sum(1 for _ in two.shots(some, foreground=True))
    print(f"two in flight: {count} frames")
    parts.close()
    assert max(found) <= LEVELS, "the composites differ"


def tests(args: argparse.Namespace) -> None:
    """All tests marked `gpu`."""
    pytest()


def speed(args: argparse.Namespace) -> None:
    """How fast it is, beside the floor and RVM."""
    title, background = get_runtime("tensorrt").description, parse_background(args.bg)
    report = measured(args.preset, args.frames, title, background)
    text = f"{table(report)}\n\n{rival(args.rvm, report.networks_ms)}\n"
    print(text)
    if args.out:
        args.out.write_text(text, "utf-8")


STEPS: dict[str, Step] = {
    step.__name__: step
    for step in (versions, kernels, module, arithmetic, engines, verify, path, tests, speed)
}


def the_gpu() -> Gpu:
    found = find_gpu()
    assert isinstance(found, Gpu), str(found)
    return found


def pytest(*words: str) -> None:
    """The tests marked `gpu`, here or in one file."""
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "--tb=short", "-m", "gpu", *words]
    command += ["-W", "default"]  # what a library on that machine warns of is no failure
    done = subprocess.run(command, check=False)
    assert done.returncode == 0, f"pytest ended with {done.returncode}"
