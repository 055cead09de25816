import runpy
import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from conftest import TOY, TOY_LOW, fake_networks, toy_mrn

from bshm_live.errors import EngineError
from bshm_live.runtimes import manifest
from bshm_live.runtimes.manifest import Manifest, check_file, engines_folder, load_manifest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the toy networks that a test may spoil."""
    return Path(shutil.copytree(TOY, tmp_path / "engines"))


def low_size(read: Manifest, preset: str) -> tuple[int, ...]:
    """(h, w) of MPN and QUN."""
    return read.preset(preset)["mpn"].inputs["image"][2:]


def test_toy_manifest_is_read() -> None:
    read = load_manifest(TOY)
    assert read.presets == ("balanced", "tall")
    assert {name: low_size(read, name) for name in read.presets} == TOY_LOW
    networks = read.preset("balanced")
    assert set(networks) == {"mpn", "qun", "mrn"}
    mrn = networks["mrn"]
    assert mrn.path == TOY / "balanced" / "mrn.onnx"
    assert mrn.inputs == {"image": (1, 3, 128, 256), "unified": (1, 1, 32, 64)}
    assert mrn.outputs == {"alpha": (1, 1, 128, 256), "residual": (1, 3, 32, 64)}
    for network in read.networks:
        check_file(network)


def test_unknown_preset_names_those_that_exist() -> None:
    with pytest.raises(EngineError, match=r"preset fast: .* try balanced, tall"):
        load_manifest(TOY).preset("fast")


def test_changed_file_is_refused(folder: Path) -> None:
    network = load_manifest(folder).preset("tall")["qun"]
    content = bytearray(network.path.read_bytes())
    content[-1] ^= 1
    network.path.write_bytes(content)
    with pytest.raises(EngineError, match=r"tall.qun\.onnx: .*sha256 differs.*reinstall") as caught:
        check_file(network)
    assert "\n" not in str(caught.value)


def test_missing_file_is_named(folder: Path) -> None:
    network = load_manifest(folder).preset("tall")["qun"]
    network.path.unlink()
    with pytest.raises(EngineError, match=r"tall.qun\.onnx: cannot be read .*; reinstall"):
        check_file(network)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('colour = "RGB"', 'colour = "BGR"', "colour must be RGB"),
        ("range = [0.0, 1.0]", "range = [0, 255]", "range"),
        ("network", "networks", "'network' is missing"),
        ("sha256 =", "sha =", "'sha256' is missing"),
        ("hint = [1, 1, 32, 64]", "hint = 7", "wrong kind"),
        ("hint = [1, 1, 32, 64]", 'hint = [1, 1, 32, "w"]', "wrong kind"),
        ('sha256 = "', 'sha256 = 1 # "', "wrong kind"),
        ('name = "qun"', 'name = "mpn"', "each once"),
        ('name = "qun"', 'name = "gun"', "each once"),
        ("hint = [1, 1, 32, 64]", "hint = [1, 1, 32, 32]", "inputs of mpn"),
        ("residual = [1, 3, 32, 64]", "residual = [1, 3, 64, 64]", "outputs of mrn"),
        ("residual = [1, 3, 32, 64]", "", "outputs of mrn"),
        ("image = [1, 3, 128, 256]", "image = [1, 3, 64, 128]", "inputs of mrn"),
        ("image = [1, 3, 32, 64]", "image = [1, 3, 32, 60]", "multiples of 32"),
        ("image = [1, 3, 32, 64]", "image = [1, 3]", "multiples of 32"),
        ("image = [1, 3, 32, 64]", "image = [1, 3, 32, 64", ""),
    ],
)
def test_malformed_manifest_is_refused(folder: Path, old: str, new: str, reason: str) -> None:
    path = folder / "manifest.toml"
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")
    with pytest.raises(EngineError, match=r"manifest\.toml: malformed: .*reinstall") as caught:
        load_manifest(folder)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_manifest_at_all(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"manifest\.toml: cannot be read .*; reinstall"):
        load_manifest(tmp_path)


def test_folder_from_the_environment(toy_engines: Path) -> None:
    assert engines_folder() == toy_engines
    assert load_manifest().folder == toy_engines


def test_folder_of_a_wheel_comes_before_a_checkout(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("BSHM_ENGINES", raising=False)
    monkeypatch.setattr(
        manifest, "__file__", str(tmp_path / "bshm_live" / "runtimes" / "manifest.py")
    )
    packaged, beside = tmp_path / "bshm_live" / "engines", tmp_path / "engines"
    assert engines_folder() == packaged  # neither exists: the message names this one
    beside.mkdir()
    assert engines_folder() == beside
    packaged.mkdir(parents=True)
    assert engines_folder() == packaged


@pytest.mark.parametrize("preset", sorted(TOY_LOW))
def test_toy_networks_compute_what_their_description_says(preset: str) -> None:
    """ONNX Runtime against the same formulas in NumPy, float64."""
    rng = np.random.default_rng(1)
    networks = load_manifest(TOY).preset(preset)
    for network, twin in zip(networks.values(), fake_networks(TOY_LOW[preset]), strict=True):
        assert (network.inputs, network.outputs) == (twin.inputs, twin.outputs)
        feeds = {name: rng.random(s, dtype=np.float32) for name, s in network.inputs.items()}
        session = onnxruntime.InferenceSession(network.path, providers=["CPUExecutionProvider"])
        for name, array in zip(network.outputs, session.run(None, feeds), strict=True):
            np.testing.assert_allclose(array, twin.run(feeds)[name], atol=2e-6)


def test_twin_of_the_enlargement_is_opencv_s() -> None:
    import cv2

    mask = np.random.default_rng(2).random((32, 64), dtype=np.float32)
    grey = np.full((1, 3, 128, 256), 0.5, np.float32)
    alpha = toy_mrn({"unified": mask[None, None], "image": grey})["alpha"][0, 0]
    np.testing.assert_allclose(alpha, cv2.resize(mask, (256, 128)), atol=1e-6)


def test_make_writes_the_toy_networks_again(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    runpy.run_path(str(TOY / "make.py"))["make"](tmp_path)
    made = {p.relative_to(tmp_path): p.read_bytes() for p in tmp_path.rglob("*.*")}
    assert made == {path: (TOY / path).read_bytes() for path in made}
    assert len(made) == 7


def test_program_s_own_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The networks that a user gets: every preset there, every file the right one."""
    monkeypatch.delenv("BSHM_ENGINES", raising=False)
    read = load_manifest()
    assert set(read.presets) == {"fast", "balanced", "quality", "tall"}
    for preset in ("fast", "balanced", "quality"):
        height, width = low_size(read, preset)
        assert height < width
    height, width = low_size(read, "tall")
    assert height > width
    for network in read.networks:
        check_file(network)


def test_the_head_finder_has_its_shapes(folder: Path) -> None:
    assert load_manifest(folder).head is None  # the toys have none
    text = (folder / "manifest.toml").read_text()
    entry = (
        '\n[head]\nname = "head"\nfile = "head.onnx"\nsha256 = "00"\n'
        "[head.inputs]\nimage = [1, 3, 128, 192]\n"
        "[head.outputs]\nheat = [1, 1, 16, 24]\npoints = [1, 14, 16, 24]\n"
    )
    (folder / "manifest.toml").write_text(text + entry)
    head = load_manifest(folder).head
    assert head is not None
    assert head.path == folder / "head.onnx"
    (folder / "manifest.toml").write_text(text + entry.replace("24]", "25]"))
    with pytest.raises(EngineError, match="the head finder takes"):
        load_manifest(folder)
