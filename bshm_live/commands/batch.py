"""Many inputs: in this process or in several, with a bar, a record for --resume and a report.

items ▸ what is already done ▸ networks, one item after the other ▸ outcomes ▸ report.csv
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path

from ..console import say
from ..settings import Networks
from ..stills.files import Outcome
from ..stills.read import Item
from .options import Batch, cores
from .places import Cloud, Folder, Place, Sending
from .record import Record, check_report, write_report
from .signals import handled
from .workers import Crew, Found, Work, Workers, timed

SECONDS_LEAST = 1e-3  # to divide by


def share(networks: Networks, batch: Batch) -> Networks:
    """The networks of one worker, on its share of the cores; of a task of Ray's on one."""
    if networks.threads or (batch.workers == 1 and not batch.ray):
        return networks
    return replace(networks, threads=1 if batch.ray else max(1, cores() // batch.workers))


@handled()
def run_batch(items: Sequence[Item], work: Work, folder: Path, batch: Batch) -> int:
    """Does all items into `folder`. Returns the exit code: 0, or that of the first that failed.

    Of several items the folder gets a record and report.csv.
    """
    many, start = len(items) > 1, time.monotonic()
    place: Place = Folder(folder)
    if batch.cloud:
        place = Cloud(batch.cloud)
        work = Sending(work, batch.cloud, folder, frozenset(item.where for item in items))
    if many:
        check_report(place)
    record = Record(place, work.key)
    found = record.finished(items) if batch.resume else {}
    before = len(found)
    todo = [item for item in items if item.name not in found]
    try:
        with (
            _bar(len(items), before, work.unit) as advance,
            closing(_outcomes(todo, work, batch)) as outcomes,
        ):
            for item, outcome in outcomes:
                found[item.name] = outcome
                say(f"bshm-live: {outcome}" if outcome.error else str(outcome))
                if many and not outcome.error:
                    record.add(item, outcome)
                advance()
    finally:
        done = [found[item.name] for item in items if item.name in found]
        report = write_report(place, done) if many else None
        place.close()
    failed = [outcome.error.exit_code for outcome in done if outcome.error]
    if many:
        made = len(done) - before - len(failed)
        seconds = max(SECONDS_LEAST, time.monotonic() - start)
        _sum_up(made, len(failed), before, seconds, work.unit)
        say(f"report: {report}")
    return failed[0] if failed else 0


def _outcomes(todo: Sequence[Item], work: Work, batch: Batch) -> Found:
    """As they come; at last a line that says what the networks ran on."""
    ready = [item for item in todo if not item.error]
    for item in todo:
        if item.error:
            yield item, Outcome(item.where, error=item.error)
    if not ready:
        return
    any_made = False
    with _crew(work, ready, batch) as crew, closing(crew.outcomes()) as outcomes:
        for item, outcome in outcomes:
            any_made = any_made or not outcome.error
            yield item, outcome
    if any_made:
        say(f"done on {crew.words}")


def _crew(work: Work, items: Sequence[Item], batch: Batch) -> Crew:
    if batch.ray:
        from .cluster import Cluster

        return Cluster(work, items, batch.ray, work.networks.threads)
    return Alone(work, items) if batch.workers == 1 else Workers(work, items, batch.workers)


class Alone:
    """This process does it all; see workers.Crew."""

    def __init__(self, work: Work, items: Sequence[Item]) -> None:
        self._items, self._stack = items, ExitStack()
        self.words, self._do = work.open(self._stack)

    def __enter__(self) -> Alone:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def outcomes(self) -> Found:
        for item in self._items:
            yield item, timed(self._do, item)


def _sum_up(done: int, failed: int, before: int, seconds: float, unit: str) -> None:
    """The last words of a batch."""
    parts = [f"{done} done in {seconds:.1f} s ({(done + failed) / seconds:.2f} {unit}/s)"]
    if before:
        parts.append(f"{before} were done before")
    if failed:
        parts.append(f"{failed} failed")
    say("; ".join(parts))


@contextmanager
def _bar(count: int, before: int, unit: str) -> Iterator[Callable[[], None]]:
    """A bar with the rate and the time left, where a person watches; called once an item."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Left

    console = Console(stderr=True)
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        Left(elapsed_when_finished=True),
    )
    quiet = count == 1 or not console.is_terminal
    start, done = time.monotonic(), 0
    with Progress(*columns, console=console, transient=True, disable=quiet) as bar:
        task = bar.add_task("", total=count, completed=before, rate="")

        def advance() -> None:
            nonlocal done
            done += 1
            rate = done / max(SECONDS_LEAST, time.monotonic() - start)
            bar.update(task, advance=1, rate=f"{rate:.2f} {unit}/s")

        yield advance
