"""Who is meant: the nearest people stay in the matte, the others' alpha goes to 0.

All people are followed from frame to frame on a small grid, each by the place that was his in
the last one. Where two touch, their outlines in the last frame are the seeds of a watershed on
the picture (Meyer, 1992); who is meant keeps the outline that he had by himself. Who disappears
behind somebody is known again when he comes out.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from ..types import Alpha, Mask8, Matrix, Matte
from .followed import (
    Cells,
    Glance,
    Outline,
    Person,
    coarse,
    histogram,
    inner,
    outer,
    remnants,
    touched,
    weights,
)
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
OUTLINE_S = 0.7  # so old is the outline of who is by himself
SCORE_S = 1.0  # over so long a score is a mean
BORDER = 2  # cells: so wide an outline's border is left to the watershed
SURE = 3.0  # times as likely by its colour
REMNANT = 0.2  # of the largest part of somebody: what is less of him beside others is not his
PARTLY = 0.3  # of the most that was seen of somebody: with less he may come out elsewhere
BESIDE = 8  # cells: who disappears so near to somebody has gone behind him
REACH = 2  # cells: so far an outline may grow where somebody may come out behind it
OUT_LEAST = 0.15  # of the height of who was hidden: what comes out is at least as high
MOSTLY, FADES = 0.7, 0.995  # of the most that was seen of somebody, which counts less each frame
NAMES = 250  # people that are told apart


class Subjects:
    """Lets the nearest people of a sequence of mattes through."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget: the next frame has nothing to do with the last."""
        self._labels: Mask8 = np.zeros((1, 1), np.uint8)  # whose a place was; 0 is nobody's
        self._people: dict[int, Person] = {}
        self._chosen: list[int] = []
        self._sharing: set[int] = set()  # who touches somebody, or has him behind himself
        self._rival: tuple[int, float] | None = None  # who may be nearer, and since when
        self._next = 1

    def moved(self, change: Matrix) -> None:
        """Takes what it remembers to where it lies in the picture that comes."""
        self._labels = moved(self._labels, change, method=cv2.INTER_NEAREST)

    def __call__(self, matte: Matte, count: int, time: float) -> Matte:
        """The matte of the `count` nearest people; unchanged where nobody else is."""
        alpha = coarse(matte.sparse())
        labels = self._followed(alpha, Glance(matte, alpha.shape), time)
        self._choose(labels, count, time)
        chosen = np.isin(labels, self._chosen)
        others = (labels > 0) & ~chosen
        if not others.any():
            return matte
        return matte.weighted(weights(chosen, others, matte.alpha.shape))

    # --- who is who ---

    def _followed(self, alpha: Alpha, glance: Glance, time: float) -> Mask8:
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
        self._sharing = set()
        for part in range(1, count):
            if stats[part, cv2.CC_STAT_AREA] < SPECK * alpha.size:
                continue
            names = [int(one) for one in np.flatnonzero(shares[part]) if one]
            if len(names) > 1 or (
                names and stats[part, cv2.CC_STAT_AREA] > ISLAND * most[names[0]]
            ):
                names = [one for one in names if shares[part, one] > REMNANT * most[one]]
            cells = parts == part
            names = [one for one in names if not self._is_apart(part, one, parts, shares)]
            hidden = self._hidden(cells, names, glance)
            if not names:
                new.append(part)
            elif len(names) == 1 and not hidden:
                labels[cells] = names[0]
            else:
                self._sharing.update(names)
                self._split(cells, names, hidden, glance, labels)
        for part in new:
            self._welcome(parts == part, labels, time)
        self._remember(labels, glance, time)
        return labels

    def _is_apart(
        self, part: int, name: int, parts: NDArray[np.int32], shares: NDArray[np.intp]
    ) -> bool:
        """Whether this part is too large and too far from the rest of him to be his hand."""
        main = int(shares[1:, name].argmax()) + 1
        if part == main or shares[part].sum() <= ISLAND * shares[main, name]:
            return False
        gap = round(ISLAND_GAP * parts.shape[1])
        return not (outer(parts == part, gap) & (parts == main)).any()

    def _hidden(self, cells: Cells, names: list[int], glance: Glance) -> list[int]:
        """Who may come out here: who was beside them, or anybody lost where all of them leaps."""
        beside = [
            n for n, one in self._people.items() if n not in names and {*one.behind} & {*names}
        ]
        lost = [n for n in self._people if not (self._labels == n).any()]
        if beside or not (names and lost):
            return beside
        own = np.any([self._outline(name, glance)[0] for name in names], 0)
        leap = (cells & ~outer(own, REACH)).sum() > ISLAND * own.sum()
        return lost if leap else []

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
        self, cells: Cells, names: list[int], hidden: list[int], glance: Glance, labels: Mask8
    ) -> None:
        """Gives each his part of a place that several share."""
        likely = self._likely([*names, *hidden], glance.colours)
        outlines = {name: self._outline(name, glance) for name in names}
        seeds = np.zeros(cells.shape, np.int32)
        for name in names:
            own = (self._labels == name) & cells
            core = inner(own, BORDER) & (likely[name] > 1 / SURE)
            seeds[core | (own & (likely[name] > SURE if core.any() else True))] = name
        for name in [*names, *hidden]:
            others = [outlines[one][0] for one in names if one != name]
            apart = cells & ~outer(np.any(others, 0), REACH) if others else cells
            own = self._labels == name
            if name not in self._chosen:
                seeds[touched(apart, own)] = name
            if own.sum() < PARTLY * self._people[name].most:
                seeds[self._came_out(cells, others, name, likely[name])] = name
        for name, (_, surely) in outlines.items():
            seeds[surely] = name
        seeds[~cells] = NAMES + 1
        if (cells & (seeds == 0)).any():
            seeds = cv2.watershed(glance.picture, seeds)
        found = np.where(cells & (seeds > 0) & (seeds <= NAMES), seeds, 0).astype(np.uint8)
        lost = cells & (found == 0)  # the watershed's own lines
        if lost.any():
            wide = cv2.dilate(found, np.ones((3, 3), np.uint8))
            found[lost] = np.where(self._labels > 0, self._labels, wide)[lost]
        for name in [one for one in names if one in self._chosen]:
            near = outer(outlines[name][0], REACH)
            for other in set(names) - set(self._chosen):
                found[remnants(found == other, REMNANT) & near] = name
        labels[cells] = found[cells]

    def _likely(self, names: list[int], colours: Mask8) -> dict[int, Alpha]:
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

    def _outline(self, name: int, glance: Glance) -> tuple[Cells, Cells]:
        """Where somebody may be in this picture, as far as when he was by himself; and surely is.

        Of who is not meant, and of whom that is not known, where he was in the last one.
        """
        last, outline = self._labels == name, self._people[name].outline
        if (
            name in self._chosen
            and outline is not None
            and outline.shape == last.shape
            and outline.follow(glance.picture)
        ):
            return outline.cells(), outline.unchanged(glance.picture)
        return last, np.zeros_like(last)

    def _came_out(self, cells: Cells, others: list[Cells], name: int, likely: Alpha) -> Cells:
        """Where somebody hidden is seen again: beyond the others' outlines, or by his colours."""
        own = np.any(others, 0) if others else np.zeros_like(cells)
        beyond = cells & (~outer(own, REACH) | (~inner(own, 1) & (likely > SURE)))
        beyond &= likely > 1 / SURE
        count, parts, stats, _ = cv2.connectedComponentsWithStats(beyond.astype(np.uint8))
        least = OUT_LEAST * self._people[name].height
        high = [one for one in range(1, count) if stats[one, cv2.CC_STAT_HEIGHT] > least]
        return np.isin(parts, high) if high else np.zeros_like(cells)

    def _remember(self, labels: Mask8, glance: Glance, time: float) -> None:
        """What is known of everybody after this frame."""
        areas = np.bincount(labels.ravel(), minlength=NAMES + 1)
        touching = len(np.flatnonzero(areas[1:])) > 1
        look = glance if touching or self._sharing else None
        for name, person in list(self._people.items()):
            area = int(areas[name])
            if area:
                self._update(person, labels == name, area, time, look)
            if area and look is not None:
                lasts = HIDDEN_S if name in self._sharing else OUTLINE_S
                if person.outline is None or not 0 <= time - person.outline.time < lasts:
                    person.outline = Outline(labels == name, look.picture, time)
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
        glance: Glance | None,
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
            if glance is not None:
                person.colours = histogram(glance.colours[cells])

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
