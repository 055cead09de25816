"""What may leave: every stage is made to fail in every way, and not one raw pixel gets out."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pygame
import pytest
from conftest import ArraySource, FakeEngine, ListSink, portrait
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bshm_live.compositing.background import Fixed, card, plain
from bshm_live.compositing.compositor import Compositor
from bshm_live.compositing.grading import Wanted
from bshm_live.compositing.touches import Touches
from bshm_live.errors import EngineError, SourceError
from bshm_live.loop.evidence import sighting
from bshm_live.loop.guard import (
    DOUBT_S,
    DOUBT_TEXT,
    EXCESS,
    EXCESS_TEXT,
    JUMP_S,
    LATE_S,
    MEMORY_S,
    MOST,
    NOBODY,
    SMALL,
    SMALL_DOUBT_S,
    SURE_S,
    TORN_S,
    TORN_TEXT,
    UNSEEN,
    UNSEEN_TEXT,
    WHOLE,
    WHOLE_TEXT,
    Guard,
)
from bshm_live.loop.parts import Always, cpu_parts
from bshm_live.loop.pipeline import Pipeline
from bshm_live.loop.stage import Stage
from bshm_live.matting.bshm import Bshm
from bshm_live.matting.check import check
from bshm_live.settings import FRAMINGS, ROTATIONS, Border
from bshm_live.sinks import virtual_camera as sink_vcam
from bshm_live.sinks.video_file import VideoWriter
from bshm_live.sinks.virtual_camera import VirtualCamera
from bshm_live.sinks.window import Window
from bshm_live.types import Frame, HostMatte, Matte, Picture, Place, Shot

LOW, HIGH = (16, 32), (64, 128)
SIZE = (128, 64)
MARKER = (200, 40, 220)  # every pixel of every frame; no background has it
BACKDROP = (10, 120, 30)  # far from the marker, inverted too
FRAMES = 9
MARGIN = 8  # pixels by which the steps of resampling may widen the person

x, y = np.meshgrid((np.arange(LOW[1]) + 0.5) * 4, (np.arange(LOW[0]) + 0.5) * 4)
PERSON = np.clip((20 - np.hypot(x - 64, y - 32)) / 4 + 0.5, 0, 1).astype(np.float32)
x, y = np.meshgrid(np.arange(SIZE[0]) + 0.5, np.arange(SIZE[1]) + 0.5)
OUTSIDE = np.hypot(x - 64, y - 32) > 20 + MARGIN


def networks() -> list[FakeEngine]:
    """They find the same person in any picture, each trusting the one before it."""
    one, three, high = (1, 1, *LOW), (1, 3, *LOW), (1, 1, *HIGH)

    def refined(feeds):  # type: ignore[no-untyped-def]
        alpha = np.kron(feeds["unified"][0, 0], np.ones((4, 4)))
        return {"alpha": alpha, "residual": np.zeros(three)}

    return [
        FakeEngine({"image": three, "hint": one}, {"coarse": one}, lambda f: {"coarse": PERSON}),
        FakeEngine(
            {"image": three, "coarse": one}, {"unified": one}, lambda f: {"unified": f["coarse"]}
        ),
        FakeEngine(
            {"image": (1, 3, *HIGH), "unified": one}, {"alpha": high, "residual": three}, refined
        ),
    ]


clock = [0.0]  # seconds, of the guard


def spoilt(array: np.ndarray, fault: str) -> np.ndarray:
    """A result as it must not be."""
    if fault == "late":
        clock[0] += 2 * LATE_S
    if fault == "engine error":
        raise EngineError("told to fail")
    if fault == "bug":
        raise RuntimeError("told to fail")
    if fault == "shape":
        return np.ascontiguousarray(array[..., : array.shape[-1] // 2])
    if fault == "jump":
        return 1 - array if array.dtype == np.float32 else 255 - array
    array = np.array(array)
    one = {"nan": np.nan, "inf": np.inf, "high": 3.0, "low": -2.0}.get(fault)
    if one is not None and array.dtype == np.uint8:
        one = 77
    array[...] = {"ones": 1 if array.dtype == np.float32 else 255, "zeros": 0}.get(fault, array)
    if one is not None:
        where = np.s_[5, 5] if array.shape[-1:] == (3,) else np.s_[..., 5, 5]  # a picture: a pixel
        array[where] = one
    return array


FAULTS = [
    "engine error",
    "bug",
    "late",
    "nan",
    "inf",
    "high",
    "low",
    "ones",
    "zeros",
    "shape",
    "jump",
]
STAGES = [
    "source",
    "preprocess",
    "mpn",
    "qun",
    "mrn",
    "hint",
    "steadier",
    "background",
    "compositor",
]


def wrap(owner: object, name: str, wrong: Callable[..., object], now: Callable[[], bool]) -> None:
    """owner.name(...), whose result goes through `wrong` while `now()`."""
    right = getattr(owner, name)

    def call(*words: object, **more: object) -> object:
        result = right(*words, **more)
        return wrong(result) if now() else result

    setattr(owner, name, call)


def spoil(pipeline: Pipeline, stage: str, fault: str, now: Callable[[], bool]) -> None:
    """Makes one stage fail in one way while `now()`."""
    parts = pipeline.supply.current()
    bshm = parts.matting

    def arrays(result):  # type: ignore[no-untyped-def]
        if isinstance(result, dict):
            return {key: spoilt(value, fault) for key, value in result.items()}
        return tuple(None if part is None else spoilt(part, fault) for part in result)

    def matte(result: Matte) -> Matte:
        return replace(result, alpha=spoilt(result.alpha, fault))

    def raw(layers):  # type: ignore[no-untyped-def]
        """The worst that a compositor can do, and then the fault."""
        frame = plain(MARKER, SIZE)
        return arrays((frame, np.full_like(layers[1], 255), frame))

    if stage in ("mpn", "qun", "mrn"):
        wrap(getattr(bshm, stage), "run", arrays, now)
    elif stage == "preprocess":
        wrap(bshm, "_prepare", arrays, now)
    elif stage == "hint":
        wrap(parts.steadier, "hint", lambda h: None if h is None else spoilt(h, fault), now)
    elif stage == "steadier":
        wrap(parts.steadier, "steady", matte, now)
    elif stage == "background":
        wrap(pipeline.stage, "background", lambda picture: spoilt(picture, fault), now)
    elif stage == "compositor":
        wrap(parts, "compositor", raw, now)
        parts.compositor.background_alone = Compositor(SIZE).background_alone


class SpoiltSource(ArraySource):
    """Frames of the marker alone; those `when` are spoilt."""

    def __init__(self, fault: str | None, when: set[int]) -> None:
        super().__init__([plain(MARKER, SIZE)] * FRAMES)
        self.fault, self.when, self.now = fault, when, -1

    def __iter__(self):  # type: ignore[no-untyped-def]
        for frame in super().__iter__():
            self.now = frame.index
            if self.fault is None or frame.index not in self.when:
                yield frame
            elif self.fault == "engine error":
                raise SourceError("told to fail")
            else:
                yield replace(frame, image=spoilt(frame.image, self.fault))


def run(
    stage: str, fault: str, when: set[int], sinks: list, card_too: bool = False, **look: Any
) -> Exception | None:
    """What ended the loop, None where it went through; `look` is of the Stage."""
    source = SpoiltSource(fault if stage == "source" else None, when)
    setting: Any = SimpleNamespace(
        **vars(Stage(Fixed(plain(BACKDROP, SIZE)), card=card(SIZE) if card_too else None, **look))
    )
    parts = SimpleNamespace(**vars(cpu_parts(Bshm(*networks()), SIZE)))  # one that can be spoilt
    pipeline = Pipeline(Always(parts), lambda: setting, SIZE)
    pipeline.guard._now = lambda: clock[0]
    spoil(pipeline, stage, fault, lambda: source.now in when)
    try:
        pipeline.run(source, sinks)
    except Exception as error:
        return error
    return None


def show(picture: np.ndarray) -> np.ndarray:
    """Pixels that are nearer to the room than a spoilt backdrop, white, black or grey, may be."""
    return (np.abs(picture.astype(int) - MARKER).max(-1) < 40) & OUTSIDE


def assert_nothing_raw(shots: list[Shot], spoilt_backdrop: bool = False) -> None:
    for shot in shots:
        seen = np.ones_like(OUTSIDE) if not shot.has_person else OUTSIDE
        assert not (np.abs(shot.composite.astype(int) - MARKER).max(-1) < 40)[seen].any()
        assert not shot.alpha[seen].any()
        assert shot.foreground is not None
        assert not shot.foreground[seen].any()
        if not spoilt_backdrop and shot.has_person:
            assert (shot.composite[OUTSIDE] == BACKDROP).all()


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("stage", STAGES)
def test_no_stage_that_fails_lets_a_raw_pixel_out(stage: str, fault: str) -> None:
    sink = ListSink(needs_foreground=True)
    when = {4, 5}
    ended = run(stage, fault, when, [sink])
    assert_nothing_raw(sink.shots, stage == "background")
    if ended is None:
        assert len(sink.shots) == FRAMES
        assert all(shot.has_person for shot in sink.shots[-2:])  # it goes on
    else:
        assert len(sink.shots) == 4  # all before the fault, none behind it
    withheld = ("mpn", "qun", "mrn", "preprocess", "steadier")
    if fault in ("engine error", "late") and stage in withheld:
        assert [shot.index for shot in sink.shots if not shot.has_person] == [4, 5]
    if fault == "bug":
        assert isinstance(ended, RuntimeError)


HALF = Place(50, 75, 50)  # half as large, in the middle as before
FAILURES = (
    st.sampled_from(STAGES),
    st.sampled_from(FAULTS),
    st.sets(st.integers(0, FRAMES - 1), min_size=1),
    st.booleans(),
)
stages_fail = given(*FAILURES)
looks = st.fixed_dictionaries(
    {},
    optional={
        "framing": st.sampled_from(FRAMINGS),
        "subject": st.integers(0, 2),
        "place": st.just(HALF),
        "mirror": st.booleans(),
        "rotate": st.sampled_from(ROTATIONS),
        "whole": st.booleans(),
    },
)
ALL_OF_THEM = {
    **{"framing": "head", "subject": 1, "place": HALF},
    **{"mirror": True, "rotate": 90, "whole": True},
}


@settings(max_examples=60, deadline=None)
@given(*FAILURES, looks)
def test_whenever_a_stage_fails_no_raw_pixel_gets_out(
    stage: str, fault: str, when: set[int], card_too: bool, look: dict[str, Any]
) -> None:
    sink = ListSink(needs_foreground=True)
    run(stage, fault, when, [sink], card_too, **look)
    assert_nothing_raw(sink.shots, stage == "background")


def everything() -> dict[str, Any]:
    """Every option of a look that changes pixels: light, match, wrap, and what is drawn last."""
    touches = Touches(SIZE, 0.6, Border(3, (9, 90, 190)))
    touches.lay(plain((20, 250, 250), (12, 8)), np.full((8, 12), 128, np.uint8), (4, 50))
    return {"wanted": Wanted(light=1.0, match=1.0), "wrap": 1.0, "touches": touches}


@settings(max_examples=60, deadline=None)
@given(*FAILURES, looks)
@example("steadier", "engine error", {4, 5}, True, ALL_OF_THEM)
@example("composite", "engine error", {4, 5}, False, ALL_OF_THEM)
def test_with_every_option_on_nothing_but_the_background_stands_outside(
    stage: str, fault: str, when: set[int], card_too: bool, more: dict[str, Any]
) -> None:
    """The background as it is drawn over, to the pixel: no light falls on a raw one either."""
    look, sink = {**everything(), **more}, ListSink(needs_foreground=True)
    run(stage, fault, when, [sink], card_too, **look)
    backdrop, instead = plain(BACKDROP, SIZE), card(SIZE) if card_too else plain(BACKDROP, SIZE)
    for picture in (backdrop, instead):
        look["touches"](picture)
    for shot in sink.shots:
        assert shot.foreground is not None
        seen = OUTSIDE if shot.has_person else np.ones_like(OUTSIDE)
        assert not shot.alpha[seen].any()
        assert not shot.foreground[seen].any()
        if stage != "background":
            right = backdrop if shot.has_person else instead
            assert np.array_equal(shot.composite[seen], right[seen])


class Screen:
    """A virtual camera's device, or a window, that keeps what it is shown."""

    device = "/dev/video10"

    def __init__(self) -> None:
        self.pictures: list[Picture] = []

    def show(self, picture: Picture) -> None:
        self.pictures.append(picture.copy())

    def stand_in(self, picture: Picture) -> None:
        self.pictures.append(picture.copy())  # shown, too, once the program is gone

    def again(self) -> None: ...
    def check(self) -> None: ...
    def close(self) -> None: ...


