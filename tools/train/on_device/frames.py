"""Training frames made on the device, a batch at a time; what `stages` takes for its data."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ..batches import FLIP, recoloured
from ..crops import LOW, SIDE, Crops
from ..data import ASPECTS_ANYWHERE
from ..mrn import CELL
from ..sizes import FRAME, FRAME_UPRIGHT
from ..stages import Batch
from .deck import Deck
from .draw import arms, over, strands, things
from .place import ANGLE, boxes, grids, looked_at, uniform

P_ORIGINAL, P_EMPTY, P_SECOND = 0.45, 0.05, 0.15
P_THING, P_ARM, P_BEHIND, P_HAIR = 0.12, 0.1, 0.3, 0.2
P_BLUR, P_NOISE, P_DARK = 0.3, 0.5, 0.06
PER_FRAME = 2  # crops for MRN of each large frame


def chosen(like: Tensor, chance: float) -> Tensor:
    """(N, 1, 1, 1): 1 with that chance."""
    return (torch.rand(len(like), 1, 1, 1, device=like.device) < chance).float()


def flipped(batch: Batch) -> Batch:
    """All of a batch, or nothing of it."""
    if torch.rand(()) < FLIP:
        return {key: maps.flip(3) for key, maps in batch.items()}
    return batch


class Frames:
    """Batches of small frames from a deck, as `batches.Store` gives them."""

    def __init__(self, deck: Deck, device: str, rows: int, half: bool) -> None:
        self.deck, self.device, self.rows, self.half = deck, device, rows, half

    def batch(self, n: int, size: tuple[int, int]) -> Batch:
        """image, alpha, last (zero), is_clip (zero) at `size`; full: alpha at the full size."""
        upright = size[0] > size[1]
        image, alpha, _ = self.make(n, FRAME_UPRIGHT if upright else FRAME)
        out = {"image": image, "alpha": alpha, "full": alpha}
        for key in ("image", "alpha"):
            out[key] = F.interpolate(out[key], size=size, mode="bilinear", antialias=True)
        out["last"] = torch.zeros_like(out["alpha"])
        out["is_clip"] = torch.zeros(n, 1, 1, 1, device=self.device)
        return recoloured(flipped(out))

    @torch.no_grad()
    def make(self, n: int, size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
        """Picture, alpha and foreground (N, C, h, w) in [0, 1]."""
        rows = torch.multinomial(self.deck.chances, n, replacement=True)
        low, high = (math.log(a) for a in ASPECTS_ANYWHERE)
        aspect = torch.exp(uniform(rows.float(), low, high))
        if size[0] > size[1]:
            aspect = aspect.clamp(max=0.9)
        original = (torch.rand(n, device=rows.device) < P_ORIGINAL).float()
        picture, front, alpha = self._people(rows, aspect, original, size)
        kept = original.view(-1, 1, 1, 1)
        front, alpha = self._more(front, alpha, aspect, size, 1 - kept)
        back = self._scenes(n, aspect, size)
        behind = things(alpha, 0.4) * chosen(alpha, P_BEHIND)
        back = back * (1 - behind) + self._surface(n, size) * behind
        nobody = chosen(alpha, P_EMPTY) * (1 - kept)
        alpha = alpha * (1 - nobody)
        front = lit(front, 0.2 * (1 - kept))
        image = picture * kept + (front * alpha + lit(back, 0.3) * (1 - alpha)) * (1 - kept)
        colour, cover = strands(front, alpha)
        cover = cover * chosen(alpha, P_HAIR) * (1 - nobody)
        image = image * (1 - cover) + colour * cover
        front, alpha = over(front, alpha, colour, cover)
        both = lit(torch.cat([image, front], 2), 0.3)
        image, front = both.split(size[0], 2)
        return degraded(image), alpha, front

    def _people(
        self, rows: Tensor, aspect: Tensor, original: Tensor, size: tuple[int, int]
    ) -> tuple[Tensor, Tensor, Tensor]:
        deck = self.deck
        box = boxes(deck, rows, aspect, original)
        turned = torch.randn_like(aspect) * ANGLE * (torch.rand_like(aspect) < 0.4)
        flip = torch.where(torch.rand_like(aspect) < 0.5, 1.0, -1.0)
        grid = grids(box, deck.pictures.shape[2], size, turned, flip)
        parts = (deck.pictures[rows], deck.fronts[rows], deck.mattes[rows])
        picture, front, alpha = looked_at(torch.cat(parts, 1), box, grid).split((3, 3, 1), 1)
        return picture, front, alpha

    def _more(
        self, front: Tensor, alpha: Tensor, aspect: Tensor, size: tuple[int, int], where: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Somebody else behind, something held, an arm: where `where` (N, 1, 1, 1) is 1."""
        n = len(alpha)
        rows = torch.multinomial(self.deck.chances, n, replacement=True)
        _, other, matte = self._people(rows, aspect, torch.zeros_like(aspect), size)
        matte = matte * chosen(alpha, P_SECOND) * where
        front, alpha = over(other, matte, front, alpha)
        skin = torch.rand(n, 1, 1, 1, device=alpha.device)
        tone = alpha.new_tensor([0.93, 0.78, 0.69]) * (1 - skin.flatten(1)) ** 0.5 + 0.05
        layers = (
            (things(alpha, 0.05) * chosen(alpha, P_THING), self._surface(n, size)),
            (arms(alpha) * chosen(alpha, P_ARM), tone.clamp(0, 1)[:, :, None, None]),
        )
        for cover, colour in layers:
            front, alpha = over(front, alpha, colour.expand_as(front), cover * where)
        return front, alpha

    def _scenes(self, n: int, aspect: Tensor, size: tuple[int, int]) -> Tensor:
        """Parts of empty scenes, some out of focus."""
        deck = self.deck
        rows = torch.randint(0, len(deck.scenes), (n,), device=aspect.device)
        width, height = deck.scene_size[rows].unbind(1)
        tall = torch.minimum(height, width / aspect) * uniform(aspect, 0.35, 1)
        wide = tall * aspect
        x, y = (width - wide) * torch.rand_like(wide), (height - tall) * torch.rand_like(tall)
        box = torch.stack([x, y, wide, tall], 1)
        one = torch.ones_like(aspect)
        grid = grids(box, deck.scenes.shape[2], size, 0 * one, one)
        back = looked_at(deck.scenes[rows], box, grid)
        soft = chosen(back, 0.4)
        return blurred(back, 9) * soft + back * (1 - soft)

    def _surface(self, n: int, size: tuple[int, int]) -> Tensor:
        """What things are made of: one colour, or a part of a scene."""
        plain = torch.rand(n, 3, 1, 1, device=self.device)
        one = torch.ones(n, device=self.device)
        use = chosen(plain, 0.5)
        return plain * use + self._scenes(n, one * size[1] / size[0], size) * (1 - use)


