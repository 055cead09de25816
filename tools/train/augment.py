"""What light, lens, sensor and compression do to a picture. RGB uint8 in and out."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

U8 = NDArray[np.uint8]

SATURATION = (0.6, 1.8)  # least and most, where hues are turned


def light(image: U8, rng: np.random.Generator, strength: float) -> U8:
    """Exposure, contrast, white balance and saturation, as one table and one mix."""
    gain = np.exp(rng.normal(0, strength, 1) + rng.normal(0, strength * 0.25, 3))
    gamma = np.exp(rng.normal(0, strength * 0.7))
    ramp = (np.arange(256) / 255)[:, None] ** gamma * gain
    table = np.clip(ramp * 255, 0, 255).astype(np.uint8).reshape(1, 256, 3)
    image = cv2.LUT(image, table)
    if rng.random() < 0.3:
        grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        image = cv2.addWeighted(image, (s := rng.uniform(0.2, 1.4)), grey, 1 - s, 0)
    return image


def low_light(image: U8, rng: np.random.Generator) -> U8:
    """Too little light, its noise, and what the camera's gain makes of both."""
    seen = image * rng.uniform(0.08, 0.4)
    noise = rng.standard_normal(image.shape, np.float32) * np.sqrt(seen + 1)
    seen = (seen + noise * rng.uniform(0.3, 0.9)) * rng.uniform(1.0, 5.0)
    return np.clip(seen, 0, 255).astype(np.uint8)


def degrade(image: U8, rng: np.random.Generator) -> U8:
    """Lens and motion blur, a small sensor, its noise, JPEG."""
    h, w = image.shape[:2]
    if rng.random() < 0.06:
        image = low_light(image, rng)
    if rng.random() < 0.25:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.2))
    if rng.random() < 0.1:
        length = int(rng.integers(3, 8))
        kernel = np.zeros((length, length), np.float32)
        kernel[length // 2] = 1 / length
        turn = cv2.getRotationMatrix2D((length / 2, length / 2), rng.uniform(0, 180), 1)
        kernel = cv2.warpAffine(kernel, turn, (length, length))
        image = cv2.filter2D(image, -1, kernel / max(kernel.sum(), 1e-3))
    if rng.random() < 0.15:
        scale = rng.uniform(0.4, 0.9)
        small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        image = cv2.resize(small, (w, h), interpolation=cv2.INTER_LINEAR)
    if rng.random() < 0.5:
        sigma = rng.uniform(0.5, 7)
        noise = rng.standard_normal((h, w, 3), np.float32) * sigma
        if rng.random() < 0.5:  # sensors blur their noise
            noise = cv2.GaussianBlur(noise, (3, 3), 0) * 2
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
    if rng.random() < 0.4:
        quality = int(rng.integers(35, 96))
        _, code = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
        image = cv2.imdecode(code, cv2.IMREAD_COLOR)
    return image


def hues(image: U8, rng: np.random.Generator) -> U8:
    """Other colours for what stands in a room: all hues turned alike, paler or stronger."""
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    turned = (hsv[..., 0].astype(np.int16) + int(rng.integers(180))) % 180
    strong = hsv[..., 1].astype(np.float32) * rng.uniform(*SATURATION)
    hsv[..., 0], hsv[..., 1] = turned, np.clip(strong, 0, 255)
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), np.uint8)
