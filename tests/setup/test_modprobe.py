"""Module options: read as the kernel reads them, and added to without a loss."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import SHARED
from hypothesis import given, settings
from hypothesis import strategies as st

from bshm_live.errors import SettingsError
from bshm_live.setup.modprobe import (
    Camera,
    Parameter,
    addition,
    cameras,
    config_files,
    join_words,
    option_lines,
    split_words,
)

OBS = 'devices=1 video_nr=9 card_label="OBS Virtual Camera" exclusive_caps=1'
OBS_CAMERA = Camera(9, "OBS Virtual Camera", True)
OURS = Camera(10, "bshm-live", True)

LABEL = st.text(
    st.characters(codec="utf-8", exclude_characters='",\n\r\t\v\f\0\\', exclude_categories=["C"]),
    max_size=12,
)


@st.composite
def foreign(draw: st.DrawFn) -> list[Parameter]:
    """Options as other programs write them, in several words and lines, some of them twice."""
    count = draw(st.integers(0, 4))
    numbers = draw(st.permutations(range(40)))[:count]
    entries = {
        "video_nr": ",".join(str(number) for number in numbers),
        "card_label": ",".join(draw(st.lists(LABEL, min_size=count, max_size=count))),
        "exclusive_caps": ",".join(draw(st.sampled_from("01YNyn")) for _ in numbers),
        "devices": str(count),
        "max_buffers": str(draw(st.integers(1, 32))),
        "max_width": str(draw(st.integers(640, 8192))),
        "debug": "1",
    }
    names = draw(st.lists(st.sampled_from(sorted(entries)), unique=True))
    if not count:
        names = [name for name in names if name not in ("video_nr", "card_label", "exclusive_caps")]
    return [(name, entries[name]) for name in names]


def last(parameters: list[Parameter]) -> dict[str, str | None]:
    return dict(parameters)


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        ("", []),
        ("a=1  b=2\t", [("a", "1"), ("b", "2")]),
        ('a="one two" b', [("a", "one two"), ("b", None)]),
        ('"a=one two" b=', [("a", "one two"), ("b", "")]),
        ('a=x,"y z" b=1', [("a", 'x,"y z"'), ("b", "1")]),  # inner quotes stay, as in the kernel
        ("video-nr=3 a=b=c", [("video_nr", "3"), ("a", "b=c")]),
    ],
)
def test_words_are_split_as_the_kernel_splits_them(text: str, parameters: list[Parameter]) -> None:
    assert split_words(text) == parameters


@settings(max_examples=50, deadline=None)  # loaded machines are slow
@given(foreign())
def test_what_is_joined_is_split_again(parameters: list[Parameter]) -> None:
    assert split_words(join_words(parameters)) == parameters


def test_a_value_that_cannot_be_written_is_refused() -> None:
    with pytest.raises(SettingsError, match="quotes"):
        join_words([("card_label", 'a b"c d')])


def test_lines_of_one_module_comments_and_continuations() -> None:
    text = (
        "# options v4l2loopback a=1\n"
        "  options\tv4l2loopback b=2 \\\n c=3\n"
        "options v4l2-loopback d=4\noptions other e=5\noptions v4l2loopback\n"
        "# hidden \\\noptions v4l2loopback f=6\nalias options v4l2loopback"
    )
    assert option_lines(text) == ["b=2  c=3"]


def test_modprobe_itself_reads_the_same_lines(tmp_path: Path) -> None:
    program = shutil.which("modprobe", path="/usr/sbin:/sbin:/usr/bin")
    if not program:
        pytest.skip("there is no modprobe")
    folder = tmp_path / "etc" / "modprobe.d"
    folder.mkdir(parents=True)
    texts = {
        "b.conf": f"options v4l2loopback {OBS}\n",
        "a.conf": '# c \\\noptions v4l2loopback no=1\n  options v4l2loopback x="1 2" \\\n y=2\n',
        "c.alias": "options v4l2loopback z=1",
        "d.conf.bak": "options v4l2loopback no=1\n",
        ".e.conf": "options v4l2loopback no=1\n",
        "zz.conf": "options\tv4l2loopback\tlast=1 # no comment\n",
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    done = subprocess.run([program, "-C", folder, "-c"], capture_output=True, text=True, check=True)
    start = "options v4l2loopback "
    theirs = [line[len(start) :] for line in done.stdout.splitlines() if line.startswith(start)]
    ours = [line for path in config_files(tmp_path) for line in option_lines(path.read_text())]
    assert [split_words(line) for line in ours] == [split_words(line) for line in theirs]
    assert len(ours) == 4


def test_the_first_folder_wins_over_the_later(tmp_path: Path) -> None:
    for folder in ("usr/lib/modprobe.d", "etc/modprobe.d"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "obs.conf").touch()
    (tmp_path / "usr/lib/modprobe.d/a.conf").touch()
    found = [str(path.relative_to(tmp_path)) for path in config_files(tmp_path)]
    assert found == ["usr/lib/modprobe.d/a.conf", "etc/modprobe.d/obs.conf"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("max_buffers=4", []),
        (OBS, [OBS_CAMERA]),
        ("exclusive_caps=1", [Camera(-1, "", True)]),
        ("devices=2 video_nr=9", [Camera(9, "", False), Camera(-1, "", False)]),
        ("video_nr=9,12 video_nr=10", [Camera(10, "", False), Camera(12, "", False)]),
        ("video_nr=9,12 devices=1", [Camera(9, "", False)]),
        ("devices=0", []),
    ],
)
def test_cameras_that_the_module_makes(text: str, expected: list[Camera]) -> None:
    assert cameras(split_words(text)) == expected


@pytest.mark.parametrize("text", ["video_nr=nine", "exclusive_caps=2", "devices=x"])
def test_options_that_the_kernel_refuses_are_named(text: str) -> None:
    with pytest.raises(SettingsError, match=text.partition("=")[0]):
        cameras(split_words(text))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", 'video_nr=10 card_label="bshm-live" exclusive_caps=1 max_buffers=4'),
        (
            OBS,
            'devices=2 video_nr=9,10 card_label="OBS Virtual Camera,bshm-live" '
            "exclusive_caps=1,1 max_buffers=4",
        ),
        (
            'video_nr=10 card_label="Mine" max_buffers=8',
            'video_nr=10,11 card_label="Mine,bshm-live" exclusive_caps=0,1',
        ),
        (
            'video_nr=10 card_label="bshm-live" max_buffers=4',
            'video_nr=10 card_label="bshm-live" exclusive_caps=1',
        ),
        ('video_nr=42 card_label="bshm-live" exclusive_caps=Y', ""),
    ],
)
def test_our_camera_is_added(text: str, line: str) -> None:
    assert join_words(addition(split_words(text), "bshm-live")) == line


def test_numbers_of_real_cameras_are_left_alone() -> None:
    assert cameras(addition([], "bshm-live", {10, 11})) == [Camera(12, "bshm-live", True)]


def test_there_is_room_for_eight() -> None:
    full = split_words("video_nr=" + ",".join(str(number) for number in range(8)))
    with pytest.raises(SettingsError, match="8 cameras"):
        addition(full, "bshm-live")


@settings(max_examples=50, deadline=None)  # loaded machines are slow
@given(foreign())
def test_adding_keeps_every_option_and_camera(there: list[Parameter]) -> None:
    added = addition(there, "bshm-live")
    both = [*there, *added]
    before, after = cameras(there), cameras(both)
    assert after[: len(before)] == before
    assert [c.label for c in after[len(before) :]] == ["bshm-live"]
    assert after[-1].exclusive
    numbers = [c.number for c in after if c.number >= 0]
    assert len(set(numbers)) == len(numbers)
    kept = {name: value for name, value in last(there).items() if name not in last(added)}
    assert kept.items() <= last(both).items()
    assert "max_buffers" not in last(there) or "max_buffers" not in last(added)
    assert split_words(join_words(added)) == added


@settings(max_examples=50, deadline=None)  # loaded machines are slow
@given(foreign())
def test_adding_twice_is_adding_once(there: list[Parameter]) -> None:
    assert addition([*there, *addition(there, "bshm-live")], "bshm-live") == []


@pytest.mark.device
@pytest.mark.slow
def test_a_real_kernel_makes_the_cameras_of_both_lines(
    tmp_path: Path, guest: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    module = SHARED / "v4l2" / "modules" / "v4l2loopback.ko"
    words = f"{OBS} {join_words(addition(split_words(OBS), 'bshm-live'))}"
    script = tmp_path / "load.py"
    script.write_text(
        "import os, subprocess\nfrom pathlib import Path\n"
        "subprocess.run(['/usr/sbin/rmmod', 'v4l2loopback'], check=True)\n"
        # init_module(2) takes the line as it stands, as modprobe hands it over.
        "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n"
        f"fd = os.open({str(module)!r}, os.O_RDONLY)\n"
        f"code = libc.syscall(313, fd, {words.encode()!r}, 0)\n"
        "assert code == 0, os.strerror(ctypes.get_errno())\n"
        "for node in sorted(Path('/sys/class/video4linux').glob('video*')):\n"
        "    if (node / 'max_openers').exists():\n"
        "        print('node', node.name, (node / 'name').read_text().strip())\n"
        "parameters = Path('/sys/module/v4l2loopback/parameters')\n"
        "print('caps', (parameters / 'exclusive_caps').read_text()[:3])\n"
    )
    done = guest(tmp_path, "/usr/bin/env", "python3", script, seconds=60)
    assert done.returncode == 0, done.stdout
    lines = sorted(line for line in done.stdout.splitlines() if line.startswith(("node", "caps")))
    expected = ["caps Y,Y", "node video10 bshm-live", "node video9 OBS Virtual Camera"]
    assert lines == expected, done.stdout
