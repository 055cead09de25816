"""Engines by the real builder, which needs no GPU; running them, on a twin of one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cuda_twin
import numpy as np
import onnx
import pytest
from conftest import PACKAGE, TOY, portrait
from cuda_twin import AMPERE, BUILDS, WHY_NOT, Twin, gpu_here
from onnx import TensorProto, helper

from bshm_live.cli import main
from bshm_live.errors import EngineError
from bshm_live.matting.bshm import Bshm
from bshm_live.runtimes import cache as engine_cache
from bshm_live.runtimes import nvidia
from bshm_live.runtimes.choice import BOUNDS, lacking
from bshm_live.runtimes.manifest import NETWORKS, engines_folder, load_manifest
from bshm_live.runtimes.nvidia import Gpu
from bshm_live.runtimes.onnxruntime import OnnxRuntimeEngine

rtx = pytest.mark.skipif(not BUILDS, reason=WHY_NOT)
TURING = Gpu("Toy RTX 2060", (7, 5), (13, 0))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache folder of one test."""
    monkeypatch.setenv(engine_cache.FOLDER_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def committed_presets() -> list[str]:
    if not (engines_folder() / "manifest.toml").is_file():
        return []
    return list(load_manifest().presets)


@rtx
@pytest.mark.parametrize("preset", committed_presets())
def test_the_builder_takes_every_network(preset: str, capsys: pytest.CaptureFixture[str]) -> None:
    from bshm_live.runtimes.tensorrt_build import engine_of

    words = ["engines", "build", "--runtime", "tensorrt", "--preset", preset, "--progress"]
    assert main(words) == 0
    text = capsys.readouterr().out
    assert all(re.search(rf"{preset} +{name} .* MB  built in", text) for name in NETWORKS)
    assert len(engine_cache.entries()) == len(NETWORKS)
    for entry in load_manifest().preset(preset).values():
        assert engine_of(entry.path, None)[2], "the engine's own network is in the cache"


@rtx
@pytest.mark.usefixtures("toy_engines")
def test_build_list_and_build_again(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["engines", "build", "--preset", "balanced"]) == 0
    assert capsys.readouterr().out.count("built in") == 3
    before = {path: path.stat().st_mtime_ns for path in engine_cache.entries()}
    assert len(before) == 3
    assert main(["engines", "build", "--preset", "balanced"]) == 0
    assert capsys.readouterr().out.count("in the cache") == 3
    assert {path: path.stat().st_mtime_ns for path in engine_cache.entries()} == before
    assert main(["engines", "list"]) == 0
    text = capsys.readouterr().out
    assert str(cache) in text
    assert all(f"balanced {name}" in text for name in NETWORKS)


@rtx
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("precision", ["f16", "f32"])
@pytest.mark.parametrize("gpu", [None, AMPERE, TURING], ids=["none", "ampere", "turing"])
def test_every_precision_and_gpu(name: str, precision: str, gpu: Gpu | None) -> None:
    from bshm_live.runtimes.tensorrt_build import engine_of

    key, blob, stored = engine_of(TOY / "balanced" / f"{name}.onnx", gpu, precision)
    assert not stored
    assert len(blob) > 1000
    assert key.capability == ("sm75" if gpu is TURING else "sm80+")
    assert key.precision == precision
    assert engine_cache.load(key) == blob


def network(*nodes: onnx.NodeProto, shape: tuple[int | str, ...] = (1, 1, 8, 8)) -> bytes:
    graph = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model.SerializeToString()


@rtx
@pytest.mark.parametrize("precision", ["f16", "f32"])
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (network(helper.make_node("Det", ["x"], ["y"], "corner")), "Det corner"),
        (network(helper.make_node("Relu", ["x"], ["y"]), shape=(1, 1, "h", 8)), "no fixed size"),
        (b"not a network", "is not a network"),
    ],
    ids=["unsupported operator", "symbolic size", "damaged file"],
)
def test_what_the_builder_cannot_take_is_one_line(
    tmp_path: Path, content: bytes, reason: str, precision: str
) -> None:
    from bshm_live.runtimes.tensorrt_build import engine_of

    path = tmp_path / "mpn.onnx"
    path.write_bytes(content)
    with pytest.raises(EngineError, match=reason) as error:
        engine_of(path, None, precision)
    assert str(error.value).startswith(f"{path}")
    assert "\n" not in str(error.value)
    assert engine_cache.entries() == []


