"""One picture in; alpha, composite and foreground PNGs out.

    inputs ▸ read ▸ hint ▸ BSHM ▸ composite ▸ write

A picture that fails is reported and the next one is taken.
"""

from __future__ import annotations

import errno
import os
import re
import struct
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path, PurePosixPath
from urllib import request
from urllib.error import HTTPError
from urllib.parse import unquote

import cv2
import numpy as np
from numpy.typing import NDArray

from .background import open_background, plain
from .bshm import Bshm
from .composite import SOLID, Compositor
from .errors import BshmError, SettingsError, SinkError, SourceError
from .settings import PICTURES, BackgroundSpec
from .types import Alpha, Frame, Mask8, Matte, Picture, Size

LONGEST = 6000  # pixels on a picture's long side: keeps the whole run under 2 GiB
FILE_MOST = LONGEST * LONGEST * 8  # bytes: the largest picture, RGBA, 16 bits, not compressed
DOWNLOAD_MOST = 50_000_000  # bytes
DOWNLOAD_WAIT = 20.0  # seconds without an answer
DOWNLOAD_TIME = 120.0  # seconds for all of it
DOWNLOAD_CHUNK = 1 << 18  # bytes
HINT_LONGEST = 256  # pixels: about the networks' low size
STROKE_GAIN = 4.0  # a stroke that covers a quarter of a hint's pixel counts in full
ASPECT_SLACK = 0.01  # a scribble's aspect may differ by this share: sizes are rounded
NAME_LONGEST = 100  # characters; file systems stop at 255 bytes

Box = tuple[int, int, int, int]
Layers = Mapping[str, NDArray[np.uint8]]


@dataclass(frozen=True)
class Outcome:
    """What became of one input: its PNGs, or the error.

    `person` is the person's share of the picture, 0 to 1. str() is the line to print.
    """

    source: str
    files: tuple[Path, ...] = ()
    person: float = 0.0
    error: BshmError | None = None

    def __str__(self) -> str:
        if self.error:
            return str(self.error)
        found = f"person {self.person:.0%}" if self.person else "no person found"
        return f"{self.source} ▸ {', '.join(map(str, self.files))} ({found})"


def run_image(
    inputs: Sequence[str],
    output_dir: Path,
    wide: Bshm,
    tall: Bshm,
    *,
    background: BackgroundSpec | None = None,
    box: Box | None = None,
    scribble: Path | None = None,
    stages: bool = False,
    report: Callable[[Outcome], None] = lambda outcome: None,
) -> int:
    """Cuts out every picture of `inputs` (files, folders, addresses) into `output_dir`.

    `report` gets each picture's outcome as soon as it is there, failures too.
    Returns the exit code: 0, or that of the first failure. What would fail for
    every picture is raised at once: SettingsError (background, scribble, no
    input) and SinkError (`output_dir`). The caller keeps and closes the networks.
    """
    if not inputs:
        raise SettingsError("image: nothing to cut out; give -i a picture, a folder or a URL")
    if box and scribble:
        raise SettingsError("--box and --scribble: give one of them")
    if background:
        open_background(background, (64, 64))
    strokes = read_scribble(scribble) if scribble else None
    todo = expand(inputs)
    names = Names(where for where, _ in todo)
    folder = ready(output_dir)
    cutter = Cutter(wide, tall, folder, names, background, box, strokes, stages)
    code = 0
    for where, error in todo:
        outcome = Outcome(where, error=error) if error else cutter(where)
        report(outcome)
        code = code or (outcome.error.exit_code if outcome.error else 0)
    return code


@dataclass(frozen=True)
class Cutter:
    """What all pictures of a run have in common; called, it takes one from its place to PNGs."""

    wide: Bshm
    tall: Bshm
    folder: Path
    names: Names
    background: BackgroundSpec | None
    box: Box | None
    strokes: Mask8 | None
    stages: bool

    def __call__(self, where: str) -> Outcome:
        """read ▸ hint ▸ BSHM ▸ composite ▸ write; an error becomes the outcome."""
        name = self.names.take(where)
        try:
            picture = read_still(where)
            hint = hint_for(picture, self.box, self.strokes)
            matte = matte_still(self.wide, self.tall, picture, hint=hint)
            layers = cut_out(picture, matte, self.background, stages=self.stages)
            files = write_pngs(layers, self.folder, name, keep=self.names.inputs)
        except BshmError as error:
            return Outcome(where, error=error)
        return Outcome(where, files, cv2.mean(layers["alpha"])[0] / SOLID)


