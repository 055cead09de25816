"""The kernels, compiled once by NVRTC, NVIDIA's runtime compiler; needs no GPU.

NVRTC comes with the CUDA toolkit, or by itself: `pip install nvidia-cuda-nvrtc`.
"""

from __future__ import annotations

import ctypes
import hashlib
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from .. import kernels
from ..errors import EngineError
from ..runtimes import cache as engine_cache
from ..runtimes.cache import Key
from ..runtimes.nvidia import cuda_homes
from .kernels import DEFINITIONS

SOURCE = Path(__file__).with_name("kernels.cu")
HEADER = Path(kernels.__file__).with_name("pixel.h")
# No fused multiply-add: a GPU then rounds like the CPU on which the tests run the kernels.
OPTIONS = ("-std=c++17", "--fmad=false")
INSTALL = "pip install nvidia-cuda-nvrtc"
UNNUMBERED = 13  # since this CUDA version the wheel's name has no number
WINDOWS = sys.platform == "win32"
FILES = ("nvrtc64_*.dll",) if WINDOWS else ("libnvrtc.so.*",)
NOT_ALONE = re.compile(r"builtins|\.alt\.")
NUMBER = re.compile(r"(?:so\.|nvrtc64_)(\d{2})")  # the CUDA version's major number


@dataclass(frozen=True)
class Binary:
    """Compiled kernels: `form` is cubin for one architecture, or ptx for it and later ones."""

    code: bytes
    form: str
    architecture: int


class Nvrtc:
    """The compiler's library. Raises EngineError."""

    def __init__(self, path: Path) -> None:
        self._library = ctypes.CDLL(str(path))
        self._library.nvrtcGetErrorString.restype = ctypes.c_char_p
        major, minor = ctypes.c_int(), ctypes.c_int()
        self._call("nvrtcVersion", ctypes.byref(major), ctypes.byref(minor))
        self.version = (major.value, minor.value)

    def architectures(self) -> list[int]:
        """What it compiles for, as in sm_NN."""
        count = ctypes.c_int()
        self._call("nvrtcGetNumSupportedArchs", ctypes.byref(count))
        numbers = (ctypes.c_int * count.value)()
        self._call("nvrtcGetSupportedArchs", numbers)
        return sorted(numbers)

    def compile(self, source: str, capability: tuple[int, int]) -> Binary:
        """For a GPU's compute capability; one newer than the compiler gets PTX."""
        wanted = 10 * capability[0] + capability[1]
        there = [number for number in self.architectures() if number <= wanted]
        if not there:
            raise EngineError(f"NVRTC compiles nothing for compute capability {wanted / 10}")
        exact = there[-1] == wanted
        target = f"{'sm' if exact else 'compute'}_{there[-1]}"
        words = [f"--gpu-architecture={target}", *OPTIONS, *DEFINITIONS]
        program = ctypes.c_void_p()
        text, name = source.encode(), SOURCE.name.encode()
        headers = (ctypes.c_char_p * 1)(HEADER.read_bytes())
        names = (ctypes.c_char_p * 1)(HEADER.name.encode())
        self._call("nvrtcCreateProgram", ctypes.byref(program), text, name, 1, headers, names)
        try:
            array = (ctypes.c_char_p * len(words))(*(word.encode() for word in words))
            if self._library.nvrtcCompileProgram(program, len(words), array):
                log = self._result(program, "ProgramLog").decode(errors="replace")
                raise EngineError(f"NVRTC does not compile the kernels: {log.strip()[:500]}")
            form = "cubin" if exact else "ptx"
            return Binary(self._result(program, form.upper()), form, there[-1])
        finally:
            self._library.nvrtcDestroyProgram(ctypes.byref(program))

    def _result(self, program: ctypes.c_void_p, what: str) -> bytes:
        size = ctypes.c_size_t()
        self._call(f"nvrtcGet{what}Size", program, ctypes.byref(size))
        content = ctypes.create_string_buffer(size.value)
        self._call(f"nvrtcGet{what}", program, content)
        return content.raw

    def _call(self, name: str, *arguments: object) -> None:
        if code := getattr(self._library, name)(*arguments):
            said = self._library.nvrtcGetErrorString(code).decode(errors="replace")
            raise EngineError(f"NVRTC failed ({said}): {INSTALL}")


def find_nvrtc(most: int | None = None) -> Nvrtc:
    """The newest NVRTC here; `most` is the driver's CUDA major version. Raises EngineError."""
    found: dict[Path, int] = {}
    for folder in folders():
        for pattern in FILES:
            for path in folder.glob(pattern):
                number = NUMBER.search(path.name)
                if number and not NOT_ALONE.search(path.name):
                    found[path] = int(number[1])
    fitting = [path for path, major in found.items() if most is None or major <= most]
    for path in sorted(fitting, key=lambda path: -found[path]):
        with suppress(OSError):  # built for another system, or one of its libraries is missing
            return Nvrtc(path)
    if most is None:
        raise EngineError(f"NVRTC, the kernels' compiler, is not here: {INSTALL}")
    wheel = INSTALL if most >= UNNUMBERED else f"{INSTALL}-cu{most}"
    raise EngineError(
        f"NVRTC, the kernels' compiler, is not here for the driver's CUDA {most}: {wheel}"
    )


def folders() -> Iterator[Path]:
    """Where NVRTC may lie: NVIDIA's wheels first, then toolkits, then the system's libraries."""
    wheels = find_spec("nvidia")
    for place in (wheels.submodule_search_locations or ()) if wheels else ():
        for inner in ("lib", "bin", "bin/x86_64"):
            yield from sorted(Path(place).glob(f"*/{inner}"))
    for home in cuda_homes():
        yield from (home / inner for inner in ("lib64", "lib", "bin", "bin/x64"))
    if not WINDOWS:
        yield from (Path(f"/usr/lib/{machine}-linux-gnu") for machine in ("x86_64", "aarch64"))
        yield Path("/usr/lib64")


def compiled(capability: tuple[int, int], *, most: int | None = None) -> bytes:
    """The kernels for a GPU, from the user's cache where they were compiled before.

    Raises EngineError.
    """
    nvrtc, source = find_nvrtc(most), SOURCE.read_text("utf-8")
    parts = (source, HEADER.read_text("utf-8"), *OPTIONS, *DEFINITIONS)
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    version = "nvrtc_{}.{}".format(*nvrtc.version)
    key = Key(digest, version, "sm{}{}".format(*capability), "kernels", "f32")
    stored = engine_cache.load(key, "kernels")
    if stored is not None:
        return stored
    code = nvrtc.compile(source, capability).code
    with suppress(OSError):  # without a cache the next start compiles again: a second
        engine_cache.store(key, code, "kernels")
    return code
