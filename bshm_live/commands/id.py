"""Portraits to ID photos."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import SettingsError
from ..loop.assemble import still_networks
from ..runtimes.choice import load_head_finder
from ..settings import Networks
from ..sinks.photo import Format
from ..stills.id_files import IdTask, Photographer, check_id, in_words
from ..stills.read import Item, listed
from ..stills.sheet import paper_of
from ..stills.sizes import find, known, parse_kb
from .batch import run_batch, share
from .options import Batch
from .record import options_key
from .workers import Do


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


@dataclass(frozen=True)
class Portraits:
    """What `id` does with every portrait; see workers.Work."""

    task: IdTask
    networks: Networks
    inputs: frozenset[Path]
    unit = "pictures"

    def open(self, stack: ExitStack) -> tuple[str, Do]:
        runtime, wide, tall = still_networks(self.networks, stack)
        finder = stack.enter_context(closing(load_head_finder(self.networks.threads)))
        return runtime.description, Photographer(wide, tall, finder, self.task, self.inputs)

    def key(self, item: Item) -> str:
        return options_key(self.networks, replace(self.task, output_dir=Path()))


def run_portraits(inputs: Sequence[str], task: IdTask, networks: Networks, batch: Batch) -> int:
    """Returns the exit code: 0, or that of the first picture that failed."""
    if not inputs:
        raise SettingsError("id: nothing to make a photo of; give -i a portrait, a folder or a URL")
    check_id(task)
    items, files = listed(inputs)
    work = Portraits(task, share(networks, batch), files)
    return run_batch(items, work, task.output_dir, batch)
