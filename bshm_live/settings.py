"""What the user asked for, checked once: everything behind it may trust it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .errors import SettingsError
from .files import camera_device, is_file, named_twice, path_of, why_unreadable
from .types import Place, Size, VcamFormat

Preset = Literal["fast", "balanced", "quality"]
FilePreset = Literal["fast", "balanced", "quality", "official"]
Runtime = Literal["auto", "onnxruntime", "openvino", "tensorrt"]
Precision = Literal["auto", "f32", "int8"]
Trouble = Literal["background", "card"]
Fit = Literal["cover", "contain"]
Rotate = Literal[0, 90, 180, 270]
FITS: tuple[Fit, ...] = ("cover", "contain")
ROTATIONS: tuple[Rotate, ...] = (0, 90, 180, 270)
Framing = Literal["head", "half", "loose"]
FRAMINGS: tuple[Framing, ...] = ("head", "half", "loose")
FRAME_DEFAULT: Framing = "half"
ALL, NEAREST, SUBJECTS_MOST = "all", "nearest", 9  # people: words for 0 and 1, and the most
NOTHING = "off"  # the word for a look without one
PRESETS: tuple[Preset, ...] = ("fast", "balanced", "quality")
OFFICIAL: Literal["official"] = "official"  # the BSHM release, once imported: for files alone
TALL = "tall"  # the networks for portrait format: taken by itself, never asked for
RUNTIMES: tuple[Runtime, ...] = ("auto", "onnxruntime", "openvino", "tensorrt")
PRECISIONS: tuple[Precision, ...] = ("auto", "f32", "int8")
VCAM_FORMATS: tuple[VcamFormat, ...] = ("I420", "YUYV", "NV12")
TROUBLES: tuple[Trouble, ...] = ("background", "card")

BLUR_DEFAULT = 25  # of 1 to the most: compositing/background.py says how many pixels
BLUR_MOST = 200
SMALLEST, LARGEST = 64, 8192  # pixels of an output's side
QUALITY_MOST = 100  # of a video file
FPS_MOST = 240  # frames/s to ask a camera for
DIGITS = 9  # no number here has more
THREADS_A_CORE = 4  # more only get into each other's way
LIGHT_AUTO = 80  # percent of the way to a well-lit face
BRIEF = 60  # characters of what was typed that a message repeats
PICTURES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})
VIDEOS = frozenset({".mp4", ".mkv", ".mov", ".webm", ".avi", ".m4v", ".gif", ".ts", ".mpg"})


@dataclass(frozen=True)
class BackgroundSpec:
    """kind and its value: colour (B, G, R), blur radius, or a path."""

    kind: Literal["picture", "video", "blur", "colour", "none"]
    path: Path | None = None
    radius: int = 0
    colour: tuple[int, int, int] = (0, 0, 0)

    @property
    def text(self) -> str:
        """In words that mean the same in any folder: parse_background's other direction."""
        if self.path is not None:
            return os.path.abspath(self.path)
        if self.kind == "blur":
            return f"blur:{self.radius}"
        blue, green, red = self.colour
        return "none" if self.kind == "none" else f"#{red:02x}{green:02x}{blue:02x}"


@dataclass(frozen=True)
class Overlay:
    """A picture with alpha over everything else; x and y in pixels or percent: '40', '-3%'.

    With a minus they are from the right and from below.
    """

    path: Path
    x: str
    y: str


@dataclass(frozen=True)
class Border:
    """A frame `width` pixels wide, of one (B, G, R) colour."""

    width: int
    colour: tuple[int, int, int] = (255, 255, 255)