@contextmanager
def screens() -> Iterator[tuple[Screen, Screen]]:
    """What a virtual camera and a window show, while both are in memory."""
    device, window = Screen(), Screen()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sink_vcam, "_open", lambda *_: device)
        patch.setenv("SDL_VIDEODRIVER", "dummy")
        patch.setattr(pygame.display, "flip", lambda: window.show(on_screen()))
        yield device, window


def on_screen() -> Picture:
    """What the window's screen in memory holds, BGR (H, W, 3)."""
    screen = pygame.display.get_surface()
    assert screen is not None
    return pygame.surfarray.array3d(screen).swapaxes(0, 1)[:, :, ::-1]


LAYERS = {"composite": "mp4", "foreground": "mp4", "alpha": "mkv"}


@settings(max_examples=25, deadline=None)
@stages_fail
@example("compositor", "late", {3}, False)
@example("mrn", "ones", {3}, True)
@example("steadier", "jump", {3}, False)
@example("mpn", "nan", {0, 3}, False)
def test_whenever_a_stage_fails_no_sink_shows_a_raw_pixel(
    stage: str, fault: str, when: set[int], card_too: bool
) -> None:
    """A virtual camera, a window and files: what their readers get is looked at."""
    with TemporaryDirectory() as folder, screens() as (device, window):
        files = {layer: Path(folder, f"{layer}.{end}") for layer, end in LAYERS.items()}
        sinks = [VideoWriter(path, SIZE, 25, layer) for layer, path in files.items()]  # type: ignore[arg-type]
        idle = plain(BACKDROP, SIZE)
        sinks += [VirtualCamera(None, SIZE, 240, placeholder=idle), Window()]
        run(stage, fault, when, sinks, card_too)
        for one in sinks:
            one.close()
        seen = {layer: decoded(path) for layer, path in files.items() if path.is_file()}
    assert device.pictures
    seen.update(device=device.pictures, window=window.pictures)
    for picture in itertools.chain(*seen.values()):
        assert not show(picture).any()
    assert not any(picture[OUTSIDE].any() for picture in seen.get("alpha", []))


