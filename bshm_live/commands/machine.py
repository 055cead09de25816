"""What is there and what is missing, each with the line to type."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import setup
from ..console import printable, say
from ..errors import BshmError, EngineError, SinkError, SourceError
from ..files import CAMERA, JOIN_GROUP
from ..gpu.nvrtc import find_nvrtc
from ..runtimes.choice import NAMES, available, get_runtime, load_bshm, state
from ..runtimes.manifest import load_manifest
from ..runtimes.nvidia import TOOLKIT_FIX, Gpu, find_gpu, flavour, tensorrt_lacks, toolkit
from ..setup import OBS, command_line
from ..setup import steps as setup_steps
from ..setup.service import install, live_words, remove
from ..setup.service import state as service_state
from ..setup.system import System
from ..sinks import libpipewire
from ..sinks.loopback import FIX, SYSFS, node_label
from ..sources.names import cameras
from .signals import handled


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
        path, name = Path("/dev") / entry.name, node_label(entry)
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
        return f"no permission: {JOIN_GROUP}"
    return error.strerror or str(error)


def list_devices() -> int:
    """Prints cameras and virtual cameras."""
    if sys.platform != "linux":
        _named_cameras()
        print("virtual camera: the one that OBS Studio installs")
        return 0
    nodes = list(video_nodes())
    for node in nodes:
        print(printable(f"{node.path!s:14}{node.kind:16}{node.name}  {node.problem}".rstrip()))
    if not any(node.kind == "camera" for node in nodes):
        print("no camera: plug one in")
    if not any(node.kind == "virtual camera" for node in nodes):
        print(f"no virtual camera: {FIX}")
    return 0


def _named_cameras() -> None:
    """What Windows or macOS calls its cameras, as --source takes them."""
    try:
        found = cameras()
    except SourceError as error:
        print(f"cameras are numbered from 0: try --source 0, --source 1 ({error})")
        return
    for camera in found:
        print(printable(f"{camera.place!s:5}{camera.name}  --source '{CAMERA}{camera.name}'"))
    if not found:
        print("no camera: plug one in")


def run_doctor() -> int:
    """Prints every check with 'ok' or what to do; 0 when nothing essential is missing."""
    complete = _networks()
    _nvidia()
    for name in NAMES:
        if name != "tensorrt":
            _line(*state(name))
    if sys.platform == "linux":
        _linux()
    else:
        _line(True, OBS.get(sys.platform, f"{platform.system()}: no virtual camera is known"))
    return 0 if complete else EngineError.exit_code


def _nvidia() -> None:
    """What TensorRT and the kernels have and lack here, each on a line of its own."""
    name, gpu = flavour(), find_gpu()
    if "tensorrt" in available():
        _line(*state("tensorrt"))
    else:
        if name:
            _line(True, f"tensorrt: {name} is installed: bshm-live engines build")
        for lack in tensorrt_lacks():
            _line(False, f"tensorrt: {lack}")
        nvcc = toolkit()
        _line(nvcc is not None, f"CUDA toolkit: {nvcc or TOOLKIT_FIX}")
    if name or isinstance(gpu, Gpu):
        _kernels(gpu.cuda[0] if isinstance(gpu, Gpu) else None)


def _kernels(most: int | None) -> None:
    """The kernels' compiler; `most` is the driver's CUDA version."""
    try:
        version = find_nvrtc(most).version
    except EngineError as error:
        _line(False, f"frames on the GPU: {error}")
    else:
        _line(True, "frames on the GPU: NVRTC {}.{} compiles the kernels".format(*version))


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
    _line(*libpipewire.state())
    _set_up(System())
    for node in nodes:
        if node.problem:
            _line(False, f"{node.path}: {node.problem}")


def _set_up(system: System) -> None:
    """The virtual camera and its service, each check with the line that mends it."""
    for step in setup_steps(system):
        _line(step.done, step.text)
        mend = (command_line("--apply"),) if step.automatic else ()
        for line in (*mend, *step.by_hand):
            print(f"      {line}")
    _line(*service_state(system))


def _line(good: bool, text: str) -> bool:
    print(printable(f"{'ok  ' if good else 'todo'}  {text}"))
    return good


@handled()
def run_setup(*, apply: bool, undo: bool, hide_camera: bool = False) -> int:
    """Shows what the virtual camera needs, does it, or takes it back; the exit code.

    With `hide_camera` it is about hiding the webcam itself from other programs.
    """
    topic = setup.HIDING if hide_camera else setup.CAMERA
    if sys.platform != "linux":
        say(OBS.get(sys.platform, "virtual cameras are for Linux, Windows and macOS"))
    elif undo:
        setup.undo(System(), topic)
    elif apply:
        return 0 if setup.apply(System(), topic) else SinkError.exit_code
    else:
        print("\n".join(setup.show(System(), topic)))
    return 0


def install_service(given: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    """The service that runs the live command line `given`, by name of its options."""
    install(live_words(given, defaults), System())


def remove_service() -> None:
    remove(System())
