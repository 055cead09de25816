from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bshm_live.compositing.background import Blur, cover, open_background, plain
from bshm_live.errors import SettingsError
from bshm_live.settings import BackgroundSpec, parse_background
from bshm_live.types import Frame, HostMatte, Matte


def frame(image: np.ndarray, time: float = 0.0) -> Frame:
    return Frame(image, 0, time)


def matte(alpha: np.ndarray) -> Matte:
    h, w = alpha.shape
    low = np.zeros((h // 4, w // 4), np.float32)
    guide = np.zeros((h, w, 3), np.uint8)
    return HostMatte(
        alpha.astype(np.float32), np.zeros((*low.shape, 3), np.float32), low, low, guide
    )


# --- cover ------------------------------------------------------------------------------------

sides = st.integers(2, 300)


@given(sides, sides, sides, sides)
@settings(max_examples=100, deadline=None)
def test_cover_fills_keeps_the_middle_and_does_not_stretch(
    w: int, h: int, width: int, height: int
) -> None:
    """Blue grows by 1 a pixel to the right, green downwards; float64 says what must be where."""
    y, x = np.mgrid[:h, :w].astype(np.float32)
    scale = max(width / w, height / h)
    ramps = np.dstack([x, y]) * (240 / max(w, h))  # same slope both ways
    picture = np.dstack([np.rint(ramps), np.zeros((h, w))]).astype(np.uint8)
    out = cover(picture, (width, height)).astype(np.float64)
    assert out.shape == (height, width, 3)
    level = 240 / max(w, h)
    for channel, (length, old, new) in enumerate(((width, w, width), (height, h, height))):
        place = (np.arange(length) + 0.5 - new / 2) / scale + old / 2 - 0.5
        seen = out[height // 2, :, channel] if channel == 0 else out[:, width // 2, channel]
        inside = (place > 1) & (place < old - 2)  # away from repeated edges
        # cut to whole pixels: half of one at each side, and as much of the scale
        assert (np.abs(seen - place * level)[inside] <= 1.1 * level + 1.5).all()


def test_cover_copies_what_fits() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (90, 160, 3), np.uint8)
    assert np.array_equal(cover(picture, (160, 90)), picture)
    wide = cover(picture, (120, 90))
    assert np.array_equal(wide, picture[:, 20:140])
    assert wide.flags.c_contiguous


def test_a_long_thin_picture_covers_without_growing_enormous() -> None:
    line = np.full((4000, 2, 3), 77, np.uint8)
    assert (cover(line, (1920, 1080)) == 77).all()


# --- what was asked for -----------------------------------------------------------------------


def test_colour_and_none() -> None:
    green = open_background(parse_background("#00b140"), (6, 4))(
        frame(plain((0, 0, 0), (6, 4))), None
    )
    assert green.shape == (4, 6, 3)
    assert (green == (0x40, 0xB1, 0x00)).all()
    nothing = open_background(BackgroundSpec("none"), (6, 4))
    assert not nothing(frame(plain((9, 9, 9), (6, 4))), None).any()


def test_a_picture_stands_upright_and_covers(tmp_path: Path) -> None:
    picture = np.zeros((20, 40, 3), np.uint8)
    picture[:, 20:] = (10, 200, 30)
    cv2.imwrite(str(tmp_path / "room.png"), picture)
    background = open_background(parse_background(str(tmp_path / "room.png")), (80, 40))
    out = background(frame(picture), None)
    assert (out[:, 45:] == (10, 200, 30)).all()
    assert not out[:, :35].any()


def test_what_is_no_picture_or_video_is_named(tmp_path: Path) -> None:
    for name in ("bad.png", "bad.mp4"):
        file = tmp_path / name
        file.write_bytes(b"neither")
        with pytest.raises(SettingsError, match=name):
            open_background(parse_background(str(file)), (8, 8))


# --- blur -------------------------------------------------------------------------------------


def test_blur_shows_no_person_without_a_matte() -> None:
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    card = Blur(25, (96, 64))(frame(image), None)
    assert card.shape == image.shape
    assert (card == card[0, 0]).all()


RESIDUAL = np.array([0.1, -0.2, 0.05])  # B, G, R


def bilinear_times_4(x: np.ndarray) -> np.ndarray:
    """Along the first axis, pixel centres at half, edges repeated; float64."""
    place = np.clip((np.arange(4 * len(x)) + 0.5) / 4 - 0.5, 0, len(x) - 1)
    below = np.minimum(place.astype(int), len(x) - 2)
    share = (place - below)[:, None, None]
    return x[below] * (1 - share) + x[below + 1] * share


def blur_twin(image: np.ndarray, alpha: np.ndarray, sigma: float) -> np.ndarray:
    """Normalised convolution with a Gaussian in float64, without OpenCV; at a quarter size.

    The foreground's residual is RESIDUAL everywhere.
    """
    h, w = alpha.shape[0] // 4, alpha.shape[1] // 4
    small = np.rint(image.astype(np.float64).reshape(h, 4, w, 4, 3).mean((1, 3)))
    a = alpha.astype(np.float64).reshape(h, 4, w, 4).mean((1, 3))
    room = ((1 - a) ** 2)[..., None]
    reach = round(8 * sigma + 1) // 2
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)

    def gaussian(x: np.ndarray) -> np.ndarray:
        for axis in (0, 1):
            pad = [(reach, reach) if i == axis else (0, 0) for i in range(3)]
            wide = np.pad(x, pad, mode="reflect")
            places = [range(i, i + x.shape[axis]) for i in range(len(weights))]
            x = sum(w * np.take(wide, p, axis) for w, p in zip(weights, places, strict=True))
        return x / weights.sum() ** 2

    share, tint = 1 - a[..., None], 255 * a[..., None] * RESIDUAL
    seen = np.clip(share * small - tint, 0, 255 * share) * share
    mean = seen.sum((0, 1)) / room.sum()
    return (gaussian(seen) + 1e-3 * mean) / (gaussian(room) + 1e-3)


def test_blur_is_its_formula() -> None:
    rng = np.random.default_rng(0)
    image = np.kron(rng.integers(0, 256, (9, 16, 3)), np.ones((20, 20, 1))).astype(np.uint8)
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width]
    alpha = np.clip((50 - np.hypot(x - 170, y - 100)) / 12 + 0.5, 0, 1)
    says = matte(alpha)
    says.residual[:] = RESIDUAL
    out = Blur(40, (width, height))(frame(image), says)
    sigma = 13.75 + (40 - 25) * (100 - 13.75) / (200 - 25)
    twin = blur_twin(image, alpha, sigma * height / 720 / 4)
    large = bilinear_times_4(bilinear_times_4(twin).swapaxes(0, 1)).swapaxes(0, 1)
    assert np.abs(out - large).max() <= 1.5  # rounded at the small size and at the large