@dataclass(frozen=True)
class Look:
    """What the picture looks like: what may change while the program runs.

    `light_wrap` lets the background's light fall on the person's rim; what is
    transparent gives none. While `paused` the background alone is shown and the camera
    is off. The source's picture is turned clockwise by `rotate` degrees; one of another
    format than the output fills it and is cut (cover), or is shown whole with the new
    background beside it (contain). `light` is how far the face is taken to a good exposure
    and white balance, in percent; `match`, in [0, 1], how far the person's colours are taken
    towards the background's. With `depth` a blurred room is the more out of focus the
    further away it is. `vignette` in [0, 1] darkens the corners; `border` and `overlay` are
    drawn last, over whatever is shown. With a `framing` the part that is shown follows the
    people, from their heads alone to much of their bodies. Of several people only the
    `subject` nearest are shown; 0: all. With a `place` what would fill the output stands small
    before the background.
    """

    background: BackgroundSpec
    mirror: bool = False
    light_wrap: bool = False
    paused: bool = False
    rotate: Rotate = 0
    fit: Fit = "cover"
    light: int = 0
    match: float = 0.0
    depth: bool = False
    vignette: float = 0.0
    border: Border | None = None
    overlay: Overlay | None = None
    framing: Framing | None = None
    subject: int = 0
    place: Place | None = None

    def turned(self, size: Size) -> Size:
        """What the turn makes of a picture's size."""
        return size if self.rotate % 180 == 0 else (size[1], size[0])

    @property
    def lit(self) -> bool:
        """Whether the background lights the person."""
        return self.light_wrap and self.background.kind != "none"


@dataclass(frozen=True)
class Networks:
    """Which networks run, and where. `preset` None: the one that fits, see loop/assemble.

    `threads` 0: as many as there are cores. `steady`: filtered over time. `precision` auto:
    int8 for live pictures on a processor where it is faster, else f32.
    """

    runtime: Runtime = "auto"
    preset: FilePreset | None = None
    threads: int = 0
    steady: bool = True
    precision: Precision = "auto"


@dataclass(frozen=True)
class Live:
    """Where frames come from and go to. `size` is (width, height), both even.

    None takes the source's size and rate (frames/s). `on_trouble` is what leaves instead
    of a frame that has no valid matte; `on_demand`: no camera while nobody reads the
    virtual camera, which on Linux carries its pictures as `vcam_format`; `frames`: the end
    after so many; `name`: what commands call it by; `control`: with a page to change it on,
    which shows the folder `backgrounds`; `tray`: with an icon on the desktop that does.
    """

    source: str = "0"
    sinks: tuple[str, ...] = ("vcam",)
    size: Size | None = None
    fps: float | None = None
    on_trouble: Trouble = "background"
    on_demand: bool = False
    stats: bool = False
    frames: int | None = None
    name: str = "bshm-live"
    control: bool = False
    tray: bool = False
    backgrounds: Path | None = None
    vcam_format: VcamFormat = "I420"


def check_networks(networks: Networks) -> Networks:
    """The same, once it makes sense. Raises SettingsError."""
    most = THREADS_A_CORE * (os.cpu_count() or 1)
    if not 0 <= networks.threads <= most:
        raise SettingsError(
            f"--threads {networks.threads}: must be between 1 and {most} on this machine; "
            "0 takes as many as there are cores"
        )
    return networks


def check_live_networks(networks: Networks) -> Networks:
    """As `check_networks`, for a live picture. Raises SettingsError."""
    if networks.preset == OFFICIAL:
        raise SettingsError(
            f"preset {OFFICIAL} is for image, id, product and video; live takes one of "
            f"{', '.join(PRESETS)}"
        )
    return check_networks(networks)


def check_quality(quality: int) -> int:
    """The same, if it lies between 0 and 100. Raises SettingsError."""
    if not 0 <= quality <= QUALITY_MOST:
        raise SettingsError(f"--quality {quality}: must be between 0 and {QUALITY_MOST}; try 80")
    return quality


def check_frames(frames: int) -> int:
    """The same, if it is a number of frames that can be had. Raises SettingsError."""
    if frames < 1:
        raise SettingsError(f"--frames {frames}: must be 1 or more; leave it out for no end")
    return frames


