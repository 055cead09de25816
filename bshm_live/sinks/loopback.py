"""v4l2loopback devices as the system describes them: which there are, and who has them open."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import SinkError

LABEL = "bshm-live"  # the card_label of FIX
FIX = 'sudo modprobe v4l2loopback video_nr=10 card_label="bshm-live" exclusive_caps=1 max_buffers=4'
OBS_LABEL = "OBS Virtual Camera"
SYSFS = Path("/sys/class/video4linux")
PROC = Path("/proc")
REFERENCES = Path("/sys/module/v4l2loopback/refcnt")


def pick_loopback(root: Path = SYSFS) -> str | None:
    """The v4l2loopback node called bshm-live, else the first that is not OBS's, or None.

    Raises SinkError where OBS's is the only one.
    """
    nodes = {node.name: node_label(node) for node in loopbacks(root)}
    ours = [name for name, label in nodes.items() if label == LABEL]
    free = [name for name, label in nodes.items() if label != OBS_LABEL]
    names = ours or free
    if names:
        return f"/dev/{names[0]}"
    if nodes:
        raise SinkError(
            f"the only virtual camera, /dev/{next(iter(nodes))}, is OBS's; name it with "
            f"--sink vcam:/dev/{next(iter(nodes))}, or add our own: {FIX}"
        )
    return None


def loopbacks(root: Path = SYSFS) -> list[Path]:
    """Nodes of v4l2loopback by number: only that driver has the attribute max_openers."""
    found = [node for node in root.glob("video*") if (node / "max_openers").exists()]
    return sorted(found, key=lambda node: int(node.name.removeprefix("video")))


def node_label(node: Path) -> str:
    try:
        return (node / "name").read_text(errors="replace").strip()
    except OSError:  # it was removed meanwhile
        return ""


def label_of(device: str) -> str:
    """The name of /dev/videoN; empty where it has none."""
    return node_label(SYSFS / Path(device).name)


def open_nodes(process: str = "self", proc: Path = PROC) -> list[str]:
    """/dev/video* that a process has open, one entry per descriptor; empty if we may not look.

    Raises no OSError: processes come and go, and those of other users cannot be inspected.
    """
    found = []
    try:
        descriptors = os.listdir(proc / process / "fd")
    except OSError:
        return []
    for descriptor in descriptors:
        try:
            target = os.readlink(proc / process / "fd" / descriptor)
        except OSError:  # closed meanwhile: the descriptor of this very listing, for one
            continue
        if target.startswith("/dev/video"):
            found.append(target)
    return found


def holders(proc: Path = PROC) -> dict[str, set[int]]:
    """/dev/videoN to the processes that visibly have it open, without this one."""
    found: dict[str, set[int]] = {}
    for entry in proc.iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            for node in open_nodes(entry.name, proc):
                found.setdefault(node, set()).add(int(entry.name))
    return found


def who_holds(device: str, proc: Path = PROC) -> str:
    """' (ffmpeg, process 123)' for a message; empty if none is visible."""
    named = []
    for process in sorted(holders(proc).get(os.path.realpath(device), set())):
        try:
            name = (proc / str(process) / "comm").read_text(errors="replace").strip()
        except OSError:
            continue
        named.append(f"{name}, process {process}")
    return f" ({'; '.join(named)})" if named else ""
