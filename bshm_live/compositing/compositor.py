"""alpha * foreground + (1 - alpha) * background, at full size.

Nearly all pixels are wholly person or wholly room and are copied. Only the
soft band between them is computed: there alpha is refined along the picture's
own edges, and the old room's colour is taken out of the hair.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from ..types import Layers, Mask8, Matte, Picture, Size
from .light_wrap import RimLight
from .pixels import REMAP_ROW, clipped, pairs, places, repeat3, sample, scatter, whole_rows

SOLID = 255
MODEL_BLUR = 3
MODEL_EPSILON = 1e-3
COLOUR_BLUR = 5  # low pixels: how far colours are looked for
COLOUR_EPSILON = 1e-4
CHUNK = 1 << 16  # pixels computed at once: bounds the temporaries
LIGHT_WRAP = 0.5  # how much of it, where it is asked for
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
        self._places = places(size)

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
            at = whole_rows(soft[start : start + CHUNK])
            self._blend(at, image, background, model, light, foreground)
        if light is not None:
            self._shine(light, image, solid)
        return self._composite, self._alpha, self._foreground if foreground else None

    def background_alone(self, background: Picture) -> Layers:
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
        where = self._places.take(at).view(np.uint16).reshape(-1, 2)
        alpha, front = model.refine(where, colour, self._alpha.ravel().take(at))
        back = background.reshape(-1, 3).take(at, 0)
        weight = repeat3(alpha / np.float32(SOLID))
        mixed = (front if light is None else light(where, front)) - back
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
            at = whole_rows(rim[start : start + CHUNK])
            where = self._places.take(at).view(np.uint16).reshape(-1, 2)
            lit = light(where, image.reshape(-1, 3).take(at, 0)) + np.float32(0.5)
            scatter(self._composite, at, lit.astype(np.uint8))


class EdgeModel:
    """What the soft band takes from its neighbourhood: alpha's slope, and both colours.

    Alpha follows the picture's brightness: the fast guided filter's slope A =
    cov(grey, alpha) / (var(grey) + eps) (He and Sun, 2015), used only for what the
    matte's size could not hold: alpha += A (grey at full size - grey at the
    matte's size). At equal sizes it changes nothing.

    The foreground is that of blur fusion (Forte, ICIP 2021): F = p + alpha (I -
    alpha p - (1 - alpha) r), where p and r are the mean colours of person and room
    around a pixel. They come from the small picture, p from what MRN says is the
    person's colour there; what is surely one or the other counts most.
    """

    def __init__(self, matte: Matte, size: Size) -> None:
        height, width = matte.alpha.shape
        low_height, low_width = matte.residual.shape[:2]
        low = (low_width, low_height)
        self._to_matte = pairs(width / size[0], height / size[1])
        self._to_low = pairs(low_width / width, low_height / height)
        self._grey: NDArray[np.float32] | None = None
        picture = cv2.resize(matte.guide, low, interpolation=cv2.INTER_AREA).astype(np.float32)
        alpha = np.clip(cv2.resize(matte.alpha, low, interpolation=cv2.INTER_AREA), 0, 1)
        person = clipped(picture + matte.residual * np.float32(SOLID))
        # Four channels, also where three are needed: OpenCV samples them twice as fast.
        self._room, self._person = np.zeros((2, low_height, low_width, 4), np.float32)
        self._room[..., :3] = near_mean(picture, np.square(1 - alpha))
        self._person[..., :3] = near_mean(person, np.square(alpha))
        if size[0] > width or size[1] > height:
            grey = cv2.cvtColor(matte.guide, cv2.COLOR_BGR2GRAY)
            self._person[..., 3] = slope(grey, matte.alpha, low)
            self._grey = grey.astype(np.float32)

    def refine(
        self, where: NDArray[np.uint16], colour: NDArray[np.uint8], alpha: NDArray[np.uint8]
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """alpha (N,) uint8 and foreground (N, 3) in [0, 255] of the pixels at `where` (N, 2).

        N is a multiple of REMAP_ROW.
        """
        centres = where.reshape(-1, 2 * REMAP_ROW) + np.float32(0.5)
        centres *= self._to_matte
        low = centres * self._to_low
        person, room = sample(self._person, low), sample(self._room, low)
        if self._grey is not None:
            detail = colour @ GREY_WEIGHTS - sample(self._grey, centres)
            alpha = clipped(np.rint(alpha + person[:, 3] * detail)).astype(np.uint8)
        return alpha, fused(colour, alpha, colours(person), colours(room))


def colours(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """The first three of four channels: (N, 4) to (N, 3)."""
    return cv2.cvtColor(x.reshape(-1, REMAP_ROW, 4), cv2.COLOR_BGRA2BGR).reshape(-1, 3)


def near_mean(colours: NDArray[np.float32], weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """The weighted mean (h, w, 3) of the colours around each place; its own without any weight."""
    size = (COLOUR_BLUR, COLOUR_BLUR)
    total = cv2.blur(colours * weight[..., None], size) + np.float32(COLOUR_EPSILON) * colours
    total /= (cv2.blur(weight, size) + np.float32(COLOUR_EPSILON))[..., None]
    return total


def fused(
    colour: NDArray[np.uint8],
    alpha: NDArray[np.uint8],
    person: NDArray[np.float32],
    room: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Blur fusion's foreground (N, 3): the mean colour and what it leaves of the pixel's own."""
    weight = repeat3(alpha / np.float32(SOLID))
    rest = room - person
    rest *= weight
    rest += colour
    rest -= room
    rest *= weight
    rest += person
    return clipped(rest)


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
