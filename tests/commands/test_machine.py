from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from bshm_live.commands import machine as doctor
from bshm_live.gpu import nvrtc
from bshm_live.runtimes import nvidia
from bshm_live.runtimes.nvidia import Gpu
from bshm_live.setup.system import Done, System

linux = pytest.mark.skipif(sys.platform != "linux", reason="V4L2 is Linux's")


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
