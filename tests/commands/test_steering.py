"""A live picture, changed while it runs: whole looks, no raw pixel, no camera in a pause."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from conftest import ListSink, portrait

from bshm_live.cli import main
from bshm_live.commands import live
from bshm_live.control.wire import ask
from bshm_live.loop import guard
from bshm_live.sources.live_camera import LiveCamera
from bshm_live.types import Frame

SIZE = (256, 144)
FPS = 60.0
LONG_S = 60.0  # what is waited for comes much sooner; machines may be busy
ROOM = portrait(*SIZE).background


class Camera:
    """Portraits before a dark room, as long as it is open."""

    size, fps, count = SIZE, FPS, None

    def __init__(self, give_up: Callable[[], bool], opened: list[int]) -> None:
        self._give_up, self._opened = give_up, opened
        opened[0] += 1

    def describe(self) -> str:
        return "a camera of portraits"

    def __iter__(self) -> Iterator[Frame]:
        index = 0
        while not self._give_up():
            picture = portrait(*SIZE, centre=(100 + index % 40, 72), seed=index % 3).picture
            yield Frame(picture, index, index / FPS, time.monotonic())
            index += 1
            time.sleep(1 / FPS)

    def close(self) -> None:
        self._opened[1] += 1


class Call:
    """A program that runs in a thread, with a camera and a sink of ours."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
        monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
        monkeypatch.setattr(guard, "LATE_S", LONG_S)  # how fast it is, is not what is tested
        self.sink, self.opened, self.end = ListSink(), [0, 0], threading.Event()
        self.camera = LiveCamera(
            lambda give_up: Camera(give_up, self.opened), "toy", lambda line: None
        )
        monkeypatch.setattr(live, "open_source", lambda *_: self.camera)
        monkeypatch.setattr(live, "open_sinks", lambda *_: [self.sink])
        line = ["--runtime", "onnxruntime", *words]
        self.thread = threading.Thread(target=lambda: main(line), daemon=True)
        self.thread.start()
        wait_for(lambda: len(self.sink.shots) > 3)

    def set(self, *words: str) -> list[str]:
        return list(ask("bshm-live", {"set": list(words)})["done"])

    def status(self) -> dict[str, Any]:
        found = ask("bshm-live", {"status": True})["status"]
        assert isinstance(found, dict)
        return found

    def until(self, picture: Callable[[np.ndarray], bool]) -> None:
        """Waits until a new shot looks so."""
        seen = len(self.sink.shots)
        wait_for(lambda: any(picture(shot.composite) for shot in self.sink.shots[seen:]))

    def close(self) -> None:
        self.camera.stop()
        self.thread.join(LONG_S)
        assert not self.thread.is_alive()


def wait_for(done: Callable[[], object]) -> None:
    end = time.monotonic() + LONG_S
    while not done():
        assert time.monotonic() < end, "what was waited for did not happen"
        time.sleep(0.005)


@pytest.fixture
def call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, toy_engines: Path
) -> Iterator[Callable[..., Call]]:
    made: list[Call] = []

    def start(*words: str) -> Call:
        made.append(Call(tmp_path, monkeypatch, *words))
        return made[-1]

    yield start
    for one in made:
        one.close()


def corner(picture: np.ndarray) -> tuple[int, ...]:
    return tuple(int(level) for level in picture[2, 2])


def test_the_background_changes_between_two_frames(
    call: Callable[..., Call], tmp_path: Path
) -> None:
    running = call("--bg", "#102030")
    picture = np.full((90, 160, 3), (200, 10, 60), np.uint8)
    cv2.imwrite(str(tmp_path / "beach.png"), picture)
    looks = {(0x30, 0x20, 0x10), (0x40, 0xB1, 0), (200, 10, 60)}
    for words, wanted in (
        ("bg=#00b140", (0x40, 0xB1, 0)),
        (f"bg={tmp_path / 'beach.png'}", (200, 10, 60)),
        ("bg=#102030", (0x30, 0x20, 0x10)),
    ):
        running.set(words)
        running.until(lambda found, wanted=wanted: corner(found) == wanted)
    for shot in running.sink.shots:  # every one of a single look, and none of the room
        assert corner(shot.composite) in looks
        outside = shot.composite[shot.alpha == 0]
        assert len(np.unique(outside, axis=0)) == 1


def test_what_cannot_be_opened_leaves_the_old_look(
    call: Callable[..., Call], tmp_path: Path
) -> None:
    running = call("--bg", "#102030")
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8 no picture")
    for words in (f"bg={tmp_path / 'broken.jpg'}", "bg=/nowhere.jpg", "zoom=3", "preset=best"):
        with pytest.raises(Exception, match=r"."):
            running.set(words)
    running.until(lambda found: corner(found) == (0x30, 0x20, 0x10))
    assert running.status()["bg"] == "#102030"


def test_a_pause_shows_the_background_and_closes_the_camera(call: Callable[..., Call]) -> None:
    running = call("--bg", "#102030")
    running.set("pause")
    wait_for(lambda: running.opened[1] == 1)
    seen = len(running.sink.shots) + 1
    wait_for(lambda: len(running.sink.shots) > seen + 5)  # the picture goes on
    for shot in running.sink.shots[seen:]:
        assert not shot.has_person
        assert (shot.composite == (0x30, 0x20, 0x10)).all()
    assert running.status()["paused"]
    running.set("bg=#00b140")
    running.until(lambda found: (found == (0x40, 0xB1, 0)).all())
    running.set("resume")
    wait_for(lambda: running.opened[0] == 2)
    wait_for(lambda: running.sink.shots[-1].has_person)


def test_a_scene_is_saved_and_taken(call: Callable[..., Call], tmp_path: Path) -> None:
    running = call("--bg", "#102030", "--mirror")
    assert "saved as scene office" in running.set("save=office")[-1]
    running.set("bg=#00b140", "mirror=off")
    running.until(lambda found: corner(found) == (0x40, 0xB1, 0))
    running.set("scene=office")
    running.until(lambda found: corner(found) == (0x30, 0x20, 0x10))
    assert running.status()["mirror"]


def test_another_preset_takes_over_without_a_frame_lost(call: Callable[..., Call]) -> None:
    running = call("--bg", "#102030", "--preset", "balanced")
    first = running.status()
    assert (first["preset"], first["preset_follows_the_machine"]) == ("balanced", False)
    running.set("steady=off")
    wait_for(lambda: not running.status()["steady"])
    indices = [shot.index for shot in running.sink.shots]
    assert indices == list(range(indices[0], indices[0] + len(indices)))
    with pytest.raises(Exception, match="no such networks"):
        running.set("preset=quality")  # the toy networks have none
    assert running.status()["preset"] == "balanced"
    assert running.status()["frames_per_second"] > 0


def test_a_scene_of_the_command_line_and_what_it_overrides(
    call: Callable[..., Call], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    file = tmp_path / "config" / "bshm-live" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text('[defaults]\nbg = "red"\nmirror = true\n[scenes.s]\nbg = "#102030"\n')
    running = call("--scene", "s")
    assert (running.status()["bg"], running.status()["mirror"]) == ("#102030", True)


def test_without_a_background_one_line_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert main(["--sink", "null"]) == 2
    assert "--bg is missing" in capsys.readouterr().err