REFUSED_AGAIN_AND_AGAIN = """
import faulthandler, gc
from bshm_live.runtimes import tensorrt_build as trt_build
from bshm_live.errors import EngineError

def log(self, severity, message):
    gc.collect()  # as it may happen wherever Python runs
    kept(self, severity, message)

kept, trt_build.Log.log = trt_build.Log.log, log
faulthandler.dump_traceback_later(60, exit=True)
gc.disable()
for _ in range(5):
    try:
        trt_build.build(b"not a network", "sm80+", "f32")
    except EngineError as error:
        error.itself = error  # rubbish, with all that the traceback's frames hold
print("refused")
"""


@rtx
def test_what_a_refusal_leaves_behind_is_not_waited_for() -> None:
    words = [sys.executable, "-c", REFUSED_AGAIN_AND_AGAIN]
    done = subprocess.run(words, cwd=PACKAGE.parent, capture_output=True, text=True, timeout=120)
    assert done.stdout == "refused\n", done.stderr


KEY = engine_cache.Key("ab" * 32, "tensorrt_rtx_1.7", "sm80+", "256x160", "f16")


def test_a_whole_engine_comes_back_and_no_other() -> None:
    path = engine_cache.store(KEY, b"engine\nof\nlines")
    assert engine_cache.load(KEY) == b"engine\nof\nlines"
    assert engine_cache.load(KEY, "runtime") is None
    for field in ("flavour", "capability", "size", "precision"):
        other = engine_cache.Key(**{**vars(KEY), field: "another"})
        assert engine_cache.load(other) is None
    # Only the whole sha256 tells these two apart
    near = engine_cache.Key(**{**vars(KEY), "sha256": "ab" * 8 + "cd" * 24})
    assert engine_cache.path(near) == path
    assert engine_cache.load(near) is None


@pytest.mark.parametrize("damage", ["cut", "flipped", "emptied", "foreign"])
def test_a_damaged_engine_is_not_loaded(damage: str) -> None:
    path = engine_cache.store(KEY, bytes(range(256)) * 8)
    content = path.read_bytes()
    half = len(content) // 2
    path.write_bytes(
        {
            "cut": content[:-1],
            "flipped": content[:half] + bytes([content[half] ^ 1]) + content[half + 1 :],
            "emptied": b"",
            "foreign": b"ftrt" + content,
        }[damage]
    )
    assert engine_cache.load(KEY) is None


