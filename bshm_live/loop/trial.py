"""Whether the GPU makes the pictures that the CPU makes, before one of them leaves."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import EngineError
from ..types import Alpha, HostMatte, Matte, Matting, Parts, Picture, Shape
from .parts import CpuParts, cpu_parts

TRIALS = 3  # frames on which both must agree
LOOK_S = 0.2  # how often a trial that waits for frames looks whether the program closes
# Between the same networks on CPU and GPU; a hard edge may fall either way in a few
# places, so that those few may be further apart.
AGREE = 2e-2
AGREE_STEADIED = 2e-3  # the same arithmetic on the same network's results
AGREE_LEVELS = 1.0  # of 255, in a composite of the same matte
AGREE_SHARE = 0.999
LEAST_PERSON = 0.01  # of a picture: where nobody is, networks that see nobody agree always
UPDATE = "update the NVIDIA driver, and run bshm-live engines verify"


class Watched:
    """A Matting that shows every picture and its hint to `see` first."""

    def __init__(self, matting: Matting, see: Callable[[Picture, Any], None]) -> None:
        self._matting, self._see = matting, see

    @property
    def low(self) -> Shape:
        return self._matting.low

    @property
    def high(self) -> Shape:
        return self._matting.high

    def matte(
        self, picture: Picture, hint: Any = None, clock: Callable[[str], None] = lambda stage: None
    ) -> Matte:
        self._see(picture, hint)
        return self._matting.matte(picture, hint, clock)

    def close(self) -> None:
        self._matting.close()


class Trial:
    """Lets parts on a GPU show that they do what the CPU does; called in a thread of its own.

    They are compared with `twin`, the same networks on the CPU, on `known`, a picture
    with a person, and on frames as the loop offers them; and what they have around
    the networks, where it is not the CPU's own, with that of `cpu`.
    """

    def __init__(self, cpu: CpuParts, twin: Callable[[], Matting], known: Picture) -> None:
        self._cpu, self._twin, self._known = cpu, twin, known
        self._frames: queue.Queue[tuple[Picture, Alpha | None]] = queue.Queue(maxsize=1)
        self._looking = threading.Event()  # a trial wants frames
        self._closing = threading.Event()

    def watch(self, matting: Matting) -> Matting:
        """`matting`, whose pictures and hints are frames for the trial."""
        return Watched(matting, self.offer)

    def offer(self, picture: Picture, hint: Any) -> None:
        """From the loop: a frame and the CPU's hint, copied where they are wanted."""
        if self._looking.is_set() and self._frames.empty():
            self._frames.put((picture.copy(), None if hint is None else np.copy(hint)))

    def __call__(self, gpu: Parts) -> None:
        """Raises EngineError where it does not agree, or when the trial is closed."""
        twin = self._twin()
        try:
            agree(gpu.matting.matte(self._known), twin.matte(self._known), person=True)
            pictures = []
            for _ in range(TRIALS):
                picture, hint = self._next_frame()
                agree(gpu.matting.matte(picture, hint), twin.matte(picture, hint))
                pictures.append(picture)
            if gpu.compositor is not self._cpu.compositor:
                like = self._cpu
                cpu = cpu_parts(
                    gpu.matting,
                    like.compositor.size,
                    smooth=like.steadier.smooth,
                    wrap=like.compositor.wrap,
                )
                agree_around(gpu, cpu, pictures)
        finally:
            self._looking.clear()
            twin.close()

    def close(self) -> None:
        """Ends one that waits for frames."""
        self._closing.set()

    def _next_frame(self) -> tuple[Picture, Alpha | None]:
        self._looking.set()
        while not self._closing.is_set():
            try:
                return self._frames.get(timeout=LOOK_S)
            except queue.Empty:
                continue
        raise EngineError("closed")


def agree(one: Matte, other: Matte, *, person: bool = False) -> None:
    """Raises EngineError where two mattes of the same picture are not the same.

    `person`: there is one in the picture, so both must have found it.
    """
    if one.alpha.shape != other.alpha.shape:
        raise EngineError("the GPU's mattes have another size than the CPU's; reinstall bshm-live")
    for name in ("alpha", "unified", "coarse", "residual"):
        near(name, getattr(one, name), getattr(other, name), AGREE)
    if person and other.alpha.mean() < LEAST_PERSON:
        raise EngineError("nobody found in the picture for comparison; reinstall bshm-live")


def agree_around(gpu: Parts, cpu: CpuParts, pictures: Sequence[Picture]) -> None:
    """What steadies and composites on a GPU against the CPU's, around the GPU's networks.

    All pictures have the output's size, and follow each other; `cpu` is new. The
    GPU's steadier has forgotten them when all is well. Raises EngineError.
    """
    for picture in pictures:
        cpu.steadier.hint(picture)  # so that it sees a cut where the GPU sees one
        raw = gpu.matting.matte(picture, gpu.steadier.hint(picture))
        right = cpu.steadier.steady(
            HostMatte(raw.alpha, raw.residual, raw.unified, raw.coarse, raw.guide)
        )
        steadied = gpu.steadier.steady(raw)
        near("steadied alpha", steadied.alpha, right.alpha, AGREE_STEADIED)
        backdrop = picture[:, ::-1].copy()  # any picture with detail
        mine = gpu.compositor(picture, steadied, backdrop, foreground=True)
        theirs = cpu.compositor(picture, steadied, backdrop, foreground=True)
        names = ("composite", "mask", "foreground")
        for name, found, wanted in zip(names, mine, theirs, strict=True):
            assert found is not None
            assert wanted is not None
            near(name, found.astype(np.float32), wanted, AGREE_LEVELS)
    gpu.steadier.reset()


def near(name: str, one: NDArray[Any], other: NDArray[Any], bound: float) -> None:
    """Raises EngineError where more than a few values are further apart."""
    most = float(np.quantile(np.abs(one - other), AGREE_SHARE))
    if not most <= bound:  # a NaN, too, disagrees
        text = f"the GPU's {name} differs from the CPU's by {most:.1e}, more than {bound:.0e}"
        raise EngineError(f"{text}; {UPDATE}")