def matte_still(wide: Bshm, tall: Bshm, picture: Picture, *, hint: Alpha | None = None) -> Matte:
    """Matte of one BGR picture (H, W, 3), by the networks of its orientation.

    `hint` (any size, [0, 1]) covers the picture: 1 says person. Raises EngineError.
    """
    height, width = picture.shape[:2]
    return (tall if height > width else wide).matte(picture, hint)


def cut_out(
    picture: Picture,
    matte: Matte,
    background: BackgroundSpec | None = None,
    *,
    stages: bool = False,
) -> Layers:
    """What is written of one picture, by role; every array has the picture's size.

    alpha (H, W); composite BGR over `background`, or BGRA (straight alpha)
    without one; foreground BGR, black outside; with `stages` coarse and unified
    (H, W). All uint8, [0, 255]. Raises SettingsError for the background.
    """
    size: Size = (picture.shape[1], picture.shape[0])
    if background is None or background.kind == "none":
        _, alpha, front = Compositor(size)(picture, matte, plain((0, 0, 0), size), foreground=True)
        assert front is not None
        over = cv2.merge([*cv2.split(front), alpha])
    else:
        behind = open_background(background, size)(Frame(picture, 0, 0.0), matte)
        over, alpha, front = Compositor(size)(picture, matte, behind, foreground=True)
        assert front is not None
    layers = {"alpha": alpha, "composite": over, "foreground": front}
    if stages:
        layers |= {"coarse": enlarged(matte.coarse, size), "unified": enlarged(matte.unified, size)}
    return layers


def enlarged(mask: Alpha, size: Size) -> Mask8:
    """A mask in [0, 1] as uint8 of `size` (width, height)."""
    levels = cv2.convertScaleAbs(np.clip(mask, 0, 1), alpha=SOLID)
    return cv2.resize(levels, size, interpolation=cv2.INTER_LINEAR)


# --- inputs -----------------------------------------------------------------------------------


def expand(inputs: Iterable[str]) -> list[tuple[str, BshmError | None]]:
    """Files and addresses as they are, a folder as its pictures by name (not recursive)."""
    todo: list[tuple[str, BshmError | None]] = []
    for where in inputs:
        folder = Path(where).expanduser()
        if is_address(where) or not folder.is_dir():
            todo.append((where, None))
            continue
        try:
            found = sorted(p for p in folder.iterdir() if p.suffix.lower() in PICTURES)
        except OSError as error:
            todo.append((where, SourceError(f"{where}: {error.strerror}; check its permissions")))
            continue
        shown = [(str(p), None) for p in found if p.is_file() and not p.name.startswith(".")]
        kinds = ", ".join(sorted(PICTURES))
        nothing = SourceError(f"{where}: no picture in this folder; it may hold {kinds}")
        todo += shown or [(where, nothing)]
    return todo


class Names:
    """The NAME of each picture's files: its own, with _2, _3 where two are the same."""

    def __init__(self, places: Iterable[str]) -> None:
        self.inputs = frozenset(
            Path(place).expanduser().resolve() for place in places if not is_address(place)
        )
        self._taken: set[str] = set()

    def take(self, where: str) -> str:
        stem = own = address_name(where) if is_address(where) else Path(where).stem
        number = 1
        while stem.casefold() in self._taken:  # some file systems know no case
            number += 1
            stem = f"{own}_{number}"
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
    data = download(where) if is_address(where) else read_bytes(Path(where).expanduser())
    return decode(data, where, cv2.IMREAD_COLOR)


def read_bytes(path: Path) -> bytes:
    """A file that may be a picture. Raises SourceError."""
    try:
        if not path.exists():
            raise SourceError(f"{path}: no such file; check the path")
        if not path.is_file() or path.stat().st_size > FILE_MOST:
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


