"""Pictures, folders and addresses to alpha, composite and foreground."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

from ..console import say
from ..loop.assemble import still_networks
from ..settings import Networks
from ..stills.files import Outcome, Task, run_image
from .signals import handled


@handled()
def run_stills(inputs: Sequence[str], task: Task, networks: Networks) -> int:
    """Returns the exit code: 0, or that of the first picture that failed."""

    def report(outcome: Outcome) -> None:
        say(f"bshm-live: {outcome}" if outcome.error else str(outcome))

    with ExitStack() as stack:
        runtime, wide, tall = still_networks(networks, stack)
        code = run_image(inputs, task, wide, tall, report)
    if not code:
        say(f"cut out on {runtime.description}")
    return code
