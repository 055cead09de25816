"""The command line with the names that people's files have, and with one name for two things."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from conftest import PACKAGE, TOY, portrait, write_clip

from bshm_live.cli import main

pytestmark = [
    pytest.mark.usefixtures("toy_engines"),
    pytest.mark.skipif(sys.platform == "win32", reason="Windows allows fewer names, and no links"),
]
BG = ["--bg", "#00b140"]
NAMES = [
    pytest.param("12:30", id="a colon"),
    pytest.param("~photo", id="a tilde"),
    pytest.param("-rf", id="a dash"),
    pytest.param("a\nb\x1b[31m", id="control characters"),
    pytest.param("100%d %s {x}", id="patterns"),
    pytest.param("龠" * 40, id="CJK"),
    pytest.param(
        os.fsdecode(b"caf\xe9"),
        id="Latin-1",
        marks=pytest.mark.skipif(sys.platform != "linux", reason="names of bytes are Linux's"),
    ),
]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own, which is the working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def clip(folder: Path) -> Path:
    return write_clip(folder / "clip.mp4")


def picture(path: Path) -> Path:
    # OpenCV takes no names that are not UTF-8.
    path.write_bytes(cv2.imencode(".png", portrait().picture)[1].tobytes())
    return path


def frames(path: Path) -> int:
    with av.open(f"file:{path}") as container:
        return sum(1 for _ in container.decode(video=0))


def run(
    *words: str, start: tuple[str, ...] = ("-m", "bshm_live"), **environment: str
) -> subprocess.CompletedProcess[bytes]:
    """The program in a process of its own that has this environment alone."""
    paths = {"PYTHONPATH": str(PACKAGE.parent), "BSHM_ENGINES": str(TOY), "PATH": os.defpath}
    return subprocess.run(
        [sys.executable, *start, *words],
        env={**paths, **environment},
        capture_output=True,
        check=False,
    )


def error_line(capsys: pytest.CaptureFixture[str]) -> str:
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("bshm-live: ")
    assert line.isprintable()
    return line


# Names


@pytest.mark.parametrize("name", NAMES)
def test_any_name_is_an_input_and_an_output(folder: Path, clip: Path, name: str) -> None:
    given, out = folder / f"{name}.mp4", Path(f"./{name}.out.mp4")
    shutil.copy(clip, given)
    assert main(["video", f"./{given.name}", *BG, f"-o./{out}"]) == 0
    assert frames(out) == 12
    live = ["--source", f"./{given.name}", "--sink", f"./{name}.live.mkv", "--frames", "2"]
    assert main([*BG, *live]) == 0
    assert frames(Path(f"{name}.live.mkv")) == 2
    picture(folder / f"{name}.png")
    assert main(["image", "-i", f"./{name}.png", "-d", "out", "--preset", "balanced"]) == 0
    assert (folder / "out" / f"{name}_alpha.png").is_file()
    assert not [found for found in os.listdir(".") if ".part" in found]


@pytest.mark.parametrize("name", NAMES)
def test_any_name_that_is_missing_is_one_line(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, code in (
        (["--source", "CLIP", "--bg", f"./{name}.jpg"], 2),
        ([*BG, "--source", f"./{name}.mp4", "--sink", "null"], 3),
        (["video", f"./{name}.mp4", "-o", "out.mp4"], 3),
        (["image", "-i", f"./{name}.png", "--preset", "balanced"], 3),
    ):
        assert main(words) == code
        assert "no such " in capsys.readouterr().err


@pytest.mark.skipif(sys.platform != "linux", reason="names of bytes are Linux's")
def test_names_without_utf_8(folder: Path, clip: Path) -> None:
    name = os.fsdecode(b"caf\xe9 \xc3\xa9")
    clip.rename(folder / f"{name}.mp4")
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = run("video", f"{name}.mp4", *BG, "-o", f"{name}.out.mp4", **plain)
    assert done.returncode == 0, done.stderr
    assert done.stderr.isascii()
    assert frames(folder / f"{name}.out.mp4") == 12
    missing = run("video", f"{name}.mov", *BG, "-o", "out.mp4", **plain)
    assert missing.returncode == 3, missing.stderr
    assert len(missing.stderr.splitlines()) == 1
    assert run("engines", "list", BSHM_CACHE=name, **plain).returncode == 0


@pytest.mark.parametrize("stem", ["n" * 240, "n" * 251, "龠" * 83], ids=["fits", "long", "CJK"])
def test_long_names_are_cut_where_their_outputs_need_it(folder: Path, stem: str) -> None:
    (folder / "in").mkdir()
    for name in ("a", stem, stem[:-1], "龠龠"):
        picture(folder / "in" / f"{name}.png")
    assert main(["image", "-i", "in", "-d", "out", "--preset", "balanced", "--stages"]) == 0
    found = [name for name in os.listdir("out") if name.endswith(".png")]
    assert len(found) == 4 * 5
    assert {"a_alpha.png", "龠龠_unified.png"} < set(found)
    assert max(len(os.fsencode(name)) for name in found) <= 255
    assert (f"{stem}_foreground.png" in found) == (len(os.fsencode(stem)) == 240)


def test_names_that_no_folder_takes(clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    long = "a" * 300
    for words, code in (
        ([*BG[:1], long, "--source", "clip.mp4", "--sink", "null"], 2),
        ([*BG, "--source", long, "--sink", "null"], 3),
        ([*BG, "--source", "clip.mp4", "--sink", f"{long}.mp4"], 5),
        (["video", "clip.mp4", "-o", f"{long}.mp4"], 5),
        (["image", "-i", long, "--preset", "balanced"], 3),
    ):
        assert main(words) == code
        assert error_line(capsys)
    assert os.listdir(".") == ["clip.mp4"] or sorted(os.listdir(".")) == ["clip.mp4", "results"]


NO_USER = """
import os, pwd, sys
def nobody(key):
    raise KeyError(key)