def decoded(path: Path) -> list[Picture]:
    with av.open(str(path)) as container:
        return [f.to_ndarray(format="bgr24") for f in container.decode(video=0)]


def test_what_sinks_show_would_be_noticed() -> None:
    """Without a fault the person is in all of them, and a raw frame would be seen in all."""
    with TemporaryDirectory() as folder, screens() as (device, window):
        path = Path(folder, "composite.mp4")
        sinks = [VideoWriter(path, SIZE, 25), VirtualCamera(None, SIZE, 240), Window()]
        frame = plain(MARKER, SIZE)
        for index in range(3):
            leak = Shot(frame, np.full(SIZE[::-1], 255, np.uint8), frame, index, index / 25, True)
            for one in sinks:
                one.send(leak)
            time.sleep(0.02)  # the camera shows at its own pace
        for one in sinks:
            one.close()
        shown = [decoded(path), device.pictures, window.pictures]
    assert all(any(show(picture).any() for picture in pictures) for pictures in shown)


def matte(alpha: np.ndarray | float, own: np.ndarray | float | None = None) -> Matte:
    """A matte of the networks' sizes with this alpha (64, 128); `own` is what the masks say."""
    full = np.broadcast_to(np.asarray(alpha, np.float32), HIGH).copy()
    masks = full if own is None else np.broadcast_to(np.asarray(own, np.float32), HIGH)
    low = masks[::4, ::4].copy()
    guide = np.zeros((*HIGH, 3), np.uint8)
    return HostMatte(full, np.zeros((*LOW, 3), np.float32), low, low.copy(), guide)


