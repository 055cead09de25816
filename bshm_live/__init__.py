"""Another background behind a person in live video.

    from bshm_live import Matting

gives other programs the networks; see `bshm_live.api`. Errors are BshmError and its kinds.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import Cut, Matting
    from .errors import BshmError, EngineError, SettingsError, SinkError, SourceError

__version__ = "0.1.0"

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
