"""The keys of the preview window."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest
from conftest import heard

from bshm_live.commands.keys import Keys
from bshm_live.control.gallery import Gallery
from bshm_live.errors import SettingsError

SOON_S = 30.0


class Desk:
    """Takes the words of a command, and refuses a background called broken."""

    def __init__(self) -> None:
        self.now = {"paused": False, "mirror": False, "bg": "#102030", "scenes": ["one", "two"]}
        self.words: list[str] = []
        self.asked = threading.Event()

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        if "set" in request:
            (word,) = request["set"]
            self.words.append(word)
            self.asked.set()
            key, _, value = word.partition("=")
            if "broken" in value:
                raise SettingsError("that one is broken; take another")
            self.now[key] = value
        return {"status": self.now}


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def keys(desk: Desk, tmp_path: Path) -> Keys:
    for name in ("b.jpg", "a.png", "broken.jpg", "d.mp4", ".hidden"):
        (tmp_path / name).touch()
    return Keys(desk.answer, Gallery(tmp_path))


@pytest.mark.parametrize(
    ("key", "word"),
    [
        ("space", "pause=toggle"),
        ("m", "mirror=toggle"),
        ("b", "bg=blur"),
        ("1", "scene=one"),
        ("2", "scene=two"),
        ("3", None),
        ("0", None),
        ("x", None),
        ("left shift", None),
    ],
)
def test_a_key_is_a_command(keys: Keys, desk: Desk, key: str, word: str | None) -> None:
    keys.press(key)
    assert desk.words == [word] * (word is not None)


@pytest.mark.parametrize(
    ("key", "names"),
    [
        ("right", ["a.png", "b.jpg", "broken.jpg", "d.mp4", "a.png"]),
        ("left", ["d.mp4", "broken.jpg", "b.jpg", "a.png", "d.mp4"]),
    ],
)
def test_arrows_go_round_and_past_what_is_broken(
    keys: Keys, desk: Desk, key: str, names: list[str]
) -> None:
    for _ in names:
        keys.press(key)
    assert [os.path.basename(word) for word in desk.words] == names


def test_arrows_start_from_what_another_way_has_set(keys: Keys, desk: Desk, tmp_path: Path) -> None:
    keys.press("right")
    desk.now["bg"] = str(tmp_path / "b.jpg")
    keys.press("left")
    assert desk.words[-1] == f"bg={tmp_path / 'a.png'}"


def test_an_empty_gallery_is_said(desk: Desk, tmp_path: Path) -> None:
    lines: list[str] = []
    with heard(lines.append):
        Keys(desk.answer, Gallery(tmp_path / "none")).press("left")
        Keys(desk.answer, Gallery(tmp_path / "none")).press("9")
    assert len(lines) == 2
    assert desk.words == []


def test_the_loop_does_not_wait(keys: Keys, desk: Desk) -> None:
    keys("m")
    assert desk.asked.wait(SOON_S)
    keys.close()
