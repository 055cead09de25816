from __future__ import annotations

import io
import logging
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from conftest import PACKAGE, portrait
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from bshm_live.errors import SourceError
from bshm_live.sources import picture as module
from bshm_live.sources.picture import (
    FAINT,
    HIDDEN,
    NotAPicture,
    Still,
    check_picture,
    decode,
    read_picture,
)

WIDE = 48, 32
FORMATS = {  # name: (what Pillow is told, levels that a lossy one may be off)
    "JPEG": ({"quality": 98, "subsampling": 0}, 12),
    "PNG": ({}, 0),
    "WEBP": ({"lossless": True}, 0),
    "TIFF": ({}, 0),
    "BMP": ({}, 0),
    "GIF": ({}, 60),
    "AVIF": ({"quality": 95}, 16),
    "JPEG2000": ({}, 0),
    "PPM": ({}, 0),
}


def saved(image: Image.Image, kind: str, **how: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **how)
    return out.getvalue()


def shown(data: bytes) -> Still:
    return decode(io.BytesIO(data), "a.picture")


def rgb(made: Still) -> np.ndarray:
    return made.picture[..., ::-1].astype(int)


def face() -> np.ndarray:
    """(32, 48, 3) RGB, different under every turn and mirror."""
    return np.ascontiguousarray(portrait(*WIDE, centre=(12, 10)).picture[..., ::-1])


# --- formats and sizes ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_is_read_by_its_content(tmp_path: Path, kind: str) -> None:
    how, slack = FORMATS[kind]
    path = tmp_path / "wrong-ending.txt"
    path.write_bytes(saved(Image.fromarray(face()), kind, **how))
    check_picture(path)
    still = read_picture(path)
    assert (still.picture.dtype, still.picture.flags.c_contiguous) == (np.uint8, True)
    assert still.alpha is None
    assert np.abs(rgb(still) - face()).max() <= slack


def test_heic_is_read_where_its_reader_is_installed() -> None:
    heif = pytest.importorskip("pillow_heif", reason="needs the extra heic")
    out = io.BytesIO()
    heif.from_pillow(Image.fromarray(face()).resize((96, 64))).save(out, quality=95)
    assert shown(out.getvalue()).picture.shape == (64, 96, 3)


def test_heic_without_its_reader_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(SourceError, match=r"HEIC.*bshm-live\[heic\].*JPEG"):
        shown(struct.pack(">I", 24) + b"ftypheic" + bytes(12))


def png_header(width: int, height: int) -> bytes:
    """A PNG that says it is so large, and holds nothing."""
    return png_of(struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0), (b"IDAT", b""))


def png_of(head: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in ((b"IHDR", head), *chunks, (b"IEND", b""))
    )


def bmp_header(width: int, height: int) -> bytes:
    data = bytearray(saved(Image.new("RGB", (4, 4)), "BMP"))
    data[18:26] = struct.pack("<ii", width, height)
    return bytes(data)


def gif_header(width: int, height: int) -> bytes:
    data = bytearray(saved(Image.new("P", (4, 4)), "GIF"))
    data[6:10] = struct.pack("<HH", width, height)
    return bytes(data)


def jpeg_header(width: int, height: int) -> bytes:
    data = bytearray(saved(Image.new("RGB", (4, 4)), "JPEG"))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def tiff_header(width: int, height: int, big: bool = False) -> bytes:
    """The size alone, in a TIFF or a BigTIFF."""
    tags = [(256, width), (257, height), (258, 8), (259, 1), (262, 1), (273, 8), (279, 1)]
    if big:
        body = b"".join(struct.pack("<HHQQ", tag, 4, 1, value) for tag, value in tags)
        start = struct.pack("<2sHHHQQ", b"II", 43, 8, 0, 16, len(tags))
        return start + body + struct.pack("<Q", 0)
    body = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + body + struct.pack("<I", 0)


