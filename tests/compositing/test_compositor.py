from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from conftest import portrait
from hypothesis import given, settings
from hypothesis import strategies as st

from bshm_live.compositing.compositor import Compositor
from bshm_live.types import HostMatte, Matte

seeds = st.integers(0, 2**32 - 1)


def bilinear(x: np.ndarray, length: int) -> np.ndarray:
    """Along the first axis to `length`, float64, pixel centres at half, edges repeated."""
    place = np.clip((np.arange(length) + 0.5) * len(x) / length - 0.5, 0, len(x) - 1)
    below = np.minimum(place.astype(int), max(0, len(x) - 2))
    above = np.minimum(below + 1, len(x) - 1)
    share = (place - below).reshape(-1, *[1] * (x.ndim - 1))
    return x[below].astype(np.float64) * (1 - share) + x[above] * share


def enlarged(x: np.ndarray, height: int, width: int) -> np.ndarray:
    return bilinear(bilinear(x, height).swapaxes(0, 1), width).swapaxes(0, 1)


def means(x: np.ndarray, times: int) -> np.ndarray:
    """The mean of each block of `times` x `times`, float64."""
    h, w = x.shape[0] // times, x.shape[1] // times
    return x.astype(np.float64).reshape(h, times, w, times).mean((1, 3))


def noise(rng: np.random.Generator, height: int, width: int, low: int, high: int) -> np.ndarray:
    return rng.integers(low, high, (height, width, 3), np.uint8)


def random_matte(rng: np.random.Generator, low: tuple[int, int], over: float = 0.0) -> Matte:
    """A third room, a third person, a third soft; `over` reaches out of [0, 1] by so much."""
    h, w = low
    alpha = np.clip(rng.random((4 * h, 4 * w)) * 3 - 1, -over, 1 + over)
    return HostMatte(
        alpha.astype(np.float32),
        rng.uniform(-0.6, 0.6, (h, w, 3)).astype(np.float32),
        np.zeros(low, np.float32),
        np.zeros(low, np.float32),
        noise(rng, 4 * h, 4 * w, 0, 256),
    )


def foreground_twin(image: np.ndarray, matte: Matte, a: np.ndarray) -> np.ndarray:
    """Blur fusion by its formula, in float64; `a` (H, W, 1) is alpha at the picture's size."""
    height, width = image.shape[:2]
    low = means(matte.alpha, 4)[..., None].clip(0, 1)
    small = np.stack([np.floor(means(matte.guide[..., c], 4) + 0.5) for c in range(3)], 2)
    person = np.clip(small + 255 * matte.residual.astype(np.float64), 0, 255)

    def near(colours: np.ndarray, weight: np.ndarray) -> np.ndarray:
        total, share = around(colours * weight), around(weight)
        return enlarged((total + 1e-4 * colours) / (share + 1e-4), height, width)

    p, r = near(person, low**2), near(small, (1 - low) ** 2)
    return np.clip(p + a * (image - a * p - (1 - a) * r), 0, 255)


def around(x: np.ndarray) -> np.ndarray:
    """The mean of 5x5 places (h, w, C), mirrored at the edges."""
    padded = np.pad(x, ((2, 2), (2, 2), (0, 0)), mode="reflect")
    return np.lib.stride_tricks.sliding_window_view(padded, (5, 5), (0, 1)).mean((-1, -2))


def flat_matte(value: float, residual: float = 0.5) -> Matte:
    alpha = np.full((32, 64), value, np.float32)
    low = np.zeros((8, 16), np.float32)
    guide = np.zeros((32, 64, 3), np.uint8)
    return HostMatte(alpha, np.full((8, 16, 3), residual, np.float32), low, low, guide)


