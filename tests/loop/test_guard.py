"""What may leave: every stage is made to fail in every way, and not one raw pixel gets out."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
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
from bshm_live.errors import EngineError, SourceError
from bshm_live.loop.guard import APPEARS, HELD, LATE_S, MOST, WHOLE, Guard
from bshm_live.loop.parts import Always, cpu_parts
from bshm_live.loop.pipeline import Pipeline
from bshm_live.loop.stage import Stage
from bshm_live.matting.bshm import Bshm
from bshm_live.matting.check import check
from bshm_live.sinks import virtual_camera as sink_vcam
from bshm_live.sinks.video_file import VideoWriter
from bshm_live.sinks.virtual_camera import VirtualCamera
from bshm_live.sinks.window import Window
from bshm_live.types import Frame, HostMatte, Matte, Picture, Shot

LOW, HIGH = (16, 32), (64, 128)
SIZE = (128, 64)
MARKER = (200, 40, 220)  # every pixel of every frame; no background has it
BACKDROP = (10, 200, 30)
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
    stage: str, fault: str, when: set[int], sinks: list, card_too: bool = False
) -> Exception | None:
    """What ended the loop, None where it went through."""
    source = SpoiltSource(fault if stage == "source" else None, when)
    setting: Any = SimpleNamespace(
        **vars(Stage(Fixed(plain(BACKDROP, SIZE)), card=card(SIZE) if card_too else None))
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


stages_fail = given(
    st.sampled_from(STAGES),
    st.sampled_from(FAULTS),
    st.sets(st.integers(0, FRAMES - 1), min_size=1),
    st.booleans(),
)


def times_of(fault: str, when: set[int]) -> set[int]:
    """A jump that lasts is believed in the end, and so is one at the start."""
    first = max(2, min(when))
    return {first, first + 1} if fault == "jump" else when


@settings(max_examples=60, deadline=None)
@stages_fail
def test_whenever_a_stage_fails_no_raw_pixel_gets_out(
    stage: str, fault: str, when: set[int], card_too: bool
) -> None:
    sink = ListSink(needs_foreground=True)
    run(stage, fault, times_of(fault, when), [sink], card_too)
    assert_nothing_raw(sink.shots, stage == "background")


class Screen:
    """A virtual camera's device, or a window, that keeps what it is shown."""

    device = "/dev/video10"

    def __init__(self) -> None:
        self.pictures: list[Picture] = []

    def show(self, picture: Picture) -> None:
        self.pictures.append(picture.copy())

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
        run(stage, fault, times_of(fault, when), sinks, card_too)
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


def matte(alpha: np.ndarray | float) -> Matte:
    """A matte of the networks' sizes with this alpha (64, 128)."""
    full = np.broadcast_to(np.asarray(alpha, np.float32), HIGH).copy()
    low = np.full(LOW, 0.5, np.float32)
    guide = np.zeros((*HIGH, 3), np.uint8)
    return HostMatte(full, np.zeros((*LOW, 3), np.float32), low, low.copy(), guide)


def band(left: float, right: float) -> np.ndarray:
    """Person from `left` to `right`, as shares of the width."""
    at = (np.arange(HIGH[1]) + 0.5) / HIGH[1]
    return np.tile(((at > left) & (at < right)).astype(np.float32), (HIGH[0], 1))


def judge(alphas: list, guard: Guard | None = None) -> list[bool]:
    """For each alpha whether it leaves."""
    guard = guard or Guard()
    return [guard(lambda a=a: matte(a)) is not None for a in alphas]  # type: ignore[misc]


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

    guard = Guard(now=lambda: now)
    took = [0.1, LATE_S * 0.9, LATE_S * 1.1, 6.0, 0.1]
    assert [guard(lambda s=s: attempt(s)) is not None for s in took] == [  # type: ignore[misc]
        True,
        True,
        False,
        False,
        True,
    ]
    assert guard.reason is None


def test_a_matte_that_is_all_person_never_leaves() -> None:
    guard = Guard()
    assert judge([band(0.3, 0.6), *[1.0] * 20, band(0.3, 0.6)], guard) == [
        True,
        *[False] * 20,
        True,
    ]
    assert judge([1.0] * 5) == [False] * 5
    assert judge([(1 + WHOLE) / 2] * 5) == [False] * 5


def test_a_first_matte_that_is_nearly_all_person_must_be_confirmed() -> None:
    assert judge([(1 + MOST) / 2] * 5) == [False] * HELD + [True] * (5 - HELD)
    assert judge([0.8] * 2) == [True, True]


def test_a_jump_is_held_until_it_is_confirmed() -> None:
    seated, wide = band(0.3, 0.6), band(0.1, 0.9)
    assert judge([seated, *[wide] * 5]) == [True] + [False] * HELD + [True] * (5 - HELD)
    assert judge([seated, wide, seated, wide, wide, seated]) == [
        True,
        False,
        True,
        False,
        False,
        True,
    ]
    elsewhere = [band(0.0, 0.3), band(0.7, 1.0), band(0.35, 0.65)]  # no two agree
    assert judge([np.zeros(HIGH), *elsewhere]) == [True, False, False, False]


def test_an_inverted_matte_of_the_same_coverage_is_a_jump() -> None:
    assert judge([band(0.0, 0.5), band(0.5, 1.0), band(0.0, 0.5)]) == [True, False, True]


def test_whoever_leaves_is_gone_at_once() -> None:
    assert judge([band(0.1, 0.9), 0.0, 0.0]) == [True, True, True]


def test_strict_lets_jumps_through_and_raises() -> None:
    guard = Guard(strict=True)
    assert judge([band(0.0, 0.3), 1.0, band(0.7, 1.0)], guard) == [True, True, True]
    with pytest.raises(EngineError):
        guard(lambda: matte(np.nan))


def test_reset_forgets_the_last_matte() -> None:
    guard = Guard()
    assert judge([band(0.0, 0.3)], guard) == [True]
    guard.reset()
    assert judge([band(0.5, 0.9)], guard) == [True]


@pytest.mark.parametrize("fps", [5, 15, 30])
def test_who_walks_through_is_never_blanked(fps: int) -> None:
    """0.9 pictures a second: a person of 40 % of the width in brisk walk, near the camera."""
    left = np.arange(-0.4, 1.0, 0.9 / fps)
    assert all(judge([band(a, a + 0.4) for a in left]))


@pytest.mark.parametrize("fps", [8, 15, 30])
def test_who_stands_up_close_is_never_blanked(fps: int) -> None:
    """From a third of the picture to nearly all of it in 0.6 s, and back."""
    grow = np.linspace(0.17, 0.49, max(2, round(0.6 * fps)))
    half = [*[0.17] * 3, *grow, *[0.49] * 10, *grow[::-1], 0.17]
    assert all(judge([band(0.5 - h, 0.5 + h) for h in half]))


def test_a_hand_before_the_lens_blanks_two_frames() -> None:
    seated, hand = band(0.3, 0.6), band(0.02, 1.0)
    told = judge([seated, seated, *[hand] * 20, seated])
    assert told.count(False) == HELD


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


def test_jumps_are_measured_in_what_appears() -> None:
    assert judge([band(0, 0.3), band(0, 0.3 + 0.9 * APPEARS)]) == [True, True]
    assert judge([band(0, 0.3), band(0, 0.3 + 1.2 * APPEARS)]) == [True, False]


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
