"""The virtual camera that OBS Studio brings to Windows and macOS. pyvirtualcam lives here alone."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np

from ..errors import SinkError
from ..types import Size

if TYPE_CHECKING:
    from ..types import Picture


class ObsCamera:
    """Sends BGR pictures (H, W, 3) of `size`. Raises SinkError when there is no camera."""

    def __init__(self, device: str | None, size: Size, fps: float) -> None:
        try:
            import pyvirtualcam
        except ImportError as error:
            raise SinkError(
                f"no virtual camera: pyvirtualcam cannot be loaded ({error}); "
                "pip install pyvirtualcam, or use --sink window"
            ) from error
        try:
            self._camera = pyvirtualcam.Camera(
                *size, max(fps, 1.0), fmt=pyvirtualcam.PixelFormat.BGR, device=device
            )
        except RuntimeError as error:
            raise SinkError(_why()) from error
        self.device: str = self._camera.device
        self._last = np.zeros((size[1], size[0], 3), np.uint8)

    def stand_in(self, picture: Picture) -> None:
        """OBS's camera shows its own card once this process is gone."""

    def show(self, picture: Picture) -> None:
        np.copyto(self._last, picture)
        self.again()

    def again(self) -> None:
        """The last picture once more."""
        self._camera.send(self._last)

    def check(self) -> None:
        """Nothing can be asked there."""

    def close(self) -> None:
        self._camera.close()


def _why() -> str:
    if sys.platform == "win32":
        return (
            "no virtual camera; install OBS Studio 26 or newer, which brings one, and close "
            "every program that feeds it"
        )
    return (
        "no virtual camera; install OBS Studio 30 or newer (macOS 13 or newer), start and "
        "stop its virtual camera once, quit it and try again"
    )
