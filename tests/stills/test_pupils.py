"""Irises of drawn eyes, whose middles are known."""

from __future__ import annotations

import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bshm_live.matting.head import Head
from bshm_live.stills.pupils import LOOKED_AT, pupils

OFF = 0.02  # of the eyes' distance: how far a found middle may be from the drawn one
SKIN, WHITE, IRIS = (150, 170, 230), (235, 235, 235), (60, 70, 40)


def face(apart: float, tilt: float, aside: np.ndarray) -> tuple[np.ndarray, Head, np.ndarray]:
    """A face's eyes, the head as it is known, and where its irises are: `aside` of there."""
    side = int(6 * apart)
    along = apart * np.array([np.cos(np.radians(tilt)), np.sin(np.radians(tilt))])
    eyes = np.array([-0.5, 0.5])[:, None] * along + side / 2
    irises = eyes + apart * aside
    picture = np.full((side, side, 3), SKIN, np.uint8)
    for x, y in irises:
        middle = (round((x - 0.5) * 16), round((y - 0.5) * 16))
        axes = (round(0.2 * apart * 16), round(0.11 * apart * 16))
        cv2.ellipse(picture, middle, axes, tilt, 0, 360, WHITE, -1, cv2.LINE_AA, 4)
        cv2.circle(picture, middle, round(0.09 * apart * 16), IRIS, -1, cv2.LINE_AA, 4)
    points = np.concatenate((eyes, np.repeat(eyes.mean(0)[None], 5, 0)))
    return picture, Head(points.astype(np.float32), 1.0), irises


@settings(max_examples=60, deadline=None)
@given(
    st.floats(40, 200),
    st.floats(-30, 30),
    st.lists(st.floats(-0.12, 0.12), min_size=4, max_size=4),
)
def test_irises_are_found(apart: float, tilt: float, aside: list[float]) -> None:
    picture, head, irises = face(apart, tilt, np.array(aside).reshape(2, 2))
    off = np.linalg.norm(pupils(picture, head) - irises, axis=1)
    assert off.max() < OFF * apart + 0.5  # half a pixel of the picture


def test_where_there_are_no_edges_the_eyes_stay() -> None:
    _, head, _ = face(56, 0, np.zeros((2, 2)))
    plain = np.full((*LOOKED_AT[::-1], 3), SKIN, np.uint8)
    points = head.points - head.eyes.mean(0) + np.array(LOOKED_AT, np.float32) / 2
    found = pupils(plain, Head(points, 1.0))
    np.testing.assert_allclose(found, points[:2], atol=0.51)
