"""What a session knows of the person's light, and the grade that it comes to for a frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .grade import graded, then
from .light import RATES, SURE, darkness, light_grade, measured
from .match import Tone, lab, match_grade, tone
from .slow import Slow

if TYPE_CHECKING:
    from ..settings import BackgroundSpec
    from ..types import Frame, Grade, Matte, Picture

GRID = 4  # every fourth pixel of a matte is looked at
ROOM_GRID = 8  # and every eighth of a background
PERSON_RATES = np.full(6, 5.0)  # of mean and deviation in CIELAB, a second
ROOM_RATES = np.full(6, 15.0)  # a video may cut to a scene of another light
STEP = np.array([1e-3, 1e-3, 1e-3, np.inf])  # of `measured`: less is not seen
TONE_STEP = np.full(12, 0.02)
LEAST = 50  # pixels of a person whose colours can be measured


@dataclass(frozen=True)
class Wanted:
    """What is asked for: strengths in [0, 1]. 0 and 0 change nothing."""

    light: float = 0.0
    match: float = 0.0


NOTHING = Wanted()


def wanted(light: int, match: float, behind: BackgroundSpec | None) -> Wanted:
    """Of a light in percent and a match in [0, 1]: only a picture or a video is a scene."""
    return Wanted(light / 100, match if behind and behind.path is not None else 0.0)


class Kept:
    """A grade that is made anew only when its values have changed by a step."""

    def __init__(self, step: np.ndarray, make: Callable[[np.ndarray, float], Grade]) -> None:
        self._step, self._make = step, make
        self._of: tuple[np.ndarray, float] | None = None

    def __call__(self, values: np.ndarray, strength: float) -> Grade:
        of = self._of
        if of is None or strength != of[1] or (np.abs(values - of[0]) > self._step).any():
            self._of, self._grade = (values, strength), self._make(values, strength)
        return self._grade


class Grading:
    """Looks at each frame, and says how the person's colours are changed: see light and match.

    Both follow what they see slowly; the first frame counts at once. Only sparse pixels of the
    matte's own picture are looked at, ten times a second.
    """

    def __init__(self) -> None:
        self._light, self._person, self._room = map(Slow, (RATES, PERSON_RATES, ROOM_RATES))
        self._behind: object | None = None  # the background whose tone is followed
        self._picture: Picture | None = None  # the one that was measured
        self._lit, self._matched = Kept(STEP, light_grade), Kept(TONE_STEP, grade_of_tones)

    def reset(self) -> None:
        """The next frame has nothing to do with the last."""
        for values in (self._light, self._person, self._room):
            values.reset()
        self._behind = self._picture = None

    def see(
        self, frame: Frame, matte: Matte, picture: Picture, behind: object, wanted: Wanted
    ) -> None:
        """Measures a frame and the `picture` (H, W, 3) behind it, of the background `behind`."""
        time = frame.time
        person, room = self._person, self._room
        lit = wanted.light and self._light.due(time)
        new = behind is not self._behind
        toned = wanted.match and (new or person.due(time))
        if not (lit or toned):
            return
        colours = np.ascontiguousarray(matte.guide[::GRID, ::GRID])
        alpha = matte.sparse()
        if lit:
            height, width = frame.image.shape[:2]
            aspect = (width / alpha.shape[1]) / (height / alpha.shape[0])
            self._light.see(time, measured(colours, alpha, aspect))
        if toned:
            own = graded(colours[alpha > SURE].astype(np.float32), self._light_grade(time, wanted))
            person.see(time, flat(tone(lab(own[None]))) if len(own) > LEAST else None)
            if new:
                room.reset()
            if new or picture is not self._picture:
                some = picture[::ROOM_GRID, ::ROOM_GRID].astype(np.float32)
                room.see(time, flat(tone(lab(some))))
            self._behind, self._picture = behind, picture

    def grade(self, time: float, wanted: Wanted) -> Grade | None:
        """For a frame of that time; None where nothing is changed."""
        light = self._light_grade(time, wanted)
        if not wanted.match:
            return light
        person, room = self._person(time), self._room(time)
        if person is None or room is None:
            return light
        return then(light, self._matched(np.concatenate([person, room]), wanted.match))

    def darkness(self, time: float, wanted: Wanted) -> float:
        """How much the person's noise is to be filtered, in [0, 1]."""
        values = self._light(time) if wanted.light else None
        return 0.0 if values is None else darkness(values)

    def _light_grade(self, time: float, wanted: Wanted) -> Grade | None:
        values = self._light(time) if wanted.light else None
        return None if values is None else self._lit(values, wanted.light)


def flat(of: Tone) -> np.ndarray:
    """Mean and deviation (6,)."""
    return np.concatenate([of.mean, of.deviation]).astype(np.float64)


def grade_of_tones(values: np.ndarray, strength: float) -> Grade:
    """Of person and room, each as `flat` makes it, one after the other."""
    person, room = np.split(values, 2)
    return match_grade(Tone(*np.split(person, 2)), Tone(*np.split(room, 2)), strength)
