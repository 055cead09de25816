"""alpha * foreground + (1 - alpha) * background, at full size.

Nearly all pixels are wholly person or wholly room and are copied. Only the
soft band between them is computed: there alpha is refined along the picture's
own edges, and the old room's colour is taken out of the hair.
"""

from __future__ import annotations

from ctypes import c_float, sizeof

import numpy as np
from numpy.typing import NDArray

from ..kernels.call import (
    BLOCK,
    COLUMN_BYTES,
    GRADE,
    Compose,
    Scratch,
    address,
    prepare_once,
    rows_address,
    run,
)
from ..types import Grade, Layers, Mask8, Matte, Picture, Shape, Size
from .calm import Calm
from .edge_model import EdgeModel
from .light_wrap import glow

SOLID = 255
ROW_FLOATS = 4  # of scratch memory to a column of the matte
LIGHT_WRAP = 0.5  # how much of it, where it is asked for


class Compositor:
    """Composites frames of one size into buffers of its own, reused every time.

    `wrap` in [0, 1] lets the background's light fall on the person's rim; `grade` changes
    the person's colours, see compositing/grade.py, and `calm` in [0, 1] is how much of the
    noise in the dark is filtered. `threads` 0: all cores.
    """

    def __init__(self, size: Size, *, wrap: float = 0.0, threads: int = 0) -> None:
        self.size, self.wrap, self._threads = size, wrap, threads
        self.grade: Grade | None = None
        self.calm = 0.0
        self._calm: Calm | None = None
        width, height = size
        self._composite: Picture = np.empty((height, width, 3), np.uint8)
        self._foreground: Picture = np.empty((height, width, 3), np.uint8)
        self._alpha: Mask8 = np.empty((height, width), np.uint8)
        self._columns = np.empty(width * COLUMN_BYTES, np.uint8)
        self._starts = np.empty(0, np.int32)
        self._model: EdgeModel | None = None
        self._lit: Picture | None = None  # the background whose glow is kept
        self._light = np.empty((0, 0, 4), np.float32)
        self._arguments = Compose(
            columns=self._columns.ctypes.data,
            out=self._composite.ctypes.data,
            alpha=self._alpha.ctypes.data,
            width=width,
            height=height,
        )

    def __call__(
        self, image: Picture, matte: Matte, background: Picture, *, foreground: bool = False
    ) -> Layers:
        """Composite (H, W, 3), alpha (H, W) uint8 and, if asked for, the foreground.

        The foreground is straight colour, black where alpha is 0. All pictures
        have the compositor's size.
        """
        model = self._model_of(matte)
        image = self._calmed(image)
        shape, arguments = self._composite.shape, self._arguments
        arguments.image, arguments.image_stride = rows_address(image, shape)
        arguments.back, arguments.back_stride = rows_address(background, shape)
        light = self._light_of(background, model.low) if self.wrap else None
        arguments.glow = address(light, (*model.low, 4), np.float32)
        arguments.grade = address(self.grade, GRADE, np.float32)
        arguments.front = self._foreground.ctypes.data if foreground else None
        run("compose", arguments, shape[0], self._threads)
        return self._composite, self._alpha, self._foreground if foreground else None

    def background_alone(self, background: Picture) -> Layers:
        """The background alone: what leaves when there is no valid matte."""
        np.copyto(self._composite, background)
        self._alpha[...] = 0
        self._foreground[...] = 0
        return self._composite, self._alpha, self._foreground

    def _calmed(self, image: Picture) -> Picture:
        if not self.calm:
            self._calm = None
            return image
        self._calm = self._calm or Calm(self.size, self._threads)
        return self._calm(image, self.calm)

    def _light_of(self, background: Picture, low: Shape) -> NDArray[np.float32]:
        """The background's glow, the last one where the background is the same."""
        if background is not self._lit or self._light.shape[:2] != low:
            self._light, self._lit = glow(background, low), background
        return self._light

    def _model_of(self, matte: Matte) -> EdgeModel:
        """The edge model of a matte, at whose size the arguments are then."""
        tall, wide = matte.alpha.shape
        model = self._model
        if model is None or model.shape != (tall, wide):
            self._model = model = EdgeModel((tall, wide), self._threads)
            arguments, (width, height) = self._arguments, self.size
            arguments.levels = model.levels.ctypes.data
            arguments.grey = model.grey.ctypes.data
            arguments.maps = model.maps.ctypes.data
            arguments.wide, arguments.tall = wide, tall
            arguments.h, arguments.w = model.low
            arguments.refine = width > wide or height > tall
            blocks = -(-wide // BLOCK)
            self._starts = np.empty(blocks + 1, np.int32)
            arguments.starts = self._starts.ctypes.data
            self._scratch = Scratch(
                ROW_FLOATS * (wide + 4) * sizeof(c_float) + 2 * (2 * width + blocks)
            )
            arguments.scratch = self._scratch.address
            arguments.lane_bytes = self._scratch.lane_bytes
            prepare_once("compose_columns", arguments)
        model(matte, self.wrap)
        return model
