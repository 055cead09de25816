"""`engines import` on a frozen graph like the official release's, by TensorFlow and tf2onnx."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import cv2
import pytest
from conftest import PACKAGE

from bshm_live.cli import main
from bshm_live.errors import EngineError
from bshm_live.runtimes import official_graph
from bshm_live.runtimes.official import imported
from bshm_live.sources.video_file import VideoFile, demo_clip

there = all(map(find_spec, ("tensorflow", "tf2onnx")))
# All imports in one process that has loaded TensorFlow once.
SCRIPT = """
import sys
from bshm_live.cli import main
for path in sys.argv[1:]:
    print("exit code", main(["engines", "import", path]))
"""


def run(*words: object, data: Path) -> str:
    """What it says, stdout and stderr together."""
    ended = subprocess.run(
        [sys.executable, *map(str, words)],
        env={**os.environ, "BSHM_DATA": str(data), "PYTHONPATH": str(PACKAGE.parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout
    return ended.stdout


@pytest.mark.skipif(not there, reason="needs the extra import: TensorFlow and tf2onnx")
@pytest.mark.skipif(not demo_clip().is_file(), reason="the packaged clip is not there")
def test_a_graph_like_the_release_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right, nameless, flat, text = (tmp_path / f"{name}.pb" for name in ("a", "b", "c", "d"))
    run(Path(__file__).with_name("frozen_graph.py"), right, nameless, flat, data=tmp_path)
    text.write_text("no graph at all\n" * 100)
    said = run("-c", SCRIPT, nameless, flat, text, right, data=tmp_path / "data").splitlines()
    refused, done = said[:6], said[6:]
    assert refused[1::2] == [f"exit code {EngineError.exit_code}"] * 3
    for line, path, why in zip(
        refused[::2], (nameless, flat, text), ("output_png", "100%", "no frozen"), strict=True
    ):
        assert f"{path} is not the BSHM release: " in line
        assert why in line
    assert done[-1] == "exit code 0"
    assert len(done) == 4
    monkeypatch.setenv("BSHM_DATA", str(tmp_path / "data"))
    there = imported()
    assert there is not None
    assert there.sha256 in done[1]
    first = next(iter(VideoFile(demo_clip()))).image
    cv2.imwrite(str(tmp_path / "first.png"), first)
    words = ["-i", str(tmp_path / "first.png"), "-d", str(tmp_path / "out")]
    assert main(["image", *words, "--preset", "official"]) == 0
    alpha = cv2.imread(str(tmp_path / "out" / "first_alpha.png"), cv2.IMREAD_GRAYSCALE)
    assert alpha.shape == first.shape[:2]
    assert 0.02 < (alpha > 128).mean() < 0.9


def test_what_is_missing_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    (tmp_path / "a.pb").write_bytes(b"")
    assert main(["engines", "import", str(tmp_path / "a.pb")]) == EngineError.exit_code
    (line,) = capsys.readouterr().err.splitlines()
    assert official_graph.INSTALL in line
