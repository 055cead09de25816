"""Real pictures through the committed networks: what is made, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from bshm_live.cli import main
from bshm_live.errors import SourceError
from bshm_live.matting.bshm import Bshm
from bshm_live.matting.head import HeadFinder
from bshm_live.runtimes.choice import cpu_runtime, load_bshm, load_head_finder
from bshm_live.runtimes.manifest import engines_folder
from bshm_live.sources.video_file import VideoFile, demo_clip
from bshm_live.stills.files import Outcome
from bshm_live.stills.id_files import IdOutcome, IdTask, Photographer, check_id
from bshm_live.stills.read import Item
from bshm_live.stills.sheet import PAPERS
from bshm_live.stills.sizes import find

PORTRAITS = [
    f"people/portrait_{number:04d}.jpg" for number in (6, 7, 8, 15, 20, 25, 31, 40, 52, 60)
]
SMALL = "18x25mm"  # 213x295 pixels: the demo's head is 157 pixels high
LEVEL = 4.0  # degrees: the eyes in a photo, as the head finder sees them once more
EYES_OFF = 0.2  # of the eyes' distance: from where another face finder has them
HEAD_SLACK, EYES_SLACK = 0.05, 0.02  # of the photo's height
EYES, APART = (320, 124), 44.0  # pixels: the demo's eyes' middle, and how far they are apart


@pytest.fixture(scope="module")
def finder() -> Iterator[HeadFinder]:
    if not (engines_folder() / "head.onnx").is_file():
        pytest.skip("no trained head finder in this checkout")
    with closing(load_head_finder(1)) as found:
        yield found


@pytest.fixture(scope="module")
def networks(finder: HeadFinder) -> Iterator[Bshm]:
    with load_bshm("quality", cpu_runtime(), 1) as wide:
        yield wide


@pytest.fixture(scope="module")
def portrait_photo() -> np.ndarray:
    """An astronaut's official portrait before a drawn room: the first frame of the demo."""
    with closing(VideoFile(demo_clip())) as clip:
        return next(iter(clip)).image.copy()


class Run:
    def __init__(self, folder: Path, networks: Bshm, finder: HeadFinder) -> None:
        self.folder, self.networks, self.finder = folder, networks, finder
        self.outcomes: list[Outcome] = []

    def __call__(self, picture: np.ndarray | Path, size: str = SMALL, **options: object) -> int:
        path = picture
        if isinstance(picture, np.ndarray):
            path = self.folder / "in.png"
            cv2.imwrite(str(path), picture)
        task = IdTask(self.folder / "out", find(size), **options)
        check_id(task)
        make = Photographer(self.networks, self.networks, self.finder, task)
        self.outcomes.append(make(Item(str(path), "in")))
        error = self.outcomes[-1].error
        return error.exit_code if error else 0

    def refused(self, picture: np.ndarray, reason: str, **options: object) -> None:
        assert self(picture, **options) == SourceError.exit_code
        error = self.outcomes[-1].error
        assert isinstance(error, SourceError)
        assert reason in str(error)
        assert "\n" not in str(error)
        assert self(picture, force=True, **options) == 0
        assert isinstance(self.outcomes[-1], IdOutcome)
        assert reason in str(self.outcomes[-1])


@pytest.fixture
def run(tmp_path: Path, networks: Bshm, finder: HeadFinder) -> Run:
    return Run(tmp_path, networks, finder)


def test_the_demo_s_head_is_found(finder: HeadFinder, portrait_photo: np.ndarray) -> None:
    (head,) = finder(portrait_photo)
    seen = {"eyes": head.eyes.mean(0), "nose": head.nose, "mouth": head.mouth.mean(0)}
    known = {"eyes": EYES, "nose": (318, 146), "mouth": (318, 167)}
    for part, place in known.items():
        assert np.abs(seen[part] - place).max() < 8, part
    assert head.length == pytest.approx(157, abs=15)
    assert abs(head.tilt) < 5


