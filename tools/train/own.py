"""MPN of one preset, at its size alone: it learns most from what it gets wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .batches import Store
from .fit import Losses, fit
from .losses import mask_loss, overlap_loss
from .mpn import MPN
from .pair import Partner, in_pair
from .sizes import LARGE, MIDDLE, SMALL, UPRIGHT
from .stages import BATCH, KEPT_STAGES, Taught, own_hint, run

# The presets, and the sizes that these see; `tall` has the networks of `quality`.
OWN = {"fast": {SMALL: 1.0}, "balanced": {MIDDLE: 1.0}, "quality": {LARGE: 0.78, UPRIGHT: 0.22}}
RATE = 6e-4  # of learning
P_HARD, P_MISSED = 0.33, 0.5  # of a batch people whom it got wrong; of these, for what was missed
P_ROOMS = 0.22  # of a batch empty rooms
EMPTY = 2  # weight of what is seen in these
OVERLAP = 0.6  # weight of the loss of intersection over union
MISTAKEN = (0.001, 0.05)  # least and most that a room's share mistaken for a person counts
HARD = (3e-4, 0.08)  # least and most that counts of what was too much, or was missed
CLEARLY = 0.2  # of alpha: less is no mistake
NO_HINT = 0.05  # a hint below it everywhere is none
LOOKED_AT = 14_000  # frames of people, of which those are chosen
LEARN_EVERY = 4  # batches after which the filters learn whose gradient takes longest

See = Callable[[Tensor, Tensor], Tensor]  # image and hint to logits


class Mistakes:
    """Frames by how wrong the networks were when they last saw them without a hint.

    Of each frame two shares, each counted within `bounds`: what was clearly taken for a person
    too much, and what was missed, for which `missed` of the frames are chosen.
    """

    def __init__(
        self,
        data: Store,
        see: See,
        rows: NDArray[np.int64],
        size: tuple[int, int],
        bounds: tuple[float, float],
        missed: float = 0,
    ) -> None:
        self.rows, self.bounds, self.missed, found = rows, bounds, missed, []
        for some in np.array_split(rows, max(1, len(rows) // BATCH)):
            b = data.these(some, size)
            with torch.no_grad():
                logits = see(b["image"], torch.zeros_like(b["alpha"]))
            found.append(wrong(logits, b["alpha"]))
        self.shares = np.concatenate(found, 1)

    def choose(self, count: int) -> NDArray[np.int64]:
        """Indices of frames, the wrong ones more often."""
        more, missed = (chances(part, self.bounds) for part in self.shares)
        p = (1 - self.missed) * more + self.missed * missed
        return np.random.choice(len(self.rows), count, p=p)

    def note(self, at: NDArray[np.int64], logits: Tensor, alpha: Tensor, hint: Tensor) -> None:
        """What the networks made of frames that were chosen."""
        free = (hint.amax((1, 2, 3)) < NO_HINT).cpu().numpy()
        self.shares[:, at[free]] = wrong(logits.detach(), alpha)[:, free]


def wrong(logits: Tensor, alpha: Tensor) -> NDArray[np.float64]:
    """(2, N): the share of each frame that is clearly too much, and the share missed."""
    more = logits.sigmoid() - alpha
    both = torch.stack([(more - CLEARLY).clamp(min=0), (-more - CLEARLY).clamp(min=0)])
    return both.mean((2, 3, 4)).cpu().numpy().astype(np.float64)


def chances(wrong: NDArray[np.float64], bounds: tuple[float, float]) -> NDArray[np.float64]:
    """How often each frame is chosen, by how wrong it was."""
    weight = np.clip(wrong, *bounds)
    return np.asarray(weight / weight.sum())


class OwnFrames:
    """Batches for one preset's size alone: what MPN gets wrong comes the more often.

    Small, a lamp is much like a head, and a blanket like clothes: rooms in which somebody was
    seen, rooms beside people, and people who were missed.
    """

    def __init__(self, data: Store, preset: str, mpn: MPN) -> None:
        self.data, self.mpn = data, mpn
        self.sizes, self.shares = zip(*OWN[preset].items(), strict=True)
        empty = data.empty()
        people = np.setdiff1d(np.arange(len(data.stills)), empty)
        people = np.random.choice(people, min(LOOKED_AT, len(people)), replace=False)
        self.hard = Mistakes(data, self.see, people, self.sizes[0], HARD, P_MISSED)
        self.rooms = Mistakes(data, self.see, empty, self.sizes[0], MISTAKEN)
        self.counts = [max(1, round(share * data.rows)) for share in (P_HARD, P_ROOMS)]

    def see(self, image: Tensor, hint: Tensor) -> Tensor:
        return run(self.data, self.mpn, image, hint)[0]  # type: ignore[no-any-return]

    def seen(self) -> tuple[Tensor, Tensor, Tensor]:
        """Logits and alpha of a new batch, and which rows show somebody."""
        size = self.sizes[int(np.random.choice(len(self.sizes), p=self.shares))]
        hard, rooms = self.counts
        at = self.hard.choose(hard), self.rooms.choose(rooms)
        parts = [
            self.data.these(self.hard.rows[at[0]], size),
            self.data.batch(self.data.rows - hard - rooms, size),
            self.data.these(self.rooms.rows[at[1]], size),
        ]
        hints = [own_hint(self.data, self.mpn, part) for part in parts]
        image, alpha = (torch.cat([part[key] for part in parts]) for key in ("image", "alpha"))
        logits = self.see(image, torch.cat(hints))
        self.hard.note(at[0], logits[:hard], parts[0]["alpha"], hints[0])
        self.rooms.note(at[1], logits[-rooms:], parts[2]["alpha"], hints[2])
        return logits, alpha, torch.arange(len(alpha)) < len(alpha) - rooms


def train_mpn_for(data: Store, taught: Taught, preset: str, minutes: float, work: Path) -> None:
    """MPN for one preset's size alone, in two processes; writes `work/mpn_PRESET.pt`."""
    mpn = taught.mpn
    slow = mpn.encoder.freeze(KEPT_STAGES)
    mpn.eval()
    frames = OwnFrames(data, preset, mpn)

    def train(partner: Partner, path: Path) -> None:
        def step(progress: float) -> Losses:
            partner.meet(taught)
            for filters in slow:
                filters.requires_grad_(partner.steps % LEARN_EVERY == 0)
            logits, alpha, someone = frames.seen()
            return {
                "mask": mask_loss(logits, alpha),
                "empty": EMPTY * logits[~someone].sigmoid().mean(),
                "overlap": OVERLAP * overlap_loss(logits[someone], alpha[someone]),
            }

        fit(path.stem, taught.train(), step, minutes * 60, RATE, work, slow=mpn.encoder)

    in_pair(train, taught, work / f"mpn_{preset}.pt")
