"""Each kernel against the package's own arithmetic, on the processor and on a GPU where one is."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import pytest
from conftest import portrait
from gpu_twin import HostCuda, host_kernels

from bshm_live.compositing.compositor import Compositor
from bshm_live.compositing.edge_model import PERSON, ROOM, SHARE, SLOPE, EdgeModel
from bshm_live.gpu.cuda import Buffer, Cuda, Memory
from bshm_live.gpu.kernels import (
    FAULT_WORD,
    GLANCE,
    KERNELS,
    Arguments,
    CheckKernel,
    CompositeKernel,
    GateKernel,
    GlanceKernel,
    HintKernel,
    ModelKernel,
    PrepareKernel,
    SteadyKernel,
    TurnKernel,
    launch,
    name_of,
    ratio,
)
from bshm_live.gpu.matting import halvings
from bshm_live.kernels.call import MAPS, MOMENTS
from bshm_live.matting.preprocess import Preprocessor
from bshm_live.matting.temporal import as_hint, gated, low_alpha
from bshm_live.types import HostMatte, Matte

LOW, HIGH = (32, 64), (128, 256)  # (h, w)
W, H = 64, 32
CUT = 45 * 32 * 18 * 3  # summed levels


class Desk:
    """Puts arrays on a GPU, runs kernels there, and takes the results back."""

    def __init__(self, cuda: Cuda) -> None:
        self.cuda, self.memory, self.stream = cuda, Memory(cuda), cuda.stream()

    def put(self, array: np.ndarray) -> Buffer:
        buffer = self.new(array.shape, array.dtype)
        staged = self.cuda.pinned(array.shape, array.dtype)
        staged[...] = array
        self.cuda.upload(buffer.pointer, staged, self.stream)
        self.cuda.synchronize(self.stream)
        return buffer

    def put_tensor(self, array: np.ndarray) -> Buffer:
        return self.put(array.astype(np.float32))

    def new(self, shape: tuple[int, ...], kind: Any) -> Buffer:
        return self.memory.array(shape, kind)

    def get(self, buffer: Buffer) -> np.ndarray:
        staged = self.cuda.pinned(buffer.shape, buffer.dtype)
        self.cuda.download(staged, buffer.pointer, self.stream)
        self.cuda.synchronize(self.stream)
        return staged

    def run(self, arguments: Arguments, threads: tuple[int, int] = (W, H)) -> None:
        launch(self.cuda, arguments, threads, self.stream)
        self.cuda.synchronize(self.stream)

    def state(self, difference: int = 0, fault: int = 0, last_fault: int = 0) -> Buffer:
        return self.put(np.array([difference, fault, last_fault], np.uint32))


PLACES = ["host", pytest.param("device", marks=pytest.mark.gpu)]


@pytest.fixture(params=PLACES)
def desk(request: pytest.FixtureRequest) -> Iterator[Desk]:
    cuda: Cuda
    if request.param == "host":
        cuda = HostCuda(host_kernels())
    else:
        from bshm_live.gpu.pycuda import PyCuda

        cuda = PyCuda()
    with cuda.active():
        desk = Desk(cuda)
        yield desk
        desk.memory.close()


def noise(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    return rng.integers(0, 256, (height, width, 3), np.uint8)


def soft_alpha(rng: np.random.Generator, over: float = 0.0) -> np.ndarray:
    """A third room, a third person, a third soft, in blobs."""
    coarse = rng.random((9, 17), np.float32) * 3 - 1
    large = cv2.resize(coarse, (HIGH[1], HIGH[0]), interpolation=cv2.INTER_CUBIC)
    return np.clip(large, -over, 1 + over).astype(np.float32)


def test_arguments_lie_as_the_compiler_lays_them() -> None:
    own = {name_of(kind): ctypes.sizeof(kind) for kind in KERNELS}
    assert HostCuda(host_kernels()).sizes() == own


# ---- prepare -------------------------------------------------------------------------------


def prepared(desk: Desk, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """low, high and guide as the kernel makes them."""
    height, width = picture.shape[:2]
    x, y = halvings(width, HIGH[1]), halvings(height, HIGH[0])
    low, high = desk.new((1, 3, *LOW), np.float32), desk.new((1, 3, *HIGH), np.float32)
    guide = desk.new((*HIGH, 3), np.uint8)
    desk.run(
        PrepareKernel(
            *(desk.put(picture).pointer, low.pointer, high.pointer, guide.pointer),
            *(ratio(width >> x, HIGH[1]), ratio(height >> y, HIGH[0])),
            *(width, height, W, H, x, y),
        )
    )
    return desk.get(low), desk.get(high), desk.get(guide)


EXACT = [(256, 128), (300, 170), (511, 255), (640, 360), (100, 60), (1100, 620), (2048, 1024)]
ODD = [(515, 259), (1027, 517), (2000, 130), (130, 1111)]  # halves of a pixel's width and more


@pytest.mark.parametrize("size", [*EXACT, *ODD], ids=str)
def test_prepare_is_preprocess(desk: Desk, size: tuple[int, int]) -> None:
    picture = noise(np.random.default_rng(size[0]), size[1], size[0])
    low, high, guide = Preprocessor(LOW, HIGH)(picture)
    mine = prepared(desk, picture)
    apart = np.abs(mine[2].astype(int) - guide)
    assert apart.max() <= (0 if size in EXACT else 1)
    for tensor, right in zip(mine[:2], (low, high), strict=True):
        assert np.abs(tensor - right).max() <= (apart.max() + 1e-4) / 255


# ---- glance, hint --------------------------------------------------------------------------


def test_glance_sums_the_change_of_the_scene(desk: Desk) -> None:
    rng = np.random.default_rng(2)
    state, glance = desk.state(), desk.put(np.zeros(GLANCE, np.uint8))
    last = np.zeros(GLANCE)
    for _ in range(3):
        low = rng.random((1, 3, *LOW), np.float32)
        desk.run(TurnKernel(state.pointer), (1, 1))
        desk.run(
            GlanceKernel(desk.put_tensor(low).pointer, glance.pointer, state.pointer, W, H),
            (32, 18),
        )
        rows = [H * y // 18 for y in range(19)]
        columns = np.add.reduceat(low[0].astype(np.float64), rows[:-1], axis=1)
        blocks_ = columns.reshape(3, 18, 32, 2).sum(3)
        levels = 255 * blocks_ / (2 * np.diff(rows)[None, :, None])
        now = desk.get(glance).astype(float)
        assert np.abs(now - levels).max() <= 0.51
        assert desk.get(state)[0] == np.abs(now - last).sum()
        last = now


@pytest.mark.parametrize("given", [dict(has_last=1), dict(has_last=0)], ids=str)
def test_hint_is_the_last_matte_as_a_hint(desk: Desk, given: dict[str, int]) -> None:
    alpha = soft_alpha(np.random.default_rng(3))
    low = cv2.resize(alpha, (W, H), interpolation=cv2.INTER_AREA)
    hint = desk.new((1, 1, *LOW), np.float32)
    desk.run(
        HintKernel(desk.put(low).pointer, hint.pointer, desk.state().pointer, W, H, *given.values())
    )
    right = as_hint(low) if given["has_last"] else np.zeros_like(low)
    assert np.abs(desk.get(hint)[0, 0] - right).max() < 1e-6


@pytest.mark.parametrize("why", ["difference", "last_fault"])
def test_after_a_cut_or_a_fault_nothing_is_remembered(desk: Desk, why: str) -> None:
    low = desk.put(np.ones(LOW, np.float32))
    for value, kept in ((0, True), (CUT if why == "difference" else 0, True), (CUT + 1, False)):
        hint, state = desk.new((1, 1, *LOW), np.float32), desk.state(**{why: value})
        desk.run(HintKernel(low.pointer, hint.pointer, state.pointer, W, H, 1))
        assert (desk.get(hint) == kept).all()


def test_turn_keeps_the_last_fault_alone(desk: Desk) -> None:
    state = desk.state(5, 1, 0)
    desk.run(TurnKernel(state.pointer), (1, 1))
    assert desk.get(state).tolist() == [0, 0, 1]
    desk.run(TurnKernel(state.pointer), (1, 1))
    assert desk.get(state).tolist() == [0, 0, 0]


# ---- check ---------------------------------------------------------------------------------


def checked(desk: Desk, **wrong: tuple[int, float]) -> int:
    """The fault word for a sound matte with one wrong number: name=(place, value)."""
    rng = np.random.default_rng(4)
    shapes = {"coarse": LOW, "unified": LOW, "residual": (3, *LOW), "alpha": HIGH}
    arrays = {name: rng.random(shape, np.float32) for name, shape in shapes.items()}
    for name, (place, value) in wrong.items():
        arrays[name].flat[place] = value
    state = desk.state()
    pointers = [desk.put_tensor(array).pointer for array in arrays.values()]
    desk.run(CheckKernel(*pointers, state.pointer, W, H))
    return int(desk.get(state)[FAULT_WORD])


def test_a_sound_matte_passes(desk: Desk) -> None:
    assert not checked(desk)
    assert not checked(desk, alpha=(7, -0.009), residual=(9, -1.0))
    assert not checked(desk, alpha=(HIGH[0] * HIGH[1] - 1, 1.009))


@pytest.mark.parametrize("name", ["coarse", "unified", "residual", "alpha"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_seen_anywhere(desk: Desk, name: str, value: float) -> None:
    last = {"coarse": W * H, "unified": W * H, "residual": 3 * W * H, "alpha": 16 * W * H}[name] - 1
    assert checked(desk, **{name: (0, value)})
    assert checked(desk, **{name: (last, value)})


@pytest.mark.parametrize("name", ["coarse", "unified", "residual", "alpha"])
def test_a_matte_out_of_range_is_seen(desk: Desk, name: str) -> None:
    least = -1.0 if name == "residual" else 0.0
    for value, fault in ((least - 0.02, 1), (1.02, 1), (least - 0.009, 0), (1.009, 0)):
        assert checked(desk, **{name: (1234, value)}) == fault


# ---- gate, steady, model -------------------------------------------------------------------


class Steadied:
    """What `gate` and `steady` make of a matte (4h, 4w), the one before it and a guide."""

    def __init__(
        self, desk: Desk, alpha: np.ndarray, last: np.ndarray | None, guide: np.ndarray
    ) -> None:
        start = np.full(HIGH, np.nan, np.float32) if last is None else last
        given, state = desk.put_tensor(alpha), desk.state()
        kept, weight = desk.put(start), desk.new(LOW, np.float32)
        levels, low = desk.new(HIGH, np.uint8), desk.new(LOW, np.float32)
        moments = desk.new((*LOW, MOMENTS), np.float32)
        leans = last is not None
        desk.run(
            GateKernel(given.pointer, kept.pointer, weight.pointer, state.pointer, W, H, int(leans))
        )
        pointers = (given, weight, desk.put(guide), kept, levels, low, moments, state)
        desk.run(SteadyKernel(*(buffer.pointer for buffer in pointers), W, H, int(leans)))
        self.alpha, self.levels, self.low = desk.get(kept), desk.get(levels), desk.get(low)
        self.moments = desk.get(moments)


def matte_of(alpha: np.ndarray, guide: np.ndarray, residual: np.ndarray | None = None) -> Matte:
    zero = np.zeros(LOW, np.float32)
    return HostMatte(
        alpha, np.zeros((*LOW, 3), np.float32) if residual is None else residual, zero, zero, guide
    )


@pytest.mark.parametrize("change", [0.0, 0.02, 0.1, 0.5])
def test_steady_is_gated(desk: Desk, change: float) -> None:
    rng = np.random.default_rng(6)
    last, guide = soft_alpha(rng, 0.01), noise(rng, *HIGH)
    alpha = np.clip(last + change * (rng.random(HIGH, np.float32) - 0.3), -0.01, 1.01)
    mine, right = Steadied(desk, alpha, last, guide), gated(alpha, last)
    assert np.abs(mine.alpha - right).max() < 2e-6
    assert np.abs(mine.low - low_alpha(matte_of(right, guide))).max() < 2e-6
    assert np.abs(mine.levels - np.clip(right * 255, 0, 255)).max() <= 0.501


def test_without_a_last_matte_steady_changes_nothing(desk: Desk) -> None:
    rng = np.random.default_rng(7)
    alpha = soft_alpha(rng)
    assert np.array_equal(Steadied(desk, alpha, None, noise(rng, *HIGH)).alpha, alpha)


def modelled(desk: Desk, moments: np.ndarray, matte: Matte) -> np.ndarray:
    """The maps (h, w, 8)."""
    maps = desk.new((*LOW, MAPS), np.float32)
    low = cv2.resize(matte.guide, (W, H), interpolation=cv2.INTER_AREA) / np.float32(255)
    planar = [np.ascontiguousarray(x[..., ::-1].transpose(2, 0, 1)) for x in (low, matte.residual)]
    given = (desk.put(moments), *map(desk.put_tensor, planar), maps)
    desk.run(ModelKernel(*(buffer.pointer for buffer in given), W, H))
    return desk.get(maps)


def on_the_processor(matte: Matte) -> np.ndarray:
    """The maps (h, w, 8) of the CPU's compositor."""
    model = EdgeModel(HIGH)
    model(matte, wrap=1.0)
    return model.maps


