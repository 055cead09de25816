"""Who is meant: the nearest people stay in the matte, the others' alpha goes to 0.

All people are followed from frame to frame on a small grid, each by the place that was his in
the last one. Where two touch, their outlines in the last frame are the seeds of a watershed on
the picture (Meyer, 1992). Who disappears behind somebody is known again when he comes out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ..types import Alpha, Mask8, Matrix, Matte, Picture
from .window import moved

SOLID = 0.5  # alpha of a place that belongs to somebody
SPECK = 0.0008  # of the grid: less is nobody's
PERSON_LEAST = 0.004  # of the grid: less, where it is new, is no person of its own
# What is new, near somebody and small beside him is his hand, or what he holds.
ISLAND, ISLAND_GAP = 0.12, 0.07  # of his area, of the grid's width
ASIDE = 0.5  # of the score: what is taken from who stands at the picture's side
NEARER, NEARER_S = 1.6, 1.5  # times the score, for so long: then another is the nearest
NEW_S = 0.3  # somebody who comes beside others is looked at for so long
GONE_S, HIDDEN_S = 0.7, 4.0  # so long somebody is waited for; where he is behind another
SCORE_S = 1.0  # over so long a score is a mean
BORDER = 2  # cells: so wide an outline's border is left to the watershed
SURE = 3.0  # times as likely by its colour
REMNANT = 0.2  # of the largest part of somebody: what is less of him beside others is not his
PARTLY = 0.3  # of the most that was seen of somebody: with less he may come out elsewhere
BESIDE = 8  # cells: who disappears so near to somebody has gone behind him
REACH = 2  # cells: so far an outline may grow where somebody may come out behind it
OUT_LEAST = 0.15  # of the height of who was hidden: what comes out is at least as high
BINS = 6  # of each colour, of 256 levels
MOSTLY, FADES = 0.7, 0.995  # of the most that was seen of somebody, which counts less each frame
SLACK = 1e-3  # of a weight: so that between two ones lies nothing less
NAMES = 250  # people that are told apart
Cells = NDArray[np.bool_]


@dataclass
class Person:
    """Somebody who is followed. `behind`: who is beside him while he is hardly seen, or was
    when he disappeared.

    `height` and `colours` are those of a time when most of him was seen, of `most` cells.
    """

    since: float
    seen: float
    score: float = 0.0
    height: int = 0
    most: float = 0.0
    colours: NDArray[np.float32] | None = None
    behind: tuple[int, ...] = ()


class Subjects:
    """Lets the nearest people of a sequence of mattes through."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget: the next frame has nothing to do with the last."""
        self._labels: Mask8 = np.zeros((1, 1), np.uint8)  # whose a place was; 0 is nobody's
        self._people: dict[int, Person] = {}
        self._chosen: list[int] = []
        self._rival: tuple[int, float] | None = None  # who may be nearer, and since when
        self._next = 1

    def moved(self, change: Matrix) -> None:
        """Takes what it remembers to where it lies in the picture that comes."""
        self._labels = moved(self._labels, change, method=cv2.INTER_NEAREST)

    def __call__(self, matte: Matte, count: int, time: float) -> Matte:
        """The matte of the `count` nearest people; unchanged where nobody else is."""
        alpha = matte.sparse()
        labels = self._followed(alpha, matte, time)
        self._choose(labels, count, time)
        chosen = np.isin(labels, self._chosen)
        others = (labels > 0) & ~chosen
        if not others.any():
            return matte
        return matte.weighted(weights(chosen, others, matte.alpha.shape))

    # --- who is who ---

    def _followed(self, alpha: Alpha, matte: Matte, time: float) -> Mask8:
        """Whose each place is, (h, w)."""
        solid = (alpha > SOLID).astype(np.uint8)
        count, parts, stats, _ = cv2.connectedComponentsWithStats(solid, connectivity=4)
        if self._labels.shape != alpha.shape:
            size = alpha.shape[::-1]
            self._labels = cv2.resize(self._labels, size, interpolation=cv2.INTER_NEAREST)
        labels = np.zeros_like(self._labels)
        pairs = parts.ravel() * (NAMES + 1) + self._labels.ravel()
        shares = np.bincount(pairs, minlength=count * (NAMES + 1)).reshape(count, -1)
        most = shares[1:].max(0, initial=0)  # of each one's cells, in a part
        new: list[int] = []
        for part in range(1, count):
            if stats[part, cv2.CC_STAT_AREA] < SPECK * alpha.size:
                continue
            names = [int(one) for one in np.flatnonzero(shares[part]) if one]
            if len(names) > 1 or (
                names and stats[part, cv2.CC_STAT_AREA] > ISLAND * most[names[0]]
            ):
                names = [one for one in names if shares[part, one] > REMNANT * most[one]]
            cells = parts == part
            hidden = self._hidden(cells, names)
            if not names:
                new.append(part)
            elif len(names) == 1 and not hidden:
                labels[cells] = names[0]
            else:
                self._split(cells, names, hidden, matte, labels)
        for part in new:
            self._welcome(parts == part, labels, time)
        self._remember(labels, matte, time)
        return labels

    def _hidden(self, cells: Cells, names: list[int]) -> list[int]:
        """Who may come out here: who was beside them, or anybody lost where all of them leaps."""
        beside = [
            n for n, one in self._people.items() if n not in names and {*one.behind} & {*names}
        ]
        if beside or not names:
            return beside
        own = np.isin(self._labels, names)
        leap = (cells & ~outer(own, REACH)).sum() > ISLAND * own.sum()
        seen = set(np.unique(self._labels).tolist())
        return [n for n in self._people if n not in seen] if leap else []

    def _welcome(self, cells: Cells, labels: Mask8, time: float) -> None:
        """What is new: somebody's hand, or somebody."""
        name = self._whose_hand(cells, labels)
        unseen = [one for one in self._people if not (labels == one).any()]
        if name is None and unseen:  # who was lost comes back
            name = max(unseen, key=lambda one: self._people[one].seen)
        if name is None and cells.sum() >= PERSON_LEAST * cells.size:
            name = self._next
            self._next = self._next % NAMES + 1
            self._people[name] = Person(time, time)
        if name is not None:
            labels[cells] = name

    def _whose_hand(self, cells: Cells, labels: Mask8) -> int | None:
        gap = round(ISLAND_GAP * cells.shape[1])
        around = cv2.dilate(cells.astype(np.uint8), np.ones((2 * gap + 1, 2 * gap + 1), np.uint8))
        near = labels[around > 0]
        names = np.bincount(near[near > 0])
        if not len(names):
            return None
        name = int(names.argmax())
        return name if cells.sum() < ISLAND * (labels == name).sum() else None

    def _split(
        self, cells: Cells, names: list[int], hidden: list[int], matte: Matte, labels: Mask8
    ) -> None:
        """Gives each his part of a place that several share."""
        picture = shrunk(matte.guide, cells.shape)
        likely = self._likely([*names, *hidden], bins(picture))
        seeds = np.zeros(cells.shape, np.int32)
        for name in names:
            own = (self._labels == name) & cells
            core = inner(own, BORDER) & (likely[name] > 1 / SURE)
            seeds[core | (own & (likely[name] > SURE if core.any() else True))] = name
        for name in [*names, *hidden]:
            if (self._labels == name).sum() < PARTLY * self._people[name].most:
                others = [one for one in names if one != name]
                seeds[self._came_out(cells, others, name, likely[name])] = name
        seeds[~cells] = NAMES + 1
        if (cells & (seeds == 0)).any():
            seeds = cv2.watershed(picture, seeds)
        found = np.where(cells & (seeds > 0) & (seeds <= NAMES), seeds, 0).astype(np.uint8)
        lost = cells & (found == 0)  # the watershed's own lines
        if lost.any():
            wide = cv2.dilate(found, np.ones((3, 3), np.uint8))
            found[lost] = np.where(self._labels > 0, self._labels, wide)[lost]
        labels[cells] = found[cells]

    def _likely(self, names: list[int], colours: NDArray[np.intp]) -> dict[int, Alpha]:
        """How many times as likely each place's colour is this one's as any other's, (h, w)."""
        each = {}
        for name in names:
            known = self._people[name].colours
            each[name] = np.ones(colours.shape, np.float32) if known is None else known[colours]
        if any(self._people[name].colours is None for name in names) or len(names) < 2:
            return dict.fromkeys(names, np.ones(colours.shape, np.float32))
        return {
            name: mine / np.max([each[one] for one in names if one != name], axis=0)
            for name, mine in each.items()
        }

    def _came_out(self, cells: Cells, others: list[int], name: int, likely: Alpha) -> Cells:
        """Where somebody hidden is seen again: beyond the others' outlines, or by his colours."""
        own = np.isin(self._labels, others)
        beyond = cells & (~outer(own, REACH) | (~inner(own, 1) & (likely > SURE)))
        beyond &= likely > 1 / SURE
        count, parts, stats, _ = cv2.connectedComponentsWithStats(beyond.astype(np.uint8))
        least = OUT_LEAST * self._people[name].height
        high = [one for one in range(1, count) if stats[one, cv2.CC_STAT_HEIGHT] > least]
        return np.isin(parts, high) if high else np.zeros_like(cells)

    def _remember(self, labels: Mask8, matte: Matte, time: float) -> None:
        """What is known of everybody after this frame."""
        areas = np.bincount(labels.ravel(), minlength=NAMES + 1)
        touching = len(np.flatnonzero(areas[1:])) > 1
        cells_bins = bins(shrunk(matte.guide, labels.shape)) if touching else None
        for name, person in list(self._people.items()):
            area = int(areas[name])
            if area:
                self._update(person, labels == name, area, time, cells_bins)
            if person.most and area < PARTLY * person.most and (area or not person.behind):
                around = outer((labels if area else self._labels) == name, BESIDE)
                beside = {int(one) for one in np.unique(labels[around])} - {0, name}
                person.behind = tuple(sorted(beside))
            if not 0 <= time - person.seen <= HIDDEN_S:
                del self._people[name]
        self._labels = labels

    def _update(
        self,
        person: Person,
        cells: Cells,
        area: int,
        time: float,
        colours: NDArray[np.intp] | None,
    ) -> None:
        rows, columns = np.flatnonzero(cells.any(1)), np.flatnonzero(cells.any(0))
        aside = abs(float(columns[0] + columns[-1] + 1) / cells.shape[1] - 1)
        score = area / cells.size * (1 - ASIDE * aside)
        share = min(1.0, (time - person.seen) / SCORE_S) if person.most else 1.0
        person.score += share * (score - person.score)
        person.seen, person.behind = time, ()
        person.most = max(float(area), FADES * person.most)
        if area >= MOSTLY * person.most:
            person.height = int(np.ptp(rows)) + 1
            if colours is not None:
                person.colours = histogram(colours[cells])

    # --- who is meant ---

    def _choose(self, labels: Mask8, count: int, time: float) -> None:
        """The nearest; others only where they are nearer for a while, or those are gone."""
        people = self._people
        self._chosen = [
            name
            for name in self._chosen[:count]
            if name in people
            and time - people[name].seen < (HIDDEN_S if people[name].behind else GONE_S)
        ]
        rest = sorted(
            (name for name in people if name not in self._chosen and people[name].seen == time),
            key=lambda name: -people[name].score,
        )
        for name in rest:
            if len(self._chosen) < count and (
                time - people[name].since >= NEW_S or not self._chosen
            ):
                self._chosen.append(name)
        rest = [name for name in rest if name not in self._chosen]
        if not rest or not self._chosen:
            self._rival = None
            return
        best, worst = rest[0], min(self._chosen, key=lambda name: people[name].score)
        if people[best].score < NEARER * people[worst].score:
            self._rival = None
        elif self._rival is None or self._rival[0] != best:
            self._rival = best, time
        elif time - self._rival[1] >= NEARER_S:
            self._chosen[self._chosen.index(worst)] = best
            self._rival = None


