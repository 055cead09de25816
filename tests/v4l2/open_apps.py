"""Programs that are open before the camera is there: two browsers, OBS Studio.

Each says whether the camera is there, watches it, and what it has seen since.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import browsers
import clip
import cv2
import kit
import numpy as np

CORNER, MARK = (5, 355), (53, 20)  # x and y: the background's, and the first mark of the clip
# The last kind is p, the program's picture, or b, the background; black is no picture.
PAGE = """<!doctype html><style>video{width:160px}</style>
<video id=video autoplay muted playsinline></video><script>
let events = 0, track, kind, count = 0, last = 0, longest = 0, off = 0;
navigator.mediaDevices.ondevicechange = () => events++;
async function ours() {
  const all = await navigator.mediaDevices.enumerateDevices();
  return all.find(one => one.label.startsWith('bshm-live'));
}
async function permitted() {
  (await navigator.mediaDevices.getUserMedia({video: true})).getTracks()[0].stop();
}
async function there() { return events > 0 && await ours() !== undefined; }
async function watch() {
  const stream = await navigator.mediaDevices.getUserMedia(
    {video: {deviceId: {exact: (await ours()).deviceId}}});
  track = stream.getVideoTracks()[0];
  video.srcObject = stream;
  const canvas = new OffscreenCanvas(640, 360);
  const context = canvas.getContext('2d', {willReadFrequently: true});
  const look = now => {
    context.drawImage(video, 0, 0, 640, 360);
    const pixel = at => [...context.getImageData(...at, 1, 1).data].slice(0, 3);
    const corner = pixel(CORNER), mark = pixel(MARK);
    if (corner.some(level => level)) {
      if (count++) longest = Math.max(longest, now - last);
      last = now;
      off = Math.max(off, ...GREEN.map((level, at) => Math.abs(level - corner[at])));
      kind = mark[0] > 150 ? 'p' : 'b';
    }
    video.requestVideoFrameCallback(look);
  };
  video.requestVideoFrameCallback(look);
}
function newest() { return kind; }
function seen() { return {live: track.readyState == 'live', off, longest_s: longest / 1e3, count}; }
</script>"""
for name, value in {"CORNER": CORNER, "MARK": MARK, "GREEN": clip.GREEN[::-1]}.items():
    PAGE = PAGE.replace(name, json.dumps(value))


@dataclass(frozen=True)
class Seen:
    """What a program has seen: whether it still holds the camera, how far the background was
    off its colour (levels), the longest time without a new picture, and how many were new."""

    live: bool
    off: int
    longest_s: float
    count: int


class OpenApp(ABC):
    """A program that is open until the `with` ends; `needs` are the programs it is made of."""

    needs: tuple[str, ...]

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._start(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @abstractmethod
    def _start(self, stack: ExitStack) -> None:
        """Opens it; the stack closes what it is given."""

    @abstractmethod
    def there(self) -> bool:
        """Whether the camera has come."""

    @abstractmethod
    def watch(self) -> None: ...

    @abstractmethod
    def last(self) -> str | None:
        """The kind of the newest picture: p or b; None before the first."""

    @abstractmethod
    def seen(self) -> Seen:
        """Since `watch`."""


class OpenPage(OpenApp):
    """A page in a browser."""

    browser: type[browsers.Chromium | browsers.Firefox]

    def _start(self, stack: ExitStack) -> None:
        self._browser = self.browser(self._folder)
        stack.enter_context(browsers.page(self._browser, PAGE, "watch"))
        self._browser.evaluate("permitted()")  # before, cameras have no names

    def there(self) -> bool:
        return self._browser.evaluate("there()")

    def watch(self) -> None:
        self._browser.evaluate("watch()")

    def last(self) -> str | None:
        return self._browser.evaluate("newest()")

    def seen(self) -> Seen:
        return Seen(**self._browser.evaluate("seen()"))


class OpenChromium(OpenPage):
    browser = browsers.Chromium
    needs = browser.needs


class OpenFirefox(OpenPage):
    browser = browsers.Firefox
    needs = browser.needs


FPS = 15
INI = {
    "global.ini": """[General]
FirstRun=true
LastVersion=486539266
EnableAutoUpdates=false
[Basic]
Profile=Test
ProfileDir=Test
SceneCollection=Test
SceneCollectionFile=Test
[BasicWindow]
PreviewEnabled=false
""",
    "basic/profiles/Test/basic.ini": f"""[General]
