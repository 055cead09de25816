"""A systemd user service: the virtual camera is there from login on, the webcam only on demand."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import SettingsError, SinkError
from ..settings import parse_background
from .system import System, program

UNIT = "bshm-live.service"
HEADER = "# Written by `bshm-live service install`; `bshm-live service remove` takes it away.\n"
SYSTEMCTL = ("systemctl", "--user")
PASSED_ON = ("BSHM_ENGINES", "BSHM_CACHE")  # settings that are not on the command line
BACK_OFF_FROM = 254  # the version of systemd that can wait longer from time to time
LOG = "journalctl --user -u bshm-live -n 20"

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
    if text in ("vcam", "window", "null") or text.startswith("vcam:"):
        return text
    return os.path.abspath(Path(text).expanduser())


def unit_path(environment: Mapping[str, str] = os.environ) -> Path:
    """Where systemd looks for a user's own units."""
    home = environment.get("XDG_CONFIG_HOME", "")
    folder = Path(home) if os.path.isabs(home) else Path.home() / ".config"
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
    settings = [f"Environment={quote(f'{name}={value}')}" for name, value in environment.items()]
    sandbox = [*SANDBOX.splitlines()]
    sandbox += [f"ReadWritePaths={quote_folder(folder)}" for folder in writable]
    sandbox += ["PrivateTmp=yes"] if private_tmp else []
    back_off = ["RestartSteps=6", "RestartMaxDelaySec=60"] if systemd >= BACK_OFF_FROM else []
    lines = (
        "[Unit]",
        "Description=bshm-live: a virtual camera with another background",
        # A camera that is away may come back: it is never given up.
        "StartLimitIntervalSec=0",
        "",
        "[Service]",
        # The colon: systemd leaves every $ alone.
        f"ExecStart=:{exec_start}",
        *settings,
        "Restart=on-failure",
        f"RestartSec={2 if back_off else 10}",
        *back_off,
        # Wrong settings do not get better by another try.
        f"RestartPreventExitStatus={SettingsError.exit_code}",
        "TimeoutStopSec=10",
        *sandbox,
        "",
        "[Install]",
        "WantedBy=default.target",
        "",
    )
    return HEADER + "\n".join(lines)


def install(
    options: Sequence[str], system: System, environment: Mapping[str, str] = os.environ
) -> bool:
    """Writes the unit and starts it; False when no systemd of the user's answers.

    Raises SettingsError when started with sudo, SinkError when it cannot be done.
    """
    _refuse_root(system)
    path = unit_path(environment)
    if path.exists() and not path.read_text("utf-8", "replace").startswith(HEADER):
        raise SettingsError(f"{path} was not written by bshm-live; move it away first")
    text = _unit_of(options, system, environment)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    except OSError as error:
        raise SinkError(f"{path} cannot be written ({error.strerror})") from error
    print(f"wrote {path}")
    answer = system.run((*SYSTEMCTL, "show-environment"))
    if answer.code:
        start = f"systemctl --user enable --now {UNIT}"
        print(f"no systemd for this user here ({answer.last_line}); where there is one: {start}")
        return False
    for command in (("daemon-reload",), ("enable", UNIT), ("restart", UNIT)):
        done = system.run((*SYSTEMCTL, *command))
        if done.code:
            raise SinkError(f"systemctl --user {' '.join(command)}: {done.last_line}; see {LOG}")
    print(f"started, now and at every login; its messages: {LOG}")
    return True


def _unit_of(options: Sequence[str], system: System, environment: Mapping[str, str]) -> str:
    passed = {name: environment[name] for name in PASSED_ON if environment.get(name)}
    passed = {name: os.path.abspath(Path(value).expanduser()) for name, value in passed.items()}
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
    if not path.exists():
        print(f"there is no service: {path} does not exist")
        return
    if not path.read_text("utf-8", "replace").startswith(HEADER):
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
    print(f"stopped, and removed {path}")


def _refuse_root(system: System) -> None:
    if sys.platform != "linux":
        raise SettingsError("services are systemd's, on Linux; here, start bshm-live at login")
    if system.is_root and system.user != "root":
        raise SettingsError("the service is yours, not root's: the same without sudo")


def state(system: System, environment: Mapping[str, str] = os.environ) -> tuple[bool, str]:
    """Whether all is well with the service, and a line for `doctor`."""
    if not unit_path(environment).exists():
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
        return False, f"service: {active}: systemctl --user restart {UNIT}; see {LOG}"
    return False, f"service: installed, but no systemd for this user answers ({active})"
