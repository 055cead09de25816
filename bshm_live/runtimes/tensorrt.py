"""TensorRT on an NVIDIA GPU, an extra: `pip install 'bshm-live[tensorrt]'`."""

from __future__ import annotations

import atexit
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pycuda.driver as cuda
from numpy.typing import NDArray

from ..errors import EngineError
from ..types import Shape, Tensor
from . import cache as engine_cache
from .cache import Key
from .nvidia import Gpu, Graph, find_gpu
from .tensorrt_build import PRECISION, RTX, TITLE, Log, engine_of, keep, trt

CACHED = "runtime"  # kind of file: what TensorRT for RTX compiled for this GPU
REBUILD = "update the NVIDIA driver, or choose another runtime with --runtime"


@cache
def gpu() -> Gpu:
    """The GPU that everything runs on. Raises EngineError."""
    found = find_gpu()
    if not isinstance(found, Gpu):
        raise EngineError(f"tensorrt: {found}")
    return found


@cache
def _primary() -> Any:
    cuda.init()
    context = cuda.Device(0).retain_primary_context()
    # pycuda's own cleanup at exit would call cuCtxDetach, which CUDA refuses, and print an error.
    atexit.register(context.detach)
    return context


@contextmanager
def active() -> Iterator[None]:
    """Makes the GPU current in this thread. All CUDA work of the program shares one context."""
    try:
        _primary().push()
        try:
            yield
        finally:
            cuda.Context.pop()
    except cuda.Error as error:
        reason = str(error).strip().splitlines()[0]
        raise EngineError(f"{gpu()} failed ({reason}): close other programs that use it") from error


