"""A camera that may go and come back: unplugged, frozen, asleep, at another size."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from ..errors import SourceError
from ..types import Frame, Size, Source, Viewing

FIRST_PAUSE_S = 0.25  # before a lost camera is tried again; doubled after each try
LONGEST_PAUSE_S = 4.0
LOOK_S = 0.25  # how often we look whether its device is there, and whether to end
ASK_S = 0.5  # how often we ask whether anybody watches
OFF = "the camera is off"
IDLE_S = 3.0  # a camera that nobody watches is kept for so long: programs look twice

GiveUp = Callable[[], bool]
Report = Callable[[str], None]


class LiveCamera:
    """Frames of a camera for as long as the program runs, whatever becomes of the camera.

    `open_camera` gives a new source of frames, or raises SourceError; it hands
    the function it is given to whatever waits, which ends once that says True.
    The first opening is done at once and its error is the caller's; from then on
    a camera that fails is closed and tried again, and `report` gets one line for
    every change. `present` says whether its device is there at all.

    `size` and `fps` are those of the first opening; a camera that comes back at
    another size gives frames of that size. Index and time go on, `session`
    grows. Where `viewers` is set, the camera is closed while nobody watches. While
    `paused` it is closed, too, and black frames with a `fault` come at the camera's rate.
    """

    count = None

    def __init__(
        self,
        open_camera: Callable[[GiveUp], Source],
        name: str,
        report: Report,
        *,
        present: Callable[[], bool] = lambda: True,
    ) -> None:
        self._open, self._name, self._report, self._present = open_camera, name, report, present
        self.viewers: Viewing | None = None
        self.paused = False
        self._stopped = self._gave_up = False
        self._camera: Source | None = self._open(self._give_up)
        self.size: Size = self._camera.size
        self.fps: float = self._camera.fps
        self._description = self._camera.describe()
        self._told: set[str] = set()  # what keeps a lost camera away
        self._start: float | None = None
        self._index, self._time, self._session = -1, 0.0, -1
        self._used_at = self._ask_at = float("-inf")

    def describe(self) -> str:
        return self._description

    def __iter__(self) -> Iterator[Frame]:
        while not self._stopped:
            if self.paused:
                yield from self._blank()
            elif not self._needed():
                self._rest()
            elif self._camera is not None or self._reopen():
                yield from self._frames()

    def stop(self) -> None:
        """Ends the iteration within a quarter of a second; safe in a signal handler."""
        self._stopped = True

    def close(self) -> None:
        """Ends the iteration and gives the camera back."""
        self.stop()
        self._close_camera()

    def _give_up(self) -> bool:
        """Whether what waits for the camera shall end."""
        self._gave_up = self._stopped or self.paused
        return self._gave_up

    def _frames(self) -> Iterator[Frame]:
        """One session: until the camera fails, nobody watches any more, or the end."""
        assert self._camera is not None
        first, begin = self._index + 1, self._time
        self._session += 1
        self._gave_up = False
        try:
            for number, frame in enumerate(self._camera):
                if number == 0:
                    now = time.monotonic()
                    self._start = now if self._start is None else self._start
                    begin = max(begin, now - self._start)
                self._index, self._time = first + frame.index, begin + frame.time
                yield replace(frame, index=self._index, time=self._time, session=self._session)
                if self._stopped or self.paused or not self._needed():
                    return
        except SourceError as error:
            self._lose(str(error))
            return
        if not self._gave_up and not self._stopped:
            self._lose(f"camera {self._name} has ended")

    def _lose(self, why: str) -> None:
        """Closes a camera that has failed, and says that it is waited for."""
        self._close_camera()
        self._tell(why)

    def _tell(self, why: str) -> None:
        """One line, without the advice, for each new thing that keeps the camera away."""
        line = why.split(";")[0]
        if line not in self._told and not self._stopped:
            self._told.add(line)
            self._report(f"{line}; waiting for it")

    def _reopen(self) -> bool:
        """Tries until the camera is there; False once nobody watches any more."""
        pause = FIRST_PAUSE_S
        due = time.monotonic() + (pause if self._told else 0.0)
        there = self._present()
        while not self._stopped and not self.paused and self._needed():
            was, there = there, self._present()
            if there and not was:  # plugged in at this moment
                pause, due = FIRST_PAUSE_S, time.monotonic()
            if there and time.monotonic() >= due:
                if self._try():
                    return True
                due, pause = time.monotonic() + pause, min(2 * pause, LONGEST_PAUSE_S)
            time.sleep(LOOK_S)
        return False

    def _try(self) -> bool:
        """Opens the camera, and says that it is there or why not."""
        self._gave_up = False
        try:
            self._camera = self._open(self._give_up)
        except SourceError as error:
            if not self._gave_up:
                self._tell(str(error))
            return False
        width, height = self._camera.size
        self._report(f"camera {self._name} is {'back' if self._told else 'on'}: {width}x{height}")
        self._told.clear()
        return True

    def _blank(self) -> Iterator[Frame]:
        """Black frames instead of the camera's, until the pause ends."""
        self._told.clear()
        width, height = self.size
        black = np.zeros((height, width, 3), np.uint8)
        self._session += 1
        due = time.monotonic()
        while self.paused and not self._stopped:
            self._index, self._time = self._index + 1, self._time + 1 / self.fps
            yield Frame(black, self._index, self._time, session=self._session, fault=OFF)
            if self._camera is not None:  # now, when the first has left: closing takes its time
                self._close_camera()
                self._report(f"paused: camera {self._name} is off")
            now = time.monotonic()
            due = max(due + 1 / self.fps, now)
            time.sleep(due - now)
        self._used_at = time.monotonic()

    def _needed(self) -> bool:
        """Whether somebody watches, or did a moment ago."""
        if self.viewers is None:
            return True
        now = time.monotonic()
        if now >= self._ask_at:
            self._ask_at = now + ASK_S
            if self.viewers.in_use():
                self._used_at = now
        return now - self._used_at < IDLE_S

    def _rest(self) -> None:
        """The camera is off until somebody watches, or the end."""
        assert self.viewers is not None
        self._close_camera()
        self._told.clear()
        self._report(f"nobody watches: camera {self._name} is off")
        while not self._stopped and not self.paused:
            if self.viewers.wait(LOOK_S):
                self._used_at = time.monotonic()
                return

    def _close_camera(self) -> None:
        camera, self._camera = self._camera, None
        if camera is not None:
            camera.close()


class AnyOf:
    """The viewers of several virtual cameras: there are some as soon as one has some."""

    def __init__(self, parts: Sequence[Viewing]) -> None:
        self._parts = parts

    def in_use(self) -> bool:
        return any(part.in_use() for part in self._parts)

    def wait(self, timeout: float) -> bool:
        """Waits a share of the time for each, so that none is noticed late."""
        return any(part.wait(timeout / len(self._parts)) for part in self._parts)

    def close(self) -> None:
        for part in self._parts:
            part.close()