def test_model_is_the_guided_filter_s_slope(desk: Desk) -> None:
    rng = np.random.default_rng(8)
    alpha, guide = soft_alpha(rng), noise(rng, *HIGH)
    residual = rng.uniform(-1, 1, (*LOW, 3)).astype(np.float32)
    matte = matte_of(alpha, guide, residual)
    maps = modelled(desk, Steadied(desk, alpha, None, guide).moments, matte)
    right = on_the_processor(matte)
    assert np.abs(maps[..., SLOPE] - right[..., SLOPE]).max() < 1e-3
    assert np.abs(maps[..., SHARE] - right[..., SHARE]).max() < 1e-5


def test_model_has_the_colours_of_person_and_room(desk: Desk) -> None:
    rng = np.random.default_rng(12)
    alpha, guide = soft_alpha(rng, 0.01), noise(rng, *HIGH)
    residual = rng.uniform(-1, 1, (*LOW, 3)).astype(np.float32)
    matte = matte_of(alpha, guide, residual)
    maps = modelled(desk, Steadied(desk, alpha, None, guide).moments, matte)
    right = on_the_processor(matte)
    for colour in (PERSON, ROOM):
        assert np.abs(maps[..., colour] - right[..., colour]).max() < 0.02


# ---- composite -----------------------------------------------------------------------------


