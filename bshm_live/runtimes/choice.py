"""The choice of a runtime, and a preset's three engines made ready in it.

Each runtime has a file of its own and is imported there alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from ..errors import EngineError
from ..kernels.library import library
from ..matting.bshm import Bshm
from ..matting.head import HeadFinder
from ..types import Engine
from .manifest import NETWORKS, REINSTALL, Manifest, check_file, load_manifest
from .nvidia import EXTRA, Gpu, find_gpu, tensorrt_lacks

# Best first; `auto` takes the first that is there. Each is named after its module.
NAMES = ("tensorrt", "openvino", "onnxruntime")
INSTALL = {
    "tensorrt": EXTRA,
    "openvino": "pip install 'bshm-live[openvino]'",
    "onnxruntime": "pip install onnxruntime",
}
# The largest difference from float32 anywhere in a stage's result, by precision; in int8 the
# mean one
BOUNDS = {"f32": 1e-3, "f16": 2e-2, "int8": 0.01}
# Pixels of a network's picture, up to which a second thread costs a quarter more processor time
SMALL = 200_000


@dataclass(frozen=True)
class Runtime:
    """A runtime that is there: its name, what it runs on, how to load a network.

    `bound` is how far its results may be from the goldens.
    """

    name: str
    description: str
    load: Callable[[Path, int], Engine]
    bound: float = BOUNDS["f32"]


def lacking(name: str) -> str | None:
    """What a runtime lacks on this machine, with the line to type; None if it can run."""
    if name == "tensorrt":
        return "; ".join(str(lack) for lack in tensorrt_lacks()) or None
    return None if find_spec(name) else f"not installed; {INSTALL[name]}"


def require(name: str) -> None:
    """Raises EngineError where the runtime of that name lacks something; `auto` never does."""
    if name == "auto":
        return
    if name not in NAMES:
        raise EngineError(f"--runtime {name}: unknown; choose from auto, {', '.join(NAMES)}")
    if lack := lacking(name):
        raise EngineError(f"--runtime {name}: {lack}")


def available(names: tuple[str, ...] = NAMES) -> list[str]:
    return [name for name in names if lacking(name) is None]


def get_runtime(name: str = "auto") -> Runtime:
    """The runtime of that name, or for `auto` the best that is there. Raises EngineError."""
    if name == "auto":
        return _best()
    require(name)
    try:
        module = import_module(f"{__package__}.{name}")
    except ImportError as error:
        reason = f"does not load ({error})"
        raise EngineError(f"--runtime {name}: {reason}; {INSTALL[name]}") from error
    bound = BOUNDS["f16" if name == "tensorrt" else "f32"]
    return Runtime(name, module.version(), module.load, bound)


def tensorrt_f32() -> Runtime:
    """TensorRT in float32: an error that remains there is not due to float16."""
    runtime = get_runtime("tensorrt")
    load = partial(import_module(f"{__package__}.tensorrt").load, precision="f32")
    description = runtime.description.removesuffix("f16") + "f32"
    return replace(runtime, description=description, load=load, bound=BOUNDS["f32"])


def state(name: str) -> tuple[bool, str]:
    """Whether a runtime works on this machine, and what it is or what it lacks."""
    try:
        return True, get_runtime(name).description
    except EngineError as error:
        return False, str(error).removeprefix("--runtime ")


def cpu_runtime() -> Runtime:
    """The best runtime that needs no GPU. Raises EngineError."""
    there = available(("openvino", "onnxruntime"))
    if not there:
        raise EngineError(f"no runtime is installed; {INSTALL['onnxruntime']}")
    return get_runtime(there[0])


def _best() -> Runtime:
    """TensorRT where it can run, else the CPU's best, which then says why."""
    gpu = find_gpu()
    if isinstance(gpu, Gpu):
        try:
            return get_runtime("tensorrt")
        except EngineError as error:
            reason = f"not on {gpu}: {str(error).removeprefix('--runtime ')}"
    else:
        reason = gpu.what
    best = cpu_runtime()
    return replace(best, description=f"{best.description} ({reason})")


def load_bshm(
    preset: str,
    runtime: Runtime,
    threads: int = 0,
    manifest: Manifest | None = None,
    *,
    int8: bool = False,
    reuse: bool = False,
    frugal: bool = False,
) -> Bshm:
    """The three networks of a preset, or their int8 twins, checked against the manifest.

    `reuse` is Bshm's; `frugal`: small networks have one thread each, whatever `threads` says.
    Raises EngineError, also where the native kernels around them do not load.
    """
    try:
        library()
    except OSError as error:
        raise EngineError(str(error)) from error
    engines = load_engines(preset, runtime, threads, manifest, int8=int8, frugal=frugal)
    return Bshm(*engines, threads=threads, reuse=reuse)


def load_head_finder(threads: int = 0, manifest: Manifest | None = None) -> HeadFinder:
    """The head finder, on the CPU: it is too small for a GPU to be worth it. Raises EngineError."""
    return HeadFinder(load_head(cpu_runtime(), threads, manifest))


def load_head(runtime: Runtime, threads: int = 0, manifest: Manifest | None = None) -> Engine:
    """The head finder's network. Raises EngineError."""
    manifest = manifest or load_manifest()
    if manifest.head is None:
        raise EngineError(f"no head finder in {manifest.folder}; {REINSTALL}")
    check_file(manifest.head)
    engine = runtime.load(manifest.head.path, threads)
    if dict(engine.inputs) != dict(manifest.head.inputs):
        engine.close()
        raise EngineError(f"{manifest.head.path} is not the head finder of the manifest: reinstall")
    return engine


def load_engines(
    preset: str,
    runtime: Runtime,
    threads: int = 0,
    manifest: Manifest | None = None,
    *,
    int8: bool = False,
    frugal: bool = False,
) -> list[Engine]:
    """MPN, QUN and MRN of a preset. Raises EngineError, and then leaves none open."""
    manifest = manifest or load_manifest()
    networks = manifest.int8(preset) if int8 else manifest.preset(preset)
    if not networks:
        raise EngineError(f"preset {preset}: no int8 networks in {manifest.folder}; use f32")
    engines = []
    with ExitStack() as opened:
        for name in NETWORKS:
            network = networks[name]
            check_file(network)
            small = math.prod(network.inputs["image"][2:]) <= SMALL
            engine = runtime.load(network.path, 1 if frugal and small else threads)
            opened.callback(engine.close)
            if dict(engine.inputs) != dict(network.inputs):
                raise EngineError(f"{network.path} is not the {name} of the manifest: reinstall")
            engines.append(engine)
        opened.pop_all()
    return engines
