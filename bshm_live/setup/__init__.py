"""The virtual camera on this machine: shows what is there and what is missing, and mends it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

from ..errors import BshmError, SettingsError, SinkError
from .install import installed, secure_boot
from .modprobe import MODULE
from .module import BOOT_FILE, OPTIONS_FILE, boot, group, loaded, options
from .system import HEADER, Step, System, program

BACKUP = ".before-bshm-live"  # no .conf at its end, so neither modprobe nor systemd reads it
OBS = {
    "win32": "Windows: the virtual camera comes with OBS Studio 26 or newer; install it, and "
    "close every program that feeds its camera",
    "darwin": "macOS: the virtual camera comes with OBS Studio 30 or newer on macOS 13 or newer; "
    "install it, start and stop its virtual camera once, and quit it",
}


def steps(system: System) -> Iterator[Step]:
    """Every check of the virtual camera, each made when it is asked for."""
    checks: tuple[Callable[[System], Step], ...] = (
        installed,
        secure_boot,
        options,
        boot,
        loaded,
        group,
    )
    for check in checks:
        try:
            yield check(system)
        except BshmError as error:
            yield Step(False, str(error))


def show(system: System) -> bool:
    """Prints what is there, and what `apply` would do; True when nothing is missing."""
    complete, ours = True, False
    for step in steps(system):
        complete &= step.done
        ours |= step.automatic
        print("\n".join((step.line, *step.details())))
    if ours:
        print(f"nothing was changed; to do it: {command_line('--apply')}")
    return complete


def command_line(option: str) -> str:
    """What to type: sudo forgets PATH, so the program's own path stands in it."""
    return shlex.join(("sudo", *program(), "setup", option))


def apply(system: System) -> bool:
    """Does what `show` shows, one step after the other; True when nothing is missing then.

    Raises SettingsError without root's rights, SinkError when a file cannot be written.
    """
    _need_root(system, "--apply")
    complete = True
    for step in steps(system):
        print(step.line)
        if step.automatic:
            step = _do(system, step)
        complete &= step.done
        for line in step.by_hand:
            print(f"      {line}")
    return complete


def _do(system: System, step: Step) -> Step:
    for path, text in step.files:
        _write(path, text)
        print(f"      {'wrote' if text else 'removed'} {path}")
    for command in step.commands:
        done = system.run(command)
        print(f"      {shlex.join(command)}" + (f": {done.last_line}" if done.code else ""))
        if done.code:
            return Step(False, step.text, by_hand=step.by_hand)
    return Step(not step.by_hand, step.text, by_hand=step.by_hand)


def _write(path: Path, text: str | None) -> None:
    """Puts a file in place whole; one that somebody else wrote is kept beside it."""
    backup = path.with_name(path.name + BACKUP)
    new = path.with_name(path.name + ".new")
    try:
        if path.exists() and not _is_ours(path):
            path.replace(backup)
            print(f"      kept what was there as {backup}")
        if text is None:
            path.unlink(missing_ok=True)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        new.write_text(text, "utf-8", "surrogateescape")
        new.replace(path)
    except OSError as error:
        raise SinkError(
            f"{path} cannot be written ({error.strerror}); is /etc read-only?"
        ) from error


def _is_ours(path: Path) -> bool:
    return path.read_bytes().startswith(HEADER.encode())


def undo(system: System) -> None:
    """Takes our files away and puts back what was there. Raises as `apply` does."""
    _need_root(system, "--undo")
    for path in (system.path(OPTIONS_FILE), system.path(BOOT_FILE)):
        backup = path.with_name(path.name + BACKUP)
        try:
            if path.exists() and not _is_ours(path):
                print(f"left   {path}: setup did not write it")
                continue
            if path.exists():
                path.unlink()
                print(f"removed {path}")
            if backup.exists():
                backup.replace(path)
                print(f"put back {path}")
        except OSError as error:
            raise SinkError(f"{path} cannot be removed ({error.strerror})") from error
    print(f"the module stays loaded until the next boot, or: sudo modprobe -r {MODULE}")
    if system.user != "root":
        print(f"the group stays, or: sudo gpasswd -d {system.user} video")


def _need_root(system: System, option: str) -> None:
    if not system.is_root:
        raise SettingsError(f"setup {option} changes /etc, which is root's: {command_line(option)}")
