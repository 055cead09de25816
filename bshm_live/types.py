"""What flows through the program: shapes, ranges and colour order, stated once.

Sizes are (width, height) where a person gives them, arrays are (H, W, ...).
A *preset* has a low size (h, w) for MPN and QUN and a high size (4h, 4w) for
MRN. Pictures are BGR uint8 (H, W, 3), C-contiguous; alpha is float32 (H, W) in
[0, 1], or uint8 in [0, 255] once it has a picture's full size; foreground is
straight colour, never premultiplied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Picture = NDArray[np.uint8]
    Mask8 = NDArray[np.uint8]
    Alpha = NDArray[np.float32]
    Tensor = NDArray[np.float32]
    Grade = NDArray[np.float32]
    Matrix = NDArray[np.float64]
else:  # the command line reads this file and must start without NumPy
    Picture = Mask8 = Alpha = Tensor = Grade = Matrix = object

Size = tuple[int, int]
Shape = tuple[int, ...]
VcamFormat = Literal["I420", "YUYV", "NV12"]  # what a v4l2loopback device may carry
# Composite, alpha and foreground of one frame
Layers: TypeAlias = "tuple[Picture, Mask8, Picture | None]"
SPARSE = 4  # pixels


@dataclass(frozen=True)
class Window:
    """The part of the camera's picture that is shown, in its pixels; it may reach beyond it.

    `mirrored`: left and right have changed places in what is shown.
    """

    left: float
    top: float
    width: float
    height: float
    mirrored: bool = False


@dataclass(frozen=True)
class Place:
    """Where the middle of a picture's lower edge stands in the output, and how high it is.

    Each in pixels, or where `percent` says so in percent: x of the output's width, y and
    height of its height.
    """

    x: float
    y: float
    height: float
    percent: tuple[bool, bool, bool] = (True, True, True)

    @property
    def text(self) -> str:
        """As it is written: x,y,h."""
        parts = zip((self.x, self.y, self.height), self.percent, strict=True)
        return ",".join(f"{value:g}%" if percent else f"{value:g}" for value, percent in parts)

    def pixels(self, size: Size) -> tuple[float, float, float]:
        """x, y and height in an output of `size` (width, height)."""
        x, y, height = (
            value * side / 100 if percent else value
            for value, side, percent in zip(
                (self.x, self.y, self.height), (*size, size[1]), self.percent, strict=True
            )
        )
        return x, y, height


@dataclass(frozen=True)
class Frame:
    """One picture from a source. `time` is in seconds since the source's first frame.

    `captured` is time.monotonic() when the camera took it, None for files;
    `session` grows when the camera was opened anew. `alpha` (H, W) uint8 is what
    the input itself has cut away, None where all of it is opaque. `fault` says why nobody
    may be cut out of the picture: it is not what the camera sees now. `window` is the part
    of the camera's picture that it shows, None where nobody has cut it.
    """

    image: Picture
    index: int
    time: float
    captured: float | None = None
    session: int = 0
    alpha: Mask8 | None = None
    fault: str | None = None
    window: Window | None = None


class Matte(Protocol):
    """What the three networks say of one frame, each at its own size.

    alpha (4h, 4w) and coarse, unified (h, w) are in [0, 1]; residual (h, w, 3)
    is BGR in [-1, 1], and foreground = clip(picture + residual); guide
    (4h, 4w, 3) is the picture as MRN saw it. In a large still, alpha, residual
    and guide are larger: put together from tiles.
    """

    @property
    def alpha(self) -> Alpha: ...
    @property
    def residual(self) -> NDArray[np.float32]: ...
    @property
    def unified(self) -> Alpha: ...
    @property
    def coarse(self) -> Alpha: ...
    @property
    def guide(self) -> Picture: ...
    def sparse(self) -> Alpha:
        """Alpha on every fourth pixel: enough to tell how much of a picture is person."""
        ...

    def sound(self) -> bool | None:
        """Whether all values are in their ranges; None where that was not checked yet."""
        ...

    def weighted(self, weight: Alpha) -> Matte:
        """The same with its alpha times `weight` (4h, 4w) in [0, 1]."""
        ...


@dataclass(frozen=True)
class HostMatte:
    """A Matte in the computer's own memory. Its arrays belong to it: no engine overwrites them."""

    alpha: Alpha
    residual: NDArray[np.float32]
    unified: Alpha
    coarse: Alpha
    guide: Picture

    def sparse(self) -> Alpha:
        return self.alpha[::SPARSE, ::SPARSE]

    def sound(self) -> None:
        return None

    def weighted(self, weight: Alpha) -> HostMatte:
        return replace(self, alpha=self.alpha * weight)


class DeviceHint(Protocol):
    """A hint that stays on a GPU: only the networks on the same GPU can take it."""

    @property
    def cuda(self) -> object: ...