def blurred(image: Tensor, width: int) -> Tensor:
    return F.avg_pool2d(F.pad(image, [width // 2] * 4, mode="replicate"), width, 1)


def lit(image: Tensor, strength: Tensor | float) -> Tensor:
    """Exposure, white balance and contrast, each picture its own."""
    n = len(image)
    gain = torch.exp(torch.randn(n, 1, 1, 1, device=image.device) * strength)
    tint = torch.exp(torch.randn(n, 3, 1, 1, device=image.device) * strength * 0.25)
    gamma = torch.exp(torch.randn(n, 1, 1, 1, device=image.device) * strength * 0.7)
    return (image.clamp(min=1e-4) ** gamma * gain * tint).clamp(0, 1)


def degraded(image: Tensor) -> Tensor:
    """Lens blur, too little light, the sensor's noise."""
    soft = chosen(image, P_BLUR)
    image = blurred(image, 3) * soft + image * (1 - soft)
    dark = chosen(image, P_DARK)
    image = image * (1 - dark * uniform(dark, 0.5, 0.9))
    level = (chosen(image, P_NOISE) * 0.02 + dark * 0.02) * torch.rand_like(dark)
    return (image + torch.randn_like(image) * level).clamp(0, 1)


class LargeFrames(Crops):
    """Batches of MRN's crops, cut from large frames as they are made."""

    def __init__(self, frames: Frames, rows: int) -> None:
        self.frames, self.rows = frames, rows
        self.device, self.half = frames.device, frames.half

    def batch(self, n: int) -> Batch:
        """As `Crops.batch`."""
        wide, tall = LOW[0] * CELL, LOW[1] * CELL
        image, alpha, front = self.frames.make(-(-n // PER_FRAME), (tall, wide))
        small = {
            key: F.interpolate(x, size=LOW[::-1], mode="bilinear", antialias=True)
            for key, x in (("low", image), ("low_alpha", alpha))
        }
        soft = F.interpolate(alpha * (1 - alpha), size=LOW[::-1], mode="area").flatten(1) + 1e-6
        spots = torch.multinomial(soft, PER_FRAME, replacement=True)
        part = SIDE // CELL
        jitter = torch.randint(part // 8, part - part // 8, (*spots.shape, 2), device=self.device)
        left = (spots % LOW[0] - jitter[..., 0]).clamp(0, LOW[0] - part)
        top = (spots // LOW[0] - jitter[..., 1]).clamp(0, LOW[1] - part)
        window = torch.stack([left, top], 2).flatten(0, 1)[:n]
        of = torch.arange(len(image), device=self.device).repeat_interleave(PER_FRAME)[:n]
        out = {key: value[of] for key, value in small.items()}
        for key, whole in (("image", image), ("alpha", alpha), ("foreground", front)):
            cuts = [
                whole[i, :, y * CELL : y * CELL + SIDE, x * CELL : x * CELL + SIDE]
                for i, (x, y) in zip(of.tolist(), window.tolist(), strict=True)
            ]
            out[key] = torch.stack(cuts)
        out["window"] = window
        return out
