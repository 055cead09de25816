"""Cameras by the name that the system shows: `--source camera:BRIO`.

On Windows and macOS numbers change with every camera that is plugged in. The package
cv2-enumerate-cameras lists Media Foundation's and AVFoundation's in OpenCV's order.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import cv2

from ..errors import SourceError
from ..files import CAMERA, LIST

SYSFS = Path("/sys/class/video4linux")


@dataclass(frozen=True)
class Named:
    """A camera's name, and what OpenCV opens it by: its number or node, and the backend."""

    name: str
    place: int | str
    backend: int


def cameras(sysfs: Path = SYSFS) -> list[Named]:
    """All cameras that have names, in the system's order; on Linux also what only looks like one.

    Raises SourceError where the system cannot be asked.
    """
    if sys.platform == "linux":
        return [
            Named(_text(node / "name"), f"/dev/{node.name}", cv2.CAP_V4L2)
            for node in sorted(sysfs.glob("video*"), key=lambda node: int(node.name[5:]))
        ]
    backend = cv2.CAP_MSMF if sys.platform == "win32" else cv2.CAP_AVFOUNDATION
    try:
        from cv2_enumerate_cameras import enumerate_cameras

        return [Named(one.name, one.index, backend) for one in enumerate_cameras(backend)]
    except (ImportError, OSError, RuntimeError, NotImplementedError) as error:
        raise SourceError(
            f"cameras have no names here ({error}); pip install cv2-enumerate-cameras, "
            "or give a number: --source 0"
        ) from error


def find(text: str, sysfs: Path = SYSFS) -> Named:
    """The camera that 'camera:NAME' means: of that very name, else the first with it in its name.

    Small and capital letters are the same. Raises SourceError.
    """
    wanted = text.removeprefix(CAMERA).casefold()
    there = cameras(sysfs)
    exact = [one for one in there if one.name.casefold() == wanted]
    partly = [one for one in there if wanted and wanted in one.name.casefold()]
    if exact or partly:
        return (exact or partly)[0]
    names = ", ".join(dict.fromkeys(one.name for one in there))
    raise SourceError(f"no camera {text}: there is {names or 'none at all'}; {LIST}")


def _text(file: Path) -> str:
    try:
        return file.read_text(errors="replace").strip()
    except OSError:  # it was unplugged meanwhile
        return ""
