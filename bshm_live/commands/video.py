"""Video files, and the main job on the clip that comes with the package."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from ..compositing.background import Fixed, studio
from ..console import say
from ..errors import SinkError
from ..loop.assemble import file_pipeline
from ..loop.pipeline import Pipeline
from ..loop.stage import Stage, open_stage
from ..settings import BackgroundSpec, Look, Networks
from ..sinks import Layer, PictureWriter, VideoWriter, open_file
from ..sinks.codecs import QUALITY
from ..sources.video_file import VideoFile, demo_clip
from ..types import Shot
from .signals import end_if_asked, frames, handled, held


@dataclass(frozen=True)
class Outputs:
    """The files that a run writes; None: not that layer. `quality` is 0 to 100."""

    composite: Path
    alpha: Path | None = None
    foreground: Path | None = None
    quality: int = QUALITY


@handled()
def run_video(given: Path, outputs: Outputs, look: Look, networks: Networks) -> None:
    """A file, every frame, each output frame with its own matte."""
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
        seconds, count = run_with_bar(pipeline, source, files)
    for note in files.notes():
        say(note)
    rate = count / max(seconds, 1e-6)
    say(f"{outputs.composite}: {count} frames, {rate:.1f} frames/s, {words}")


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
        seconds, count = run_with_bar(pipeline, source, files)
    say(
        f"{output}: the packaged clip, {count} frames of {size[0]}x{size[1]}, "
        f"cut out by MPN, QUN and MRN and put before {shown}; "
        f"{count / max(seconds, 1e-6):.1f} frames/s on {words}"
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


def run_with_bar(pipeline: Pipeline, source: VideoFile, files: Files) -> tuple[float, int]:
    """Seconds and frames; shows frames/s and the time left."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.completed} of {task.total} frames"),
        BarColumn(),
        TextColumn("{task.fields[rate]:.1f} frames/s"),
        TimeRemainingColumn(),
    )
    start = time.monotonic()
    console = Console(stderr=True)
    quiet = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=quiet) as bar:
        task = bar.add_task("", total=source.count, rate=0.0)

        def after(shot: Shot) -> bool:
            rate = (shot.index + 1) / max(time.monotonic() - start, 1e-6)
            bar.update(task, advance=1, rate=rate)
            return True

        count = pipeline.run(frames(source), files.writers, after)
    end_if_asked()
    return time.monotonic() - start, count
