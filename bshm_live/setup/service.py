"""A systemd user service: the virtual camera is there from login on, the webcam only on demand."""

from __future__ import annotations

import logging
import os
import re
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import SettingsError, SinkError
from ..files import path_of, why_unwritable, write_whole
from ..settings import is_camera, parse_background
from .system import System, header, is_ours, program

log = logging.getLogger(__name__)

UNIT = "bshm-live.service"
HEADER = header("service install", "service remove")
SYSTEMCTL = ("systemctl", "--user")
PASSED_ON = ("BSHM_ENGINES", "BSHM_CACHE")  # settings that are not on the command line
BACK_OFF_FROM = 254  # the version of systemd that can wait longer from time to time
JOURNAL = "journalctl --user -u bshm-live -n 20"

# A service of a user has no root's rights to give up; these take away what is left.
# No MemoryDenyWriteExecute: OpenVINO compiles its kernels as it runs. No device rules:
# only the system's own manager can set them. Before systemd 253, or where users may make
# no namespaces, the lines with Protect and Private do nothing.
SANDBOX = """\
NoNewPrivileges=yes
LockPersonality=yes
RestrictAddressFamilies=AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallErrorNumber=EPERM
SystemCallFilter=@system-service
UMask=0077
ProtectSystem=strict
ProtectHome=read-only
ProtectControlGroups=yes
CacheDirectory=bshm-live
"""


def live_words(given: Mapping[str, Any], defaults: Mapping[str, Any]) -> list[str]:
    """The options of a live command line once more, with absolute paths.

    `given` is what the command line says, by name; `defaults` what it says where it
    gives nothing. Raises SettingsError for what a service cannot do.
    """
    options = dict(given)
    options["bg"] = _absolute_background(options["bg"])
    options["on_demand"] = True
    sinks = options["sink"] or []
    if sinks:
        options["sink"] = [_absolute_sink(sink) for sink in sinks]
    if options["preview"] or "window" in sinks:
        raise SettingsError("a service has no screen: leave out --preview and --sink window")
    words = []
    for name, value in options.items():
        if value == defaults.get(name):
            continue
        option = f"--{name.replace('_', '-')}"
        if value is True:
            words.append(option)
        else:
            many = value if isinstance(value, list) else [value]
            words += [f"{option}={one}" for one in many]
    return words


def _absolute_background(text: str) -> str:
    path = parse_background(text).path
    return text if path is None else os.path.abspath(path)


def _absolute_sink(text: str) -> str:
    if is_camera(text) or text in ("window", "null"):
        return text
    return os.path.abspath(path_of(text))


def unit_path(environment: Mapping[str, str] = os.environ) -> Path:
    """Where systemd looks for a user's own units. Raises SettingsError: nobody knows."""
    chosen = environment.get("XDG_CONFIG_HOME", "")
    folder = Path(chosen) if os.path.isabs(chosen) else Path(os.path.expanduser("~/.config"))
    if not folder.is_absolute():
        raise SettingsError("a service needs a home folder, and none is known: set HOME")
    return folder / "systemd" / "user" / UNIT


def quote(word: str) -> str:
    """One word of ExecStart= or Environment=, so that systemd reads it as it is."""
    if re.fullmatch(r"[A-Za-z0-9_./:=,+@-]+", word):
        return word
    shown = []
    for sign in word:
        if sign in '"\\':
            shown.append("\\" + sign)
        elif sign == "%":
            shown.append("%%")
        elif sign.isprintable():
            shown.append(sign)
        else:
            shown += [f"\\x{byte:02x}" for byte in os.fsencode(sign)]
    return f'"{"".join(shown)}"'


def quote_folder(folder: str) -> str:
    """One folder of ReadWritePaths=, where a backslash has no meaning. Raises SettingsError."""
    if not folder.isprintable() or '"' in folder or "\\" in folder:
        raise SettingsError(f"a service cannot write to {folder!r}; rename the folder")
    return '"-' + folder.replace("%", "%%") + '"'  # the minus: it need not be there yet


def unit_text(
    words: Sequence[str],
    environment: Mapping[str, str],
    *,
    writable: Iterable[str] = (),
    private_tmp: bool = True,
    systemd: int = 0,
) -> str:
    """The whole unit file; `words` are the program and its arguments, paths absolute.

    `writable` are folders that stay open for writing, `systemd` is its version.
    """
    exec_start = " ".join(quote(word) for word in words)
    lines = (
        "[Unit]",
        "Description=bshm-live: a virtual camera with another background",
        # A camera that is away may come back: it is never given up.
        "StartLimitIntervalSec=0",
        "",
        "[Service]",
        # The colon: systemd leaves every $ alone.
        f"ExecStart=:{exec_start}",
        *(f"Environment={quote(f'{name}={value}')}" for name, value in environment.items()),
        *_restarts(systemd),
        "TimeoutStopSec=10",
        *SANDBOX.splitlines(),
        *(f"ReadWritePaths={quote_folder(folder)}" for folder in writable),
        *(("PrivateTmp=yes",) if private_tmp else ()),
        "",
        "[Install]",
        "WantedBy=default.target",
        "",
    )
    return HEADER + "\n".join(lines)