pwd.getpwuid = pwd.getpwnam = nobody
from bshm_live.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="setup and services are Linux's")
def test_a_user_without_a_name_and_a_home(folder: Path, clip: Path) -> None:
    for words, code in (
        (("video", "clip.mp4", *BG, "-o", "out.mp4"), 0),
        (("doctor",), 0),
        (("engines", "list"), 0),
        (("setup",), 0),
        ((*BG, "--source", "~/clip.mp4", "--sink", "null"), 3),
    ):
        done = run(*words, start=("-c", NO_USER))
        assert done.returncode == code, done.stderr
        assert b"Traceback" not in done.stderr
    assert sorted(os.listdir(".")) == ["clip.mp4", "out.mp4"]
    service = run("service", "install", *BG, start=("-c", NO_USER))
    assert service.returncode == 2
    assert b"set HOME" in service.stderr


def open_to_others(*files: Path) -> bool:
    """Whether another user may read them: libraries load parts of theirs late."""
    os.seteuid(54321)
    try:
        for file in files:
            file.open("rb").close()
    except PermissionError:
        return False
    finally:
        os.seteuid(0)
    return True


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="gives up root's rights")
def test_folders_that_may_not_be_entered(
    folder: Path,
    clip: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not open_to_others(Path(np.__file__), TOY / "manifest.toml"):
        pytest.skip("the libraries or the checkout are closed to other users")
    monkeypatch.setenv("XDG_CONFIG_HOME", "/no/such/folder")
    (folder / "closed").mkdir(mode=0o700)
    shutil.copy(clip, folder / "closed" / "a.mp4")
    picture(folder / "closed" / "a.png")
    picture(folder / "a.png")
    folder.chmod(0o777)
    for words, code in (
        ([*BG, "--source", "closed/a.mp4", "--sink", "null"], 3),
        (["--bg", "closed/a.png", "--source", "clip.mp4", "--sink", "null"], 2),
        (["video", "closed/a.mp4", *BG, "-o", "out.mp4"], 3),
        (["image", "-i", "closed/a.png", "-d", "out", "--preset", "balanced"], 3),
        (["image", "-i", "a.png", "-d", "closed/out", "--preset", "balanced"], 5),
    ):
        assert main(words) == 0  # root may; and what it needs is loaded now
        shutil.rmtree("out", ignore_errors=True)
        capsys.readouterr()
        os.seteuid(54321)
        try:
            assert main(words) == code
        finally:
            os.seteuid(0)
        assert error_line(capsys)


# One name for two things


@pytest.mark.parametrize("again", ["o.mp4", "./o.mp4", "link/o.mp4", "other.mp4"])
def test_an_output_that_is_given_twice_is_refused(
    folder: Path, clip: Path, again: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "link").symlink_to(folder)
    (folder / "other.mp4").symlink_to("o.mp4")
    before = sorted(os.listdir("."))
    for words in (
        ["video", "clip.mp4", *BG, "-o", "o.mp4", "--alpha", again],
        ["video", "clip.mp4", *BG, "-o", "x.mp4", "--alpha", "o.mp4", "--foreground", again],
        [*BG, "--source", "clip.mp4", "--sink", "o.mp4", "--sink", again],
    ):
        assert main(words) == 2
        assert "is given twice" in error_line(capsys)
    assert sorted(os.listdir(".")) == before


def test_an_input_is_never_replaced(
    folder: Path, clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "link.mp4").symlink_to("clip.mp4")
    before = clip.read_bytes()
    for words in (
        ["video", "clip.mp4", *BG, "-o", "./clip.mp4"],
        ["video", "link.mp4", *BG, "-o", "clip.mp4"],
        ["video", "clip.mp4", *BG, "-o", "x.mp4", "--alpha", "link.mp4"],
        [*BG, "--source", "clip.mp4", "--sink", "link.mp4"],
        ["demo", "--bg", "clip.mp4", "-o", "clip.mp4"],
    ):
        assert main(words) == 2
        assert "would be replaced" in error_line(capsys)
    assert clip.read_bytes() == before
    assert sorted(os.listdir(".")) == ["clip.mp4", "link.mp4"]


def test_two_runs_with_one_output_are_each_whole(folder: Path) -> None:
    write_clip(folder / "clip.mp4", 60)
    words = [sys.executable, "-m", "bshm_live", "video", "clip.mp4", "-o", "o.mp4"]
    runs = [
        subprocess.Popen([*words, "--bg", bg], stderr=subprocess.PIPE) for bg in ("red", "blue")
    ]
    for running in runs:
        _, said = running.communicate(timeout=100)
        assert running.returncode == 0, said
    assert frames(folder / "o.mp4") == 60
    assert sorted(os.listdir(".")) == ["clip.mp4", "o.mp4"]


def test_links_and_pipes_beside_the_output_are_left_alone(folder: Path, clip: Path) -> None:
    (folder / "victim").write_text("precious")
    before = ["clip.mp4", "p.png", "victim"]
    picture(folder / "p.png")
    for name in (".o.part.mp4", ".p_alpha.png.part", ".o.mp4.part"):
        (folder / name).symlink_to("victim")
        before.append(name)
    os.mkfifo(folder / ".f.part.mp4")
    (folder / ".d.part.mp4").mkdir()
    for name in ("o", "f", "d"):
        assert main(["video", "clip.mp4", *BG, "-o", f"{name}.mp4"]) == 0
        assert frames(Path(f"{name}.mp4")) == 12
        assert not Path(f"{name}.mp4").is_symlink()
    assert main(["image", "-i", "p.png", "-d", ".", "--preset", "balanced"]) == 0
    assert (folder / "victim").read_text() == "precious"