class TensorRtEngine:
    """One network on the GPU. Returned arrays are valid until the next run.

    `run` copies host arrays to the GPU and back. Who has the data on the GPU
    already gives its addresses instead and waits for its own stream:

        with active():
            engine.bind("image", int(pointer))  # once; float32, as in inputs and outputs
            engine.enqueue(stream.handle)       # as often as there are frames

    What is not bound lies in the engine's own memory, at `pointer(name)`: one
    network's output can be bound as the next one's input. The network is launched
    as one CUDA graph.
    """

    def __init__(self, path: Path, threads: int = 0, *, precision: str = PRECISION) -> None:
        self._graph: Graph | None = None
        self._log = Log()
        self._host: dict[str, NDArray[np.float32]] = {}
        self._device: dict[str, Any] = {}
        self._runtime: Any = None
        self._engine: Any = None
        self._config: Any = None
        self._compiled: Any = None
        self._context: Any = None
        self._stream: Any = None
        try:
            with active():
                self._set_up(path, precision)
        except BaseException:
            with suppress(EngineError):
                self.close()
            raise

    def _set_up(self, path: Path, precision: str) -> None:
        self._runtime = self._start()
        key = self._deserialise(path, precision)
        self._context = self._make_context(key)
        self._stream = cuda.Stream()
        self.inputs, self.outputs = self._shapes()
        shapes = {**self.inputs, **self.outputs}
        self._host = {
            name: cuda.pagelocked_empty(shape, np.float32) for name, shape in shapes.items()
        }
        self._device = {name: cuda.mem_alloc(a.nbytes) for name, a in self._host.items()}
        for name in shapes:
            self.bind(name, self.pointer(name))
        self._warm_up(key)

    def run(self, feeds: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        self._check(feeds)
        with active():
            for name in self.inputs:
                np.copyto(self._host[name], feeds[name])
                cuda.memcpy_htod_async(self._device[name], self._host[name], self._stream)
            self.enqueue(self._stream.handle)
            for name in self.outputs:
                cuda.memcpy_dtoh_async(self._host[name], self._device[name], self._stream)
            self._stream.synchronize()
        return {name: self._host[name] for name in self.outputs}

    def pointer(self, name: str) -> int:
        """The address of the engine's own memory for an input or output."""
        return int(self._device[name])

    def bind(self, name: str, pointer: int) -> None:
        """Places an input or output elsewhere on the GPU; `run` no longer works after it."""
        if not self._context.set_tensor_address(name, pointer):
            raise EngineError(f"TensorRT takes no address for {name}: {self._log.first()}")
        self._drop_graph()

    def enqueue(self, stream: int) -> None:
        """Puts one run on a stream (a CUstream as a number) and returns at once."""
        if RTX:  # it records by itself
            self._execute(stream)
        elif self._graph is None:
            self._execute(stream)  # the first run may allocate, which cannot be recorded
            self._graph = Graph(stream, lambda: self._execute(stream))
        else:
            self._graph.launch(stream)

    def close(self) -> None:
        """Frees what it holds of the GPU's memory."""
        if self._runtime is None:
            return
        with active():
            try:
                if self._stream is not None:
                    self._stream.synchronize()
                self._drop_graph()
                for memory in self._device.values():
                    memory.free()
            finally:  # freed later, the GPU may not be current, or the log in use: see Parsed
                self._device.clear()
                self._host.clear()
                self._stream = self._context = self._compiled = None
                self._config = self._engine = self._runtime = None

    def _start(self) -> Any:
        try:
            return trt.Runtime(self._log)
        except TypeError as error:  # pybind11's word for "the library gave nothing"
            raise EngineError(
                f"{TITLE} does not start on {gpu()} ({self._log.first()}): {REBUILD}"
            ) from error

    def _deserialise(self, path: Path, precision: str) -> Key:
        """Loads the engine, or builds it again if the stored one does not load."""
        key, blob, stored = engine_of(path, gpu(), precision)
        self._engine = self._runtime.deserialize_cuda_engine(blob)
        if self._engine is None and stored:
            engine_cache.path(key).unlink(missing_ok=True)
            key, blob, _ = engine_of(path, gpu(), precision)
            self._engine = self._runtime.deserialize_cuda_engine(blob)
        if self._engine is None:
            raise EngineError(
                f"{TITLE} loads no engine on {gpu()} ({self._log.first()}): {REBUILD}"
            )
        return key

    def _make_context(self, key: Key) -> Any:
        """TensorRT for RTX also gets a CUDA graph and the kernels compiled last time."""
        if not RTX:
            return self._some(self._engine.create_execution_context())
        self._config = self._some(self._engine.create_runtime_config())
        self._config.cuda_graph_strategy = trt.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
        self._compiled = self._config.create_runtime_cache()
        blob = engine_cache.load(key, CACHED)
        self._compiled_before = bool(blob) and self._compiled.deserialize(blob)
        self._config.set_runtime_cache(self._compiled)
        return self._some(self._engine.create_execution_context(self._config))

    def _some(self, made: Any) -> Any:
        if made is None:
            raise EngineError(f"{TITLE} cannot run on {gpu()} ({self._log.first()}): {REBUILD}")
        return made

    def _shapes(self) -> tuple[dict[str, Shape], dict[str, Shape]]:
        inputs: dict[str, Shape] = {}
        outputs: dict[str, Shape] = {}
        for number in range(self._engine.num_io_tensors):
            name = self._engine.get_tensor_name(number)
            is_input = self._engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT
            shape = tuple(self._engine.get_tensor_shape(name))
            (inputs if is_input else outputs)[name] = shape
        return inputs, outputs

    def _warm_up(self, key: Key) -> None:
        """The first run compiles kernels: cached for the next start."""
        self.run({name: np.zeros(shape, np.float32) for name, shape in self.inputs.items()})
        if RTX and not self._compiled_before:
            keep(key, bytes(self._compiled.serialize()), CACHED)

    def _execute(self, stream: int) -> None:
        if not self._context.execute_async_v3(stream):
            raise EngineError(f"TensorRT failed on {gpu()} ({self._log.first()}): {REBUILD}")

    def _drop_graph(self) -> None:
        if self._graph is not None:
            self._graph.close()
            self._graph = None

    def _check(self, feeds: Mapping[str, Tensor]) -> None:
        given = {name: array.shape for name, array in feeds.items()}
        if given != self.inputs:
            raise EngineError(f"TensorRT failed: the network takes {self.inputs}, not {given}")


load = TensorRtEngine


def version() -> str:
    return f"{TITLE}, {gpu()}, {PRECISION}"
