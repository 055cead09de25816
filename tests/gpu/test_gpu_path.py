"""The whole data path of the GPU on its in-memory twin, beside the CPU's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from conftest import ArraySource, FakeEngine, ListSink, fake_networks, loop_of, portrait, stages
from gpu_twin import HostCuda, host_engines, host_kernels

from bshm_live.compositing.background import Background, Blur, Fixed, cover, plain
from bshm_live.compositing.compositor import Compositor
from bshm_live.errors import EngineError
from bshm_live.gpu.compositor import GpuCompositor
from bshm_live.gpu.parts import GpuParts, gpu_parts
from bshm_live.loop.in_flight import InFlight
from bshm_live.loop.parts import Always, cpu_parts
from bshm_live.loop.pipeline import Pipeline
from bshm_live.loop.stage import Stage
from bshm_live.matting.bshm import Bshm
from bshm_live.matting.head import Head
from bshm_live.matting.temporal import Steadier
from bshm_live.runtimes.manifest import load_manifest
from bshm_live.runtimes.onnxruntime import OnnxRuntimeEngine
from bshm_live.sources.video_file import VideoFile, demo_clip
from bshm_live.types import Frame, Matte, Place, Shot

SIZE = (256, 128)
BACKDROP = (10, 200, 30)
Engines = tuple[FakeEngine, FakeEngine, FakeEngine]


@pytest.fixture
def make() -> Callable[..., GpuParts]:
    def build(engines: Engines | None = None, seed: int | None = None, **options) -> GpuParts:  # type: ignore[no-untyped-def]
        cuda = HostCuda(host_kernels(), seed=seed)
        size = options.pop("size", SIZE)
        return gpu_parts(cuda, host_engines(cuda, engines or fake_networks()), size, **options)

    return build


def twin(parts: GpuParts) -> HostCuda:
    assert isinstance(parts.matting.cuda, HostCuda)
    return parts.matting.cuda


def on_gpu(parts: GpuParts, background: Background) -> Pipeline:
    """The loop of a live picture."""
    size = parts.compositor.size
    return Pipeline(Always(parts), stages(background), size)


def shots_of(pipeline: Pipeline, pictures: list[np.ndarray]) -> list[Shot]:
    """What left, copied, foreground included."""
    sink = ListSink(needs_foreground=True)
    pipeline.run(ArraySource(pictures), [sink])
    return sink.shots


def scenes(count: int = 6, size: tuple[int, int] = SIZE) -> list[np.ndarray]:
    """A soft disc that walks to the right: each frame tells its number by its place."""
    return [
        portrait(*size, centre=(60 + 12 * i, 64), radius=40, soft=12, seed=i).picture
        for i in range(count)
    ]


def frames(pictures: list[np.ndarray]) -> list[Frame]:
    return list(ArraySource(pictures))


def layers(shot: Shot) -> tuple[np.ndarray, ...]:
    assert shot.foreground is not None
    return shot.composite, shot.alpha, shot.foreground


def break_at(engine: FakeEngine, calls: set[int], value: float = np.nan) -> None:
    """One wrong number in what an engine gives at these calls, counted from 1."""
    right = engine.function

    def wrong(feeds):  # type: ignore[no-untyped-def]
        out = {name: np.array(array) for name, array in right(feeds).items()}
        if engine.calls in calls:
            next(iter(out.values()))[..., 5, 5] = value
        return out

    engine.function = wrong


# ---- The same loop -------------------------------------------------------------------------


@pytest.mark.parametrize("size", [SIZE, (400, 224), (512, 256)], ids=str)
@pytest.mark.parametrize("wrap", [0.0, 0.5], ids=["plain", "light wrap"])
def test_the_loop_gives_what_it_gives_on_the_cpu(
    make: Callable[..., GpuParts], size: tuple[int, int], wrap: float
) -> None:
    pictures, background = scenes(size=size), Fixed(plain(BACKDROP, size))
    cpu, gpu = ListSink(needs_foreground=True), ListSink(needs_foreground=True)
    loop = loop_of(Bshm(*fake_networks()), background, size, wrap=wrap)
    loop.run(ArraySource(pictures), [cpu])
    parts = make(size=size, wrap=wrap)
    on_gpu(parts, background).run(ArraySource(pictures), [gpu])
    for one, other in zip(gpu.shots, cpu.shots, strict=True):
        assert one.has_person == other.has_person
        for name in ("composite", "alpha", "foreground"):
            mine, theirs = getattr(one, name).astype(int), getattr(other, name)
            assert np.abs(mine - theirs).max() <= 1
    twin(parts).check_fences()
    parts.close()
    assert not twin(parts).held


@pytest.mark.usefixtures("sure")
@pytest.mark.parametrize(
    "look", [{"framing": "head"}, {"subject": 1}, {"place": Place(75, 100, 50)}]
)
def test_framing_subject_and_place_are_the_same_on_the_gpu(
    make: Callable[..., GpuParts], look: dict[str, Any]
) -> None:
    """The window moves, and with it what is remembered; the other person's alpha goes."""
    pictures = [portrait(*SIZE, centre=(90, 60), radius=34, soft=12, seed=1).picture] * 12
    for picture in pictures[:1]:
        cv2.circle(picture, (225, 100), 14, (200, 210, 230), -1)
    points = np.full((7, 2), 60, np.float32) + np.array([[30, 0]], np.float32)
    points[5:] = (90, 90), (90, 30)
    shots = []
    parts = make()
    for these in (cpu_parts(Bshm(*fake_networks()), SIZE), parts):
        stage, sink = Stage(Fixed(plain(BACKDROP, SIZE)), **look), ListSink(needs_foreground=True)
        find = lambda picture: [Head(points, 0.9)]  # noqa: E731
        pipeline = Pipeline(Always(these), lambda stage=stage: stage, SIZE, find=find)  # type: ignore[misc]
        pipeline.run(ArraySource(pictures, fps=8), [sink])
        shots.append(sink.shots)
    for one, other in zip(*shots, strict=True):
        assert one.has_person
        assert other.has_person
        apart = np.abs(one.composite.astype(int) - other.composite)
        assert apart.mean() < 0.3  # where two people are parted the grids may differ by a cell
        assert np.quantile(apart, 0.98) <= 2
    if "framing" in look:
        first, last = shots[1][0].alpha, shots[1][-1].alpha
        assert (last > 127).mean() > 1.1 * (first > 127).mean()
    if "subject" in look:
        assert not shots[1][-1].alpha[:, 205:].any()
    twin(parts).check_fences()
    parts.close()


