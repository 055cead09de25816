"""Setting the virtual camera up, on a machine of files and a kernel of a few lines."""

from __future__ import annotations

import logging
import re
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from machine_twin import MODULE, OBS, RELEASE, SYSFS, Machine

from bshm_live.cli import main
from bshm_live.errors import SettingsError
from bshm_live.setup import BACKUP, apply, command_line, show, steps, undo
from bshm_live.setup.events import RELOAD, RENEW, RULES, RULES_FILE
from bshm_live.setup.install import KEYS, SECURE_BOOT
from bshm_live.setup.module import BOOT_FILE, OPTIONS_FILE
from bshm_live.setup.system import (
    NOT_FOUND,
    Done,
    Step,
    System,
    program,
    run_command,
    user_name,
)
from bshm_live.sinks.loopback import LABEL


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def step(system: System, begins: str) -> Step:
    (found,) = [s for s in steps(system) if s.text.startswith(begins)]
    return found


def test_a_bare_machine_is_set_up(machine: Machine, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert apply(machine.system())
    assert machine.text(OPTIONS_FILE).splitlines()[-1] == (
        'options v4l2loopback video_nr=10 card_label="bshm-live" exclusive_caps=1 max_buffers=4'
    )
    assert machine.text(BOOT_FILE).splitlines()[-1] == "v4l2loopback"
    assert machine.changes() == [
        RELOAD,
        RENEW,
        ("modprobe", "v4l2loopback"),
        ("usermod", "-aG", "video", "anna"),
    ]
    assert machine.text(f"{SYSFS}/video10/name") == "bshm-live\n"
    assert all(s.done for s in steps(machine.system()))
    assert f"      wrote {machine.root}{OPTIONS_FILE}" in caplog.messages


def test_a_second_time_nothing_is_done(machine: Machine) -> None:
    apply(machine.system())
    before, machine.ran = machine.files(), []
    assert apply(machine.system())
    assert machine.changes() == []
    assert machine.files() == before


def test_showing_changes_nothing_and_names_everything(machine: Machine) -> None:
    before = machine.files()
    text = "\n".join(show(machine.system(root=False)))
    assert "\ntodo" in text
    assert machine.changes() == []
    assert machine.files() == before
    for part in (OPTIONS_FILE, 'card_label="bshm-live"', BOOT_FILE, "would run modprobe"):
        assert part in text
    assert "would run usermod -aG video anna" in text
    assert text.splitlines()[-1].endswith(command_line("--apply"))


def test_another_programs_camera_stays(machine: Machine) -> None:
    machine.write("etc/modprobe.d/v4l2loopback.conf", OBS)
    assert apply(machine.system())
    assert machine.text("etc/modprobe.d/v4l2loopback.conf") == OBS
    assert machine.cameras() == ["OBS Virtual Camera", "bshm-live"]
    assert machine.text(f"{SYSFS}/video9/name") == "OBS Virtual Camera\n"
    assert machine.text(f"{SYSFS}/video10/name") == "bshm-live\n"


def test_events_are_allowed_for_cameras_that_are_there(machine: Machine) -> None:
    machine.load("video_nr=10 card_label=bshm-live exclusive_caps=1", users=1)
    node = machine.root / SYSFS / "video10" / "uevent"
    assert "do not see the camera come" in step(machine.system(), "events").text
    apply(machine.system())
    assert node.stat().st_mode & 0o777 == 0o664
    node.chmod(0o644)
    assert "not in force" in step(machine.system(), "events").text
    apply(machine.system())
    assert step(machine.system(), "events").done


def test_without_udev_there_are_no_events(machine: Machine) -> None:
    (machine.root / "usr/lib/udev").rmdir()
    assert apply(machine.system())
    assert step(machine.system(), "events").done
    assert "no udev" in step(machine.system(), "events").text
    assert RELOAD not in machine.ran


def test_a_change_of_the_others_is_seen_and_taken_up(machine: Machine) -> None:
    apply(machine.system())
    machine.write("etc/modprobe.d/obs.conf", OBS)
    assert "changed" in step(machine.system(), "options").text
    apply(machine.system())
    assert machine.cameras() == ["OBS Virtual Camera", "bshm-live"]


def test_a_camera_that_somebody_wrote_is_enough(machine: Machine) -> None:
    machine.write(
        "etc/modprobe.d/bshm-live.conf",
        'options v4l2loopback video_nr=10 card_label="bshm-live" exclusive_caps=1\n',
    )
    machine.write("etc/modules-load.d/cameras.conf", "# cameras\nv4l2loopback\n")
    before = machine.files()
    assert apply(machine.system())
    assert machine.files() == before | {RULES_FILE.removeprefix("/etc/"): RULES.encode()}


def test_a_file_that_would_override_ours_is_named(machine: Machine) -> None:
    machine.write("etc/modprobe.d/zzz.conf", OBS)
    found = step(machine.system(), "options")
    assert not found.done
    assert not found.automatic
    (line,) = found.by_hand
    _, _, old, new = line.split()
    Path(old).rename(new)
    assert apply(machine.system())
    assert machine.cameras() == ["OBS Virtual Camera", "bshm-live"]


def test_options_that_make_no_sense_are_one_line_and_stop_nothing(machine: Machine) -> None:
    machine.write("etc/modprobe.d/bad.conf", "options v4l2loopback video_nr=nine\n")
    assert not apply(machine.system())
    assert machine.text(BOOT_FILE)
    assert not (machine.root / OPTIONS_FILE.lstrip("/")).exists()


LINES = st.lists(
    st.sampled_from(
        [
            OBS,
            "options v4l2loopback max_buffers=4\n",
            "options v4l2loopback video_nr=3,4 exclusive_caps=0,1\n",
            'options v4l2loopback card_label="A cam,B cam" devices=2\n',
            "# a comment\n",
            "options snd_hda_intel index=1\n",
            "",
        ]
    ),
    max_size=4,
).map("".join)
OWN = (Path(OPTIONS_FILE).name, Path(BOOT_FILE).name, Path(RULES_FILE).name)


@settings(max_examples=25, deadline=None)
@given(
    others=st.dictionaries(st.sampled_from(["a.conf", "obs.conf", "v4l2.conf"]), LINES),
    own=st.dictionaries(st.sampled_from(OWN), LINES),
    boot=st.dictionaries(
        st.sampled_from(["modules.conf"]), st.sampled_from(["", "v4l2loopback\n"])
    ),
)
def test_undo_after_apply_is_what_was_there(
    others: dict[str, str], own: dict[str, str], boot: dict[str, str]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        machine = Machine(Path(folder))
        for name, text in {**others, **{n: t for n, t in own.items() if n == OWN[0]}}.items():
            machine.write(f"etc/modprobe.d/{name}", text)
        for name, text in {**boot, **{n: t for n, t in own.items() if n == OWN[1]}}.items():
            machine.write(f"etc/modules-load.d/{name}", text)
        if OWN[2] in own:
            machine.write(RULES_FILE.lstrip("/"), own[OWN[2]])
        before, labels = machine.files(), machine.cameras() if OWN[0] not in own else []
        assert apply(machine.system())
        after = machine.files()
        assert LABEL in machine.cameras()
        assert machine.cameras()[: len(labels)] == labels
        assert {name: after[name] for name in before if Path(name).name not in OWN} == {
            name: text for name, text in before.items() if Path(name).name not in OWN
        }
        apply(machine.system())
        assert machine.files() == after
        undo(machine.system())
        assert machine.files() == before


def test_a_file_under_our_name_is_kept_beside(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    machine.write(OPTIONS_FILE.lstrip("/"), "# mine\n")
    apply(machine.system())
    assert machine.text(OPTIONS_FILE + BACKUP) == "# mine\n"
    assert BACKUP in caplog.text
    machine.write(OPTIONS_FILE.lstrip("/"), "# mine again\n")
    undo(machine.system())
    assert machine.text(OPTIONS_FILE) == "# mine again\n"


@pytest.mark.parametrize("change", [apply, undo])
def test_without_root_the_line_to_type_is_named(change: object, machine: Machine) -> None:
    assert callable(change)
    with pytest.raises(SettingsError, match="sudo /") as refusal:
        change(machine.system(root=False))
    assert len(str(refusal.value).splitlines()) == 1
    assert machine.changes() == []


def test_a_free_module_with_other_options_is_loaded_again(machine: Machine) -> None:
    machine.load('video_nr=9 card_label="OBS Virtual Camera" exclusive_caps=1')
    machine.write("etc/modprobe.d/obs.conf", OBS)
    assert apply(machine.system())
    assert machine.changes()[2:4] == [
        ("modprobe", "-r", "v4l2loopback"),
        ("modprobe", "v4l2loopback"),
    ]
    assert machine.text(f"{SYSFS}/video9/name") == "OBS Virtual Camera\n"


def test_a_camera_without_exclusive_caps_is_loaded_again(machine: Machine) -> None:
    machine.load('video_nr=10 card_label="bshm-live" exclusive_caps=0')
    assert "lacks exclusive_caps" in step(machine.system(), "v4l2loopback 0.15.4 is loaded").text
    assert apply(machine.system())
    assert machine.text(f"{MODULE}/parameters/exclusive_caps").startswith("Y")


@pytest.mark.parametrize(
    ("version", "control", "runs", "says"),
    [
        ("0.12.7", True, False, "close the programs"),
        ("0.15.4", False, False, "v4l2loopback-ctl add -n bshm-live -x 1 -b 4 /dev/video11"),
        ("0.13.2", True, True, ""),
    ],
)
def test_a_module_in_use_is_not_torn_away(
    tmp_path: Path, version: str, control: bool, runs: bool, says: str
) -> None:
    machine = Machine(tmp_path, version=version)
    if control:
        machine.write("usr/bin/v4l2loopback-ctl", "")
    machine.load("video_nr=10", users=1)
    found = step(machine.system(), f"v4l2loopback {version} is loaded")
    assert "in use" in found.text
    assert [c[0] for c in found.commands] == (["v4l2loopback-ctl"] if runs else [])
    assert says in " ".join(found.by_hand)
    assert apply(machine.system()) is False
    assert ("modprobe", "-r", "v4l2loopback") not in machine.ran


@pytest.mark.parametrize(
    ("release", "line"),
    [
        ("ID=debian", f"sudo apt install linux-headers-{RELEASE} v4l2loopback-dkms"),
        ('ID=linuxmint\nID_LIKE="ubuntu debian"', "sudo apt install"),
        ("ID=fedora", f"sudo dnf install kernel-devel-{RELEASE} akmod-v4l2loopback v4l2loopback"),
        ('ID="rocky"\nID_LIKE="rhel centos fedora"', "rpmfusion.org"),
        ("ID=arch", "sudo pacman -S linux-lts-headers v4l2loopback-dkms"),
        ("ID=nixos", "of your distribution"),
        ("ID='broken", "of your distribution"),
    ],
)
def test_the_package_is_named_for_each_distribution(
    tmp_path: Path, release: str, line: str
) -> None:
    machine = Machine(tmp_path, installed=False)
    machine.write("etc/os-release", release)
    machine.write(f"lib/modules/{RELEASE}/pkgbase", "linux-lts\n")
    found = step(machine.system(), "v4l2loopback is not installed")
    assert line in found.by_hand[0]
    assert not found.automatic
    assert not apply(machine.system())
    assert ("modprobe", "v4l2loopback") not in machine.ran
    (machine.root / f"lib/modules/{RELEASE}/build").mkdir()
    (short,) = step(machine.system(), "v4l2loopback is not installed").by_hand
    assert "headers" not in short
    assert "kernel-devel" not in short


def test_a_module_that_was_not_built_for_this_kernel(tmp_path: Path) -> None:
    machine = Machine(tmp_path, installed=False)
    machine.write("usr/src/v4l2loopback-0.12.7/dkms.conf", "")
    found = step(machine.system(), "v4l2loopback is installed, but")
    assert "headers are missing" in found.text
    assert f"linux-headers-{RELEASE}" in found.by_hand[0]
    assert found.by_hand[0].endswith("sudo dkms autoinstall")


def enabled(machine: Machine, *, by: str) -> None:
    """Secure Boot is on, told by mokutil or by the firmware alone."""
    if by == "mokutil":
        machine.answers["mokutil", "--sb-state"] = Done(0, "SecureBoot enabled\n")
    else:
        path = machine.write(SECURE_BOOT.lstrip("/"), "")
        path.write_bytes(b"\6\0\0\0\1")


@pytest.mark.parametrize("by", ["mokutil", "firmware"])
def test_secure_boot_and_a_module_without_a_signature(machine: Machine, by: str) -> None:
    enabled(machine, by=by)
    machine.answers["modinfo", "-F", "signer", "v4l2loopback"] = Done(0, "\n")
    machine.refuses = "could not insert 'v4l2loopback': Key was rejected by service"
    found = step(machine.system(), "Secure Boot")
    assert "not signed" in found.text
    assert any(f"mokutil --import {KEYS[1]}" in line for line in found.by_hand)
    assert not apply(machine.system())


@pytest.mark.parametrize("known", [True, False])
def test_secure_boot_and_a_key(machine: Machine, known: bool) -> None:
    enabled(machine, by="mokutil")
    machine.write(KEYS[0].lstrip("/"), "")
    machine.answers["modinfo", "-F", "signer", "v4l2loopback"] = Done(0, "DKMS key\n")
    answer = f"{KEYS[0]} is {'already' if known else 'not'} enrolled\n"
    machine.answers["mokutil", "--test-key", KEYS[0]] = Done(int(known), answer)
    found = step(machine.system(), "Secure Boot")
    assert found.done == known
    assert known or found.by_hand[0] == f"sudo mokutil --import {KEYS[0]}"


def test_secure_boot_needs_nothing_once_the_module_is_in(machine: Machine) -> None:
    enabled(machine, by="firmware")
    machine.load("video_nr=10 card_label=bshm-live exclusive_caps=1")
    assert step(machine.system(), "Secure Boot").done
    machine.answers["mokutil", "--sb-state"] = Done(0, "SecureBoot disabled\n")
    assert step(machine.system(), "Secure Boot").text == "Secure Boot is off"


def test_what_the_kernel_refuses_is_said(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    machine.refuses = "could not insert 'v4l2loopback': Key was rejected by service"
    assert not apply(machine.system())
    assert "modprobe v4l2loopback: modprobe: ERROR: could not" in caplog.text


def test_root_itself_needs_no_group(machine: Machine) -> None:
    assert step(machine.system(user="root"), "group video").done
    machine.groups["anna"].add("video")
    assert step(machine.system(), "group video").done


def test_the_person_behind_sudo_is_meant() -> None:
    assert user_name({"SUDO_USER": "anna"}) == "anna"
    assert user_name({"DOAS_USER": "ben"}) == "ben"


def test_this_program_is_named_by_its_whole_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "a folder" / "bshm-live"
    script.parent.mkdir()
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(script.parent))
    monkeypatch.setattr(sys, "argv", ["bshm-live"])
    assert program() == [str(script)]
    assert command_line("--apply") == f"sudo '{script}' setup --apply"
    monkeypatch.setattr(sys, "argv", ["/somewhere/bshm_live/__main__.py"])
    assert program() == [sys.executable, "-m", "bshm_live"]


def test_commands_are_run_and_their_ends_told() -> None:
    code = "import sys; print('out'); sys.stderr.write('err\\n'); sys.exit(3)"
    done = run_command([sys.executable, "-c", code])
    assert done.code == 3
    assert sorted(done.text.split()) == ["err", "out"]
    assert done.last_line in ("err", "out")
    missing = run_command(["bshm-live-no-such-program"])
    assert missing.code == NOT_FOUND
    assert "not installed" in missing.last_line


@pytest.mark.skipif(sys.platform != "linux", reason="modprobe is Linux's")
def test_setup_as_typed_changes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["setup"]) == 0
    text = capsys.readouterr().out
    assert re.search(r"^(ok  |todo)  ", text)
    assert not Path(OPTIONS_FILE).exists() or "ok" in text


@pytest.mark.parametrize(("name", "version"), [("win32", "26"), ("darwin", "30")])
def test_other_systems_are_told_which_obs(
    name: str, version: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "platform", name)
    assert main(["setup"]) == 0
    assert f"OBS Studio {version} or newer" in capsys.readouterr().err
