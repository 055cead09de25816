"""The loop on toy networks: in step, closed when a stage fails, memory its own."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest
from conftest import ArraySource, FakeEngine, ListSink, fake_networks, loop_of, portrait

from bshm_live.compositing.background import Blur, Fixed, plain
from bshm_live.errors import EngineError
from bshm_live.loop.clock import KEPT, StageClock
from bshm_live.loop.pipeline import Pipeline
from bshm_live.matting.bshm import Bshm
from bshm_live.types import Frame, Shot

SIZE = (256, 128)
BACKDROP = (10, 200, 30)
FAULTS = ["raise", "nan", "inf", "high", "low"]


def scenes(count: int = 6) -> list[np.ndarray]:
    """A disc that walks to the right: each frame tells its number by its place."""
    return [
        portrait(*SIZE, centre=(60 + 24 * i, 64), radius=30, soft=4, seed=i).picture
        for i in range(count)
    ]


def build(engines: tuple[FakeEngine, ...] | None = None, **options: bool) -> Pipeline:
    background = Fixed(plain(BACKDROP, SIZE))
    return loop_of(Bshm(*(engines or fake_networks())), background, SIZE, **options)


def break_engine(engine: FakeEngine, fault: str, at: Callable[[int], bool]) -> None:
    """`engine` fails in one way at the runs for which `at` is true."""
    right = engine.function

    def wrong(feeds):  # type: ignore[no-untyped-def]
        out = {name: np.array(value) for name, value in right(feeds).items()}
        if not at(engine.calls):
            return out
        if fault == "raise":
            raise EngineError("told to fail")
        value = {"nan": np.nan, "inf": np.inf, "high": 3.0, "low": -2.0}[fault]
        for array in out.values():
            array[..., 5, 5] = value
        return out

    engine.function = wrong


def test_frame_n_leaves_with_matte_n() -> None:
    pictures, sink = scenes(), ListSink()
    assert build(smooth=False).run(ArraySource(pictures), [sink]) == len(pictures)
    for number, shot in enumerate(sink.shots):
        assert shot.index == number
        centre = (np.flatnonzero(shot.alpha[64] > 127)).mean()
        assert centre == pytest.approx(60 + 24 * number, abs=3)
        solid = shot.alpha == 255
        assert solid.sum() > 1000
        assert (shot.composite[solid] == pictures[number][solid]).all()
        assert (shot.composite[shot.alpha == 0] == BACKDROP).all()


@pytest.mark.parametrize("stage", [0, 1, 2], ids=["mpn", "qun", "mrn"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_failing_stage_shows_the_background_and_no_raw_pixel(stage: int, fault: str) -> None:
    engines = fake_networks()
    break_engine(engines[stage], fault, lambda call: call in (3, 4))
    pipeline, sink = build(engines), ListSink(needs_foreground=True)
    pipeline.run(ArraySource(scenes()), [sink])
    for shot in sink.shots:
        if not shot.has_person:
            assert (shot.composite == BACKDROP).all()
            assert not shot.alpha.any()
            assert shot.foreground is not None
            assert not shot.foreground.any()
    # MPN's and QUN's faults may be healed by the stages behind them; MRN's cannot.
    if stage == 2 or fault in ("raise", "nan"):
        assert [shot.has_person for shot in sink.shots] == [True, True, False, False, True, True]
    assert sink.shots[-1].has_person


def test_the_first_frame_is_withheld_when_the_networks_are_broken() -> None:
    engines = fake_networks()
    break_engine(engines[0], "raise", lambda call: True)
    sink = ListSink()
    pipeline = build(engines)
    pipeline.run(ArraySource(scenes()), [sink])
    assert all((shot.composite == BACKDROP).all() for shot in sink.shots)
    assert pipeline.trouble == "told to fail"


def test_a_blur_without_a_matte_shows_nothing_of_the_room() -> None:
    engines = fake_networks()
    break_engine(engines[2], "raise", lambda call: True)
    pipeline = loop_of(Bshm(*engines), Blur(20, SIZE), SIZE)
    sink = ListSink()
    pipeline.run(ArraySource(scenes(2)), [sink])
    assert all(np.ptp(shot.composite) == 0 for shot in sink.shots)


def test_files_raise_where_live_covers() -> None:
    engines = fake_networks()
    break_engine(engines[2], "nan", lambda call: call == 2)
    with pytest.raises(EngineError):
        build(engines, fail_closed=False).run(ArraySource(scenes()), [ListSink()])


def test_other_sizes_are_fitted_and_mirrored() -> None:
    picture = portrait(400, 400, centre=(100, 200), radius=60).picture
    sink = ListSink()
    build(mirror=True).run(ArraySource([picture]), [sink])
    assert sink.shots[0].composite.shape == (SIZE[1], SIZE[0], 3)
    assert np.flatnonzero(sink.shots[0].alpha[64] > 127).mean() > SIZE[0] / 2


@pytest.mark.parametrize(
    ("degrees", "down", "right"), [(90, False, True), (180, True, True), (270, True, False)]
)
def test_a_turn_is_clockwise(degrees: int, down: bool, right: bool) -> None:
    """The upper left corner goes to the upper right, the lower right, the lower left."""
    size = SIZE if degrees == 180 else SIZE[::-1]
    picture = portrait(*size, centre=(20, 20), radius=18).picture
    sink = ListSink()
    build(rotate=degrees, fail_closed=False).run(ArraySource([picture]), [sink])
    assert sink.shots[0].composite.shape == (SIZE[1], SIZE[0], 3)
    rows, columns = np.nonzero(sink.shots[0].alpha > 127)
    assert (rows.mean() > SIZE[1] / 2, columns.mean() > SIZE[0] / 2) == (down, right)


def test_a_phone_s_picture_is_shown_whole_where_asked_for() -> None:
    picture = portrait(100, 200, centre=(50, 30), radius=28).picture  # cut to fill: no head
    sinks = ListSink(), ListSink()
    build(fail_closed=False).run(ArraySource([picture]), [sinks[0]])
    build(whole=True, fail_closed=False).run(ArraySource([picture]), [sinks[1]])
    cut, whole = (sink.shots[0] for sink in sinks)
    sides = np.s_[:, : SIZE[0] // 8]
    assert (whole.composite[sides] == BACKDROP).all()
    assert not whole.alpha[sides].any()
    assert (whole.alpha > 127).any()
    assert not (cut.alpha > 127).any()


def test_a_card_stands_in_where_one_is_given() -> None:
    engines = fake_networks()
    break_engine(engines[2], "raise", lambda call: call == 2)
    sink, cover = ListSink(), plain((1, 2, 3), SIZE)
    background = Fixed(plain(BACKDROP, SIZE))
    loop_of(Bshm(*engines), background, SIZE, card=cover).run(ArraySource(scenes(3)), [sink])
    assert [(shot.composite == (1, 2, 3)).all() for shot in sink.shots] == [False, True, False]


def hints_given(engines: tuple[FakeEngine, ...]) -> list[bool]:
    """Fills, at every run of MPN, with whether it was given a hint."""
    given: list[bool] = []
    right = engines[0].function

    def watched(feeds):  # type: ignore[no-untyped-def]
        given.append(bool(feeds["hint"].any()))
        return right(feeds)

    engines[0].function = watched
    return given


def test_a_matte_in_doubt_is_no_hint_for_the_next() -> None:
    engines = fake_networks()
    given = hints_given(engines)
    break_engine(engines[2], "nan", lambda call: call == 3)
    build(engines).run(ArraySource(scenes()), [ListSink()])
    assert given == [False, True, True, False, True, True]


@pytest.mark.parametrize(
    ("session", "pause", "forgets"),
    [(0, 0.1, False), (0, 5.0, True), (1, 0.04, True), (0, -3.0, True)],
    ids=["no gap", "a gap", "the camera opened anew", "the time begins again"],
)
def test_after_a_gap_the_last_matte_is_no_hint(session: int, pause: float, forgets: bool) -> None:
    engines = fake_networks()
    given = hints_given(engines)
    picture = scenes(1)[0]
    times = [0.0, 0.04, 0.04 + pause, 0.08 + pause]
    frames = [Frame(picture, i, t, None, session * (i >= 2)) for i, t in enumerate(times)]
    pipeline = build(engines)
    assert pipeline.run(frames, [ListSink()]) == 4
    assert given == [False, True, not forgets, True]


def test_the_delay_is_measured_behind_the_last_sink() -> None:
    class SlowSink(ListSink):
        def send(self, shot: Shot) -> None:
            time.sleep(0.02)
            super().send(shot)

    picture, pipeline = scenes(1)[0], build()
    now = time.monotonic()
    frames = [Frame(picture, 0, 0.0), Frame(picture, 1, 0.04, now - 0.1)]
    pipeline.run(frames, [ListSink(), SlowSink()])
    assert len(pipeline.clock.delays) == 1  # files have no time of capture
    told, most = pipeline.clock.delays[0], (time.monotonic() - now + 0.1) * 1e3
    assert 120 < told <= most


def test_nobody_is_cut_out_of_a_picture_with_a_fault() -> None:
    """Not even by networks that see somebody; and at once again behind it."""
    engines, sink = fake_networks(), ListSink()
    pipeline = build(engines, smooth=False)
    faults = [None, None, "frozen", "frozen", None, None]
    for number, (picture, fault) in enumerate(zip(scenes(), faults, strict=True)):
        frame = Frame(picture, number, number / 25, fault=fault)
        sink.send(pipeline.shoot(frame))
        assert pipeline.trouble == fault
    assert [shot.has_person for shot in sink.shots] == [fault is None for fault in faults]
    assert all((sink.shots[at].composite == BACKDROP).all() for at in (2, 3))
    assert engines[0].calls == 4


def test_a_bug_ends_the_loop_and_sends_nothing_more() -> None:
    engines = fake_networks()
    pipeline, sink = build(engines), ListSink()
    right = engines[1].function

    def wrong(feeds):  # type: ignore[no-untyped-def]
        if engines[1].calls == 3:
            raise ZeroDivisionError
        return right(feeds)

    engines[1].function = wrong
    with pytest.raises(ZeroDivisionError):
        pipeline.run(ArraySource(scenes()), [sink])
    assert len(sink.shots) == 2


def test_after_can_stop_the_loop() -> None:
    assert build().run(ArraySource(scenes()), [], lambda shot: shot.index < 2) == 3


def test_the_clock_keeps_a_bounded_number_of_times() -> None:
    clock = StageClock()
    for _ in range(KEPT + 5):
        clock("mpn")
    assert len(clock.times["mpn"]) == KEPT
    assert list(clock.quantiles()) == ["mpn"]


def test_what_the_input_has_cut_away_stays_away() -> None:
    """alpha_out = alpha alpha_in; where the input is transparent, the background alone."""
    own = np.full(SIZE[::-1], 255, np.uint8)
    own[:, :128] = 0
    own[:64, 128:] = 128
    pictures = scenes(3)
    plain_sink, cut_sink = ListSink(needs_foreground=True), ListSink(needs_foreground=True)
    build(smooth=False).run(ArraySource(pictures), [plain_sink])
    frames = [Frame(p, i, i / 25, alpha=own) for i, p in enumerate(pictures)]
    build(smooth=False).run(frames, [cut_sink])
    assert any(shot.alpha[:, :128].max() > 200 for shot in plain_sink.shots)
    for whole, cut in zip(plain_sink.shots, cut_sink.shots, strict=True):
        assert np.abs(cut.alpha - whole.alpha / 255 * own).max() <= 0.5 + 1e-6
        assert (cut.composite[:, :128] == BACKDROP).all()
        assert cut.foreground is not None
        assert not cut.foreground[:, :128].any()
        assert np.array_equal(cut.composite[64:, 128:], whole.composite[64:, 128:])
