"""NVIDIA on this machine, by the driver's own library: the GPU, what is missing, CUDA graphs.

Nothing is loaded where that library is absent: the question costs a millisecond there.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from ..errors import EngineError
from ..files import is_file, path_of

LIBRARY = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
FLAVOURS = ("tensorrt", "tensorrt_rtx")  # the first that is there is taken
OLDEST = (7, 5)  # compute capability: Turing
VENDOR = "0x10de"
PCI = Path("/sys/bus/pci/devices")
NO_DEVICE = 100  # CUDA_ERROR_NO_DEVICE
MAJOR, MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_*
THREAD_LOCAL = 1  # CU_STREAM_CAPTURE_MODE: other threads may use CUDA meanwhile
EXTRA = "pip install 'bshm-live[tensorrt]'"
DRIVER_FIX = (
    "install NVIDIA's driver (nvidia.com/drivers), then restart"
    if sys.platform == "win32"
    else "sudo ubuntu-drivers install (or nvidia.com/drivers), then restart"
)
TOOLKIT_FIX = "sudo apt install nvidia-cuda-toolkit (or developer.nvidia.com/cuda-downloads)"


@dataclass(frozen=True)
class Gpu:
    """The first NVIDIA GPU: its name, compute capability, and the CUDA version of its driver."""

    name: str
    capability: tuple[int, int]
    cuda: tuple[int, int]

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Lack:
    """Something that is not there, and the line to type."""

    what: str
    fix: str

    def __str__(self) -> str:
        return f"{self.what}: {self.fix}"


def find_gpu(library: str = LIBRARY) -> Gpu | Lack:
    """The GPU that would be used, or what is missing to use one."""
    if sys.platform == "darwin":
        return Lack("no NVIDIA GPU", "none runs on macOS")
    try:
        driver = ctypes.CDLL(library)
    except OSError:
        if card_is_there() is False:
            return Lack("no NVIDIA GPU and no driver", f"with a card in: {DRIVER_FIX}")
        return Lack("no NVIDIA driver", DRIVER_FIX)
    if code := driver.cuInit(0):
        if code == NO_DEVICE:
            return Lack("the NVIDIA driver finds no GPU", "nvidia-smi tells why")
        return Lack(f"the NVIDIA driver does not start ({_error(driver, code)})", DRIVER_FIX)
    gpu = _first_gpu(driver)
    if gpu.capability < OLDEST:
        text = "{}.{}".format(*gpu.capability)
        return Lack(f"{gpu.name} is too old (compute capability {text})", "TensorRT takes 7.5 on")
    return gpu


def _first_gpu(driver: ctypes.CDLL) -> Gpu:
    device, version = ctypes.c_int(), ctypes.c_int()
    name = ctypes.create_string_buffer(256)
    driver.cuDeviceGet(ctypes.byref(device), 0)
    driver.cuDeviceGetName(name, len(name), device)
    driver.cuDriverGetVersion(ctypes.byref(version))
    capability = []
    for attribute in (MAJOR, MINOR):
        value = ctypes.c_int()
        driver.cuDeviceGetAttribute(ctypes.byref(value), attribute, device)
        capability.append(value.value)
    cuda = (version.value // 1000, version.value % 1000 // 10)
    return Gpu(name.value.decode(errors="replace"), (capability[0], capability[1]), cuda)


def _error(driver: ctypes.CDLL, code: int) -> str:
    text = ctypes.c_char_p()
    driver.cuGetErrorString(code, ctypes.byref(text))
    said = text.value.decode(errors="replace") if text.value else "unknown"
    return f"CUDA error {code}: {said}"


def card_is_there() -> bool | None:
    """Whether a PCI card of NVIDIA's is in this machine; None where that cannot be told."""
    if not PCI.is_dir():
        return None
    for entry in PCI.glob("*/vendor"):
        try:
            if entry.read_text().strip() == VENDOR:
                return True
        except OSError:  # taken out in between
            continue
    return False


def flavour() -> str | None:
    """The module of TensorRT that is installed."""
    return next((name for name in FLAVOURS if find_spec(name)), None)


def builder_lacks() -> Iterator[Lack]:
    """What is missing to build engines; a GPU is not among it (TensorRT for RTX needs none)."""
    if flavour() is None:
        yield Lack("TensorRT is not installed", EXTRA)
    if not find_spec("onnx"):
        yield Lack("onnx is not installed", "pip install onnx")


def tensorrt_lacks() -> Iterator[Lack]:
    """What is missing to run engines."""
    gpu = find_gpu()
    if isinstance(gpu, Lack):
        yield gpu
    yield from builder_lacks()
    if not find_spec("pycuda"):
        yield Lack("pycuda is not installed", "pip install pycuda (it needs the CUDA toolkit)")


def cuda_homes() -> list[Path]:
    """Where a CUDA toolkit may lie, the user's own word first."""
    told = [os.environ[name] for name in ("CUDA_HOME", "CUDA_PATH") if os.environ.get(name)]
    return [path_of(text) for text in (*told, "/usr/local/cuda")]


def toolkit() -> Path | None:
    """nvcc, by which the CUDA toolkit is known; pycuda is compiled with it."""
    for home in cuda_homes():
        for name in ("nvcc", "nvcc.exe"):
            if is_file(home / "bin" / name):
                return home / "bin" / name
    found = shutil.which("nvcc")
    return Path(found) if found else None


class Graph:
    """A CUDA graph: work put on a stream once, launched again as one piece. pycuda has none.

    Records what `enqueue` puts on `stream` (a CUstream as a number); runs nothing.
    Memory that the work uses keeps its place as long as the graph lives. A CUDA
    context must be current. Raises EngineError.
    """

    def __init__(self, stream: int, enqueue: Callable[[], None], library: str = LIBRARY) -> None:
        self._driver = ctypes.CDLL(library)
        graph, self._runnable = ctypes.c_void_p(), ctypes.c_void_p()
        handle = ctypes.c_void_p(stream)
        self._call("cuStreamBeginCapture_v2", handle, THREAD_LOCAL)
        try:
            enqueue()
        finally:  # a stream that still records could not be used again
            ended = self._driver.cuStreamEndCapture(handle, ctypes.byref(graph))
        self._check("cuStreamEndCapture", ended)
        try:
            none = ctypes.c_ulonglong(0)
            runnable = ctypes.byref(self._runnable)
            self._call("cuGraphInstantiateWithFlags", runnable, graph, none)
        finally:
            self._driver.cuGraphDestroy(graph)

    def launch(self, stream: int) -> None:
        """Puts the whole on a stream. Raises EngineError."""
        self._call("cuGraphLaunch", self._runnable, ctypes.c_void_p(stream))

    def close(self) -> None:
        if self._runnable:
            self._driver.cuGraphExecDestroy(self._runnable)
            self._runnable = ctypes.c_void_p()

    def _call(self, name: str, *arguments: object) -> None:
        self._check(name, getattr(self._driver, name)(*arguments))

    def _check(self, name: str, code: int) -> None:
        if code:
            raise EngineError(f"{name} failed (CUDA error {code}): update the NVIDIA driver")