def test_real_networks_agree_on_real_frames() -> None:
    """ONNX Runtime in both; bound: 1 level for 99.9 % of all values, nothing beyond 8."""
    size = (640, 360)
    networks = load_manifest().preset("fast")
    engines = [OnnxRuntimeEngine(networks[name].path, 1) for name in ("mpn", "qun", "mrn")]
    source = VideoFile(demo_clip())
    pictures = [cover(frame.image, size) for _, frame in zip(range(4), source, strict=False)]
    source.close()
    background = Fixed(plain(BACKDROP, size))
    cpu, gpu = ListSink(), ListSink()
    loop_of(Bshm(*engines), background, size).run(ArraySource(pictures), [cpu])
    cuda = HostCuda(host_kernels(), seed=1)
    parts = gpu_parts(cuda, host_engines(cuda, engines), size)
    on_gpu(parts, background).run(ArraySource(pictures), [gpu])
    for one, other in zip(gpu.shots, cpu.shots, strict=True):
        apart = np.abs(one.composite.astype(int) - other.composite)
        assert np.quantile(apart, 0.999) <= 1
        assert apart.max() <= 8
        assert 0.02 < (other.alpha > 128).mean() < 0.98
    parts.close()


def test_a_blur_sees_the_matte_that_lies_on_the_gpu(make: Callable[..., GpuParts]) -> None:
    cpu, gpu = ListSink(), ListSink()
    loop_of(Bshm(*fake_networks()), Blur(20, SIZE), SIZE).run(ArraySource(scenes(3)), [cpu])
    parts = make(seed=3)
    on_gpu(parts, Blur(20, SIZE)).run(ArraySource(scenes(3)), [gpu])
    for one, other in zip(gpu.shots, cpu.shots, strict=True):
        assert np.abs(one.composite.astype(int) - other.composite).max() <= 1


