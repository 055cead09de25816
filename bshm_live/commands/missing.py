"""A library that cannot be loaded: one line with the words to type, instead of a traceback."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import EngineError

PROGRAM = "bshm_live"
# What the system's loader says of a library that it cannot find.
NOT_FOUND = re.compile(r"(lib[\w.+-]+?)\.so(?:\.([\d.]+))?: cannot open shared object file")
# All that OpenCV's build with windows needs beyond a bare Debian; the loader names one at a time.
CV2_DEBIAN = "libgl1 libglib2.0-0"
GLIB_PARTS = ("libgthread-2.0", "libgobject-2.0", "libgio-2.0")  # one package with libglib-2.0


@contextmanager
def told() -> Iterator[None]:
    """Inside it, a foreign library that is not there or does not load is an EngineError."""
    try:
        yield
    except ImportError as error:
        if (error.name or "").partition(".")[0] in ("", PROGRAM):
            raise  # a fault of this program
        raise EngineError(line_for(error)) from error


def line_for(error: ImportError) -> str:
    """What is missing, then what to type."""
    name = (error.name or "").partition(".")[0]
    found = NOT_FOUND.search(str(error))
    if found:
        library = found[0].partition(":")[0]
        packages = CV2_DEBIAN if name == "cv2" else debian_package(found[1], found[2] or "")
        return f"{name} needs {library} of the system; type: {words_to_install(library, packages)}"
    if isinstance(error, ModuleNotFoundError):
        return f"the Python package of {name} is missing; install again: pip install bshm-live"
    reason = str(error).splitlines()[0] if str(error) else "no reason given"
    return (
        f"{name} cannot be loaded ({reason}); install again: pip install --force-reinstall {name}"
    )


def debian_package(library: str, version: str) -> str:
    """The package that Debian's rules want for a shared library: libX11.so.6 is in libx11-6."""
    if library in GLIB_PARTS:
        library = "libglib-2.0"
    major = version.partition(".")[0]
    return f"{library.lower()}{'-' if library[-1].isdigit() and major else ''}{major}".replace(
        "libglib-2.0-0", "libglib2.0-0"
    )


def words_to_install(library: str, debian_packages: str) -> str:
    """For the package manager of this machine."""
    sudo = "sudo " if hasattr(os, "geteuid") and os.geteuid() else ""
    if shutil.which("dnf"):  # finds a package by what is in it
        return f"{sudo}dnf install '{library}()(64bit)'"
    return f"{sudo}apt-get install {debian_packages}"
