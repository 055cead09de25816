"""Where frames come from: a camera, for as long as it takes, or a video file."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ..files import CAMERA, camera_device, path_of
from ..types import Size
from .live_camera import GiveUp, LiveCamera, Report
from .names import find
from .network import NetworkCamera, is_address, shown
from .video_file import VideoFile
from .webcam import Webcam, device_name

BY_ID = Path("/dev/v4l/by-id")


def lasting_name(name: str, links: Path = BY_ID) -> str:
    """udev's name of a camera, which it keeps when it is plugged in again; else `name`."""
    node = Path(name)
    if not node.is_symlink():
        for link in sorted(links.glob("*-video-index0")):
            if link.resolve() == node.resolve():
                return str(link)
    return name


def open_source(
    text: str,
    size: Size | None = None,
    fps: float | None = None,
    report: Report = lambda line: None,
) -> LiveCamera | VideoFile:
    """A camera, for as long as it takes; or a video file.

    A camera is its number, /dev/videoN, camera:NAME or an address. The file plays at its
    own pace. `size` and `fps` are wishes to a camera that is plugged in. Raises SourceError.
    """
    if is_address(text):
        return LiveCamera(lambda give_up: NetworkCamera(text, give_up), shown(text), report)
    device = camera_device(text)
    if device is None:
        return VideoFile(path_of(text), pace=True)
    name = device_name(device)
    if sys.platform != "linux":
        return LiveCamera(lambda give_up: Webcam(device, size, fps, give_up=give_up), name, report)
    lasting = lasting_name(str(find(name).place) if name.startswith(CAMERA) else name)

    def open_camera(give_up: GiveUp) -> Webcam:
        return Webcam(os.path.realpath(lasting), size, fps, give_up=give_up)

    return LiveCamera(open_camera, name, report, present=lambda: os.path.exists(lasting))