def test_the_matter_alone_serves_the_cpu_s_loop(make: Callable[..., GpuParts]) -> None:
    """With a hint that lies here, the matte comes here: for whoever compares or swaps."""
    parts, cpu = make(), Bshm(*fake_networks())
    one, other = Steadier(), Steadier()
    kept: list[Matte] = []
    for picture in scenes(3):
        mine = one.steady(parts.matting.matte(picture, one.hint(picture)))
        theirs = other.steady(cpu.matte(picture, other.hint(picture)))
        kept.append(mine)
        for name in ("alpha", "residual", "unified", "coarse", "guide"):
            assert np.abs(getattr(mine, name).astype(float) - getattr(theirs, name)).max() < 1e-5
    assert not np.array_equal(kept[0].alpha, kept[1].alpha), "a matte is its caller's to keep"


def test_the_clock_hears_of_the_matte_once_it_is_there(make: Callable[..., GpuParts]) -> None:
    parts = make(seed=1)
    pipeline = on_gpu(parts, Fixed(plain(BACKDROP, SIZE)))
    pipeline.run(ArraySource(scenes(2)), [ListSink()])
    stages = ["matte", "temporal", "background", "composite", "sink"]
    assert list(pipeline.clock.quantiles()) == stages


def test_the_guard_fetches_no_full_matte(make: Callable[..., GpuParts], monkeypatch) -> None:  # type: ignore[no-untyped-def]
    """Two words, a sparse alpha and both small masks come back before the composite."""
    parts, back = make(), 0
    download = HostCuda.download

    def counted(self: HostCuda, array: np.ndarray, pointer: int, stream: int) -> None:
        nonlocal back
        back += array.nbytes
        download(self, array, pointer, stream)

    monkeypatch.setattr(HostCuda, "download", counted)
    on_gpu(parts, Fixed(plain(BACKDROP, SIZE))).run(ArraySource(scenes(1)), [ListSink()])
    full, low = SIZE[0] * SIZE[1], parts.matting.low[0] * parts.matting.low[1]
    assert back <= full * (3 + 1) + 3 * 4 * low + 64


# ---- Fail closed ---------------------------------------------------------------------------


@pytest.mark.parametrize("stage", [0, 1, 2], ids=["mpn", "qun", "mrn"])
def test_a_broken_matte_shows_the_background(make: Callable[..., GpuParts], stage: int) -> None:
    engines = fake_networks()
    break_at(engines[stage], {3, 4})
    seen = []
    for shot in shots_of(on_gpu(make(engines, seed=stage), Fixed(plain(BACKDROP, SIZE))), scenes()):
        seen.append(shot.has_person)
        if not shot.has_person:
            assert (shot.composite == BACKDROP).all()
            assert not shot.alpha.any()
            assert shot.foreground is not None
            assert not shot.foreground.any()
    assert seen == [True, True, False, False, True, True]


def test_after_a_fault_nothing_of_it_is_remembered(make: Callable[..., GpuParts]) -> None:
    engines = fake_networks()
    break_at(engines[2], {2})
    pictures, background = scenes(4), Fixed(plain(BACKDROP, SIZE))
    faulty = shots_of(on_gpu(make(engines), background), pictures)
    fresh = shots_of(on_gpu(make(), background), pictures[2:])
    for one, other in zip(faulty[2:], fresh, strict=True):
        assert all(map(np.array_equal, layers(one), layers(other)))


def test_a_file_stops_where_a_live_picture_goes_on(make: Callable[..., GpuParts]) -> None:
    engines, sink = fake_networks(), ListSink()
    break_at(engines[2], {2}, 3.0)
    pipeline = InFlight(make(engines), stages(Fixed(plain(BACKDROP, SIZE))), SIZE)
    with pytest.raises(EngineError, match="engines verify"):
        pipeline.run(ArraySource(scenes()), [sink])
    assert [shot.index for shot in sink.shots] == [0]


def test_an_engine_that_fails_leaves_no_trace(make: Callable[..., GpuParts]) -> None:
    engines = fake_networks()
    parts, background, sink = make(engines), Fixed(plain(BACKDROP, SIZE)), ListSink()
    right = engines[1].function

    def wrong(feeds):  # type: ignore[no-untyped-def]
        if engines[1].calls == 2:
            raise EngineError("told to fail")
        return right(feeds)

    engines[1].function = wrong
    on_gpu(parts, background).run(ArraySource(scenes(4)), [sink])
    assert [shot.has_person for shot in sink.shots] == [True, False, True, True]
    assert (sink.shots[1].composite == BACKDROP).all()


