"""What is compared: the product's own presets and other networks, called alike."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from bshm_live.compositing.background import Fixed, plain
from bshm_live.compositing.compositor import Compositor
from bshm_live.loop.clock import StageClock
from bshm_live.loop.parts import Always, cpu_parts
from bshm_live.loop.pipeline import Pipeline
from bshm_live.loop.stage import Stage
from bshm_live.matting.bshm import Bshm, Clock
from bshm_live.runtimes.onnxruntime import spinning
from bshm_live.types import Alpha, Frame, Matte, Picture, Size

from .clips import in_unit

GREEN = (64, 177, 0)
FPS = 25
THREADS = 2
BUSY = 0.5  # load average per core
RVM_STATE = ("r1", "r2", "r3", "r4")
# Networks whose file names say too little.
TITLES = {
    "selfie_segmentation": "MediaPipe selfie 256x256",
    "meet_segmentation": "Meet segmentation 256x144",
    "rvm_144x256": "RVM MobileNetV3 256x144",
    "rvm_288x512": "RVM MobileNetV3 512x288",
    "rvm_512x512": "RVM MobileNetV3 512x512",
}
REFERENCE = TITLES["rvm_288x512"]  # the one whose time is the measure


class Network(Protocol):
    """A network, or a chain of them whose steps are rows of the table, the whole one last."""

    @property
    def rows(self) -> Sequence[str]: ...

    def start(self, size: Size) -> None:
        """The frames that follow are a new clip's."""

    def alphas(self, image: Picture, number: int) -> Sequence[Alpha]:
        """Of each row the alpha (H, W) of one frame, the caller's to keep."""

    def times(self, image: Picture) -> Sequence[float]:
        """Of each row the milliseconds of its networks alone on one frame."""


class Recorder(Bshm):
    """A preset's networks that remember their last matte, before it was steadied."""

    def matte(
        self, picture: Picture, hint: Alpha | None = None, clock: Clock = lambda stage: None
    ) -> Matte:
        self.last = super().matte(picture, hint, clock)
        return self.last


class Ours:
    """The product's own path, background and all, and what each step of it says.

    All rows come from one run: MPN's hint is the last steadied matte in each.
    """

    def __init__(self, preset: str, bshm: Bshm, *, reuse: bool = False) -> None:
        self.preset = preset
        self.bshm = Recorder(bshm.mpn, bshm.qun, bshm.mrn, reuse=reuse)
        steps = ("MPN", "MPN, QUN", "MPN, QUN, MRN")
        self.rows = (*(f"{preset}: {step}" for step in steps), f"**{preset}**, steadied")

    def start(self, size: Size) -> None:
        supply = Always(cpu_parts(self.bshm, size))
        stage = Stage(Fixed(plain(GREEN, size)))
        self.pipeline = Pipeline(supply, lambda: stage, size, fail_closed=False)
        self.compositor = Compositor(size)
        self.green = plain(GREEN, size)

    def alphas(self, image: Picture, number: int) -> tuple[Alpha, ...]:
        steadied = self.pipeline.shoot(Frame(image, number, number / FPS)).alpha
        matte = self.bshm.last
        size = image.shape[1::-1]
        _, refined, _ = self.compositor(image, matte, self.green)
        masks = (cv2.resize(mask, size) for mask in (matte.coarse, matte.unified))
        return (*masks, *(in_unit(levels) for levels in (refined, steadied)))

    def times(self, image: Picture) -> tuple[float, ...]:
        clock = StageClock()
        self.bshm.matte(image, None, clock)
        mpn, qun, mrn = (clock.times[stage][0] for stage in ("mpn", "qun", "mrn"))
        return mpn, mpn + qun, mpn + qun + mrn, mpn + qun + mrn


class Rival:
    """A network with RGB (1, H, W, 3) in [0, 1] in; recurrent state is fed back."""

    def __init__(self, path: Path) -> None:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = THREADS
        options.log_severity_level = 3
        # As ours are set, so that no network's idle workers take time from the next one's.
        for key, value in spinning().items():
            options.add_session_config_entry(key, value)
        self.session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.rows = (TITLES.get(path.stem, path.stem),)
        self.image, *self.memory = self.session.get_inputs()
        self.names = [output.name for output in self.session.get_outputs()]
        _, self.height, self.width, _ = self.image.shape
        self.start((self.width, self.height))

    def start(self, size: Size) -> None:
        self.state = {m.name: np.zeros(m.shape, np.float32) for m in self.memory}

    def alphas(self, image: Picture, number: int) -> tuple[Alpha, ...]:
        out = self._run(self._tensor(image))
        self.state = {f"{k}i": out[f"{k}o"] for k in RVM_STATE} if self.memory else {}
        alpha = out["pha"] if "pha" in out else out[self.names[0]]
        if alpha.shape[-1] == 2:  # scores of room and person
            room, person = np.moveaxis(alpha, -1, 0)
            alpha = np.tanh((person - room) * np.float32(0.5)) * np.float32(0.5) + np.float32(0.5)
        return (cv2.resize(alpha.reshape(self.height, self.width), image.shape[1::-1]),)

    def times(self, image: Picture) -> tuple[float, ...]:
        tensor = self._tensor(image)
        start = time.perf_counter()
        self._run(tensor)
        return ((time.perf_counter() - start) * 1e3,)

    def _tensor(self, image: Picture) -> NDArray[np.float32]:
        small = cv2.resize(image, (self.width, self.height), interpolation=cv2.INTER_AREA)
        return np.ascontiguousarray(small[..., ::-1], np.float32)[None] / np.float32(255)

    def _run(self, tensor: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        arrays = self.session.run(self.names, {self.image.name: tensor, **self.state})
        return dict(zip(self.names, arrays, strict=True))


def median_times(networks: Sequence[Network], image: Picture, rounds: int) -> dict[str, float]:
    """Row to milliseconds. Round robin, so that what else the machine does falls on all alike.

    Without rounds, nothing.
    """
    found: dict[str, list[float]] = {}
    for number in range(rounds + 1 if rounds else 0):
        for network in networks:
            times = network.times(image)
            if number:  # the first round warms up
                for row, ms in zip(network.rows, times, strict=True):
                    found.setdefault(row, []).append(ms)
    return {row: float(np.median(times)) for row, times in found.items()}


def other_work() -> str | None:
    """A warning where the machine has so much else to do that times say little."""
    if not hasattr(os, "getloadavg"):
        return None
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    if load < BUSY * cores:
        return None
    return (
        f"The machine had other work (load average {load:.1f} on {cores} cores) when this began: "
        "times are too long, and their ratios rough; repeat it on an idle one."
    )