class Scene:
    """A picture, a background and a matte of one size, and what the kernels make of them."""

    def __init__(self, desk: Desk, size: tuple[int, int], seed: int, over: float = 0.0) -> None:
        rng = np.random.default_rng(seed)
        self.desk, self.size = desk, size
        width, height = size
        person = portrait(width, height, soft=max(2.0, width / 20), seed=seed)
        self.image, self.back = person.picture, noise(rng, height, width)
        guide = Preprocessor(LOW, HIGH)(self.image)[2]
        alpha = soft_alpha(rng, over)
        residual = rng.uniform(-0.3, 0.3, (*LOW, 3)).astype(np.float32)
        self.matte = matte_of(alpha, guide, residual)
        self.levels = Steadied(desk, alpha, None, guide)

    def composited(
        self,
        *,
        wrap: float = 0.0,
        fault: int = 0,
        glow: np.ndarray | None = None,
        grade: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Composite, alpha and foreground from the GPU."""
        desk, (width, height), matte = self.desk, self.size, self.matte
        maps = modelled(desk, self.levels.moments, matte)
        out, alpha = desk.new((height, width, 3), np.uint8), desk.new((height, width), np.uint8)
        front = desk.new((height, width, 3), np.uint8)
        glow = np.zeros((*LOW, 3), np.uint8) if glow is None else glow
        given = (self.image, self.back, glow, self.levels.levels, matte.guide, maps)
        word = desk.put(np.full(1, 7, np.uint32))
        buffers = (*map(desk.put, given), desk.state(0, fault), out, alpha, front, word)
        x, y = HIGH[1] / width, HIGH[0] / height
        refine = width > HIGH[1] or height > HIGH[0]
        pointers = [buffer.pointer for buffer in buffers]
        pointers.insert(3, None if grade is None else desk.put(grade).pointer)
        arguments = CompositeKernel(
            *pointers,
            *(ratio(HIGH[1], width), ratio(HIGH[0], height), x, y, wrap),
            *(width, height, W, H, int(refine)),
        )
        desk.run(arguments, self.size)
        assert desk.get(word)[0] == fault
        return desk.get(out), desk.get(alpha), desk.get(front)


SIZES = [(256, 128), (320, 180), (640, 360), (301, 171), (128, 64), (90, 47), (64, 300)]


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_composite_is_the_compositor(desk: Desk, size: tuple[int, int]) -> None:
    scene = Scene(desk, size, seed=sum(size), over=0.009)
    right = Compositor(size)(scene.image, scene.matte, scene.back, foreground=True)
    for mine, theirs in zip(scene.composited(), right, strict=True):
        assert theirs is not None
        assert np.abs(mine.astype(int) - theirs).max() <= 1
        assert (mine != theirs).mean() < 1e-3
    solid = right[1] == 255
    assert solid.any()
    assert ((right[1] > 0) & ~solid).any()


def test_a_fault_leaves_the_background_alone(desk: Desk) -> None:
    scene = Scene(desk, (320, 180), seed=1)
    out, alpha, front = scene.composited(fault=1)
    assert np.array_equal(out, scene.back)
    assert not alpha.any()
    assert not front.any()


def test_a_grade_is_the_compositor_s(desk: Desk) -> None:
    size = (320, 180)
    scene, compositor = Scene(desk, size, seed=6), Compositor(size)
    rows = np.arange(256)[:, None] / 80 + np.arange(8)
    grade = np.where(np.arange(8) < 4, 1 + 0.4 * np.sin(rows), 20 * np.cos(rows))
    compositor.grade = grade.astype(np.float32)
    right = compositor(scene.image, scene.matte, scene.back, foreground=True)
    for mine, theirs in zip(scene.composited(grade=compositor.grade), right, strict=True):
        assert theirs is not None
        assert np.abs(mine.astype(int) - theirs).max() <= 2
        assert (mine != theirs).mean() < 1e-2
    plain = scene.composited()[0]
    assert (plain != right[0])[right[1] == 255].mean() > 0.9


def test_light_wrap_is_its_formula(desk: Desk) -> None:
    """F + wrap * share * (glow - F), F the person's colour, share the room's part around."""
    size, wrap = (320, 180), 0.6
    scene = Scene(desk, size, seed=3)
    glow = noise(np.random.default_rng(3), *LOW)
    plain, alpha, front = scene.composited()
    out, same_alpha, same_front = scene.composited(wrap=wrap, glow=glow)
    assert np.array_equal(alpha, same_alpha)
    assert np.array_equal(front, same_front)
    assert np.array_equal(out[alpha == 0], scene.back[alpha == 0])

    share = 1 - cv2.blur(low_alpha(scene.matte), (3, 3)).astype(np.float64)
    large = [cv2.resize(x.astype(np.float64), size) for x in (share, glow)]
    shine = wrap * large[0][..., None] * (large[1] - front)
    a = alpha[..., None] / 255.0
    right = a * (front + shine) + (1 - a) * scene.back
    assert np.abs(out - right)[alpha > 0].max() <= 1.01
    assert np.abs(out.astype(int) - plain).max() > 20
