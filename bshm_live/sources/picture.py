"""One picture, of any format that people have, to BGR and alpha: upright, in sRGB, within bounds.

    header ▸ size ▸ pixels ▸ upright ▸ sRGB, 8 bits

A small file can unpack to gigabytes: no pixel is decoded before the header's size is known.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from ..errors import SourceError
from ..files import why_unreadable
from ..types import Mask8, Picture, Size

MEGAPIXELS_MOST = 64  # keeps a whole run of `image` under 2 GiB
SIDE_MOST = 30_000  # pixels; OpenCV's remap ends at 32767
FILE_MOST = MEGAPIXELS_MOST * 1_000_000 * 8  # bytes: RGBA of 16 bits, not compressed
BAND = 1 << 22  # pixels converted at once: bounds the temporaries
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "DIB", "AVIF", "JPEG2000", "PPM")
HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
WIDE_GREY = ("I", "F")  # first letters of the modes with more than 8 bits a level
PROFILE_MODES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab ": "LAB"}
STDERR = 2  # its file descriptor
SOLID = 255
FAINT = 16  # of 255: below it a pixel's colour is often one that was meant to be hidden
HIDDEN = 128  # the grey level that stands there instead

log = logging.getLogger(__name__)
logging.getLogger("PIL").addHandler(logging.NullHandler())  # its words are ours to choose


class NotAPicture(SourceError):
    """No format that can be read, going by the content."""


@dataclass(frozen=True)
class Still:
    """One picture: BGR (H, W, 3), and alpha (H, W) uint8 or None where nothing is transparent.

    Colours are straight, but grey where alpha is below FAINT: what is hidden there is gone.
    """

    picture: Picture
    alpha: Mask8 | None

    def over(self, level: int) -> Picture:
        """The picture (H, W, 3) over plain grey of `level`."""
        if self.alpha is None:
            return self.picture
        out = np.empty_like(self.picture)
        height, width = self.alpha.shape
        for rows in bands((width, height)):
            weight = self.alpha[rows][..., None] / np.float32(SOLID)
            out[rows] = np.rint(level + weight * (self.picture[rows] - np.float32(level)))
        return out


def read_picture(path: Path) -> Still:
    """`decode` of a file. Raises SourceError."""
    with opened(path) as file:
        return decode(file, str(path))


def check_picture(path: Path) -> None:
    """Looks at the header alone. Raises NotAPicture, or SourceError where it cannot be read."""
    with opened(path) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        header(file, str(path))


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """A file that may be a picture. Raises SourceError."""
    if why := why_unreadable(path):
        raise SourceError(why)
    try:
        if path.stat().st_size > FILE_MOST:
            raise NotAPicture(
                f"{path}: not a picture of up to {MEGAPIXELS_MOST} megapixels; try a JPEG or PNG"
            )
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror}; check the path and its permissions") from None


def decode(file: BinaryIO, where: str) -> Still:
    """The first picture of a file, upright by its orientation, in sRGB by its ICC profile.

    `where` names it in messages. Raises SourceError.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, of what it can live with
        image = header(file, where)
        try:
            with silence() if image.format == "TIFF" else nullcontext():
                image.load()
        except Exception as error:  # a decoder's own: from struct.error to KeyError
            raise SourceError(f"{where}: broken ({said(error)}); save it again") from None
        turn_upright(image)
        return pixels(image, to_srgb(image, where))


@contextmanager
def silence() -> Iterator[None]:
    """Keeps off the terminal what C code writes to stderr: libtiff has no other way to be quiet."""
    try:
        kept = os.dup(STDERR)
    except OSError:  # there is no stderr
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, STDERR)
        yield
    finally:
        os.dup2(kept, STDERR)
        os.close(kept)
        os.close(nowhere)


def header(file: BinaryIO, where: str) -> Image.Image:
    """The picture with its size known and no pixel decoded. Raises SourceError."""
    try:
        image = Image.open(file, formats=formats(file, where))
    except UnidentifiedImageError:
        raise NotAPicture(
            f"{where}: not a picture that can be read; try a JPEG or PNG (a video: bshm-live video)"
        ) from None
    except Image.DecompressionBombError:  # Pillow's own limit is higher
        raise SourceError(f"{where}: {too_large()}") from None
    except Exception as error:
        raise SourceError(f"{where}: broken ({said(error)}); save it again") from None
    refuse_large(image.size, where)
    return image


