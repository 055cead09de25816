"""NVRTC compiles the kernels for every GPU that TensorRT takes; no GPU is needed for it."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path

import pytest

from bshm_live.errors import EngineError
from bshm_live.gpu import nvrtc
from bshm_live.gpu.kernels import CONSTANTS, KERNELS, name_of
from bshm_live.gpu.nvrtc import SOURCE, Nvrtc, compiled, find_nvrtc

# Turing, Ampere (with Jetson's), Ada, Hopper, Blackwell
CAPABILITIES = [(7, 5), (8, 0), (8, 6), (8, 7), (8, 9), (9, 0), (10, 0), (12, 0), (12, 1)]
NAMES = [name_of(kind) for kind in KERNELS]


@pytest.fixture(scope="module")
def compiler() -> Nvrtc:
    try:
        return find_nvrtc()
    except EngineError:
        pytest.skip("NVRTC is not here: pip install nvidia-cuda-nvrtc")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and a source that compiles at once."""
    source = tmp_path / "small.cu"
    source.write_text('extern "C" __global__ void small(int *a) { *a = 1; }')
    monkeypatch.setattr(nvrtc, "SOURCE", source)
    monkeypatch.setenv("BSHM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_every_generation_from_turing_to_blackwell_is_compiled_for(compiler: Nvrtc) -> None:
    wanted = {10 * major + minor for major, minor in CAPABILITIES}
    assert wanted <= {number for number in compiler.architectures() if number >= 75}


@pytest.mark.parametrize("capability", CAPABILITIES, ids=str)
def test_all_kernels_compile_for(compiler: Nvrtc, capability: tuple[int, int]) -> None:
    binary = compiler.compile(SOURCE.read_text("utf-8"), capability)
    assert (binary.form, binary.architecture) == ("cubin", 10 * capability[0] + capability[1])
    assert binary.code.startswith(b"\x7fELF")
    assert all(f".text.{name}\0".encode() in binary.code for name in NAMES)


def test_every_constant_is_the_cpu_s() -> None:
    """None is written in the kernels' text once more, and none is passed in for nothing."""
    source = SOURCE.read_text("utf-8")
    for name in CONSTANTS:
        assert re.search(rf"\b{name}\b", source), name
        assert not re.search(rf"\b(?:const \w+|#define) {name}\b", source), name


def test_a_gpu_newer_than_the_compiler_gets_ptx(compiler: Nvrtc) -> None:
    newest = compiler.architectures()[-1]
    binary = compiler.compile(SOURCE.read_text("utf-8"), (99, 0))
    assert (binary.form, binary.architecture) == ("ptx", newest)
    text = binary.code.decode()
    sizes = {
        name: int(size) for name, size in re.findall(r"\.b8 (\w+)_param_0\[(\d+)\]", text) if size
    }
    assert sizes == {name_of(kind): ctypes.sizeof(kind) for kind in KERNELS}
    assert ".target sm_" in text
    assert "fma.rn.f32" not in text.replace("div", "")


def test_a_gpu_older_than_the_compiler_is_refused(compiler: Nvrtc) -> None:
    with pytest.raises(EngineError, match=r"compute capability 1\.0"):
        compiler.compile(SOURCE.read_text("utf-8"), (1, 0))


def test_what_does_not_compile_tells_the_line(compiler: Nvrtc) -> None:
    with pytest.raises(EngineError, match=r"kernels\.cu\(1\).*error"):
        compiler.compile("no kernel", (8, 6))


def test_kernels_are_compiled_once(
    compiler: Nvrtc, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = compiled((8, 6))
    with monkeypatch.context() as patch:
        patch.setattr(Nvrtc, "compile", lambda *_: pytest.fail("compiled twice"))
        assert compiled((8, 6)) == first
    (file,) = (cache / "engines").iterdir()
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    assert compiled((8, 6)) == first, "a damaged file must not be taken"


def test_whatever_they_depend_on_is_in_the_key(compiler: Nvrtc, cache: Path) -> None:
    compiled((8, 6))
    compiled((8, 9))
    nvrtc.SOURCE.write_text(nvrtc.SOURCE.read_text() + "\n// changed")
    compiled((8, 6))
    assert len(list((cache / "engines").iterdir())) == 3


def test_a_cache_that_cannot_be_written_is_no_obstacle(compiler: Nvrtc, cache: Path) -> None:
    cache.write_bytes(b"")  # a file where the folder should be
    assert compiled((8, 6)).startswith(b"\x7fELF")


def test_without_nvrtc_the_line_to_type_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvrtc, "folders", lambda: iter(()))
    with pytest.raises(EngineError, match="pip install nvidia-cuda-nvrtc"):
        find_nvrtc()


def test_a_compiler_newer_than_the_driver_is_not_taken(compiler: Nvrtc) -> None:
    with pytest.raises(EngineError, match=r"CUDA 9: pip install nvidia-cuda-nvrtc-cu9$"):
        find_nvrtc(most=9)
    assert find_nvrtc(most=compiler.version[0]).version[0] <= compiler.version[0]
