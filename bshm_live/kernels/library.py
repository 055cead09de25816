"""The kernels' library for this machine's processor."""

from __future__ import annotations

import ctypes
import platform
import sys
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
SUFFIX = {"win32": "dll", "darwin": "dylib"}.get(sys.platform, "so")
# Levels of the x86-64 psABI, best first; every other processor has one library.
LEVELS = {3: "v3", 2: "v2"}
X86 = ("x86_64", "amd64")
MISSING = (
    "the native kernels are not there for this machine ({machine}): install bshm-live with pip, "
    "in a checkout with `pip install -e .`"
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
        return load(path("arm64"))
    level = load(path("probe")).x86_level()
    for least, variant in LEVELS.items():
        if level >= least:
            return load(path(variant))
    why = "its processor is older than x86-64-v2 (about 2009)"
    raise OSError(UNFIT.format(machine=machine, why=why))


def load(file: Path) -> ctypes.CDLL:
    machine = f"{sys.platform}, {platform.machine()}"
    if not file.is_file():
        raise OSError(MISSING.format(machine=machine))
    try:
        return ctypes.CDLL(str(file))
    except OSError as error:
        raise OSError(UNFIT.format(machine=machine, why=error)) from error
