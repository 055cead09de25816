"""The evaluation: its errors against plain formulas, its command on clips made here."""

from __future__ import annotations

from collections import deque
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import portrait
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bshm_live.errors import SourceError
from tools.evaluate import foreground, metrics, pictures
from tools.evaluate.__main__ import main
from tools.evaluate.clips import read_clips
from tools.evaluate.networks import REFERENCE, Rival, median_times
from tools.evaluate.report import ratio

WIDTH, HEIGHT, FRAMES = 96, 64, 4

# Few levels, so that regions form and thresholds are hit exactly; then any level.
LEVELS = st.one_of(st.sampled_from([0, 51, 102, 128, 153, 255]), st.integers(0, 255))
ALPHAS = arrays(np.uint8, (9, 11), elements=LEVELS).map(lambda a: a / np.float32(255))


# The errors once more, one pixel after the other.


def plain_gradient(alpha: np.ndarray) -> np.ndarray:
    radius = 5  # ceil(3 * 1.4)
    steps = range(-radius, radius + 1)
    smooth = {d: np.exp(-(d**2) / (2 * 1.4**2)) for d in steps}
    kernel = {(y, x): smooth[y] * x * smooth[x] for y in steps for x in steps}
    norm = np.sqrt(sum(value**2 for value in kernel.values()))
    wide = np.pad(alpha.astype(np.float64), radius, mode="reflect")
    h, w = alpha.shape

    def part(y: int, x: int) -> np.ndarray:
        return wide[radius + y : radius + y + h, radius + x : radius + x + w]

    along = sum(k / norm * part(y, x) for (y, x), k in kernel.items())
    down = sum(k / norm * part(x, y) for (y, x), k in kernel.items())
    return np.sqrt(along**2 + down**2)


def flooded(mask: np.ndarray, y: int, x: int) -> set[tuple[int, int]]:
    """The pixels of a mask that can be reached from one by its four neighbours."""
    region, queue = {(y, x)}, deque([(y, x)])
    while queue:
        y, x = queue.popleft()
        for near in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            inside = all(0 <= i < n for i, n in zip(near, mask.shape, strict=True))
            if inside and mask[near] and near not in region:
                region.add(near)
                queue.append(near)
    return region


def plain_connectivity(alpha: np.ndarray, truth: np.ndarray) -> float:
    level = np.full(alpha.shape, -1.0)
    for step in range(1, 11):
        bound = np.float32(step / 10)
        mask = (alpha >= bound) & (truth >= bound)
        best: set[tuple[int, int]] = set()
        for y, x in np.argwhere(mask):
            if (y, x) not in best:
                region = flooded(mask, int(y), int(x))
                best = region if len(region) > len(best) else best
        for place in np.ndindex(alpha.shape):
            if level[place] == -1 and place not in best:
                level[place] = (step - 1) / 10
    level[level == -1] = 1
    total = 0.0
    for a, t, at in zip(alpha.ravel(), truth.ravel(), level.ravel(), strict=True):
        first, second = (d if d >= np.float32(0.15) else 0.0 for d in (a - at, t - at))
        total += abs(float(first) - float(second))
    return total / 1e3


@given(ALPHAS, ALPHAS)
@settings(max_examples=40, deadline=None)
def test_mad_mse_and_change_are_their_formulas(a: np.ndarray, b: np.ndarray) -> None:
    x, y = a.astype(np.float64), b.astype(np.float64)
    assert metrics.mad(a, b) == pytest.approx(1e3 * np.abs(x - y).mean(), rel=1e-4, abs=1e-9)
    assert metrics.mse(a, b) == pytest.approx(1e3 * ((x - y) ** 2).mean(), rel=1e-4, abs=1e-9)
    right = 1e2 * np.sqrt((((x - y[::-1]) - (y - x[::-1])) ** 2).mean())
    found = metrics.change_error((a, b), (b[::-1], a[::-1]))
    assert found == pytest.approx(right, rel=1e-4, abs=1e-9)


