"""Networks to TensorRT engines, by either flavour: `tensorrt`, else TensorRT for RTX.

The flavours share their Python interface. TensorRT for RTX builds without a
GPU, and one engine serves every GPU from Ampere on; `tensorrt` measures on the
GPU that the engine is for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import engine_cache
from .engine_cache import Key
from .errors import EngineError
from .manifest import REINSTALL
from .nvidia import EXTRA, Gpu

try:
    import tensorrt as trt
except ImportError:  # not installed, or without its libraries
    try:
        import tensorrt_rtx as trt
    except ImportError as error:
        raise EngineError(f"TensorRT does not load ({error}): {EXTRA}") from error

__all__ = ["trt"]  # the runtime shall take the same flavour
FLAVOUR: str = trt.__name__
RTX = FLAVOUR == "tensorrt_rtx"
TITLE = f"TensorRT{' for RTX' if RTX else ''} {trt.__version__}"
TURING, SM75 = (7, 5), "sm75"  # TensorRT for RTX has engines of their own for it
PRECISION = "f16"
NAME = "the network"
OTHER = "choose another runtime with --runtime"

Step = Callable[[str, int, int], None]  # phase, step, steps


class Log(trt.ILogger):  # type: ignore[misc]
    """Keeps what TensorRT calls errors, to tell the first one."""

    def __init__(self) -> None:
        trt.ILogger.__init__(self)
        self.errors: list[str] = []

    def log(self, severity: Any, message: str) -> None:
        if severity <= trt.ILogger.ERROR:
            self.errors.append(" ".join(message.split()))

    def first(self) -> str:
        return self.errors[0][:300] if self.errors else "no reason given"


class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
    """Hands on how far the builder is: the outermost phases only. Called from many threads."""

    def __init__(self, step: Step) -> None:
        trt.IProgressMonitor.__init__(self)
        self._step = step
        self._steps: dict[str, int] = {}

    def phase_start(self, phase: str, parent: str | None, steps: int) -> None:
        if not parent:
            self._steps[phase] = steps
            self._step(phase, 0, steps)

    def step_complete(self, phase: str, step: int) -> bool:
        if phase in self._steps:
            self._step(phase, step + 1, self._steps[phase])
        return True

    def phase_finish(self, phase: str) -> None:
        if phase in self._steps:
            self._step(phase, self._steps[phase], self._steps[phase])


def target(gpu: Gpu | None) -> str:
    """The GPUs that an engine is for: sm75, sm80+, or the one GPU's own where it was measured."""
    if RTX:
        return SM75 if gpu and gpu.capability == TURING else "sm80+"
    if gpu is None:
        raise EngineError(f"{TITLE} builds on the GPU alone, and there is none; {EXTRA} needs none")
    return "sm{}{}".format(*gpu.capability)


def key_of(network: bytes, gpu: Gpu | None, precision: str = PRECISION, name: str = NAME) -> Key:
    digest = hashlib.sha256(network).hexdigest()
    flavour = f"{FLAVOUR}_{trt.__version__}"
    return Key(digest, flavour, target(gpu), size_of(network, name), precision)


def engine_of(
    path: Path, gpu: Gpu | None, precision: str = PRECISION, step: Step | None = None
) -> tuple[Key, bytes, bool]:
    """A network's engine with its key, and whether it was in the cache. Raises EngineError."""
    try:
        network = path.read_bytes()
    except OSError as error:
        raise EngineError(f"{path}: cannot be read ({error.strerror}); {REINSTALL}") from error
    key = key_of(network, gpu, precision, str(path))
    if (blob := engine_cache.load(key)) is not None:
        return key, blob, True
    blob = build(network, key.capability, precision, step, str(path))
    keep(key, blob)
    return key, blob, False


def keep(key: Key, blob: bytes, kind: str = "engine") -> None:
    """Into the cache. Raises EngineError."""
    try:
        engine_cache.store(key, blob, kind)
    except OSError as error:
        where = engine_cache.folder()
        raise EngineError(
            f"{where}: cannot be written ({error.strerror}); "
            f"free some space, or choose another folder with {engine_cache.FOLDER_VARIABLE}"
        ) from error


def size_of(network: bytes, name: str = NAME) -> str:
    """WIDTHxHEIGHT of the first input that has them."""
    _, parsed, _ = parse(network, name)
    shapes = [tuple(parsed.get_input(i).shape) for i in range(parsed.num_inputs)]
    return next((f"{shape[-1]}x{shape[-2]}" for shape in shapes if len(shape) >= 2), "any")


def parse(network: bytes, name: str = NAME) -> tuple[Any, Any, Log]:
    """Builder, strongly typed network and log. Raises EngineError with TensorRT's reason."""
    log = Log()
    try:
        builder = trt.Builder(log)
    except TypeError as error:  # pybind11's word for "the library gave nothing"
        raise EngineError(f"{TITLE} does not start ({log.first()}): run doctor") from error
    flags = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    parsed = builder.create_network(flags)
    parser = trt.OnnxParser(parsed, log)
    if not parser.parse(network):
        reason = _refusal(parser, log)
        raise EngineError(f"{name} is not a network that TensorRT can take ({reason}): {OTHER}")
    for number in range(parsed.num_inputs):
        tensor = parsed.get_input(number)
        if any(side < 1 for side in tensor.shape):
            raise EngineError(f"{name}: input {tensor.name} has no fixed size: export it with one")
    return builder, parsed, log


def _refusal(parser: Any, log: Log) -> str:
    if not parser.num_errors:
        return log.first()
    error = parser.get_error(0)
    place = f"{error.node_operator()} {error.node_name()}".strip()
    return ": ".join(part for part in (place, " ".join(error.desc().split())[:200]) if part)


def build(
    network: bytes,
    capability: str,
    precision: str = PRECISION,
    step: Step | None = None,
    name: str = NAME,
) -> bytes:
    """A serialised ONNX network to a serialised engine. Raises EngineError."""
    if precision == "f16":
        from .half import to_half

        network = to_half(network, name)
    builder, parsed, log = parse(network, name)
    config = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)  # what is left in float32 is meant
    if RTX and capability == SM75:
        config.num_compute_capabilities = 1
        config.set_compute_capability(trt.ComputeCapability.SM75, 0)
    if step is not None:
        config.progress_monitor = Monitor(step)
    blob = builder.build_serialized_network(parsed, config)
    if blob is None:
        raise EngineError(f"{name}: TensorRT built no engine ({log.first()}): {OTHER}")
    return bytes(blob)
