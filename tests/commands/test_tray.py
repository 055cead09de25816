"""The icon in the tray: what its menu shows, and what a choice says."""

from __future__ import annotations

import builtins
import sys
from pathlib import Path
from typing import Any

import pytest

from bshm_live.commands import tray
from bshm_live.control.gallery import Gallery
from bshm_live.errors import BshmError, SettingsError


class Desk:
    """What runs: takes the words of a command, and refuses a scene called broken."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.now: dict[str, Any] = {
            "paused": False,
            "mirror": True,
            "bg": "blur:25",
            "preset": "balanced",
            "preset_follows_the_machine": False,
            "scenes": ["office", "broken"],
            "page": None,
        }

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        for word in request.get("set", ()):
            if word == "scene=broken":
                raise SettingsError("that one is broken")
            self.words.append(word)
            if word == "pause=toggle":
                self.now["paused"] = not self.now["paused"]
        return {"status": self.now}


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[Desk, Any]:
    """A desk and the icon over it, on a desktop that shows nothing."""
    pytest.importorskip("pystray", exc_type=ImportError)
    from pystray import _base

    monkeypatch.setattr("pystray.Icon", _base.Icon)
    monkeypatch.setattr(_base.Icon, "run", lambda icon: None)
    monkeypatch.setattr(_base.Icon, "_update_icon", lambda icon: None)
    monkeypatch.setattr(_base.Icon, "_update_menu", lambda icon: None)
    for name in ("beach.jpg", "office.png"):
        (tmp_path / name).touch()
    desk = Desk()
    return desk, tray.Tray("meeting", desk.answer, Gallery(tmp_path))._icon


@pytest.fixture(autouse=True)
def no_desktop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYSTRAY_BACKEND", "dummy")


def item(menu: Any, *path: str) -> Any:
    for text in path:
        found = next(one for one in menu.items if one.text == text)
        menu = found.submenu or menu
    return found


def test_the_menu_shows_what_is_there(shown: tuple[Desk, Any]) -> None:
    desk, icon = shown
    top = [one.text for one in icon.menu.items if one.text != "- - - -"]
    assert top == ["Pause", "Mirror", "Background", "Networks", "Scenes", "Quit"]
    assert item(icon.menu, "Mirror").checked
    names = [one.text for one in item(icon.menu, "Background").submenu.items]
    assert names == ["Blur", "beach", "office"]
    presets = item(icon.menu, "Networks").submenu.items
    assert [one.text for one in presets if one.checked] == ["Balanced"]
    desk.now["page"] = "http://127.0.0.1:1/?token=x"
    assert item(icon.menu, "Control page")


def test_a_choice_is_what_a_command_would_say(shown: tuple[Desk, Any]) -> None:
    desk, icon = shown
    icon()  # a click
    assert item(icon.menu, "Resume")
    item(icon.menu, "Background", "beach")(icon)
    item(icon.menu, "Networks", "Fast")(icon)
    item(icon.menu, "Scenes", "broken")(icon)
    item(icon.menu, "Scenes", "office")(icon)
    assert desk.words[0] == "pause=toggle"
    assert Path(desk.words[1].removeprefix("bg=")).name == "beach.jpg"
    assert desk.words[2:] == ["preset=fast", "scene=office"]


def test_the_icon_says_whether_it_is_a_pause() -> None:
    pictures = [tray.picture(paused=paused) for paused in (False, True)]
    assert [image.getpixel((0, 0)) for image in pictures] == [tray.GREEN, tray.GREY]


def test_without_a_tray_there_is_a_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    really = builtins.__import__

    def import_(name: str, *more: Any) -> Any:
        if name == "pystray":
            raise failing
        return really(name, *more)

    monkeypatch.delitem(sys.modules, "pystray", raising=False)
    monkeypatch.setattr(builtins, "__import__", import_)
    failing: Exception = ModuleNotFoundError("No module named 'pystray'", name="pystray")
    with pytest.raises(BshmError, match=r"pystray: pip install 'bshm-live\[tray\]'"):
        tray.Tray("meeting", Desk().answer, Gallery(tmp_path))
    failing = RuntimeError("no display")
    with pytest.raises(BshmError, match=r"this desktop has none \(no display\)"):
        tray.Tray("meeting", Desk().answer, Gallery(tmp_path))
