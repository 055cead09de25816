"""MPN and QUN of one preset, at its size alone: they learn most from what they get wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from .batches import Store
from .fit import Losses, fit
from .losses import gradient_loss, mask_loss, overlap_loss
from .mpn import MPN
from .pair import Partner, in_pair
from .qun import QUN, logit, share
from .stages import BATCH, KEPT_STAGES, LARGE, MIDDLE, SMALL, UPRIGHT, Taught, own_hint, run

# The presets, and the sizes that these see; `tall` has the networks of `quality`.
OWN = {"fast": {SMALL: 1.0}, "balanced": {MIDDLE: 1.0}, "quality": {LARGE: 0.78, UPRIGHT: 0.22}}
RATE = 6e-4  # of learning
MISTAKEN = (0.001, 0.05)  # least and most that a room's share mistaken for a person counts
HARD = (3e-4, 0.08)  # least and most that counts of what was too much, or was missed
CLEARLY = 0.2  # of alpha: less is no mistake
NO_HINT = 0.05  # a hint below it everywhere is none
LOOKED_AT = 28_000  # frames of people, of which those are chosen
LEARN_EVERY = 4  # batches after which the filters learn whose gradient takes longest
EDGES = 15  # weight of QUN's loss of gradients


@dataclass(frozen=True)
class Emphasis:
    """What a network shall learn most: shares of a batch, and weights of losses."""

    hard: float  # of a batch people whom it got wrong
    missed: float  # of these, how often for what was missed of them
    mistaken: float  # of a batch empty rooms
    empty: float  # weight of what is seen in these
    overlap: float  # weight of the loss of intersection over union

    def losses(self, logits: Tensor, alpha: Tensor, someone: Tensor) -> Losses:
        """Of a batch: whom it shows, and, where that is nobody, whom it does not."""
        return {
            "empty": self.empty * logits[~someone].sigmoid().mean(),
            "overlap": self.overlap * overlap_loss(logits[someone], alpha[someone]),
        }


# QUN takes away what MPN saw in rooms without being asked to: it is asked for the people.
MPN_LEARNS = Emphasis(hard=0.33, missed=0.5, mistaken=0.22, empty=2, overlap=0.6)
QUN_LEARNS = Emphasis(hard=0.4, missed=0.7, mistaken=0.15, empty=1, overlap=1)

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
    """Batches for one preset's size alone: what is got wrong comes the more often.

    Small, a lamp is much like a head, and a blanket like clothes: rooms in which somebody was
    seen, rooms beside people, and people who were missed. `see` is what is trained. MPN learns
    so from one half of the frames, QUN from the other: it must meet such mistakes as are made
    about what nobody has learned by heart.
    """

    def __init__(self, data: Store, preset: str, see: See, half: int, emphasis: Emphasis) -> None:
        self.data, self.see = data, see
        self.sizes, self.shares = zip(*OWN[preset].items(), strict=True)
        empty = data.empty()
        people = np.setdiff1d(np.arange(len(data.stills)), empty)[half::2]
        people = np.random.choice(people, min(LOOKED_AT, len(people)), replace=False)
        self.hard = Mistakes(data, see, people, self.sizes[0], HARD, emphasis.missed)
        self.rooms = Mistakes(data, see, empty[half::2], self.sizes[0], MISTAKEN)
        shares = emphasis.hard, emphasis.mistaken
        self.counts = [max(1, round(share * data.rows)) for share in shares]

    def seen(self, mpn: MPN) -> tuple[Tensor, Tensor, Tensor]:
        """Logits and alpha of a new batch, and which rows show somebody; hints by `mpn`."""
        size = self.sizes[int(np.random.choice(len(self.sizes), p=self.shares))]
        hard, rooms = self.counts
        at = self.hard.choose(hard), self.rooms.choose(rooms)
        parts = [
            self.data.these(self.hard.rows[at[0]], size),
            self.data.batch(self.data.rows - hard - rooms, size),
            self.data.these(self.rooms.rows[at[1]], size),
        ]
        hints = [own_hint(self.data, mpn, part) for part in parts]
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

    def see(image: Tensor, hint: Tensor) -> Tensor:
        return run(data, mpn, image, hint)[0]  # type: ignore[no-any-return]

    frames = OwnFrames(data, preset, see, 0, MPN_LEARNS)

    def train(partner: Partner, path: Path) -> None:
        def step(progress: float) -> Losses:
            partner.meet(taught)
            for filters in slow:
                filters.requires_grad_(partner.steps % LEARN_EVERY == 0)
            logits, alpha, someone = frames.seen(mpn)
            learned = MPN_LEARNS.losses(logits, alpha, someone)
            return {"mask": mask_loss(logits, alpha), **learned}

        fit(path.stem, taught.train(), step, minutes * 60, RATE, work, slow=mpn.encoder)

    in_pair(train, taught, work / f"mpn_{preset}.pt")


def train_qun_for(data: Store, mpn: MPN, qun: QUN, preset: str, minutes: float, work: Path) -> None:
    """QUN for one preset, over what its MPN says; writes `work/qun_PRESET.pt`.

    It looks a second time: what MPN took for somebody, and whom it missed. Squared error keeps
    edges as soft as the truth is uncertain, L1 decides on a place for small things, like ears.
    """
    size = next(iter(OWN[preset]))

    def see(image: Tensor, hint: Tensor) -> Tensor:
        with torch.no_grad():
            coarse = run(data, mpn, image, hint)[0].sigmoid()
        return share(*size) * run(data, qun.change, image, coarse) + logit(coarse)

    mpn.eval().requires_grad_(False)
    qun.eval()
    frames = OwnFrames(data, preset, see, 1, QUN_LEARNS)

    def train(partner: Partner, path: Path) -> None:
        def step(progress: float) -> Losses:
            partner.meet(qun)
            logits, alpha, someone = frames.seen(mpn)
            mask = logits.sigmoid()
            error = F.mse_loss(mask, alpha) + F.l1_loss(mask, alpha) / 2
            return {
                "mask": F.binary_cross_entropy_with_logits(logits, alpha) + error,
                "gradient": EDGES * gradient_loss(mask, alpha),
                **QUN_LEARNS.losses(logits, alpha, someone),
            }

        fit(path.stem, qun.train(), step, minutes * 60, RATE, work)

    in_pair(train, qun, work / f"qun_{preset}.pt")
