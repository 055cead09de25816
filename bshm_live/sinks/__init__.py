"""Where finished frames go: virtual camera, video file, window, nowhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import SinkError
from ..files import path_of
from ..types import Shot, Size, VcamFormat
from .codecs import QUALITY, SUFFIXES, Layer
from .pictures import PictureWriter, is_numbered
from .pixels import BY_NAME
from .video_file import VideoWriter
from .virtual_camera import PIPEWIRE, VirtualCamera
from .window import Window

if TYPE_CHECKING:
    from ..types import Picture

__all__ = [
    "Layer",
    "Null",
    "PictureWriter",
    "VideoWriter",
    "VirtualCamera",
    "Window",
    "open_file",
    "open_sink",
]


class Null:
    """Counts frames in `count` and throws them away."""

    needs_foreground = False

    def __init__(self) -> None:
        self.count = 0

    def describe(self) -> str:
        return "null: frames are thrown away"

    def send(self, shot: Shot) -> None:
        self.count += 1

    def close(self, *, ok: bool = True) -> None:
        """Nothing to give back."""


def open_file(
    path: Path,
    size: Size,
    fps: float,
    layer: Layer = "composite",
    *,
    audio_from: Path | None = None,
    transparent: bool = False,
    quality: int = QUALITY,
) -> VideoWriter | PictureWriter:
    """A film, or numbered pictures where the name has the place of a number. Raises SinkError."""
    if is_numbered(path) and path.suffix.lower() not in SUFFIXES:
        return PictureWriter(path, size, layer, transparent=transparent)
    return VideoWriter(
        path, size, fps, layer, audio_from=audio_from, transparent=transparent, quality=quality
    )


def open_sink(
    text: str,
    size: Size,
    fps: float,
    *,
    placeholder: Picture | None = None,
    transparent: bool = False,
    vcam_format: VcamFormat = "I420",
) -> VirtualCamera | VideoWriter | Window | Null:
    """'vcam', 'vcam:/dev/videoN', 'pipewire', 'window', 'null' or a file name to its sink.

    `placeholder` is for virtual cameras, `vcam_format` for those of v4l2loopback,
    `transparent` for files, which are recordings. Raises SinkError.
    """
    if text == "vcam" or text.startswith("vcam:"):
        device = text.removeprefix("vcam").removeprefix(":") or None
        pixels = BY_NAME[vcam_format]
        return VirtualCamera(device, size, fps, placeholder=placeholder, pixels=pixels)
    if text == PIPEWIRE:
        return VirtualCamera(PIPEWIRE, size, fps, placeholder=placeholder)
    if text == "window":
        return Window()
    if text == "null":
        return Null()
    path = path_of(text)
    if path.suffix.lower() not in SUFFIXES:
        raise SinkError(
            f"--sink {text}: unknown; give vcam, vcam:/dev/videoN, pipewire, window, null or a "
            f"file that ends in {' '.join(SUFFIXES)}"
        )
    return VideoWriter(path, size, fps, transparent=transparent, recording=True)
