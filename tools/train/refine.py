"""QUN and MRN of one preset together, over its own MPN: QUN learns what MRN makes best use of."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .batches import Store
from .crops import Crops
from .fit import Losses, fit, loaded
from .losses import mask_loss
from .masks import damaged
from .mpn import MPN
from .mrn import MRN
from .own import MISTAKEN, Mistakes
from .pair import Partner, in_pair
from .qun import QUN
from .sizes import PRESETS
from .stages import (
    EDGES,
    P_WORSE,
    SLIM_EDGES,
    BothMrn,
    often,
    own_hint,
    refinement_losses,
    run,
    settled,
    weighed,
)

ROWS, ROOMS = 12, 5  # of a batch: crops, and empty rooms
RATE = 7e-4  # of learning
MASK = 0.5  # weight of QUN's own losses


class Refiner(nn.Module):
    """QUN and MRN of one preset; `fast` has the slim MRN."""

    def __init__(self, preset: str) -> None:
        super().__init__()
        self.slim = preset == "fast"
        self.qun, self.mrn = QUN(), MRN(slim=self.slim)

    def load_general(self, work: Path) -> dict[str, bool]:
        """Takes what was trained for all presets; which of both there was."""
        found = {"qun": loaded(self.qun, work / "qun.pt")}
        if self.slim:
            return {**found, "mrn": loaded(self.mrn, work / "slim.pt")}
        both = BothMrn()
        found["mrn"] = loaded(both, work / "mrn.pt")
        self.mrn = both.full
        return found


class Rooms:
    """Empty rooms: what MPN took for somebody there, QUN is to take away."""

    def __init__(self, data: Store, mpn: MPN, qun: QUN, size: tuple[int, int]) -> None:
        self.data, self.mpn, self.qun, self.size = data, mpn, qun, size
        self.found = Mistakes(data, self.see, data.empty(), size, MISTAKEN)
        self.at, self.hint = self.found.rows, torch.empty(0)  # of the last that were chosen

    def coarse(self, image: Tensor, hint: Tensor) -> Tensor:
        with torch.no_grad():
            mask: Tensor = run(self.data, self.mpn, image, hint)[0].sigmoid()
        return mask

    def see(self, image: Tensor, hint: Tensor) -> Tensor:
        mask = self.coarse(image, hint)
        return run(self.data, self.qun.in_use, image, mask)  # type: ignore[no-any-return]

    def choose(self) -> tuple[Tensor, Tensor]:
        """Rooms, mostly those in which much was seen, and MPN's masks of them."""
        self.at = self.found.choose(ROOMS)
        b = self.data.these(self.found.rows[self.at], self.size)
        self.hint = own_hint(self.data, self.mpn, b)
        return b["image"], self.coarse(b["image"], self.hint)

    def loss(self, logits: Tensor) -> Tensor:
        """What is still seen in those that were chosen."""
        self.found.note(self.at, logits, torch.zeros_like(logits), self.hint)
        return logits.sigmoid().mean()


def train_refiner_for(
    frames: Store,
    crops: Crops,
    mpn: MPN,
    refiner: Refiner,
    preset: str,
    minutes: float,
    work: Path,
) -> None:
    """Both for one preset's size alone, in two processes; writes `work/refiner_PRESET.pt`.

    By itself QUN learns the mask that is nearest to the truth. What counts is the matte that
    MRN makes of it, and so the losses of that go through MRN into QUN.
    """
    size = PRESETS[preset]
    edges = SLIM_EDGES if refiner.slim else EDGES
    mpn.eval().requires_grad_(False)
    rooms = Rooms(frames, mpn, refiner.eval().qun, size)

    def losses() -> Losses:
        b = crops.batch(ROWS)
        low, alpha, coarse = settled(crops, b, mpn, size)
        # Side by side: BatchNorm shall see both at once, as it is to count for both.
        images, masks = (
            torch.cat(pair) for pair in zip((low, coarse), rooms.choose(), strict=True)
        )
        both = run(crops, refiner.qun.in_use, images, masks)
        logits, nobody = both.split([len(low), ROOMS])
        mask = logits.sigmoid()
        seen = weighed(crops, b, often(P_WORSE, damaged(alpha), mask), size)
        own = mask_loss(logits, alpha) + F.mse_loss(mask, alpha)
        mattes = refinement_losses(crops, refiner.mrn, seen, edges)
        return {**mattes, "mask": MASK * own, "empty": rooms.loss(nobody)}

    def train(partner: Partner, path: Path) -> None:
        def step(progress: float) -> Losses:
            partner.meet(refiner)
            return losses()

        fit(path.stem, refiner.train(), step, minutes * 60, RATE, work)

    in_pair(train, refiner, work / f"refiner_{preset}.pt")
