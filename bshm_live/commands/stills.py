"""Pictures, folders and addresses to alpha, composite and foreground."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import SettingsError
from ..loop.assemble import still_networks
from ..settings import OFFICIAL, Networks
from ..stills.files import Cutter, Task, check_task
from ..stills.read import Item, listed
from ..types import Mask8
from .batch import run_batch, share
from .options import Batch, files_of
from .record import options_key
from .workers import Do


@dataclass(frozen=True)
class Cutting:
    """What `image` does with every picture; see workers.Work."""

    task: Task
    networks: Networks
    inputs: frozenset[Path]
    strokes: Mask8 | None
    unit = "pictures"

    def open(self, stack: ExitStack) -> tuple[str, Do]:
        runtime, wide, tall = still_networks(self.networks, stack)
        return runtime.description, Cutter(wide, tall, self.task, self.inputs, self.strokes)

    def key(self, item: Item) -> str:
        task = replace(self.task, output_dir=Path())
        return options_key(self.networks, task, files=(*files_of(task.look), task.scribble))


def run_stills(inputs: Sequence[str], task: Task, networks: Networks, batch: Batch) -> int:
    """Returns the exit code: 0, or that of the first picture that failed."""
    if networks.preset == OFFICIAL and (task.box or task.scribble or task.stages):
        raise SettingsError(
            f"--box, --scribble and --stages are for our three networks: --preset {OFFICIAL} is "
            "one graph; choose another"
        )
    items, files = listed(inputs)
    work = Cutting(task, share(networks, batch), files, check_task(task))
    return run_batch(items, work, task.output_dir, batch)
