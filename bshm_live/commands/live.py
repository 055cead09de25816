"""The main job: a webcam with another background, into a virtual camera, for hours."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

from ..console import say
from ..control.config import gallery_folder
from ..control.gallery import Gallery
from ..control.server import Server
from ..errors import BshmError, SettingsError
from ..loop.assemble import head_finder, live_parts
from ..loop.pipeline import Pipeline
from ..loop.stage import open_stage
from ..runtimes.choice import require
from ..settings import Live, Look, Networks, is_camera
from ..sinks import open_sink
from ..sinks.beside import Beside
from ..sinks.preview import Preview
from ..sinks.virtual_camera import VirtualCamera
from ..sinks.window import Window
from ..sources import open_source
from ..sources.live_camera import AnyOf, LiveCamera
from ..sources.video_file import demo_clip
from ..sources.webcam import SIZE_WANTED
from ..types import Picture, Sink, Size, Source
from .keys import Keys
from .memory import share_heaps
from .signals import end_if_asked, frames, handled, held
from .steering import Steering
from .watch import LiveWatch

FRAMED = 1.5  # times: the camera's picture, of the output, where a part of it is shown


@handled()
def run_live(look: Look, networks: Networks, live: Live) -> None:
    """From source to sinks until the source ends, `live.frames` are done or a signal comes."""
    share_heaps()
    require(networks.runtime)  # before a camera is opened for nothing
    with ExitStack() as stack:
        text = str(demo_clip()) if live.source == "demo" else live.source
        source = open_source(text, camera_size(look, live.size), live.fps, say)
        stack.callback(source.close)
        size = live.size or output_size(look, source)
        stage = open_stage(look, size, live.on_trouble, live=True)
        stack.callback(stage.background.close)
        stack.enter_context(held())  # a recording is whole or not there
        # Before the networks: the camera is there, and again there, seconds earlier.
        sinks = open_sinks(look, live, size, source.fps, stage.empty(size), stack)
        with held(hold=False):
            parts = live_parts(networks, size, source.fps, stack, wrap=stage.wrap or 0.0)
        steering = Steering(look, networks, live, size, stage, parts)
        stack.callback(steering.close)
        steering.attach(source, sinks)
        if live.on_demand and isinstance(source, LiveCamera):
            rest_on_demand(source, sinks, stack)
        find = head_finder(stack)
        pipeline = Pipeline(parts.switch, steering.desk.stage, size, find=find)
        say(f"{source.describe()}; output {size[0]}x{size[1]}; {parts.words}")
        for sink in sinks:
            say(sink.describe())
        preview = Preview(size)
        watch = LiveWatch(pipeline, sinks, live.frames, steering, source.fps)
        gallery = Gallery(live.backgrounds or gallery_folder())
        listen(live.name, steering, stack)
        hear_keys(sinks, steering, gallery, stack)
        if live.tray:
            show_in_tray(live.name, steering, gallery, stack)
        if live.control:
            serve_page(live.name, steering, gallery, preview, stack)
        run_call(pipeline, source, [*sinks, preview] if live.control else sinks, watch)
        if not watch.count:
            end_if_asked()  # there is nothing to keep
        watch.summary(stats=live.stats)


def camera_size(look: Look, size: Size | None) -> Size | None:
    """What a camera is asked for: with framing more pixels than the output has."""
    if look.framing is None:
        return size
    width, height = size or SIZE_WANTED
    return round(width * FRAMED), round(height * FRAMED)


def output_size(look: Look, source: Source) -> Size:
    """The source's own size; with framing less, where a camera has more for it."""
    width, height = look.turned(source.size)
    wished = camera_size(look, None)
    if wished is None or not isinstance(source, LiveCamera) or source.size[0] < wished[0]:
        return width, height
    return round(width / FRAMED / 2) * 2, round(height / FRAMED / 2) * 2


def run_call(pipeline: Pipeline, source: Source, sinks: Sequence[Sink], watch: LiveWatch) -> None:
    """Until its end. Raises BshmError, but no SettingsError any more.

    They were right when it began; and a service is not started again after one of those.
    """
    try:
        pipeline.run(frames(source), sinks, watch)
    except SettingsError as error:
        raise BshmError(str(error)) from error


def listen(name: str, steering: Steering, stack: ExitStack) -> None:
    """Commands reach this program by its name; where that cannot be, the picture goes on."""
    try:
        stack.enter_context(Server(name, steering.answer))
    except SettingsError as error:
        say(f"no commands: {error}")


def hear_keys(
    sinks: Sequence[Sink], steering: Steering, gallery: Gallery, stack: ExitStack
) -> None:
    """The window's keys change the picture, too."""
    for sink in sinks:
        window = sink.sink if isinstance(sink, Beside) else sink
        if isinstance(window, Window):
            window.pressed = keys = Keys(steering.answer, gallery)
            stack.callback(keys.close)


def show_in_tray(name: str, steering: Steering, gallery: Gallery, stack: ExitStack) -> None:
    """An icon with a menu; where there is no tray, the picture goes on."""
    from .tray import Tray

    try:
        stack.callback(Tray(name, steering.answer, gallery).close)
    except BshmError as error:
        say(f"no tray icon: {error}")


def serve_page(
    name: str, steering: Steering, gallery: Gallery, preview: Preview, stack: ExitStack
) -> None:
    """The control page, and its address; where it cannot be had, the picture goes on."""
    from ..control.page import Page

    try:
        page = Page(name, steering.answer, gallery, preview.jpeg)
    except OSError as error:
        say(f"no control page: {error.strerror or error}")
        return
    stack.callback(page.close)
    steering.page = page.address
    say(f"control page: {page.address}")


def open_sinks(
    look: Look, live: Live, size: Size, fps: float, placeholder: Picture, stack: ExitStack
) -> list[Sink]:
    """All sinks, closed with `stack`: each, and a recording is kept, whatever ended the run.

    What fails beside a virtual camera, or beside a window, does not end the run.
    """
    transparent = look.background.kind == "none"
    most = max(map(_worth, live.sinks))
    sinks: list[Sink] = []
    for text in live.sinks:
        sink: Sink
        sink = open_sink(
            text,
            size,
            fps,
            placeholder=placeholder,
            transparent=transparent,
            vcam_format=live.vcam_format,
        )
        if _worth(text) < most:
            sink = Beside(sink, "the window" if text == "window" else "the recording")
        sinks.append(sink)
        stack.callback(sink.close)
    return sinks


def _worth(sink: str) -> int:
    """Which sinks a run is for: those of the highest worth."""
    return 2 if is_camera(sink) else int(sink == "window")


def rest_on_demand(camera: LiveCamera, sinks: Sequence[Sink], stack: ExitStack) -> None:
    """The camera is off while no program reads any of the virtual cameras."""
    found = [sink.viewers() for sink in sinks if isinstance(sink, VirtualCamera)]
    known = [viewers for viewers in found if viewers is not None]
    if len(known) < len(found):
        say("--on-demand: who reads the virtual camera cannot be known here; the camera stays on")
        return
    camera.viewers = AnyOf(known)
    stack.callback(camera.viewers.close)