def webp_header(width: int, height: int) -> bytes:
    data = bytearray(saved(Image.new("RGB", (4, 4)), "WEBP", lossless=True))
    at = data.index(b"VP8L") + 9
    data[at : at + 4] = struct.pack("<I", (width - 1) | (height - 1) << 14)
    return bytes(data)


def avif_header(width: int, height: int) -> bytes:
    data = bytearray(saved(Image.new("RGB", (64, 64)), "AVIF"))
    at = data.index(b"ispe") + 8
    data[at : at + 8] = struct.pack(">II", width, height)
    return bytes(data)


def jp2_header(width: int, height: int) -> bytes:
    data = bytearray(saved(Image.new("RGB", (4, 4)), "JPEG2000"))
    if b"ihdr" in data:
        at = data.index(b"ihdr") + 4
        data[at : at + 8] = struct.pack(">II", height, width)
    at = data.index(b"\xff\x51") + 6
    data[at : at + 8] = struct.pack(">II", width, height)
    return bytes(data)


HUGE = {
    "png": png_header,
    "bmp": bmp_header,
    "gif": gif_header,
    "jpeg": jpeg_header,
    "tiff": tiff_header,
    "bigtiff": lambda width, height: tiff_header(width, height, big=True),
    "webp": webp_header,
    "avif": avif_header,
    "jp2": jp2_header,
    "ppm": lambda width, height: b"P6 %d %d 255\n" % (width, height),
}


@pytest.mark.parametrize("kind", HUGE)
@pytest.mark.parametrize("size", [(16000, 16000), (12000, 5400)])
def test_what_is_too_large_is_refused_by_its_header(kind: str, size: tuple[int, int]) -> None:
    """Beyond Pillow's own limit, where it raises, and below it."""
    with pytest.raises(SourceError, match="over 64 megapixels"):
        shown(HUGE[kind](*size))


def test_a_side_too_long_is_refused() -> None:
    with pytest.raises(SourceError, match=r"30001x1 is over .* 30000 on a side"):
        shown(png_header(30_001, 1))


MEMORY = """
import sys
from io import BytesIO
from pathlib import Path
from bshm_live.errors import SourceError
from bshm_live.sources.picture import decode
def most():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
before = most()
try:
    decode(BytesIO(sys.stdin.buffer.read()), "bomb")
except SourceError as error:
    print(error)
print((most() - before) // 1024)
"""


def bomb(kind: str) -> bytes:
    """A small file whose side data unpack to 256 MB."""
    zeros = zlib.compressobj(1)
    packed = b"".join(zeros.compress(bytes(1 << 24)) for _ in range(16)) + zeros.flush()
    name = {"text": b"zTXt", "profile": b"iCCP"}[kind]
    chunk = name + b"x\0\0" + packed
    whole = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    png = saved(Image.fromarray(face()), "PNG")
    return png[:33] + whole + png[33:]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("kind", ["text", "profile"])
def test_side_data_that_unpack_to_gigabytes_take_little(kind: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MEMORY],
        input=bomb(kind),
        capture_output=True,
        cwd=PACKAGE.parent,
        check=True,
    )
    *_, megabytes = done.stdout.split()
    assert int(megabytes) < 100
    assert not done.stderr


def told(data: bytes) -> str:
    """What is said of broken bytes; nothing where they can be read all the same."""
    try:
        assert shown(data).picture.ndim == 3
    except SourceError as error:
        return str(error)
    return ""


PACKED = {f"TIFF {way}": {"compression": way} for way in ("tiff_lzw", "tiff_deflate", "jpeg")}


