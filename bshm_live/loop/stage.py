"""What stands around the person: a Look whose background is open."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..compositing.background import Background, card, first_picture, open_background
from ..compositing.compositor import LIGHT_WRAP
from ..compositing.grading import NOTHING, Wanted, wanted
from ..compositing.placing import check_place
from ..compositing.touches import Touches, open_touches
from ..settings import Framing, Look, Rotate, Trouble
from ..types import Picture, Place, Size


@dataclass(frozen=True)
class Stage:
    """One whole value, taken by the loop at the start of a frame.

    `card` (H, W, 3) is shown instead of the background alone. `wrap` in [0, 1] is how much
    of the background's light falls on the person's rim; None leaves that to the compositor.
    While `paused` no frame gets a person. Frames are turned by `rotate` degrees clockwise,
    and shown `whole` or cut to fill the output; or cut as the `framing` follows the people.
    Of several people the `subject` nearest are shown, of 0 all; what would fill the output
    stands at a `place` in it. `wanted` is what the person's colours get, `touches` what is
    drawn last.
    """

    background: Background
    mirror: bool = False
    card: Picture | None = None
    wrap: float | None = None
    paused: bool = False
    rotate: Rotate = 0
    whole: bool = False
    wanted: Wanted = NOTHING
    touches: Touches | None = None
    framing: Framing | None = None
    subject: int = 0
    place: Place | None = None

    def empty(self, size: Size) -> Picture:
        """What is shown while there is no frame, (H, W, 3)."""
        picture = first_picture(self.background, size) if self.card is None else self.card
        if self.touches is not None:
            picture = picture.copy()
            self.touches(picture)
        return picture


Stages = Callable[[], Stage]  # the current one: asked once at the start of each frame


def open_stage(
    look: Look,
    size: Size,
    on_trouble: Trouble = "background",
    *,
    live: bool = False,
    background: Background | None = None,
) -> Stage:
    """The stage for pictures of `size` (width, height). Raises SettingsError.

    In a `live` run a video plays beside the loop. The caller closes the background, which
    is opened unless it is given.
    """
    touches = open_touches(look, size)
    if background is None:
        background = open_background(look.background, size, live=live, depth=look.depth)
    stand_in = card(size) if on_trouble == "card" else None
    return Stage(
        background,
        look.mirror,
        stand_in,
        LIGHT_WRAP * look.lit,
        look.paused,
        look.rotate,
        look.fit == "contain",
        wanted(look.light, look.match, look.background),
        touches,
        look.framing,
        look.subject,
        look.place and check_place(look.place, size),
    )
