"""The twin of a GPU as pycuda and TensorRT show it: their modules over gpu_twin's memory.

Streams are late, as a seed decides. Kernels are the host's own; an engine is the
ONNX network behind it, run by ONNX Runtime where the addresses say its tensors
lie. Copies without a wait, addresses that were not given and work outside the
context show as wrong numbers or fail.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from gpu_twin import HostCuda, Mark, host_kernels

from bshm_live.runtimes.nvidia import Gpu

BUILDS = find_spec("tensorrt_rtx") is not None and find_spec("tensorrt") is None
WHY_NOT = "TensorRT for RTX, which builds without a GPU, is not what is installed"
AMPERE = Gpu("Toy RTX 3060", (8, 6), (13, 0))
LATE = 1  # a seed
OURS = ("bshm_live.runtimes.tensorrt", "bshm_live.gpu.pycuda")  # import pycuda


class Error(Exception):
    """As pycuda's, of all that CUDA refuses."""


class Device:
    """The GPU: everything on it fails once `fails` is set."""

    def __init__(self) -> None:
        self.cuda = HostCuda(None, seed=LATE)
        self.fails = False

    def check(self) -> HostCuda:
        if self.fails or not self.cuda.current:
            raise Error("the GPU has fallen off the bus" if self.fails else "no current context")
        return self.cuda


class Stream:
    def __init__(self, device: Device) -> None:
        self.device = device
        self.handle = device.check().stream()

    def synchronize(self) -> None:
        self.device.check().synchronize(self.handle)

    def wait_for_event(self, event: Event) -> None:
        self.device.check().wait(self.handle, event.mark)


class Event:
    def __init__(self, device: Device) -> None:
        self.device = device
        self.mark: Mark = device.check().event()

    def record(self, stream: Stream) -> None:
        self.device.check().record(self.mark, stream.handle)

    def time_till(self, later: Event) -> float:
        return self.device.check().elapsed(self.mark, later.mark)


class Allocation:
    def __init__(self, device: Device, size: int) -> None:
        self.device, self.address = device, device.check().allocate(size)

    def __int__(self) -> int:
        return self.address

    def free(self) -> None:
        self.device.check().free(self.address)


class Function:
    """Launched as pycuda's prepared functions are: three sizes each way, arguments by format."""

    def __init__(self, device: Device, name: str) -> None:
        self.device, self.name = device, name

    def prepare(self, formats: Sequence[str]) -> Function:
        (only,) = formats
        assert only == f"{self.device.cuda.sizes()[self.name]}s"
        return self

    def prepared_async_call(
        self, grid: tuple[int, ...], block: tuple[int, ...], stream: Stream, arguments: bytes
    ) -> None:
        assert (len(grid), len(block), grid[2], block[2]) == (3, 3, 1, 1)
        assert len(arguments) == self.device.cuda.sizes()[self.name]
        cuda = self.device.check()
        cuda.launch(self.name, grid[:2], block[:2], arguments, stream.handle)


class Module:
    """What module_from_buffer gives: compiled for a GPU, it is the host's library that runs."""

    def __init__(self, device: Device, code: bytes) -> None:
        assert code.startswith(b"\x7fELF"), "not a cubin"
        device.check().use(host_kernels())
        self.device = device

    def get_function(self, name: str) -> Function:
        return Function(self.device, name)


class Context:
    """The primary context; `pop` is a function of the module's class, as in pycuda."""

    def __init__(self, device: Device) -> None:
        self.device = device

    def push(self) -> None:
        if self.device.fails:
            raise Error("the GPU has fallen off the bus")
        self.device.cuda.current += 1

    def detach(self) -> None: ...


def driver(device: Device) -> types.ModuleType:
    """What `import pycuda.driver` gives."""
    module: Any = types.ModuleType("pycuda.driver")

    def pop() -> None:
        assert device.cuda.current, "popped more often than pushed"
        device.cuda.current -= 1

    def htod(target: Allocation | int, source: np.ndarray, stream: Stream) -> None:
        device.check().upload(int(target), source, stream.handle)

    def dtoh(target: np.ndarray, source: Allocation | int, stream: Stream) -> None:
        device.check().download(target, int(source), stream.handle)

    def memset(target: int, value: int, count: int, stream: Stream) -> None:
        assert value == 0
        device.check().clear(target, 4 * count, stream.handle)

    def pagelocked(shape: int | tuple[int, ...], kind: Any) -> np.ndarray:
        return device.check().pinned((shape,) if isinstance(shape, int) else shape, kind)

    module.Error = Error
    module.init = lambda: None
    module.Device = lambda number: types.SimpleNamespace(
        retain_primary_context=lambda: Context(device)
    )
    module.Context = types.SimpleNamespace(pop=pop)
    module.Stream, module.Event = lambda: Stream(device), lambda: Event(device)
    module.mem_alloc = lambda size: Allocation(device, size)
    module.pagelocked_empty, module.memset_d32_async = pagelocked, memset
    module.memcpy_htod_async, module.memcpy_dtoh_async = htod, dtoh
    module.module_from_buffer = lambda code: Module(device, code)
    return module


