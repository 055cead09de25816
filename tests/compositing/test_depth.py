"""A lens's blur against its formula in float64: discs, growing with the distance, no bleeding."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bshm_live.compositing import depth
from bshm_live.compositing.background import DARK, Blur
from bshm_live.compositing.depth import DISC, FAR, RISE, Depth
from bshm_live.types import Frame, HostMatte

W, H = 41, 30


def disc_mean(seen: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Place by place: each row of a disc covers a part of the places at its two ends."""
    h, w, _ = seen.shape
    out = np.zeros(seen.shape)
    for y in range(h):
        r, area = float(radii[y]), 0.0
        for i in range(-int(r), int(r) + 1):
            reach = np.sqrt(r * r - i * i)
            area += 2 * reach
            if not 0 <= y + i < h:
                continue
            edges = np.arange(w + 1)
            for x in range(w):
                left, right = x + 0.5 - reach, x + 0.5 + reach
                covered = np.clip(
                    np.minimum(edges[1:], right) - np.maximum(edges[:-1], left), 0, None
                )
                out[y, x] += covered @ seen[y + i]
        out[y] /= area
    return out


@pytest.mark.parametrize("sigma", [0.3, 1.3, 3.1])
def test_discs_are_the_formula(sigma: float) -> None:
    rng = np.random.default_rng(0)
    seen = rng.random((H, W, 4)).astype(np.float32)
    alpha = np.zeros((H, W), np.float32)
    alpha[10:25, 15:25] = 1
    made = Depth((W, H), sigma)(seen, alpha, 0.0)
    radii = [
        DISC * sigma * (1 + (FAR - 1) * np.clip((25 / H - (y + 0.5) / H) / RISE, 0, 1))
        for y in range(H)
    ]
    assert np.abs(made - disc_mean(seen.astype(np.float64), np.array(radii))).max() < 2e-4


@given(st.floats(0, 1), st.floats(0.3, 8))
def test_the_blur_grows_with_the_distance_and_is_never_less(line: float, sigma: float) -> None:
    radii = Depth((8, 40), sigma).radii(line)
    assert (np.diff(radii) <= 1e-6).all()
    assert radii[-1] >= DISC * sigma * (1 - 1e-6)
    assert radii[0] <= FAR * DISC * sigma * (1 + 1e-6)


def room(person: tuple[int, int, int], light: int = 255) -> tuple[Frame, HostMatte]:
    """A dim room with one lamp, and a person of a colour, whose matte knows all of it."""
    h, w = 24, 40
    y, x = np.mgrid[: 4 * h, : 4 * w].astype(np.float32)
    alpha = np.clip((20 - np.hypot(x - 90, y - 70)) / 6 + 0.5, 0, 1)
    picture = np.full((4 * h, 4 * w, 3), (30.0, 34, 38))
    picture[20:24, 30:34] = light
    mixed = picture + alpha[..., None] * (np.array(person) - picture)
    residual = (np.array(person) - mixed) / 255
    low = residual.reshape(h, 4, w, 4, 3).mean((1, 3)).astype(np.float32)
    low[alpha.reshape(h, 4, w, 4).max((1, 3)) == 0] = 0
    zero = np.zeros((h, w), np.float32)
    image = np.rint(mixed).astype(np.uint8)
    return Frame(image, 0, 0.0), HostMatte(alpha.astype(np.float32), low, zero, zero, image)


def test_no_colour_of_the_person_is_in_the_room() -> None:
    """Neither beside nor behind: of a bright red person and of a black one it is the same."""
    size = (160, 96)
    made = [
        Blur(25, size, depth=True)(*room(colour)).astype(int)
        for colour in ((20, 20, 255), (0, 0, 0))
    ]
    assert np.abs(made[0] - made[1]).max() <= 6
    assert (made[0][..., 2] - made[0][..., 0]).max() <= 16


def test_a_lamp_becomes_a_disc() -> None:
    """Of one level inside, where a Gaussian has a peak; a plain wall stays as it is."""
    size = (160, 96)
    frame, matte = room((120, 120, 120))
    plain, lens = (Blur(25, size, depth=on)(frame, matte).astype(int) for on in (False, True))
    inside = np.s_[20:25, 30:35, 1]
    assert np.ptp(lens[inside]) < 0.5 * np.ptp(plain[inside])
    assert lens[inside].min() > 34 + 50
    assert np.abs(lens[80:, 130:] - (30, 34, 38)).max() <= 1


def test_without_a_matte_there_is_the_card() -> None:
    frame, _ = room((9, 9, 9))
    assert (Blur(25, (160, 96), depth=True)(frame, None) == DARK).all()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 99), st.integers(1, 200))
def test_any_room_gives_levels_of_its_own(seed: int, strength: int) -> None:
    """Also where nearly all is person: nothing brighter than the brightest of the room."""
    rng = np.random.default_rng(seed)
    alpha = np.clip(rng.random((48, 80)) * 3 - 1, 0, 1).astype(np.float32)
    image = rng.integers(0, 120, (48, 80, 3), np.uint8)
    low = np.zeros((12, 20), np.float32)
    matte = HostMatte(alpha, np.zeros((12, 20, 3), np.float32), low, low, image)
    made = Blur(strength, (80, 48), depth=True)(Frame(image, 0, 0.0), matte)
    assert made.max() <= 120


def test_who_sits_down_does_not_make_it_jump() -> None:
    blur, last = Depth((8, 40), 1.0), None
    for index in range(90):
        alpha = np.zeros((40, 8), np.float32)
        alpha[5 : 20 if 30 <= index < 45 else 36] = 1
        blur(np.zeros((40, 8, 4), np.float32), alpha, index / 30)
        line = blur._line(index / 30)
        assert line is not None
        assert last is None or abs(line - last)[0] <= depth.LINE_RATE[0] / 30 + 1e-9
        last = line
    assert last == pytest.approx(36 / 40)