def _restarts(systemd: int) -> tuple[str, ...]:
    """After a failure it is started again, later each time where that systemd can."""
    slower = systemd >= BACK_OFF_FROM
    return (
        "Restart=on-failure",
        f"RestartSec={2 if slower else 10}",
        *(("RestartSteps=6", "RestartMaxDelaySec=60") if slower else ()),
        # Wrong settings do not get better by another try.
        f"RestartPreventExitStatus={SettingsError.exit_code}",
    )


def install(
    options: Sequence[str], system: System, environment: Mapping[str, str] = os.environ
) -> bool:
    """Writes the unit and starts it; False when no systemd of the user's answers.

    Raises SettingsError when started with sudo, SinkError when it cannot be done.
    """
    _refuse_root(system)
    path = unit_path(environment)
    if is_ours(path, HEADER) is False:
        raise SettingsError(f"{path} was not written by bshm-live; move it away first")
    text = _unit_of(options, system, environment)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text.encode())
    except OSError as error:
        raise SinkError(why_unwritable(path, error, "check its permissions")) from error
    log.info("wrote %s", path)
    answer = system.run((*SYSTEMCTL, "show-environment"))
    if answer.code:
        start = f"systemctl --user enable --now {UNIT}"
        reason = answer.last_line
        log.info("no systemd for this user here (%s); where there is one: %s", reason, start)
        return False
    for command in (("daemon-reload",), ("enable", UNIT), ("restart", UNIT)):
        done = system.run((*SYSTEMCTL, *command))
        if done.code:
            raise SinkError(
                f"systemctl --user {' '.join(command)}: {done.last_line}; see {JOURNAL}"
            )
    log.info("started, now and at every login; its messages: %s", JOURNAL)
    return True


def _unit_of(options: Sequence[str], system: System, environment: Mapping[str, str]) -> str:
    passed = {name: environment[name] for name in PASSED_ON if environment.get(name)}
    passed = {name: os.path.abspath(path_of(value)) for name, value in passed.items()}
    words = [*program(), *options]
    sinks = [word.removeprefix("--sink=") for word in options if word.startswith("--sink=/")]
    writable = [os.path.dirname(sink) for sink in sinks]
    if "BSHM_CACHE" in passed:
        writable.append(passed["BSHM_CACHE"])
    paths = [*passed.values(), *(word.partition("=")[2] or word for word in words)]
    temporary = (tempfile.gettempdir() + os.sep, "/tmp/", "/var/tmp/")
    return unit_text(
        words,
        passed,
        writable=writable,
        private_tmp=not any(path.startswith(temporary) for path in paths),
        systemd=_systemd_version(system),
    )


def _systemd_version(system: System) -> int:
    match = re.match(r"systemd (\d+)", system.run(("systemctl", "--version")).text)
    return int(match[1]) if match else 0


def remove(system: System, environment: Mapping[str, str] = os.environ) -> None:
    """Stops the service and takes the unit away. Raises as `install` does."""
    _refuse_root(system)
    path = unit_path(environment)
    ours = is_ours(path, HEADER)
    if ours is None:
        log.info("there is no service: %s does not exist", path)
        return
    if not ours:
        raise SettingsError(f"{path} was not written by bshm-live; it is left as it is")
    system.run((*SYSTEMCTL, "disable", "--now", UNIT))
    # What `enable` made; where no systemd runs, `disable --now` leaves it behind.
    link = path.parent / "default.target.wants" / UNIT
    try:
        link.unlink(missing_ok=True)
        path.unlink()
    except OSError as error:
        raise SinkError(f"{path} cannot be removed ({error.strerror})") from error
    system.run((*SYSTEMCTL, "daemon-reload"))
    system.run((*SYSTEMCTL, "reset-failed", UNIT))
    log.info("stopped, and removed %s", path)


def _refuse_root(system: System) -> None:
    if sys.platform != "linux":
        raise SettingsError("services are systemd's, on Linux; here, start bshm-live at login")
    if system.is_root and system.user != "root":
        raise SettingsError("the service is yours, not root's: the same without sudo")


def state(system: System, environment: Mapping[str, str] = os.environ) -> tuple[bool, str]:
    """Whether all is well with the service, and a line for `doctor`."""
    try:
        there = os.path.lexists(unit_path(environment))
    except SettingsError as error:
        return False, f"service: {error}"
    if not there:
        return (
            True,
            "service: not installed (bshm-live service install --bg ... starts it at login)",
        )
    active = system.run((*SYSTEMCTL, "is-active", UNIT)).last_line
    enabled = system.run((*SYSTEMCTL, "is-enabled", UNIT)).last_line
    if active == "active":
        return enabled == "enabled", f"service: running, {enabled}" + (
            "" if enabled == "enabled" else f": systemctl --user enable {UNIT}"
        )
    if active in ("inactive", "failed", "activating", "deactivating"):
        return False, f"service: {active}: systemctl --user restart {UNIT}; see {JOURNAL}"
    return False, f"service: installed, but no systemd for this user answers ({active})"
