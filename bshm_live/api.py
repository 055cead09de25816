"""Matting for other programs: NumPy arrays in, NumPy arrays out.

    with Matting() as matting:
        cut = matting.cut(picture)
        cv2.imwrite("cut.png", cut.over(office))

The three networks are those of BSHM (Liu et al., CVPR 2020), trained anew; the
foreground's colour is that of blur fusion (Forte, ICIP 2021). Nothing leaves the machine.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np

from .compositing.background import cover, plain
from .compositing.compositor import Compositor
from .errors import SettingsError
from .loop.assemble import Job, load, preset_for
from .loop.parts import CpuParts, cpu_parts
from .settings import PRESETS, RUNTIMES, Networks, Preset, Runtime
from .stills.cut import Box, hint_for, matte_of
from .types import Alpha, Mask8, Matte, Picture, Size
from .types import Matting as AnyMatting

Colour = Literal["BGR", "RGB"]
COLOURS: tuple[Colour, ...] = ("BGR", "RGB")


@dataclass(frozen=True)
class Cut:
    """A person cut out of one picture; the arrays are the caller's.

    `alpha` is float32 (H, W) in [0, 1]. `foreground` is uint8 (H, W, 3) in the order
    `colour`, the person's own colour: straight, never premultiplied, and black where
    alpha is 0.
    """

    alpha: Alpha
    foreground: Picture
    colour: Colour = "BGR"

    def over(self, background: Picture | tuple[int, int, int]) -> Picture:
        """alpha * foreground + (1 - alpha) * background, uint8 (H, W, 3).

        `background` is a colour or a picture, in the same order as the foreground; a
        picture of another size is scaled to fill and cut around its middle. Raises
        SettingsError.
        """
        height, width = self.alpha.shape
        if isinstance(background, tuple):
            behind = plain(background, (width, height))
        else:
            behind = cover(checked(background, "background"), (width, height))
        weight = self.alpha[..., None]
        mixed = weight * self.foreground + (1 - weight) * behind
        return (mixed + np.float32(0.5)).astype(np.uint8)

    def rgba(self) -> Picture:
        """uint8 (H, W, 4), straight alpha: R, G, B, A, whatever `colour` is."""
        red_first = self.foreground if self.colour == "RGB" else self.foreground[..., ::-1]
        return np.dstack((red_first, np.rint(self.alpha * 255).astype(np.uint8)))


class Matting:
    """The networks, ready to cut people out.

    `preset` is fast, balanced or quality; None takes quality for single pictures,
    balanced for frames, and networks of their own for portrait format. `runtime` is
    auto (TensorRT, else OpenVINO, else ONNX Runtime), or one by name. `threads` 0: as
    many as there are cores. `colour` is the order of every picture that goes in or comes
    out. Raises SettingsError, and EngineError where a runtime or a network is not there.

    One thread at a time may use an object. Its memory is given back by `close`, or at
    the end of a `with`.
    """

    def __init__(
        self,
        preset: Preset | None = None,
        runtime: Runtime = "auto",
        *,
        threads: int = 0,
        colour: Colour = "BGR",
    ) -> None:
        for name, value, choices in (
            ("preset", preset, (None, *PRESETS)),
            ("runtime", runtime, RUNTIMES),
            ("colour", colour, COLOURS),
        ):
            if value not in choices:
                raise SettingsError(f"{name} {value!r}: choose from {', '.join(map(str, choices))}")
        self.colour: Colour = colour
        self._settings = Networks(runtime, preset, threads)
        self._loaded: dict[str, AnyMatting] = {}
        self._stack = ExitStack()
        self._networks((4, 3), "still")  # what is missing is said now

    def cut(
        self,
        picture: Picture,
        box: Box | None = None,
        scribble: Mask8 | None = None,
    ) -> Cut:
        """Cuts the person out of one picture, uint8 (H, W, 3), at the picture's own size.

        `box` (x, y, width, height in pixels) or `scribble` (uint8 (h, w) of the picture's
        aspect, over 0 on the person) says who is meant. Raises SettingsError for what is no
        picture, EngineError where the networks fail.
        """
        if box is not None and scribble is not None:
            raise SettingsError("box and scribble: give one of them")
        image = self._bgr(picture)
        size: Size = (image.shape[1], image.shape[0])
        strokes = None if scribble is None else (np.asarray(scribble) > 0) * np.uint8(255)
        hint = hint_for(image, box, strokes)
        return self._cut(image, matte_of(self._for_stills, image, hint), Compositor(size))

    def frames(self, pictures: Iterable[Picture], *, steady: bool = True) -> Iterator[Cut]:
        """Cuts the person out of every picture of a video, each with a matte of its own.

        A picture's matte is the next one's hint; with `steady` what only flickers is
        filtered. The size may change from one picture to the next. Raises as `cut` does.
        """
        parts: CpuParts | None = None
        for picture in pictures:
            image = self._bgr(picture)
            size: Size = (image.shape[1], image.shape[0])
            if parts is None or parts.compositor.size != size:
                parts = cpu_parts(
                    self._networks(size, "file"),
                    size,
                    smooth=steady,
                    threads=self._settings.threads,
                )
            matte = parts.matting.matte(image, parts.steadier.hint(image))
            yield self._cut(image, parts.steadier.steady(matte), parts.compositor)

    def close(self) -> None:
        """Frees the networks."""
        self._loaded.clear()
        self._stack.close()

    def __enter__(self) -> Matting:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _for_stills(self, size: Size) -> AnyMatting:
        return self._networks(size, "still")

    def _networks(self, size: Size, job: Job) -> AnyMatting:
        """Those for pictures of a size, loaded when they are first needed."""
        preset = preset_for(self._settings, size, job)
        if preset not in self._loaded:
            self._loaded[preset] = load(self._settings, preset, self._stack)[1]
        return self._loaded[preset]

    def _bgr(self, picture: Picture) -> Picture:
        image = checked(picture, "picture")
        return image if self.colour == "BGR" else swapped(image)

    def _cut(self, image: Picture, matte: Matte, compositor: Compositor) -> Cut:
        nothing = np.zeros_like(image)
        _, alpha, front = compositor(image, matte, nothing, foreground=True)
        assert front is not None
        share = alpha * np.float32(1 / 255)
        return Cut(share, front.copy() if self.colour == "BGR" else swapped(front), self.colour)


def checked(picture: Any, name: str) -> Picture:
    """The same, C-contiguous. Raises SettingsError where it is not uint8 (H, W, 3)."""
    if not isinstance(picture, np.ndarray) or picture.dtype != np.uint8:
        kind = getattr(picture, "dtype", type(picture).__name__)
        raise SettingsError(f"a {name} is a NumPy array of uint8, not {kind}")
    if picture.ndim != 3 or picture.shape[2] != 3 or 0 in picture.shape:
        raise SettingsError(f"a {name} has the shape (height, width, 3), not {picture.shape}")
    return np.ascontiguousarray(picture)


def swapped(picture: Picture) -> Picture:
    """A new picture with red and blue exchanged."""
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)
