"""BSHM: MPN ▸ QUN ▸ MRN (Liu et al., CVPR 2020, arXiv 2004.04955).

A coarse mask of the person, made one quality, refined to alpha and foreground.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

from ..types import Alpha, Engine, Hint, HostMatte, Picture, Tensor
from .check import check
from .preprocess import Preprocessor, colour_image, hint_tensor
from .unmoved import Unmoved

Clock = Callable[[str], None]


def predict_mask(mpn: Engine, image: Tensor, hint: Tensor) -> Tensor:
    """MPN: (1, 3, h, w) RGB and (1, 1, h, w) hint to the coarse mask (1, 1, h, w)."""
    return mpn.run({"image": image, "hint": hint})["coarse"]


def unify(qun: Engine, image: Tensor, coarse: Tensor) -> Tensor:
    """QUN: (1, 3, h, w) RGB and the coarse mask to the unified mask (1, 1, h, w)."""
    return qun.run({"image": image, "coarse": coarse})["unified"]


def refine(mrn: Engine, image: Tensor, unified: Tensor) -> tuple[Tensor, Tensor]:
    """MRN: (1, 3, 4h, 4w) RGB and unified mask to alpha and foreground residual.

    alpha (1, 1, 4h, 4w) in [0, 1]; residual (1, 3, h, w) RGB in [-1, 1].
    """
    out = mrn.run({"image": image, "unified": unified})
    return out["alpha"], out["residual"]


class Bshm:
    """The three networks of one preset, called in order.

    Owns its engines. `matte` takes any picture size and returns arrays that are
    its caller's to keep. Raises EngineError, also for a matte that cannot be one.
    With `reuse` pictures are a video's: a frame that shows what the last one showed gets
    the last one's masks, and one that is the very same its matte; but without a hint the
    networks are always asked.
    """

    def __init__(
        self, mpn: Engine, qun: Engine, mrn: Engine, *, threads: int = 0, reuse: bool = False
    ) -> None:
        self.mpn, self.qun, self.mrn = mpn, qun, mrn
        self._last = Unmoved() if reuse else None
        self.low = mpn.inputs["image"][2:]
        self.high = mrn.inputs["image"][2:]
        self._prepare = Preprocessor(self.low, self.high, threads)

    def matte(
        self, picture: Picture, hint: Hint | None = None, clock: Clock = lambda stage: None
    ) -> HostMatte:
        """Matte of one BGR picture; `hint` is the last matte, a box or a scribble.

        `clock` is told the name of each stage when it is done.
        """
        low, high, large = self._prepare(picture)
        given = hint_tensor(hint, self.low)
        clock("preprocess")
        last = None if hint is None else self._last
        if last and (same := last.matte(large, given)):
            for stage in ("mpn", "qun", "mrn"):
                clock(stage)
            return same
        kept = last.masks(low, given) if last else None
        coarse, unified = masks = kept or self._masks(low, given, clock)
        if kept:
            clock("mpn")
            clock("qun")
        alpha, residual = refine(self.mrn, high, unified)
        matte = HostMatte(
            alpha[0, 0].copy(), colour_image(residual), unified[0, 0], coarse[0, 0], large
        )
        clock("mrn")
        check(matte)
        if self._last and not kept:
            self._last.keep(low, given, masks, matte)
        return matte

    def coarse(self, picture: Picture) -> Alpha:
        """MPN's mask (h, w) alone of one BGR picture, without a hint."""
        low, _, _ = self._prepare(picture)
        mask: Alpha = predict_mask(self.mpn, low, hint_tensor(None, self.low))[0, 0].copy()
        return mask

    def _masks(self, low: Tensor, hint: Tensor, clock: Clock) -> tuple[Tensor, Tensor]:
        """The coarse mask and the unified one."""
        coarse = predict_mask(self.mpn, low, hint).copy()
        clock("mpn")
        unified = unify(self.qun, low, coarse).copy()
        clock("qun")
        return coarse, unified

    def close(self) -> None:
        for engine in (self.mpn, self.qun, self.mrn):
            engine.close()

    def __enter__(self) -> Bshm:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, e: BaseException | None, t: TracebackType | None
    ) -> None:
        self.close()
