"""The search for the GPU, against a driver of a few lines of C."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bshm_live.errors import EngineError
from bshm_live.runtimes import nvidia
from bshm_live.runtimes.nvidia import Gpu, Graph, Lack, find_gpu

DRIVER = """
#include <string.h>
char told[256];
static void tell(const char *what) { strcat(told, what); }
int cuInit(unsigned flags) { return CODE; }
int cuDeviceGet(int *device, int number) { *device = 3; return 0; }
int cuDeviceGetName(char *name, int size, int device) {
    strncpy(name, device == 3 ? "Toy GPU" : "another", size); return 0; }
int cuDriverGetVersion(int *version) { *version = 13020; return 0; }
int cuDeviceGetAttribute(int *value, int what, int device) {
    *value = what == 75 ? MAJOR : what == 76 ? 6 : -1; return 0; }
int cuGetErrorString(int code, const char **text) { *text = "system not ready"; return 0; }
int cuStreamBeginCapture_v2(void *stream, int mode) {
    tell(stream == (void *)0x123456789ab && mode == 1 ? "begin " : "wrong "); return 0; }
int cuStreamEndCapture(void *stream, void **graph) {
    tell("end "); *graph = (void *)7; return END; }
int cuGraphInstantiateWithFlags(void **run, void *graph, unsigned long long flags) {
    tell(graph == (void *)7 && flags == 0 ? "make " : "wrong "); *run = (void *)9; return 0; }
int cuGraphDestroy(void *graph) { tell("drop "); return 0; }
int cuGraphLaunch(void *run, void *stream) {
    tell(run == (void *)9 && stream == (void *)0x123456789ab ? "launch " : "wrong "); return 0; }
int cuGraphExecDestroy(void *run) { tell("free "); return 0; }
"""
RECORDED = ("begin", "end", "make", "drop")
STREAM = 0x123456789AB  # as wide as an address

Make = Callable[..., str]


@pytest.fixture
def driver(tmp_path: Path) -> Make:
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("no C compiler for the toy driver")

    def make(code: int = 0, major: int = 8, end: int = 0) -> str:
        target = tmp_path / f"libtoy{code}_{major}_{end}.so"
        words = [compiler, "-shared", "-fPIC", "-x", "c", "-", "-o", target]
        words += [f"-DCODE={code}", f"-DMAJOR={major}", f"-DEND={end}"]
        subprocess.run(words, input=DRIVER, text=True, check=True)
        return str(target)

    return make


def test_the_driver_names_the_gpu(driver: Make) -> None:
    assert find_gpu(driver()) == Gpu("Toy GPU", (8, 6), (13, 2))


@pytest.mark.parametrize(
    ("code", "major", "what"),
    [(100, 8, "finds no GPU"), (802, 8, "802: system not ready"), (0, 6, "too old")],
)
def test_a_gpu_that_cannot_be_used_says_why(driver: Make, code: int, major: int, what: str) -> None:
    found = find_gpu(driver(code, major))
    assert isinstance(found, Lack)
    assert what in str(found)


def test_without_a_driver_the_answer_costs_nothing() -> None:
    times = []
    for _ in range(10):
        start = time.process_time()
        found = find_gpu("libabsent-for-certain.so.1")
        times.append(time.process_time() - start)
        assert isinstance(found, Lack)
        assert "driver" in str(found)
    assert min(times) < 0.005


def test_a_card_is_known_by_its_vendor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvidia, "PCI", tmp_path / "devices")
    assert nvidia.card_is_there() is None
    for name, vendor in (("0000:00:01.0", "0x8086"), ("0000:01:00.0", "0x1af4")):
        (tmp_path / "devices" / name).mkdir(parents=True)
        (tmp_path / "devices" / name / "vendor").write_text(f"{vendor}\n")
    assert nvidia.card_is_there() is False
    (tmp_path / "devices" / "0000:01:00.0" / "vendor").write_text("0x10de\n")
    assert nvidia.card_is_there() is True


def test_each_part_that_is_missing_is_named_with_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvidia, "find_spec", lambda name: None)
    monkeypatch.setattr(nvidia, "find_gpu", lambda: Lack("no NVIDIA driver", nvidia.DRIVER_FIX))
    lacks = list(nvidia.tensorrt_lacks())
    assert [lack.what.split()[0] for lack in lacks] == ["no", "TensorRT", "onnx", "pycuda"]
    assert all(lack.fix for lack in lacks)
    monkeypatch.setattr(nvidia, "find_spec", lambda name: True)
    monkeypatch.setattr(nvidia, "find_gpu", lambda: Gpu("Toy GPU", (8, 6), (13, 2)))
    assert list(nvidia.tensorrt_lacks()) == []
    assert nvidia.flavour() == "tensorrt"


def test_a_graph_is_recorded_once_and_launched_often(driver: Make) -> None:
    library = driver()
    said = ctypes.c_char * 256
    told = said.in_dll(ctypes.CDLL(library), "told")
    graph = Graph(STREAM, lambda: None, library)
    graph.launch(STREAM)
    graph.launch(STREAM)
    graph.close()
    graph.close()
    assert told.value.decode().split() == [*RECORDED, "launch", "launch", "free"]


def test_a_recording_that_fails_leaves_the_stream_usable(driver: Make) -> None:
    library = driver(end=901)
    told = (ctypes.c_char * 256).in_dll(ctypes.CDLL(library), "told")
    with pytest.raises(EngineError, match="901"):
        Graph(STREAM, lambda: None, library)

    def fail() -> None:
        raise EngineError("told to fail")

    with pytest.raises(EngineError, match="told to fail"):
        Graph(STREAM, fail, library)
    assert told.value.decode().split() == ["begin", "end"] * 2


def test_the_toolkit_is_known_by_nvcc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "nvcc").touch()
    monkeypatch.setenv("CUDA_HOME", str(tmp_path))
    assert nvidia.toolkit() == tmp_path / "bin" / "nvcc"
