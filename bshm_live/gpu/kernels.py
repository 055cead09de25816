"""What kernels.cu is given: constants when it is compiled, arguments when a kernel is launched."""

from __future__ import annotations

from ctypes import Structure, c_double, c_float, c_int, c_void_p
from typing import Any, ClassVar

from ..matting import check, temporal
from ..types import Size
from .cuda import Cuda, Stream

BLOCK = (32, 8)  # threads: a warp reads along a row
STATE_WORDS = 3  # difference, fault, last fault
FAULT_WORD = 1
GLANCE = (3, *temporal.CUT_SIZE[::-1])
MOST_HALVED = 3  # times, before the bilinear step

# Defined by the modules for the CPU. They become macros, so that no number is written twice;
# those of a pixel's formulas stand in pixel.h.
CONSTANTS: dict[str, int | float] = {
    "MOST_HALVED": MOST_HALVED,
    "GLANCE_WIDTH": temporal.CUT_SIZE[0],
    "GLANCE_HEIGHT": temporal.CUT_SIZE[1],
    "CUT_LEVEL": temporal.CUT_LEVEL,
    "UNSURE": float(temporal.UNSURE),
    "SLACK": check.SLACK,
}
# For a compiler's command line; a float needs its suffix, or the kernels compute in double
DEFINITIONS = tuple(
    f"-D{name}={value!r}{'f' * isinstance(value, float)}" for name, value in CONSTANTS.items()
)

P, I, F, D = c_void_p, c_int, c_float, c_double  # noqa: E741


class Arguments(Structure):
    """One kernel's, field for field as in kernels.cu."""

    _fields_: ClassVar[Any]


def fields(*rows: tuple[Any, str]) -> list[tuple[str, Any]]:
    return [(name, kind) for kind, names in rows for name in names.split()]


class TurnKernel(Arguments):
    _fields_ = fields((P, "state"))


class PrepareKernel(Arguments):
    _fields_ = fields(
        (P, "frame low high guide"),
        (D, "scale_x scale_y"),
        (I, "width height w h halved_x halved_y"),
    )


class GlanceKernel(Arguments):
    _fields_ = fields((P, "low glance state"), (I, "w h"))


class HintKernel(Arguments):
    _fields_ = fields((P, "low_alpha hint state"), (I, "w h has_last"))


class CheckKernel(Arguments):
    _fields_ = fields((P, "coarse unified residual alpha state"), (I, "w h"))


class GateKernel(Arguments):
    _fields_ = fields((P, "alpha last weight state"), (I, "w h has_last"))


class SteadyKernel(Arguments):
    _fields_ = fields(
        (P, "alpha weight guide last levels low_alpha moments state"), (I, "w h has_last")
    )


class ModelKernel(Arguments):
    _fields_ = fields((P, "moments low residual maps"), (I, "w h"))


class CompositeKernel(Arguments):
    _fields_ = fields(
        (P, "frame back glow grade levels guide maps state out alpha front fault"),
        (D, "scale_x scale_y"),
        (F, "matte_x matte_y wrap"),
        (I, "width height w h refine"),
    )


KERNELS: tuple[type[Arguments], ...] = (
    *(TurnKernel, PrepareKernel, GlanceKernel, HintKernel, CheckKernel),
    *(GateKernel, SteadyKernel, ModelKernel, CompositeKernel),
)


def name_of(kind: type[Arguments]) -> str:
    """The kernel's name in kernels.cu."""
    return kind.__name__.removesuffix("Kernel").lower()


def launch(cuda: Cuda, arguments: Arguments, threads: Size, stream: Stream) -> None:
    """Queues a kernel on (width, height) threads."""
    grid = (-(-threads[0] // BLOCK[0]), -(-threads[1] // BLOCK[1]))
    cuda.launch(name_of(type(arguments)), grid, BLOCK, bytes(arguments), stream)


def ratio(source: int, target: int) -> float:
    """Source pixels to a target pixel, rounded as OpenCV rounds it."""
    return 1 / (target / source)
