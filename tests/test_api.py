"""The Python face: what other programs get of a picture and of a video."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from conftest import portrait
from hypothesis import given
from hypothesis import strategies as st

import bshm_live
from bshm_live import BshmError, Cut, EngineError, Matting, SettingsError
from bshm_live.sources.video_file import VideoFile, demo_clip


@pytest.fixture
def matting(toy_engines: object) -> Iterator[Matting]:
    with Matting("balanced", "onnxruntime") as made:
        yield made


def test_a_cut_has_the_size_of_its_picture(matting: Matting) -> None:
    truth = portrait(320, 180)
    cut = matting.cut(truth.picture)
    assert (cut.alpha.dtype, cut.alpha.shape) == (np.float32, (180, 320))
    assert (cut.foreground.dtype, cut.foreground.shape) == (np.uint8, (180, 320, 3))
    assert 0 <= cut.alpha.min() < 0.01 < 0.99 < cut.alpha.max() <= 1
    assert np.abs(cut.alpha - truth.alpha).mean() < 0.05
    solid = cut.alpha == 1
    assert solid.mean() > 0.05
    assert (cut.foreground[solid] == truth.picture[solid]).all()
    assert not cut.foreground[cut.alpha == 0].any()


def test_red_and_blue_change_places_and_nothing_else(matting: Matting) -> None:
    picture = portrait(320, 180).picture
    with Matting("balanced", "onnxruntime", colour="RGB") as rgb:
        other = rgb.cut(np.ascontiguousarray(picture[..., ::-1]))
    cut = matting.cut(picture)
    assert np.array_equal(cut.alpha, other.alpha)
    assert np.array_equal(cut.foreground, other.foreground[..., ::-1])
    assert np.array_equal(cut.rgba(), other.rgba())
    assert np.array_equal(cut.rgba()[..., 2], cut.foreground[..., 0])


@given(seed=st.integers(0, 1000), colour=st.tuples(*[st.integers(0, 255)] * 3))
def test_over_is_the_compositing_equation(seed: int, colour: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(seed)
    alpha = rng.uniform(0, 1, (6, 8)).astype(np.float32)
    front = rng.integers(0, 256, (6, 8, 3)).astype(np.uint8)
    a = alpha[..., None].astype(np.float64)
    exact = a * front + (1 - a) * np.array(colour)
    assert np.abs(Cut(alpha, front).over(colour) - exact).max() < 0.51


def test_a_background_picture_is_scaled_to_fill(matting: Matting) -> None:
    cut = matting.cut(portrait(320, 180).picture)
    green = np.full((50, 50, 3), (0, 200, 0), np.uint8)
    over = cut.over(green)
    assert over.shape == (180, 320, 3)
    assert (over[cut.alpha == 0] == (0, 200, 0)).all()
    assert np.array_equal(over, cut.over((0, 200, 0)))


def test_frames_have_mattes_of_their_own(matting: Matting) -> None:
    truths = [portrait(256, 128, centre=(60 + 30 * i, 64), radius=30) for i in range(5)]
    cuts = list(matting.frames((truth.picture for truth in truths), steady=False))
    for cut, truth in zip(cuts, truths, strict=True):  # all at once: none was overwritten
        assert np.abs(cut.alpha - truth.alpha).mean() < 0.05
    larger = [portrait(512, 256).picture, portrait(256, 128).picture]
    assert [cut.alpha.shape for cut in matting.frames(larger)] == [(256, 512), (128, 256)]


def test_a_box_and_a_scribble_say_who_is_meant(matting: Matting) -> None:
    picture = np.full((180, 320, 3), 120, np.uint8)  # of which the toy networks are not sure
    strokes = np.zeros((90, 160), np.uint8)
    strokes[40:50, 70:90] = 1
    plain = matting.cut(picture).alpha
    for cut in (matting.cut(picture, (60, 10, 200, 160)), matting.cut(picture, scribble=strokes)):
        assert not np.array_equal(cut.alpha, plain)
    with pytest.raises(SettingsError, match="one of them"):
        matting.cut(picture, (0, 0, 9, 9), strokes)
    with pytest.raises(SettingsError, match="reaches out"):
        matting.cut(picture, (300, 0, 100, 9))


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        [[0]],
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3)),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_what_is_no_picture_is_refused(matting: Matting, wrong: object) -> None:
    with pytest.raises(SettingsError) as error:
        matting.cut(wrong)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)
    with pytest.raises(SettingsError):
        next(matting.frames([wrong]))  # type: ignore[list-item]


def test_unknown_words_and_absent_runtimes_are_errors_of_the_package() -> None:
    for words in ({"preset": "best"}, {"runtime": "abacus"}, {"colour": "GBR"}):
        with pytest.raises(SettingsError, match="choose from"):
            Matting(**words)  # type: ignore[arg-type]
    with pytest.raises(EngineError):
        Matting(runtime="tensorrt")
    assert issubclass(SettingsError, BshmError)


def test_portrait_format_has_networks_of_its_own(toy_engines: object) -> None:
    with Matting(runtime="onnxruntime") as matting:
        cut = matting.cut(portrait(180, 320).picture)
        assert cut.alpha.shape == (320, 180)
        assert set(matting._loaded) == {"balanced", "tall"}


def test_a_person_is_found_in_a_real_picture() -> None:
    clip = VideoFile(demo_clip())
    picture = next(iter(clip)).image.copy()
    clip.close()
    with Matting("fast", "onnxruntime") as matting:
        cut = matting.cut(picture)
    assert 0.05 < cut.alpha.mean() < 0.6
    assert (cut.alpha[:20, :20] == 0).all()


def test_names_are_given_out_when_they_are_asked_for() -> None:
    assert set(bshm_live.__all__) >= {"Matting", "Cut", "BshmError"}
    with pytest.raises(AttributeError, match="no attribute 'matting_of'"):
        bshm_live.matting_of  # noqa: B018
