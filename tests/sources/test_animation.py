"""Pictures that move are told from those that do not, whatever is broken in them."""

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bshm_live.sources.animation import is_animation, is_still


def write(path: Path, count: int = 1, **more: object) -> Path:
    pictures = [Image.fromarray(np.full((20, 30, 3), 40 * n, np.uint8)) for n in range(count)]
    pictures[0].save(path, save_all=count > 1, append_images=pictures[1:], **more)
    return path


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.gif", "a.tiff", "a.avif", "a.jpg"])
def test_one_picture_is_a_still(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name)
    assert is_still(path)
    assert not is_animation(path)


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.gif", "a.avif"])
def test_several_are_not(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, 3, duration=100)
    assert not is_still(path)
    assert is_animation(path) == (name in ("a.png", "a.webp"))  # FFmpeg shows the others


def test_pages_that_cannot_be_counted_are_no_film(tmp_path: Path) -> None:
    """A TIFF whose second page has no size: its decoder fails with a TypeError."""
    path = write(tmp_path / "a.tiff")
    data = bytearray(path.read_bytes())
    (page,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, page)
    struct.pack_into("<I", data, page + 2 + 12 * entries, len(data))
    data += struct.pack("<HHHIII", 1, 259, 3, 1, 1, 0)  # its one entry: not compressed
    path.write_bytes(data)
    assert is_still(path)


@pytest.mark.parametrize("size", [0, 7, 40, 120])
@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.gif", "a.tiff", "a.avif"])
def test_what_is_cut_short_is_told_apart_without_an_error(
    tmp_path: Path, name: str, size: int
) -> None:
    path = write(tmp_path / name)
    path.write_bytes(path.read_bytes()[:size])
    assert is_still(path) in (True, False)
    assert not is_animation(path)
