"""May the program tell others that its camera has come? By a rule of udev.

v4l2loopback turns an output into a camera without an event, so that programs which are
already open never learn of it. An event is sent by writing to the device's own `uevent`
in sysfs, and the rule opens that file, of virtual cameras alone, to the group video. No
service runs for it, nothing is started as root, and who is in that group could open the
cameras before.
"""

from __future__ import annotations

import os

from ..sinks.loopback import SYSFS, loopbacks
from .system import Step, System, header, is_ours

HEADER = header("setup", "setup --undo")
# After 60-persistent-v4l.rules, which asks each device what it can do.
RULES_FILE = "/etc/udev/rules.d/61-bshm-live.rules"
# Only v4l2loopback has the attribute. Firefox looks for cameras again when a link below
# /dev/v4l/by-path comes or goes.
RULES = f"""\
{HEADER}\
SUBSYSTEM!="video4linux", GOTO="bshm_live_end"
TEST!="max_openers", GOTO="bshm_live_end"
ACTION=="add", RUN+="/bin/chgrp video $sys$devpath/uevent"
ACTION=="add", RUN+="/bin/chmod g+w $sys$devpath/uevent"
ENV{{ID_V4L_CAPABILITIES}}=="*:capture:*", SYMLINK+="v4l/by-path/virtual-$kernel-video-index0"
LABEL="bshm_live_end"
"""
RELOAD = ("udevadm", "control", "--reload")
RENEW = (
    *("udevadm", "trigger", "--action=add", "--settle"),
    *("--subsystem-match=video4linux", "--attr-match=max_openers"),
)
FOLDERS = ("/usr/lib/udev", "/lib/udev")
GROUP_MAY_WRITE = 0o020


def events(system: System) -> Step:
    """The rule, and whether it was applied to the cameras that are there."""
    if not any(system.path(folder).is_dir() for folder in FOLDERS):
        return Step(True, "events: there is no udev here; start calls after bshm-live")
    path = system.path(RULES_FILE)
    if is_ours(path, HEADER) is None or path.read_text("utf-8", "replace") != RULES:
        text = "events: programs that are already open do not see the camera come"
        return Step(False, text, files=((path, RULES),), commands=(RELOAD, RENEW))
    nodes = loopbacks(system.path(SYSFS))
    if all(os.stat(node / "uevent").st_mode & GROUP_MAY_WRITE for node in nodes):
        return Step(True, f"events: {path} lets programs that are already open see the camera")
    return Step(False, f"events: {path} is not in force yet", commands=(RELOAD, RENEW))
