"""The loop for files: on the GPU with two frames in flight, or the CPU's."""

from __future__ import annotations

from contextlib import ExitStack

from .background import Background
from .errors import EngineError
from .gpu.flight import InFlight
from .gpu.parts import open_gpu
from .live import say
from .pipeline import Pipeline
from .runtimes import Runtime, load_bshm
from .types import Size


def file_loop(
    runtime: Runtime,
    preset: str,
    threads: int,
    background: Background,
    size: Size,
    parts: ExitStack,
    *,
    smooth: bool = True,
) -> tuple[str, Pipeline]:
    """What runs, in words, and the loop, closed with `parts`. Raises EngineError.

    Where TensorRT runs, frames stay on the GPU; where that cannot be had, its
    networks run there, and a line says why.
    """
    if runtime.name == "tensorrt":
        try:
            made = open_gpu(preset, size, smooth=smooth)
        except EngineError as error:
            say(f"composites on the CPU: {error}")
        else:
            parts.callback(made.close)
            return f"{runtime.description}, frames stay on the GPU", InFlight(
                made, background, size
            )
    bshm = parts.enter_context(load_bshm(preset, runtime, threads))
    pipeline = Pipeline(bshm, background, size, smooth=smooth, fail_closed=False)
    return runtime.description, pipeline
