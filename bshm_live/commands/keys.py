"""What the keys of the preview window do: each is a change as a command makes it."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ..control.gallery import Gallery
from ..errors import BshmError

log = logging.getLogger(__name__)

WORDS = {"space": "pause=toggle", "m": "mirror=toggle", "f": "frame=toggle", "b": "bg=blur"}
STEPS = {"left": -1, "right": 1}  # from one background of the gallery to the next


class Keys:
    """Called with a key's name; returns at once, for the loop does not wait for a change.

    `answer` is asked as by a command, and says itself why something did not change.
    """

    def __init__(self, answer: Callable[[dict[str, Any]], dict[str, Any]], gallery: Gallery):
        self._answer, self._gallery = answer, gallery
        self._step: tuple[str, str] | None = None  # from which background to which, the last time
        self._worker = ThreadPoolExecutor(1, "keys")

    def __call__(self, key: str) -> None:
        self._worker.submit(self.press, key)

    def press(self, key: str) -> None:
        try:
            word = WORDS.get(key) or self._word(key, self._answer({"status": True})["status"])
            if word:
                self._answer({"set": [word]})
        except BshmError:
            pass  # it is said, and all is as it was

    def close(self) -> None:
        self._worker.shutdown(wait=False, cancel_futures=True)

    def _word(self, key: str, now: dict[str, Any]) -> str | None:
        """What to set where it depends on what is `now`; None for nothing."""
        if key in STEPS:
            return self._other_background(STEPS[key], now["bg"])
        if key.isdecimal() and key != "0":
            return self._scene(int(key), now["scenes"])
        return None

    def _other_background(self, step: int, shown: str) -> str | None:
        """The next one after the one that is shown, or after one that could not be shown."""
        texts = [os.path.abspath(path) for path in self._gallery.paths()]
        if not texts:
            log.info(f"no pictures or videos in {self._gallery.folder}")
            return None
        last = self._step[1] if self._step and self._step[0] == shown else shown
        begin = texts.index(last) if last in texts else (-1 if step > 0 else 0)
        wanted = texts[(begin + step) % len(texts)]
        self._step = shown, wanted
        return f"bg={wanted}"

    def _scene(self, number: int, scenes: list[str]) -> str | None:
        if number > len(scenes):
            log.info(f"no scene {number}; bshm-live set save=NAME makes one of what is shown")
            return None
        return f"scene={scenes[number - 1]}"
