"""The twins of a Linux machine: its files and kernel, and a user's systemd."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path

from bshm_live.setup.modprobe import cameras, config_files, option_lines, split_words
from bshm_live.setup.service import SYSTEMCTL, UNIT
from bshm_live.setup.system import NOT_FOUND, Done, System

RELEASE = "6.1.0-test"
MODULE = "sys/module/v4l2loopback"
SYSFS = "sys/class/video4linux"
OBS = 'options v4l2loopback devices=1 video_nr=9 card_label="OBS Virtual Camera" exclusive_caps=1\n'


class Machine:
    """The twin of a Linux machine: a folder as its root, and a kernel that loads one module.

    It notes every command. `options` are read the short way: shlex, and the last one wins.
    """

    def __init__(self, root: Path, *, version: str = "0.15.4", installed: bool = True) -> None:
        self.root, self.version = root, version
        self.groups, self.refuses, self.ran = {"anna": {"anna"}}, "", []
        self.answers: dict[tuple[str, ...], Done] = {}
        if installed:
            self.write(f"lib/modules/{RELEASE}/modules.dep", "extra/v4l2loopback.ko.xz: a.ko\n")
        self.write("etc/os-release", "ID=debian\n")
        (root / "usr/lib/udev").mkdir(parents=True)

    def system(self, *, root: bool = True, user: str = "anna") -> System:
        return System(self.root, self.run, RELEASE, user, root)

    def write(self, path: str, text: str) -> Path:
        full = self.root / path
        full.parent.mkdir(parents=True, exist_ok=True)
        full.write_text(text)
        return full

    def text(self, path: str) -> str:
        return (self.root / path.lstrip("/")).read_text()

    def run(self, words: Sequence[str]) -> Done:
        self.ran.append(tuple(words))
        match words:
            case ["modprobe", "-r", "v4l2loopback"]:
                shutil.rmtree(self.root / MODULE)
                shutil.rmtree(self.root / SYSFS)
            case ["modprobe", "v4l2loopback"] if self.refuses:
                return Done(1, f"modprobe: ERROR: {self.refuses}\n")
            case ["modprobe", "v4l2loopback"]:
                self.load(" ".join(self.options()))
            case ["id", "-nG", name]:
                return Done(0, " ".join(self.groups[name]) + "\n")
            case ["udevadm", "trigger", "--action=add", *_]:
                self.apply_rules()
            case ["udevadm", "control", "--reload"]:
                pass
            case ["usermod", "-aG", group, name]:
                self.groups[name].add(group)
            case ["modinfo", "-F", "version", "v4l2loopback"]:
                return Done(0, f"{self.version}\n")
            case _:
                return self.answers.get(tuple(words), Done(NOT_FOUND, f"{words[0]}: not installed"))
        return Done(0, "")

    def options(self) -> list[str]:
        files = sorted((self.root / "etc/modprobe.d").glob("*.conf"))
        lines = [line for path in files for line in path.read_text().splitlines()]
        start = "options v4l2loopback "
        return [line.removeprefix(start) for line in lines if line.startswith(start)]

    def load(self, options: str, *, users: int = 0) -> None:
        told = dict(word.split("=", 1) for word in shlex.split(options))
        numbers = told.get("video_nr", "0").split(",")
        labels = told.get("card_label", "").split(",")
        caps = [
            "Y" if cap in ("1", "Y") else "N" for cap in told.get("exclusive_caps", "").split(",")
        ]
        for place, number in enumerate(numbers):
            label = labels[place] if place < len(labels) else "Dummy video device (0x0000)"
            self.write(f"{SYSFS}/video{number}/name", f"{label}\n")
            self.write(f"{SYSFS}/video{number}/max_openers", "10\n")
            self.write(f"{SYSFS}/video{number}/uevent", "").chmod(0o644)
        self.apply_rules()
        self.write(f"{MODULE}/version", f"{self.version}\n")
        self.write(f"{MODULE}/refcnt", f"{users}\n")
        self.write(f"{MODULE}/parameters/video_nr", ",".join([*numbers, "-1"]) + "\n")
        self.write(f"{MODULE}/parameters/exclusive_caps", ",".join([*caps, "N"]) + "\n")

    def apply_rules(self) -> None:
        """udev's part: of all rules it knows the mode of a camera's uevent."""
        rules = "".join(p.read_text() for p in (self.root / "etc/udev/rules.d").glob("*.rules"))
        if "/bin/chmod g+w $sys$devpath/uevent" in rules:
            for node in (self.root / SYSFS).glob("video*"):
                (node / "uevent").chmod(0o664)

    def changes(self) -> list[tuple[str, ...]]:
        """The commands that change something."""
        asking = {"id", "modinfo", "mokutil"}
        return [words for words in self.ran if words[0] not in asking]

    def files(self) -> dict[str, bytes]:
        etc = self.root / "etc"
        return {str(p.relative_to(etc)): p.read_bytes() for p in etc.rglob("*") if p.is_file()}

    def cameras(self) -> list[str]:
        """Labels that the options of all files together give."""
        lines = [
            line for path in config_files(self.root) for line in option_lines(path.read_text())
        ]
        return [camera.label for camera in cameras(split_words(" ".join(lines)))]


class Systemd:
    """The twin of a user's systemd: notes what it is told, and knows what is running."""

    def __init__(self, *, there: bool = True, version: int = 252, starts: bool = True) -> None:
        self.there, self.version, self.starts = there, version, starts
        self.ran: list[list[str]] = []
        self.running, self.enabled = False, False

    def system(self, user: str = "anna", *, root: bool = False) -> System:
        return System(run=self.run, user=user, is_root=root)

    def run(self, words: Sequence[str]) -> Done:
        if words[1] == "--version":
            return Done(0, f"systemd {self.version} (test)\n+PAM\n")
        assert tuple(words[:2]) == SYSTEMCTL
        self.ran.append(list(words[2:]))
        if not self.there:
            return Done(1, "Failed to connect to bus: No medium found\n")
        match words[2:]:
            case ["enable", name] if name == UNIT:
                self.enabled = True
            case ["restart", name] if name == UNIT:
                self.running = self.starts
                return Done(0 if self.starts else 1, "" if self.starts else "Job failed.\n")
            case ["disable", "--now", name] if name == UNIT:
                self.enabled = self.running = False
            case ["is-active", _]:
                return Done(0, "active\n" if self.running else "failed\n")
            case ["is-enabled", _]:
                return Done(0, "enabled\n" if self.enabled else "disabled\n")
        return Done(0, "")
