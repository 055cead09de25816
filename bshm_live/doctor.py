"""What is there and what is missing, each with the line to type."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .errors import BshmError, EngineError
from .manifest import load_manifest
from .runtimes import INSTALL, MODULES, available, get_runtime, load_bshm
from .sink_vcam import FIX, SYSFS

LOOPBACK = "v4l2loopback"


@dataclass(frozen=True)
class VideoNode:
    """One /dev/videoN: what it is called, who drives it, what it can do."""

    path: Path
    name: str
    driver: str
    kind: str  # camera, virtual camera, other
    problem: str = ""


def video_nodes() -> Iterator[VideoNode]:
    """All V4L2 nodes of this machine (Linux)."""
    from linuxpy.video.device import Device

    for entry in sorted(SYSFS.glob("video*"), key=lambda p: int(p.name.removeprefix("video"))):
        path = Path("/dev") / entry.name
        name = (entry / "name").read_text().strip()
        try:
            with Device(path) as device:
                driver = device.info.driver
                can = device.info.device_capabilities.name or ""
        except OSError as error:
            yield VideoNode(path, name, "?", "other", problem(error))
            continue
        if "v4l2 loopback" in driver.lower():
            yield VideoNode(path, name, driver, "virtual camera")
        else:
            kind = "camera" if "VIDEO_CAPTURE" in can and "META" not in can else "other"
            yield VideoNode(path, name, driver, kind)


def problem(error: OSError) -> str:
    if isinstance(error, PermissionError):
        return "no permission: sudo usermod -aG video $USER, then log in again"
    return error.strerror or str(error)


def list_devices() -> int:
    """Prints cameras and virtual cameras."""
    if sys.platform != "linux":
        print("cameras are numbered from 0: try --source 0, --source 1")
        print("virtual camera: the one that OBS Studio installs")
        return 0
    nodes = list(video_nodes())
    for node in nodes:
        print(f"{node.path!s:14}{node.kind:16}{node.name}  {node.problem}".rstrip())
    if not any(node.kind == "camera" for node in nodes):
        print("no camera: plug one in")
    if not any(node.kind == "virtual camera" for node in nodes):
        print(f"no virtual camera: {FIX}")
    return 0


def run_doctor() -> int:
    """Prints every check with 'ok' or what to do; 0 when nothing essential is missing."""
    complete = _networks()
    for name in MODULES:
        there = name in available()
        _line(there, get_runtime(name).description if there else f"{name}: {INSTALL[name]}")
    if sys.platform == "linux":
        _linux()
    else:
        _line(True, f"{platform.system()}: the virtual camera comes with OBS Studio 30 or later")
    return 0 if complete else EngineError.exit_code


def _networks() -> bool:
    try:
        manifest = load_manifest()
        for preset in sorted({n.preset for n in manifest.networks}):
            load_bshm(preset, get_runtime("onnxruntime"), manifest=manifest).close()
    except BshmError as error:
        return _line(False, str(error))
    return _line(True, f"networks: {len(manifest.networks)} files, as in the manifest")


def _linux() -> None:
    nodes = list(video_nodes())
    cameras = [n for n in nodes if n.kind == "camera"]
    _line(bool(cameras), ", ".join(f"{n.path} {n.name}" for n in cameras) or "no camera found")
    module = Path("/sys/module") / LOOPBACK
    if not module.exists():
        _line(False, f"v4l2loopback is not loaded: {FIX}")
        _line(*_installed())
    else:
        version = (module / "version").read_text().strip() if (module / "version").exists() else ""
        _line(True, f"v4l2loopback {version}")
        virtual = [n for n in nodes if n.kind == "virtual camera"]
        text = ", ".join(f"{n.path} {n.name}" for n in virtual)
        _line(bool(virtual), text or f"no virtual camera: {FIX}")
    for node in nodes:
        if node.problem:
            _line(False, f"{node.path}: {node.problem}")


def _installed() -> tuple[bool, str]:
    modules = Path("/lib/modules") / os.uname().release
    if any(modules.rglob(f"{LOOPBACK}.ko*")):
        return True, "v4l2loopback is installed for this kernel"
    return False, "v4l2loopback is not installed: sudo apt install v4l2loopback-dkms"


def _line(good: bool, text: str) -> bool:
    print(f"{'ok  ' if good else 'todo'}  {text}")
    return good
