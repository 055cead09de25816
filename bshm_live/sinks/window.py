"""A window on the desktop that shows the composite."""

from __future__ import annotations

import os
import sys
from types import ModuleType

import numpy as np

from ..errors import SinkError
from ..types import Shot


class Window:
    """Shows composites in a window; `closed` once the user pressed q or Esc or closed it.

    Raises SinkError where there is no screen.
    """

    needs_foreground = False

    def __init__(self, title: str = "bshm-live") -> None:
        self._title = title
        self.closed = False
        self._pygame = _pygame()
        try:
            self._pygame.display.init()
        except self._pygame.error as error:
            raise SinkError(_no_screen(str(error))) from error
        self._pygame.display.set_caption(title)
        self._pygame.display.set_allow_screensaver(True)

    def describe(self) -> str:
        return f"window {self._title}: q or Esc ends"

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
            display.flip()
        except self._pygame.error as error:
            raise SinkError(_no_screen(str(error))) from error
        self.closed = any(map(self._ends, self._pygame.event.get()))

    def _ends(self, event: object) -> bool:
        """Whether this is the window's cross, q or Esc."""
        kind = getattr(event, "type", None)
        keys = (self._pygame.K_q, self._pygame.K_ESCAPE)
        return kind == self._pygame.QUIT or (
            kind == self._pygame.KEYDOWN and getattr(event, "key", None) in keys
        )

    def close(self, *, ok: bool = True) -> None:
        """Takes the window away; `ok` makes no difference."""
        self.closed = True
        self._pygame.display.quit()


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
