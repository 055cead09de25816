"""The bytes of the virtual camera: each format's layout, and BT.601 by the standard's formula."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bshm_live.settings import VCAM_FORMATS
from bshm_live.sinks.pixels import BGRX, BY_NAME, I420, NV12, YUYV, PixelFormat
from bshm_live.types import Picture

ROUNDING = 1.5  # levels
COLOURS = st.lists(st.tuples(*[st.integers(0, 255)] * 3), min_size=6, max_size=6)


def blocks(colours: list[tuple[int, int, int]]) -> Picture:
    """Blocks of two by two pixels, three beside each other and two below."""
    small = np.array(colours, np.uint8).reshape(2, 3, 3)
    return np.ascontiguousarray(small.repeat(2, axis=0).repeat(2, axis=1))


def bt601(picture: Picture) -> np.ndarray:
    """Y, Cb and Cr in limited range by ITU-R BT.601-7, 2.5, (H, W, 3) float64."""
    blue, green, red = np.moveaxis(picture.astype(np.float64) / 255, 2, 0)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    return np.stack(
        [16 + 219 * luma, 128 + 224 * (blue - luma) / 1.772, 128 + 224 * (red - luma) / 1.402], 2
    )


def planes(pixels: PixelFormat, out: Picture, size: tuple[int, int]) -> np.ndarray:
    """Y, Cb and Cr of every block's first pixel, read byte by byte as V4L2 describes the format."""
    width, height = size
    raw = out.reshape(-1)
    found = np.zeros((height // 2, width // 2, 3))
    for row in range(height // 2):
        for column in range(width // 2):
            block = row * (width // 2) + column
            if pixels is YUYV:
                at = 2 * row * width * 2 + column * 4
                where = (at, at + 1, at + 3)
            else:
                luma, after = 2 * row * width + 2 * column, width * height
                both = (after + block, after + width * height // 4 + block)
                pair = (after + 2 * block, after + 2 * block + 1)
                where = (luma, *(both if pixels is I420 else pair))
            found[row, column] = [raw[at] for at in where]
    return found


@pytest.mark.parametrize("pixels", [I420, YUYV, NV12], ids=lambda pixels: pixels.name)
@settings(max_examples=30)
@given(colours=COLOURS)
def test_every_format_is_bt601_in_its_own_layout(
    pixels: PixelFormat, colours: list[tuple[int, int, int]]
) -> None:
    picture = blocks(colours)
    out = pixels.empty((6, 4))
    pixels.convert(picture, out)
    assert np.abs(planes(pixels, out, (6, 4)) - bt601(picture)[::2, ::2]).max() <= ROUNDING


def test_bgrx_is_the_picture_itself() -> None:
    picture = np.random.default_rng(1).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    out = BGRX.empty((6, 4))
    BGRX.convert(picture, out)
    assert (out.reshape(4, 6, 4)[..., :3] == picture).all()


@pytest.mark.parametrize("pixels", [I420, YUYV, NV12, BGRX], ids=lambda pixels: pixels.name)
def test_a_picture_fills_its_room_in_place(pixels: PixelFormat) -> None:
    picture = np.full((96, 128, 3), 200, np.uint8)
    out = pixels.empty((128, 96))
    whole = out.copy()
    pixels.convert(picture, out)
    assert (out != whole).all()  # every byte is written, none elsewhere
    assert out.nbytes == pixels.stride((128, 96)) * 96 * pixels.rows


def test_every_format_of_the_command_line_is_there() -> None:
    assert tuple(BY_NAME) == VCAM_FORMATS
