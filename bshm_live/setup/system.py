"""The edge to the operating system: commands that are run, steps of the set-up, our own name."""

from __future__ import annotations

import getpass
import os
import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import SinkError

PROGRAM = "bshm-live"
NOT_FOUND, TOO_LATE = 127, 124  # exit codes, as shells have them
LIMIT_S = 60.0  # building the module index on a slow disk takes seconds
# Where modprobe lives; ordinary users of Debian do not have it in PATH.
EXTRA_PATH = ("/usr/local/sbin", "/usr/sbin", "/sbin")


@dataclass(frozen=True)
class Done:
    """A command that has ended: its exit code, and stdout and stderr as one text."""

    code: int
    text: str

    @property
    def last_line(self) -> str:
        lines = self.text.strip().splitlines()
        return lines[-1] if lines else f"exit code {self.code}"


Runner = Callable[[Sequence[str]], Done]


def run_command(words: Sequence[str]) -> Done:
    """Runs a command to its end, in English; a missing one is code 127, a hanging one 124."""
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), *EXTRA_PATH))
    try:
        done = subprocess.run(
            words,
            env={**os.environ, "PATH": path, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=LIMIT_S,
            check=False,
        )
    except FileNotFoundError:
        return Done(NOT_FOUND, f"{words[0]} is not installed")
    except PermissionError:
        return Done(NOT_FOUND, f"{words[0]} may not be run")
    except subprocess.TimeoutExpired:
        return Done(TOO_LATE, f"{words[0]} did not end within {LIMIT_S:.0f} s")
    return Done(done.returncode, done.stdout)


def is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


def user_name(environment: Mapping[str, str] = os.environ) -> str:
    """The person at the keyboard, also behind sudo and doas."""
    behind = environment.get("SUDO_USER") or environment.get("DOAS_USER")
    try:
        return behind or getpass.getuser()
    except (KeyError, OSError):  # a user number without a name
        return "root" if is_root() else str(os.getuid())


@dataclass(frozen=True)
class System:
    """One machine: where its files begin, how its commands run, who asks.

    `release` is the running kernel's, as `uname -r` prints it.
    """

    root: Path = Path("/")
    run: Runner = run_command
    release: str = field(default_factory=platform.release)
    user: str = field(default_factory=user_name)
    is_root: bool = field(default_factory=is_root)

    def path(self, absolute: str | Path) -> Path:
        return self.root / str(absolute).lstrip("/")


def program() -> list[str]:
    """Words that start this program again from any folder and with any PATH."""
    started = shutil.which(sys.argv[0])
    if started and Path(started).stem == PROGRAM:
        return [os.path.abspath(started)]
    return [os.path.abspath(sys.executable), "-m", "bshm_live"]


def header(writes: str, removes: str) -> str:
    """The first line of a file that the command `writes` writes: by it we know our own."""
    return f"# Written by `{PROGRAM} {writes}`; `{PROGRAM} {removes}` takes it away.\n"


def is_ours(path: Path, first: str) -> bool | None:
    """Whether a file begins with our `first` line; None if there is no file. Raises SinkError."""
    try:
        return path.read_bytes().startswith(first.encode())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SinkError(f"{path} cannot be read ({error.strerror}); look what it is") from error


@dataclass(frozen=True)
class Step:
    """One check of the set-up, and what would make it right.

    `files` (path, and its new text or None to remove it) and `commands` are what setup does
    as root; `by_hand` are lines for the user: what setup does not do itself.
    """

    done: bool
    text: str
    files: tuple[tuple[Path, str | None], ...] = ()
    commands: tuple[tuple[str, ...], ...] = ()
    by_hand: tuple[str, ...] = ()

    @property
    def automatic(self) -> bool:
        return bool(self.files or self.commands)

    @property
    def line(self) -> str:
        return f"{'ok  ' if self.done else 'todo'}  {self.text}"

    def details(self) -> list[str]:
        """What would be done, a line each."""
        lines = []
        for path, text in self.files:
            lines.append(f"would write {path}:" if text else f"would remove {path}")
            lines += [f"  {line}" for line in (text or "").splitlines()]
        lines += [f"would run {shlex.join(command)}" for command in self.commands]
        return [f"      {line}" for line in (*lines, *self.by_hand)]
