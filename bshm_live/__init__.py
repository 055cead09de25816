"""Another background behind a person in live video.

    from bshm_live import Matting

gives other programs the networks; see `bshm_live.api`. Errors are BshmError and its kinds.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import Cut, Matting
    from .errors import BshmError, EngineError, SettingsError, SinkError, SourceError

__version__ = "0.2.0"

# Nothing leaves the machine. Libraries that report their use are told not to before any of them
# is imported, whatever the user's environment says, and every process that we start inherits it.
# A library that reports and reads no variable is silenced in its adapter (runtimes/openvino.py).
SILENCE = {
    # ONNX Runtime 1.32 and later: a device id in the user's cache, and a connection to its maker
    # some five seconds after the import. It looks once, while it is imported.
    "ORT_DISABLE_TELEMETRY": "1",
    # Ray: statistics of its use, from the first node that starts.
    "RAY_USAGE_STATS_ENABLED": "0",
    # The wish that many libraries heed (consoledonottrack.com).
    "DO_NOT_TRACK": "1",
}
os.environ.update(SILENCE)
# OpenCV looks for hardware to convert a camera's pictures with, which takes Windows up to minutes
# at a camera's start. It looks once, while it is imported.
os.environ.setdefault("OPENCV_VIDEOIO_MSMF_ENABLE_HW_TRANSFORMS", "0")

__all__ = [
    "BshmError",
    "Cut",
    "EngineError",
    "Matting",
    "SettingsError",
    "SinkError",
    "SourceError",
    "__version__",
]


def __getattr__(name: str) -> Any:
    """Loads what is asked for when it is first asked for: importing the package costs nothing."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = import_module(".api" if name in ("Cut", "Matting") else ".errors", __name__)
    return getattr(home, name)
