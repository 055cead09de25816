"""Batches from and to an object store, here fsspec's own in memory."""

import builtins
import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import pytest
from conftest import write_clip
from test_batch import pictures

from bshm_live.cli import main
from bshm_live.commands.record import RECORD
from bshm_live.errors import SettingsError, SinkError, SourceError

fsspec = pytest.importorskip("fsspec", reason="needs the extra cloud")
pytestmark = pytest.mark.usefixtures("toy_engines")
WHERE = "memory://shop"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Any]:
    """A store with three pictures, a text, and a film, in the folder `in`."""
    found = fsspec.filesystem("memory")
    for path in pictures(tmp_path / "given", 3).iterdir():
        found.pipe_file(f"/shop/in/{path.name}", path.read_bytes())
    found.pipe_file("/shop/in/notes.txt", b"hello")
    found.pipe_file("/shop/films/clip.mp4", write_clip(tmp_path / "clip.mp4", 3).read_bytes())
    yield found
    found.rm("/shop", recursive=True)


def image(*words: str) -> int:
    return main(["image", "--preset", "balanced", *words])


def names(store: Any, folder: str = "/shop/out") -> set[str]:
    return {path.rpartition("/")[2] for path in store.find(folder)}


def test_a_batch_makes_the_bytes_that_a_folder_gets(
    store: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert image("-i", str(tmp_path / "given"), "-d", str(tmp_path / "out")) == 0
    assert image("-i", f"{WHERE}/in", "-d", f"{WHERE}/out") == 0
    assert "notes.txt: skipped, not a picture" in capsys.readouterr().err
    made = sorted((tmp_path / "out").glob("*.png"))
    assert len(made) == 9
    for path in made:
        assert store.cat_file(f"/shop/out/{path.name}") == path.read_bytes()
    assert names(store) == {*(path.name for path in made), "report.csv", RECORD}
    rows = list(csv.DictReader(store.cat_file("/shop/out/report.csv").decode().splitlines()))
    assert rows[0]["input"].endswith("shop/in/0.png")
    assert rows[0]["output"].split(";")[0] == f"{WHERE}/out/0_alpha.png"
    assert not any(row["error"] for row in rows)


def test_what_is_finished_is_left_out(store: Any, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("-i", f"{WHERE}/in", "-d", f"{WHERE}/out", "--resume")
    assert image(*words) == 0
    store.rm_file("/shop/out/1_alpha.png")
    store.pipe_file("/shop/in/2.png", store.cat_file("/shop/in/0.png"))
    made = store.info("/shop/out/0_alpha.png")["created"]
    capsys.readouterr()
    assert image(*words) == 0
    assert "2 done in" in capsys.readouterr().err
    assert store.info("/shop/out/0_alpha.png")["created"] == made
    assert store.exists("/shop/out/1_alpha.png")


def test_films_and_single_pictures(store: Any, tmp_path: Path) -> None:
    assert main(["video", "-i", f"{WHERE}/films", "-d", f"{WHERE}/out", "--bg", "lime"]) == 0
    assert names(store) == {"clip.mp4"}
    assert main(["product", "-i", f"{WHERE}/in/0.png", "-d", str(tmp_path / "out")]) == 0
    assert cv2.imread(str(tmp_path / "out" / "0_product.jpg")).shape == (800, 800, 3)


def test_a_store_that_fails_halfway_keeps_nothing_of_that_picture(
    store: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put = type(store).put_file

    def fails(self: Any, local: str, place: str, **options: Any) -> None:
        if place.endswith("1_composite.png"):
            raise RuntimeError("the store is full\nand more of its words")
        put(self, local, place, **options)

    monkeypatch.setattr(type(store), "put_file", fails)
    assert image("-i", f"{WHERE}/in", "-d", f"{WHERE}/out") == SinkError.exit_code
    made = names(store) - {"report.csv", RECORD}
    assert {name[0] for name in made} == {"0", "2"}
    assert len(made) == 6
    said = capsys.readouterr().err
    assert "the store is full; " in said
    assert "Traceback" not in said


def test_an_input_is_never_replaced(store: Any, capsys: pytest.CaptureFixture[str]) -> None:
    store.pipe_file("/shop/in/0_alpha.png", store.cat_file("/shop/in/1.png"))
    words = ("-i", f"{WHERE}/in/0.png", f"{WHERE}/in/0_alpha.png", "-d", f"{WHERE}/in")
    before = store.cat_file("/shop/in/0_alpha.png")
    assert image(*words) == SinkError.exit_code
    assert "is an input of this run" in capsys.readouterr().err
    assert store.cat_file("/shop/in/0_alpha.png") == before


def test_what_is_not_there_is_one_line(store: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert image("-i", f"{WHERE}/in/none.png", "-d", f"{WHERE}/out") == SourceError.exit_code
    (line,) = capsys.readouterr().err.splitlines()
    assert "none.png: not there" in line


@pytest.mark.parametrize("place", ["in", "out"])
def test_a_missing_extra_is_one_line(
    place: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    load = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "fsspec":
            raise ModuleNotFoundError("No module named 'fsspec'", name=name)
        return load(name, *rest)

    given = pictures(tmp_path / "given", 1)
    monkeypatch.setattr(builtins, "__import__", without)
    words = {"in": ("-i", "s3://b/a.png", "-d", str(tmp_path)), "out": ("-d", "s3://b", "-i")}
    more = () if place == "in" else (str(given / "0.png"),)
    assert image(*words[place], *more) == SettingsError.exit_code
    (line,) = capsys.readouterr().err.splitlines()
    assert "pip install 'bshm-live[cloud]'" in line
