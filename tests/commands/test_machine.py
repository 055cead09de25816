from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from enum import IntFlag
from pathlib import Path
from types import SimpleNamespace, TracebackType

import pytest
from conftest import TOY
from machine_twin import Machine, Systemd

from bshm_live.commands import machine as doctor
from bshm_live.gpu import nvrtc
from bshm_live.runtimes import nvidia
from bshm_live.runtimes.nvidia import Gpu
from bshm_live.setup.system import Done, System
from bshm_live.sinks import libpipewire

linux = pytest.mark.skipif(sys.platform != "linux", reason="V4L2 is Linux's")


class Can(IntFlag):
    """The part of V4L2's capabilities that tells cameras from other devices."""

    VIDEO_CAPTURE = 1
    META_CAPTURE = 2
    VIDEO_OUTPUT = 4


class Nodes:
    """The twin of a machine's video devices: their /sys, and linuxpy's Device of each."""

    def __init__(self, sysfs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sysfs = sysfs
        self.found: dict[str, tuple[str, Can] | OSError] = {}
        monkeypatch.setattr(doctor, "SYSFS", sysfs)
        monkeypatch.setattr("linuxpy.video.device.Device", self.open)

    def add(self, number: int, name: str, driver: str, can: Can) -> None:
        (self.sysfs / f"video{number}").mkdir(parents=True)
        (self.sysfs / f"video{number}" / "name").write_bytes(os.fsencode(name) + b"\n")
        self.found[f"/dev/video{number}"] = (driver, can)

    def refuse(self, number: int, code: int) -> None:
        self.found[f"/dev/video{number}"] = OSError(code, os.strerror(code))

    def open(self, path: Path) -> Device:
        return Device(self.found[str(path)])


class Device:
    """An open device: what it says of itself, or the error at its opening."""

    def __init__(self, found: tuple[str, Can] | OSError) -> None:
        self.found = found

    def __enter__(self) -> Device:
        if isinstance(self.found, OSError):
            raise self.found
        driver, can = self.found
        self.info = SimpleNamespace(driver=driver, device_capabilities=can)
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        return


@pytest.fixture
def nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Nodes:
    return Nodes(tmp_path / "video4linux", monkeypatch)


@linux
def test_devices_names_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "SYSFS", tmp_path)
    assert doctor.list_devices() == 0
    text = capsys.readouterr().out
    assert "no camera" in text
    assert doctor.FIX in text


@linux
def test_a_node_that_cannot_be_opened_is_listed_with_its_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "video987").mkdir()
    (tmp_path / "video987" / "name").write_text("Ghost\n")
    monkeypatch.setattr(doctor, "SYSFS", tmp_path)
    (node,) = doctor.video_nodes()
    assert (node.name, node.kind) == ("Ghost", "other")
    assert node.problem


def test_permission_names_the_group() -> None:
    assert "usermod -aG video" in doctor.problem(PermissionError(13, "Permission denied"))


def test_doctor_fails_without_networks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BSHM_ENGINES", str(tmp_path))
    assert doctor.run_doctor() == 4
    assert "todo" in capsys.readouterr().out


