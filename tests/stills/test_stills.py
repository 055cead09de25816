from __future__ import annotations

import errno
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import FakeEngine, Portrait, fake_networks, portrait
from PIL import Image

from bshm_live.compositing.grading import Wanted, wanted
from bshm_live.errors import EngineError, SettingsError, SinkError, SourceError
from bshm_live.matting.bshm import Bshm
from bshm_live.matting.mirrored import matte_both_ways
from bshm_live.settings import BackgroundSpec, Border, Look, Overlay, parse_background
from bshm_live.stills import read as still_input
from bshm_live.stills.cut import (
    box_hint,
    crop_to_person,
    cut_out,
    enlarged,
    matte_still,
    parse_box,
    scribble_hint,
)
from bshm_live.stills.files import Cutter, Outcome, Task, check_task
from bshm_live.stills.read import listed


@pytest.fixture
def wide() -> Bshm:
    return Bshm(*fake_networks((32, 64)))


@pytest.fixture
def tall() -> Bshm:
    return Bshm(*fake_networks((64, 32)))


class Run:
    """Cuts pictures out into one folder and keeps the outcomes; the first failure is the code."""

    def __init__(self, folder: Path, wide: Bshm, tall: Bshm) -> None:
        self.folder, self.wide, self.tall = folder, wide, tall
        self.outcomes: list[Outcome] = []

    def __call__(self, *inputs: object, **options: object) -> int:
        items, files = listed([str(i) for i in inputs])
        if background := options.pop("background", None):
            options["look"] = Look(background)
        task = Task(self.folder, **options)
        cutter = Cutter(self.wide, self.tall, task, files, check_task(task))
        made = [Outcome(i.where, error=i.error) if i.error else cutter(i) for i in items]
        self.outcomes += made
        return next((outcome.error.exit_code for outcome in made if outcome.error), 0)

    @property
    def files(self) -> list[str]:
        return sorted(p.name for p in self.folder.iterdir())

    def read(self, name: str) -> np.ndarray:
        picture = cv2.imread(str(self.folder / name), cv2.IMREAD_UNCHANGED)
        assert picture is not None
        return picture


@pytest.fixture
def run(tmp_path: Path, wide: Bshm, tall: Bshm) -> Run:
    return Run(tmp_path / "out", wide, tall)


def saved(path: Path, made: Portrait | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), (made or portrait()).picture)
    return path


# --- what is written --------------------------------------------------------------------------


def test_three_files_that_belong_together(tmp_path: Path, run: Run) -> None:
    made = portrait(300, 200)
    assert run(saved(tmp_path / "anna.jpg", made)) == 0
    assert run.files == ["anna_alpha.png", "anna_composite.png", "anna_foreground.png"]
    alpha, front = run.read("anna_alpha.png"), run.read("anna_foreground.png")
    composite = run.read("anna_composite.png")
    assert (alpha.shape, alpha.dtype) == ((200, 300), np.uint8)
    assert front.shape == (200, 300, 3)
    assert composite.shape == (200, 300, 4)
    assert (alpha.min(), alpha.max()) == (0, 255)
    assert np.array_equal(composite[..., 3], alpha)
    assert np.array_equal(composite[..., :3], front)  # straight, not multiplied by alpha
    assert not front[alpha == 0].any()
    assert np.abs(front.astype(int) - made.picture)[alpha == 255].max() < 25  # JPEG
    assert np.abs(alpha / 255.0 - made.alpha).mean() < 0.03


def test_with_stages_the_two_masks_as_well(tmp_path: Path, run: Run, wide: Bshm) -> None:
    made = portrait(300, 200, radius=95)  # near: seen in one look
    assert run(saved(tmp_path / "anna.png", made), stages=True) == 0
    matte = matte_both_ways(wide, made.picture)
    for name, mask in (("coarse", matte.coarse), ("unified", matte.unified)):
        png = run.read(f"anna_{name}.png")
        assert (png.shape, png.dtype) == ((200, 300), np.uint8)
        levels = cv2.resize(mask, (300, 200), interpolation=cv2.INTER_LINEAR) * 255
        assert np.abs(png - levels).max() <= 1.5