def test_a_write_that_fails_leaves_nothing(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(source: str, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="No space"):
        engine_cache.store(KEY, b"engine")
    assert [path for path in cache.rglob("*") if path.is_file()] == []


@rtx
def test_a_damaged_engine_is_built_again() -> None:
    from bshm_live.runtimes.tensorrt_build import engine_of

    path = TOY / "balanced" / "qun.onnx"
    key, blob, _ = engine_of(path, None)
    engine_cache.path(key).write_bytes(b"damaged")
    assert engine_of(path, None)[2] is False
    assert engine_cache.load(key) is not None
    assert engine_of(path, None)[1:] == (engine_cache.load(key), True)
    assert len(blob) > 0


@rtx
def test_a_cache_that_cannot_be_written_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bshm_live.runtimes.tensorrt_build import engine_of

    (tmp_path / "file").touch()
    monkeypatch.setenv(engine_cache.FOLDER_VARIABLE, str(tmp_path / "file" / "folder"))
    with pytest.raises(EngineError, match=r"cannot be written .* BSHM_CACHE"):
        engine_of(TOY / "balanced" / "qun.onnx", None)


@pytest.mark.usefixtures("toy_engines")
@pytest.mark.parametrize(
    "words",
    [
        ["demo"],
        ["bench"],
        ["--bg", "#00b140", "--source", "demo", "--sink", "null"],
        ["--bg", "#00b140", "--source", "97"],  # no such camera: that is not what is told
    ],
    ids=["demo", "bench", "live", "live without a camera"],
)
def test_without_a_gpu_tensorrt_is_one_line(
    words: list[str],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if lacking("tensorrt") is None:
        pytest.skip("there is a GPU")
    monkeypatch.chdir(tmp_path)
    assert main([*words, "--runtime", "tensorrt"]) == 4
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("bshm-live: --runtime tensorrt: ")
    for lack in nvidia.tensorrt_lacks():
        assert str(lack) in line


@pytest.mark.usefixtures("toy_engines")
def test_build_without_tensorrt_names_the_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(nvidia, "find_spec", lambda name: None)
    assert main(["engines", "build"]) == 4
    assert nvidia.EXTRA in capsys.readouterr().err
    assert main(["engines", "build", "--runtime", "onnxruntime"]) == 0
    assert "no building" in capsys.readouterr().out


# Running, on the twin


@pytest.fixture
def twin(monkeypatch: pytest.MonkeyPatch) -> Iterator[Twin]:
    """The runtime's module over a twin of the GPU."""
    if not BUILDS:
        pytest.skip(WHY_NOT)
    with gpu_here(monkeypatch) as made:
        yield made


def test_the_adapter_computes_what_onnx_runtime_does(twin: Twin) -> None:
    folder = TOY / "balanced"
    names = [folder / f"{name}.onnx" for name in NETWORKS]
    with (
        Bshm(*(twin.module.load(path, 0) for path in names)) as gpu,
        Bshm(*(OnnxRuntimeEngine(path) for path in names)) as cpu,
    ):
        for seed in (0, 1):
            picture = portrait(seed=seed, radius=30 + 20 * seed).picture
            found, right = gpu.matte(picture), cpu.matte(picture)
            for part in ("coarse", "unified", "alpha", "residual"):
                apart = np.abs(getattr(found, part) - getattr(right, part)).max()
                assert apart < BOUNDS["f16"], part
    assert not twin.device.cuda.held


def test_networks_chain_on_the_gpu_without_the_host(twin: Twin) -> None:
    """QUN reads MPN's coarse mask where MPN wrote it, on a stream of the caller's."""
    mpn, qun = (twin.module.load(TOY / "balanced" / f"{n}.onnx", 0) for n in ("mpn", "qun"))
    right_mpn, right_qun = (
        OnnxRuntimeEngine(TOY / "balanced" / f"{n}.onnx") for n in ("mpn", "qun")
    )
    rng = np.random.default_rng(3)
    feeds = {name: rng.random(shape, np.float32) for name, shape in mpn.inputs.items()}
    coarse = right_mpn.run(feeds)["coarse"]
    right = right_qun.run({"image": feeds["image"], "coarse": coarse})["unified"]
    cuda = sys.modules["pycuda.driver"]
    with twin.module.active():
        stream = cuda.Stream()
        for name, values in feeds.items():
            cuda.memcpy_htod_async(mpn.pointer(name), values, stream)
        qun.bind("image", mpn.pointer("image"))
        qun.bind("coarse", mpn.pointer("coarse"))
        mpn.enqueue(stream.handle)
        qun.enqueue(stream.handle)
        found = np.zeros(right.shape, np.float32)
        cuda.memcpy_dtoh_async(found, qun.pointer("unified"), stream)
        stream.synchronize()
    assert np.abs(found - right).max() < BOUNDS["f16"]
    for engine in (mpn, qun):
        engine.close()
        engine.close()


def test_the_second_start_finds_its_kernels_compiled(twin: Twin) -> None:
    path = TOY / "balanced" / "mrn.onnx"
    twin.module.load(path, 0).close()
    assert cuda_twin.Engine.made == 1
    twin.module.load(path, 0).close()
    assert cuda_twin.Engine.made == 1
    assert [path.suffix for path in sorted((engine_cache.folder() / "engines").iterdir())] == [
        ".engine",
        ".runtime",
    ]


@pytest.mark.parametrize(("broken", "loads"), [(1, True), (2, False)])
def test_a_stored_engine_that_does_not_load_is_built_once_more(
    twin: Twin, broken: int, loads: bool
) -> None:
    path = TOY / "balanced" / "mpn.onnx"
    twin.module.load(path, 0).close()
    twin.broken = broken
    if loads:
        twin.module.load(path, 0).close()
    else:
        with pytest.raises(EngineError, match="loads no engine on Toy RTX 3060"):
            twin.module.load(path, 0)


@pytest.mark.parametrize("missing", ["runtime", "config"])
def test_a_tensorrt_that_gives_nothing_is_one_line(
    twin: Twin, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    def nothing(*_: object) -> None:
        raise TypeError("factory function returned nullptr")

    if missing == "runtime":
        monkeypatch.setattr(twin.module.trt, "Runtime", nothing)
    else:
        monkeypatch.setattr(cuda_twin.Engine, "create_runtime_config", lambda self: None)
    with pytest.raises(EngineError, match=r"(start|run) on Toy RTX 3060 .*NVIDIA driver") as error:
        twin.module.load(TOY / "balanced" / "mpn.onnx", 0)
    assert "\n" not in str(error.value)


def test_wrong_feeds_and_a_gpu_that_is_gone_are_one_line(twin: Twin) -> None:
    engine = twin.module.load(TOY / "balanced" / "mpn.onnx", 0)
    with pytest.raises(EngineError, match="the network takes"):
        engine.run({"image": np.zeros((1, 3, 8, 8), np.float32)})
    feeds = {name: np.zeros(shape, np.float32) for name, shape in engine.inputs.items()}
    twin.device.fails = True
    with pytest.raises(EngineError, match=r"Toy RTX 3060 failed .*bus") as error:
        engine.run(feeds)
    assert "\n" not in str(error.value)
