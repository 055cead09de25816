"""Where stills come from: files, folders and addresses to BGR pictures.

Errors of files and of the net become SourceError here.
"""

from __future__ import annotations

import re
import struct
import time
from collections.abc import Iterable
from http.client import HTTPException, HTTPResponse
from pathlib import Path, PurePosixPath
from urllib import request
from urllib.error import HTTPError
from urllib.parse import unquote

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import BshmError, SourceError
from ..files import is_file, is_folder, path_of, real, why_unreadable, within_name_limit
from ..settings import PICTURES
from ..types import Picture, Size

LONGEST = 6000  # pixels on a picture's long side: keeps the whole run under 2 GiB
FILE_MOST = LONGEST * LONGEST * 8  # bytes: the largest picture, RGBA, 16 bits, not compressed
DOWNLOAD_MOST = 50_000_000  # bytes
DOWNLOAD_WAIT = 20.0  # seconds without an answer
DOWNLOAD_TIME = 120.0  # seconds for all of it
DOWNLOAD_CHUNK = 1 << 18  # bytes
NAME_LONGEST = 100  # characters of a name that is taken from an address
ADDED = "_foreground.png"  # the longest that is added to a picture's name


def expand(inputs: Iterable[str]) -> list[tuple[str, BshmError | None]]:
    """Files and addresses as they are, a folder as its pictures by name (not recursive)."""
    todo: list[tuple[str, BshmError | None]] = []
    for where in inputs:
        folder = path_of(where)
        if is_address(where) or not is_folder(folder):
            todo.append((where, None))
            continue
        try:
            found = sorted(p for p in folder.iterdir() if p.suffix.lower() in PICTURES)
        except OSError as error:
            todo.append((where, SourceError(f"{where}: {error.strerror}; check its permissions")))
            continue
        shown = [(str(p), None) for p in found if is_file(p) and not p.name.startswith(".")]
        kinds = ", ".join(sorted(PICTURES))
        nothing = SourceError(f"{where}: no picture in this folder; it may hold {kinds}")
        todo += shown or [(where, nothing)]
    return todo


class Names:
    """The NAME of each picture's files: its own, with _2, _3 where two are the same.

    It is cut where the files' names would get longer than a folder takes.
    """

    def __init__(self, places: Iterable[str]) -> None:
        self.inputs = frozenset(real(path_of(place)) for place in places if not is_address(place))
        self._taken: set[str] = set()

    def take(self, where: str) -> str:
        own = address_name(where) if is_address(where) else Path(where).stem
        stem, number = within_name_limit(own, ADDED), 1
        while stem.casefold() in self._taken:  # some file systems know no case
            number += 1
            stem = within_name_limit(own, f"_{number}{ADDED}") + f"_{number}"
        self._taken.add(stem.casefold())
        return stem


def is_address(where: str) -> bool:
    return "://" in where


def address_name(url: str) -> str:
    """The last part of an address as a file's name, without its ending."""
    path = re.split("[?#]", url.partition("://")[2])[0].partition("/")[2]
    last = PurePosixPath(unquote(path)).stem
    return re.sub(r"[^\w.-]", "_", last)[:NAME_LONGEST].strip(".") or "picture"


def read_still(where: str) -> Picture:
    """BGR picture (H, W, 3) of a file or an address, upright. Raises SourceError."""
    data = download(where) if is_address(where) else read_bytes(path_of(where))
    return decode(data, where, cv2.IMREAD_COLOR)


def read_bytes(path: Path) -> bytes:
    """A file that may be a picture. Raises SourceError."""
    if why := why_unreadable(path):
        raise SourceError(why)
    try:
        if path.stat().st_size > FILE_MOST:
            raise SourceError(f"{path}: not a picture of up to {LONGEST} pixels; try a JPEG or PNG")
        return path.read_bytes()
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror}; check the path and its permissions") from None


def decode(data: bytes, where: str, way: int) -> NDArray[np.uint8]:
    """`way` is IMREAD_COLOR (BGR) or IMREAD_GRAYSCALE; turned upright by EXIF.

    The header's size is looked at first: a small file can unpack to gigabytes.
    """
    refuse_large(claimed_size(data), where)
    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), way) if data else None
    except cv2.error:
        picture = None
    if picture is None:
        raise SourceError(
            f"{where}: not a picture that can be read; try a JPEG or PNG (a video: bshm-live video)"
        )
    refuse_large((picture.shape[1], picture.shape[0]), where)
    return picture


