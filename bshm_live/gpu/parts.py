"""The three parts of the data path that run on a GPU, made together."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import cast

from ..runtimes.choice import get_runtime, load_engines
from ..types import Size
from .compositor import GpuCompositor
from .cuda import Cuda, DeviceEngine
from .lane import Lanes
from .matting import GpuBshm
from .steadier import GpuSteadier

IN_FLIGHT = 2  # frames on the GPU at once, at most

Engines = tuple[DeviceEngine, DeviceEngine, DeviceEngine]


@dataclass(frozen=True)
class GpuParts:
    """Parts on a GPU: matting, steadier and compositor."""

    lanes: Lanes
    matting: GpuBshm
    steadier: GpuSteadier
    compositor: GpuCompositor

    def close(self) -> None:
        """Frees everything, each part even if another fails. Raises EngineError."""
        with ExitStack() as parts:
            for part in (self.lanes, self.matting, self.steadier, self.compositor):
                parts.callback(part.close)  # the last one first


def gpu_parts(
    cuda: Cuda,
    engines: Engines,
    size: Size,
    *,
    smooth: bool = True,
    wrap: float = 0.0,
) -> GpuParts:
    """MPN, QUN and MRN on a GPU, and what goes around them, for frames of one size.

    Owns the engines, also if it fails. Raises EngineError.
    """
    with ExitStack() as made:
        for engine in engines:
            made.callback(engine.close)
        lanes = Lanes(cuda, IN_FLIGHT)
        made.callback(lanes.close)
        matting = GpuBshm(lanes, *engines)
        made.callback(matting.close)
        steadier = GpuSteadier(matting, smooth=smooth)
        compositor = GpuCompositor(matting, size, wrap=wrap)
        made.pop_all()
    return GpuParts(lanes, matting, steadier, compositor)


def open_gpu(preset: str, size: Size, *, smooth: bool = True, wrap: float = 0.0) -> GpuParts:
    """A preset's TensorRT engines and the kernels, on the GPU of this machine.

    Raises EngineError, also where the kernels' compiler is missing.
    """
    runtime = get_runtime("tensorrt")
    from .pycuda import PyCuda  # imports pycuda, which the runtime needs too

    cuda = PyCuda()  # before the engines: what is missing is told sooner
    engines = load_engines(preset, runtime)
    return gpu_parts(cuda, cast("Engines", tuple(engines)), size, smooth=smooth, wrap=wrap)