def formats(file: BinaryIO, where: str) -> tuple[str, ...]:
    """What may be in the file; HEIC where its reader is installed. Raises SourceError."""
    start = file.read(12)
    file.seek(0)
    if start[4:8] != b"ftyp" or start[8:] not in HEIF_BRANDS:
        return FORMATS
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        raise SourceError(
            f"{where}: HEIC; install its reader (pip install 'bshm-live[heic]') or save it as JPEG"
        ) from None
    register_heif_opener()
    return ("HEIF", "AVIF")


def refuse_large(size: Size, where: str) -> None:
    width, height = size
    if width * height > MEGAPIXELS_MOST * 1_000_000 or max(size) > SIDE_MOST:
        raise SourceError(f"{where}: {width}x{height} is {too_large()}")


def too_large() -> str:
    return f"over {MEGAPIXELS_MOST} megapixels or {SIDE_MOST} on a side; shrink it first"


def said(error: Exception) -> str:
    """An error's text on one line, without characters that a terminal obeys."""
    words = " ".join(str(error).split()) or type(error).__name__
    return "".join(letter if letter.isprintable() else "?" for letter in words)


def turn_upright(image: Image.Image) -> None:
    """By EXIF; a broken one says nothing."""
    try:
        ImageOps.exif_transpose(image, in_place=True)
    except Exception as error:  # as various as what may be wrong in it
        log.debug("orientation: %s", said(error))


# --- colour -----------------------------------------------------------------------------------


def to_srgb(image: Image.Image, where: str) -> ImageCms.ImageCmsTransform | None:
    """From the picture's ICC profile; None where it has none, or one that is broken."""
    data = image.info.get("icc_profile")
    if not data and image.mode != "LAB":
        return None
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    try:
        profile = ImageCms.ImageCmsProfile(BytesIO(data)) if data else lab
        space = profile.profile.xcolor_space
        mode = PROFILE_MODES[space]
        if mode != "RGB" and mode != base_mode(image):
            raise ValueError(f"it is for {space.strip()}")
        return ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, KeyError, TypeError) as error:
        log.warning("%s: its colour profile is left out (%s)", where, said(error))
        return None


def base_mode(image: Image.Image) -> str:
    """The mode without alpha and in 8 bits: L, CMYK, LAB, else RGB."""
    if image.mode.startswith(WIDE_GREY) or image.mode in ("1", "L", "LA", "La"):
        return "L"
    return image.mode if image.mode in ("CMYK", "LAB") else "RGB"


def pixels(image: Image.Image, transform: ImageCms.ImageCmsTransform | None) -> Still:
    """Pillow's picture to ours, band by band."""
    width, height = image.size
    picture = np.empty((height, width, 3), np.uint8)
    alpha = np.empty((height, width), np.uint8) if image.has_transparency_data else None
    for rows in bands(image.size):
        band = image.crop((0, rows.start, width, rows.stop))
        colours, opacity = split(band)
        if transform is not None:
            colours = transform.apply(as_mode(colours, transform.input_mode))
        cv2.cvtColor(np.asarray(as_mode(colours, "RGB")), cv2.COLOR_RGB2BGR, dst=picture[rows])
        if alpha is not None and opacity is not None:
            alpha[rows] = opacity
            picture[rows][opacity < FAINT] = HIDDEN
    return Still(picture, None if alpha is None or alpha.min() == SOLID else alpha)


def bands(size: Size) -> Iterator[slice]:
    """Slices of rows, together the whole picture."""
    width, height = size
    step = max(1, BAND // width)
    for top in range(0, height, step):
        yield slice(top, min(top + step, height))


def split(band: Image.Image) -> tuple[Image.Image, NDArray[np.uint8] | None]:
    """Colours without alpha in 8 bits (L, RGB, CMYK or LAB), and alpha (h, w)."""
    base = base_mode(band)
    if band.mode.startswith(WIDE_GREY):
        levels = np.asarray(band)
        key = band.info.get("transparency")
        alpha = None if key is None else np.where(levels == key, 0, SOLID).astype(np.uint8)
        return Image.fromarray(eight_bits(levels)), alpha
    if not band.has_transparency_data:
        return as_mode(band, base), None
    band = as_mode(band, base + "A")
    return band.convert(base), np.asarray(band.getchannel("A"))


def as_mode(image: Image.Image, mode: str) -> Image.Image:
    return image if image.mode == mode else image.convert(mode)


def eight_bits(levels: NDArray[np.generic]) -> Mask8:
    """Grey of 16 bits, or of floats in [0, 1]."""
    if levels.dtype.kind == "f":
        return np.rint(np.nan_to_num(levels.clip(0, 1)) * SOLID).astype(np.uint8)
    return np.rint(levels.clip(0, 65535) / np.float32(257)).astype(np.uint8)
