from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from conftest import FakeEngine, fake_networks, portrait, toy_mpn, toy_mrn, toy_qun

from bshm_live.errors import EngineError
from bshm_live.matting.bshm import Bshm
from bshm_live.matting.preprocess import Preprocessor, hint_tensor
from bshm_live.types import Matte

LOW, HIGH = (32, 64), (128, 256)


def arrays(matte: Matte) -> dict[str, np.ndarray]:
    return {field.name: getattr(matte, field.name) for field in fields(matte)}


def broken(name: str, output: str, value: float) -> Bshm:
    """The networks, one of which gives one wrong value."""
    networks = dict(zip(("mpn", "qun", "mrn"), fake_networks(LOW), strict=True))
    right = networks[name].function

    def wrong(feeds):
        results = {key: np.array(array, np.float32) for key, array in right(feeds).items()}
        results[output].flat[5] = value
        return results

    networks[name].function = wrong
    return Bshm(**networks)


def test_each_network_gets_what_the_one_before_it_gave() -> None:
    picture = portrait(300, 170).picture
    hint = np.random.default_rng(0).random((50, 90)).astype(np.float32)
    matte = Bshm(*fake_networks(LOW)).matte(picture, hint)
    low, high, guide = Preprocessor(LOW, HIGH)(picture)
    coarse = toy_mpn({"image": low, "hint": hint_tensor(hint, LOW)})["coarse"]
    unified = toy_qun({"image": low, "coarse": coarse})["unified"]
    out = toy_mrn({"image": high, "unified": unified})
    assert np.abs(matte.coarse - coarse[0, 0]).max() < 1e-5
    assert np.abs(matte.unified - unified[0, 0]).max() < 1e-5
    assert np.abs(matte.alpha - out["alpha"][0, 0]).max() < 1e-5
    bgr = out["residual"][0][::-1].transpose(1, 2, 0)
    assert np.abs(matte.residual - bgr).max() < 1e-5
    assert np.array_equal(matte.guide, guide)


def test_shapes_types_and_the_order_of_the_clock() -> None:
    told: list[str] = []
    matte = Bshm(*fake_networks(LOW)).matte(portrait().picture, clock=told.append)
    assert told == ["preprocess", "mpn", "qun", "mrn"]
    shapes = {name: array.shape for name, array in arrays(matte).items()}
    assert shapes == {
        "alpha": HIGH,
        "residual": (*LOW, 3),
        "unified": LOW,
        "coarse": LOW,
        "guide": (*HIGH, 3),
    }
    assert all(a.dtype == np.float32 for name, a in arrays(matte).items() if name != "guide")


def test_a_hint_counts_and_none_is_no_hint() -> None:
    bshm = Bshm(*fake_networks(LOW))
    picture = portrait().picture
    without = bshm.matte(picture).coarse
    nothing = bshm.matte(picture, np.zeros((10, 10), np.float32)).coarse
    everything = bshm.matte(picture, np.ones((10, 10), np.float32)).coarse
    assert np.array_equal(without, nothing)
    assert everything.mean() > without.mean() + 0.1


def test_a_matte_keeps_its_values() -> None:
    """The engines write every result into the same memory, and lose it when closed."""
    bshm = Bshm(*fake_networks(LOW))
    first = bshm.matte(portrait(seed=1).picture)
    kept = {name: array.copy() for name, array in arrays(first).items()}
    bshm.matte(portrait(centre=(40, 40), seed=5).picture)
    bshm.close()
    for name, array in arrays(first).items():
        assert np.array_equal(array, kept[name]), name


def test_the_picture_is_not_written_to() -> None:
    picture = portrait(256, 128).picture
    before = picture.copy()
    Bshm(*fake_networks(LOW)).matte(picture)
    assert np.array_equal(picture, before)


def test_close_closes_all_three() -> None:
    networks = fake_networks(LOW)
    with Bshm(*networks):
        pass
    assert all(network.closed for network in networks)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    ("name", "output"),
    [("mpn", "coarse"), ("qun", "unified"), ("mrn", "alpha"), ("mrn", "residual")],
)
def test_what_is_no_number_is_an_error(name: str, output: str, value: float) -> None:
    with pytest.raises(EngineError, match="not a number"):
        broken(name, output, value).matte(portrait().picture)


@pytest.mark.parametrize("value", [-0.5, 1.5, 255.0])
def test_alpha_out_of_range_is_an_error(value: float) -> None:
    with pytest.raises(EngineError, match="out of range"):
        broken("mrn", "alpha", value).matte(portrait().picture)


@pytest.mark.parametrize("value", [-0.005, 1.005])
def test_rounding_over_the_edge_is_none(value: float) -> None:
    broken("mrn", "alpha", value).matte(portrait().picture)


def test_an_engine_s_own_error_passes_through() -> None:
    def fail(feeds):
        raise EngineError("gone")

    networks = list(fake_networks(LOW))
    networks[1] = FakeEngine(networks[1].inputs, networks[1].outputs, fail)
    with pytest.raises(EngineError, match="gone"):
        Bshm(*networks).matte(portrait().picture)
