"""The whole data path of the GPU on its in-memory twin, beside the CPU's."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from conftest import ArraySource, FakeEngine, ListSink, fake_networks, portrait
from gpu_twin import HostCuda, host_engines, host_kernels

from bshm_live.background import Blur, Fixed, cover, plain
from bshm_live.bshm import Bshm
from bshm_live.errors import EngineError
from bshm_live.gpu.compositor import GpuCompositor, in_layout
from bshm_live.gpu.parts import GpuParts, gpu_parts
from bshm_live.manifest import load_manifest
from bshm_live.pipeline import Pipeline
from bshm_live.runtimes.onnxruntime import OnnxRuntimeEngine
from bshm_live.source import VideoFile, demo_clip
from bshm_live.temporal import Steadier
from bshm_live.types import Frame, Matte, Shot

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
    assert isinstance(parts.bshm.cuda, HostCuda)
    return parts.bshm.cuda


def on_gpu(pipeline: Pipeline, parts: GpuParts) -> Pipeline:
    pipeline.bshm = parts.bshm  # type: ignore[assignment]
    pipeline.steadier = parts.steadier  # type: ignore[assignment]
    pipeline.compositor = parts.compositor  # type: ignore[assignment]
    return pipeline


def scenes(count: int = 6, size: tuple[int, int] = SIZE) -> list[np.ndarray]:
    """A soft disc that walks to the right: each frame tells its number by its place."""
    return [
        portrait(*size, centre=(60 + 12 * i, 64), radius=40, soft=12, seed=i).picture
        for i in range(count)
    ]


def frames(pictures: list[np.ndarray]) -> list[Frame]:
    return list(ArraySource(pictures))


def copied(shots: list[Shot] | map[Shot]) -> list[tuple[np.ndarray, ...]]:
    return [tuple(np.array(x) for x in (s.composite, s.alpha, s.foreground)) for s in shots]


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
def test_the_loop_gives_what_it_gives_on_the_cpu(
    make: Callable[..., GpuParts], size: tuple[int, int]
) -> None:
    pictures, background = scenes(size=size), Fixed(plain(BACKDROP, size))
    cpu, gpu = ListSink(needs_foreground=True), ListSink(needs_foreground=True)
    Pipeline(Bshm(*fake_networks()), background, size).run(ArraySource(pictures), [cpu])
    parts = make(size=size)
    pipeline = on_gpu(Pipeline(Bshm(*fake_networks()), background, size), parts)
    pipeline.run(ArraySource(pictures), [gpu])
    for one, other in zip(gpu.shots, cpu.shots, strict=True):
        assert one.covered == other.covered
        for name in ("composite", "alpha", "foreground"):
            mine, theirs = getattr(one, name).astype(int), getattr(other, name)
            assert np.abs(mine - theirs).max() <= 1
    twin(parts).check_fences()
    parts.close()
    assert not twin(parts).held


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
    Pipeline(Bshm(*engines), background, size).run(ArraySource(pictures), [cpu])
    cuda = HostCuda(host_kernels(), seed=1)
    parts = gpu_parts(cuda, host_engines(cuda, engines), size)
    on_gpu(Pipeline(Bshm(*engines), background, size), parts).run(ArraySource(pictures), [gpu])
    for one, other in zip(gpu.shots, cpu.shots, strict=True):
        apart = np.abs(one.composite.astype(int) - other.composite)
        assert np.quantile(apart, 0.999) <= 1
        assert apart.max() <= 8
        assert 0.02 < (other.alpha > 128).mean() < 0.98
    parts.close()


def test_a_blur_sees_the_matte_that_lies_on_the_gpu(make: Callable[..., GpuParts]) -> None:
    cpu, gpu = ListSink(), ListSink()
    Pipeline(Bshm(*fake_networks()), Blur(20, SIZE), SIZE).run(ArraySource(scenes(3)), [cpu])
    parts = make(seed=3)
    pipeline = on_gpu(Pipeline(Bshm(*fake_networks()), Blur(20, SIZE), SIZE), parts)
    pipeline.run(ArraySource(scenes(3)), [gpu])
    for one, other in zip(gpu.shots, cpu.shots, strict=True):
        assert np.abs(one.composite.astype(int) - other.composite).max() <= 1


def test_the_matter_alone_serves_the_cpu_s_loop(make: Callable[..., GpuParts]) -> None:
    """With a hint that lies here, the matte comes here: for whoever compares or swaps."""
    parts, cpu = make(), Bshm(*fake_networks())
    one, other = Steadier(), Steadier()
    kept: list[Matte] = []
    for picture in scenes(3):
        mine = one.steady(parts.bshm.matte(picture, one.hint(picture)))
        theirs = other.steady(cpu.matte(picture, other.hint(picture)))
        kept.append(mine)
        for name in ("alpha", "residual", "unified", "coarse", "guide"):
            assert np.abs(getattr(mine, name).astype(float) - getattr(theirs, name)).max() < 1e-5
    assert not np.array_equal(kept[0].alpha, kept[1].alpha), "a matte is its caller's to keep"


def test_the_clock_hears_the_same_stages(make: Callable[..., GpuParts]) -> None:
    told: list[str] = []
    parts = make()
    parts.bshm.matte(scenes(1)[0], None, told.append)
    assert told == ["preprocess", "mpn", "qun", "mrn"]


# ---- Fail closed ---------------------------------------------------------------------------


@pytest.mark.parametrize("stage", [0, 1, 2], ids=["mpn", "qun", "mrn"])
@pytest.mark.parametrize("flight", [False, True])
def test_a_broken_matte_shows_the_background(
    make: Callable[..., GpuParts], stage: int, flight: bool
) -> None:
    engines = fake_networks()
    break_at(engines[stage], {3, 4})
    parts, background, pictures = make(engines, seed=stage), Fixed(plain(BACKDROP, SIZE)), scenes()
    if flight:
        shots = parts.shots(frames(pictures), background, foreground=True)
    else:
        pipeline = on_gpu(Pipeline(Bshm(*fake_networks()), background, SIZE), parts)
        shots = (pipeline.shoot(frame, foreground=True) for frame in frames(pictures))
    seen = []
    for shot in shots:
        seen.append(shot.covered)
        if not shot.covered:
            assert (shot.composite == BACKDROP).all()
            assert not shot.alpha.any()
            assert shot.foreground is not None
            assert not shot.foreground.any()
    assert seen == [True, True, False, False, True, True]


def test_after_a_fault_nothing_of_it_is_remembered(make: Callable[..., GpuParts]) -> None:
    engines = fake_networks()
    break_at(engines[2], {2})
    pictures, background = scenes(4), Fixed(plain(BACKDROP, SIZE))
    faulty = copied(make(engines).shots(frames(pictures), background, foreground=True))
    fresh = copied(make().shots(frames(pictures[2:]), background, foreground=True))
    for one, other in zip(faulty[2:], fresh, strict=True):
        assert all(map(np.array_equal, one, other))


def test_strict_raises_where_live_covers(make: Callable[..., GpuParts]) -> None:
    engines = fake_networks()
    break_at(engines[2], {2}, 3.0)
    with pytest.raises(EngineError, match="engines verify"):
        list(make(engines).shots(frames(scenes()), Fixed(plain(BACKDROP, SIZE)), strict=True))


def test_an_engine_that_fails_leaves_no_trace(make: Callable[..., GpuParts]) -> None:
    engines = fake_networks()
    parts, background, sink = make(engines), Fixed(plain(BACKDROP, SIZE)), ListSink()
    right = engines[1].function

    def wrong(feeds):  # type: ignore[no-untyped-def]
        if engines[1].calls == 2:
            raise EngineError("told to fail")
        return right(feeds)

    engines[1].function = wrong
    pipeline = on_gpu(Pipeline(Bshm(*fake_networks()), background, SIZE), parts)
    pipeline.run(ArraySource(scenes(4)), [sink])
    assert [shot.covered for shot in sink.shots] == [True, False, True, True]
    assert (sink.shots[1].composite == BACKDROP).all()


def test_covered_is_the_background_and_needs_no_gpu(make: Callable[..., GpuParts]) -> None:
    background = portrait(*SIZE).background
    parts = make()
    before = len(twin(parts).launched)
    composite, alpha, front = parts.compositor.covered(background)
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
    pictures, background = scenes(7), Changing()
    one = [
        copied([shot])[0]
        for shot in map(
            on_gpu(Pipeline(Bshm(*fake_networks()), background, SIZE), make()).shoot,
            frames(pictures),
        )
        if shot
    ]
    parts = make(seed=seed)
    two = copied(parts.shots(frames(pictures), background))
    assert len(two) == len(one)
    for mine, right in zip(two, one, strict=True):
        assert np.array_equal(mine[0], right[0])
        assert np.array_equal(mine[1], right[1])
    parts.close()


def test_shots_leave_in_order_one_frame_late(make: Callable[..., GpuParts]) -> None:
    taken: list[int] = []

    def source():  # type: ignore[no-untyped-def]
        for frame in frames(scenes(4)):
            taken.append(frame.index)
            yield frame

    left = []
    for shot in make().shots(source(), Fixed(plain(BACKDROP, SIZE))):
        left.append(shot.index)
        assert taken[-1] == min(shot.index + 1, 3)
    assert left == [0, 1, 2, 3]


# ---- Steadying, memory, layouts ------------------------------------------------------------


def test_the_steadier_forgets_when_told(make: Callable[..., GpuParts]) -> None:
    parts, picture, other = make(), scenes(1)[0], scenes(3)[2]

    def alpha(image: np.ndarray) -> np.ndarray:
        hint = parts.steadier.hint(image)
        return parts.steadier.steady(parts.bshm.matte(image, hint)).alpha

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
        return of.steadier.steady(of.bshm.matte(image, of.steadier.hint(image))).alpha

    alpha(parts, picture)
    assert np.array_equal(alpha(parts, bright), alpha(fresh, bright))


def test_without_smoothing_hints_stay(make: Callable[..., GpuParts]) -> None:
    parts = make(smooth=False)
    for picture in scenes(2):
        matte = parts.bshm.matte(picture, parts.steadier.hint(picture))
        raw = matte.alpha.copy()
        assert np.array_equal(parts.steadier.steady(matte).alpha, raw)
    hint = parts.bshm.buffers["hint"]
    assert twin(parts).view(hint.pointer, hint.shape, hint.dtype).any()


def test_a_frame_decoded_into_pinned_memory_is_not_copied(make: Callable[..., GpuParts]) -> None:
    parts, pictures = make(), scenes(2)
    lane = parts.lanes.all[0]
    mine = lane.host("frame", pictures[0].shape)
    mine[...] = pictures[0]
    right = make().bshm.matte(pictures[0])
    assert np.array_equal(parts.bshm.matte(mine).alpha, right.alpha)


def test_a_new_picture_size_is_taken(make: Callable[..., GpuParts]) -> None:
    parts = make()
    for size in (SIZE, (300, 170), SIZE):
        picture = portrait(*size).picture
        right = Bshm(*fake_networks()).matte(picture)
        assert np.abs(parts.bshm.matte(picture).alpha - right.alpha).max() < 1e-5


def test_too_large_a_picture_is_refused(make: Callable[..., GpuParts]) -> None:
    with pytest.raises(EngineError, match="too large"):
        make().bshm.matte(np.zeros((128, 256 * 16, 3), np.uint8))


def test_wrong_mattes_are_refused(make: Callable[..., GpuParts]) -> None:
    parts, picture = make(), scenes(1)[0]
    with pytest.raises(TypeError):
        parts.steadier.steady(parts.bshm.matte(picture))
    raw = parts.bshm.matte(picture, parts.steadier.hint(picture))
    with pytest.raises(TypeError):
        parts.compositor(picture, raw, picture)
    with pytest.raises(ValueError, match="picture"):
        parts.compositor(picture[:64], parts.steadier.steady(raw), picture)


@pytest.mark.parametrize("layout", ["i420", "nv12"])
def test_video_layouts_leave_as_such(make: Callable[..., GpuParts], layout: str) -> None:
    picture, background = scenes(1)[0], portrait(*SIZE).background
    bgr, parts = make(), make(layout=layout)
    planes, composite = (
        of.compositor(
            picture,
            of.steadier.steady(of.bshm.matte(picture, of.steadier.hint(picture))),
            background,
        )[0]
        for of in (parts, bgr)
    )
    assert planes.shape == (192, 256)
    right = in_layout(composite, layout)  # type: ignore[arg-type]
    assert np.abs(planes[:128].astype(int) - right[:128]).max() <= 1
    # OpenCV takes one pixel's chroma for four; the disc's and wall's differ by a few levels
    assert np.median(np.abs(planes[128:].astype(int) - right[128:])) <= 2
    covered = parts.compositor.covered(background)[0]
    assert covered.shape == planes.shape


def test_stage_times_come_from_the_gpu_s_clock(make: Callable[..., GpuParts]) -> None:
    parts, picture = make(), scenes(1)[0]
    for lane in parts.lanes.all:
        lane.timed = True
    list(parts.shots(frames([picture] * 3), Fixed(plain(BACKDROP, SIZE))))
    stages = ["upload", "preprocess", "mpn", "qun", "mrn", "temporal", "background", "composite"]
    assert list(parts.lanes.all[0].stage_ms()) == [*stages, "download"]


def test_light_wrap_reaches_the_composite(make: Callable[..., GpuParts]) -> None:
    background = Fixed(plain((255, 255, 255), SIZE))
    off, on = (
        copied(make(wrap=wrap).shots(frames(scenes(1)), background))[0] for wrap in (0.0, 1.0)
    )
    assert np.array_equal(off[1], on[1])
    brighter = on[0].astype(int) - off[0]
    assert brighter.min() >= -1
    assert brighter.max() > 10
    assert not brighter[on[1] == 0].any()


def test_a_background_stays_on_the_gpu(make: Callable[..., GpuParts], monkeypatch) -> None:  # type: ignore[no-untyped-def]
    parts, background = make(), Fixed(plain(BACKDROP, SIZE))
    seen: list[int] = []
    upload = HostCuda.upload

    def counted(self: HostCuda, pointer: int, array: np.ndarray, stream: int) -> None:
        seen.append(pointer)
        upload(self, pointer, array, stream)

    monkeypatch.setattr(HostCuda, "upload", counted)
    list(parts.shots(frames(scenes(5)), background))
    assert isinstance(parts.compositor, GpuCompositor)
    assert len(seen) == 5 + 1, "five frames, one background"
