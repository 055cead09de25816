"""The command line as a person meets it: exit codes and one line each."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from conftest import TOY, ArraySource, portrait, write_clip

from bshm_live.cli import main
from bshm_live.commands import live
from bshm_live.loop import assemble
from bshm_live.sources.video_file import demo_clip

pytestmark = pytest.mark.usefixtures("toy_engines")
BG = ["--bg", "#00b140"]


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "clip.mp4")


def fails(capsys: pytest.CaptureFixture[str], code: int, *words: object) -> str:
    """Runs the program, which must end with `code` and one line on stderr."""
    assert main([str(word) for word in words]) == code
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("bshm-live: ")
    return lines[0]


def test_video_makes_every_frame_and_its_matte(clip: Path, tmp_path: Path) -> None:
    out, alpha = tmp_path / "out.mp4", tmp_path / "alpha.mkv"
    assert main(["video", str(clip), *BG, "-o", str(out), "--alpha", str(alpha)]) == 0
    for path in (out, alpha):
        with av.open(str(path)) as container:
            assert sum(1 for _ in container.decode(video=0)) == 12
    assert sorted(p.name for p in tmp_path.iterdir()) == ["alpha.mkv", "clip.mp4", "out.mp4"]


def test_live_from_a_file_to_a_file(clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "live.mp4"
    words = [*BG, "--source", str(clip), "--sink", str(out), "--sink", "null", "--frames", "5"]
    assert main([*words, "--size", "128x96", "--stats"]) == 0
    with av.open(str(out)) as container:
        frame = next(container.decode(video=0))
    assert (frame.width, frame.height) == (128, 96)


def test_light_wrap_lights_the_rim_and_nothing_is_lit_by_no_background(
    clip: Path, tmp_path: Path
) -> None:
    def first(*words: str) -> np.ndarray:
        out = tmp_path / "out.mkv"
        assert main(["video", str(clip), "-o", str(out), *words]) == 0
        with av.open(str(out)) as container:
            return next(container.decode(video=0)).to_ndarray(format="bgr24").astype(int)

    white, none = ("--bg", "white"), ("--bg", "none")
    assert (first(*white, "--light-wrap") - first(*white)).max() > 20
    assert np.array_equal(first(*none, "--light-wrap"), first(*none))


@pytest.mark.parametrize(("takes", "fast"), [(1.0, False), (500.0, True)])
def test_a_slow_machine_gets_the_fast_preset(
    takes: float,
    fast: bool,
    clip: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("BSHM_ENGINES")
    monkeypatch.setattr(assemble, "milliseconds", lambda *_: takes)
    words = [*BG, "--source", str(clip), "--sink", "null", "--frames", "2"]
    assert main(words) == 0
    assert ("using --preset fast" in capsys.readouterr().err) == fast
    assert main([*words, "--preset", "balanced"]) == 0
    assert "using --preset fast" not in capsys.readouterr().err


@pytest.mark.parametrize("live", [[], ["--live"]], ids=["loop", "live"])
def test_bench_ends_with_json(capsys: pytest.CaptureFixture[str], live: list[str]) -> None:
    if not demo_clip().is_file():
        pytest.skip("the packaged clip is not there")
    assert main(["bench", "--json", "--size", "320x180", "--frames", "5", *live]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert {"mpn", "qun", "mrn", "composite", "networks", "total"} <= set(result["stages_ms"])
    assert result["frames_per_second"] > 0
    assert 0 < sum(result["stages_cpu_ms"].values()) <= result["cpu_ms"]
    assert result["share_of_typical"] == result["cpu_ms"] / result["typical_cpu_ms"]


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--bg", "office.jpg"], 2, "no such file"),
        (["--bg", "greeen"], 2, "colour"),
        ([*BG, "--size", "1281x720"], 2, "even"),
        ([*BG, "--source", "none.mp4", "--sink", "null"], 3, "none.mp4"),
        ([*BG, "--source", "97", "--sink", "null"], 3, "bshm-live devices"),
        (["video", "none.mp4", "-o", "out.mp4"], 3, "none.mp4"),
        (["video", "CLIP", "-o", "nowhere/out.mp4"], 5, "nowhere"),
        (["video", "CLIP", "-o", "out.xyz"], 5, "xyz"),
        (["image", "-i", "none.jpg", "--preset", "balanced"], 3, "none.jpg"),
    ],
)
def test_bad_input_is_one_line_and_a_code(
    words: list[str],
    code: int,
    says: str,
    clip: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    line = fails(capsys, code, *[clip if w == "CLIP" else w for w in words])
    assert says in line
    assert not (tmp_path / "out.mp4").exists()


def test_a_file_that_is_no_video(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = tmp_path / "notes.mp4"
    text.write_text("hello\n" * 100)
    assert "notes.mp4" in fails(capsys, 3, "video", text, "-o", tmp_path / "out.mp4")
    assert [p.name for p in tmp_path.iterdir()] == ["notes.mp4"]


def test_a_truncated_video_leaves_no_half_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = write_clip(tmp_path / "whole.mp4", 60).read_bytes()
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(whole[: len(whole) // 2])
    assert "broken.mp4" in fails(capsys, 3, "video", broken, "-o", tmp_path / "out.mp4")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["broken.mp4", "whole.mp4"]


def test_no_virtual_camera_gives_the_line_to_type(
    clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if any(Path("/sys/class/video4linux").glob("video*")):
        pytest.skip("this machine has video devices")
    if sys.platform != "linux":
        pytest.skip("the line is for Linux")
    line = fails(capsys, 5, *BG, "--source", clip)
    assert "modprobe v4l2loopback" in line
    assert "exclusive_caps=1" in line


def test_a_wrong_network_is_refused(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "engines"
    shutil.copytree(TOY, folder)
    (folder / "balanced" / "qun.onnx").write_bytes(b"not a network")
    monkeypatch.setenv("BSHM_ENGINES", str(folder))
    line = fails(capsys, 4, *BG, "--source", clip, "--sink", "null")
    assert "qun.onnx" in line


@pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full or a small file system")
def test_a_full_disk_keeps_nothing_half(clip: Path, tmp_path: Path) -> None:
    script = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096));"
        "from bshm_live.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    out = tmp_path / "out.mp4"
    noise = np.random.default_rng(0).integers(0, 255, (144, 256, 3), np.uint8)
    picture = tmp_path / "noise.png"
    cv2.imwrite(str(picture), noise)
    words = ["video", str(clip), "--bg", str(picture), "-o", str(out)]
    done = subprocess.run(
        [sys.executable, "-B", "-c", script, *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 5, done.stderr
    assert "out.mp4" in done.stderr
    assert not [p for p in tmp_path.iterdir() if "out" in p.name]


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert all(word in text for word in ("video", "image", "demo", "bench", "doctor", "engines"))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_video_leaves_nothing_behind(tmp_path: Path, number: int) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 1500)
    words = ["video", str(clip), *BG, "-o", str(tmp_path / "out.mp4")]
    running = subprocess.Popen([sys.executable, "-m", "bshm_live", *words])
    try:
        while len(list(tmp_path.iterdir())) < 2:  # until the part file is there
            assert running.poll() is None
            time.sleep(0.05)
        time.sleep(0.3)
        running.send_signal(number)
        assert running.wait(30) == 130
    finally:
        running.kill()
    assert [p.name for p in tmp_path.iterdir()] == ["clip.mp4"]


def test_a_recording_outlives_its_camera(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = [portrait(256, 144, seed=i).picture for i in range(8)]
    monkeypatch.setattr(live, "open_source", lambda *_: ArraySource(pictures, fail_at=6))
    out = tmp_path / "live.mp4"
    assert main([*BG, "--sink", str(out), "--sink", "null"]) == 3
    with av.open(str(out)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 6


@pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", [["devices"], ["engines", "list"]])
def test_a_full_stdout_is_one_line(words: list[str], unbuffered: str) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "bshm_live", *words],
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 5
    assert done.stderr.splitlines()[-1].startswith("bshm-live: what was printed is lost: ")
    assert "Exception" not in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="pipes break otherwise there")
def test_a_closed_stdout_is_told_by_the_exit_code_alone() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "bshm_live", "devices"],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (5, "")
