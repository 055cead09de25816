"""alpha * foreground + (1 - alpha) * background, at full size.

Nearly all pixels are wholly person or wholly room and are copied. Only the
soft band between them is computed: there alpha is refined along the picture's
own edges, and the old room's colour is taken out of the hair.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .temporal import low_alpha
from .types import Layers, Mask8, Matte, Picture, Size

SOLID = 255
MODEL_BLUR = 3
MODEL_EPSILON = 1e-3
CHUNK = 1 << 16  # soft pixels computed at once: bounds the temporaries
REMAP_ROW = 1 << 10  # cv2.remap takes no row longer than 32767
LIGHT_WRAP = 0.5  # how much of it, where it is asked for
GLOW_BLUR = 7  # low pixels: how far the background's light reaches into its own blur
SHINES = 1 / 512  # of the light: less is not seen
GREY_WEIGHTS = np.array([0.114, 0.587, 0.299], np.float32)  # B, G, R (BT.601)


class Compositor:
    """Composites frames of one size into buffers of its own, reused every time.

    `wrap` in [0, 1] lets the background's light fall on the person's rim.
    """

    def __init__(self, size: Size, *, wrap: float = 0.0) -> None:
        self.size, self.wrap = size, wrap
        width, height = size
        self._composite = np.empty((height, width, 3), np.uint8)
        self._foreground = np.empty((height, width, 3), np.uint8)
        self._alpha = np.empty((height, width), np.uint8)

    def __call__(
        self, image: Picture, matte: Matte, background: Picture, *, foreground: bool = False
    ) -> Layers:
        """Composite (H, W, 3), alpha (H, W) uint8 and, if asked for, the foreground.

        The foreground is straight colour, black where alpha is 0. All pictures
        have the compositor's size.
        """
        alpha = self._upsample(matte)
        soft = np.flatnonzero((alpha - np.uint8(1)).ravel() < SOLID - 1)
        solid = (alpha == SOLID).view(np.uint8)
        np.copyto(self._composite, background)
        cv2.copyTo(image, solid, self._composite)
        if foreground:
            self._foreground[...] = 0
            cv2.copyTo(image, solid, self._foreground)
        model = EdgeModel(matte, self.size)
        light = RimLight(matte, background, self.wrap, self.size) if self.wrap else None
        for start in range(0, len(soft), CHUNK):
            self._blend(soft[start : start + CHUNK], image, background, model, light, foreground)
        if light is not None:
            self._shine(light, image, solid)
        return self._composite, self._alpha, self._foreground if foreground else None

    def covered(self, background: Picture) -> Layers:
        """The background alone: what leaves when there is no valid matte."""
        np.copyto(self._composite, background)
        self._alpha[...] = 0
        self._foreground[...] = 0
        return self._composite, self._alpha, self._foreground

    def _upsample(self, matte: Matte) -> Mask8:
        # Networks may overshoot a little, and convertScaleAbs makes -0.01 a 3.
        levels = cv2.convertScaleAbs(np.maximum(matte.alpha, 0), alpha=SOLID)
        cv2.resize(levels, self.size, dst=self._alpha, interpolation=cv2.INTER_LINEAR)
        return self._alpha

    def _blend(
        self,
        at: NDArray[np.intp],
        image: Picture,
        background: Picture,
        model: EdgeModel,
        light: RimLight | None,
        foreground: bool,
    ) -> None:
        """The soft pixels `at` (flat indices) of every buffer."""
        colour = image.reshape(-1, 3).take(at, 0)
        alpha, front = model.refine(at, colour, self._alpha.ravel().take(at))
        back = background.reshape(-1, 3).take(at, 0)
        weight = (alpha / np.float32(SOLID))[:, None]
        mixed = (front if light is None else light(at, front)) - back
        mixed *= weight
        mixed += back
        mixed += np.float32(0.5)  # to the nearest level: the cast cuts off
        self._alpha.reshape(-1)[at] = alpha
        scatter(self._composite, at, mixed.astype(np.uint8))
        if foreground:
            front = (front + np.float32(0.5)) * (weight > 0)
            scatter(self._foreground, at, front.astype(np.uint8))

    def _shine(self, light: RimLight, image: Picture, solid: Mask8) -> None:
        """The solid pixels that the light reaches."""
        rim = np.flatnonzero(cv2.bitwise_and(solid, light.reach()))
        for start in range(0, len(rim), CHUNK):
            at = rim[start : start + CHUNK]
            lit = light(at, image.reshape(-1, 3).take(at, 0)) + np.float32(0.5)
            scatter(self._composite, at, lit.astype(np.uint8))


class RimLight:
    """The background, out of focus, on the person's rim: F + wrap share (glow - F).

    `share` is how much of the matte around a place is room.
    """

    def __init__(self, matte: Matte, background: Picture, wrap: float, size: Size) -> None:
        height, width = matte.residual.shape[:2]
        self._size = size
        self._to_low = np.array([width / size[0], height / size[1]], np.float32)
        glow = cv2.resize(background, (width, height), interpolation=cv2.INTER_AREA)
        glow = cv2.blur(glow, (GLOW_BLUR, GLOW_BLUR)).astype(np.float32)
        around = cv2.blur(low_alpha(matte), (MODEL_BLUR, MODEL_BLUR))
        self._share = np.float32(wrap) * np.clip(1 - around, 0, 1)
        self._maps = np.concatenate((glow, self._share[..., None]), 2)

    def __call__(self, at: NDArray[np.intp], colour: NDArray[Any]) -> NDArray[np.float32]:
        """Colours (N, 3) in [0, 255] of the pixels `at`, lit."""
        near = sample(self._maps, centres(at, self._size[0]) * self._to_low)
        lit: NDArray[np.float32] = colour + near[:, 3:] * (near[:, :3] - colour)
        return lit

    def reach(self) -> Mask8:
        """(H, W), 1 where it is seen."""
        share = cv2.resize(self._share, self._size, interpolation=cv2.INTER_LINEAR)
        return (share > SHINES).view(np.uint8)


def centres(at: NDArray[np.intp], width: int) -> NDArray[np.float32]:
    """(N, 2) places (x, y) of flat indices."""
    y, x = np.divmod(at.astype(np.int32), np.int32(width))
    places = np.empty((len(at), 2), np.float32)
    places[:, 0], places[:, 1] = x, y
    places += np.float32(0.5)
    return places


def scatter(picture: Picture, at: NDArray[np.intp], colours: NDArray[np.uint8]) -> None:
    """picture[at] = colours, flat indices and (N, 3); a pixel moved as one item is faster."""
    np.put(picture.reshape(-1).view("V3"), at, np.ascontiguousarray(colours).reshape(-1).view("V3"))


class EdgeModel:
    """How alpha follows the picture's brightness around each place.

    The fast guided filter's slope A = cov(grey, alpha) / (var(grey) + eps) (He
    and Sun, 2015), used only for what the matte's size could not hold: alpha +=
    A (grey at full size - grey at the matte's size). At equal sizes it changes
    nothing.
    """

    def __init__(self, matte: Matte, size: Size) -> None:
        height, width = matte.alpha.shape
        low_height, low_width = matte.residual.shape[:2]
        self._width = size[0]
        self._to_matte = np.array([width / size[0], height / size[1]], np.float32)
        self._to_low = np.array([low_width / width, low_height / height], np.float32)
        self._grey: NDArray[np.uint8] | None = None
        maps = [matte.residual * np.float32(SOLID)]
        if size[0] > width or size[1] > height:
            grey = cv2.cvtColor(matte.guide, cv2.COLOR_BGR2GRAY)
            maps.append(slope(grey, matte.alpha, (low_width, low_height))[..., None])
            self._grey = grey
        self._maps = np.concatenate(maps, 2)  # residual, and the slope where it is needed

    def refine(
        self, at: NDArray[np.intp], colour: NDArray[np.uint8], alpha: NDArray[np.uint8]
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """alpha (N,) uint8 and foreground (N, 3) in [0, 255] of the pixels `at`."""
        places = centres(at, self._width) * self._to_matte
        near = sample(self._maps, places * self._to_low)
        front = np.clip(colour + near[:, :3], 0, SOLID)
        if self._grey is None:
            return alpha, front
        detail = colour @ GREY_WEIGHTS - sample(self._grey, places)
        better = alpha + near[:, 3] * detail
        return np.clip(np.rint(better), 0, SOLID).astype(np.uint8), front


def slope(grey: NDArray[np.uint8], alpha: NDArray[np.float32], grid: Size) -> NDArray[np.float32]:
    """A of two (H, W) maps, uint8 and [0, 1], on a coarser grid (width, height)."""
    height, width = grey.shape
    half = (max(1, width // 2), max(1, height // 2))  # bounds the cost; A is smooth
    g = cv2.resize(grey, half, interpolation=cv2.INTER_AREA) * np.float32(1 / SOLID)
    a = cv2.resize(alpha, half, interpolation=cv2.INTER_AREA)

    def mean(x: NDArray[np.float32]) -> NDArray[np.float32]:
        small = cv2.resize(x, grid, interpolation=cv2.INTER_AREA)
        return cv2.blur(small, (MODEL_BLUR, MODEL_BLUR))

    mean_g, mean_a = mean(g), mean(a)
    covariance = mean(g * a) - mean_g * mean_a
    variance = mean(g * g) - mean_g * mean_g
    return (covariance / (variance + MODEL_EPSILON)).astype(np.float32)


def sample(x: NDArray[np.generic], places: NDArray[np.float32]) -> NDArray[np.float32]:
    """Bilinear values of x (h, w[, C]) at (N, 2) places (x, y), pixel centres at .5."""
    n = len(places)
    rows = -(-n // REMAP_ROW)
    padded = np.zeros((rows * REMAP_ROW, 2), np.float32)
    np.subtract(places, np.float32(0.5), out=padded[:n])
    grid = padded.reshape(rows, REMAP_ROW, 2)
    values = cv2.remap(
        x.astype(np.float32, copy=False),
        grid,
        None,
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return values.reshape(rows * REMAP_ROW, *x.shape[2:])[:n]
