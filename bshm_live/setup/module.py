"""Is our camera among v4l2loopback's options, loaded at boot, loaded now, open to the user?"""

from __future__ import annotations

import shlex
from pathlib import Path

from ..errors import SettingsError
from ..sinks.loopback import LABEL, SYSFS, loopbacks, node_label
from . import modprobe
from .install import installed, module_version
from .modprobe import MODULE, Parameter
from .system import Step, System, header

HEADER = header("setup", "setup --undo")
# The last value of an option wins, and files are read by name: this one must be the last.
OPTIONS_FILE = "/etc/modprobe.d/zz-bshm-live.conf"
OPTIONS_NOTE = (
    "# The last value of an option wins, so other programs' cameras are repeated here. When\n"
    "# their files change: `bshm-live setup --apply` once more.\n"
)
BOOT_FILE = "/etc/modules-load.d/bshm-live.conf"
BOOT_FOLDERS = (
    "etc/modules-load.d",
    "run/modules-load.d",
    "usr/local/lib/modules-load.d",
    "usr/lib/modules-load.d",
)
CONTROL = "v4l2loopback-ctl"
CONTROL_FROM = (0, 13)  # the version that can add a camera while it runs


def options(system: System) -> Step:
    """Our camera among the options of the module, beside other programs' cameras."""
    own = system.path(OPTIONS_FILE)
    files = modprobe.config_files(system.root)
    before = [p for path in files if path.name < own.name for p in _parameters(path)]
    after = [p for path in files if path.name > own.name for p in _parameters(path)]
    added = modprobe.addition([*before, *after], LABEL, _real_cameras(system))
    if modprobe.addition([*before, *added, *after], LABEL):
        last = files[-1]
        return Step(
            False,
            f"options: {last} comes after {own.name} and overrides it",
            by_hand=(f"sudo mv {last} {last.with_name(f'{MODULE}-{last.name}')}",),
        )
    there = _parameters(own) if own.exists() else []
    if there == added:
        line = modprobe.join_words(added) or "in other files of /etc/modprobe.d"
        return Step(True, f"options: {line}")
    text = f"{HEADER}{OPTIONS_NOTE}options {MODULE} {modprobe.join_words(added)}\n"
    why = "changed since setup" if there else f"no camera called {LABEL}"
    return Step(False, f"options: {why}", files=((own, text if added else None),))


def _parameters(path: Path) -> list[Parameter]:
    try:
        text = path.read_text("utf-8", "surrogateescape")
    except OSError as error:
        raise SettingsError(f"{path} cannot be read ({error.strerror}); try sudo") from error
    return [p for line in modprobe.option_lines(text) for p in modprobe.split_words(line)]


def _real_cameras(system: System) -> set[int]:
    """Numbers of video devices that are not v4l2loopback's."""
    sysfs = system.path(SYSFS)
    ours = {node.name for node in loopbacks(sysfs)}
    names = {node.name for node in sysfs.glob("video*")} - ours
    return {int(name.removeprefix("video")) for name in names}


def boot(system: System) -> Step:
    """The module in a list of those that systemd loads at boot."""
    for path in modprobe.config_files(system.root, BOOT_FOLDERS, (".conf",)):
        lines = path.read_text("utf-8", "replace").splitlines()
        if any(line.strip() == MODULE for line in lines):
            return Step(True, f"boot: {path} loads {MODULE}")
    text = f"{HEADER}{MODULE}\n"
    return Step(
        False, f"boot: {MODULE} is not loaded at boot", files=((system.path(BOOT_FILE), text),)
    )


def loaded(system: System) -> Step:
    """The module in the kernel with a camera of ours that says Capture only while it is fed."""
    module = system.path(f"/sys/module/{MODULE}")
    if not module.exists():
        known = installed(system).done
        command = (("modprobe", MODULE),) if known else ()
        return Step(False, f"{MODULE} is not loaded", commands=command)
    version = module_version(system)
    sysfs = system.path(SYSFS)
    node = next((node for node in loopbacks(sysfs) if node_label(node) == LABEL), None)
    if node is not None and _exclusive(module, node.name) is not False:
        return Step(True, f"{MODULE} {version}: /dev/{node.name} is {LABEL}")
    lacks = f"/dev/{node.name} lacks exclusive_caps" if node else f"has no camera {LABEL}"
    text = f"{MODULE} {version} is loaded with other options: {lacks}"
    if _in_use(module):
        return _while_in_use(system, text, version, removable=node is not None)
    return Step(False, text, commands=(("modprobe", "-r", MODULE), ("modprobe", MODULE)))


def _exclusive(module: Path, name: str) -> bool | None:
    """exclusive_caps as loaded for a node; None if it was added later or is unknown."""
    try:
        numbers = (module / "parameters/video_nr").read_text().strip().split(",")
        switches = (module / "parameters/exclusive_caps").read_text().strip().split(",")
    except OSError:
        return None
    told = dict(zip(numbers, switches, strict=False))
    switch = told.get(name.removeprefix("video"))
    return None if switch is None else switch == "Y"


def _in_use(module: Path) -> bool:
    try:
        return int((module / "refcnt").read_text()) > 0
    except (OSError, ValueError):  # a kernel that cannot unload modules has no such file
        return True


def _while_in_use(system: System, text: str, version: str, *, removable: bool) -> Step:
    """A module in use cannot be loaded again; from 0.13 on it takes a camera as it runs."""
    reload_line = f"sudo modprobe -r {MODULE} && sudo modprobe {MODULE}"
    close = f"close the programs that use its cameras, then {reload_line}, or restart the machine"
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if removable or numbers < CONTROL_FROM:
        return Step(False, f"{text}; it is in use", by_hand=(close,))
    sysfs = system.path(SYSFS)
    taken = {int(node.name.removeprefix("video")) for node in sysfs.glob("video*")}
    device = f"/dev/video{modprobe.free_number(taken)}"
    add = (CONTROL, "add", "-n", LABEL, "-x", "1", "-b", modprobe.BUFFERS_WANTED, device)
    if any(
        system.path(f"{folder}/{CONTROL}").exists() for folder in ("/usr/bin", "/usr/local/bin")
    ):
        return Step(False, f"{text}; it is in use, so the camera is added to it", commands=(add,))
    return Step(
        False,
        f"{text}; it is in use",
        by_hand=(close, f"or, with {CONTROL} installed: sudo {shlex.join(add)}"),
    )


def group(system: System) -> Step:
    """The user in the group that may open cameras."""
    if system.user == "root":
        return Step(True, "group video: root needs none")
    if "video" in system.run(("id", "-nG", system.user)).text.split():
        return Step(True, f"group video: {system.user} is in it")
    return Step(
        False,
        f"group video: {system.user} is not in it (counts from the next login on)",
        commands=(("usermod", "-aG", "video", system.user),),
    )
