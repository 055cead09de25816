"""The int8 networks run where they belong to the networks, are exact, and are faster."""

from __future__ import annotations

import hashlib
import shutil
from contextlib import ExitStack
from pathlib import Path

import pytest
from conftest import TOY

from bshm_live.errors import EngineError
from bshm_live.loop.assemble import load
from bshm_live.runtimes import int8
from bshm_live.runtimes.choice import Runtime, get_runtime, load_engines
from bshm_live.runtimes.manifest import TWINS, load_manifest
from bshm_live.settings import Networks


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The toy networks with twins: the same once more, with a line behind that changes nothing."""
    folder = Path(shutil.copytree(TOY, tmp_path / "engines"))
    entries = []
    for network in load_manifest(folder).preset("balanced").values():
        file = network.path.with_suffix(".int8.onnx")
        file.write_bytes(network.path.read_bytes())
        sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
        entries.append(
            f'[[network]]\nfile = "balanced/{file.name}"\nsha256 = "{sha256}"\n'
            f'of = "{network.sha256}"\n'
        )
    (folder / TWINS).write_text("\n".join(entries))
    monkeypatch.setenv("BSHM_ENGINES", str(folder))
    monkeypatch.setenv("BSHM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(int8, "has_dot_products", lambda: True)
    return folder


def times(monkeypatch: pytest.MonkeyPatch, f32: float, twin: float) -> list[int]:
    """The clock gives these; the list grows whenever somebody measures."""
    asked: list[int] = []

    def measured(*_: object) -> int8.Times:
        asked.append(1)
        return {"f32": f32, "int8": twin}

    monkeypatch.setattr(int8, "measured", measured)
    return asked


@pytest.mark.parametrize(("twin", "faster"), [(5.0, True), (9.5, False), (20.0, False)])
def test_the_faster_is_taken_and_the_answer_kept(
    folder: Path, monkeypatch: pytest.MonkeyPatch, twin: float, faster: bool
) -> None:
    asked = times(monkeypatch, 10.0, twin)
    runtime = get_runtime("onnxruntime")
    assert int8.is_faster("balanced", runtime) == faster
    assert int8.is_faster("balanced", runtime) == faster
    assert len(asked) == 1
    for file in (folder.parent / "cache" / "int8").iterdir():
        file.write_text("damaged")
    assert int8.is_faster("balanced", runtime) == faster
    assert len(asked) == 2


def test_live_pictures_get_them_and_others_do_not(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times(monkeypatch, 10.0, 5.0)
    networks = Networks("onnxruntime")
    with ExitStack() as stack:
        assert load(networks, "balanced", stack, "live")[0].description.endswith("int8")
        assert "int8" not in load(networks, "balanced", stack, "file")[0].description
        exact = Networks("onnxruntime", precision="f32")
        assert "int8" not in load(exact, "balanced", stack, "live")[0].description
        rough = Networks("onnxruntime", precision="int8")
        assert load(rough, "balanced", stack, "still")[0].description.endswith("int8")


def test_without_exact_sums_or_twins_they_are_not_even_measured(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, runtime = times(monkeypatch, 10.0, 5.0), get_runtime("onnxruntime")
    assert not int8.is_faster("tall", runtime)  # it has none
    assert not int8.is_faster("balanced", Runtime("tensorrt", "", runtime.load))
    monkeypatch.setattr(int8, "has_dot_products", lambda: False)
    assert not int8.is_faster("balanced", runtime)
    assert not asked


def test_twins_of_other_networks_are_not_there(folder: Path) -> None:
    assert set(load_manifest(folder).int8("balanced")) == {"mpn", "qun", "mrn"}
    text = (folder / TWINS).read_text()
    of = load_manifest(folder).preset("balanced")["qun"].sha256
    (folder / TWINS).write_text(text.replace(f'of = "{of}"', f'of = "{"0" * 64}"'))
    manifest = load_manifest(folder)
    assert manifest.int8("balanced") == {}
    with pytest.raises(EngineError, match="no int8 networks"):
        load_engines("balanced", get_runtime("onnxruntime"), 1, manifest, int8=True)


@pytest.mark.parametrize(
    "text", ["[[network]", '[[network]]\nfile = "a"', "[[network]]\nof = 3", "network = 3"]
)
def test_a_malformed_list_of_twins_is_one_line(folder: Path, text: str) -> None:
    (folder / TWINS).write_text(text)
    with pytest.raises(EngineError, match=r"int8\.toml: malformed") as caught:
        load_manifest(folder)
    assert "\n" not in str(caught.value)


def test_a_twin_that_does_not_load_is_not_faster(folder: Path) -> None:
    network = load_manifest(folder).int8("balanced")["mrn"]
    network.path.write_bytes(b"changed")
    assert not int8.is_faster("balanced", get_runtime("onnxruntime"))


def test_real_times_are_positive_numbers(folder: Path) -> None:
    found = int8.measured("balanced", get_runtime("onnxruntime"), 1)
    assert 0 < found["f32"] < 1000
    assert 0 < found["int8"] < 1000