def test_the_background_alone_is_the_background_and_needs_no_gpu(
    make: Callable[..., GpuParts],
) -> None:
    background = portrait(*SIZE).background
    parts = make()
    before = len(twin(parts).launched)
    composite, alpha, front = parts.compositor.background_alone(background)
    assert np.array_equal(composite, background)
    assert not np.shares_memory(composite, background)
    assert not alpha.any()
    assert front is not None
    assert not front.any()
    assert len(twin(parts).launched) == before


# ---- Two frames in flight ------------------------------------------------------------------


class Changing:
    """Another background for every frame, as a video gives."""

    def __call__(self, frame: Frame, matte: Matte | None) -> np.ndarray:
        return plain((frame.index * 40 % 256, 90, 255 - frame.index * 30 % 256), SIZE)


@pytest.mark.parametrize("seed", range(8))
def test_two_in_flight_give_what_one_by_one_gives(make: Callable[..., GpuParts], seed: int) -> None:
    """However late or early the streams run."""
    pictures, parts = scenes(7), make(seed=seed)
    one = shots_of(on_gpu(make(), Changing()), pictures)
    two = shots_of(InFlight(parts, stages(Changing()), SIZE), pictures)
    for mine, right in zip(two, one, strict=True):
        assert mine.has_person
        assert all(map(np.array_equal, layers(mine), layers(right)))
    parts.close()


def test_a_gap_is_one_in_flight_too(make: Callable[..., GpuParts]) -> None:
    pictures = scenes(3)
    gap = [Frame(picture, i, i / 30 + 5 * (i == 2)) for i, picture in enumerate(pictures)]
    sink, fresh = ListSink(True), ListSink(True)
    InFlight(make(seed=1), stages(Changing()), SIZE).run(gap, [sink])
    InFlight(make(seed=2), stages(Changing()), SIZE).run(gap[2:], [fresh])
    assert all(map(np.array_equal, layers(sink.shots[2]), layers(fresh.shots[0])))


def test_shots_leave_in_order_one_frame_late(make: Callable[..., GpuParts]) -> None:
    taken: list[int] = []

    def source():  # type: ignore[no-untyped-def]
        for frame in frames(scenes(4)):
            taken.append(frame.index)
            yield frame

    left = []
    pipeline = InFlight(make(), stages(Fixed(plain(BACKDROP, SIZE))), SIZE)
    for frame, shot in pipeline.shots(source(), foreground=False):
        assert frame.index == shot.index
        left.append(shot.index)
        assert taken[-1] == min(shot.index + 1, 3)
    assert left == [0, 1, 2, 3]


# ---- Steadying, memory ------------------------------------------------------------


def test_the_steadier_forgets_when_told(make: Callable[..., GpuParts]) -> None:
    parts, picture, other = make(), scenes(1)[0], scenes(3)[2]

    def alpha(image: np.ndarray) -> np.ndarray:
        hint = parts.steadier.hint(image)
        return parts.steadier.steady(parts.matting.matte(image, hint)).alpha

    first = alpha(picture)
    alpha(other)
    assert not np.array_equal(alpha(picture), first)
    parts.steadier.reset()
    assert np.array_equal(alpha(picture), first)


def test_a_cut_forgets(make: Callable[..., GpuParts]) -> None:
    """Half the picture lights up: no hint and no filter of what was before."""
    parts, fresh = make(), make()
    picture = scenes(1)[0]
    bright = np.clip(picture.astype(int) + 90, 0, 255).astype(np.uint8)

    def alpha(of: GpuParts, image: np.ndarray) -> np.ndarray:
        return of.steadier.steady(of.matting.matte(image, of.steadier.hint(image))).alpha

    alpha(parts, picture)
    assert np.array_equal(alpha(parts, bright), alpha(fresh, bright))


def test_without_smoothing_hints_stay(make: Callable[..., GpuParts]) -> None:
    parts = make(smooth=False)
    for picture in scenes(2):
        matte = parts.matting.matte(picture, parts.steadier.hint(picture))
        raw = matte.alpha.copy()
        assert np.array_equal(parts.steadier.steady(matte).alpha, raw)
    hint = parts.matting.buffers["hint"]
    assert twin(parts).view(hint.pointer, hint.shape, hint.dtype).any()


