from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bshm_live.cli import main
from bshm_live.errors import SettingsError
from bshm_live.settings import (
    BLUR_MOST,
    Networks,
    check_networks,
    parse_background,
    parse_colour,
    parse_size,
    whole_number,
)
from bshm_live.stills.cut import parse_box


@given(st.integers(32, 2048), st.integers(32, 2048))
def test_even_sizes_are_taken_as_they_are(width: int, height: int) -> None:
    assert parse_size(f"{2 * width}x{2 * height}") == (2 * width, 2 * height)


@pytest.mark.parametrize("text", ["1281x720", "1280x721"])
def test_an_odd_size_names_the_next_even_one(text: str) -> None:
    with pytest.raises(SettingsError, match=r"even; try 128[02]x72[02]"):
        parse_size(text)


@pytest.mark.parametrize("text", ["", "1280", "1280x", "-2x4", "10x10", "99998x4", "axb"])
def test_a_bad_size_is_one_line(text: str) -> None:
    with pytest.raises(SettingsError) as error:
        parse_size(text)
    assert "\n" not in str(error.value)


@given(st.tuples(*[st.integers(0, 255)] * 3))
def test_hex_colours_become_bgr(rgb: tuple[int, int, int]) -> None:
    assert parse_colour("#{:02x}{:02x}{:02x}".format(*rgb)) == rgb[::-1]


def test_css_names_are_colours() -> None:
    assert parse_colour("coral") == (0x50, 0x7F, 0xFF)


@pytest.mark.parametrize("text", ["#12", "no-such-colour", "#gg0000", ""])
def test_an_unknown_colour_says_what_is_possible(text: str) -> None:
    with pytest.raises(SettingsError, match="CSS colour name"):
        parse_background(text)


def test_blur_has_a_default_and_a_strength() -> None:
    assert parse_background("blur").radius > 0
    assert parse_background("blur:7").radius == 7
    for text in ("blur:", "blur:0", f"blur:{BLUR_MOST + 1}", "blur:x"):
        with pytest.raises(SettingsError, match="strength"):
            parse_background(text)


def test_files_are_told_apart_by_their_ending(tmp_path: Path) -> None:
    for name, kind in (("a.JPG", "picture"), ("b.mp4", "video"), ("c", "picture")):
        (tmp_path / name).touch()
        assert parse_background(str(tmp_path / name)).kind == kind


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no such file"):
        parse_background(str(tmp_path / "office.jpg"))


LONG = "9" * 5000


@pytest.mark.parametrize("text", ["²", "٣", LONG, "1_0", " 1", "+1", "1e3", "nan", "", "-"])
def test_what_is_no_number_is_refused_in_one_short_line(text: str) -> None:
    assert whole_number(text) is None
    for parse, typed in (
        (parse_background, f"blur:{text}"),
        (parse_size, f"{text}x64"),
        (parse_size, f"64x{text}"),
        (parse_box, f"1,2,3,{text or 'x'}"),
    ):
        if typed == "1,2,3, 1":
            continue  # spaces may stand around a box's numbers
        with pytest.raises(SettingsError) as error:
            parse(typed)
        assert len(str(error.value)) < 200
        assert "\n" not in str(error.value)


@given(st.integers(-(10**9) + 1, 10**9 - 1))
def test_whole_numbers_are_read(number: int) -> None:
    assert whole_number(str(number)) == number


@pytest.mark.parametrize("threads", [-5, -1, 2000, 10**8])
def test_threads_that_no_machine_has_are_refused(threads: int) -> None:
    with pytest.raises(SettingsError, match="--threads"):
        check_networks(Networks(threads=threads))
    assert check_networks(Networks(threads=2)).threads == 2


@pytest.mark.parametrize(
    "words",
    [
        ["--bg", "blur:²"],
        ["--bg", f"blur:{LONG}"],
        ["--bg", "green", "--size", f"{LONG}x64"],
        ["--bg", "green", "--threads", "99999999999"],
        ["--bg", "green", "--threads", "-5"],
        ["--bg", "green", "--threads", LONG],
        ["--bg", "green", "--frames", "0"],
        ["--bg", "green", "--frames", "-1"],
        ["bench", "--frames", "0"],
        ["bench", "--frames", "two"],
    ],
)
def test_odd_numbers_end_with_one_short_line(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code: object = main(words)
    except SystemExit as leave:  # argparse: how to use it, then the line
        code = leave.code
    assert code == SettingsError.exit_code
    assert len(capsys.readouterr().err.splitlines()[-1]) < 200