@given(ALPHAS, ALPHAS)
@settings(max_examples=25, deadline=None)
def test_gradient_error_is_its_formula(a: np.ndarray, b: np.ndarray) -> None:
    right = ((plain_gradient(a) - plain_gradient(b)) ** 2).sum() / 1e3
    assert metrics.gradient_error(a, b) == pytest.approx(right, rel=1e-3, abs=1e-7)


@given(ALPHAS, ALPHAS)
@settings(max_examples=60, deadline=None)
def test_connectivity_error_is_its_formula(a: np.ndarray, b: np.ndarray) -> None:
    right = plain_connectivity(a, b)
    assert metrics.connectivity_error(a, b) == pytest.approx(right, rel=1e-4, abs=1e-7)


def test_connectivity_blames_what_floats_free() -> None:
    truth = np.zeros((20, 20), np.float32)
    truth[5:15, 2:10] = 1
    fatter, floating = truth.copy(), truth.copy()
    fatter[5:15, 10:12] = 0.1  # a faint rim, connected
    floating[5:15, 15:17] = 1
    assert metrics.connectivity_error(truth, truth) == 0
    assert metrics.connectivity_error(fatter, truth) == 0
    assert metrics.connectivity_error(floating, truth) == pytest.approx(20 / 1e3)


def test_scores_measure_change_inside_a_clip_only() -> None:
    black, white = np.zeros((4, 4), np.float32), np.ones((4, 4), np.float32)
    scores = metrics.Scores()
    for clip, alphas in {"a": [black, black], "b": [white, white, white]}.items():
        scores.start(clip)
        for alpha in alphas:
            scores.add(alpha, black)
    assert scores.values["dtSSD"] == [0, 0, 0]
    assert scores.mean("MAD") == pytest.approx(600)
    assert scores.mad_of == {"a": [0, 0], "b": [1000, 1000, 1000]}


def test_blur_fusion_gives_back_the_colour_that_was_mixed() -> None:
    one = portrait(soft=14)
    alpha = np.rint(one.alpha * 255).astype(np.uint8)
    soft = foreground.soft_places(alpha)
    true = foreground.at(one.foreground, soft)
    fused = foreground.at(foreground.blur_fusion(one.picture, alpha), soft)
    mixed = foreground.at(one.picture, soft)
    assert np.abs(fused - true).mean() < np.abs(mixed - true).mean() / 4


def test_colour_errors_of_f_is_i_are_their_formula() -> None:
    """alpha (I - F) = alpha (1 - alpha) (B - F) before rounding."""
    one = portrait(soft=14)
    alpha = np.rint(one.alpha * 255).astype(np.uint8)
    composite = foreground.Composite(one.picture, alpha, one.foreground)
    a = alpha / 255
    band = (a > 0.02) & (a < 0.98)
    far = np.abs(one.background.astype(float) - one.foreground)
    right = (a * (1 - a))[..., None] * far
    found = foreground.colour_errors(iter([composite]), {})
    assert found["F = I"] == pytest.approx(right[band].mean(), abs=0.5)
    assert "blur fusion, radius 90, then 6" in found


def test_a_composite_is_its_photograph_where_alpha_is_full() -> None:
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 256, (60, 60, 3)).astype(np.uint8)
    alpha = np.zeros((60, 60), np.uint8)
    alpha[20:, 10:50] = 255
    alpha[20:, 8:10] = 100
    cut, matte = foreground.framed(photo, alpha)
    assert cut.shape == (45, 60, 3)
    assert (matte[:5] == 0).all()
    room = np.full((30, 90, 3), 7, np.uint8)
    one = foreground.compose(cut, matte, room)
    assert np.array_equal(one.picture[matte == 255], cut[matte == 255])
    assert (one.picture[matte == 0] == 7).all()


def test_the_difference_is_red_where_room_is_kept_and_blue_where_person_is_lost() -> None:
    alpha, truth = np.array([[1, 0, 0.5]], np.float32), np.array([[0, 1, 0.5]], np.float32)
    assert pictures.difference(alpha, truth)[0].tolist() == [[0, 0, 255], [255, 0, 0], [255] * 3]


def test_ratio_reads_as_a_share() -> None:
    assert ratio(5.0, 100.0) == "1/20.0"
    assert ratio(180.0, 100.0) == "1.8"
    assert ratio(5.0, None) == "-"