def test_a_frame_decoded_into_pinned_memory_is_not_copied(make: Callable[..., GpuParts]) -> None:
    parts, pictures = make(), scenes(2)
    lane = parts.lanes.all[0]
    mine = lane.host("frame", pictures[0].shape)
    mine[...] = pictures[0]
    right = make().matting.matte(pictures[0])
    assert np.array_equal(parts.matting.matte(mine).alpha, right.alpha)


def test_a_new_picture_size_is_taken(make: Callable[..., GpuParts]) -> None:
    parts = make()
    for size in (SIZE, (300, 170), SIZE):
        picture = portrait(*size).picture
        right = Bshm(*fake_networks()).matte(picture)
        assert np.abs(parts.matting.matte(picture).alpha - right.alpha).max() < 1e-5


def test_too_large_a_picture_is_refused(make: Callable[..., GpuParts]) -> None:
    with pytest.raises(EngineError, match="too large"):
        make().matting.matte(np.zeros((128, 256 * 16, 3), np.uint8))


def test_wrong_mattes_are_refused(make: Callable[..., GpuParts]) -> None:
    parts, picture = make(), scenes(1)[0]
    with pytest.raises(TypeError):
        parts.steadier.steady(parts.matting.matte(picture))
    raw = parts.matting.matte(picture, parts.steadier.hint(picture))
    with pytest.raises(TypeError):
        parts.compositor(picture, raw, picture)
    with pytest.raises(ValueError, match="picture"):
        parts.compositor(picture[:64], parts.steadier.steady(raw), picture)


def test_stage_times_come_from_the_gpu_s_clock(make: Callable[..., GpuParts]) -> None:
    parts, picture = make(), scenes(1)[0]
    for lane in parts.lanes.all:
        lane.timed = True
    InFlight(parts, stages(Fixed(plain(BACKDROP, SIZE))), SIZE).run(frames([picture] * 3), [])
    found = ["upload", "preprocess", "mpn", "qun", "mrn", "temporal", "background", "composite"]
    assert list(parts.lanes.all[0].stage_ms()) == [*found, "download"]


def test_light_wrap_reaches_the_composite(make: Callable[..., GpuParts]) -> None:
    background = Fixed(plain((255, 255, 255), SIZE))
    (off,), (on,) = (
        shots_of(on_gpu(make(wrap=wrap), background), scenes(1)) for wrap in (0.0, 1.0)
    )
    assert np.array_equal(off.alpha, on.alpha)
    brighter = on.composite.astype(int) - off.composite
    assert brighter.min() >= -1
    assert brighter.max() > 10
    assert not brighter[on.alpha == 0].any()


def test_light_wrap_may_be_turned_on_before_a_background_that_is_there(
    make: Callable[..., GpuParts],
) -> None:
    parts, picture, background = make(), scenes(1)[0], portrait(*SIZE).foreground.copy()

    def composite(wrap: float) -> np.ndarray:
        parts.steadier.reset()
        parts.compositor.wrap = wrap
        matte = parts.matting.matte(picture, parts.steadier.hint(picture))
        return parts.compositor(picture, parts.steadier.steady(matte), background)[0].copy()

    assert not np.array_equal(composite(0.0), composite(1.0))
    right = Compositor(SIZE, wrap=1.0)
    matte = Bshm(*fake_networks()).matte(picture)
    assert np.abs(composite(1.0).astype(int) - right(picture, matte, background)[0]).max() <= 1


def test_a_background_stays_on_the_gpu(make: Callable[..., GpuParts], monkeypatch) -> None:  # type: ignore[no-untyped-def]
    parts, background = make(), Fixed(plain(BACKDROP, SIZE))
    seen: list[int] = []
    upload = HostCuda.upload

    def counted(self: HostCuda, pointer: int, array: np.ndarray, stream: int) -> None:
        seen.append(pointer)
        upload(self, pointer, array, stream)

    monkeypatch.setattr(HostCuda, "upload", counted)
    on_gpu(parts, background).run(frames(scenes(5)), [])
    assert isinstance(parts.compositor, GpuCompositor)
    assert len(seen) == 5 + 1, "five frames, one background"