@given(seeds)
@settings(max_examples=25, deadline=None)
def test_the_composite_is_its_formula(seed: int) -> None:
    """At equal sizes: a F + (1 - a) B in float64, exact copies where a is 0 or 1."""
    rng = np.random.default_rng(seed)
    h, w = 48, 80
    image, background = noise(rng, h, w, 0, 256), noise(rng, h, w, 0, 256)
    matte = random_matte(rng, (h // 4, w // 4))
    composite, alpha, front = Compositor((w, h))(image, matte, background, foreground=True)
    assert front is not None

    assert np.array_equal(alpha, np.rint(matte.alpha * 255.0).astype(np.uint8))
    a = alpha[..., None] / 255.0
    f = foreground_twin(image, matte, a)
    soft = (alpha > 0) & (alpha < 255)
    assert soft.any()
    assert np.abs(composite - (a * f + (1 - a) * background))[soft].max() <= 1
    assert np.abs(front - f)[soft].max() <= 1
    assert np.array_equal(composite[alpha == 255], image[alpha == 255])
    assert np.array_equal(front[alpha == 255], image[alpha == 255])
    assert np.array_equal(composite[alpha == 0], background[alpha == 0])
    assert not front[alpha == 0].any()


sizes = st.tuples(st.integers(1, 200), st.integers(1, 200))


@given(seeds, sizes, st.booleans())
@settings(max_examples=60, deadline=None)
def test_no_camera_pixel_where_alpha_is_0(seed: int, size: tuple[int, int], over: bool) -> None:
    """At any size, also when the networks overshoot: the background alone stands there."""
    rng = np.random.default_rng(seed)
    width, height = size
    image, background = noise(rng, height, width, 200, 256), noise(rng, height, width, 0, 50)
    matte = random_matte(rng, (8, 16), 0.01 if over else 0.0)
    composite, alpha, front = Compositor(size)(image, matte, background, foreground=True)
    assert front is not None
    assert np.array_equal(composite[alpha == 0], background[alpha == 0])
    assert not front[alpha == 0].any()
    assert np.array_equal(composite[alpha == 255], front[alpha == 255])


@pytest.mark.parametrize("value", [0.0, -0.009, 0.0009])
@pytest.mark.parametrize("size", [(64, 32), (128, 64), (100, 75), (30, 20)])
def test_an_empty_matte_shows_the_background_alone(size: tuple[int, int], value: float) -> None:
    rng = np.random.default_rng(0)
    image, background = (noise(rng, size[1], size[0], 0, 256) for _ in range(2))
    composite, alpha, front = Compositor(size)(
        image, flat_matte(value), background, foreground=True
    )
    assert np.array_equal(composite, background)
    assert not alpha.any()
    assert not front.any()


@pytest.mark.parametrize("value", [1.0, 1.009])
@pytest.mark.parametrize("size", [(64, 32), (128, 64), (100, 75), (30, 20)])
def test_a_full_matte_shows_the_picture_alone(size: tuple[int, int], value: float) -> None:
    """And all of it: alpha reaches 255, and what MRN says of colour is for soft pixels only."""
    rng = np.random.default_rng(0)
    image, background = (noise(rng, size[1], size[0], 0, 256) for _ in range(2))
    composite, alpha, front = Compositor(size)(
        image, flat_matte(value), background, foreground=True
    )
    assert np.array_equal(composite, image)
    assert np.array_equal(front, image)
    assert (alpha == 255).all()


def test_the_background_alone_is_the_background_and_nothing_else() -> None:
    rng = np.random.default_rng(0)
    compositor = Compositor((64, 32))
    image, background = (noise(rng, 32, 64, 0, 256) for _ in range(2))
    compositor(image, flat_matte(0.7), background, foreground=True)
    composite, alpha, front = compositor.background_alone(background)
    assert np.array_equal(composite, background)
    assert not alpha.any()
    assert not front.any()


def test_nothing_stays_of_the_frame_before() -> None:
    rng = np.random.default_rng(0)
    pictures = [noise(rng, 64, 128, 0, 256) for _ in range(3)]
    mattes = [random_matte(rng, (8, 16)) for _ in range(2)]
    used, fresh = Compositor((128, 64)), Compositor((128, 64))
    used(pictures[0], mattes[0], pictures[2], foreground=True)
    again = used(pictures[1], mattes[1], pictures[2], foreground=True)
    for one, other in zip(
        again, fresh(pictures[1], mattes[1], pictures[2], foreground=True), strict=True
    ):
        assert np.array_equal(one, other)


def test_what_goes_in_is_not_written_to() -> None:
    rng = np.random.default_rng(0)
    image, background = noise(rng, 64, 128, 0, 256), noise(rng, 64, 128, 0, 256)
    matte = random_matte(rng, (8, 16))
    given_ = [image, background, matte.alpha, matte.residual, matte.guide]
    kept = [array.copy() for array in given_]
    out = Compositor((128, 64))(image, matte, background, foreground=True)
    assert all(map(np.array_equal, given_, kept))
    assert not any(np.shares_memory(o, g) for o in out for g in given_)


def refined_twin(picture: np.ndarray, matte: Matte) -> np.ndarray:
    """Alpha in levels at the picture's size by the formula in EdgeModel, in float64."""
    height, width = picture.shape[:2]
    weights = np.array([0.114, 0.587, 0.299])
    guide = np.rint(matte.guide @ weights)
    grey, alpha = np.rint(means(guide, 2)) / 255, means(matte.alpha, 2)

    def mean(x: np.ndarray) -> np.ndarray:
        h, w = matte.residual.shape[:2]
        wide = np.pad(means(x, len(x) // h), 1, mode="reflect")
        return sum(wide[y : y + h, x : x + w] for y in range(3) for x in range(3)) / 9

    covariance = mean(grey * alpha) - mean(grey) * mean(alpha)
    slope = covariance / (mean(grey * grey) - mean(grey) ** 2 + 1e-3)
    detail = picture @ weights - enlarged(guide, height, width)
    plain = enlarged(np.rint(matte.alpha * 255.0), height, width)
    return plain + enlarged(slope, height, width) * detail


def shrunk_matte(true: np.ndarray, picture: np.ndarray, times: int) -> Matte:
    """What perfect networks would say of a picture that is `times` larger than MRN's."""
    alpha = means(true, times).astype(np.float32)
    guide = np.stack([np.rint(means(picture[..., c], times)) for c in range(3)], 2)
    low = np.zeros((alpha.shape[0] // 4, alpha.shape[1] // 4), np.float32)
    return HostMatte(alpha, np.zeros((*low.shape, 3), np.float32), low, low, guide.astype(np.uint8))


@pytest.mark.parametrize("times", [2, 4])
def test_alpha_follows_the_picture_s_edges_by_the_formula(times: int) -> None:
    p = portrait(128 * times, 64 * times, soft=times)
    matte = shrunk_matte(p.alpha, p.picture, times)
    _, alpha, _ = Compositor((128 * times, 64 * times))(p.picture, matte, p.background)
    plain = enlarged(matte.alpha * 255, 64 * times, 128 * times)
    soft = (plain > 3) & (plain < 252)  # surely computed, not copied
    twin = np.clip(refined_twin(p.picture, matte), 0, 255)
    assert soft.sum() > 500
    assert np.abs(alpha - twin)[soft].max() <= 2
    better = np.abs(alpha / 255 - p.alpha)[soft].mean()
    assert better < 0.6 * np.abs(plain / 255 - p.alpha)[soft].mean()


@pytest.mark.parametrize("size", [(320, 180), (256, 128), (90, 47)], ids=str)
def test_light_wrap_is_its_formula(size: tuple[int, int]) -> None:
    """F + wrap * share * (glow - F), F the person's colour, share the room's part around."""
    rng, (width, height), wrap = np.random.default_rng(5), size, 0.6
    low, person = (32, 64), portrait(width, height, soft=max(2.0, width / 20))
    blobs = np.clip(cv2.resize(rng.random((9, 17), np.float32) * 3 - 1, (256, 128)), 0, 1)
    matte = replace(random_matte(rng, low), alpha=blobs)
    matte = replace(matte, residual=np.float32(0.3) * matte.residual)
    room = noise(rng, height, width, 0, 256)
    plain, alpha, front = (
        np.array(layer) for layer in Compositor(size)(person.picture, matte, room, foreground=True)
    )
    out, same_alpha, same_front = Compositor(size, wrap=wrap)(
        person.picture, matte, room, foreground=True
    )
    assert np.array_equal(alpha, same_alpha)
    assert np.array_equal(front, same_front)
    assert np.array_equal(out[alpha == 0], room[alpha == 0])

    glow = cv2.blur(cv2.resize(room, low[::-1], interpolation=cv2.INTER_AREA), (7, 7))
    share = 1 - cv2.blur(means(blobs, 4), (3, 3))
    shine = wrap * enlarged(share, height, width)[..., None]
    shine = shine * (enlarged(glow, height, width) - front)
    a = alpha[..., None] / 255.0
    right = a * (front + shine) + (1 - a) * room
    assert np.abs(out - right)[alpha > 0].max() <= 1.01
    assert np.abs(out.astype(int) - plain).max() > 20


def test_light_wrap_and_the_background_may_change_between_two_frames() -> None:
    rng, size, low = np.random.default_rng(6), (160, 96), (12, 20)
    image, *rooms = (noise(rng, size[1], size[0], 0, 256) for _ in range(3))
    mattes = [random_matte(rng, low), random_matte(rng, (8, 16))]
    used = Compositor(size)
    for wrap, room, matte in [
        *((0.0, rooms[0], mattes[0]), (0.6, rooms[0], mattes[0]), (0.6, rooms[1], mattes[0])),
        *((0.6, rooms[1], mattes[1]), (0.2, rooms[1], mattes[0]), (0.0, rooms[1], mattes[0])),
    ]:
        used.wrap = wrap
        right = Compositor(size, wrap=wrap)(image, matte, room)[0]
        assert np.array_equal(used(image, matte, room)[0], right)


def test_a_person_without_a_rim_is_lit_by_nothing() -> None:
    size = (128, 64)
    person, room = portrait(*size), np.zeros((64, 128, 3), np.uint8)
    lit, alpha, _ = Compositor(size, wrap=1.0)(person.picture, flat_matte(1.0), room)
    assert alpha.min() == 255
    assert np.array_equal(lit, person.picture)
