"""The virtual camera: what Zoom, Meet, Teams and OBS pick. It survives losing its device.

Frames come from the loop's thread (`send`), and one thread of the camera's own
shows them: the newest one, at most `fps` a second. Where fewer come, the last is shown
again, so that a viewer gets the rate that was announced.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ..errors import SinkError
from ..types import Shot, Size
from .loopback import FIX, label_of, pick_loopback
from .obs import ObsCamera
from .pace import Beat, Pace
from .pipewire import NodeViewers, PipewireCamera
from .pixels import I420, PixelFormat
from .v4l2 import Busy, Loopback
from .viewers import Viewers

if TYPE_CHECKING:
    from ..types import Picture, Viewing

log = logging.getLogger(__name__)

STALE_S = 3.0  # a person who has not moved for so long is not there
CHECK_EVERY_S = 1.0
FIRST_RETRY_S, LAST_RETRY_S = 0.25, 2.0
PIPEWIRE = "pipewire"  # the device's name, where it is a node of PipeWire's
START_PATIENCE_S = 1.0  # a program that is just ending, a browser that is just looking
JOIN_S = 2.0


class Output(Protocol):
    """An open device; OSError from `show`, `again` and `check` says that it is lost."""

    device: str

    def stand_in(self, picture: Picture) -> None: ...
    def show(self, picture: Picture) -> None: ...
    def again(self) -> None: ...
    def check(self) -> None: ...
    def close(self) -> None: ...


class VirtualCamera:
    """Feeds a virtual camera with composites: BGR uint8 (H, W, 3) of exactly `size`.

    `placeholder` (black when None) is shown at once, so that programs can list
    the camera, until the first frame, and again once no frame has come for
    STALE_S. A device that is lost is opened again, as often as it takes: frames
    are dropped meanwhile and `report` gets a line when that begins and ends.
    A v4l2loopback device carries them as `pixels`.
    `repeated` and `dropped` count pictures shown again and frames not shown.
    Raises SinkError when the device cannot be had at the start.
    """

    needs_foreground = False

    def __init__(
        self,
        device: str | None,
        size: Size,
        fps: float,
        *,
        placeholder: Picture | None = None,
        pixels: PixelFormat = I420,
        report: Callable[[str], None] | None = None,
    ) -> None:
        width, height = size
        self._asked, self._size, self._fps, self._format = device, size, fps, pixels
        self._report = report or log.info
        self.repeated = self.dropped = 0
        self._idle, self._next, self._shown = (
            np.zeros((height, width, 3), np.uint8) for _ in range(3)
        )
        if placeholder is not None:
            np.copyto(self._idle, placeholder)
        self._output: Output | None = _open_patiently(device, size, fps, pixels)
        self.device = self._output.device
        self._pace, self._beat = Pace(fps), Beat(fps)
        self._idling = True
        self._frame_at = float("-inf")
        self._checked_at = self._retry_at = time.monotonic()
        self._retry_s, self._trouble = FIRST_RETRY_S, ""
        self._attempt(self._rest, self._idle)
        # What both threads touch: _next, _fresh, _idle, _stop, dropped.
        self._news = threading.Condition()
        self._fresh = self._new_idle = self._stop = False
        self._thread = threading.Thread(target=self._run, name="virtual camera", daemon=True)
        self._thread.start()

    def describe(self) -> str:
        width, height = self._size
        label = label_of(self.device)
        name = f"{self.device} ({label})" if label else self.device
        return f"virtual camera {name}: {width}x{height}, {self._fps:.4g} frames/s"

    def send(self, shot: Shot) -> None:
        """Hands the composite over; a frame that was not shown yet is dropped for it."""
        if not self._thread.is_alive():
            raise SinkError(f"virtual camera {self.device} has stopped; start the program again")
        with self._news:
            self.dropped += self._fresh
            np.copyto(self._next, shot.composite)
            self._fresh = True
            self._news.notify()

    def show_idle(self, picture: Picture) -> None:
        """What is shown instead of frames while none come: the background, (H, W, 3) BGR."""
        with self._news:
            np.copyto(self._idle, picture)
            self._new_idle = True
            self._news.notify()

    def viewers(self) -> Viewing | None:
        """Tells whether anyone watches this camera; None where that cannot be known."""
        if self._asked == PIPEWIRE:
            return NodeViewers(lambda: self._output)
        return Viewers(self.device) if sys.platform == "linux" else None

    def close(self, *, ok: bool = True) -> None:
        """Gives the camera back; `ok` makes no difference."""
        with self._news:
            self._stop = True
            self._news.notify()
        self._thread.join(JOIN_S)
        if self._output is not None and not self._thread.is_alive():
            self._output.close()
            self._output = None

    # Everything below runs in the camera's own thread.

    def _run(self) -> None:
        while self._wait():
            if self._output is None:
                self._reopen()
            elif self._take():
                self._attempt(self._output.show, self._shown)
            elif time.monotonic() - self._frame_at >= STALE_S:
                self._show_idle(self._output)
            elif self._beat.wait(time.monotonic()) == 0:
                self.repeated += 1
                self._attempt(self._output.again)

    def _wait(self) -> bool:
        """Until there is something to do; False: until the end."""
        with self._news:
            while not self._stop:
                now = time.monotonic()
                if self._output is None:
                    left = self._retry_at - now
                elif self._fresh:
                    left = self._pace.wait(now)
                elif self._new_idle and self._idling:
                    left = 0.0
                else:
                    left = self._beat.wait(now)
                if left <= 0:
                    return True
                self._news.wait(left)
        return False

    def _take(self) -> bool:
        """The newest frame into `_shown`, if there is one."""
        with self._news:
            if not self._fresh:
                return False
            self._next, self._shown = self._shown, self._next
            self._fresh = False
        now = self._frame_at = time.monotonic()
        self._pace.shown(now)
        self._idling = False
        return True

    def _show_idle(self, output: Output) -> None:
        """The background, instead of a person who would stay frozen."""
        with self._news:
            known = self._idling and not self._new_idle
            picture = None if known else self._idle.copy()
            self._new_idle = False
        self._idling = True
        if picture is None:
            self.repeated += 1
            self._attempt(output.again)
        else:
            self._attempt(self._rest, picture)

    def _rest(self, picture: Picture) -> None:
        """Shows the background, which also stands in for this process once it is gone."""
        if self._output is not None:
            self._output.stand_in(picture)
            self._output.show(picture)

    def _attempt(self, show: Callable[..., None], *pictures: Picture) -> None:
        """Shows; a device that fails is closed, to be opened again."""
        now = time.monotonic()
        self._beat.shown(now)
        try:
            show(*pictures)
            if self._output is not None and now - self._checked_at >= CHECK_EVERY_S:
                self._checked_at = now
                self._output.check()
        except OSError as error:
            why = error.strerror or str(error)
            self._lose(f"virtual camera {self.device} is lost ({why}): opening it again")

    def _lose(self, line: str) -> None:
        if self._output is not None:
            self._output.close()
            self._output = None
        self._retry_s = FIRST_RETRY_S
        self._retry_at = time.monotonic() + self._retry_s
        self._tell(line)

    def _reopen(self) -> None:
        """One try; the next comes later each time."""
        try:
            output = _open(self._asked, self._size, self._fps, self._format)
        except SinkError as error:
            self._retry_s = min(2 * self._retry_s, LAST_RETRY_S)
            self._retry_at = time.monotonic() + self._retry_s
            self._tell(str(error))
            return
        self._output, self.device = output, output.device
        # A reader must not wait for the next frame, nor see one of before.
        with self._news:
            self.dropped += self._fresh
            self._fresh, self._new_idle = False, True
        self._frame_at = float("-inf")
        self._show_idle(output)
        if self._output is not None:
            self._tell(f"virtual camera {self.device} is back")

    def _tell(self, line: str) -> None:
        if line != self._trouble:
            self._trouble = line
            self._report(line)


def _open(device: str | None, size: Size, fps: float, pixels: PixelFormat) -> Output:
    if device == PIPEWIRE:
        return PipewireCamera(size, fps)
    if sys.platform != "linux":
        return ObsCamera(device, size, fps)
    device = device or pick_loopback()
    if device is None:
        raise SinkError(f"there is no virtual camera; make one: {FIX}")
    return Loopback(device, size, fps, pixels)


def _open_patiently(device: str | None, size: Size, fps: float, pixels: PixelFormat) -> Output:
    """Waits a moment for a program that is about to let go of the device."""
    end = time.monotonic() + START_PATIENCE_S
    while True:
        try:
            return _open(device, size, fps, pixels)
        except Busy:
            if time.monotonic() >= end:
                raise
        time.sleep(0.1)
