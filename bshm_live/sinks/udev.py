"""Tells udev that the camera has come or gone: v4l2loopback itself does not.

Programs that are already open (Firefox, OBS, PipeWire) learn of cameras by udev's events
alone. A rule that `setup` writes lets the group video send them for virtual cameras.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Literal

from .loopback import SYSFS

log = logging.getLogger(__name__)

ADD: Literal["add"] = "add"  # OBS listens to no other
CHANGE: Literal["change"] = "change"
LATE = "programs that are already open may not see the camera: start the call after this program"


def announce(device: str, action: str, sysfs: Path = SYSFS) -> None:
    """Sends udev's event `action` for /dev/videoN; a line where that is not allowed."""
    node = sysfs / Path(os.path.realpath(device)).name
    try:
        (node / "uevent").write_text(action)
    except PermissionError:
        if action == ADD:
            log.info("%s (sudo bshm-live setup --apply mends that)", LATE)
    except OSError as error:  # the module was unloaded
        log.debug("no event for %s: %s", device, error)
