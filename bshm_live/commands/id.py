"""Portraits to ID photos."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

from ..console import say
from ..loop.assemble import still_networks
from ..runtimes.choice import load_head_finder
from ..settings import Networks
from ..sinks.photo import Format
from ..stills import id_files
from ..stills.files import Outcome
from ..stills.id_files import IdTask, in_words, run_id
from ..stills.sheet import paper_of
from ..stills.sizes import find, known, parse_kb
from .signals import handled


def list_sizes() -> None:
    """Prints the table."""
    for size in known():
        print(in_words(size))


def task_of(
    output_dir: Path,
    size: str,
    *,
    dpi: int | None = None,
    kb: str | None = None,
    background: str | None = None,
    paper: str | None = None,
    kind: Format = "jpg",
    number: int | None = None,
    force: bool = False,
) -> IdTask:
    """From the words of the command line. Raises SettingsError."""
    wanted = find(size, dpi)
    if kb:
        wanted = replace(wanted, kb=parse_kb(kb))
    sides = paper_of(paper) if paper else None
    return IdTask(output_dir, wanted, background, sides, kind, number, force)


@handled()
def run_portraits(inputs: Sequence[str], task: IdTask, networks: Networks) -> int:
    """Returns the exit code: 0, or that of the first picture that failed."""

    def report(outcome: Outcome) -> None:
        say(f"bshm-live: {outcome}" if outcome.error else str(outcome))

    with ExitStack() as stack:
        runtime, wide, tall = still_networks(networks, stack)
        finder = stack.enter_context(closing(load_head_finder(networks.threads)))
        code = run_id(inputs, task, id_files.Networks(wide, tall, finder), report)
    if not code:
        say(f"cut out on {runtime.description}")
    return code
