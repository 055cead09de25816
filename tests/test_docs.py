"""What the documents say is so."""

import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

from bshm_live.cli import parse
from bshm_live.control.config import read_config
from bshm_live.control.desk import Wish
from bshm_live.control.words import changed, parse_words
from bshm_live.settings import BackgroundSpec, Look, Networks
from bshm_live.sources.video_file import VideoFile, demo_clip

README = ROOT / "README.md"
KEYS = ROOT / "bshm_live" / "control" / "KEYS.md"
BLOCK = re.compile(r"^ *```(?:sh|bash|shell|console)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
# Written in two parts, so that this file is not a hit itself.
BANNED = ["".join(parts) for parts in (("/wo", "rk/"), ("suba", "gent"), ("sessi", "on of"))]


def shell_lines() -> list[str]:
    """The commands in README's shell blocks, continued lines joined, prompts removed."""
    text = README.read_text("utf-8") if README.is_file() else ""
    joined = "\n".join(BLOCK.findall(text)).replace("\\\n", " ")
    return [line.strip().removeprefix("$ ") for line in joined.splitlines() if line.strip()]


def commands() -> list[str]:
    return [line for line in shell_lines() if line.split()[0] == "bshm-live"]


def test_readme_shows_commands() -> None:
    assert len(commands()) >= 3


@pytest.mark.parametrize("line", commands())
def test_command_in_readme_can_be_typed(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = shlex.split(line, comments=True)
    plain = [word for word in words[1:] if word not in {"|", "&&"}]
    assert plain == words[1:], "the README's commands stand alone"
    try:
        parse(words[1:])
    except SystemExit as leave:  # argparse: --help and --version leave with 0, an error with 2
        assert leave.code == 0, capsys.readouterr().err  # noqa: PT017


@pytest.mark.parametrize("line", [line for line in shell_lines() if "pip install" in line])
def test_extras_in_readme_exist(line: str) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"][
        "optional-dependencies"
    ]
    asked = {name for group in re.findall(r"\[([\w,-]+)\]", line) for name in group.split(",")}
    assert asked <= set(extras)


def test_files_named_in_readme_exist() -> None:
    text = README.read_text("utf-8")
    links = re.findall(r"\]\((?!\w+:)([^)#\s]+)[^)]*\)", text)
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_python_in_readme_runs() -> None:
    """On frames of the packaged clip, with the real networks."""
    (code,) = re.findall(r"^```python\n(.*?)^```", README.read_text("utf-8"), re.M | re.S)
    clip = VideoFile(demo_clip())
    pictures = [frame.image.copy() for _, frame in zip(range(2), clip, strict=False)]
    clip.close()
    shown: list[np.ndarray] = []
    names = {"picture": pictures[0], "office": pictures[1], "video": pictures, "show": shown.append}
    exec(compile(code, str(README), "exec"), names)
    assert names["composite"].shape == pictures[0].shape
    assert names["alpha"].shape == pictures[0].shape[:2]
    assert names["rgba"].shape == (*pictures[0].shape[:2], 4)
    assert [picture.shape for picture in shown] == [picture.shape for picture in pictures]


def test_the_example_of_a_config_file_is_read(tmp_path: Path) -> None:
    (text,) = re.findall(r"^```toml\n(.*?)^```", README.read_text("utf-8"), re.M | re.S)
    file = tmp_path / "config.toml"
    file.write_text(text, "utf-8")
    config = read_config(file)
    assert config.scene("office") == {"bg": "~/Pictures/office.jpg", "mirror": "on"}
    args = parse(["--scene", "office", *config.words(["--scene", "office"])])
    assert (args.control, args.source) == (True, "/dev/video0")


@pytest.mark.parametrize("line", re.findall(r"`(bshm-live [^`]+)`", KEYS.read_text("utf-8")))
def test_commands_for_keys_can_be_typed(line: str) -> None:
    args = parse(shlex.split(line)[1:])
    if args.command == "set":
        words = parse_words(args.words)
        words = {key: value for key, value in words.items() if key not in ("bg", "scene")}
        changed(Wish(Look(BackgroundSpec("none")), Networks()), words)


def tracked_files() -> list[Path]:
    git = shutil.which("git")
    if not git or not (ROOT / ".git").exists():
        pytest.skip("this is not a git checkout")
    done = subprocess.run(
        [git, "-c", "safe.directory=*", "ls-files", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    return [ROOT / name.decode() for name in done.stdout.split(b"\0") if name]


def test_files_speak_of_the_product_alone() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {word}"
        for path in tracked_files()
        if path.is_file()
        for word in BANNED
        if word.encode() in path.read_bytes()
    ]
    assert found == []
