"""`product`: its words, lists of jobs, and the files that it makes."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import portrait

from bshm_live.cli import main
from bshm_live.commands.product import Product, product_of, read_jobs, whole
from bshm_live.errors import SettingsError, SinkError, SourceError

pytestmark = pytest.mark.usefixtures("toy_engines")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder: a person (a disc), an empty room, and a scene."""
    cv2.imwrite(str(tmp_path / "anna.png"), portrait(200, 150, centre=(70, 80)).picture)
    cv2.imwrite(str(tmp_path / "dark.png"), np.zeros((40, 60, 3), np.uint8))
    cv2.imwrite(str(tmp_path / "scene.png"), portrait(400, 300).background)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def product(*words: object) -> int:
    return main(["product", *map(str, words), "-d", "out", "--preset", "balanced"])


def read(name: str) -> np.ndarray:
    picture = cv2.imread(f"out/{name}", cv2.IMREAD_UNCHANGED)
    assert picture is not None
    return picture


def test_a_person_on_a_canvas() -> None:
    words = ("--canvas", "300x400", "--bg", "white", "--margin", "10%", "--format", "png")
    assert product("-i", "anna.png", *words) == 0
    made = read("anna_product.png")
    assert made.shape == (400, 300, 3)
    assert (made[:70] == 255).all()
    x, y, width, height = cv2.boundingRect((made.min(-1) < 250).astype(np.uint8))
    assert abs(2 * x + width - 300) <= 6
    assert abs(2 * y + height - 400) <= 6
    assert abs(width - 240) <= 14  # the disc's soft rim


def test_a_jpeg_within_its_kilobytes() -> None:
    assert product("-i", "anna.png", "--canvas", "600x600") == 0
    free = Path("out/anna_product.jpg").stat().st_size
    most = free // 1000 - 2
    assert product("-i", "anna.png", "--canvas", "600x600", "--kb", most) == 0
    assert Path("out/anna_product.jpg").stat().st_size <= 1000 * most
    assert read("anna_product.jpg").shape == (600, 600, 3)
    assert product("-i", "anna.png", "--canvas", "600x600", "--kb", 1) == SinkError.exit_code


def test_a_person_in_a_scene() -> None:
    words = ("--scene", "scene.png", "--place", "200,280,150", "--format", "png")
    assert product("-i", "anna.png", *words) == 0
    plain = read("anna_product.png").astype(int)
    assert product("-i", "anna.png", *words, "--shadow", "--match") == 0
    made = read("anna_product.png").astype(int)
    behind = cv2.imread("scene.png").astype(int)
    assert plain.shape == made.shape == behind.shape
    assert np.array_equal(plain[:60], behind[:60])
    assert np.abs(plain - behind)[150:250, 150:250].mean() > 50
    floor = np.s_[280:284, 195:205]  # below the feet
    assert made[floor].mean() < 0.9 * plain[floor].mean()


def test_nobody_and_a_place_outside_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert product("-i", "dark.png") == SourceError.exit_code
    assert "no person found" in capsys.readouterr().err
    words = ("--scene", "scene.png", "--place", "2000,280,150")
    assert product("-i", "anna.png", *words) == SettingsError.exit_code
    said = capsys.readouterr().err
    assert "400x300" in said
    assert "anna.png" in said
    assert not list(Path("out").glob("*.jpg"))


@pytest.mark.parametrize(
    "words",
    [
        {"canvas": "800"},
        {"canvas": "8x8"},
        {"canvas": "99999x800"},
        {"bg": "greeen"},
        {"margin": "46%"},
        {"margin": "-1"},
        {"place": "1,2"},
        {"place": "1,2,0"},
        {"scene": "gone.png"},
        {"kb": "0"},
        {"kb": "1e9"},
        {"format": "gif"},
        {"shadow": "maybe"},
        {"sofa": "1"},
        {"scene": "scene.png"},
        {"place": "1,2,3"},
        {"shadow": "yes"},
    ],
)
def test_words_that_make_no_sense_are_refused(words: dict[str, str]) -> None:
    with pytest.raises(SettingsError):
        whole(product_of(words))


# --- jobs -------------------------------------------------------------------------------------


def test_a_list_of_jobs_in_csv_and_json_is_the_same(folder: Path) -> None:
    (folder / "jobs.csv").write_text(
        "input,scene,place,shadow,canvas\n"
        'anna.png,scene.png,"200,280,150",yes,\n'
        "anna.png,,,,300x200\n",
        encoding="utf-8-sig",
    )
    jobs = [
        {"input": "anna.png", "scene": "scene.png", "place": [200, 280, 150], "shadow": True},
        {"input": "anna.png", "canvas": "300x200", "shadow": None},
    ]
    (folder / "jobs.json").write_text(json.dumps(jobs))
    base = product_of({"bg": "red"})
    lists = [read_jobs(folder / name, base) for name in ("jobs.csv", "jobs.json")]
    assert lists[0] == lists[1]
    red = (0, 0, 255)
    in_room = Product(colour=red, scene=Path("scene.png"), place=(200, 280, 150), shadow=True)
    assert lists[0] == [
        ("anna.png", in_room),
        ("anna.png", Product(colour=red, canvas=(300, 200))),
    ]
    assert product("--jobs", "jobs.csv", "--format", "png") == 0
    assert read("anna_product.png").shape == (300, 400, 3)
    assert read("anna_2_product.png").shape == (200, 300, 3)


def test_jobs_are_resumed_one_by_one(folder: Path) -> None:
    lines = ["input,canvas", "anna.png,300x200", "anna.png,200x300"]
    (folder / "jobs.csv").write_text("\n".join(lines))
    assert product("--jobs", "jobs.csv") == 0
    before = {path: path.stat().st_mtime_ns for path in Path("out").glob("*.jpg")}
    lines[2:] = ["anna.png,210x300", "anna.png,100x100"]
    (folder / "jobs.csv").write_text("\n".join(lines))
    assert product("--jobs", "jobs.csv", "--resume") == 0
    after = {path: path.stat().st_mtime_ns for path in Path("out").glob("*.jpg")}
    same = {path.name for path in before if before[path] == after[path]}
    assert same == {"anna_product.jpg"}
    assert len(after) == 3


@pytest.mark.parametrize(
    "text",
    [
        "",
        "input\n",
        "canvas\n300x200\n",
        "input,sofa\nanna.png,1\n",
        "input,canvas\nanna.png,9\n",
        "input\nanna.png,what,is,this\n",
        "[",
        "[1]",
        '{"input": "anna.png"}',
        '[{"canvas": "300x200"}]',
        "[" * 100_000,
        "input\n.\n",
    ],
)
def test_lists_that_are_none_are_one_line(
    folder: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "jobs.csv").write_text(text)
    assert product("--jobs", "jobs.csv") == SettingsError.exit_code
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "skipped" not in line]
    assert "--jobs jobs.csv" in line


def test_inputs_or_jobs() -> None:
    assert product() == SettingsError.exit_code
    assert product("-i", "anna.png", "--jobs", "jobs.csv") == SettingsError.exit_code
    assert product("--jobs", "gone.csv") == SettingsError.exit_code
