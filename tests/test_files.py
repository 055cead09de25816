"""Names that people's files have, and files that are whole or not there."""

from __future__ import annotations

import errno
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bshm_live import files
from bshm_live.files import (
    NAME_MOST,
    Part,
    camera_device,
    is_file,
    is_folder,
    named_twice,
    own_folder,
    path_of,
    replacing,
    why_unreadable,
    why_unwritable,
    within_name_limit,
    write_whole,
)

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has other names and links")
LATIN_1 = os.fsdecode(b"caf\xe9.jpg")
TEXTS = st.one_of(st.text(), st.text(st.sampled_from("~/.\0\udce9é龠 a:\n"), max_size=300))


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


# Paths


def test_home_is_expanded_and_other_names_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert path_of("~/a.jpg") == tmp_path / "a.jpg"
    assert path_of("~") == tmp_path
    for name in ("~photo.jpg", "12:30.mp4", LATIN_1, "-o", ""):
        assert str(path_of(name)) == str(Path(name))
    (tmp_path / "~").mkdir()
    assert path_of("~") == Path("~"), "a file of that very name"


@posix
def test_where_nobody_knows_a_home_the_name_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    import pwd

    def nobody(key: object) -> None:
        raise KeyError(key)

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    monkeypatch.setattr(pwd, "getpwnam", nobody)
    for text in ("~", "~/a.jpg", "~anna/a.jpg", "~\0"):
        assert str(path_of(text)) == text


@posix
def test_without_a_home_our_folders_are_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    import pwd

    def nobody(key: object) -> None:
        raise KeyError(key)

    assert own_folder("cache").is_absolute()
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    for folder in (own_folder("cache"), own_folder("config")):
        assert why_unreadable(folder / "a") is not None
        with pytest.raises(OSError, match="Not a directory"):
            write_whole(folder / "a", b"")


@given(TEXTS)
def test_no_text_is_too_strange_to_be_looked_at(text: str) -> None:
    path = path_of(text)
    assert not (is_file(path) and is_folder(path))
    assert is_file(path) == (why_unreadable(path) is None)
    camera_device(text)
    assert named_twice([path, path]) == path


@given(TEXTS, st.sampled_from(["", "_alpha.png", "_foreground.png"]))
def test_a_name_is_cut_to_what_a_folder_takes(stem: str, rest: str) -> None:
    cut = within_name_limit(stem, rest)
    assert stem.startswith(cut)
    assert len((cut + rest).encode("utf-8", "surrogateescape")) <= NAME_MOST
    if len((stem + rest).encode("utf-8", "surrogateescape")) <= NAME_MOST:
        assert cut == stem


def test_why_a_file_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    assert why_unreadable(tmp_path / "a") is None
    for path, says in (
        (tmp_path / "none", "no such file"),
        (tmp_path / "a" / "b", "no such file"),
        (tmp_path, "is a folder"),
        (Path(os.devnull), "is not a file"),
        (tmp_path / ("a" * 300), "cannot be read"),
        (Path("a\0b"), "cannot be read"),
    ):
        why = why_unreadable(path)
        assert why is not None
        assert says in why
        assert not is_file(path)


@posix
@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="gives up root's rights")
def test_folders_that_may_not_be_entered(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    (closed / "a.jpg").touch()
    closed.chmod(0)
    tmp_path.chmod(0o755)
    code = (
        "import os, sys; from pathlib import Path; from bshm_live import files;"
        "os.setgid(65534); os.setuid(65534); path = Path(sys.argv[1]);"
        "print(files.is_file(path), files.is_folder(path), files.why_unreadable(path))"
    )
    words = [sys.executable, "-c", code, "closed/a.jpg"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("False False ")
    assert "Permission denied" in done.stdout


@posix
def test_the_same_place_by_other_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path)
    (tmp_path / "other.mp4").symlink_to("a.mp4")
    here = Path("a.mp4")
    for again in ("a.mp4", "./a.mp4", "link/a.mp4", f"{tmp_path}/a.mp4", "other.mp4"):
        assert named_twice([here, Path("b.mp4"), Path(again)]) == Path(again)
    assert named_twice([here, Path("b.mp4"), Path("link/c.mp4")]) is None


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (errno.ENOSPC, "disk full"),
        (errno.EFBIG, "too large"),
        (errno.EROFS, "may not be written; try B"),
        (errno.ENAMETOOLONG, "too long"),
        (errno.EIO, "try B"),
    ],
)
def test_why_a_file_cannot_be_written(number: int, says: str) -> None:
    line = why_unwritable(Path("a.png"), OSError(number, os.strerror(number)), "try B")
    assert says in line
    assert "a.png" in line
    assert "\n" not in line


