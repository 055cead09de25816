"""The control page in a real browser, in front of a real program that runs the toy networks."""

from __future__ import annotations

import base64
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from conftest import PACKAGE, TOY, portrait, write_clip

from bshm_live.control.wire import ask

playwright = pytest.importorskip("playwright.sync_api", reason="there is no playwright")
BROWSER = next(filter(None, map(shutil.which, ("chromium-headless-shell", "chromium"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="there is no Chromium")

LONG_S = 60.0  # what is waited for comes much sooner; machines may be busy
SIZE, FPS, SECONDS = (256, 144), 10, 300
LOST = "not running"


class Program:
    """`bshm-live --control` on a clip, started again when it is asked to."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder, folder / "log"
        self.clip = folder / "clip.avi"
        self.backgrounds = folder / "backgrounds"
        self.address = ""
        self.process: subprocess.Popen[bytes] | None = None
        self.env = {
            **os.environ,
            "PYTHONPATH": str(PACKAGE.parent),
            "BSHM_ENGINES": str(TOY),
            "XDG_RUNTIME_DIR": str(folder),
            "XDG_CONFIG_HOME": str(folder / "config"),
        }
        writer = cv2.VideoWriter(str(self.clip), cv2.VideoWriter.fourcc(*"mp4v"), FPS, SIZE)
        picture = portrait(*SIZE).picture
        for _ in range(FPS * SECONDS):
            writer.write(picture)
        writer.release()

    def start(self) -> str:
        """Returns the page's address."""
        words = ["--runtime", "onnxruntime", "--bg", "#102030", "--sink", "null", "--control"]
        more = ["--source", str(self.clip), "--backgrounds", str(self.backgrounds)]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "bshm_live", *words, *more],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.env,
            )
        wait_for(lambda: "control page:" in self.log.read_text("utf-8"))
        return re.findall(r"control page: (\S+)", self.log.read_text("utf-8"))[0]

    def status(self) -> dict[str, Any]:
        return dict(ask("bshm-live", {"status": True})["status"])

    def close(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(LONG_S)


def wait_for(done: Callable[[], object]) -> None:
    end = time.monotonic() + LONG_S
    while not done():
        assert time.monotonic() < end, "what was waited for did not happen"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    made = Program(tmp_path_factory.mktemp("program"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        flags = ["--no-sandbox"] if getattr(os, "getuid", lambda: 1)() == 0 else []
        opened = driver.chromium.launch(executable_path=BROWSER, args=flags)
        yield opened
        opened.close()


@pytest.fixture
def page(program: Program, browser: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The page, opened anew; what its scripts complain of fails the test."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(program.folder))
    if program.process is None or program.process.poll() is not None:
        program.address = program.start()
    ask("bshm-live", {"set": ["bg=#102030", "mirror=off", "paused=off"]})
    shutil.rmtree(program.backgrounds, ignore_errors=True)
    context = browser.new_context(viewport={"width": 1280, "height": 860})
    context.set_default_timeout(1000 * LONG_S)
    opened, errors = context.new_page(), []
    opened.on("pageerror", lambda error: errors.append(error))
    opened.goto(program.address)
    opened.locator('#preview[src^="blob:"]').wait_for()
    yield opened
    context.close()
    assert errors == []


def says(page: Any, words: str) -> None:
    page.locator("#state", has_text=words).wait_for()


def runs(page: Any) -> None:
    """Whether it shows a person is the guard's to say, which does not believe the toy networks."""
    page.locator('body:not(.lost) #pause[aria-pressed="false"]').wait_for()


def pressed(page: Any, button: str, on: bool = True) -> None:
    page.locator(f'{button}[aria-pressed="{str(on).lower()}"]').wait_for()


def corner(page: Any) -> tuple[int, int, int]:
    """BGR in the corner of the composite as the page shows it."""
    shot = np.frombuffer(page.locator("#preview").screenshot(), np.uint8)
    blue, green, red = cv2.imdecode(shot, cv2.IMREAD_COLOR)[12, 12]
    return int(blue), int(green), int(red)


def shows(page: Any, wanted: tuple[int, int, int]) -> None:
    wait_for(lambda: max(abs(a - b) for a, b in zip(corner(page), wanted, strict=True)) < 6)


def test_the_page_shows_what_leaves_and_changes_it(program: Program, page: Any) -> None:
    assert page.url.endswith("/")  # the token is not in the history
    runs(page)
    shows(page, (0x30, 0x20, 0x10))
    page.fill("#colour", "#00b140")
    page.click("#use-colour")
    shows(page, (0x40, 0xB1, 0))
    pressed(page, "#use-colour")
    page.click("#mirror")
    pressed(page, "#mirror")
    assert program.status()["mirror"]
    page.fill("#blur", "60")
    page.click("#use-blur")
    pressed(page, "#use-blur")
    assert program.status()["bg"] == "blur:60"
    page.select_option("#preset", "quality")  # the toy networks have none
    page.locator("#note.error", has_text="no such networks").wait_for()
    assert page.locator("#now dd").first.inner_text() != ""


def test_pictures_and_videos_are_chosen_or_dropped(
    program: Program, page: Any, tmp_path: Path
) -> None:
    beach, broken = tmp_path / "beach <b>.png", tmp_path / "broken.png"
    cv2.imwrite(str(beach), np.full((90, 160, 3), (200, 10, 60), np.uint8))
    broken.write_bytes(beach.read_bytes()[:40])
    page.set_input_files("#file", str(beach))
    page.locator("#gallery li:nth-child(1) button").click()
    shows(page, (200, 10, 60))
    pressed(page, "#gallery li:nth-child(1) button")
    thumb = page.locator("#gallery img").first
    wait_for(lambda: thumb.evaluate("image => image.naturalWidth"))
    drop(page, write_clip(tmp_path / "waves.mp4"))
    page.locator("#gallery li >> nth=1").wait_for()
    assert page.locator("#gallery span").all_inner_texts() == ["beach _b_.png", "waves.mp4"]
    drop(page, broken)
    page.locator("#note.error", has_text="broken.png").wait_for()
    assert page.locator("#gallery li").count() == 2
    os.unlink(program.backgrounds / "beach _b_.png")  # gone while it is shown
    shows(page, (200, 10, 60))
    page.locator("#gallery li:nth-child(1) button").click()
    page.locator("#gallery li >> nth=1").wait_for(state="detached")  # looked for now and then


def drop(page: Any, path: Path) -> None:
    """As from the desktop."""
    given = page.evaluate_handle(
        """([text, name]) => {
            const bytes = Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
            const dropped = new DataTransfer();
            dropped.items.add(new File([bytes], name));
            return dropped;
        }""",
        [base64.b64encode(path.read_bytes()).decode(), path.name],
    )
    page.dispatch_event("#drop", "drop", {"dataTransfer": given})


def test_a_scene_is_saved_and_taken(program: Program, page: Any) -> None:
    page.fill("#name", "evening")
    page.click("#save button")
    scene = page.locator("#scenes button", has_text="evening")
    scene.wait_for()
    page.fill("#colour", "#00b140")
    shows(page, (0x40, 0xB1, 0))
    scene.click()
    shows(page, (0x30, 0x20, 0x10))


def test_every_control_of_the_look_sets_it_and_shows_it(
    program: Program, page: Any, tmp_path: Path
) -> None:
    """What was chosen is what the program says, and what the page says once it is opened anew."""
    chosen = {"frame": "head", "subject": "nearest", "place": "85%,100%,40%"}
    chosen["border"] = "8,#000000"
    for name, value in chosen.items():
        page.select_option(f"#{name}", value)
    sliders = {"light": 60, "match": 0.35, "vignette": 0.5}
    for name, value in sliders.items():
        page.fill(f"#{name}", str(value))
    logo = tmp_path / "logo.png"
    cv2.imwrite(str(logo), np.full((20, 30, 4), 200, np.uint8))
    chosen["overlay"] = f"{logo}@10,20"
    page.fill("#overlay", chosen["overlay"])
    page.click("#depth")
    pressed(page, "#depth")
    wanted = {**chosen, **sliders, "depth": True}
    wait_for(lambda: {key: program.status()[key] for key in wanted} == wanted)
    page.reload()
    pressed(page, "#depth")
    shown = {name: page.input_value(f"#{name}") for name in {**chosen, **sliders}}
    assert shown == {name: str(value) for name, value in {**chosen, **sliders}.items()}
    ask("bshm-live", {"set": [f"{name}=off" for name in wanted if name != "subject"]})
    ask("bshm-live", {"set": ["subject=all"]})
    for name, value in {"frame": "off", "subject": "all", "place": "off", "light": "0"}.items():
        wait_for(lambda n=name, v=value: page.input_value(f"#{n}") == v)  # type: ignore[misc]


def test_a_pause_is_said(program: Program, page: Any) -> None:
    page.click("#pause")
    says(page, "Paused")
    assert page.inner_text("#pause") == "Resume"
    assert program.status()["paused"]
    page.click("#pause")
    runs(page)


def test_the_keyboard_is_enough(program: Program, page: Any) -> None:
    page.keyboard.press("Space")
    says(page, "Paused")
    page.keyboard.press("Space")
    runs(page)
    page.keyboard.press("m")
    pressed(page, "#mirror")
    page.keyboard.press("b")
    pressed(page, "#use-blur")
    reached = []
    for _ in range(30):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id"))
        if reached[-1] == "mirror":
            break
    assert {"pause", "add", "blur", "use-blur", "colour", "use-colour"} <= set(reached)
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    pressed(page, "#mirror", on=False)
    assert not program.status()["mirror"]


@pytest.mark.parametrize("width", [320, 390, 1280, 1920])
def test_it_fits_light_and_dark(page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    grounds = set()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        grounds.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert len(grounds) == 2


def test_the_page_comes_back_with_the_program(program: Program, page: Any) -> None:
    program.close()
    says(page, LOST)
    assert program.start().partition("?")[0] == page.url
    runs(page)
    page.click("#mirror")
    pressed(page, "#mirror")
