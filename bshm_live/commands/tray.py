"""An icon in the desktop's tray: pause, mirror, backgrounds, presets, scenes, the page."""

from __future__ import annotations

import logging
import signal
import threading
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ..control.gallery import Gallery
from ..errors import BshmError
from ..settings import BLUR_DEFAULT, PRESETS

if TYPE_CHECKING:
    import pystray

log = logging.getLogger(__name__)

Answer = Callable[[dict[str, Any]], dict[str, Any]]

SIDE = 64  # pixels of the icon
SHOWN_MOST = 20  # backgrounds in the menu: a longer one fits on no screen
NO_MENU = (
    "on Debian install python3-gi and gir1.2-ayatanaappindicator3-0.1, and make the virtual "
    "environment with --system-site-packages"
)
GREEN, GREY, WHITE = (0, 177, 64), (110, 110, 110), (255, 255, 255)


class Tray:
    """The icon and its menu; each choice is what a command would say.

    A click pauses. Raises BshmError where there is no tray to be in.
    """

    def __init__(self, name: str, answer: Answer, gallery: Gallery) -> None:
        try:
            import pystray
        except ImportError as error:
            raise BshmError(f"{error.name or error}: pip install 'bshm-live[tray]'") from None
        except Exception as error:  # each kind of desktop has its own way to be missing
            raise BshmError(f"this desktop has none ({error or type(error).__name__})") from None
        if not pystray.Icon.HAS_MENU:  # such an icon hears no clicks either
            raise BshmError(f"this Python finds no menus of the desktop: {NO_MENU}")
        self._answer, self._gallery = answer, gallery
        menu = pystray.Menu(self._items)
        self._icon = pystray.Icon("bshm-live", picture(paused=False), name, menu)
        threading.Thread(target=self._run, name="tray", daemon=True).start()

    def close(self) -> None:
        self._icon.stop()

    def _run(self) -> None:
        try:
            self._icon.run()
        except Exception as error:  # as above: a desktop without D-Bus, for one
            log.info(f"no tray icon: {error or type(error).__name__}")

    def _items(self) -> Iterator[pystray.MenuItem]:
        """What the menu shows now; asked each time that it is made."""
        from pystray import Menu, MenuItem

        now = self._now()
        paused = bool(now["paused"])
        pause = "Resume" if paused else "Pause"
        yield MenuItem(pause, self._set("pause=toggle"), default=True)
        yield MenuItem("Mirror", self._set("mirror=toggle"), checked=lambda _: bool(now["mirror"]))
        yield Menu.SEPARATOR
        backgrounds = [("Blur", f"blur:{BLUR_DEFAULT}")]
        backgrounds += [(path.stem, str(path)) for path in self._gallery.paths()[:SHOWN_MOST]]
        yield self._choices("Background", "bg", backgrounds, now["bg"])
        auto = [("Automatic", "auto")] if now["preset_follows_the_machine"] else []
        presets = auto + [(preset.capitalize(), preset) for preset in PRESETS]
        yield self._choices("Networks", "preset", presets, now["preset"])
        if now["scenes"]:
            yield self._choices("Scenes", "scene", [(name, name) for name in now["scenes"]], None)
        if now["page"]:
            yield MenuItem("Control page", lambda: webbrowser.open(now["page"]))
        yield Menu.SEPARATOR
        yield MenuItem("Quit", lambda: signal.raise_signal(signal.SIGINT))

    def _choices(
        self, title: str, key: str, choices: list[tuple[str, str]], shown: str | None
    ) -> pystray.MenuItem:
        from pystray import Menu, MenuItem

        def item(text: str, value: str) -> MenuItem:
            return MenuItem(text, self._set(f"{key}={value}"), checked=lambda _: value == shown)

        return MenuItem(title, Menu(*(item(text, value) for text, value in choices)))

    def _set(self, word: str) -> Callable[[], None]:
        def chosen() -> None:
            with suppress(BshmError):  # it is said, and all is as it was
                self._answer({"set": [word]})
            self._icon.icon = picture(paused=bool(self._now()["paused"]))
            self._icon.update_menu()

        return chosen

    def _now(self) -> dict[str, Any]:
        return dict(self._answer({"status": True})["status"])


def picture(*, paused: bool) -> Any:
    """Somebody before green, or before grey in a pause: a Pillow image."""
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (SIDE, SIDE), GREY if paused else GREEN)
    draw = ImageDraw.Draw(image)
    draw.ellipse((20, 8, 44, 34), WHITE)
    draw.pieslice((8, 38, 56, 92), 180, 360, WHITE)
    return image
