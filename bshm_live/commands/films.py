"""Many video files, each as `video` makes one of one."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from ..compositing.background import open_background
from ..errors import BshmError, SinkError, SourceError
from ..files import path_of, real
from ..loop.assemble import runtime_for
from ..settings import Look, Networks
from ..stills.cloud import fetch_to, is_cloud
from ..stills.files import INSTEAD, Outcome, ready
from ..stills.read import Item, is_address, is_film, listed
from .batch import run_batch, share
from .options import Batch
from .record import options_key
from .video import Outputs, make_film
from .workers import Do

ANY_SIZE = (64, 64)  # pixels, to see whether a background can be opened

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Filming:
    """What `video` does with every film; see workers.Work. `kind` is the new files' ending."""

    look: Look
    networks: Networks
    folder: Path
    kind: str
    quality: int
    inputs: frozenset[Path]
    unit = "films"

    def open(self, stack: ExitStack) -> tuple[str, Do]:
        """Each film loads the networks of its own format."""
        return runtime_for(self.networks).description, self._one

    def key(self, item: Item) -> str:
        steady, behind = self.networks.steady, self.look.background.path
        return options_key(
            self.networks, steady, self.look, self.kind, self.quality, files=[behind]
        )

    def _one(self, item: Item) -> Outcome:
        """One film to its file; an error becomes the outcome."""
        target = self.folder / f"{item.name}.{self.kind}"
        try:
            if real(target) in self.inputs:
                raise SinkError(f"{target}: is an input of this run; {INSTEAD}")
            with at_hand(item.where) as given:
                outputs = Outputs(target, quality=self.quality)
                made = make_film(given, outputs, self.look, self.networks, quiet=True)
        except BshmError as error:
            named = error if item.where in str(error) else type(error)(f"{item.where}: {error}")
            return Outcome(item.where, error=named)
        for note in made.notes:
            log.info(f"{item.where}: {note}")
        return Outcome(item.where, (target,), made.person)


@contextmanager
def at_hand(where: str) -> Iterator[Path]:
    """A file of this machine, for as long as it is needed. Raises SourceError."""
    if not is_address(where):
        yield path_of(where)
        return
    if not is_cloud(where):
        raise SourceError(f"{where}: save it to a file first")
    with TemporaryDirectory() as temporary:
        file = Path(temporary) / f"film{Path(where).suffix}"
        fetch_to(where, file)
        yield file


def run_films(
    inputs: Sequence[str],
    folder: Path,
    kind: str,
    quality: int,
    look: Look,
    networks: Networks,
    batch: Batch,
) -> int:
    """Returns the exit code: 0, or that of the first film that failed."""
    items, files = listed(inputs, is_film)
    open_background(look.background, ANY_SIZE).close()
    work = Filming(look, share(networks, batch), ready(folder), kind, quality, files)
    return run_batch(items, work, folder, batch)
