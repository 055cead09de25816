"""The CPU's matting, steadier and compositor, made together; and parts that never change."""

from __future__ import annotations

from dataclasses import dataclass

from ..compositing.compositor import Compositor
from ..matting.temporal import Steadier
from ..types import Matting, Parts, Size


@dataclass(frozen=True)
class CpuParts:
    """Parts on the CPU. Owns its matting, whose networks may run anywhere."""

    matting: Matting
    steadier: Steadier
    compositor: Compositor

    def close(self) -> None:
        self.matting.close()


def cpu_parts(
    matting: Matting, size: Size, *, smooth: bool = True, wrap: float = 0.0, threads: int = 0
) -> CpuParts:
    """What goes around mattes that lie on the host; `size` is the output's."""
    steadier = Steadier(smooth=smooth, threads=threads)
    return CpuParts(matting, steadier, Compositor(size, wrap=wrap, threads=threads))


class Always:
    """A Supply of the same parts for every frame."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def current(self) -> Parts:
        return self._parts

    def instead(self, error: Exception) -> Parts | None:
        """There are no others."""
        return None