class Execution:
    """An execution context: reads and writes where it was told to when the stream gets there."""

    def __init__(self, device: Device, session: ort.InferenceSession, config: object) -> None:
        self.device, self.session, self.config = device, session, config
        self.addresses: dict[str, int] = {}

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return True

    def execute_async_v3(self, handle: int) -> bool:
        if self.device.fails or not self.device.cuda.current:
            return False
        addresses = dict(self.addresses)

        def view(tensor: Any) -> np.ndarray:
            return self.device.cuda.view(addresses[tensor.name], tensor.shape, np.float32)

        def work() -> None:
            feeds = {i.name: view(i).copy() for i in self.session.get_inputs()}
            outputs = self.session.get_outputs()
            results = self.session.run([o.name for o in outputs], feeds)
            for output, result in zip(outputs, results, strict=True):
                view(output)[...] = result

        self.device.cuda.queue(handle, work)
        return True


class RuntimeCache:
    def __init__(self) -> None:
        self.blob = b""

    def deserialize(self, blob: bytes) -> bool:
        self.blob = blob
        return True

    def serialize(self) -> bytes:
        return b"kernels of this GPU"


class Engine:
    """A deserialised engine. `made` counts the contexts whose kernels had to be compiled."""

    made = 0

    def __init__(self, device: Device, network: bytes, modes: object) -> None:
        self.device, self.modes = device, modes
        self.session = ort.InferenceSession(network)
        self.inputs = {i.name: i.shape for i in self.session.get_inputs()}
        self.shapes = self.inputs | {o.name: o.shape for o in self.session.get_outputs()}
        self.num_io_tensors = len(self.shapes)

    def get_tensor_name(self, number: int) -> str:
        return list(self.shapes)[number]

    def get_tensor_shape(self, name: str) -> list[int]:
        return self.shapes[name]

    def get_tensor_mode(self, name: str) -> object:
        return self.modes.INPUT if name in self.inputs else self.modes.OUTPUT

    def create_runtime_config(self) -> types.SimpleNamespace:
        config = types.SimpleNamespace(create_runtime_cache=RuntimeCache, cache=None)
        config.set_runtime_cache = lambda cache: setattr(config, "cache", cache)
        return config

    def create_execution_context(self, config: types.SimpleNamespace) -> Execution:
        Engine.made += not config.cache.blob
        return Execution(self.device, self.session, config)


class Twin:
    """A machine with a GPU: `module` is the runtime's; `broken` engines do not load."""

    def __init__(self, device: Device) -> None:
        self.device, self.broken = device, 0
        self.module = import_module("bshm_live.runtimes.tensorrt")


@contextmanager
def gpu_here(monkeypatch: pytest.MonkeyPatch) -> Iterator[Twin]:
    """TensorRT's builder is the real one, everything that needs a card its twin."""
    from bshm_live.commands import engines
    from bshm_live.runtimes import choice as runtimes
    from bshm_live.runtimes import float16, nvidia
    from bshm_live.runtimes import tensorrt_build as trt_build

    device, package = Device(), types.ModuleType("pycuda")
    package.driver = driver(device)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pycuda", package)
    monkeypatch.setitem(sys.modules, "pycuda.driver", package.driver)  # type: ignore[attr-defined]
    for name in OURS:
        monkeypatch.delitem(sys.modules, name, raising=False)
    for module in (engines, nvidia, runtimes):
        monkeypatch.setattr(module, "find_gpu", lambda: AMPERE)
    monkeypatch.setattr(runtimes, "tensorrt_lacks", lambda: iter(()))
    twin = Twin(device)
    monkeypatch.setattr(twin.module, "find_gpu", lambda: AMPERE)
    networks: dict[bytes, bytes] = {}  # engine to what it was built from
    engine_of = trt_build.engine_of

    def remembered(path: Path, gpu: Gpu, precision: str, *rest: Any) -> Any:
        key, blob, stored = engine_of(path, gpu, precision, *rest)
        content = path.read_bytes()
        networks[blob] = float16.to_float16(content) if precision == "f16" else content
        return key, blob, stored

    class Runtime:
        def __init__(self, log: object) -> None: ...

        def deserialize_cuda_engine(self, blob: bytes) -> Engine | None:
            assert device.cuda.current == 1
            if twin.broken:
                twin.broken -= 1
                return None
            return Engine(device, networks[blob], trt_build.trt.TensorIOMode)

    monkeypatch.setattr(twin.module, "engine_of", remembered)
    monkeypatch.setattr(trt_build.trt, "Runtime", Runtime)
    monkeypatch.setattr(Engine, "made", 0)
    yield twin
    assert device.cuda.current == 0
    for name in OURS:
        monkeypatch.delitem(sys.modules, name, raising=False)