def weights(chosen: Cells, others: Cells, shape: tuple[int, ...]) -> Alpha:
    """What alpha (4h, 4w) is multiplied with: 1 nearer to those who are chosen, else 0.

    Soft over one cell between them; exactly 1 and 0 elsewhere.
    """
    far = [
        cv2.distanceTransform((~one).astype(np.uint8), cv2.DIST_L2, 3) for one in (chosen, others)
    ]
    small = np.where((far[0] <= far[1]) & chosen.any(), 1 + SLACK, -SLACK).astype(np.float32)
    wide: Alpha = cv2.resize(small, shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.clip(wide, 0, 1, out=wide)


def shrunk(picture: Picture, shape: Iterable[int]) -> Picture:
    tall, wide = shape
    return cv2.resize(picture, (wide, tall), interpolation=cv2.INTER_AREA)


def bins(picture: Picture) -> NDArray[np.intp]:
    """The number of each pixel's colour."""
    levels = picture.astype(np.intp) * BINS // 256
    return (levels[..., 0] * BINS + levels[..., 1]) * BINS + levels[..., 2]


def histogram(colours: NDArray[np.intp]) -> NDArray[np.float32]:
    """How often each colour is there, of 1; none is never."""
    counts = np.bincount(colours, minlength=BINS**3).astype(np.float32) + 0.02
    return counts / counts.sum()


def inner(cells: Cells, width: int) -> Cells:
    """Without the border of that width; what lies at the picture's edge has none there."""
    kernel = np.ones((2 * width + 1, 2 * width + 1), np.uint8)
    return cv2.erode(cells.astype(np.uint8), kernel) > 0


def outer(cells: Cells, width: int) -> Cells:
    kernel = np.ones((2 * width + 1, 2 * width + 1), np.uint8)
    return cv2.dilate(cells.astype(np.uint8), kernel) > 0
