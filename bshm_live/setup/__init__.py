"""The virtual camera on this machine: what is there, what is missing, and how to mend it.

What is done is logged as it is done, since a step may take a minute.
"""

from __future__ import annotations

import logging
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

from ..errors import BshmError, SettingsError, SinkError
from ..files import why_unwritable, write_whole
from .events import RELOAD, RULES_FILE, events
from .install import installed, secure_boot
from .modprobe import MODULE
from .module import BOOT_FILE, HEADER, OPTIONS_FILE, boot, group, loaded, options
from .system import Step, System, is_ours, program

log = logging.getLogger(__name__)

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
        events,
        loaded,
        group,
    )
    for check in checks:
        try:
            yield check(system)
        except BshmError as error:
            yield Step(False, str(error))


def show(system: System) -> list[str]:
    """Lines that say what is there, and what `apply` would do; nothing is changed."""
    found = list(steps(system))
    lines = [line for step in found for line in (step.line, *step.details())]
    if any(step.automatic for step in found):
        lines.append(f"nothing was changed; to do it: {command_line('--apply')}")
    return lines


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
        log.info(step.line)
        if step.automatic:
            step = _do(system, step)
        complete &= step.done
        for line in step.by_hand:
            log.info("      %s", line)
    return complete


def _do(system: System, step: Step) -> Step:
    for path, text in step.files:
        _write(path, text)
        log.info("      %s %s", "wrote" if text else "removed", path)
    for command in step.commands:
        done = system.run(command)
        log.info("      %s%s", shlex.join(command), f": {done.last_line}" if done.code else "")
        if done.code:
            return Step(False, step.text, by_hand=step.by_hand)
    return Step(not step.by_hand, step.text, by_hand=step.by_hand)


def _write(path: Path, text: str | None) -> None:
    """Puts a file in place whole; one that somebody else wrote is kept beside it."""
    backup = path.with_name(path.name + BACKUP)
    try:
        if is_ours(path, HEADER) is False:
            path.replace(backup)
            log.info("      kept what was there as %s", backup)
        if text is None:
            path.unlink(missing_ok=True)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text.encode("utf-8", "surrogateescape"))
    except OSError as error:
        raise SinkError(why_unwritable(path, error, "is /etc read-only?")) from error


def undo(system: System) -> None:
    """Takes our files away and puts back what was there. Raises as `apply` does."""
    _need_root(system, "--undo")
    for path in map(system.path, (OPTIONS_FILE, BOOT_FILE, RULES_FILE)):
        backup = path.with_name(path.name + BACKUP)
        try:
            ours = is_ours(path, HEADER)
            if ours is False:
                log.info("left   %s: setup did not write it", path)
                continue
            if ours:
                path.unlink()
                log.info("removed %s", path)
            if backup.exists():
                backup.replace(path)
                log.info("put back %s", path)
        except OSError as error:
            raise SinkError(f"{path} cannot be removed ({error.strerror})") from error
    system.run(RELOAD)
    log.info("the module stays loaded until the next boot, or: sudo modprobe -r %s", MODULE)
    if system.user != "root":
        log.info("the group stays, or: sudo gpasswd -d %s video", system.user)


def _need_root(system: System, option: str) -> None:
    if not system.is_root:
        raise SettingsError(f"setup {option} changes /etc, which is root's: {command_line(option)}")
