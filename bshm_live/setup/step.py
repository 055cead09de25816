"""One step of the set-up: what is so, and what would make it so."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

# At the beginning of every file that we write: by it we know our own.
HEADER = "# Written by `bshm-live setup`; `bshm-live setup --undo` takes it away.\n"


@dataclass(frozen=True)
class Step:
    """`files` (path, new text or None: away) and `commands` are what setup does as root;
    `by_hand` are lines for the user: what setup does not do itself."""

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