def check_live(live: Live) -> Live:
    """The same, once it makes sense. Raises SettingsError."""
    if live.frames is not None:
        check_frames(live.frames)
    if live.fps is not None and not 1 <= live.fps <= FPS_MOST:
        raise SettingsError(f"--fps {live.fps:g}: must be between 1 and {FPS_MOST}; try 30")
    for sink in live.sinks:
        if live.sinks.count(sink) > 1:
            raise SettingsError(f"--sink {sink} is given twice; several cameras: vcam:/dev/videoN")
    if live.on_demand and not any(map(is_camera, live.sinks)):
        raise SettingsError(
            "--on-demand waits until a program reads the virtual camera: add --sink vcam"
        )
    if live.on_demand and camera_device(live.source) is None:
        raise SettingsError(
            f"--on-demand switches a camera off, and --source {live.source} is none; leave one out"
        )
    return live


def is_camera(sink: str) -> bool:
    """Whether programs see a sink as a camera."""
    return sink.partition(":")[0] == "vcam" or sink == "pipewire"


def check_outputs(outputs: Iterable[Path], inputs: Iterable[Path | None]) -> None:
    """Every output has a place of its own, and replaces no input. Raises SettingsError."""
    written = list(outputs)
    if twice := named_twice(written):
        raise SettingsError(f"{twice} is given twice; give each output a name of its own")
    for given in filter(None, inputs):
        if named_twice([*written, given]):
            raise SettingsError(f"{given} would be replaced by the output; give another name")


def parse_size(text: str) -> Size:
    """'1280x720' to (1280, 720). Raises SettingsError."""
    match = re.fullmatch(rf"(\d{{1,{DIGITS}}})[xX](\d{{1,{DIGITS}}})", text.strip(), re.ASCII)
    if not match:
        raise SettingsError(f"--size {brief(text)}: write it as WIDTHxHEIGHT, for example 1280x720")
    width, height = int(match[1]), int(match[2])
    if width % 2 or height % 2:
        even = f"{width + width % 2}x{height + height % 2}"
        raise SettingsError(f"--size {text}: both sides must be even; try {even}")
    if not (SMALLEST <= width <= LARGEST and SMALLEST <= height <= LARGEST):
        raise SettingsError(f"--size {text}: each side must be between {SMALLEST} and {LARGEST}")
    return width, height


def parse_background(text: str) -> BackgroundSpec:
    """A picture, a video, 'blur', 'blur:N', '#rrggbb', a CSS colour name or 'none'."""
    if text == "none":
        return BackgroundSpec("none")
    if text == "blur" or text.startswith("blur:"):
        return BackgroundSpec("blur", radius=_blur_radius(text))
    path = path_of(text)
    suffix = path.suffix.lower()
    if suffix in PICTURES or suffix in VIDEOS:
        if why := why_unreadable(path):
            raise SettingsError(f"--bg {why}")
        return BackgroundSpec("picture" if suffix in PICTURES else "video", path=path)
    if is_file(path):
        return BackgroundSpec("picture", path=path)
    return BackgroundSpec("colour", colour=parse_colour(text))


def _blur_radius(text: str) -> int:
    if text == "blur":
        return BLUR_DEFAULT
    number = whole_number(text.removeprefix("blur:"))
    if number is None or not 1 <= number <= BLUR_MOST:
        raise SettingsError(f"--bg {brief(text)}: the strength is 1 to {BLUR_MOST}; try blur:25")
    return number


def whole_number(text: str) -> int | None:
    """'-12' to -12; None for anything else, also for what has too many digits."""
    return int(text) if re.fullmatch(rf"-?\d{{1,{DIGITS}}}", text, re.ASCII) else None


def brief(text: str) -> str:
    """What was typed, not longer than a message can take."""
    return text if len(text) <= BRIEF else f"{text[:BRIEF]}..."


def parse_colour(text: str) -> tuple[int, int, int]:
    """'#00b140', '#0b4' or a CSS name to (B, G, R)."""
    from webcolors import hex_to_rgb, name_to_rgb

    try:
        rgb = hex_to_rgb(text) if text.startswith("#") else name_to_rgb(text)
    except ValueError:
        raise SettingsError(
            f"--bg {brief(text)}: neither a file nor a colour; give a picture, a video, blur, "
            "none, #rrggbb or a CSS colour name such as green"
        ) from None
    return rgb.blue, rgb.green, rgb.red