def band(left: float, right: float) -> np.ndarray:
    """Person from `left` to `right`, as shares of the width."""
    at = (np.arange(HIGH[1]) + 0.5) / HIGH[1]
    return np.tile(((at > left) & (at < right)).astype(np.float32), (HIGH[0], 1))


ROOM = np.random.default_rng(0).integers(0, 120, (*HIGH, 3), np.uint8)
STILL = np.full((*HIGH, 3), 90, np.uint8)


def showing(alpha: np.ndarray | float) -> Picture:
    """The room, and somebody bright where alpha says so: it changes where the matte does."""
    share = np.broadcast_to(np.asarray(alpha, np.float32), HIGH)[..., None]
    return np.rint(ROOM * (1 - share) + 220 * share).astype(np.uint8)


def judge(
    alphas: Sequence[np.ndarray | float],
    guard: Guard | None = None,
    *,
    fps: float = 30,
    pictures: Sequence[Picture] | None = None,
    own: Sequence[np.ndarray | float] | None = None,
) -> list[bool]:
    """For each alpha whether it leaves; by default pictures and masks are as it says."""
    guard = guard or Guard(now=lambda: 0.0)
    pictures = pictures or [showing(alpha) for alpha in alphas]
    own = own or alphas
    frames = [Frame(picture, i, i / fps) for i, picture in enumerate(pictures)]
    return [
        guard(frame, lambda a=alpha, o=masks: matte(a, o)) is not None  # type: ignore[misc]
        for frame, alpha, masks in zip(frames, alphas, own, strict=True)
    ]