@pytest.mark.parametrize("name", [*FORMATS, *PACKED])
def test_broken_files_are_one_line_and_no_word_of_the_codec_s(
    name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    how = PACKED[name] if name in PACKED else FORMATS[name][0]
    whole = saved(Image.fromarray(face()), name.split()[0], **how)
    rng = np.random.default_rng(0)
    for number in range(60):
        data = bytearray(whole[: len(whole) * (1 + number % 6) // 6])
        for at in rng.integers(0, len(data), 1 + number // 8):
            data[at] = rng.integers(256)
        assert told(bytes(data)).isprintable()  # no new line, either
    assert capfd.readouterr() == ("", "")
    os.write(2, b"heard")
    assert capfd.readouterr().err == "heard"


def test_pillow_s_own_log_is_not_shown() -> None:
    code = """
import sys
from io import BytesIO
from bshm_live.errors import SourceError
from bshm_live.sources.picture import decode
try:
    decode(BytesIO(sys.stdin.buffer.read()), "a.tif")
except SourceError as error:
    print(error)
"""
    samples = struct.pack("<HHIHH", 277, 3, 1, 3, 0)
    data = saved(Image.fromarray(face()), "TIFF")
    assert samples in data
    data = data.replace(samples, struct.pack("<HHIHH", 277, 3, 1, 40960, 0))
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=data,
        capture_output=True,
        cwd=PACKAGE.parent,
        check=True,
    )
    assert done.stdout.startswith(b"a.tif: ")
    assert done.stderr == b""


@given(st.binary(max_size=200))
@settings(max_examples=50, deadline=None)
def test_any_bytes_are_a_picture_or_one_line(data: bytes) -> None:
    with pytest.raises(SourceError, match=r"^a\.picture: "):
        shown(data)


def test_what_is_no_picture_is_told_apart_from_what_is_broken(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"hello")
    with pytest.raises(NotAPicture):
        check_picture(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes(saved(Image.fromarray(face()), "PNG")[:-40])
    check_picture(tmp_path / "a.png")
    with pytest.raises(SourceError, match="broken") as caught:
        read_picture(tmp_path / "a.png")
    assert not isinstance(caught.value, NotAPicture)


# --- orientation ------------------------------------------------------------------------------

UPRIGHT = {  # EXIF's eight, on arrays
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: x.swapaxes(0, 1)[:, ::-1],
    7: lambda x: x[::-1, ::-1].swapaxes(0, 1),
    8: lambda x: x.swapaxes(0, 1)[::-1],
}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_pictures_are_turned_upright(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x112] = orientation
    how, slack = FORMATS[kind]
    still = shown(saved(Image.fromarray(face()), kind, exif=exif, **how))
    upright = UPRIGHT[orientation](face())
    assert still.picture.shape == upright.shape
    assert np.abs(rgb(still) - upright).max() <= slack


def test_a_broken_orientation_says_nothing() -> None:
    data = saved(Image.fromarray(face()), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert shown(data).picture.shape == face().shape


# --- depth and modes --------------------------------------------------------------------------


def ramp() -> np.ndarray:
    return np.arange(256, dtype=np.uint8).reshape(8, 32)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_grey_keeps_its_levels(kind: str) -> None:
    deep = ramp().astype(np.uint16) * 257
    assert np.array_equal(rgb(shown(saved(Image.fromarray(deep), kind)))[..., 0], ramp())


def png(kind: int, depth: int, rows: np.ndarray, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of raw rows (H, bytes) with colour type `kind`."""
    width = rows.shape[1] * 8 // depth // {0: 1, 2: 3, 4: 2, 6: 4}[kind]
    pixels = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    head = struct.pack(">IIBBBBB", width, len(rows), depth, kind, 0, 0, 0)
    return png_of(head, *chunks, (b"IDAT", pixels))


@pytest.mark.parametrize("kind", [2, 6])
def test_16_bit_colour_keeps_its_levels(kind: int) -> None:
    channels = 3 if kind == 2 else 4
    deep = np.repeat(ramp()[..., None], channels, 2).astype(">u2") * 257
    still = shown(png(kind, 16, deep.astype(">u2").reshape(8, -1).view(np.uint8)))
    shown_levels = np.repeat(
        np.where((kind == 6) & (ramp() < FAINT), HIDDEN, ramp())[..., None], 3, 2
    )
    assert np.array_equal(rgb(still), shown_levels)
    assert (still.alpha is None) == (kind == 2)
    if still.alpha is not None:
        assert np.array_equal(still.alpha, ramp())


def test_a_transparent_level_of_16_bit_grey_is_known() -> None:
    rows = (ramp().astype(np.uint16) * 257).astype(">u2").view(np.uint8)
    still = shown(png(0, 16, rows, (b"tRNS", struct.pack(">H", 100 * 257))))
    assert still.alpha is not None
    assert np.array_equal(still.alpha, np.where(ramp() == 100, 0, 255))


def test_floats_from_0_to_1_are_grey() -> None:
    levels = ramp().astype(np.float32) / 255
    levels[0, 0] = np.nan
    assert np.array_equal(rgb(shown(saved(Image.fromarray(levels), "TIFF")))[..., 1], ramp())


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr"])
def test_every_mode_becomes_bgr(mode: str) -> None:
    image = Image.fromarray(np.where(face() > 127, 255, 0).astype(np.uint8)).convert("L")
    grey = np.asarray(image.point(lambda level: 255 * (level > 127)))
    still = shown(saved(Image.fromarray(grey).convert(mode), "TIFF"))
    assert np.abs(rgb(still) - grey[..., None]).max() <= 1


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_alpha_is_read(kind: str) -> None:
    image = Image.fromarray(face())
    alpha = (np.arange(32 * 48, dtype=np.uint32) % 256).astype(np.uint8).reshape(32, 48)
    image.putalpha(Image.fromarray(alpha))
    how = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    still = shown(saved(image, kind, **how))
    assert still.alpha is not None
    assert np.array_equal(still.alpha, alpha)
    assert np.array_equal(rgb(still)[alpha >= FAINT], face()[alpha >= FAINT])
    assert (rgb(still)[alpha < FAINT] == HIDDEN).all()


def test_a_transparent_entry_of_a_palette_is_known() -> None:
    index = np.zeros((4, 6), np.uint8)
    index[:, 3:] = 1
    image = Image.fromarray(index, "L").convert("P")
    image.putpalette([10, 20, 30, 40, 50, 60])
    for kind in ("PNG", "GIF"):
        still = shown(saved(image, kind, transparency=1))
        assert still.alpha is not None
        assert np.array_equal(still.alpha, np.where(index == 1, 0, 255))


def test_an_alpha_that_is_solid_throughout_is_none() -> None:
    assert shown(saved(Image.fromarray(face()).convert("RGBA"), "PNG")).alpha is None


def test_over_grey() -> None:
    alpha = np.tile(np.arange(256, dtype=np.uint8), (2, 1))
    colours = np.random.default_rng(0).integers(0, 256, (2, 256, 3), np.uint8)
    share = alpha[..., None] / 255
    over = Still(colours, alpha).over(77)
    assert np.abs(over - (share * colours + (1 - share) * 77)).max() <= 0.51
    assert Still(colours, None).over(77) is colours


# --- colour profiles --------------------------------------------------------------------------

# CIE xy of red, green and blue (D50, as in a profile), and gamma: enough for a matrix profile.
SRGB_LIKE = ((0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7139))
ADOBE_LIKE = ((0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446))
P3_LIKE = ((0.5151, 0.2412, -0.0011), (0.2919, 0.6922, 0.0419), (0.1572, 0.0666, 0.7841))
WHITE = (0.9642, 1.0, 0.8249)


def fixed(*numbers: float) -> bytes:
    return b"".join(struct.pack(">i", round(number * 65536)) for number in numbers)


def profile(colours: tuple[tuple[float, ...], ...], gamma: float, space: bytes = b"RGB ") -> bytes:
    """An ICC profile (version 2) of three colours in XYZ, or of grey where there are none."""
    curve = b"curv" + struct.pack(">IIH", 0, 1, round(gamma * 256)) + b"\0\0"
    tags = {b"wtpt": b"XYZ \0\0\0\0" + fixed(*WHITE)}
    names = [b"k"] if space == b"GRAY" else [b"r", b"g", b"b"]
    tags |= {name + b"TRC": curve for name in names}
    tags |= {
        name + b"XYZ": b"XYZ \0\0\0\0" + fixed(*xyz)
        for name, xyz in zip(names, colours, strict=False)
    }
    at, table, body = 132 + 12 * len(tags), b"", b""
    for name, content in tags.items():
        table += name + struct.pack(">II", at + len(body), len(content))
        body += content
    rest = struct.pack(">I", len(tags)) + table + body
    head = struct.pack(">I4sI4s4s4s", 128 + len(rest), b"lcms", 0x02100000, b"mntr", space, b"XYZ ")
    head += bytes(12) + b"acsp" + bytes(28) + fixed(*WHITE)
    return head.ljust(128, b"\0") + rest


def expected(
    levels: np.ndarray, colours: tuple[tuple[float, ...], ...], gamma: float
) -> np.ndarray:
    """sRGB of device levels (..., 3)."""
    linear = (levels / 255) ** gamma @ np.array(colours) @ np.linalg.inv(np.array(SRGB_LIKE))
    return srgb_curve(linear.clip(0, 1))


def srgb_curve(linear: np.ndarray) -> np.ndarray:
    """[0, 1] to levels, by the formula in IEC 61966-2-1."""
    bright = 1.055 * linear ** (1 / 2.4) - 0.055
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, bright)


@pytest.mark.parametrize(
    ("colours", "gamma"), [(ADOBE_LIKE, 2.2), (P3_LIKE, 2.4), (SRGB_LIKE, 1.8)]
)
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_wide_colours_become_srgb(
    kind: str, colours: tuple[tuple[float, ...], ...], gamma: float
) -> None:
    patches = np.array([[200, 120, 90], [60, 130, 70], [128, 128, 128], [20, 30, 80]], np.uint8)
    levels = np.repeat(np.repeat(patches[None], 16, 1), 16, 0)
    how = FORMATS[kind][0] | {"icc_profile": profile(colours, gamma)}
    still = shown(saved(Image.fromarray(levels), kind, **how))
    middle = rgb(still)[8, 8::16]
    want = expected(patches.astype(float), colours, gamma)
    assert np.abs(middle - want).max() <= 3
    if kind == "PNG" and colours == ADOBE_LIKE:
        assert np.abs(middle - patches).max() > 10  # that something was done


def test_grey_with_a_profile_becomes_srgb_and_keeps_its_alpha() -> None:
    image = Image.fromarray(ramp()).convert("LA")
    image.putalpha(Image.fromarray(ramp()))
    still = shown(saved(image, "PNG", icc_profile=profile((), 1.8, b"GRAY")))
    want = srgb_curve((ramp() / 255) ** 1.8)
    assert np.abs(rgb(still)[..., 0] - want)[ramp() >= FAINT].max() <= 3
    assert still.alpha is not None
    assert np.array_equal(still.alpha, ramp())


@pytest.mark.parametrize(
    "data",
    [b"broken", profile(ADOBE_LIKE, 2.2)[:200], profile((), 2.2, b"GRAY"), bytes(200)],
)
def test_a_profile_that_cannot_be_used_is_left_out_with_one_line(
    data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        still = shown(saved(Image.fromarray(face()), "PNG", icc_profile=data))
    assert np.array_equal(rgb(still), face())
    (record,) = caplog.records
    assert record.getMessage().startswith("a.picture: its colour profile is left out")
    assert record.getMessage().isprintable()


def test_lab_needs_no_profile() -> None:
    to_lab = ImageCms.buildTransform(
        ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
    )
    lab = to_lab.apply(Image.fromarray(face()))
    lab.info.clear()
    assert np.abs(rgb(shown(saved(lab, "TIFF"))) - face()).max() <= 8


def test_bands_are_seamless(monkeypatch: pytest.MonkeyPatch) -> None:
    data = saved(Image.fromarray(face()), "PNG", icc_profile=profile(P3_LIKE, 2.2))
    whole = shown(data).picture
    monkeypatch.setattr(module, "BAND", 100)
    assert np.array_equal(shown(data).picture, whole)
