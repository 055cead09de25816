"""The preset `official`: what a network stored by `engines import` makes of pictures and films."""

import hashlib
from pathlib import Path

import av
import cv2
import numpy as np
import onnx
import pytest
from conftest import portrait, write_clip
from onnx import TensorProto, helper

from bshm_live.cli import main
from bshm_live.control.desk import Wish
from bshm_live.control.words import changed
from bshm_live.errors import EngineError, SettingsError
from bshm_live.matting.official import INPUT, LONGEST, OUTPUT, SOLID, Official
from bshm_live.runtimes.official import load_official, network_path, note_path
from bshm_live.settings import BackgroundSpec, Look, Networks

FLOOR, GAIN = 60.0, 2.0  # the twin's alpha: (red - FLOOR) GAIN, in levels up to SOLID


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's data folder."""
    folder = tmp_path / "data"
    monkeypatch.setenv("BSHM_DATA", str(folder))
    return folder


@pytest.fixture
def twin(data: Path) -> Path:
    """A network with the release's names, sizes and ranges: what is bright is a person."""
    constants = {"floor": FLOOR, "gain": GAIN, "none": 0.0, "solid": SOLID}
    nodes = [
        helper.make_node("Constant", [], [name], value_float=value)
        for name, value in constants.items()
    ]
    nodes += [
        helper.make_node("Constant", [], ["red"], value_int=0),
        helper.make_node("Gather", [INPUT, "red"], ["plane"], axis=2),
        helper.make_node("Sub", ["plane", "floor"], ["above"]),
        helper.make_node("Mul", ["above", "gain"], ["steep"]),
        helper.make_node("Clip", ["steep", "none", "solid"], [OUTPUT]),
    ]
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in ((INPUT, ["h", "w", 3]), (OUTPUT, ["h", "w"]))
    ]
    graph = helper.make_graph(nodes, "twin", values[:1], values[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    content = onnx.load_from_string(model.SerializeToString()).SerializeToString()
    data.mkdir()
    network_path().write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    note_path().write_text(f'sha256 = "{digest}"\ngraph_sha256 = "0"\nmade_with = "a test"\n')
    return network_path()


@pytest.mark.parametrize("size", [(320, 180), (181, 303), (7, 5)])
def test_solid_alpha_becomes_one_and_the_foreground_the_person_s_own(
    twin: Path, size: tuple[int, int]
) -> None:
    _, official = load_official()
    scene = portrait(*size, soft=3)
    matte = official.matte(scene.picture)
    official.close()
    assert all(side % 4 == 0 for side in matte.alpha.shape)
    assert matte.alpha.shape == official.high
    if min(size) < 100:
        return
    assert (matte.alpha.min(), matte.alpha.max()) == (0, 1)
    assert np.abs(matte.alpha - cv2.resize(scene.alpha, matte.alpha.shape[::-1])).mean() < 0.03
    low = matte.residual.shape[1::-1]
    small, person, share = (
        cv2.resize(part.astype(np.float32), low, interpolation=cv2.INTER_AREA)
        for part in (scene.picture, scene.foreground, scene.alpha)
    )
    soft = (share > 0.3) & (share < 0.95)
    before, after = small - person, small + 255 * matte.residual - person
    assert np.abs(after)[soft].mean() < 0.25 * np.abs(before)[soft].mean()


def test_a_large_picture_is_made_smaller_for_it(twin: Path) -> None:
    _, official = load_official()
    assert official.matte(np.zeros((30, 4321, 3), np.uint8)).alpha.shape == (12, LONGEST)


def test_pictures_films_and_products(twin: Path, tmp_path: Path) -> None:
    scene = portrait(300, 200)
    cv2.imwrite(str(tmp_path / "anna.png"), scene.picture)
    out = tmp_path / "out"
    words = ["--preset", "official", "-d", str(out)]
    assert main(["image", "-i", str(tmp_path / "anna.png"), "--bg", "lime", *words]) == 0
    made = cv2.imread(str(out / "anna_composite.png")).astype(int)
    share = scene.alpha[..., None]
    known = share * scene.foreground + (1 - share) * np.array([0, 255, 0])
    assert np.abs(made - known).mean() < 2
    assert (cv2.imread(str(out / "anna_alpha.png"), 0)[95:105, 145:155] == 255).all()
    assert main(["product", "-i", str(tmp_path / "anna.png"), *words]) == 0
    assert cv2.imread(str(out / "anna_product.jpg")).shape == (800, 800, 3)
    clip, film = write_clip(tmp_path / "clip.mp4", 3), tmp_path / "film.mkv"
    arguments = ["video", str(clip), "-o", str(film), "--bg", "lime", "--preset", "official"]
    assert main(arguments) == 0
    with av.open(str(film)) as container:
        frames = [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]
    assert len(frames) == 3
    assert np.abs(frames[0][0, 0].astype(int) - (0, 255, 0)).max() <= 3
    assert frames[0][72, 80].min() > 150


def fails(capsys: pytest.CaptureFixture[str], code: int, *words: str) -> str:
    assert main(list(words)) == code
    (line,) = capsys.readouterr().err.splitlines()
    return line


IMAGE = ("image", "-i", "a.png", "--preset", "official")


def test_before_the_import_one_line_says_what_to_type(capsys: pytest.CaptureFixture[str]) -> None:
    assert "engines import tf_graph.pb" in fails(capsys, EngineError.exit_code, *IMAGE)
    assert main(["engines", "list"]) == 0
    assert "not imported" in capsys.readouterr().out


def test_a_file_that_is_another_one_now_is_refused(
    twin: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["engines", "list"]) == 0
    assert str(twin) in capsys.readouterr().out
    twin.write_bytes(twin.read_bytes() + b"\0")
    assert "sha256" in fails(capsys, EngineError.exit_code, *IMAGE)
    note_path().write_text("nothing")
    assert "damaged" in fails(capsys, EngineError.exit_code, *IMAGE)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--bg", "blur", "--preset", "official"], "live takes one of fast, balanced, quality"),
        (["bench", "--preset", "official"], "live takes one of fast"),
        ([*IMAGE, "--box", "1,1,2,2"], "--box"),
        ([*IMAGE, "--stages"], "--stages"),
        (["engines", "import"], "tf_graph.pb"),
        (["engines", "list", "x.pb"], "no file"),
        (["engines", "import", "none.pb"], "no such file"),
    ],
)
def test_what_makes_no_sense_is_one_line(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert says in fails(capsys, SettingsError.exit_code, *words)


def test_a_running_program_refuses_it() -> None:
    wish = Wish(Look(BackgroundSpec("none")), Networks())
    with pytest.raises(SettingsError, match="live takes one of"):
        changed(wish, {"preset": "official"})


def test_other_runtimes_are_refused(twin: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = fails(capsys, EngineError.exit_code, *IMAGE, "--runtime", "openvino")
    assert "onnxruntime" in line


def test_one_that_says_nothing_sound_is_refused() -> None:
    class Wrong:
        def __init__(self) -> None:
            self.inputs, self.outputs = {}, {}

        def run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            return {OUTPUT: np.full(feeds[INPUT].shape[:2], np.nan, np.float32)}

        def close(self) -> None:
            pass

    with pytest.raises(EngineError, match="not a number"):
        Official(Wrong()).matte(np.zeros((8, 8, 3), np.uint8))