def test_over_a_background_the_composite_has_no_alpha(tmp_path: Path, run: Run) -> None:
    made = portrait(300, 200)
    green = parse_background("#00ff00")
    assert run(saved(tmp_path / "anna.png", made), background=green) == 0
    composite, alpha = run.read("anna_composite.png"), run.read("anna_alpha.png")
    front = run.read("anna_foreground.png").astype(np.float64)
    assert composite.shape == (200, 300, 3)
    a = alpha[..., None] / 255.0
    assert np.abs(composite - (a * front + (1 - a) * (0, 255, 0))).max() <= 1


def test_light_and_match_change_the_person_alone(wide: Bshm) -> None:
    made, behind = portrait(), parse_background("#a04010")
    matte = wide.matte(made.picture)
    plain = cut_out(made.picture, matte, behind)
    lit = cut_out(made.picture, matte, behind, wanted=Wanted(light=1.0))
    away = plain["alpha"] == 0
    assert np.array_equal(plain["alpha"], lit["alpha"])
    assert np.array_equal(plain["composite"][away], lit["composite"][away])
    inside = plain["alpha"] == 255
    assert (plain["foreground"] != lit["foreground"]).any(-1)[inside].mean() > 0.9
    assert wanted(80, 0.5, behind) == Wanted(0.8, 0.0)  # a colour is no scene


@pytest.mark.parametrize("crop", [False, True])
def test_what_is_drawn_last_lies_over_the_composite_alone(
    tmp_path: Path, run: Run, crop: bool
) -> None:
    """Also where it is cut to the person: a border is that of the file."""
    logo = tmp_path / "logo.png"
    cv2.imwrite(str(logo), np.full((10, 20, 3), (250, 10, 10), np.uint8))
    behind, picture = parse_background("#00ff00"), saved(tmp_path / "a.png", portrait(300, 200))
    assert run(picture, background=behind, crop=crop) == 0
    names = ("a_composite.png", "a_alpha.png", "a_foreground.png")
    plain, alpha, front = map(run.read, names)
    look = Look(behind, border=Border(5, (9, 90, 190)), overlay=Overlay(logo, "30", "40"))
    assert run(picture, look=look, crop=crop) == 0
    drawn = run.read(names[0])
    assert np.array_equal(alpha, run.read(names[1]))
    assert np.array_equal(front, run.read(names[2]))
    assert (drawn[:5] == (9, 90, 190)).all()
    assert (drawn[:, -5:] == (9, 90, 190)).all()
    assert (drawn[40:50, 30:50] == (250, 10, 10)).all()
    drawn[40:50, 30:50] = plain[40:50, 30:50]
    assert np.array_equal(drawn[5:-5, 5:-5], plain[5:-5, 5:-5])


def test_what_is_drawn_last_needs_a_background(tmp_path: Path, run: Run) -> None:
    with pytest.raises(SettingsError, match="give --bg"):
        run(saved(tmp_path / "a.png"), look=Look(BackgroundSpec("none"), vignette=0.5))


def test_none_is_no_background(wide: Bshm) -> None:
    made = portrait()
    layers = cut_out(made.picture, wide.matte(made.picture), BackgroundSpec("none"))
    assert layers["composite"].shape[2] == 4


def test_blur_takes_the_room_from_the_picture(tmp_path: Path, run: Run) -> None:
    made = portrait(300, 200)
    assert run(saved(tmp_path / "a.png", made), background=parse_background("blur:30")) == 0
    away = run.read("a_alpha.png") == 0
    assert np.abs(run.read("a_composite.png").astype(int) - made.background)[away].max() < 25