@pytest.mark.parametrize(
    ("part", "value", "words"),
    [
        ("alpha", np.nan, "not a number"),
        ("coarse", np.inf, "not a number"),
        ("alpha", 1.5, "out of range"),
        ("unified", -0.5, "out of range"),
        ("residual", -1.5, "out of range"),
        ("residual", 1e30, "out of range"),
    ],
)
def test_check_names_what_is_wrong(part: str, value: float, words: str) -> None:
    bad = matte(band(0.3, 0.6))
    getattr(bad, part).flat[7] = value
    with pytest.raises(EngineError, match=words):
        check(bad)


@pytest.mark.parametrize("part", ["alpha", "coarse", "unified", "residual", "guide"])
def test_check_refuses_wrong_shapes(part: str) -> None:
    good = matte(band(0.3, 0.6))
    check(good)
    bad = replace(good, **{part: np.ascontiguousarray(getattr(good, part)[:-1])})
    with pytest.raises(EngineError, match="wrong size"):
        check(bad)


def test_a_matte_that_is_late_does_not_leave() -> None:
    now = 0.0

    def attempt(seconds: float) -> Matte:
        nonlocal now
        now += seconds
        return matte(band(0.3, 0.6))

    guard, frame = Guard(now=lambda: now), Frame(STILL, 0, 0.0)
    took = [0.1, LATE_S * 0.9, LATE_S * 1.1, 6.0, 0.1]
    assert [guard(frame, lambda s=s: attempt(s)) is not None for s in took] == [  # type: ignore[misc]
        True,
        True,
        False,
        False,
        True,
    ]
    assert guard.reason is None


SEATED, WIDE = band(0.3, 0.6), band(0.1, 0.8)


def frames_of(seconds: float, fps: float) -> int:
    """How many frames are held back that must last so long: the first begins the time."""
    return math.ceil(seconds * fps - 1e-6)


def test_a_matte_that_is_all_person_never_leaves() -> None:
    guard = Guard()
    assert judge([SEATED, *[1.0] * 20, SEATED], guard) == [True, *[False] * 20, True]
    assert judge([1.0] * 5) == [False] * 5
    assert judge([(1 + WHOLE) / 2] * 5) == [False] * 5


def test_a_first_matte_that_is_nearly_all_person_never_leaves() -> None:
    guard = Guard()
    assert judge([band(0, MOST + 0.07)] * 90, guard) == [False] * 90
    assert guard.reason == WHOLE_TEXT
    assert judge([band(0.1, 0.9)] * 2) == [True, True]


@pytest.mark.parametrize("fps", [5, 15, 30, 60])
def test_a_jump_is_held_for_a_moment(fps: float) -> None:
    held = frames_of(JUMP_S, fps)
    told = judge([SEATED, *[WIDE] * 10], fps=fps)
    assert told == [True, *[False] * held, *[True] * (10 - held)]
    flash = judge([SEATED, WIDE, SEATED, WIDE, SEATED], fps=fps)
    assert flash == [True, False, True, False, True]


def test_jumps_that_do_not_agree_are_all_held() -> None:
    elsewhere = [band(0.0, 0.3), band(0.7, 1.0), band(0.35, 0.65)] * 10
    assert judge([np.zeros(HIGH), *elsewhere]) == [True, *[False] * 30]


@pytest.mark.parametrize("share", [0.2, 0.6, 0.8, 0.975])
@pytest.mark.parametrize("masks_too", [False, True])
def test_a_jump_before_a_picture_that_does_not_change_never_leaves(
    share: float, masks_too: bool
) -> None:
    """A fault that lasts: in the last network alone, or in all of them."""
    guard, wrong = Guard(now=lambda: 0.0), np.maximum(band(0, share), SEATED)
    alphas = [SEATED, *[wrong] * 200, SEATED]
    own = alphas if masks_too else [SEATED] * 202
    told = judge(alphas, guard, pictures=[showing(SEATED)] * 202, own=own)
    assert told == [True, *[False] * 200, True]


@pytest.mark.parametrize("share", [0.6, 0.95])
def test_a_matte_beyond_its_own_masks_never_leaves(share: float) -> None:
    """Whatever the picture does, and as a first matte, too."""
    alphas = [SEATED, *[band(0, share)] * 100]
    told = judge(alphas, own=[SEATED] * 101)
    assert told == [True, *[False] * 100]
    guard = Guard()
    assert judge([band(0, share)] * 100, guard, own=[SEATED] * 100) == [False] * 100
    assert guard.reason == EXCESS_TEXT


@pytest.mark.parametrize("before_a_still", [False, True])
def test_a_rise_of_a_fifth_a_frame_is_held(before_a_still: bool) -> None:
    shares = [0.2, 0.39, 0.58, 0.77, *[0.96] * 60]
    alphas = [band(0, share) for share in shares]
    pictures = [STILL] * len(alphas) if before_a_still else None
    assert judge(alphas, pictures=pictures) == [True, *[False] * (len(alphas) - 1)]


