"""A window on the desktop that shows the composite."""

from __future__ import annotations

import os
import subprocess
import sys

import cv2

from ..errors import SinkError
from ..types import Shot

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
