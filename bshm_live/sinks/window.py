"""A window on the desktop that shows the composite."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from ..errors import SinkError
from ..types import Shot

HELP = {
    "space": "pause, or go on",
    "left, right": "another background",
    "m": "mirror",
    "b": "blur",
    "f": "the picture follows you, or stays",
    "1 to 9": "scenes",
    "h": "this help",
    "q, Esc": "the end",
}
TEXT_SHARE = 1 / 22  # of the window's height, for a line of the help
MARGIN = 0.8  # around the help, in lines
SHADE, INK = (0, 0, 0, 170), (255, 255, 255)  # the last of four is how opaque


class Window:
    """Shows composites in a window; `closed` once the user pressed q or Esc or closed it.

    `pressed` is called with the name of each other key, in the loop's thread. Raises
    SinkError where there is no screen.
    """

    needs_foreground = False

    def __init__(self, title: str = "bshm-live") -> None:
        self._title = title
        self.closed = False
        self.pressed: Callable[[str], None] = _nothing
        self._help = False  # whether it is drawn over the picture
        self._pygame = _pygame()
        try:
            self._pygame.display.init()
        except self._pygame.error as error:
            raise SinkError(_no_screen(str(error))) from error
        self._pygame.display.set_caption(title)
        self._pygame.display.set_allow_screensaver(True)

    def describe(self) -> str:
        return f"window {self._title}: q or Esc ends, h shows what other keys do"

    def send(self, shot: Shot) -> None:
        """Shows the composite; does nothing once the window is closed."""
        if self.closed:
            return
        display = self._pygame.display
        picture = np.ascontiguousarray(shot.composite)
        size = picture.shape[1::-1]
        screen = display.get_surface()
        try:
            if screen is None or screen.get_size() != size:
                screen = display.set_mode(size)
            screen.blit(self._pygame.image.frombuffer(picture, size, "BGR"), (0, 0))
            if self._help:
                self._draw_help(screen)
            display.flip()
        except self._pygame.error as error:
            raise SinkError(_no_screen(str(error))) from error
        for event in self._pygame.event.get():
            if event.type == self._pygame.QUIT:
                self.closed = True
            elif event.type == self._pygame.KEYDOWN:
                self._press(_key_of(event, self._pygame))

    def _press(self, key: str) -> None:
        if key in ("q", "escape"):
            self.closed = True
        elif key == "h":
            self._help = not self._help
        else:
            self.pressed(key)

    def _draw_help(self, screen: Any) -> None:
        """Over the picture on the screen, and over no other."""
        self._pygame.font.init()
        line = max(8, round(screen.get_height() * TEXT_SHARE))
        font, margin = self._pygame.font.Font(None, line), round(MARGIN * line)
        columns = [font.render("\n".join(words), True, INK) for words in (HELP, HELP.values())]
        width = sum(column.get_width() for column in columns) + 3 * margin
        height = columns[0].get_height() + 2 * margin
        panel = self._pygame.Surface((width, height), self._pygame.SRCALPHA)
        panel.fill(SHADE)
        panel.blit(columns[0], (margin, margin))
        panel.blit(columns[1], (columns[0].get_width() + 2 * margin, margin))
        screen.blit(panel, (margin, margin))

    def close(self, *, ok: bool = True) -> None:
        """Takes the window away; `ok` makes no difference."""
        self.closed = True
        self._pygame.display.quit()


def _nothing(key: str) -> None:
    """Nobody listens."""


def _key_of(event: Any, pygame: ModuleType) -> str:
    """A key's name; a digit's wherever a keyboard has it."""
    typed: str = getattr(event, "unicode", "")
    return typed if typed.isdecimal() else str(pygame.key.name(event.key))


def _pygame() -> ModuleType:
    """pygame, loaded only where a window is asked for. Raises SinkError."""
    screens = ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER")
    if sys.platform == "linux" and not any(os.environ.get(name) for name in screens):
        # SDL would take the text console over.
        raise SinkError(_no_screen("neither DISPLAY nor WAYLAND_DISPLAY is set"))
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    os.environ.setdefault("SDL_NO_SIGNAL_HANDLERS", "1")  # Ctrl-C is ours
    try:
        import pygame
    except ImportError as error:
        raise SinkError(f"no window: {error}; type: pip install pygame-ce") from error
    return pygame


def _no_screen(reason: str) -> str:
    return f"no window: {reason}; run it on a desktop, or use --sink vcam or a file instead"
