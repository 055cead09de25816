"""What a studio's look costs, beside the plain composite: bounds as ratios, taken in turns."""

from __future__ import annotations

import time
from collections.abc import Callable

import cv2
import numpy as np

from bshm_live.compositing.background import Blur
from bshm_live.compositing.calm import Calm
from bshm_live.compositing.compositor import Compositor
from bshm_live.compositing.grading import Grading, Wanted
from bshm_live.compositing.placing import Placer
from bshm_live.compositing.touches import Touches
from bshm_live.matting.window import Cropper
from bshm_live.settings import Border
from bshm_live.types import Frame, HostMatte, Place, Window

SIZE = (1280, 720)
ROUNDS = 12
# Times the plain composite's processor time, at 720p with a person over a quarter of the picture.
# Measured: light and match together 0.8, the noise 1.4, all that is drawn last 0.5, a part of the
# camera's picture 0.8, a person in a corner 1.6 of it; the blur with depth 1.0 of the one without.
LIGHT_MOST, CALM_MOST, TOUCHES_MOST, DEPTH_MOST = 1.5, 2.5, 1.5, 2.0
CROP_MOST, PLACE_MOST = 2.0, 3.0


def least(*runs: Callable[[], object]) -> list[float]:
    """Processor time of each in seconds, the least of many taken in turns."""
    times: list[list[float]] = [[] for _ in runs]
    for _ in range(ROUNDS):
        for run, taken in zip(runs, times, strict=True):
            start = time.process_time()
            run()
            taken.append(time.process_time() - start)
    return [min(taken) for taken in times]


def test_each_costs_no_more_than_a_small_multiple_of_the_composite() -> None:
    rng = np.random.default_rng(0)
    image, back = (cv2.resize(rng.integers(0, 256, (9, 16, 3), np.uint8), SIZE) for _ in range(2))
    y, x = np.mgrid[:288, :512]
    alpha = np.clip((105 - np.hypot(x - 256, (y - 200) * 0.8)) / 6 + 0.5, 0, 1).astype(np.float32)
    low = np.zeros((72, 128), np.float32)
    residual = np.zeros((72, 128, 3), np.float32)
    matte = HostMatte(alpha, residual, low, low, cv2.resize(image, (512, 288)))
    plain, lit = Compositor(SIZE), Compositor(SIZE)
    wanted, grading, frames = Wanted(1.0, 1.0), Grading(), iter(range(10**6))

    def light() -> None:
        """Three frames: of that many one is measured."""
        for _ in range(3):
            frame = Frame(image, 0, next(frames) / 30)
            grading.see(frame, matte, back, back, wanted)
            lit.grade = grading.grade(frame.time, wanted)
            lit(image, matte, back)

    dark, calm = image // 4, Calm(SIZE)
    touches = Touches(SIZE, 0.5, Border(8))
    touches.lay(image[:200, :300].copy(), np.full((200, 300), 200, np.uint8), (900, 40))
    blur, lens = (Blur(25, SIZE, depth=on) for on in (False, True))
    frame, drawn = Frame(image, 0, 0.0), image.copy()
    crop, placer = Cropper(SIZE), Placer(SIZE)
    placer.jump(Place(70, 100, 60))
    whole = plain(image, matte, placer.black)
    one, three, quiet, last, soft, deep, near, small = least(
        lambda: plain(image, matte, back),
        light,
        lambda: calm(dark, 1.0),
        lambda: touches(drawn),
        lambda: blur(frame, matte),
        lambda: lens(frame, matte),
        lambda: crop(image, Window(40.3, 20.7, 1200, 675)),
        lambda: placer(whole, back),
    )
    assert three / 3 - one <= LIGHT_MOST * one
    assert quiet <= CALM_MOST * one
    assert last <= TOUCHES_MOST * one
    assert deep <= DEPTH_MOST * soft
    assert near <= CROP_MOST * one
    assert small <= PLACE_MOST * one