def test_nothing_creeps_out_before_a_still_picture() -> None:
    """0.01 a frame, all masks agreeing: 2 seconds later it would be 0.6 more."""
    guard = Guard(now=lambda: 0.0)
    told = judge([band(0, 0.2 + 0.01 * i) for i in range(60)], guard, pictures=[STILL] * 60)
    assert told.index(False) <= math.ceil(UNSEEN / 0.01) + 1
    assert not any(told[told.index(False) :])
    assert guard.reason == UNSEEN_TEXT


def test_who_was_lost_for_a_moment_comes_back_at_once() -> None:
    """And a picture that stands still meanwhile does not speak against it."""
    alphas = [SEATED, SEATED, 0.0, 0.0, SEATED]
    assert judge(alphas, pictures=[showing(SEATED)] * 5)[-1]


def test_an_unsure_mask_must_last() -> None:
    """In nobody's place, as a first matte and later: DOUBT_S; somebody sure comes at once."""
    faint, fps, frames = 0.7 * SEATED, 32, 60
    held = frames_of(DOUBT_S, fps)
    then = [*[False] * held, *[True] * (frames - held)]
    assert judge([SEATED] * frames, fps=fps, own=[faint] * frames) == then
    alphas = [0.0, *[SEATED] * frames]
    assert judge(alphas, fps=fps, own=[0.0, *[faint] * frames]) == [True, *then]
    assert judge([0.0, *[band(0.3, 0.36)] * 5]) == [True] * 6
    guard = Guard()
    assert not judge([SEATED], guard, own=[faint])[0]
    assert guard.reason == DOUBT_TEXT


def test_a_doubt_does_not_creep_in() -> None:
    """A false alarm that grows by half a percent a frame is somebody new at the first of them."""
    shares = [0.004 * i for i in range(1, 30)]
    blurred = [np.full(HIGH, share, np.float32) for share in shares]
    told = judge(blurred, own=[0.7 * alpha for alpha in blurred])
    assert told == [share <= NOBODY for share in shares]


def test_a_doubt_that_comes_and_goes_never_lasts() -> None:
    alphas = [0.0, *[SEATED, SEATED, 0.0] * 40]
    told = judge(alphas, own=[0.7 * np.asarray(alpha) for alpha in alphas])
    assert all(leaves == (np.max(alpha) == 0) for leaves, alpha in zip(told, alphas, strict=True))


LITTLE = band(10 / 32, 11 / 32)  # a column of the guard's sparse matte


def test_what_is_small_must_be_sure_for_a_moment() -> None:
    """A chair's back at the edge of an empty room is sure in some frames, never in many."""
    fps, frames = 30, 40
    held = frames_of(SURE_S, fps)
    told = judge([0.0, *[LITTLE] * frames], fps=fps, own=[0.0, *[0.9 * LITTLE] * frames])
    assert told == [True, *[False] * held, *[True] * (frames - held)]
    wavers = [*[0.9 * LITTLE] * (held - 1), 0.7 * LITTLE] * 8  # of its mask: sure, and then not
    assert judge([LITTLE] * len(wavers), fps=fps, own=wavers) == [False] * len(wavers)


def test_what_is_small_and_never_sure_must_last_longer() -> None:
    fps, held = 8, frames_of(SMALL_DOUBT_S, 8)
    told = judge([LITTLE] * (held + 5), fps=fps, own=[0.7 * LITTLE] * (held + 5))
    assert told == [*[False] * held, *[True] * 5]


def test_who_grows_is_shown_once_large_enough() -> None:
    """Whoever comes in waits for no moment once there is more of them."""
    shares = [count / 32 for count in range(1, 6)]
    alphas = [band(0, share) for share in shares]
    assert judge(alphas, own=[0.9 * alpha for alpha in alphas]) == [
        share > SMALL for share in shares
    ]
    assert all(judge(alphas))  # surer than any chair


def test_an_inverted_matte_of_the_same_coverage_is_a_jump() -> None:
    assert judge([band(0.0, 0.5), band(0.5, 1.0), band(0.0, 0.5)]) == [True, False, True]


def test_whoever_leaves_is_gone_at_once() -> None:
    assert judge([band(0.1, 0.9), 0.0, 0.0]) == [True, True, True]


def test_strict_lets_jumps_through_and_raises() -> None:
    guard = Guard(strict=True)
    assert judge([band(0.0, 0.3), 1.0, band(0.7, 1.0)], guard) == [True, True, True]
    with pytest.raises(EngineError):
        guard(Frame(STILL, 0, 0.0), lambda: matte(np.nan))


