"""The user's file: what is right is read, what is wrong is named with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from bshm_live.control.config import config_path, read_config, save_scene
from bshm_live.errors import SettingsError

GOOD = """# mine
[defaults]
preset = "balanced"
fps = 30
sink = ["vcam"]

[scenes.office]
bg = "office.jpg"
mirror = true

[scenes."at home"]
bg = "blur:40"
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "config.toml"


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, "utf-8")
    return path


def test_no_file_is_no_settings(path: Path) -> None:
    config = read_config(path)
    assert (dict(config.defaults), dict(config.scenes)) == ({}, {})


def test_a_file_is_read(path: Path) -> None:
    config = read_config(write(path, GOOD))
    assert config.defaults == {"preset": "balanced", "fps": 30, "sink": ["vcam"]}
    assert config.scene("office") == {"bg": "office.jpg", "mirror": "on"}
    assert list(config.scenes) == ["office", "at home"]
    with pytest.raises(SettingsError, match="there is office, at home"):
        config.scene("beach")


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("fps = 30", "fbs = 30", 4, "fbs: unknown"),
        ("fps = 30", 'fps = "30"', 4, "not a number"),
        ("fps = 30", "fps = 9999", 4, "fps: 9999: must be between"),
        ("fps = 30", 'size = "12x"', 4, "size: 12x: write it as"),
        ('bg = "office.jpg"', 'bg = "blur:0"', 8, "bg: blur:0: the strength"),
        ("fps = 30", "fps = true", 4, "not a number"),
        ("mirror = true", "mirror = 1", 9, "not true or false"),
        ("mirror = true", "zoom = 2", 9, "zoom: unknown"),
        ('sink = ["vcam"]', "sink = [1]", 5, "list of texts"),
        ("[defaults]", "[default]", 2, "default: unknown"),
        ("fps = 30", "fps = = 30", 4, "at line 4"),
        ("fps = 30", 'subject = "nobody"', 4, "subject: nobody: all, nearest"),
        ("mirror = true", 'subject = "0"', 9, "subject: 0: all, nearest"),
        ("mirror = true", 'place = "left"', 9, "place: left: write x,y,h"),
        ("fps = 30", "light = 101", 4, "light: 101: give auto"),
        ("mirror = true", "match = 1.5", 9, "match: 1.5: give 0 to 1"),
        ("mirror = true", "vignette = -1", 9, "vignette: -1: give 0 to 1"),
        ("mirror = true", 'border = "wide"', 9, "border: wide: give 1 to"),
        ("mirror = true", 'frame = "feet"', 9, "frame: 'feet': choose from"),
        ("fps = 30", "threads = -1", 4, "threads: -1: must be"),
        ("fps = 30", 'name = "a b/c"', 4, "name: a b/c"),
        ("fps = 30", 'on-trouble = "panic"', 4, "on-trouble: 'panic': choose from"),
        ('sink = ["vcam"]', 'sink = ["vcam", "vcam"]', 5, "sink: vcam is given twice"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(
    path: Path, old: str, new: str, line: int, says: str
) -> None:
    with pytest.raises(SettingsError) as error:
        read_config(write(path, GOOD.replace(old, new)))
    text = str(error.value)
    assert str(path) in text
    assert f"line {line}" in text
    assert says in text
    assert "\n" not in text


def test_both_kinds_of_lines_in_a_key_mean_the_same(path: Path) -> None:
    config = read_config(
        write(path, "[scenes.a]\nlight-wrap = true\n[scenes.b]\nlight_wrap = true")
    )
    assert config.scene("a") == config.scene("b") == {"light_wrap": "on"}


def test_a_saved_scene_leaves_the_rest_of_the_file(path: Path) -> None:
    save_scene("first", {"bg": "none", "mirror": False}, path)
    assert read_config(path).scenes == {"first": {"bg": "none", "mirror": False}}
    write(path, GOOD)
    save_scene("beach", {"bg": "#00b140", "mirror": True}, path)
    save_scene("office", {"bg": "blur:9"}, path)
    assert path.read_text("utf-8").startswith(GOOD[: GOOD.index("[scenes.office]")])
    scenes = read_config(path).scenes
    assert scenes["beach"] == {"bg": "#00b140", "mirror": True}
    assert scenes["office"] == {"bg": "blur:9"}
    assert scenes["at home"] == {"bg": "blur:40"}


def test_a_file_that_is_wrong_is_not_written_over(path: Path) -> None:
    write(path, "nonsense")
    with pytest.raises(SettingsError):
        save_scene("x", {"bg": "none"}, path)
    assert path.read_text("utf-8") == "nonsense"


def test_the_file_lies_where_the_system_has_such_files(monkeypatch: pytest.MonkeyPatch) -> None:
    assert config_path().name == "config.toml"
    assert config_path().parent.name == "bshm-live"