def test_photo_and_sheet(run: Run, portrait_photo: np.ndarray, finder: HeadFinder) -> None:
    options = {"background": "blue", "paper": PAPERS["6in"]}
    assert run(portrait_photo, **options) == 0, run.outcomes
    photo, sheet = (opened(file) for file in run.outcomes[-1].files)
    assert (photo.size, photo.info["dpi"]) == ((213, 295), (300, 300))
    assert sheet.size in ((1800, 1200), (1200, 1800))
    assert sheet.info["dpi"] == (300, 300)
    assert np.abs(np.array(photo)[3, 3].astype(int) - [67, 142, 219]).max() <= 3
    measured(run.outcomes[-1], finder)


def opened(file: Path) -> Image.Image:
    with Image.open(file) as image:
        image.load()
        return image


def measured(outcome: Outcome, finder: HeadFinder) -> None:
    """Head height, eye line and level eyes, once more in the finished file."""
    assert isinstance(outcome, IdOutcome)
    assert outcome.size is not None
    high = outcome.size.printed[1]
    picture = cv2.imread(str(outcome.files[0]))
    tall = picture.shape[0]
    head = finder(picture)[0]
    eyes = 1 - head.eyes[:, 1].mean() / tall
    assert eyes == pytest.approx(outcome.eyes / high, abs=EYES_SLACK)
    crown = np.flatnonzero((np.abs(picture.astype(int) - picture[2, 2]).max(2) > 60).any(1))[0]
    assert (head.chin[1] - crown) / tall == pytest.approx(outcome.head / high, abs=HEAD_SLACK)
    assert abs(head.tilt) < LEVEL
    assert head.middle[0] / picture.shape[1] == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("name", PORTRAITS)
def test_portraits(shared: Path, run: Run, finder: HeadFinder, name: str) -> None:
    code = run(shared / "data" / name, "CN-1", background="blue", force=True)
    assert code == 0, run.outcomes
    outcome = run.outcomes[-1]
    (face,) = json.loads((shared / "data" / "faces.json").read_text())[name]
    eyes = np.array(face["eyes"])
    head = finder(cv2.imread(str(shared / "data" / name)))[0]
    assert np.abs(head.eyes - eyes).max() < EYES_OFF * np.linalg.norm(eyes[1] - eyes[0])
    with Image.open(outcome.files[0]) as image:
        assert (image.size, image.info["dpi"]) == ((295, 413), (300, 300))
    measured(outcome, finder)


# --- refused, each a real picture made to be so -----------------------------------------------


def turned_by(picture: np.ndarray, degrees: float) -> np.ndarray:
    height, width = picture.shape[:2]
    matrix = cv2.getRotationMatrix2D((320, 150), degrees, 1)
    return cv2.warpAffine(picture, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)


def to_the_side(picture: np.ndarray, degrees: float) -> np.ndarray:
    """The demo's head as an ellipsoid with a nose before it, turned about its own axis."""
    y, x = np.mgrid[: picture.shape[0], : picture.shape[1]].astype(np.float32)
    u, v = (x - EYES[0]) / APART, (y - EYES[1]) / APART - 0.45
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    came_from = u.copy()
    for _ in range(30):  # until it is where this pixel's part of the head was
        skull = 1.35 * np.sqrt(np.maximum(1 - (came_from / 1.55) ** 2 - (v / 2.2) ** 2, 0))
        nose = 0.55 * np.exp(-((came_from / 0.22) ** 2) - ((v - 0.1) / 0.3) ** 2)
        came_from += 0.5 * (u - came_from * cos - (skull + nose - 0.81) * sin)
    inside = np.clip((1.15 - np.hypot(u / 1.7, v / 2.4)) / 0.15, 0, 1)
    moved = x + (came_from - u) * inside * APART
    return cv2.remap(picture, moved.astype(np.float32), y, cv2.INTER_LINEAR)


