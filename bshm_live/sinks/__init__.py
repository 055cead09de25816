"""Where finished frames go: virtual camera, video file, window, nowhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import cv2

from ..errors import SinkError
from ..types import Shot, Size
from .video_file import SUFFIXES, Layer, VideoWriter
from .virtual_camera import VirtualCamera

if TYPE_CHECKING:
    from ..types import Picture

__all__ = ["Layer", "Null", "VideoWriter", "VirtualCamera", "Window", "open_sink"]

KEYS_TO_END = (ord("q"), ord("Q"), 27)  # 27: Esc
PROBE_S = 20.0


class Window:
    """Shows composites in a window; `closed` once the user pressed q or Esc or closed it.

    Raises SinkError where there is no screen.
    """

    needs_foreground = False

    def __init__(self, title: str = "bshm-live") -> None:
        self._title = title
        self._shown = False
        self.closed = False
        if sys.platform == "linux":
            # Qt would complain of the fonts that OpenCV's wheel does not bring.
            os.environ.setdefault("QT_LOGGING_RULES", "default.warning=false")
            _check_screen()
        try:
            cv2.namedWindow(title, cv2.WINDOW_AUTOSIZE)
        except cv2.error as error:
            raise SinkError(_no_screen(str(error.err))) from error

    def describe(self) -> str:
        return f"window {self._title}: q or Esc ends"

    def send(self, shot: Shot) -> None:
        """Shows the composite; does nothing once the window is closed."""
        if self.closed:
            return
        if self._shown and self._gone():
            self.closed = True
            return
        cv2.imshow(self._title, shot.composite)
        self._shown = True
        if cv2.waitKey(1) & 0xFF in KEYS_TO_END:
            self.closed = True

    def _gone(self) -> bool:
        try:
            return cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) < 1
        except cv2.error:  # Qt forgets everything with its last window
            return True

    def close(self, *, ok: bool = True) -> None:
        """Takes the window away; `ok` makes no difference."""
        self.closed = True
        try:
            cv2.destroyWindow(self._title)
        except cv2.error:
            return  # the user has closed it already


class Null:
    """Counts frames in `count` and throws them away."""

    needs_foreground = False

    def __init__(self) -> None:
        self.count = 0

    def describe(self) -> str:
        return "null: frames are thrown away"

    def send(self, shot: Shot) -> None:
        self.count += 1

    def close(self, *, ok: bool = True) -> None:
        """Nothing to give back."""


def open_sink(
    text: str,
    size: Size,
    fps: float,
    *,
    layer: Layer = "composite",
    placeholder: Picture | None = None,
    audio_from: Path | None = None,
    transparent: bool = False,
) -> VirtualCamera | VideoWriter | Window | Null:
    """'vcam', 'vcam:/dev/videoN', 'window', 'null' or a file name to its sink.

    `placeholder` is for the virtual camera; layer, audio_from and transparent
    are for files. Raises SinkError.
    """
    if text == "vcam" or text.startswith("vcam:"):
        return VirtualCamera(
            text.removeprefix("vcam").removeprefix(":") or None, size, fps, placeholder=placeholder
        )
    if text == "window":
        return Window()
    if text == "null":
        return Null()
    path = Path(text).expanduser()
    if path.suffix.lower() not in SUFFIXES:
        raise SinkError(
            f"--sink {text}: unknown; give vcam, vcam:/dev/videoN, window, null or a file "
            f"that ends in {' '.join(SUFFIXES)}"
        )
    return VideoWriter(path, size, fps, layer, audio_from=audio_from, transparent=transparent)


def _check_screen() -> None:
    """Opens a window in a child first: without a screen Qt ends the whole process."""
    code = "import cv2; cv2.namedWindow('probe')"
    try:
        probe = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, timeout=PROBE_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SinkError(_no_screen(str(error))) from error
    if probe.returncode:
        raise SinkError(_no_screen("the screen cannot be reached"))


def _no_screen(reason: str) -> str:
    return f"no window: {reason}; run it on a desktop, or use --sink vcam or a file instead"
