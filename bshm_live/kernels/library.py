"""The kernels' library for this machine's processor."""

from __future__ import annotations

import ctypes
import platform
import sys
from functools import cache
from pathlib import Path
from zlib import crc32

HERE = Path(__file__).parent
SOURCES = ("kernels.cpp", "pixel.h")
SUFFIX = {"win32": "dll", "darwin": "dylib"}.get(sys.platform, "so")
# Levels of the x86-64 psABI, best first; every other processor has one library.
LEVELS = {3: "v3", 2: "v2"}
X86 = ("x86_64", "amd64")
CPU_INFO = Path("/proc/cpuinfo")
MISSING = (
    "the native kernels are not there for this machine ({machine}): install bshm-live with pip, "
    "in a checkout with `pip install -e .`"
)
STALE = (
    "the native kernels in {folder} were made from other sources than are there now: make them "
    "anew with `pip install -e .`, or `python -m tools.kernels`"
)
UNFIT = "the native kernels do not fit this machine ({machine}): {why}"


def path(variant: str) -> Path:
    """Where the library of a variant lies, whether or not it was built."""
    return HERE / f"kernels-{variant}.{SUFFIX}"


@cache
def library() -> ctypes.CDLL:
    """The fastest library that this processor runs. Raises OSError, in words for its user."""
    machine = platform.machine().lower()
    if machine not in X86:
        return checked(load(path("arm64")))
    level = load(path("probe")).x86_level()
    for least, variant in LEVELS.items():
        if level >= least:
            return checked(load(path(variant)))
    why = "its processor is older than x86-64-v2 (about 2009)"
    raise OSError(UNFIT.format(machine=machine, why=why))


def has_dot_products() -> bool:
    """Whether this processor adds up products of 8 bits exactly and fast: VNNI or ARM's SDOT."""
    if platform.machine().lower() in X86:
        return bool(load(path("probe")).x86_vnni())
    if sys.platform == "darwin":
        return True
    return CPU_INFO.is_file() and "asimddp" in CPU_INFO.read_text(errors="replace")


def load(file: Path) -> ctypes.CDLL:
    machine = f"{sys.platform}, {platform.machine()}"
    if not file.is_file():
        raise OSError(MISSING.format(machine=machine))
    try:
        return ctypes.CDLL(str(file))
    except OSError as error:
        raise OSError(UNFIT.format(machine=machine, why=error)) from error


def edition(folder: Path = HERE) -> int | None:
    """A checksum of the kernels' sources, which their builder puts into them; None without any."""
    files = [folder / name for name in SOURCES]
    if not all(file.is_file() for file in files):
        return None
    return crc32(b"".join(file.read_bytes() for file in files))


def checked(kernels: ctypes.CDLL) -> ctypes.CDLL:
    """The library, where it was made from the sources beside it. Raises OSError.

    In a checkout that has moved on, an older one would lack functions, or lay out arguments
    differently.
    """
    wanted = edition(HERE)
    if wanted is None:
        return kernels
    told = getattr(kernels, "edition", None)
    if told is None or told() & 0xFFFFFFFF != wanted:
        raise OSError(STALE.format(folder=HERE))
    return kernels