def test_tall_pictures_go_through_the_tall_networks(wide: Bshm, tall: Bshm) -> None:
    def shape(width: int, height: int) -> tuple[int, ...]:
        return matte_still(wide, tall, portrait(width, height).picture).alpha.shape

    assert shape(120, 121) == tall.high
    assert shape(120, 120) == wide.high
    assert shape(121, 120) == wide.high


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (1, 40), (500, 7)])
def test_small_and_narrow_pictures(tmp_path: Path, run: Run, size: tuple[int, int]) -> None:
    width, height = size
    cv2.imwrite(str(tmp_path / "a.png"), np.full((height, width, 3), 250, np.uint8))
    assert run(tmp_path / "a.png", stages=True) == 0
    assert run.read("a_alpha.png").shape == (height, width)


def test_an_outcome_is_one_line(tmp_path: Path, run: Run) -> None:
    run(saved(tmp_path / "anna.png"), tmp_path / "none.png")
    good, bad = run.outcomes
    assert "anna_alpha.png" in str(good)
    assert 0.1 < good.person < 0.5
    assert str(bad) == f"{tmp_path / 'none.png'}: no such file; check the path"
    assert not any("\n" in str(outcome) for outcome in run.outcomes)


def test_no_person_is_said(tmp_path: Path, run: Run) -> None:
    cv2.imwrite(str(tmp_path / "dark.png"), np.zeros((40, 60, 3), np.uint8))
    assert run(tmp_path / "dark.png") == 0
    assert "no person" in str(run.outcomes[0])


# --- inputs -----------------------------------------------------------------------------------


