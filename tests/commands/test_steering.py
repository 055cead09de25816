"""A live picture, changed while it runs: whole looks, no raw pixel, no camera in a pause."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from conftest import ListSink, heard, portrait, write_clip

from bshm_live.cli import main
from bshm_live.commands import live
from bshm_live.compositing import background
from bshm_live.compositing.moving import Beside
from bshm_live.control.wire import ask
from bshm_live.errors import SettingsError
from bshm_live.loop import guard
from bshm_live.sinks.window import Window
from bshm_live.sources.live_camera import LiveCamera
from bshm_live.types import Frame, Sink

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

    def __init__(
        self,
        folder: Path,
        monkeypatch: pytest.MonkeyPatch,
        *words: str,
        beside: Sequence[Sink] = (),
    ) -> None:
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
        monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
        monkeypatch.setattr(guard, "LATE_S", LONG_S)  # how fast it is, is not what is tested
        self.sink, self.opened, self.end = ListSink(), [0, 0], threading.Event()
        self.camera = LiveCamera(
            lambda give_up: Camera(give_up, self.opened), "toy", lambda line: None
        )
        monkeypatch.setattr(live, "open_source", lambda *_: self.camera)
        monkeypatch.setattr(live, "open_sinks", lambda *_: [self.sink, *beside])
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

    def start(*words: str, beside: Sequence[Sink] = ()) -> Call:
        made.append(Call(tmp_path, monkeypatch, *words, beside=beside))
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


def test_the_keys_of_the_window_change_the_picture(
    call: Callable[..., Call], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    gallery = tmp_path / "gallery"
    gallery.mkdir()
    for name, colour in (("a.png", (200, 10, 60)), ("b.png", (0, 90, 200))):
        cv2.imwrite(str(gallery / name), np.full((90, 160, 3), colour, np.uint8))
    window = Window()
    running = call("--bg", "#102030", "--backgrounds", str(gallery), beside=[window])
    window.pressed("right")
    running.until(lambda found: corner(found) == (200, 10, 60))
    window.pressed("right")
    running.until(lambda found: corner(found) == (0, 90, 200))
    window.pressed("m")
    wait_for(lambda: running.status()["mirror"])
    window.pressed("space")
    wait_for(lambda: not running.sink.shots[-1].has_person)
    window.pressed("space")
    wait_for(lambda: running.sink.shots[-1].has_person)


# --- what goes wrong while it runs ------------------------------------------------------------


@pytest.fixture
def lines() -> Iterator[list[str]]:
    found: list[str] = []
    with heard(found.append):
        yield found


def test_a_picture_that_goes_or_breaks_while_it_is_shown_stays(
    call: Callable[..., Call], tmp_path: Path, lines: list[str]
) -> None:
    beach = tmp_path / "beach.png"
    cv2.imwrite(str(beach), np.full((90, 160, 3), (200, 10, 60), np.uint8))
    whole = beach.read_bytes()
    running = call("--bg", str(beach))
    beach.write_bytes(whole[: len(whole) // 2])  # somebody is writing it just now
    running.set(f"bg={beach}")  # the same once more is no change
    beach.unlink()
    running.set("mirror=on")  # all else can still be changed
    running.set("pause")
    wait_for(lambda: not running.sink.shots[-1].has_person)
    running.set("resume")
    wait_for(lambda: running.sink.shots[-1].has_person)
    other = tmp_path / "half.png"
    other.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SettingsError, match=r"half\.png"):
        running.set(f"bg={other}")
    with pytest.raises(SettingsError, match="no such file"):
        running.set(f"bg={beach}")
    running.until(lambda found: corner(found) == (200, 10, 60))
    assert [line.partition(":")[0] for line in lines].count("nothing changed") == 2
    other.write_bytes(whole)
    running.set(f"bg={other}", "mirror=off")
    assert running.status()["bg"] == str(other)


def test_a_video_that_goes_or_breaks_while_it_plays_stays(
    call: Callable[..., Call], tmp_path: Path
) -> None:
    film = write_clip(tmp_path / "waves.mp4")
    running = call("--bg", str(film))
    with film.open("r+b") as file:
        file.truncate(film.stat().st_size // 3)
    film.unlink()
    seen = len(running.sink.shots)
    wait_for(lambda: len(running.sink.shots) > seen + 60)  # longer than the video
    for shot in running.sink.shots[seen:]:
        assert shot.composite[shot.alpha == 0].any()  # neither black nor the room alone
    running.set("bg=#00b140")
    running.until(lambda found: corner(found) == (0x40, 0xB1, 0))


def test_a_background_plays_on_until_the_last_look_with_it_is_gone(
    call: Callable[..., Call], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = {"opened": 0, "closed": 0}

    class Counted(Beside):
        def __init__(self, *given: Any) -> None:
            counts["opened"] += 1
            super().__init__(*given)

        def close(self) -> None:
            counts["closed"] += 1
            super().close()

    monkeypatch.setattr(background, "Beside", Counted)
    running = call("--bg", str(write_clip(tmp_path / "waves.mp4")))
    for word in ("mirror=on", "light_wrap=on", "mirror=off"):
        running.set(word)
        running.until(lambda found: True)
    assert counts == {"opened": 1, "closed": 0}
    running.set("bg=#00b140")
    running.until(lambda found: corner(found) == (0x40, 0xB1, 0))
    wait_for(lambda: counts == {"opened": 1, "closed": 1})


def test_a_studio_s_look_changes_while_it_runs(call: Callable[..., Call], tmp_path: Path) -> None:
    """Each word at once, also in a pause; a scene keeps them; what is wrong changes nothing."""
    logo = tmp_path / "logo.png"
    cv2.imwrite(str(logo), np.full((10, 20, 4), (9, 200, 250, 255), np.uint8))
    running = call("--bg", "#102030", "--light", "50")
    running.set("light=auto", "match=0.5", "depth=on", "vignette=0.2", "border=4,#ff0000")
    running.set(f"overlay={logo}@10,10")
    running.until(lambda found: corner(found) == (0, 0, 255))
    running.until(lambda found: tuple(found[15, 15]) == (9, 200, 250))
    status = running.status()
    assert (status["light"], status["match"], status["depth"]) == (80, 0.5, True)
    running.set("pause", "save=studio")
    wait_for(lambda: not running.sink.shots[-1].has_person)
    shown = running.sink.shots[-1].composite
    assert corner(shown) == (0, 0, 255)
    assert tuple(shown[15, 15]) == (9, 200, 250)
    running.set("resume", "border=off", "overlay=off", "vignette=off", "light=toggle")
    running.until(lambda found: corner(found) == (0x30, 0x20, 0x10))
    assert running.status()["light"] == 0
    for words in ("light=200", "match=2", "vignette=dark", "border=wide", "overlay=/no.png"):
        with pytest.raises(SettingsError, match="--" + words.partition("=")[0]):
            running.set(words)
    running.set("scene=studio")
    running.until(lambda found: tuple(found[15, 15]) == (9, 200, 250))
    assert running.status()["vignette"] == 0.2


def test_a_file_of_scenes_that_was_broken_by_hand_changes_nothing(
    call: Callable[..., Call], tmp_path: Path, lines: list[str]
) -> None:
    running = call("--bg", "#102030")
    running.set("save=office")
    running.set("bg=#00b140")
    file = tmp_path / "config" / "bshm-live" / "config.toml"
    whole = file.read_text()
    file.write_text(whole.replace("mirror", "miror"))
    with pytest.raises(SettingsError, match=r"config\.toml, line \d+: miror: unknown"):
        running.set("scene=office")
    with pytest.raises(SettingsError, match="miror"):
        running.set("save=other")  # not written over, either
    assert running.status()["bg"] == "#00b140"
    assert running.status()["scenes"] == []
    assert sum("miror" in line for line in lines) == 2
    file.write_text(whole)
    running.set("scene=office")
    assert running.status()["bg"] == "#102030"
    file.write_text(whole.replace("#102030", "/nowhere.jpg"))
    with pytest.raises(SettingsError, match=r"nowhere\.jpg"):
        running.set("scene=office")
    assert running.status()["bg"] == "#102030"


def test_a_file_that_is_wrong_is_refused_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    file = tmp_path / "bshm-live" / "config.toml"
    file.parent.mkdir()
    file.write_text('[defaults]\nmirror = true\npreset = "best"\n')
    assert main(["--bg", "red", "--sink", "null"]) == 2
    told = capsys.readouterr().err
    assert f"{file}, line 3: preset: 'best': choose from fast" in told
    assert told.count("\n") == 1


def test_a_preset_that_is_not_there_leaves_the_pace_to_the_machine(
    call: Callable[..., Call],
) -> None:
    running = call("--bg", "#102030")
    assert running.status()["preset_follows_the_machine"]
    with pytest.raises(SettingsError, match="no such networks"):
        running.set("preset=quality")
    assert running.status()["preset_follows_the_machine"]
    running.set("preset=balanced")
    assert not running.status()["preset_follows_the_machine"]
    running.set("preset=auto")
    assert running.status()["preset_follows_the_machine"]
