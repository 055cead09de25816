"""The kernels' arguments, field for field as in kernels.cu, and how one is launched."""

from __future__ import annotations

from ctypes import Structure, c_double, c_float, c_int, c_void_p
from typing import Any, ClassVar

from ..types import Size
from .cuda import Cuda, Stream

BLOCK = (32, 8)  # threads: a warp reads along a row
STATE_WORDS = 3  # difference, fault, last fault
FAULT_WORD = 1
GLANCE = (3, 18, 32)
MAPS = 8  # person B, G, R in levels; slope; the room's share; room B, G, R
MOMENTS = 4
MOST_HALVED = 3  # times, before the bilinear step

P, I, F, D = c_void_p, c_int, c_float, c_double  # noqa: E741


class Arguments(Structure):
    """One kernel's; the kernel has the class's name in lower case."""

    _fields_: ClassVar[Any]


def fields(*rows: tuple[Any, str]) -> list[tuple[str, Any]]:
    return [(name, kind) for kind, names in rows for name in names.split()]


class Turn(Arguments):
    _fields_ = fields((P, "state"))


class Prepare(Arguments):
    _fields_ = fields(
        (P, "frame low high guide"),
        (D, "scale_x scale_y"),
        (I, "width height w h halved_x halved_y"),
    )


class Glance(Arguments):
    _fields_ = fields((P, "low glance state"), (I, "w h"))


class Hint(Arguments):
    _fields_ = fields((P, "low_alpha hint state"), (I, "w h has_last"))


class Check(Arguments):
    _fields_ = fields((P, "coarse unified residual alpha state"), (I, "w h"))


class Gate(Arguments):
    _fields_ = fields((P, "alpha last weight state"), (I, "w h has_last"))


class Steady(Arguments):
    _fields_ = fields(
        (P, "alpha weight guide last levels low_alpha moments state"), (I, "w h has_last")
    )


class Model(Arguments):
    _fields_ = fields((P, "moments low residual maps"), (I, "w h"))


class Composite(Arguments):
    _fields_ = fields(
        (P, "frame back glow levels guide maps state out alpha front fault"),
        (D, "scale_x scale_y"),
        (F, "matte_x matte_y wrap"),
        (I, "width height w h refine"),
    )


KERNELS: tuple[type[Arguments], ...] = (
    *(Turn, Prepare, Glance, Hint, Check),
    *(Gate, Steady, Model, Composite),
)


def launch(cuda: Cuda, arguments: Arguments, threads: Size, stream: Stream) -> None:
    """Queues a kernel on (width, height) threads."""
    grid = (-(-threads[0] // BLOCK[0]), -(-threads[1] // BLOCK[1]))
    cuda.launch(type(arguments).__name__.lower(), grid, BLOCK, bytes(arguments), stream)


def ratio(source: int, target: int) -> float:
    """Source pixels to a target pixel, rounded as OpenCV rounds it."""
    return 1 / (target / source)
