"""The webcam hidden from other programs, on a machine of files."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from machine_twin import SYSFS, Machine

from bshm_live.cli import main
from bshm_live.errors import SettingsError
from bshm_live.setup import BACKUP, HIDING, apply, show, undo
from bshm_live.setup.events import RELOAD
from bshm_live.setup.hide import ADD_GROUP, GROUP, RENEW, RULES, RULES_FILE
from bshm_live.setup.system import Done


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    made.load("video_nr=10 card_label=bshm-live exclusive_caps=1")
    made.write(f"{SYSFS}/video0/name", "A webcam\n")
    made.write(f"{SYSFS}/video0/uevent", "")
    made.answers[ADD_GROUP] = made.answers[RENEW] = Done(0, "")
    made.answers["getent", "group", GROUP] = Done(2, "")
    return made


def test_it_is_shown_and_nothing_is_changed(machine: Machine) -> None:
    before = machine.files()
    text = "\n".join(show(machine.system(root=False), HIDING))
    assert "todo" in text
    assert "/dev/video0" in text
    assert "/dev/video10" not in text  # the virtual camera is what calls shall pick
    assert f"would run {' '.join(ADD_GROUP)}" in text
    assert text.endswith("setup --hide-camera --apply")
    assert machine.files() == before


def test_it_is_done_and_taken_back(machine: Machine) -> None:
    before = machine.files()
    apply(machine.system(), HIDING)
    assert machine.text(RULES_FILE) == RULES
    for words in (ADD_GROUP, RELOAD, RENEW):
        assert words in machine.ran
    machine.answers["getent", "group", GROUP] = Done(0, f"{GROUP}:!:997:\n")
    assert apply(machine.system(), HIDING)
    assert "ok" in show(machine.system(), HIDING)[0]
    machine.ran = []
    undo(machine.system(), HIDING)
    assert machine.files() == before
    assert machine.ran == [RELOAD, RENEW]


def test_the_virtual_camera_s_undo_leaves_it_and_the_other_way_round(machine: Machine) -> None:
    apply(machine.system())
    alone = machine.files()
    apply(machine.system(), HIDING)
    both = machine.files()
    undo(machine.system(), HIDING)
    assert machine.files() == alone
    apply(machine.system(), HIDING)
    assert machine.files() == both
    undo(machine.system())
    assert both.keys() - alone.keys() == {RULES_FILE.removeprefix("/etc/")}
    assert both.keys() - alone.keys() <= machine.files().keys() < alone.keys() | both.keys()


def test_somebody_s_own_rule_is_kept(machine: Machine) -> None:
    machine.write(RULES_FILE.lstrip("/"), "# mine\n")
    apply(machine.system(), HIDING)
    assert machine.text(RULES_FILE + BACKUP) == "# mine\n"
    undo(machine.system(), HIDING)
    assert machine.text(RULES_FILE) == "# mine\n"


def test_without_root_the_line_to_type_is_named(machine: Machine) -> None:
    for change in (apply, undo):
        with pytest.raises(SettingsError, match=r"sudo /.* setup --hide-camera --") as refusal:
            change(machine.system(root=False), HIDING)
        assert len(str(refusal.value).splitlines()) == 1


def test_the_rule_is_one_for_udev(tmp_path: Path) -> None:
    udevadm = shutil.which("udevadm")
    if udevadm is None:
        pytest.skip("there is no udevadm")
    (tmp_path / "72-hide.rules").write_text(RULES)
    words = [udevadm, "verify", "--resolve-names=never", str(tmp_path / "72-hide.rules")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if "nknown" in done.stderr:
        pytest.skip("this udevadm does not verify rules")
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_is_a_word_of_the_command_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], machine: Machine
) -> None:
    monkeypatch.setattr("bshm_live.commands.machine.System", lambda: machine.system(root=False))
    monkeypatch.setattr("bshm_live.commands.machine.sys.platform", "linux")
    assert main(["setup", "--hide-camera"]) == 0
    assert RULES_FILE in capsys.readouterr().out
    assert main(["setup", "--hide-camera", "--apply"]) == 2
