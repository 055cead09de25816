"""May other programs open the webcam itself? By a rule of udev, so that a call cannot pick it.

The rule takes every camera that is not a virtual one out of the group video and from the
person at the keyboard, and gives it to a group of its own, in which nobody is: whoever starts
bshm-live with that group (sg asks for the group's password) has the camera, and no other
program that runs for the same person. It hides the camera from programs, not from their owner.
"""

from __future__ import annotations

from ..sinks.loopback import SYSFS, loopbacks
from .events import FOLDERS, RELOAD
from .system import Step, System, header, is_ours

HEADER = header("setup --hide-camera", "setup --hide-camera --undo")
GROUP = "bshm-camera"
# After 70-uaccess.rules, which marks cameras for the person at the keyboard, and before
# 73-seat-late.rules, which opens to that person what is marked.
RULES_FILE = "/etc/udev/rules.d/72-bshm-live-hide.rules"
# Only v4l2loopback has the attribute. Without its capabilities PipeWire and others that ask
# udev do not list the camera at all.
RULES = f"""\
{HEADER}\
SUBSYSTEM!="video4linux", GOTO="bshm_live_hide_end"
TEST=="max_openers", GOTO="bshm_live_hide_end"
GROUP="{GROUP}", MODE="0660", TAG-="uaccess", ENV{{ID_V4L_CAPABILITIES}}=":"
LABEL="bshm_live_hide_end"
"""
RENEW = ("udevadm", "trigger", "--action=add", "--settle", "--subsystem-match=video4linux")
ADD_GROUP = ("groupadd", "--system", GROUP)
START = f"sg {GROUP} -c 'bshm-live --bg office.jpg'"
PASSWORD = f"sudo gpasswd {GROUP}"


def hidden(system: System) -> Step:
    """The group and the rule."""
    if not any(system.path(folder).is_dir() for folder in FOLDERS):
        return Step(False, "hidden camera: there is no udev here")
    path = system.path(RULES_FILE)
    known = system.run(("getent", "group", GROUP)).code == 0
    ruled = is_ours(path, HEADER) is not None and path.read_text("utf-8", "replace") == RULES
    if known and ruled:
        return Step(True, f"hidden camera: only programs of the group {GROUP} open it: {START}")
    return Step(
        False,
        f"hidden camera: every program can open {_cameras(system)}",
        files=() if ruled else ((path, RULES),),
        commands=(*(() if known else (ADD_GROUP,)), RELOAD, RENEW),
        by_hand=(
            f"{PASSWORD} (choose a password for the group)",
            f"then start it with {START}; a service cannot, it has no password to give",
            "plug the camera in again, or restart: who has it open keeps it until then",
        ),
    )


def _cameras(system: System) -> str:
    """The nodes of real cameras."""
    virtual = {node.name for node in loopbacks(system.path(SYSFS))}
    nodes = sorted({node.name for node in system.path(SYSFS).glob("video*")} - virtual)
    return ", ".join(f"/dev/{name}" for name in nodes) or "a webcam that is plugged in"
