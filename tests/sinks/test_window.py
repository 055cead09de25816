"""The window: SDL's own, on a screen in memory."""

import sys

import numpy as np
import pygame
import pytest

from bshm_live.errors import SinkError
from bshm_live.sinks import open_sink
from bshm_live.sinks.window import Window
from bshm_live.types import Shot


@pytest.fixture(autouse=True)
def screen_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")


def shot(size: tuple[int, int] = (128, 96)) -> Shot:
    picture = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    return Shot(picture, picture[:, :, 0], None, 0, 0.0, True)


def shown() -> np.ndarray:
    """What the screen shows, BGR (H, W, 3)."""
    screen = pygame.display.get_surface()
    assert screen is not None
    return pygame.surfarray.array3d(screen).swapaxes(0, 1)[:, :, ::-1]


def test_window_shows_the_composite_at_every_size() -> None:
    window = open_sink("window", (128, 96), 30.0)
    assert isinstance(window, Window)
    for size in ((128, 96), (128, 96), (66, 200)):
        window.send(shot(size))
        assert np.array_equal(shown(), shot(size).composite)
    # Rows that do not follow each other in memory.
    mirrored = Shot(shot().composite[:, ::-1], shot().alpha, None, 0, 0.0, True)
    window.send(mirrored)
    assert np.array_equal(shown(), mirrored.composite)
    window.close()
    window.close()


@pytest.mark.parametrize(
    ("event", "ends"),
    [
        (pygame.event.Event(pygame.KEYDOWN, key=pygame.K_q), True),
        (pygame.event.Event(pygame.KEYDOWN, key=pygame.K_ESCAPE), True),
        (pygame.event.Event(pygame.QUIT), True),  # the cross
        (pygame.event.Event(pygame.KEYDOWN, key=pygame.K_a), False),
        (pygame.event.Event(pygame.KEYUP, key=pygame.K_q), False),
    ],
)
def test_window_ends_with_a_key_or_its_cross(event: pygame.event.Event, ends: bool) -> None:
    window = Window()
    window.send(shot())
    assert not window.closed
    pygame.event.post(event)
    window.send(shot())
    assert window.closed == ends
    window.close()
    assert window.closed
    window.send(shot())  # nothing any more
    assert not pygame.display.get_init()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems always have a screen")
@pytest.mark.parametrize("variables", [{}, {"DISPLAY": ":4711"}])
def test_no_screen_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
        monkeypatch.setenv("SDL_VIDEODRIVER", "x11")
    with pytest.raises(SinkError, match=r"\Ano window: .*--sink vcam.*\Z"):
        Window()


def test_missing_pygame_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pygame", None)
    with pytest.raises(SinkError, match=r"\Ano window: .*pip install pygame-ce\Z"):
        Window()


def press(key: int, unicode: str = "") -> None:
    pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=key, unicode=unicode))


def test_other_keys_are_told_by_name() -> None:
    window, told = Window(), []
    window.send(shot())
    press(pygame.K_LEFT)  # nobody listens yet
    window.send(shot())
    window.pressed = told.append
    for key in (pygame.K_SPACE, pygame.K_LEFT, pygame.K_RIGHT, pygame.K_m, pygame.K_1):
        press(key)
    press(pygame.K_AMPERSAND, "1")  # on a French keyboard, with shift
    press(pygame.K_KP2, "2")
    window.send(shot())
    assert told == ["space", "left", "right", "m", "1", "1", "2"]
    assert not window.closed
    window.close()


@pytest.mark.parametrize("size", [(640, 360), (64, 64), (360, 640)])
def test_help_is_drawn_over_the_screen_and_no_other_picture(size: tuple[int, int]) -> None:
    window, given = Window(), shot(size)
    before = given.composite.copy()
    window.send(given)
    press(pygame.K_h)
    window.send(given)
    window.send(given)
    with_help = shown()
    assert np.array_equal(given.composite, before)
    assert (with_help != before).any()
    assert (with_help.max(2) > 240).any()  # the ink
    assert np.array_equal(with_help[:2], before[:2])  # only where it stands
    press(pygame.K_h)
    window.send(given)
    window.send(given)
    assert np.array_equal(shown(), before)
    window.close()