def refuse_large(size: Size | None, where: str) -> None:
    if size and max(size) > LONGEST:
        width, height = size
        raise SourceError(f"{where}: {width}x{height} is over {LONGEST} pixels; shrink it first")


def claimed_size(data: bytes) -> Size | None:
    """(width, height) that a PNG, GIF, BMP, JPEG or TIFF says it has, else None.

    WebP needs no look: it stops at 16383 pixels by its format.
    """
    try:
        if data.startswith(b"\x89PNG"):
            return struct.unpack(">II", data[16:24])
        if data.startswith(b"GIF8"):
            return struct.unpack("<HH", data[6:10])
        if data.startswith(b"BM"):
            width, height = struct.unpack("<ii", data[18:26])
            return abs(width), abs(height)
        if data.startswith(b"\xff\xd8"):
            return jpeg_size(data)
        if data[:4] in (b"II*\0", b"MM\0*"):
            return tiff_size(data, "<" if data[:1] == b"I" else ">")
    except struct.error:  # cut short: the decoder will say so
        pass
    return None


def jpeg_size(data: bytes) -> Size | None:
    """From the start-of-frame segment (ITU-T T.81, B.2.2)."""
    at = 2
    while at < len(data) and data[at] == 0xFF:
        (length,) = struct.unpack(">H", data[at + 2 : at + 4])
        marker = data[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return width, height
        at += 1 if marker == 0xFF else 2 + length
    return None


def tiff_size(data: bytes, order: str) -> Size | None:
    """From the first directory: tag 256 is the width, 257 the height (TIFF 6.0)."""
    (start,) = struct.unpack(order + "I", data[4:8])
    (count,) = struct.unpack(order + "H", data[start : start + 2])
    sides: dict[int, int] = {}
    for at in range(start + 2, start + 2 + 12 * count, 12):
        tag, kind = struct.unpack(order + "HH", data[at : at + 4])
        if tag in (256, 257):
            (sides[tag],) = struct.unpack_from(order + ("H" if kind == 3 else "I"), data, at + 8)
    return (sides[256], sides[257]) if len(sides) == 2 else None


def download(url: str) -> bytes:
    """What lies at an http or https address, also behind redirects. Raises SourceError."""
    if url.partition("://")[0].lower() not in ("http", "https"):
        raise SourceError(f"{url}: only http and https addresses; save it to a file first")
    try:
        ask = request.Request(url, headers={"User-Agent": "bshm-live", "Accept": "image/*"})
        with web().open(ask, timeout=DOWNLOAD_WAIT) as answer:
            return receive(answer, url)
    except HTTPError as error:
        error.close()  # it is the answer, too, and holds the connection
        raise SourceError(f"{url}: {error.code} {error.reason}; check the address") from None
    except (OSError, HTTPException, ValueError) as error:
        raise SourceError(f"{url}: {one_line(error)}; check the address and the network") from None


def web() -> request.OpenerDirector:
    """Speaks http and https and nothing else, so that no redirect leads to a file or ftp."""
    opener = request.OpenerDirector()
    for handler in (
        request.ProxyHandler,
        request.UnknownHandler,
        request.HTTPHandler,
        request.HTTPSHandler,
        request.HTTPDefaultErrorHandler,
        request.HTTPRedirectHandler,
        request.HTTPErrorProcessor,
    ):
        opener.add_handler(handler())
    return opener


def receive(answer: HTTPResponse, url: str) -> bytes:
    """The body, as long as it keeps coming and stays small."""
    end = time.monotonic() + DOWNLOAD_TIME
    most = f"{DOWNLOAD_MOST // 1_000_000} MB"
    promised = int(answer.headers.get("Content-Length") or 0)
    data = bytearray()
    while promised <= DOWNLOAD_MOST and len(data) <= DOWNLOAD_MOST:
        chunk = answer.read1(DOWNLOAD_CHUNK)
        if not chunk:
            if len(data) < promised:
                raise SourceError(f"{url}: broke off after {len(data)} bytes; try again")
            return bytes(data)
        data += chunk
        if time.monotonic() > end:
            raise SourceError(f"{url}: took over {DOWNLOAD_TIME:.0f} s; save it to a file first")
    raise SourceError(f"{url}: larger than {most}; save it to a file first")


def one_line(error: BaseException) -> str:
    return " ".join(str(getattr(error, "reason", error)).split()) or type(error).__name__
