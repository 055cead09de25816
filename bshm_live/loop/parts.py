"""The CPU's matter, steadier and compositor, made together."""

from __future__ import annotations

from dataclasses import dataclass

from ..compositing.compositor import Compositor
from ..matting.temporal import Steadier
from ..types import Matter, Size


@dataclass(frozen=True)
class CpuParts:
    """Parts on the CPU. Owns its matter, whose networks may run anywhere."""

    bshm: Matter
    steadier: Steadier
    compositor: Compositor

    def close(self) -> None:
        self.bshm.close()


def cpu_parts(bshm: Matter, size: Size, *, smooth: bool = True, wrap: float = 0.0) -> CpuParts:
    """What goes around a matter whose mattes lie on the host; `size` is the output's."""
    return CpuParts(bshm, Steadier(smooth=smooth), Compositor(size, wrap=wrap))