@pytest.mark.parametrize("radius", [1, 25, 200])
@pytest.mark.parametrize("soft", [1, 8, 24])
def test_no_red_of_the_subject_in_the_blur(radius: int, soft: int) -> None:
    height, width = 180, 320
    y, x = np.mgrid[:height, :width]
    alpha = np.clip((60 - np.hypot(x - 150, y - 90)) / soft + 0.5, 0, 1)[..., None]
    picture = np.rint(alpha * (20, 20, 250) + (1 - alpha) * 128).astype(np.uint8)
    says = matte(alpha[..., 0])
    foreground = np.array([20, 20, 250]) - picture.astype(np.float32)
    says.residual[:] = cv2.resize(foreground / 255, (width // 4, height // 4), None, 0, 0, 3)
    out = Blur(radius, (width, height))(frame(picture), says).astype(int)
    red = out[..., 2] - out[..., 0]
    # Where the subject does not hide it: what is behind a soft edge shows through.
    seen = red * (1 - alpha[..., 0])
    assert seen.max() <= 13  # of 230
    assert seen[alpha[..., 0] == 0].mean() <= 1.5


def written(height: int, text: str) -> np.ndarray:
    """A page (720, 1280, 3) with a text of so many pixels from the top of an l to the foot of a p.

    Also where it stands: rows and columns.
    """
    large = np.zeros((600, 9000), np.uint8)
    cv2.putText(large, text, (50, 400), cv2.FONT_HERSHEY_DUPLEX, 6.0, 255, 16, cv2.LINE_AA)
    rows, columns = (np.flatnonzero(large.any(axis)) for axis in (1, 0))
    large = large[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = height / large.shape[0]
    line = cv2.resize(large, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)[:, :1180]
    page = np.full((720, 1280, 3), 255, np.uint8)
    page[344 : 344 + line.shape[0], 50 : 50 + line.shape[1]] -= line[..., None]
    return page


def strokes(page: np.ndarray, height: int) -> float:
    """The contrast of letters' strokes, 0 for a grey bar: of white, the root mean square.

    Of all that varies along the line within a letter's width, 0.6 of its height: a cycle a
    letter and more. The eye reads by three (Solomon and Pelli, Nature 1994).
    """
    row = page[344 : 344 + height, 50:1230, 0].astype(np.float64)
    row -= row.mean(axis=1, keepdims=True)
    spectrum = np.abs(np.fft.rfft(row * np.hanning(row.shape[1]), axis=1)) ** 2
    fast = np.fft.rfftfreq(row.shape[1]) >= 1 / (0.6 * height)
    return float(np.sqrt(2 * spectrum[:, fast].sum(axis=1).mean()) / row.shape[1] / 255)


def blurred(page: np.ndarray, strength: int) -> np.ndarray:
    nobody = matte(np.zeros(page.shape[:2]))
    return Blur(strength, page.shape[1::-1])(frame(page), nobody)


def test_the_weakest_blur_leaves_no_strokes_of_letters_32_pixels_high() -> None:
    page = written(32, "Salary review 2026: 84,350 EUR, password hunter2")
    assert strokes(page, 32) > 0.05
    assert strokes(blurred(page, 1), 32) < 0.002
    assert strokes(blurred(written(96, "Salary review"), 1), 96) > 0.01  # large letters stay


def test_each_strength_blurs_more_than_the_last() -> None:
    page = written(64, "Salary review 2026")
    left = [blurred(page, strength).std() for strength in range(1, 201, 4)]
    assert (np.diff(left) < 0).all()


def test_blur_leaves_a_plain_room_plain() -> None:
    room = plain((90, 120, 150), (96, 64))
    for alpha in (np.zeros((64, 96)), np.ones((64, 96)) * 0.5):
        out = Blur(25, (96, 64))(frame(room), matte(alpha))
        assert np.abs(out.astype(int) - (90, 120, 150)).max() <= 1


def test_blur_of_nothing_but_person_is_finite() -> None:
    out = Blur(25, (96, 64))(frame(plain((1, 2, 250), (96, 64))), matte(np.ones((64, 96))))
    assert not out.any()