# --- hints ------------------------------------------------------------------------------------


def parse_box(text: str) -> Box:
    """'x,y,w,h' in pixels, the corner at the upper left. Raises SettingsError."""
    match = re.fullmatch(r"\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*", text)
    if not match or not (int(match[3]) and int(match[4])):
        raise SettingsError(f"--box {text}: write x,y,w,h in pixels, for example 40,0,300,480")
    return int(match[1]), int(match[2]), int(match[3]), int(match[4])


def hint_for(picture: Picture, box: Box | None, strokes: Mask8 | None) -> Alpha | None:
    """MPN's hint (h, w) in [0, 1], small, over the whole picture. Raises SettingsError."""
    height, width = picture.shape[:2]
    if box:
        return box_hint(box, (width, height))
    return None if strokes is None else scribble_hint(strokes, (width, height))


def box_hint(box: Box, size: Size) -> Alpha:
    """1 in the box, 0 around it; `box` in pixels of the picture's `size`."""
    x, y, w, h = box
    width, height = size
    if x + w > width or y + h > height:
        raise SettingsError(
            f"--box {x},{y},{w},{h}: reaches out of the picture, which is {width}x{height}"
        )
    mask = np.zeros((height, width), np.uint8)
    mask[y : y + h, x : x + w] = SOLID
    return shrunk(mask)


def scribble_hint(strokes: Mask8, size: Size) -> Alpha:
    """White strokes (h, w) of the same aspect as `size`; thin ones count in full."""
    height, width = strokes.shape
    if abs(width * size[1] / (height * size[0]) - 1) > ASPECT_SLACK:
        raise SettingsError(
            f"--scribble: {width}x{height} is not the shape of the picture, "
            f"{size[0]}x{size[1]}; draw it on a copy of the picture"
        )
    hint: Alpha = np.minimum(shrunk(strokes) * np.float32(STROKE_GAIN), np.float32(1))
    return hint


def read_scribble(path: Path) -> Mask8:
    """White on black (h, w). Raises SettingsError."""
    try:
        strokes = decode(read_bytes(path.expanduser()), str(path), cv2.IMREAD_GRAYSCALE)
    except SourceError as error:
        raise SettingsError(f"--scribble {error}") from None
    if not strokes.any():
        raise SettingsError(f"--scribble {path}: all black; mark the person in white")
    return strokes


def shrunk(mask: Mask8) -> Alpha:
    """To the hint's size at most, [0, 1]: MPN sees no more, and a float copy stays small."""
    height, width = mask.shape
    scale = min(1.0, HINT_LONGEST / max(width, height))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(mask, size, interpolation=cv2.INTER_AREA)
    return (small * np.float32(1 / SOLID)).astype(np.float32)


# --- outputs ----------------------------------------------------------------------------------


def ready(output_dir: Path) -> Path:
    """The folder, made where it is missing. Raises SinkError unless it can be written to."""
    folder = output_dir.expanduser()
    probe = folder / f".bshm-live-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise SinkError(f"{folder}: {why(error)}") from None
    return folder


def write_pngs(
    layers: Layers, folder: Path, name: str, keep: frozenset[Path] = frozenset()
) -> tuple[Path, ...]:
    """Every layer as NAME_role.png: all of them complete, or none. Raises SinkError.

    Written beside their place and renamed; files in `keep` are never replaced.
    """
    files = {folder / f"{name}_{role}.png": layer for role, layer in layers.items()}
    for file in files:
        if file.resolve() in keep:
            raise SinkError(f"{file}: is an input of this run; choose another --output_dir")
    parts = {file: file.with_name(f".{file.name}.part") for file in files}
    try:
        for file, layer in files.items():
            parts[file].write_bytes(cv2.imencode(".png", layer)[1].tobytes())
        for file, part in parts.items():
            part.replace(file)
    except OSError as error:
        raise SinkError(f"{folder / name}_*.png: {why(error)}") from None
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)
    return tuple(files)


def why(error: OSError) -> str:
    """What failed and what to try."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full; free some space or choose another --output_dir"
    return f"cannot be written ({error.strerror}); choose another --output_dir"
