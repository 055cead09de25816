"""The user's backgrounds: a folder of pictures and videos, with small pictures of each."""

from __future__ import annotations

import logging
import os
import re
from dataclasses import dataclass, field
from itertools import count, islice
from pathlib import Path

import cv2

from ..errors import BshmError, SettingsError, SourceError
from ..files import Part, is_file, why_unwritable, within_name_limit
from ..settings import BRIEF
from ..sources.animation import is_still
from ..sources.picture import read_picture
from ..sources.video_file import VideoFile
from ..types import Picture

THUMB = (192, 108)  # width, height
QUALITY = 80  # of JPEG
BYTES_MOST = 64 << 20  # of one file that is added
FILES_MOST = 200  # that are shown
ENDING_MOST = 5  # letters
NOT_IN_STEM, NOT_IN_ENDING = re.compile(r"[^\w .()-]+"), re.compile(r"[^a-z0-9]+")

log = logging.getLogger(__name__)


@dataclass
class Gallery:
    """The folder, made when something is added. Raises SettingsError for what is refused.

    A file is known by a key that stands for its name, so that no key leads elsewhere.
    """

    folder: Path
    _thumbs: dict[str, tuple[int, bytes]] = field(default_factory=dict)  # by key, with their time

    def files(self) -> list[dict[str, str]]:
        """Its files by name: `key`, `name` to be shown, and `path` as a background's text."""
        return [
            {
                "key": os.fsencode(path.name).hex(),
                "name": os.fsencode(path.name).decode("utf-8", "replace"),
                "path": os.path.abspath(path),
            }
            for path in self.paths()
        ]

    def paths(self) -> list[Path]:
        """Its files by name, FILES_MOST at most."""
        try:
            found = sorted(path for path in self.folder.iterdir() if path.name[0] != ".")
        except OSError:
            return []
        return list(islice(filter(is_file, found), FILES_MOST))

    def thumb(self, key: str) -> bytes:
        """A JPEG of THUMB's size, kept for the next time. Raises SourceError, too."""
        found = [path for path in self.paths() if os.fsencode(path.name).hex() == key]
        if not found:
            raise SettingsError("not among the backgrounds")
        try:
            changed = found[0].stat().st_mtime_ns
        except OSError as error:
            raise SettingsError(f"{found[0]} is gone ({error.strerror})") from None
        kept = self._thumbs.get(key)
        if kept is None or kept[0] != changed:
            self._thumbs[key] = kept = changed, thumbnail(first_picture_of(found[0]))
        return kept[1]

    def begin(self, name: str) -> Part:
        """A file to write what was sent into, for `finish`. Raises OSError, too."""
        if len(self.paths()) >= FILES_MOST:
            raise SettingsError(f"{FILES_MOST} backgrounds are enough; remove some: {self.folder}")
        base = re.split(r"[\\/]", name)[-1].strip(" .")
        stem, _, ending = base.rpartition(".")
        ending = NOT_IN_ENDING.sub("", ending.lower())[:ENDING_MOST] if stem else ""
        suffix = f".{ending}" if ending else ""
        stem = NOT_IN_STEM.sub("_", stem or base).strip(" .") or "background"
        self.folder.mkdir(parents=True, exist_ok=True)
        return Part(self._free(stem, suffix))

    def finish(self, part: Part, name: str) -> None:
        """Keeps the file if it can be shown. Raises OSError, too."""
        try:
            first_picture_of(part.path)
        except BshmError as error:
            raise SettingsError(str(error).replace(str(part.path), name[:BRIEF])) from None
        part.keep()
        log.info(f"added the background {part.target}")

    def unwritable(self, error: OSError) -> SettingsError:
        return SettingsError(why_unwritable(self.folder, error, "choose --backgrounds elsewhere"))

    def _free(self, stem: str, suffix: str) -> Path:
        """A name that no file has."""
        for number in count(1):
            rest = suffix if number == 1 else f"_{number}{suffix}"
            target = self.folder / f"{within_name_limit(stem, rest)}{rest}"
            if not os.path.lexists(target):
                return target
        raise AssertionError("count has no end")


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