# What MPN is told beside the picture: a mask (H, W) in [0, 1], as a rule the last matte
Hint: TypeAlias = "Alpha | DeviceHint"


@dataclass(frozen=True)
class Shot:
    """One finished frame on its way to the sinks, all parts of the same frame.

    composite and foreground (H, W, 3); alpha (H, W) uint8. Without a person
    (`has_person` False) there was no valid matte and the composite is the background
    alone: then alpha is 0 and the foreground black. The arrays are reused for the next
    frame: a sink that keeps one copies it.
    """

    composite: Picture
    alpha: Mask8
    foreground: Picture | None
    index: int
    time: float
    has_person: bool


class Engine(Protocol):
    """One compiled network. `run` takes and returns float32 arrays by name.

    What `run` returns is valid until its next call; what lives on is copied.
    Raises EngineError.
    """

    @property
    def inputs(self) -> Mapping[str, Shape]: ...
    @property
    def outputs(self) -> Mapping[str, Shape]: ...
    def run(self, feeds: Mapping[str, Tensor]) -> Mapping[str, Tensor]: ...
    def close(self) -> None: ...


class Matting(Protocol):
    """What makes mattes of pictures: Bshm, on the CPU or a GPU.

    `low` is (h, w), `high` (4h, 4w); both may change between two mattes. `matte`
    takes a BGR picture of any size and a hint (a mask, or what the Steady beside it
    gives), tells `clock` the name of each stage that is done,
    and raises EngineError.
    """

    @property
    def low(self) -> Shape: ...
    @property
    def high(self) -> Shape: ...
    def matte(
        self, picture: Picture, hint: Hint | None = None, clock: Callable[[str], None] = ...
    ) -> Matte: ...
    def close(self) -> None: ...


class Steady(Protocol):
    """Gives a Matting its hint and takes the flicker out of its mattes; remembers the last.

    `hint` is called first, once a frame; `reset` makes it forget. Without `smooth`, which
    may change between two frames, mattes stay as they are. `moved` is told before `hint`
    where the points of the last picture lie in this one, as a matrix (2, 3); both are
    1 wide and 1 high.
    """

    smooth: bool

    def moved(self, change: Matrix) -> None: ...
    def hint(self, picture: Picture) -> Hint | None: ...
    def steady(self, matte: Matte) -> Matte: ...
    def reset(self) -> None: ...


class Compositing(Protocol):
    """Puts the person of a frame before a background, all of one size.

    `wrap` in [0, 1] is how much of the background's light falls on the person's rim; it
    may change between two frames, as may `grade` (256, 8), how the person's colours are
    changed, and `calm` in [0, 1], how much of the noise in the dark is filtered. What is
    returned may be written anew for the next frame. Raises EngineError.
    """

    wrap: float
    grade: Grade | None
    calm: float

    def __call__(
        self, image: Picture, matte: Matte, background: Picture, *, foreground: bool = False
    ) -> Layers: ...
    def background_alone(self, background: Picture) -> Layers: ...


class Parts(Protocol):
    """Matting, steadier and compositor of one place, the CPU or a GPU: they go together."""

    @property
    def matting(self) -> Matting: ...
    @property
    def steadier(self) -> Steady: ...
    @property
    def compositor(self) -> Compositing: ...
    def close(self) -> None: ...


class Supply(Protocol):
    """Where the loop gets its parts: asked once at the start of each frame.

    `instead` is told that the current parts have failed, and gives those that make
    the pictures from now on; None where there are no others.
    """

    def current(self) -> Parts: ...
    def instead(self, error: Exception) -> Parts | None: ...


class Source(Protocol):
    """Frames in order, all of one `size` (width, height). Raises SourceError.

    `count` is the number of frames where it is known, else None; `describe` is
    one line for a person.
    """

    @property
    def size(self) -> Size: ...
    @property
    def fps(self) -> float: ...
    @property
    def count(self) -> int | None: ...
    def describe(self) -> str: ...
    def __iter__(self) -> Iterator[Frame]: ...
    def close(self) -> None: ...


class Sink(Protocol):
    """Takes finished frames. Raises SinkError.

    `close(ok=False)` throws away what has no worth when incomplete (a file under
    its final name); `needs_foreground` asks for Shot.foreground.
    """

    @property
    def needs_foreground(self) -> bool: ...
    def describe(self) -> str: ...
    def send(self, shot: Shot) -> None: ...
    def close(self, *, ok: bool = True) -> None: ...


class Viewing(Protocol):
    """Whether anybody looks at what the program makes; not knowing counts as yes.

    `wait` blocks until somebody does, at most `timeout` seconds, and says whether.
    """

    def wait(self, timeout: float) -> bool: ...
    def in_use(self) -> bool: ...
    def close(self) -> None: ...
