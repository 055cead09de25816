"""What `bench` measures with: processor time, devices in memory, a pipeline to compare."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np

from ..loop.clock import STAGES, StageClock
from ..sinks import Null
from ..types import Engine, Frame, Picture, Shot, Size

LIVE_FPS = 30.0  # for which the cores in use are told
JPEG_QUALITY = 90  # about a webcam's
MASK_WEIGHT = 0.75  # of a new mask, of 1: those programs steady theirs so


class CpuClock(StageClock):
    """Also the processor time of each stage, over all threads of the process."""

    def clear(self) -> None:
        super().clear()
        self.cpu_s: dict[str, float] = {}

    def start(self) -> None:
        super().start()
        self._cpu = time.process_time()

    def __call__(self, stage: str) -> None:
        super().__call__(stage)
        now = time.process_time()
        self.cpu_s[stage] = self.cpu_s.get(stage, 0.0) + now - self._cpu
        self._cpu = now

    def cpu_ms(self, count: int) -> dict[str, float]:
        """Milliseconds a frame of the stages that ran, in order; of `count` frames."""
        return {s: self.cpu_s[s] / count * 1e3 for s in STAGES if s in self.cpu_s}


class Webcam:
    """A webcam in memory: MJPG pictures, decoded one ahead in a thread of its own."""

    def __init__(self, frames: Iterable[Frame]) -> None:
        quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
        self._pictures: dict[int, np.ndarray] = {}  # of an array that comes again, once
        self._order: list[tuple[int, Frame]] = []
        for frame in frames:
            key = id(frame.image)
            if key not in self._pictures:
                self._pictures[key] = cv2.imencode(".jpg", frame.image, quality)[1]
            self._order.append((key, frame))

    def __iter__(self) -> Iterator[Frame]:
        with ThreadPoolExecutor(1, "webcam") as thread:
            following = thread.submit(self._decode, self._order[0][0])
            for index, (_, frame) in enumerate(self._order):
                image = following.result()
                if index + 1 < len(self._order):
                    following = thread.submit(self._decode, self._order[index + 1][0])
                yield Frame(image, frame.index, frame.time)

    def _decode(self, key: int) -> Picture:
        picture = cv2.imdecode(self._pictures[key], cv2.IMREAD_COLOR)
        assert picture is not None, "a picture that was encoded here"
        return np.asarray(picture, np.uint8)


class VirtualCamera(Null):
    """A virtual camera in memory: each picture in its format, I420."""

    def __init__(self, size: Size) -> None:
        width, height = size
        self._pixels = np.empty((height * 3 // 2, width), np.uint8)

    def send(self, shot: Shot) -> None:
        cv2.cvtColor(shot.composite, cv2.COLOR_BGR2YUV_I420, dst=self._pixels)


class Typical:
    """A stand-in for what programs in Python around MediaPipe's selfie network do to a frame.

    Mirrored and made RGB; a network of that one's cost (`network` is balanced's MPN); its mask
    enlarged, averaged with the last, widened by 5x5 and blurred by 10x10 pixels; each channel
    blended in float32 by NumPy; and BGR again. With MediaPipe 0.10's own graph in the network's
    place the same takes as long: 17.6 ms of processor time at 1280x720 (256x256), 15.7
    (landscape), where this takes 17.7. Only the time counts, so that figures of two machines
    can be compared by their ratios.
    """

    def __init__(self, network: Engine, background: Picture) -> None:
        self._network = network
        self._background = cv2.cvtColor(background, cv2.COLOR_BGR2RGB)
        shape = network.inputs["image"]
        self._small = (shape[3], shape[2])
        self._hint = np.zeros(network.inputs["hint"], np.float32)
        self._last = np.zeros(background.shape[:2], np.float32)

    def __call__(self, picture: Picture) -> Picture:
        image = cv2.cvtColor(cv2.flip(picture, 1), cv2.COLOR_BGR2RGB)
        small = cv2.resize(image, self._small).astype(np.float32) / 255
        feeds = {"image": np.ascontiguousarray(small.transpose(2, 0, 1)[None]), "hint": self._hint}
        mask = cv2.resize(self._network.run(feeds)["coarse"][0, 0], picture.shape[1::-1])
        cv2.accumulateWeighted(mask, self._last, MASK_WEIGHT)
        mask = cv2.dilate(self._last, np.ones((5, 5), np.uint8))
        mask = cv2.blur(mask, (10, 10))
        for channel in range(3):
            front, back = image[:, :, channel], self._background[:, :, channel]
            image[:, :, channel] = front * mask + back * (1 - mask)
        return cv2.cvtColor(image, cv2.COLOR_RGB2BGR)

    def cpu_ms(self, frames: Iterable[Frame]) -> list[float]:
        """Processor time of each of these frames, over all threads, in milliseconds."""
        times = []
        for frame in frames:
            start = time.process_time()
            self(frame.image)
            times.append((time.process_time() - start) * 1e3)
        return times
