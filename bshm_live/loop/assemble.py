"""The loop for files: on the GPU with two frames in flight, or the CPU's."""

from __future__ import annotations

from contextlib import ExitStack

from ..compositing.background import Background
from ..console import say
from ..errors import EngineError
from ..gpu.parts import open_gpu
from ..runtimes.choice import Runtime, load_bshm
from ..types import Size
from .in_flight import InFlight
from .parts import cpu_parts
from .pipeline import Pipeline


def file_loop(
    runtime: Runtime,
    preset: str,
    threads: int,
    background: Background,
    size: Size,
    parts: ExitStack,
    *,
    smooth: bool = True,
    wrap: float = 0.0,
) -> tuple[str, Pipeline]:
    """What runs, in words, and the loop, closed with `parts`. Raises EngineError.

    Where TensorRT runs, frames stay on the GPU; where that cannot be had, its
    networks run there, and a line says why.
    """
    if runtime.name == "tensorrt":
        try:
            gpu = open_gpu(preset, size, smooth=smooth, wrap=wrap)
        except EngineError as error:
            say(f"composites on the CPU: {error}")
        else:
            parts.callback(gpu.close)
            words = f"{runtime.description}, frames stay on the GPU"
            return words, InFlight(gpu, background, size)
    bshm = parts.enter_context(load_bshm(preset, runtime, threads))
    made = cpu_parts(bshm, size, smooth=smooth, wrap=wrap)
    pipeline = Pipeline(
        bshm,
        background,
        size,
        fail_closed=False,
        steadier=made.steadier,
        compositor=made.compositor,
    )
    return runtime.description, pipeline
