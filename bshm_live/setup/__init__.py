"""The virtual camera on this machine: what is there, what is missing, and how to mend it.

What is done is logged as it is done, since a step may take a minute.
"""

from __future__ import annotations

import logging
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import BshmError, SettingsError, SinkError
from ..files import why_unwritable, write_whole
from . import hide
from .events import RELOAD, RULES_FILE, events
from .install import installed, secure_boot
from .modprobe import MODULE
from .module import BOOT_FILE, HEADER, OPTIONS_FILE, boot, group, loaded, options
from .system import Step, System, is_ours, program

log = logging.getLogger(__name__)

OURS = HEADER[: HEADER.index("`;")]  # how every file of setup begins
BACKUP = ".before-bshm-live"  # no .conf at its end, so neither modprobe nor systemd reads it
OBS = {
    "win32": "Windows: the virtual camera comes with OBS Studio 26 or newer; install it, and "
    "close every program that feeds its camera",
    "darwin": "macOS: the virtual camera comes with OBS Studio 30 or newer on macOS 13 or newer; "
    "install it, start and stop its virtual camera once, and quit it",
}


@dataclass(frozen=True)
class Topic:
    """What is set up together: its checks, the options that name it, and all it writes.

    `files` is each file with its first line; `renew` is run when they are gone.
    """

    words: tuple[str, ...]
    checks: tuple[Callable[[System], Step], ...]
    files: tuple[tuple[str, str], ...]
    renew: tuple[tuple[str, ...], ...] = (RELOAD,)


CAMERA = Topic(
    (),
    (installed, secure_boot, options, boot, events, loaded, group),
    tuple((path, HEADER) for path in (OPTIONS_FILE, BOOT_FILE, RULES_FILE)),
)
HIDING = Topic(
    ("--hide-camera",),
    (hide.hidden,),
    ((hide.RULES_FILE, hide.HEADER),),
    (RELOAD, hide.RENEW),
)


def steps(system: System, topic: Topic = CAMERA) -> Iterator[Step]:
    """Every check of a topic, each made when it is asked for."""
    for check in topic.checks:
        try:
            yield check(system)
        except BshmError as error:
            yield Step(False, str(error))


def show(system: System, topic: Topic = CAMERA) -> list[str]:
    """Lines that say what is there, and what `apply` would do; nothing is changed."""
    found = list(steps(system, topic))
    lines = [line for step in found for line in (step.line, *step.details())]
    if any(step.automatic for step in found):
        lines.append(f"nothing was changed; to do it: {command_line(*topic.words, '--apply')}")
    return lines


def command_line(*options: str) -> str:
    """What to type: sudo forgets PATH, so the program's own path stands in it."""
    return shlex.join(("sudo", *program(), "setup", *options))


def apply(system: System, topic: Topic = CAMERA) -> bool:
    """Does what `show` shows, one step after the other; True when nothing is missing then.

    Raises SettingsError without root's rights, SinkError when a file cannot be written.
    """
    _need_root(system, *topic.words, "--apply")
    complete = True
    for step in steps(system, topic):
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
        if is_ours(path, OURS) is False:
            path.replace(backup)
            log.info("      kept what was there as %s", backup)
        if text is None:
            path.unlink(missing_ok=True)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text.encode("utf-8", "surrogateescape"))
    except OSError as error:
        raise SinkError(why_unwritable(path, error, "is /etc read-only?")) from error


def undo(system: System, topic: Topic = CAMERA) -> None:
    """Takes our files away and puts back what was there. Raises as `apply` does."""
    _need_root(system, *topic.words, "--undo")
    for name, first in topic.files:
        path = system.path(name)
        backup = path.with_name(path.name + BACKUP)
        try:
            ours = is_ours(path, first)
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
    for command in topic.renew:
        system.run(command)
    if topic is HIDING:
        log.info("the group stays, or: sudo groupdel %s", hide.GROUP)
        return
    log.info("the module stays loaded until the next boot, or: sudo modprobe -r %s", MODULE)
    if system.user != "root":
        log.info("the group stays, or: sudo gpasswd -d %s video", system.user)


def _need_root(system: System, *options: str) -> None:
    if not system.is_root:
        raise SettingsError(
            f"setup {' '.join(options)} changes /etc, which is root's: {command_line(*options)}"
        )
