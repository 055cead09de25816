"""The user's backgrounds: a folder of pictures and videos, with small pictures of each."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import cv2

from ..errors import BshmError, SettingsError, SourceError
from ..files import is_file, replacing, why_unwritable, within_name_limit
from ..sources.animation import is_still
from ..sources.picture import read_picture
from ..sources.video_file import VideoFile
from ..types import Picture

THUMB = (192, 108)  # width, height
QUALITY = 80  # of JPEG
BYTES_MOST = 64 << 20  # of one file that is added
FILES_MOST = 200  # that are shown
WITHOUT = re.compile(r"[^\w .()-]+")  # what a name that was sent may not hold

log = logging.getLogger(__name__)


@dataclass
class Gallery:
    """The folder, made when something is added. Raises SettingsError for what is refused."""

    folder: Path
    _thumbs: dict[tuple[str, int], bytes] = field(default_factory=dict)

    def names(self) -> list[str]:
        """Its pictures and videos, by name."""
        try:
            found = sorted(path.name for path in self.folder.iterdir() if is_file(path))
        except OSError:
            return []
        return [name for name in found if not name.startswith(".")][:FILES_MOST]

    def path(self, name: str) -> Path:
        """The file of that name, never one outside the folder."""
        if name not in self.names():
            raise SettingsError(f"{name}: not among the backgrounds")
        return self.folder / name

    def thumb(self, name: str) -> bytes:
        """A JPEG of THUMB's size, kept for the next time."""
        path = self.path(name)
        key = name, path.stat().st_mtime_ns
        if key not in self._thumbs:
            self._thumbs[key] = thumbnail(first_picture_of(path))
        return self._thumbs[key]

    @contextmanager
    def adding(self, name: str) -> Iterator[Path]:
        """A file to write what was sent into: it is kept if it can be shown."""
        stem, dot, ending = name.replace("\\", "/").rpartition("/")[2].rpartition(".")
        clean = WITHOUT.sub("_", stem or ending).strip(" .") or "background"
        clean = within_name_limit(clean, f".{ending}")
        suffix = WITHOUT.sub("", ending).lower() if dot and stem else "jpg"
        target = self._free(clean, f".{suffix}")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with replacing(target) as (part,):
                yield part
                self._check(part, name)
        except OSError as error:
            raise SettingsError(why_unwritable(target, error, "free some space")) from None
        log.info(f"added the background {target}")

    def _free(self, stem: str, suffix: str) -> Path:
        """A name that no file has."""
        number, target = 1, self.folder / f"{stem}{suffix}"
        while target.exists():
            number += 1
            target = self.folder / f"{stem}_{number}{suffix}"
        return target

    def _check(self, part: Path, name: str) -> None:
        try:
            first_picture_of(part)
        except BshmError:
            raise SettingsError(f"{name}: neither a picture nor a video that can be read") from None


def first_picture_of(path: Path) -> Picture:
    """The picture, or a video's first one, (H, W, 3). Raises SourceError."""
    if is_still(path):
        return read_picture(path).over(0)
    video = VideoFile(path)
    try:
        for frame in video:
            return frame.image.copy()
    finally:
        video.close()
    raise SourceError(f"{path}: a video without frames")


def thumbnail(picture: Picture) -> bytes:
    """JPEG of THUMB's size, cut around the middle."""
    height, width = picture.shape[:2]
    scale = max(THUMB[0] / width, THUMB[1] / height)
    w, h = min(width, round(THUMB[0] / scale)), min(height, round(THUMB[1] / scale))
    x, y = (width - w) // 2, (height - h) // 2
    small = cv2.resize(picture[y : y + h, x : x + w], THUMB, interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()