Name=Test
[Video]
BaseCX=640
BaseCY=360
OutputCX=640
OutputCY=360
FPSType=1
FPSInt={FPS}
""",
}
FULL_SCREEN = """
obslua.obs_frontend_add_event_callback(function(event)
  if event == obslua.OBS_FRONTEND_EVENT_FINISHED_LOADING then
    obslua.obs_frontend_open_projector("StudioProgram", 0, "", "")
    obslua.script_log(obslua.LOG_INFO, "full screen")
  end
end)
"""
SCENE = {
    "name": "Test",
    "current_scene": "Scene",
    "current_program_scene": "Scene",
    "scene_order": [{"name": "Scene"}],
    "modules": {"scripts-tool": [{"path": "FULL_SCREEN", "settings": {}}]},
    "sources": [
        {
            "id": "v4l2_input",
            "name": "camera",
            "settings": {"device_id": kit.OUT},
        },
        {
            "id": "scene",
            "name": "Scene",
            "settings": {"items": [{"name": "camera", "id": 1, "visible": True}]},
        },
    ],
}


@contextmanager
def screen(folder: Path) -> Iterator[tuple[str, np.ndarray]]:
    """An X server without a monitor: its name, and what it shows, (360, 640, 4) BGRx uint8."""
    for place in (Path("/tmp/.X11-unix"), Path("/var/lib/xkb")):
        if not os.access(place, os.W_OK):  # as in the guest
            subprocess.run(["mount", "-t", "tmpfs", "tmpfs", place], check=True)
    read, write = os.pipe()
    words = ("Xvfb", "-displayfd", write, "-nolock", "-screen", "0", "640x360x24")
    server = kit.Program(*words, "-fbdir", folder, log=folder / "xvfb.log", keep=(write,))
    os.close(write)
    with server, os.fdopen(read) as said:
        number = said.readline().strip()
        assert number, server.words
        # https://www.x.org/releases/current/doc/man/man1/Xvfb.1.xhtml: a file of xwd's
        file = np.memmap(folder / "Xvfb_screen0", np.uint8, "r")
        header = file[:100].view(">u4")
        begin = header[0] + 12 * header[19]  # the colours of its colour map
        yield f":{number}", file[begin : begin + 360 * 640 * 4].reshape(360, 640, 4)


class OpenObs(OpenApp):
    """OBS Studio 29: the camera is its only source, and its picture fills a screen of its own.

    A new picture is one that moved, or the background.
    """

    needs = ("obs", "Xvfb")
    green = (62, 153, 0)  # BGR: it takes all cameras for BT.709
    settings = (
        "LIBGL_ALWAYS_SOFTWARE=1",
        "QT_QPA_PLATFORM=xcb",
        "XDG_RUNTIME_DIR=/run",
        "DBUS_SESSION_BUS_ADDRESS=unix:path=/nowhere",
    )

    def _start(self, stack: ExitStack) -> None:
        self._kind: str | None = None
        self._count, self._longest_s, self._off = 0, 0.0, 0
        self._end = threading.Event()
        script = self._folder / "full-screen.lua"
        script.write_text(FULL_SCREEN)
        scene = json.dumps(SCENE).replace("FULL_SCREEN", str(script))
        for name, text in {**INI, "basic/scenes/Test.json": scene}.items():
            path = self._folder / "obs-studio" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        display, shown = stack.enter_context(screen(self._folder))
        # OpenCV's wheel has set this for a Qt of its own.
        words = ("env", "-u", "QT_QPA_PLATFORM_PLUGIN_PATH", *self.settings, f"DISPLAY={display}")
        words += (f"XDG_CONFIG_HOME={self._folder}", "obs", "--multi", "--disable-updater")
        self._obs = stack.enter_context(kit.Program(*words, log=self._folder / "obs.log"))
        self._obs.says("full screen", browsers.START_S)
        kit.until(lambda: not shown[..., :3].any(), browsers.START_S)
        stack.callback(lambda: cv2.imwrite(f"{os.environ['GUEST_KEPT']}/obs.png", shown[..., :3]))
        thread = threading.Thread(target=self._run, args=(shown,))
        thread.start()
        stack.callback(thread.join)
        stack.callback(self._end.set)

    def there(self) -> bool:
        return self._count > 0

    def watch(self) -> None:
        """It does all the time."""

    def last(self) -> str | None:
        return self._kind

    def seen(self) -> Seen:
        return Seen(self._obs.running, self._off, self._longest_s, self._count)

    def _run(self, shown: np.ndarray) -> None:
        last, before = 0.0, b""
        while not self._end.wait(0.5 / FPS):
            now, image = time.monotonic(), shown[::8, ::8, :3].copy()
            corner, mark = (shown[y, x, :3].astype(int) for x, y in (CORNER, MARK))
            kind = "p" if mark[2] > 150 else "b"
            if not corner.any() or (kind == "p" and image.tobytes() == before):
                continue
            if self._count:
                self._longest_s = max(self._longest_s, now - last)
            last, before, self._kind = now, image.tobytes(), kind
            self._count += 1
            self._off = max(self._off, int(np.abs(corner - self.green).max()))