def write_video(path: Path, code: str, frames: list[np.ndarray]) -> None:
    size = frames[0].shape[1::-1]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*code), 25, size)
    assert writer.isOpened(), f"OpenCV cannot write {code} here"
    for frame in frames:
        writer.write(frame)
    writer.release()


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """Two clips of a moving disc that the toy networks take for a person."""
    folder = tmp_path / "eval"
    folder.mkdir()
    for name, speed in (("one", 2), ("two", 5)):
        shots = [
            portrait(WIDTH, HEIGHT, centre=(40 + speed * n, 30), radius=20) for n in range(FRAMES)
        ]
        write_video(folder / f"{name}.mp4", "mp4v", [shot.picture for shot in shots])
        mattes = [np.rint(shot.alpha * 255).astype(np.uint8) for shot in shots]
        mattes = [cv2.cvtColor(matte, cv2.COLOR_GRAY2BGR) for matte in mattes]
        write_video(folder / f"{name}_alpha.mkv", "FFV1", mattes)
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """One person and two rooms, where the program looks for them: beside the clips."""
    one = portrait(80, 80, soft=10)
    folder = tmp_path / "data"
    for name in ("people", "alpha", "rooms_eval", "rivals"):
        (folder / name).mkdir(parents=True)
    cv2.imwrite(str(folder / "people" / "disc.jpg"), one.picture)
    cv2.imwrite(str(folder / "alpha" / "disc.png"), np.rint(one.alpha * 255))
    for name in ("a", "b"):
        cv2.imwrite(str(folder / "rooms_eval" / f"{name}.jpg"), one.background)
    return folder


def write_rival(path: Path) -> None:
    """A network as RVM is called: its alpha is half the last frame's state and half brightness."""
    onnx = pytest.importorskip("onnx")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    one, three = [1, 32, 48, 1], [1, 32, 48, 3]

    def values(**shapes: list[int]) -> list[object]:
        return [helper.make_tensor_value_info(n, kind, shape) for n, shape in shapes.items()]

    nodes = [
        helper.make_node("ReduceMean", ["src"], ["luma"], axes=[3]),
        helper.make_node("Mul", ["luma", "half"], ["new"]),
        helper.make_node("Mul", ["r1i", "half"], ["old"]),
        helper.make_node("Add", ["new", "old"], ["pha"]),
        *(helper.make_node("Identity", [source], [f"r{n}o"]) for n, source in
          ((1, "luma"), (2, "r2i"), (3, "r3i"), (4, "r4i"))),
    ]  # fmt: skip
    state = {f"r{n}": one for n in range(1, 5)}
    graph = helper.make_graph(
        nodes,
        "rival",
        values(src=three, **{f"{name}i": shape for name, shape in state.items()}),
        values(pha=one, **{f"{name}o": shape for name, shape in state.items()}),
        [onnx.numpy_helper.from_array(np.float32(0.5), "half")],
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), str(path))


def test_clips_are_read_in_order_and_cut_short(clips: Path) -> None:
    assert [clip.name for clip in read_clips(clips)] == ["one", "two"]
    one = read_clips(clips, clips=1, frames=2)
    assert [clip.name for clip in one] == ["one"]
    assert len(one[0].frames) == len(one[0].truth) == 2
    true = portrait(WIDTH, HEIGHT, centre=(40, 30), radius=20).alpha
    assert one[0].truth[0].dtype == np.float32
    assert np.abs(one[0].truth[0] - true).max() <= 1.01 / 255


def test_a_folder_without_clips_says_so(tmp_path: Path, clips: Path) -> None:
    with pytest.raises(SourceError, match="NAME_alpha"):
        read_clips(tmp_path)
    (clips / "one.mp4").unlink()
    with pytest.raises(SourceError, match="0 frames but 4 mattes"):
        read_clips(clips)