def eyes_bent(picture: np.ndarray, degrees: float) -> np.ndarray:
    """The demo's eyes and brows fall to the right, its mouth stays."""
    y, x = np.mgrid[: picture.shape[0], : picture.shape[1]].astype(np.float32)
    near = np.clip(1 - np.abs(y - EYES[1]) / (0.9 * APART), 0, 1)
    near = near**2 * (3 - 2 * near) * np.clip(1.6 - np.abs(x - EYES[0]) / APART, 0, 1)
    moved = y - np.tan(np.radians(degrees)) * (x - EYES[0]) * near
    return cv2.remap(picture, x, moved.astype(np.float32), cv2.INTER_LINEAR)


def test_nobody(run: Run, portrait_photo: np.ndarray) -> None:
    room = np.ascontiguousarray(portrait_photo[:, 460:])
    for force in (False, True):
        assert run(room, force=force) == SourceError.exit_code
        assert "no head found (0)" in str(run.outcomes[-1])


def test_two(run: Run, portrait_photo: np.ndarray) -> None:
    one = portrait_photo[:, 120:470]
    run.refused(np.hstack((one, one)), "2 heads found, 1 is wanted")
    assert run(np.hstack((one, one)), number=2) == 0


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda picture: cv2.resize(picture, None, fx=0.4, fy=0.4), "head too small: "),
        (lambda picture: turned_by(picture, 20), "head tilted by "),
        (lambda picture: eyes_bent(picture, -20), "eyes not level with the mouth: "),
        (lambda picture: to_the_side(picture, -35), "head turned by about "),
        (lambda picture: picture // 5, "too dark: "),
        (lambda picture: cv2.GaussianBlur(picture, (0, 0), 5), "blurred: sharpness 0.0"),
        (lambda picture: picture[70:].copy(), "cut by the picture's upper edge, "),
        (lambda picture: picture[:205].copy(), "cut by the picture's lower edge, "),
        (lambda picture: picture[:, 290:].copy(), "cut by the picture's left edge, "),
    ],
)
def test_refused(run: Run, portrait_photo: np.ndarray, change: object, reason: str) -> None:
    assert callable(change)
    run.refused(change(portrait_photo), reason)


# --- the command ------------------------------------------------------------------------------


def test_the_command(
    tmp_path: Path, portrait_photo: np.ndarray, finder: HeadFinder, capsys: pytest.CaptureFixture
) -> None:
    given, out = tmp_path / "anna.png", tmp_path / "out"
    cv2.imwrite(str(given), portrait_photo)
    words = ["id", "-i", str(given), "-d", str(out), "--size", SMALL, "--bg", "gradient"]
    words += ["--sheet", "5in", "--format", "png", "--threads", "1", "--preset", "balanced"]
    assert main(words) == 0
    assert sorted(path.name for path in out.iterdir()) == ["anna_id.png", "anna_sheet.png"]
    assert "head " in capsys.readouterr().err
    assert main([*words, "--kb", "1-2"]) == 5


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ([], "id: nothing to make a photo of"),
        (["-i", "a.jpg", "--size", "huge"], "--size huge"),
        (["-i", "a.jpg", "--bg", "nothing"], "--bg nothing"),
        (["-i", "a.jpg", "--kb", "5"], "a.jpg: no such file"),
        (["-i", "a.jpg", "--kb", "x"], "--kb x"),
        (["-i", "a.jpg", "--sheet", "a99"], "--sheet a99"),
        (["-i", "a.jpg", "--size", "200x200mm", "--sheet", "6in"], "does not fit"),
    ],
)
def test_what_makes_no_sense_is_one_line(
    words: list[str],
    reason: str,
    finder: HeadFinder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["id", *words]) in (2, 3)
    said = capsys.readouterr().err.strip()
    assert reason in said
    assert "\n" not in said


def test_the_list_names_every_size(capsys: pytest.CaptureFixture) -> None:
    assert main(["id", "--list"]) == 0
    said = capsys.readouterr().out
    assert all(word in said for word in ("CN-1", "295x413", "US-passport", "travel.state.gov"))
