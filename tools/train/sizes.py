"""Sizes (height, width): of the presets' small pictures, and of the frames made for training."""

from __future__ import annotations

SMALL, MIDDLE, LARGE, UPRIGHT = (96, 128), (128, 224), (192, 288), (288, 192)
PRESETS = {"fast": SMALL, "balanced": MIDDLE, "quality": LARGE, "tall": UPRIGHT}
FRAME, FRAME_UPRIGHT = LARGE, UPRIGHT
