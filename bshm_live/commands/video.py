"""Video files, and the main job on the clip that comes with the package."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from ..compositing.background import Fixed, studio
from ..compositing.compositor import SOLID
from ..console import say
from ..errors import SinkError
from ..loop.assemble import file_pipeline
from ..loop.pipeline import Pipeline
from ..loop.stage import Stage, open_stage
from ..settings import BackgroundSpec, Look, Networks
from ..sinks import Layer, PictureWriter, VideoWriter, open_file
from ..sinks.codecs import QUALITY
from ..sources.video_file import VideoFile, demo_clip
from ..types import SPARSE, Shot
from .signals import end_if_asked, frames, handled, held

SECONDS_LEAST = 1e-6  # to divide by


@dataclass(frozen=True)
class Outputs:
    """The files that a run writes; None: not that layer. `quality` is 0 to 100."""

    composite: Path
    alpha: Path | None = None
    foreground: Path | None = None
    quality: int = QUALITY


@dataclass(frozen=True)
class Made:
    """What came of a film: `words` on what, `person` the person's mean share of its frames."""

    words: str
    count: int
    seconds: float
    person: float
    notes: tuple[str, ...] = ()

    @property
    def rate(self) -> float:
        return self.count / max(self.seconds, SECONDS_LEAST)


@handled()
def run_video(given: Path, outputs: Outputs, look: Look, networks: Networks) -> None:
    """A file, every frame, each output frame with its own matte."""
    made = make_film(given, outputs, look, networks)
    for note in made.notes:
        say(note)
    say(f"{outputs.composite}: {made.count} frames, {made.rate:.1f} frames/s, {made.words}")


def make_film(
    given: Path, outputs: Outputs, look: Look, networks: Networks, *, quiet: bool = False
) -> Made:
    """All outputs of one file, whole, or none. With a bar unless `quiet`. Raises BshmError."""
    source = VideoFile(given)
    size, fps = look.turned(source.size), source.fps
    with ExitStack() as stack:
        stack.callback(source.close)
        stage = open_stage(look, size)
        stack.callback(stage.background.close)
        words, pipeline = file_pipeline(stage, networks, size, stack)
        files = Files(stack)
        files.add(
            open_file(
                outputs.composite,
                size,
                fps,
                audio_from=source.path,
                transparent=look.background.kind == "none",
                quality=outputs.quality,
            )
        )
        layers: tuple[tuple[Layer, Path | None], ...] = (
            ("alpha", outputs.alpha),
            ("foreground", outputs.foreground),
        )
        for layer, path in layers:
            if path:
                files.add(open_file(path, size, fps, layer, quality=outputs.quality))
        made = run_with_bar(pipeline, source, files, words, quiet=quiet)
    return replace(made, notes=tuple(files.notes()))


@handled()
def run_demo(output: Path, spec: BackgroundSpec | None, shown: str, networks: Networks) -> None:
    """The main job on the packaged clip: no camera, no GPU, no network.

    The background `spec`, `shown` in words; None is a drawn studio.
    """
    source = VideoFile(demo_clip())
    size = source.size
    with ExitStack() as stack:
        stack.callback(source.close)
        stage = open_stage(Look(spec), size) if spec else Stage(Fixed(studio(size)))
        stack.callback(stage.background.close)
        words, pipeline = file_pipeline(stage, networks, size, stack)
        files = Files(stack)
        files.add(open_file(output, size, source.fps))
        made = run_with_bar(pipeline, source, files, words)
    say(
        f"{output}: the packaged clip, {made.count} frames of {size[0]}x{size[1]}, "
        f"cut out by MPN, QUN and MRN and put before {shown}; "
        f"{made.rate:.1f} frames/s on {words}"
    )


class Files:
    """Video files that are all kept when everything went well, and all dropped when not."""

    def __init__(self, stack: ExitStack) -> None:
        self.writers: list[VideoWriter | PictureWriter] = []
        stack.enter_context(held())
        stack.push(self._leave)

    def add(self, writer: VideoWriter | PictureWriter) -> None:
        self.writers.append(writer)

    def _leave(self, kind: type[BaseException] | None, *_: object) -> None:
        ok = kind is None
        for writer in self.writers:
            try:
                writer.close(ok=ok)
            except SinkError:
                for other in self.writers:
                    other.close(ok=False)
                raise

    def notes(self) -> list[str]:
        return [note for writer in self.writers for note in writer.notes]


def run_with_bar(
    pipeline: Pipeline, source: VideoFile, files: Files, words: str, *, quiet: bool = False
) -> Made:
    """Runs to the end; shows frames/s and the time left."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.completed} of {task.total} frames"),
        BarColumn(),
        TextColumn("{task.fields[rate]:.1f} frames/s"),
        TimeRemainingColumn(),
    )
    start, person = time.monotonic(), 0.0
    console = Console(stderr=True)
    quiet = quiet or not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=quiet) as bar:
        task = bar.add_task("", total=source.count, rate=0.0)

        def after(shot: Shot) -> bool:
            nonlocal person
            person += float(shot.alpha[::SPARSE, ::SPARSE].mean()) / SOLID
            rate = (shot.index + 1) / max(time.monotonic() - start, SECONDS_LEAST)
            bar.update(task, advance=1, rate=rate)
            return True

        count = pipeline.run(frames(source), files.writers, after)
    end_if_asked()
    return Made(words, count, time.monotonic() - start, person / max(count, 1))
