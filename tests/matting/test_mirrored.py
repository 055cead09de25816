"""What networks that see better on one side make of a picture that is shown to them both ways."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import FakeEngine, fake_networks, portrait, toy_mpn
from hypothesis import given
from hypothesis import strategies as st

from bshm_live.matting.bshm import Bshm
from bshm_live.matting.mirrored import matte_both_ways, mean, mirrored

LOW = (16, 32)
HALF = LOW[1] // 2


def blind_on_the_right() -> Bshm:
    """MPN sees nothing in the right half but what its hint says."""

    def half(feeds):  # type: ignore[no-untyped-def]
        out = toy_mpn(feeds)["coarse"].copy()
        out[..., HALF:] = feeds["hint"][..., HALF:]
        return {"coarse": out}

    mpn, qun, mrn = fake_networks(LOW)
    return Bshm(FakeEngine(mpn.inputs, mpn.outputs, half), qun, mrn)


@pytest.mark.parametrize("hinted", [False, True])
def test_it_is_the_same_whichever_way_round_the_picture_is(hinted: bool) -> None:
    networks, picture = blind_on_the_right(), portrait(160, 80).picture
    hint = np.random.default_rng(0).random((20, 40), np.float32) if hinted else None
    one = matte_both_ways(networks, picture, hint)
    two = matte_both_ways(networks, mirrored(picture), None if hint is None else mirrored(hint))
    for name in ("alpha", "residual", "unified", "coarse"):
        assert np.allclose(getattr(one, name), mirrored(getattr(two, name)), atol=1e-5), name
    assert one.guide.shape[:2] == one.alpha.shape


def test_one_way_sees_what_the_other_does_not() -> None:
    networks = blind_on_the_right()
    picture = np.full((80, 160, 3), 255, np.uint8)  # to the toy networks bright is a person
    once = networks.matte(picture).coarse
    both = matte_both_ways(networks, picture).coarse
    assert once[:, HALF:].max() == 0
    assert both[:, HALF:].min() > 0.4  # the hint is half sure on either side


def test_a_hint_is_shown_to_both_and_no_other_is_made() -> None:
    networks = Bshm(*fake_networks(LOW))
    matte_both_ways(networks, portrait(160, 80).picture, np.ones(LOW, np.float32))
    assert networks.mpn.calls == 2
    matte_both_ways(networks, portrait(160, 80).picture)
    assert networks.mpn.calls == 6


@given(st.integers(1, 9), st.integers(1, 9))
def test_the_mean_of_a_mask_and_its_mirror_is_symmetric(height: int, width: int) -> None:
    mask = np.random.default_rng(height * 10 + width).random((height, width), np.float32)
    both = mean(mask, mirrored(mask))
    assert np.array_equal(both, mirrored(both))