@pytest.mark.usefixtures("toy_engines")
def test_doctor_is_content_with_networks(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.run_doctor() == 0
    assert "ok    networks: 6 files" in capsys.readouterr().out


@pytest.mark.usefixtures("toy_engines")
def test_doctor_names_every_part_that_the_gpu_lacks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gpu = Gpu("Toy RTX", (8, 6), (12, 4))
    for module in (nvidia, doctor):
        monkeypatch.setattr(module, "find_gpu", lambda: gpu)
    monkeypatch.setattr(nvidia, "find_spec", lambda name: None)
    monkeypatch.setattr(doctor, "toolkit", lambda: None)
    monkeypatch.setattr(nvrtc, "folders", lambda: iter(()))
    assert doctor.run_doctor() == 0
    text = capsys.readouterr().out
    for part, line in (
        ("TensorRT is not installed", nvidia.EXTRA),
        ("pycuda is not installed", "pip install pycuda"),
        ("CUDA toolkit", "sudo apt install nvidia-cuda-toolkit"),
        ("NVRTC, the kernels' compiler, is not here", "pip install nvidia-cuda-nvrtc-cu12"),
    ):
        assert re.search(f"^todo  .*{part}.*{re.escape(line)}", text, re.MULTILINE), part
    lack = nvidia.Lack("no NVIDIA driver", nvidia.DRIVER_FIX)
    for module in (nvidia, doctor):
        monkeypatch.setattr(module, "find_gpu", lambda: lack)
    assert doctor.run_doctor() == 0
    text = capsys.readouterr().out
    assert f"todo  tensorrt: no NVIDIA driver: {nvidia.DRIVER_FIX}" in text
    assert "NVRTC" not in text, "nothing here would use it"


@linux
@pytest.mark.usefixtures("toy_engines")
def test_doctor_names_every_part_of_the_virtual_camera(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def nothing(words: Sequence[str]) -> Done:
        return Done(127, f"{words[0]} is not installed")

    bare = System(tmp_path, nothing, "6.1.0-test", "anna", False)
    monkeypatch.setattr(doctor, "System", lambda: bare)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr(doctor, "SYSFS", tmp_path)
    assert doctor.run_doctor() == 0
    text = capsys.readouterr().out
    for part in ("is not installed", "options: ", "boot: ", "is not loaded", "group video: anna"):
        assert re.search(f"^todo  .*{part}", text, re.MULTILINE), part
    for part in ("Secure Boot is off", "service: not installed"):
        assert re.search(f"^ok    .*{part}", text, re.MULTILINE), part
    assert re.search("^      sudo .* setup --apply$", text, re.MULTILINE)


@linux
def test_devices_are_told_apart_and_listed_by_number(
    nodes: Nodes, capsys: pytest.CaptureFixture[str]
) -> None:
    nodes.add(10, "bshm-live", "v4l2 loopback", Can.VIDEO_OUTPUT)
    nodes.add(0, "HD Webcam", "uvcvideo", Can.VIDEO_CAPTURE)
    nodes.add(1, "HD Webcam", "uvcvideo", Can.META_CAPTURE)
    nodes.add(2, "Decoder", "rpivid", Can(0))
    assert doctor.list_devices() == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["/dev/video0", "camera"],
        ["/dev/video1", "other"],
        ["/dev/video2", "other"],
        ["/dev/video10", "virtual"],
    ]
    assert lines[0].endswith("HD Webcam")


@linux
@pytest.mark.parametrize(
    ("code", "says"),
    [(errno.EACCES, "usermod -aG video"), (errno.EBUSY, "busy"), (errno.EIO, "Input/output")],
)
def test_a_device_that_refuses_is_listed_with_the_reason(
    nodes: Nodes, code: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    nodes.add(0, "HD Webcam", "uvcvideo", Can.VIDEO_CAPTURE)
    nodes.add(1, "Other", "uvcvideo", Can.VIDEO_CAPTURE)
    nodes.refuse(0, code)
    assert doctor.list_devices() == 0
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert "HD Webcam" in first
    assert says in first
    assert second.split()[1] == "camera"


@linux
def test_a_device_that_goes_meanwhile_and_a_name_that_is_no_text(
    nodes: Nodes, capsys: pytest.CaptureFixture[str]
) -> None:
    nodes.add(0, "Cam\x1b[31m \udce9", "uvcvideo", Can.VIDEO_CAPTURE)
    nodes.add(1, "gone", "uvcvideo", Can.VIDEO_CAPTURE)
    (nodes.sysfs / "video1" / "name").unlink()
    nodes.refuse(1, errno.ENODEV)
    assert doctor.list_devices() == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(line.isprintable() for line in lines)
    assert r"Cam\x1b[31m" in lines[0]
    assert lines[1].split()[:2] == ["/dev/video1", "other"]


class Whole:
    """A machine with a camera, the virtual camera and the service, which the doctor looks at."""

    def __init__(self, root: Path, nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
        self.machine, self.systemd = Machine(root), Systemd()
        nodes.add(0, "HD Webcam", "uvcvideo", Can.VIDEO_CAPTURE)
        nodes.add(10, "bshm-live", "v4l2 loopback", Can.VIDEO_OUTPUT)
        monkeypatch.setenv("XDG_CONFIG_HOME", str(root / "config"))
        monkeypatch.setattr(doctor, "System", self.system)
        monkeypatch.setattr(libpipewire, "state", lambda: (True, "pipewire: a server answers"))
        self.root = True

    def system(self) -> System:
        return System(self.machine.root, self.run, self.machine.system().release, "anna", self.root)

    def run(self, words: Sequence[str]) -> Done:
        ours = words[0] == "systemctl"
        return self.systemd.run(tuple(words)) if ours else self.machine.run(words)


@pytest.fixture
def whole(tmp_path: Path, nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> Whole:
    return Whole(tmp_path, nodes, monkeypatch)


@linux
@pytest.mark.usefixtures("toy_engines")
def test_the_doctor_finds_nothing_to_do_once_all_is_set_up(
    whole: Whole, capsys: pytest.CaptureFixture[str]
) -> None:
    assert doctor.run_setup(apply=True, undo=False) == 0
    whole.root = False
    given = {"bg": "blur", "sink": None, "preview": False}
    doctor.install_service(given, {**given, "bg": ""})
    capsys.readouterr()
    assert doctor.run_doctor() == 0
    lines = capsys.readouterr().out.splitlines()
    begin = next(n for n, line in enumerate(lines) if "HD Webcam" in line)
    assert all(line.startswith("ok    ") for line in lines[begin:]), lines
    assert lines[-1] == "ok    service: running, enabled"
    whole.systemd.running = False
    doctor.run_doctor()
    assert re.search("^todo  service: .*restart", capsys.readouterr().out, re.MULTILINE)
    doctor.remove_service()
    whole.root = True
    assert doctor.run_setup(apply=False, undo=True) == 0
    doctor.run_doctor()
    text = capsys.readouterr().out
    assert re.search("^todo  options: ", text, re.MULTILINE)
    assert "service: not installed" in text


@linux
def test_setup_says_by_its_exit_code_that_something_is_left(
    whole: Whole, capsys: pytest.CaptureFixture[str]
) -> None:
    whole.machine.refuses = "could not insert 'v4l2loopback': Key was rejected by service"
    assert doctor.run_setup(apply=True, undo=False) == 5
    assert doctor.run_setup(apply=False, undo=False) == 0
    assert "todo  v4l2loopback is not loaded" in capsys.readouterr().out


@linux
@pytest.mark.usefixtures("toy_engines")
def test_the_doctor_names_a_device_that_refuses(
    whole: Whole, nodes: Nodes, capsys: pytest.CaptureFixture[str]
) -> None:
    assert whole.root
    nodes.refuse(0, errno.EACCES)
    assert doctor.run_doctor() == 0
    text = capsys.readouterr().out
    assert "todo  no camera found" in text
    assert re.search("^todo  /dev/video0: no permission", text, re.MULTILINE)


def test_the_doctor_names_a_network_that_is_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "engines"
    shutil.copytree(TOY, folder)
    (folder / "balanced" / "mrn.onnx").write_bytes(b"damaged")
    monkeypatch.setenv("BSHM_ENGINES", str(folder))
    assert doctor.run_doctor() == 4
    assert re.search(r"^todo  .*mrn\.onnx", capsys.readouterr().out, re.MULTILINE)


@pytest.mark.parametrize("name", ["win32", "darwin"])
def test_devices_elsewhere_are_numbers(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "platform", name)
    monkeypatch.setitem(sys.modules, "cv2_enumerate_cameras", None)
    assert doctor.list_devices() == 0
    assert "--source 0" in capsys.readouterr().out


@pytest.mark.parametrize(("name", "version"), [("win32", "26"), ("darwin", "30")])
@pytest.mark.usefixtures("toy_engines")
def test_doctor_names_the_obs_of_other_systems(
    name: str, version: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "platform", name)
    assert doctor.run_doctor() == 0
    assert f"OBS Studio {version} or newer" in capsys.readouterr().out


@pytest.mark.device
def test_devices_tells_cameras_from_virtual_cameras(
    tmp_path: Path, guest: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    done = guest(tmp_path, sys.executable, "-m", "bshm_live", "devices", seconds=60)
    kinds = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines()}
    assert kinds["/dev/video0"][0] == "camera", done.stdout
    assert kinds["/dev/video10"] == ["virtual", "camera", "bshm-live"], done.stdout