def test_a_rivals_state_is_fed_back_and_new_for_each_clip(tmp_path: Path) -> None:
    write_rival(tmp_path / "rvm_288x512.onnx")
    rival = Rival(tmp_path / "rvm_288x512.onnx")
    white = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    for _ in range(2):
        rival.start((WIDTH, HEIGHT))
        means = [float(rival.alphas(white, n)[0].mean()) for n in range(3)]
        assert means == pytest.approx([0.5, 1, 1])
    times = median_times([rival], white, 3)
    assert list(times) == [REFERENCE]
    assert times[REFERENCE] > 0
    assert median_times([rival], white, 0) == {}


def test_of_two_scores_the_second_is_the_person(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [helper.make_node("Slice", ["src", "one", "three", "axis"], ["scores"])],
        "scores",
        [helper.make_tensor_value_info("src", kind, [1, 8, 8, 3])],
        [helper.make_tensor_value_info("scores", kind, [1, 8, 8, 2])],
        [
            onnx.numpy_helper.from_array(np.array([number]), name)
            for name, number in (("one", 1), ("three", 3), ("axis", 3))
        ],
    )
    opset = [helper.make_opsetid("", 17)]
    path = tmp_path / "two.onnx"
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), str(path))
    blue = np.zeros((8, 8, 3), np.uint8)
    blue[..., 0] = 255  # the last channel as the network sees it
    rival = Rival(path)
    assert rival.rows == ("two",)
    assert rival.alphas(blue, 0)[0] == pytest.approx(np.e / (1 + np.e), abs=1e-6)


def rows(text: str) -> dict[str, list[str]]:
    """First cell to the others of every line of every table."""
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    return {cells[0]: cells[1:] for cells in lines}


@pytest.mark.usefixtures("toy_engines")
def test_the_command_compares_everything(
    clips: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_rival(data / "rivals" / "rvm_288x512.onnx")
    out, sheets = tmp_path / "report.md", tmp_path / "sheets"
    words = ["--presets", "balanced", "--rounds", "2", "--composites", "1"]
    main([str(clips), *words, "--pictures", str(sheets), "--out", str(out)])
    text = capsys.readouterr().out
    assert out.read_text("utf-8") == text
    table = rows(text)
    steps = ["balanced: MPN", "balanced: MPN, QUN", "balanced: MPN, QUN, MRN"]
    for row in (*steps, "**balanced**, steadied", REFERENCE):
        assert float(table[row][0]) < 200  # MAD: the disc is found
        assert float(table[row][5]) > 0
        assert len(table[row][7].split(", ")) == 2
    assert table[REFERENCE][6] == "1.0"
    assert table["F = I"][1] == "1.00"
    assert {"**balanced**", "balanced, own alpha too"} < set(table)
    assert "No person, balanced: 2 rooms" in text
    for name in ("one", "two"):
        assert cv2.imread(str(sheets / f"{name}.png")).shape[1] == 3 * WIDTH


@pytest.mark.usefixtures("toy_engines")
def test_the_command_needs_nothing_but_clips(
    clips: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([str(clips), "--presets", "balanced", "--rounds", "0", "--clips", "1", "--frames", "1"])
    text = capsys.readouterr().out
    steadied = rows(text)["**balanced**, steadied"]
    assert steadied[4:7] == ["nan", "-", "-"]  # dtSSD needs two frames
    assert "Foreground: left out" in text
    assert "No person: left out" in text


def test_the_command_ends_with_one_line_on_a_wrong_folder(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="try another folder"):
        main([str(tmp_path)])
    with pytest.raises(SystemExit, match="no such folder"):
        main([str(tmp_path), "--rivals", str(tmp_path / "nothing")])


def test_the_products_steps_agree_on_a_shared_clip(
    shared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The committed fast networks find the person on a real clip; every step is measured."""
    if not (shared / "eval").is_dir():
        pytest.skip("there are no clips in ../shared/eval")
    words = ["--presets", "fast", "--clips", "1", "--frames", "4", "--rounds", "0"]
    main([str(shared / "eval"), *words, "--no-rivals", "--data", str(shared / "nothing")])
    table = rows(capsys.readouterr().out)
    for row in ("fast: MPN", "fast: MPN, QUN", "fast: MPN, QUN, MRN", "**fast**, steadied"):
        assert float(table[row][0]) < 60
