"""The kernels' arguments, field for field as in kernels.cpp, and how one is called."""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor
from ctypes import POINTER, Structure, byref, c_double, c_float, c_int, c_int64, c_void_p
from functools import cache
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .library import library

MOST_LANES = 4  # passes over memory gain little from more threads
SIDES_BYTES, COLUMN_BYTES = 96, 40  # of Sides, which are four columns', and of Column
BLOCK = 8  # columns of a matte
MOMENTS, MAPS = 4, 8  # floats of a low pixel
GRADE = (256, 8)  # of a table by brightness
LANE_STEP = 64  # bytes: lanes share no cache line

P, I, N, F, D = c_void_p, c_int, c_int64, c_float, c_double  # noqa: E741


class Arguments(Structure):
    """Of one or more kernels."""

    _fields_: ClassVar[Any]


def fields(*rows: tuple[Any, str]) -> list[tuple[str, Any]]:
    return [(name, kind) for kind, names in rows for name in names.split()]


class Prepare(Arguments):
    _fields_ = fields(
        (P, "picture guide high low sides scratch"),
        (N, "stride lane_bytes"),
        (I, "width height wide tall halved_x halved_y"),
    )


class Crop(Arguments):
    _fields_ = fields(
        (P, "picture out sides scratch"),
        (N, "stride lane_bytes"),
        (D, "left top scale_x scale_y"),
        (I, "width height wide tall"),
    )


class Gate(Arguments):
    _fields_ = fields((P, "alpha last change out scratch"), (N, "lane_bytes"), (I, "w h"))


class Model(Arguments):
    _fields_ = fields(
        (P, "alpha guide residual levels grey moments own maps scratch"),
        (N, "lane_bytes"),
        (I, "wide tall w h"),
        (F, "wrap"),
    )


class Compose(Arguments):
    _fields_ = fields(
        (P, "image back levels grey maps glow grade columns starts out alpha front scratch"),
        (N, "image_stride back_stride lane_bytes"),
        (I, "width height wide tall w h refine"),
    )


class Calm(Arguments):
    _fields_ = fields(
        (P, "image last out"), (N, "image_stride"), (I, "width height"), (F, "amount"), (I, "fresh")
    )


class Room(Arguments):
    _fields_ = fields(
        (P, "small alpha residual seen blurred out"), (F * 3, "mean"), (I, "w h lifted")
    )


class Disc(Arguments):
    _fields_ = fields((P, "seen radii sums out"), (I, "w h"))


class Spots(Arguments):
    _fields_ = fields(
        (P, "composite back alpha found"),
        (N, "composite_stride back_stride"),
        (I, "width step"),
    )


# Each kernel's arguments
KERNELS: dict[str, type[Arguments]] = {
    "prepare": Prepare,
    "crop": Crop,
    "change": Gate,
    "gate": Gate,
    "moments": Model,
    "model": Model,
    "compose": Compose,
    "calm": Calm,
    "room": Room,
    "disc_sums": Disc,
    "disc": Disc,
    "spread": Room,
    "spots": Spots,
}


def address(array: NDArray[Any] | None, shape: tuple[int, ...], kind: Any) -> int | None:
    """Where an array lies that a kernel may use; it must be as the kernel takes it.

    Raises ValueError for another shape or type, or for rows that are not contiguous.
    """
    if array is None:
        return None
    if array.shape != shape or array.dtype != kind or not array.flags.c_contiguous:
        raise ValueError(f"{array.dtype} {array.shape} is not a contiguous {kind} {shape}")
    return array.ctypes.data


def rows_address(picture: NDArray[np.uint8], shape: tuple[int, ...]) -> tuple[int, int]:
    """Where a picture (H, W, 3) lies whose rows may be apart, and by how many bytes."""
    stride, *inner = picture.strides
    if picture.shape != shape or picture.dtype != np.uint8 or inner != [3, 1]:
        raise ValueError(f"{picture.dtype} {picture.shape} is not a picture {shape}")
    return picture.ctypes.data, stride


def sides_of(wide: int) -> NDArray[np.uint8]:
    """Memory for the Sides of so many columns."""
    return np.empty(-(-wide // 4) * SIDES_BYTES, np.uint8)


class Scratch:
    """Memory for each lane; its contents mean nothing after a call."""

    def __init__(self, lane_bytes: int) -> None:
        self.lane_bytes = -(-lane_bytes // LANE_STEP) * LANE_STEP
        self._memory = np.empty(lanes() * self.lane_bytes, np.uint8)
        self.address = self._memory.ctypes.data


@cache
def lanes() -> int:
    """Threads that may share a kernel's rows: the cores that this process may use, to a limit."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return min(MOST_LANES, cores)


@cache
def helpers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max(1, lanes() - 1), "kernels")


def run(kernel: str, arguments: Arguments, rows: int, threads: int = 0) -> None:
    """All rows of a kernel, by the caller and whoever of the helpers comes in time.

    `threads` is how many there are at most; 0: all lanes.
    """
    function, given, taken = entry(kernel), byref(arguments), c_int(0)
    others: list[Future[None]] = [
        helpers().submit(function, given, rows, byref(taken), lane)
        for lane in range(1, min(threads, lanes()) if threads else lanes())
    ]
    try:
        function(given, rows, byref(taken), 0)
    finally:  # after Ctrl-C, too: nobody may still write when the arrays go
        for other in others:
            if not other.cancel():
                other.result()


def prepare_once(function: str, arguments: Arguments) -> None:
    """A kernel's tables, which depend on sizes alone."""
    getattr(library(), function)(byref(arguments))


@cache
def entry(kernel: str) -> Any:
    function = getattr(library(), kernel)
    function.argtypes = (c_void_p, c_int, POINTER(c_int), c_int)
    function.restype = None
    return function