def test_reset_forgets_the_last_matte() -> None:
    guard = Guard()
    assert judge([band(0.0, 0.3)], guard) == [True]
    guard.reset()
    assert judge([band(0.5, 0.9)], guard) == [True]


@pytest.mark.parametrize("fps", [5, 15, 30, 60])
def test_who_walks_through_is_never_blanked(fps: int) -> None:
    """0.9 pictures a second: a person of 40 % of the width in brisk walk, near the camera."""
    left = np.arange(-0.4, 1.0, 0.9 / fps)
    assert all(judge([band(a, a + 0.4) for a in left], fps=fps))


@pytest.mark.parametrize("fps", [8, 15, 30, 60])
def test_who_stands_up_close_is_never_blanked(fps: int) -> None:
    """From a third of the picture to nearly all of it in 0.6 s, and back."""
    grow = np.linspace(0.17, 0.49, max(2, round(0.6 * fps)))
    half = [*[0.17] * 3, *grow, *[0.49] * 10, *grow[::-1], 0.17]
    assert all(judge([band(0.5 - h, 0.5 + h) for h in half], fps=fps))


def test_a_hand_before_the_lens_is_withheld_until_it_goes() -> None:
    hand = band(0.02, 1.0)
    told = judge([SEATED, SEATED, *[hand] * 20, SEATED])
    assert told == [True, True, *[False] * 20, True]


def halves(upper: Picture, lower: Picture, share: float) -> Picture:
    """The rows of one picture above those of another."""
    row = round(share * len(upper))
    return np.concatenate((upper[:row], lower[row:]))


OTHERS = [np.full((*HIGH, 3), 128, np.uint8), ROOM[::-1, ::-1] + np.uint8(90)]


@pytest.mark.parametrize("other", OTHERS, ids=["grey", "another room"])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
@pytest.mark.parametrize("above", [False, True])
def test_rows_of_another_picture_are_seen(other: Picture, share: float, above: bool) -> None:
    """Whatever the networks say of them; and the next whole frame leaves at once."""
    good = np.clip(portrait(HIGH[1], HIGH[0]).picture, 0, 255)
    torn = halves(other, good, share) if above else halves(good, other, share)
    guard = Guard(now=lambda: 0.0)
    told = judge([SEATED] * 5, guard, pictures=[good, good, torn, good, good])
    assert told == [True, True, False, True, True]
    judge([SEATED], guard, pictures=[torn])
    assert guard.reason == TORN_TEXT


@pytest.mark.parametrize("above", [False, True])
def test_rows_of_another_person_in_the_same_room_are_seen(above: bool) -> None:
    """Only the columns of the two change, and the seam is straight in these alone."""
    one = portrait(HIGH[1], HIGH[0], centre=(44, 34), radius=9, soft=2).picture
    two = portrait(HIGH[1], HIGH[0], centre=(84, 34), radius=9, soft=2).picture
    torn = halves(two, one, 0.55) if above else halves(one, two, 0.55)
    guard = Guard(now=lambda: 0.0)
    assert judge([SEATED] * 4, guard, pictures=[one, one, torn, one]) == [True, True, False, True]


def test_who_moves_before_a_still_room_is_no_tear() -> None:
    """A bar that rises, with a straight upper edge as wide as the person's share may be."""
    shares = [0.1, 0.15, 0.17]
    for share in shares:
        still, moved = STILL.copy(), STILL.copy()
        moved[HIGH[0] // 2 :, : round(share * HIGH[1])] = 200
        assert judge([SEATED] * 2, pictures=[still, moved]) == [True, True]


def test_a_tear_that_moves_never_leaves_and_one_that_stays_is_a_scene() -> None:
    good, other = portrait(HIGH[1], HIGH[0]).picture, OTHERS[0]
    moving = [halves(good, other, share) for share in (0.3, 0.5, 0.7, 0.4) * 20]
    assert judge([SEATED] * 81, pictures=[good, *moving]) == [True, *[False] * 80]
    told = judge([SEATED] * 41, pictures=[good, *[halves(good, other, 0.5)] * 40])
    held = frames_of(TORN_S, 30)
    assert told == [True, *[False] * held, *[True] * (40 - held)]


# What any faulty networks may say: bands of a matte, each with masks that agree or not.
faults = st.lists(
    st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0.2, 1), st.sampled_from([0, 0.5, 1])),
    min_size=1,
    max_size=40,
)


