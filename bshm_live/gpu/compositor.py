"""Composites on the GPU: the frame and the matte are there, the background stays there."""

from __future__ import annotations

import cv2
import numpy as np

from ..compositing.light_wrap import GLOW_BLUR
from ..kernels.call import GRADE, MAPS
from ..types import Grade, Layers, Matte, Picture, Size
from .cuda import Buffer, Memory
from .kernels import CompositeKernel, ModelKernel, launch, ratio
from .lane import Lane, Lanes
from .matting import DeviceMatte, GpuBshm


class GpuCompositor:
    """As Compositor, for the mattes of a GpuSteadier.

    `wrap` in [0, 1] lets the background's light fall on the person's rim, `grade` changes
    the person's colours; both may change between two frames.
    What is returned is pinned memory of the frame's lane, overwritten two frames
    later.
    """

    def __init__(self, bshm: GpuBshm, size: Size, *, wrap: float = 0.0) -> None:
        self.size, self.wrap = size, wrap
        self.grade: Grade | None = None
        self.calm = 0.0  # noise is filtered on the CPU alone
        self.lanes: Lanes = bshm.lanes
        self.cuda = bshm.cuda
        self._low, self._high = bshm.low, bshm.high
        self._background: Picture | None = None  # the one on the GPU
        self._has_glow = False  # whether its blurred copy is there too
        width, height = size
        with self.cuda.active():
            self._memory = Memory(self.cuda)
            self._maps = self._memory.array((*self._low, MAPS), np.float32)
            self._back = self._memory.array((height, width, 3), np.uint8)
            self._glow = self._memory.array((*self._low, 3), np.uint8)

    def __call__(
        self, image: Picture, matte: Matte, background: Picture, *, foreground: bool = False
    ) -> Layers:
        """As Compositor; `image` must be the picture that the matte was made of."""
        if not isinstance(matte, DeviceMatte) or "levels" not in matte.buffers:
            raise TypeError("a GpuCompositor takes the mattes of a GpuSteadier")
        if image.shape != matte.frame.shape:
            raise ValueError(f"the matte's picture is {matte.frame.shape}, not {image.shape}")
        with self.cuda.active():
            self.begin(matte, background, foreground=foreground)
            return self.finish(matte.lane, foreground=foreground)

    def begin(self, matte: DeviceMatte, background: Picture, *, foreground: bool) -> None:
        """Queues the composite and its download. The GPU must be current."""
        lane, given = matte.lane, matte.buffers
        self._put(background, lane)
        lane.mark("background")
        w, h = self._low[1], self._low[0]
        seen = (given[name].pointer for name in ("moments", "low", "residual"))
        model = ModelKernel(*seen, self._maps.pointer, w, h)
        launch(self.cuda, model, (w, h), lane.stream)
        out, alpha, front = self._outputs(lane, foreground)
        grade = self._graded(lane)
        fault = lane.device("fault", (1,), np.uint32)
        arguments = self._arguments(matte, out, alpha, front, fault, grade)
        launch(self.cuda, arguments, self.size, lane.stream)
        lane.mark("composite")
        self.cuda.record(lane.done, lane.stream)
        for name, buffer in (("composite", out), ("alpha", alpha), ("foreground", front)):
            if buffer is not None:
                host = lane.host(name, buffer.shape)
                self.cuda.download(host, buffer.pointer, lane.stream)
        self.cuda.download(lane.fault, fault.pointer, lane.stream)
        lane.mark("download")

    def finish(self, lane: Lane, *, foreground: bool) -> Layers:
        """Waits for a lane's composite."""
        self.cuda.synchronize(lane.stream)
        width, height = self.size
        picture = (height, width, 3)
        return (
            lane.host("composite", picture),
            lane.host("alpha", (height, width)),
            lane.host("foreground", picture) if foreground else None,
        )

    def background_alone(self, background: Picture) -> Layers:
        """The background alone. Made on the CPU: the GPU may be what failed."""
        width, height = self.size
        composite = background.copy()
        alpha = np.zeros((height, width), np.uint8)
        return composite, alpha, np.zeros((height, width, 3), np.uint8)

    def close(self) -> None:
        with self.cuda.active():
            self.lanes.synchronize()
            self._memory.close()

    def _graded(self, lane: Lane) -> Buffer | None:
        """Queues the upload of the grade, where there is one."""
        if self.grade is None:
            return None
        buffer = lane.device("grade", GRADE, np.float32)
        lane.upload("grade", self.grade, buffer.pointer)
        return buffer

    def _outputs(self, lane: Lane, foreground: bool) -> tuple[Buffer, Buffer, Buffer | None]:
        width, height = self.size
        picture = (height, width, 3)
        front = lane.device("foreground", picture) if foreground else None
        return lane.device("composite", picture), lane.device("alpha", (height, width)), front

    def _put(self, background: Picture, lane: Lane) -> None:
        """Uploads the background unless it is the same array as last time; so with its glow."""
        if background is not self._background:
            lane.upload("background", background, self._back.pointer)
            self._background = background  # a reference, so that no new picture has its id
            self._has_glow = False
        if self.wrap and not self._has_glow:
            low = (self._low[1], self._low[0])
            small = cv2.resize(background, low, interpolation=cv2.INTER_AREA)
            lane.upload("glow", cv2.blur(small, (GLOW_BLUR, GLOW_BLUR)), self._glow.pointer)
            self._has_glow = True

    def _arguments(
        self,
        matte: DeviceMatte,
        out: Buffer,
        alpha: Buffer,
        front: Buffer | None,
        fault: Buffer,
        grade: Buffer | None,
    ) -> CompositeKernel:
        (width, height), (tall, wide), given = self.size, self._high, matte.buffers
        return CompositeKernel(
            frame=matte.frame.pointer,
            back=self._back.pointer,
            glow=self._glow.pointer,
            grade=grade.pointer if grade else None,
            levels=given["levels"].pointer,
            guide=given["guide"].pointer,
            maps=self._maps.pointer,
            state=given["state"].pointer,
            out=out.pointer,
            alpha=alpha.pointer,
            front=front.pointer if front else None,
            fault=fault.pointer,
            scale_x=ratio(wide, width),
            scale_y=ratio(tall, height),
            matte_x=wide / width,
            matte_y=tall / height,
            wrap=self.wrap,
            width=width,
            height=height,
            w=self._low[1],
            h=self._low[0],
            refine=width > wide or height > tall,
        )