def test_a_folder_is_its_pictures_by_name(
    tmp_path: Path, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "in"
    for name in ("b.png", "a.JPG", "deep/c.png", ".hidden.png"):
        saved(folder / name)
    picture = Image.fromarray(portrait().picture)
    for name, kind in (("c.jfif", "JPEG"), ("d.avif", "AVIF"), ("e.gif", "GIF"), ("f.jp2", None)):
        picture.save(folder / name, kind)
    saved(folder / "g.png").rename(folder / "g")
    (folder / "notes.png").write_text("no picture")
    (folder / "z.png").symlink_to("gone.png")
    assert run(folder) == 0
    done = [Path(outcome.source).name for outcome in run.outcomes]
    assert done == ["a.JPG", "b.png", "c.jfif", "d.avif", "e.gif", "f.jp2", "g"]
    skipped = {Path(record.args[0]).name: record.getMessage() for record in caplog.records}
    assert set(skipped) == {"deep", "notes.png", "z.png"}
    assert "a folder" in skipped["deep"]
    assert "not a picture" in skipped["notes.png"]
    assert "not a file" in skipped["z.png"]


def test_a_picture_of_a_folder_that_cannot_be_read_fails_by_name(tmp_path: Path, run: Run) -> None:
    good = saved(tmp_path / "in" / "b.png")
    (tmp_path / "in" / "a.jpg").write_bytes(good.read_bytes()[:-50])
    assert run(tmp_path / "in") == SourceError.exit_code
    assert [outcome.error is None for outcome in run.outcomes] == [False, True]
    assert "a.jpg: broken" in str(run.outcomes[0])


def test_two_of_the_same_name_are_both_kept(tmp_path: Path, run: Run) -> None:
    one, two = saved(tmp_path / "1" / "me.png"), saved(tmp_path / "2" / "ME.png", portrait(90, 60))
    assert run(one, two, one, saved(tmp_path / "me_2.png")) == 0
    names = [Path(outcome.files[0]).name for outcome in run.outcomes]
    assert names == ["me_alpha.png", "ME_2_alpha.png", "me_3_alpha.png", "me_2_2_alpha.png"]
    assert run.read("ME_2_alpha.png").shape == (60, 90)
    assert len(run.files) == 12


def test_a_second_run_replaces_the_first(tmp_path: Path, run: Run) -> None:
    run(saved(tmp_path / "me.png"))
    assert run(saved(tmp_path / "me.png", portrait(90, 60))) == 0
    assert len(run.files) == 3
    assert run.read("me_alpha.png").shape == (60, 90)


def test_an_input_is_never_replaced(tmp_path: Path, run: Run) -> None:
    first = saved(run.folder / "me.png")
    other = saved(run.folder / "me_alpha.png", portrait(90, 60))
    before = other.read_bytes()
    assert run(first, other) == SinkError.exit_code
    assert other.read_bytes() == before
    assert "is an input" in str(run.outcomes[0])
    assert run.outcomes[1].error is None


def test_a_failure_does_not_stop_the_rest(tmp_path: Path, run: Run) -> None:
    (tmp_path / "bad.png").write_bytes(b"no picture")
    code = run(tmp_path / "gone.png", saved(tmp_path / "1.png"), tmp_path / "bad.png")
    assert code == SourceError.exit_code
    assert [outcome.error is None for outcome in run.outcomes] == [False, True, False]
    assert len(run.files) == 3


def test_the_exit_code_is_the_first_failure_s(tmp_path: Path, run: Run) -> None:
    small, large = saved(tmp_path / "s.png", portrait(90, 60)), saved(tmp_path / "l.png")
    box = (100, 0, 50, 50)  # lies in the large one only
    assert run(large, small, tmp_path / "gone.png", box=box) == SettingsError.exit_code
    assert run(tmp_path / "gone.png", small, box=box) == SourceError.exit_code


def refused(run: Run, *inputs: object, **options: object) -> str:
    """The one line of the one failure, for which nothing may be written."""
    assert run(*inputs, **options) == SourceError.exit_code
    assert run.files == []
    (outcome,) = run.outcomes
    assert isinstance(outcome.error, SourceError)
    assert "\n" not in str(outcome)
    return str(outcome)


def test_what_is_no_picture_is_refused(tmp_path: Path, run: Run) -> None:
    for name, data in (("empty.png", b""), ("text.jpg", b"hello"), ("cut.png", b"\x89PNG\r\n")):
        run.outcomes.clear()
        (tmp_path / name).write_bytes(data)
        assert "JPEG or PNG" in refused(run, tmp_path / name)


def test_an_empty_folder_and_a_device_are_refused(tmp_path: Path, run: Run) -> None:
    (tmp_path / "empty").mkdir()
    assert "no picture in this folder" in refused(run, tmp_path / "empty")
    run.outcomes.clear()
    assert "is not a file" in refused(run, os.devnull)


def test_nothing_to_do_is_an_error(run: Run) -> None:
    with pytest.raises(SettingsError):
        run()


# --- addresses --------------------------------------------------------------------------------


def test_the_name_from_an_address_stays_in_the_folder() -> None:
    name = still_input.address_name
    assert name("http://host") == "picture"
    assert name("http://host/..%2F..%2Fpasswd.png") == "passwd"
    assert name("http://host/..") == "picture"
    assert name("http://host/a%00b:c*.jpg") == "a_b_c_"
    assert len(name("http://host/" + "x" * 999)) == still_input.NAME_LONGEST


# --- hints ------------------------------------------------------------------------------------


def test_a_box_is_read() -> None:
    assert parse_box("1,2,30,40") == (1, 2, 30, 40)
    assert parse_box(" 1 , 2, 30 ,40 ") == (1, 2, 30, 40)
    for text in (
        "",
        f"0,0,5,{'9' * 5000}",
        "0,0,5,٣",
        "1,2,3",
        "1,2,3,4,5",
        "-1,0,5,5",
        "0,0,0,5",
        "a,b,c,d",
        "1.5,0,5,5",
    ):
        with pytest.raises(SettingsError, match="x,y,w,h"):
            parse_box(text)


@pytest.mark.parametrize("times", [1, 8])
def test_a_box_is_1_inside_and_0_outside(times: int) -> None:
    hint = box_hint((40 * times, 20 * times, 100 * times, 60 * times), (200 * times, 100 * times))
    assert hint.dtype == np.float32
    height, width = hint.shape
    y, x = (np.indices(hint.shape).T + 0.5).T * np.array([100 / height, 200 / width])[:, None, None]
    inside = (x > 41) & (x < 139) & (y > 21) & (y < 79)
    outside = (x < 39) | (x > 141) | (y < 19) | (y > 81)
    assert np.allclose(hint[inside], 1)
    assert not hint[outside].any()


@pytest.mark.parametrize("box", [(0, 0, 201, 50), (150, 0, 51, 10), (0, 90, 10, 11)])
def test_a_box_out_of_the_picture_is_refused(box: tuple[int, int, int, int]) -> None:
    with pytest.raises(SettingsError, match="200x100"):
        box_hint(box, (200, 100))


def test_thin_strokes_count_in_full() -> None:
    strokes = np.zeros((1000, 2000), np.uint8)
    strokes[500:504, 400:1600] = 255
    hint = scribble_hint(strokes, (4000, 2000))
    assert hint.max() == 1
    assert hint[:, : hint.shape[1] // 6].max() == 0


def test_hints_reach_the_first_network(tmp_path: Path, run: Run, wide: Bshm) -> None:
    made = portrait(200, 100, radius=60)
    picture = saved(tmp_path / "a.png", made)
    strokes = np.zeros((50, 100), np.uint8)
    strokes[:, 50:] = 255
    cv2.imwrite(str(tmp_path / "strokes.png"), strokes)
    masks = []
    for options in ({"box": (100, 0, 100, 100)}, {"scribble": tmp_path / "strokes.png"}):
        assert run(picture, stages=True, **options) == 0
        masks.append(run.read("a_coarse.png").astype(int))
    boxed, scribbled = masks
    plain = enlarged(wide.matte(made.picture).coarse, (200, 100)).astype(int)
    assert np.array_equal(boxed, scribbled)
    assert np.abs(plain - boxed)[:, :95].max() <= 1
    assert (boxed - plain)[5, 170:].min() > 50  # the toy network adds a quarter of the hint


def test_a_scribble_that_does_not_fit(tmp_path: Path, run: Run) -> None:
    picture = saved(tmp_path / "a.png", portrait(200, 100))
    file = tmp_path / "strokes.png"
    cv2.imwrite(str(file), np.full((100, 100), 255, np.uint8))
    assert run(picture, scribble=file) == SettingsError.exit_code
    assert "not the shape" in str(run.outcomes[0])
    cv2.imwrite(str(file), np.zeros((100, 200), np.uint8))
    with pytest.raises(SettingsError, match="all black"):
        run(picture, scribble=file)
    with pytest.raises(SettingsError, match="no such file"):
        run(picture, scribble=tmp_path / "gone.png")
    with pytest.raises(SettingsError, match="one of them"):
        run(picture, scribble=file, box=(0, 0, 5, 5))


# --- alpha of the input, and the crop ---------------------------------------------------------


@pytest.mark.parametrize("ending", [".png", ".webp", ".tif"])
@pytest.mark.parametrize("background", [None, "#808080"])
def test_what_a_picture_itself_cut_away_stays_away(
    tmp_path: Path, run: Run, ending: str, background: str | None
) -> None:
    made = portrait(300, 200)
    own = np.zeros((200, 300), np.uint8)
    own[:, 150:] = 255
    own[100:, 150:] = 100
    hidden = made.picture.copy()
    hidden[own == 0] = (255, 0, 255)
    image = Image.fromarray(np.dstack([hidden[..., ::-1], own]))
    image.save(
        tmp_path / f"a{ending}", **({"lossless": True, "exact": True} if "w" in ending else {})
    )
    assert run(tmp_path / f"a{ending}", background=background and parse_background(background)) == 0
    alpha, front = run.read("a_alpha.png"), run.read("a_foreground.png")
    composite = run.read("a_composite.png")
    assert (alpha <= own).all()
    assert alpha.max() == 255
    assert alpha[100:].max() == 100
    assert not front[own == 0].any()
    gone = composite[own == 0][:, :3]
    assert (gone == (0x80 if background else 0)).all()
    shown = np.abs(front.astype(int) - made.picture)[(own == 100) & (alpha == 100)]
    assert len(shown)
    assert shown.max() <= 1  # straight, though half of it is transparent


def test_a_transparent_background_lies_over_black(tmp_path: Path, run: Run) -> None:
    Image.new("RGBA", (30, 20), (200, 100, 50, 128)).save(tmp_path / "bg.png")
    behind = parse_background(str(tmp_path / "bg.png"))
    assert run(saved(tmp_path / "a.png"), background=behind) == 0
    away = run.read("a_composite.png")[run.read("a_alpha.png") == 0]
    assert (away == (25, 50, 100)).all()


def test_every_layer_is_cropped_to_the_person(tmp_path: Path, run: Run) -> None:
    made = portrait(400, 300)
    assert run(saved(tmp_path / "a.png", made), stages=True) == 0
    whole = {name: run.read(name) for name in run.files}
    assert run(tmp_path / "a.png", stages=True, crop=True) == 0
    rows, columns = np.nonzero(whole["a_alpha.png"] > 25)
    box = (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1)
    margin = round(0.05 * max(box[1] - box[0], box[3] - box[2]))
    top, left = max(0, box[0] - margin), max(0, box[2] - margin)
    for name, layer in whole.items():
        cropped = run.read(name)
        height, width = cropped.shape[:2]
        assert abs(height - (min(300, box[1] + margin) - top)) <= 2
        assert abs(width - (min(400, box[3] + margin) - left)) <= 2
        places = [(y, x) for y in (top - 1, top, top + 1) for x in (left - 1, left, left + 1)]
        found = [layer[max(0, y) :, max(0, x) :][:height, :width] for y, x in places]
        assert any(np.array_equal(cropped, part) for part in found)


def test_specks_do_not_widen_the_crop_and_nobody_is_not_cropped() -> None:
    alpha = np.zeros((300, 400), np.uint8)
    empty = {"alpha": alpha, "composite": np.zeros((300, 400, 4), np.uint8)}
    assert crop_to_person(empty)["composite"].shape == (300, 400, 4)
    alpha[100:200, 150:250] = 255
    alpha[2:5, 3:6] = 255
    cropped = crop_to_person(empty)
    assert cropped["alpha"].shape == (110, 110)
    assert cropped["composite"].shape == (110, 110, 4)
    alpha[10:90, 10:60] = 255  # a second person is one
    assert crop_to_person(empty)["alpha"].shape == (212, 262)


# --- failures on the way out ------------------------------------------------------------------


def test_a_folder_that_cannot_be_made(tmp_path: Path, run: Run) -> None:
    (tmp_path / "file").write_text("")
    run.folder = tmp_path / "file" / "out"
    with pytest.raises(SinkError, match="output_dir"):
        run(saved(tmp_path / "a.png"))


def test_a_full_disk_leaves_nothing_half_written(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = saved(tmp_path / "a.png")
    write, written = Path.write_bytes, []

    def full(path: Path, data: bytes) -> int:
        written.append(path)
        if len(written) == 3:
            write(path, data[:10])
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    assert run(picture) == SinkError.exit_code
    assert run.files == []
    assert "disk full writing" in str(run.outcomes[0])


def test_a_broken_network_is_the_engine_s_error(tmp_path: Path, run: Run) -> None:
    mpn, qun, mrn = fake_networks((32, 64))
    broken = FakeEngine(mrn.inputs, mrn.outputs, lambda feeds: {"alpha": np.float32(np.nan)})
    run.wide = Bshm(mpn, qun, broken)
    assert run(saved(tmp_path / "a.png")) == EngineError.exit_code
    assert run.files == []


def test_a_background_that_cannot_be_read_is_said_at_once(tmp_path: Path, run: Run) -> None:
    (tmp_path / "bg.png").write_bytes(b"no")
    with pytest.raises(SettingsError, match=r"bg\.png"):
        run(saved(tmp_path / "a.png"), background=parse_background(str(tmp_path / "bg.png")))
    assert run.outcomes == []