def told_of(
    said: list[tuple[float, float, float, float]], fps: float, picture: Picture | None
) -> list[tuple[float, np.ndarray]]:
    """Time and alpha on the guard's grid of each matte that left."""
    guard, left = Guard(now=lambda: 0.0), []
    random = np.random.default_rng(0)
    for i, (at, wide, level, agree) in enumerate(said):
        alpha = level * band(at, at + wide)
        shown = random.integers(0, 256, (*HIGH, 3), np.uint8) if picture is None else picture
        frame, made = Frame(shown, i, i / fps), matte(alpha, agree * alpha)
        if guard(frame, lambda m=made: m) is not None:  # type: ignore[misc]
            left.append((frame.time, sighting(frame, made).alpha))
    return left


@settings(max_examples=100, deadline=None)
@given(faults, st.sampled_from([5, 15, 30, 60]))
def test_nothing_new_leaves_before_a_picture_that_does_not_change(
    said: list[tuple[float, float, float, float]], fps: float
) -> None:
    """Whatever the networks say: no more than UNSEEN within MEMORY_S of the first."""
    left = told_of(said, fps, STILL)
    for at, alpha in left:
        if at - left[0][0] <= MEMORY_S:
            assert np.maximum(alpha - left[0][1], 0).mean() <= UNSEEN + 1e-6
    assert all(alpha.mean() <= MOST for _, alpha in left[:1])


@settings(max_examples=100, deadline=None)
@given(faults, st.sampled_from([5, 30]))
def test_no_more_leaves_than_the_masks_say(
    said: list[tuple[float, float, float, float]], fps: float
) -> None:
    """Whatever the picture does: where the masks say nobody, no more than EXCESS."""
    nobody = [(at, wide, level, 0.0) for at, wide, level, _ in said]
    assert all(alpha.mean() <= EXCESS + 1e-6 for _, alpha in told_of(nobody, fps, None))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.floats(0, 1), st.booleans())
def test_a_true_composite_passes(seed: int, softness: float, whole_picture_soft: bool) -> None:
    """Of any matte: soft everywhere, or with an edge, before any picture."""
    random = np.random.default_rng(seed)
    alpha = random.random(HIGH) if whole_picture_soft else band(0.3, 0.7) * (1 - softness)
    found = replace(
        matte(alpha),
        guide=random.integers(0, 256, (*HIGH, 3), np.uint8),
        residual=random.uniform(-1, 1, (*LOW, 3)).astype(np.float32),
    )
    width, height = 2 * HIGH[1], 2 * HIGH[0]
    picture = random.integers(0, 256, (height, width, 3), np.uint8)
    backdrop = random.integers(0, 256, (height, width, 3), np.uint8)
    composite, levels, _ = Compositor((width, height))(picture, found, backdrop)
    assert Guard().passes(composite, levels, found, backdrop)


def test_a_composite_that_shows_more_than_its_matte_does_not_pass() -> None:
    guard, found = Guard(), matte(band(0.3, 0.6))
    backdrop, frame = plain(BACKDROP, SIZE), portrait(*SIZE).picture
    composite, levels, _ = Compositor(SIZE)(frame, found, backdrop)
    assert guard.passes(composite, levels, found, backdrop)
    assert not guard.passes(frame, levels, found, backdrop)
    assert not guard.passes(frame, np.full_like(levels, 255), found, backdrop)
    assert guard.reason is not None


@pytest.mark.parametrize("size", [(64, 64), (640, 360), (1280, 720), (720, 1280)])
def test_the_card_has_its_text_in_the_middle(size: tuple[int, int]) -> None:
    picture = card(size)
    assert picture.shape == (size[1], size[0], 3)
    ys, xs = np.nonzero(np.abs(picture.astype(int) - picture[0, 0]).max(-1) > 20)
    assert xs.mean() == pytest.approx(size[0] / 2, rel=0.1)
    assert ys.mean() == pytest.approx(size[1] / 2, rel=0.1)
    assert 0.35 < np.ptp(xs) / size[0] < 0.65


def test_frame_of_the_tests_is_what_they_say() -> None:
    """Without a fault the person leaves, and the test would see the room if it left."""
    sink = ListSink(needs_foreground=True)
    assert run("source", "none", set(), [sink]) is None
    assert all(shot.has_person for shot in sink.shots)
    assert all((shot.composite[28:36, 60:68] == MARKER).all() for shot in sink.shots)
    frame = Frame(plain(MARKER, SIZE), 0, 0.0)
    leak = Shot(frame.image, np.full(SIZE[::-1], 255, np.uint8), frame.image, 0, 0.0, True)
    with pytest.raises(AssertionError):
        assert_nothing_raw([leak])
