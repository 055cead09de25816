"""The in-memory twin of a GPU with TensorRT: pycuda's driver and TensorRT's runtime half.

Device memory is a dictionary, a stream is a list of things to do that nothing
does before it is waited for, and an engine is the ONNX network behind it, run by
ONNX Runtime where the addresses say its tensors lie. Copies without a wait,
addresses that were not given and work outside the context show as wrong numbers
or fail.
"""

from __future__ import annotations

import itertools
import types
from collections.abc import Callable

import numpy as np
import onnxruntime as ort


class Error(Exception):
    """As pycuda's, of all that CUDA refuses."""


class Device:
    """All there is on the machine: memory by address, streams by handle, the context's depth."""

    def __init__(self) -> None:
        self.memory: dict[int, bytearray] = {}
        self.streams: dict[int, Stream] = {}
        self.depth = 0
        self.fails = False
        self.addresses = itertools.count(0x1000, 0x1000)

    def check(self) -> None:
        if self.fails or not self.depth:
            raise Error("the GPU has fallen off the bus" if self.fails else "no current context")


class Stream:
    def __init__(self, device: Device) -> None:
        device.check()
        self.device, self.todo = device, list[Callable[[], None]]()
        self.handle = next(device.addresses)
        device.streams[self.handle] = self

    def synchronize(self) -> None:
        self.device.check()
        todo, self.todo = self.todo, []
        for work in todo:
            work()


class Allocation:
    def __init__(self, device: Device, size: int) -> None:
        device.check()
        self.device, self.address = device, next(device.addresses)
        device.memory[self.address] = bytearray(b"\xff" * size)  # NaN until written

    def __int__(self) -> int:
        return self.address

    def free(self) -> None:
        self.device.check()
        del self.device.memory[self.address]


class Context:
    """The primary context; `pop` is a function of the module's class, as in pycuda."""

    def __init__(self, device: Device) -> None:
        self.device = device

    def push(self) -> None:
        if self.device.fails:
            raise Error("the GPU has fallen off the bus")
        self.device.depth += 1


def driver(device: Device) -> types.ModuleType:
    """What `import pycuda.driver` gives."""
    module = types.ModuleType("pycuda.driver")

    def pop() -> None:
        assert device.depth, "popped more often than pushed"
        device.depth -= 1

    def htod(target: Allocation, source: np.ndarray, stream: Stream) -> None:
        device.check()
        stream.todo.append(
            lambda: device.memory[int(target)].__setitem__(slice(None), bytes(source))
        )

    def dtoh(target: np.ndarray, source: Allocation, stream: Stream) -> None:
        device.check()

        def work() -> None:
            flat = np.frombuffer(bytes(device.memory[int(source)]), np.float32)
            target[...] = flat.reshape(target.shape)

        stream.todo.append(work)

    module.Error = Error
    module.init = lambda: None
    module.Device = lambda number: types.SimpleNamespace(
        retain_primary_context=lambda: Context(device)
    )
    module.Context = types.SimpleNamespace(pop=pop)
    module.Stream = lambda: Stream(device)
    module.mem_alloc = lambda size: Allocation(device, size)
    module.pagelocked_empty = lambda shape, kind: np.full(shape, np.nan, kind)
    module.memcpy_htod_async, module.memcpy_dtoh_async = htod, dtoh
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
        if not self.device.depth:
            return False
        addresses = dict(self.addresses)

        def work() -> None:
            feeds = {
                i.name: np.frombuffer(bytes(self.device.memory[addresses[i.name]]), np.float32)
                .reshape(i.shape)
                .copy()
                for i in self.session.get_inputs()
            }
            names = [o.name for o in self.session.get_outputs()]
            for name, value in zip(names, self.session.run(names, feeds), strict=True):
                self.device.memory[addresses[name]][:] = value.tobytes()

        self.device.streams[handle].todo.append(work)
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
