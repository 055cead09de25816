"""Files and devices by name: the one place where a text becomes a path."""

from __future__ import annotations

from pathlib import Path


def camera_device(text: str) -> str | int | None:
    """The camera that a source's text names: a number or a path; None where it is a file."""
    if text.isascii() and text.isdigit():
        return int(text)
    path = Path(text).expanduser()
    is_node = text.startswith(("/dev/video", "/dev/v4l/")) or path.is_char_device()
    return text if is_node else None