# Whole files


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")

    def fail_half_way() -> None:
        with replacing(target) as (part,):
            part.write_text("half")
            assert target.read_text() == "old"
            raise OSError("no room")

    with pytest.raises(OSError, match="no room"):
        fail_half_way()
    assert (target.read_text(), names(tmp_path)) == ("old", ["a.txt"])
    write_whole(target, b"new")
    assert (target.read_text(), names(tmp_path)) == ("new", ["a.txt"])


def test_several_files_appear_together(tmp_path: Path) -> None:
    one, two = tmp_path / "1", tmp_path / "2"
    with replacing(one, two) as parts:
        for part in parts:
            part.write_bytes(b"x")
        assert len(set(parts)) == 2
        assert not one.exists()
    assert names(tmp_path) == ["1", "2"]
    (tmp_path / "3").mkdir()
    with pytest.raises(IsADirectoryError), replacing(tmp_path / "4", tmp_path / "3"):
        raise AssertionError("the second cannot be replaced")
    assert names(tmp_path) == ["1", "2", "3"]


@posix
def test_a_new_file_has_the_rights_of_any_other(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    write_whole(tmp_path / "ours", b"")
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "ours")}
    assert len(modes) == 1


@posix
@pytest.mark.parametrize("kind", ["link", "pipe", "folder", "file"])
def test_what_has_a_part_files_name_is_never_touched(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if somebody guesses the random name."""
    monkeypatch.setattr(os, "urandom", bytes)
    victim, trap = tmp_path / "victim", tmp_path / f".bshm-live-{bytes(8).hex()}.part"
    victim.write_text("precious")
    match kind:
        case "link":
            trap.symlink_to(victim)
        case "pipe":
            os.mkfifo(trap)
        case "folder":
            trap.mkdir()
        case "file":
            trap.write_text("precious")
    before = trap.lstat()
    with pytest.raises(FileExistsError):
        write_whole(tmp_path / "out", b"data")
    assert victim.read_text() == "precious"
    assert trap.lstat() == before
    assert not (tmp_path / "out").exists()


@posix
def test_only_files_are_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for target in (tmp_path / "pipe", tmp_path, tmp_path / ("n" * 256), tmp_path / "no" / "a"):
        with pytest.raises(OSError, match=re.escape(str(target)[:40])):
            write_whole(target, b"")
    assert names(tmp_path) == ["pipe"]
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "link").symlink_to(victim)
    write_whole(tmp_path / "link", b"new")
    assert victim.read_text() == "precious"
    assert not (tmp_path / "link").is_symlink()


LEFT_OPEN = """
import os, signal, sys
from pathlib import Path
from bshm_live.files import Part
signal.signal(signal.SIGTERM, signal.default_int_handler)
part = Part(Path(sys.argv[1]))
part.path.write_text("half")
{end}
"""


@posix
@pytest.mark.parametrize(
    "end",
    ["", "sys.exit(3)", "raise ValueError", "os.kill(os.getpid(), signal.SIGTERM)", "del part"],
)
def test_no_end_leaves_a_part(tmp_path: Path, end: str) -> None:
    code = LEFT_OPEN.format(end=end)
    subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a")], capture_output=True, check=False
    )
    assert names(tmp_path) == []


def test_a_part_is_dropped_once_and_never_after_it_was_kept(tmp_path: Path) -> None:
    part = Part(tmp_path / "a", ".mp4")
    assert part.path.name.endswith(".part.mp4")
    part.keep()
    part.drop()
    assert names(tmp_path) == ["a"]
    other = Part(tmp_path / "b")
    other.drop()
    other.path.write_text("somebody else's")
    other.drop()
    assert len(names(tmp_path)) == 2


def test_a_name_that_cannot_be_written_here_is_an_oserror(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ascii_only(self: Path) -> None:
        raise UnicodeEncodeError("ascii", "é", 0, 1, "ordinal not in range")

    monkeypatch.setattr(Path, "stat", ascii_only)
    with pytest.raises(OSError, match="such a name"):
        Part(tmp_path / "é")
    assert files.why_unreadable(tmp_path / "é") is not None
