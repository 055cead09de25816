"""Networks to TensorRT engines, by either flavour: `tensorrt`, else TensorRT for RTX.

The flavours share their Python interface. TensorRT for RTX builds without a
GPU, and one engine serves every GPU from Ampere on; `tensorrt` measures on the
GPU that the engine is for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from ..errors import EngineError
from ..files import why_unwritable
from ..types import Shape
from . import cache as engine_cache
from .cache import Key
from .manifest import REINSTALL
from .nvidia import EXTRA, Gpu

try:
    import tensorrt as trt
except ImportError:  # not installed, or without its libraries
    try:
        import tensorrt_rtx as trt
    except ImportError as error:
        raise EngineError(f"TensorRT does not load ({error}): {EXTRA}") from error

__all__ = ["trt"]  # the runtime must use the same flavour
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
    """Reports the builder's progress, the outermost phases only. Called from many threads."""

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
        other = f"choose another folder with {engine_cache.FOLDER_VARIABLE}"
        raise EngineError(why_unwritable(engine_cache.folder(), error, other)) from error


def size_of(network: bytes, name: str = NAME) -> str:
    """WIDTHxHEIGHT of the first input that has them."""
    with Parsed(network, name) as parsed:
        shapes = parsed.shapes()
    return next((f"{shape[-1]}x{shape[-2]}" for shape in shapes.values() if len(shape) >= 2), "any")


class Parsed:
    """A serialised ONNX network as TensorRT has read it, strongly typed.

    Raises EngineError with TensorRT's reason. TensorRT holds a lock while it
    logs, and each of its objects takes that lock when it ends: one that is left
    to the garbage collector, as everything is that an exception's traceback
    holds, may end within a call of the log, and then both wait for ever. So all
    of them end here, with the block, and no other frame keeps one.
    """

    def __init__(self, network: bytes, name: str = NAME) -> None:
        self._name, self._log = name, Log()
        self._builder: Any = None
        self._network: Any = None
        self._parser: Any = None
        self._config: Any = None
        try:
            self._read(network)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._config = self._parser = self._network = self._builder = None

    def _read(self, network: bytes) -> None:
        try:
            self._builder = trt.Builder(self._log)
        except TypeError as error:  # pybind11's word for "the library gave nothing"
            why = self._log.first()
            raise EngineError(f"{TITLE} does not start ({why}): run doctor") from error
        flags = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        self._network = self._builder.create_network(flags)
        self._parser = trt.OnnxParser(self._network, self._log)
        if not self._parser.parse(network):
            why = self._refusal()
            raise EngineError(
                f"{self._name} is not a network that TensorRT can take ({why}): {OTHER}"
            )
        for name, shape in self.shapes().items():
            if any(side < 1 for side in shape):
                raise EngineError(
                    f"{self._name}: input {name} has no fixed size: export it with one"
                )

    def shapes(self) -> dict[str, Shape]:
        """Of each input."""
        inputs = (self._network.get_input(i) for i in range(self._network.num_inputs))
        return {tensor.name: tuple(tensor.shape) for tensor in inputs}

    def _refusal(self) -> str:
        if not self._parser.num_errors:
            return self._log.first()
        error = self._parser.get_error(0)
        place = f"{error.node_operator()} {error.node_name()}".strip()
        return ": ".join(part for part in (place, " ".join(error.desc().split())[:200]) if part)

    def engine(self, capability: str, step: Step | None = None) -> bytes:
        """The serialised engine. Raises EngineError."""
        self._config = self._builder.create_builder_config()
        self._config.clear_flag(trt.BuilderFlag.TF32)  # what is left in float32 is meant
        if RTX and capability == SM75:
            self._config.num_compute_capabilities = 1
            self._config.set_compute_capability(trt.ComputeCapability.SM75, 0)
        if step is not None:
            self._config.progress_monitor = Monitor(step)
        blob = self._builder.build_serialized_network(self._network, self._config)
        if blob is None:
            why = self._log.first()
            raise EngineError(f"{self._name}: TensorRT built no engine ({why}): {OTHER}")
        return bytes(blob)


def build(
    network: bytes,
    capability: str,
    precision: str = PRECISION,
    step: Step | None = None,
    name: str = NAME,
) -> bytes:
    """A serialised ONNX network to a serialised engine. Raises EngineError."""
    if precision == "f16":
        from .float16 import to_float16

        network = to_float16(network, name)
    with Parsed(network, name) as parsed:
        return parsed.engine(capability, step)
