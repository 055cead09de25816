"""`video` with many inputs, and `id` with many: the batch's promises hold for them, too."""

import csv
from pathlib import Path

import av
import cv2
import pytest
from conftest import portrait, write_clip

from bshm_live.cli import main
from bshm_live.errors import SettingsError, SourceError
from bshm_live.runtimes.manifest import engines_folder
from bshm_live.sources.video_file import VideoFile, demo_clip


def report(folder: Path) -> list[dict[str, str]]:
    with (folder / "report.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def frames(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


@pytest.fixture
def films(tmp_path: Path) -> Path:
    """A folder with two films, a broken one, and a text."""
    folder = tmp_path / "in"
    folder.mkdir()
    whole = write_clip(folder / "anna.mp4", 4).read_bytes()
    write_clip(folder / "ben.mp4", 3)
    (folder / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    (folder / "notes.txt").write_text("hello")
    return folder


@pytest.mark.usefixtures("toy_engines")
def test_a_bad_film_stops_no_other(
    films: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    words = ["video", "-i", str(films), "--bg", "lime", "-d"]
    assert main([*words, str(one)]) == SourceError.exit_code
    assert {path.name for path in one.glob("*.mp4")} == {"anna.mp4", "ben.mp4"}
    assert [frames(one / f"{name}.mp4") for name in ("anna", "ben")] == [4, 3]
    rows = report(one)
    assert [bool(row["error"]) for row in rows] == [False, False, True]
    assert all(0.05 < float(row["person"]) < 0.6 for row in rows[:2])
    said = capfd.readouterr().err
    assert "films/s" in said
    assert "notes.txt: skipped, not a film" in said
    assert main([*words, str(two), "--workers", "2"]) == SourceError.exit_code
    for name in ("anna.mp4", "ben.mp4"):
        assert (one / name).read_bytes() == (two / name).read_bytes()


@pytest.mark.usefixtures("toy_engines")
def test_finished_films_are_left_out(films: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["video", "-i", str(films / "anna.mp4"), str(films / "ben.mp4"), "-d", str(out)]
    assert main(words) == 0
    made = {path: path.stat().st_mtime_ns for path in out.glob("*.mov")}
    assert len(made) == 2
    (out / "ben.mov").unlink()
    assert main([*words, "--resume"]) == 0
    again = {path: path.stat().st_mtime_ns for path in out.glob("*.mov")}
    assert again.keys() == made.keys()
    assert [again[path] == made[path] for path in sorted(made)] == [True, False]
    assert main([*words, "--resume", "--bg", "green", "--format", "mkv"]) == 0
    assert len(list(out.glob("*.mkv"))) == 2


@pytest.mark.usefixtures("toy_engines")
@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "IN -o OUT"),
        (["a.mp4"], "IN -o OUT"),
        (["-i", "a.mp4"], "-d DIR"),
        (["-i", "a.mp4", "-d", "out", "--alpha", "b.mkv"], "--alpha"),
        (["-i", "a.mp4", "-d", "out", "--bg", "nothing"], "nothing"),
    ],
)
def test_what_makes_no_sense_is_one_line(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["video", *words]) == SettingsError.exit_code
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line


@pytest.mark.usefixtures("toy_engines")
def test_inputs_are_never_replaced(
    films: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(films)
    before = Path("anna.mp4").read_bytes()
    assert main(["video", "-i", "anna.mp4", "-d", ".", "--bg", "lime"]) == 5
    assert "is an input of this run" in capsys.readouterr().err
    assert Path("anna.mp4").read_bytes() == before


@pytest.mark.skipif(not (engines_folder() / "head.onnx").is_file(), reason="no trained head finder")
@pytest.mark.skipif(not demo_clip().is_file(), reason="the packaged clip is not there")
def test_id_photos_by_two_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    cv2.imwrite(str(folder / "anna.png"), next(iter(VideoFile(demo_clip()))).image)
    cv2.imwrite(str(folder / "nobody.png"), portrait(320, 240).background)
    words = ["id", "-i", str(folder), "-d", str(out), "--size", "18x25mm", "--preset", "fast"]
    assert main([*words, "--workers", "2"]) == SourceError.exit_code
    assert [path.name for path in out.glob("*.jpg")] == ["anna_id.jpg"]
    rows = report(out)
    assert 0.2 < float(rows[0]["person"]) < 0.9
    assert "no head found (0)" in rows[1]["error"]
    assert "head " in capfd.readouterr().err
    made = (out / "anna_id.jpg").stat().st_mtime_ns
    assert main([*words, "--resume"]) == SourceError.exit_code
    assert (out / "anna_id.jpg").stat().st_mtime_ns == made
