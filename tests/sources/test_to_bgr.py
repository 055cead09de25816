"""Pictures of films: upright, square, in SDR colours, whole, without what alpha hides."""

import itertools
import logging
import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.bitstream import BitStreamFilterContext
from PIL import Image

from bshm_live.errors import SourceError
from bshm_live.sources.orientation import MIRRORED, TURNED, Orientation
from bshm_live.sources.picture import FAINT, HIDDEN
from bshm_live.sources.to_bgr import _shrunk
from bshm_live.sources.video_file import VideoFile
from bshm_live.types import Frame

SIZE = (64, 48)
ONE = 1 << 16  # 1.0 in a display matrix
UPRIGHT_MATRIX = struct.pack(">9i", ONE, 0, 0, 0, ONE, 0, 0, 0, 1 << 30)


def corners(width: int = SIZE[0], height: int = SIZE[1]) -> np.ndarray:
    """Four quarters of different greys, BGR (H, W, 3)."""
    grey = np.kron([[40, 100], [160, 220]], np.ones((height // 2, width // 2)))
    return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)


def film(
    path: Path,
    pictures: list[np.ndarray],
    *,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    fed: str = "bgr24",
    aspect: Fraction | None = None,
    tags: dict[str, int] | None = None,
    options: dict[str, str] | None = None,
    **converted: int,
) -> Path:
    """A video at 25 frames/s; `tags` are set on the stream, `converted` goes to reformat."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options or {})
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = pixels
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        for name, value in (tags or {}).items():
            setattr(stream.codec_context, name, value)
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format=fed)
            if fed != pixels:
                frame = frame.reformat(format=pixels, **converted)
            for name, value in (tags or {}).items():
                setattr(frame, name, value)
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def first(path: Path, **more: object) -> Frame:
    return next(iter(VideoFile(path, **more)))  # type: ignore[arg-type]


# --- which way up -----------------------------------------------------------------------------

MATRICES = [
    m for m in itertools.product((-1, 0, 1), repeat=4) if abs(m[0] * m[3] - m[1] * m[2]) == 1
]
EIGHT = [m for m in MATRICES if sum(map(abs, m)) == 2]


def shown(picture: np.ndarray, matrix: tuple[int, ...]) -> np.ndarray:
    """Pixel by pixel by the matrix's definition: (x', y') = (a x + c y, b x + d y)."""
    a, b, c, d = matrix
    height, width = picture.shape[:2]
    y, x = np.mgrid[:height, :width]
    to_x, to_y = a * x + c * y, b * x + d * y
    to_x, to_y = to_x - to_x.min(), to_y - to_y.min()
    out = np.zeros((to_y.max() + 1, to_x.max() + 1, *picture.shape[2:]), picture.dtype)
    out[to_y, to_x] = picture
    return out


@pytest.mark.parametrize("matrix", EIGHT, ids=str)
def test_all_eight_orientations(tmp_path: Path, matrix: tuple[int, ...]) -> None:
    """A mirror is not a turn by 180 degrees."""
    path = film(tmp_path / "a.mp4", [corners()])
    plain = first(path).image
    a, b, c, d = (ONE * value for value in matrix)
    bytes_of = path.read_bytes()
    at = bytes_of.index(UPRIGHT_MATRIX, bytes_of.index(b"tkhd"))
    new = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(bytes_of[:at] + new + bytes_of[at + len(new) :])
    frame = first(path)
    assert np.array_equal(frame.image, shown(plain, matrix))
    assert VideoFile(path).size == frame.image.shape[1::-1]
    assert frame.image.flags.c_contiguous


@pytest.mark.parametrize(
    ("wish", "matrix"),
    [
        ("flip=horizontal", (-1, 0, 0, 1)),
        ("flip=vertical", (1, 0, 0, -1)),
        ("rotate=90", (0, -1, 1, 0)),  # counterclockwise
        ("rotate=180", (-1, 0, 0, -1)),
    ],
)
def test_an_h264_stream_says_its_orientation(
    tmp_path: Path, wish: str, matrix: tuple[int, ...]
) -> None:
    plain = film(tmp_path / "plain.mp4", [corners()])
    path = tmp_path / "sei.mkv"
    with av.open(str(plain)) as given, av.open(str(path), "w") as to:
        track = given.streams.video[0]
        insert = BitStreamFilterContext(f"h264_metadata=display_orientation=insert:{wish}", track)
        out = to.add_stream_from_template(track)
        for packet in given.demux(track):
            for changed in insert.filter(packet if packet.size else None):
                changed.stream = out
                to.mux(changed)
    assert np.array_equal(first(path).image, shown(first(plain).image, matrix))


@pytest.mark.parametrize("one", EIGHT, ids=str)
@pytest.mark.parametrize("two", [*TURNED.values(), MIRRORED], ids=str)
def test_orientations_follow_one_another(one: tuple[int, ...], two: Orientation) -> None:
    picture = np.arange(35, dtype=np.uint8).reshape(5, 7)
    both = Orientation(*one).then(two).apply(picture)
    assert np.array_equal(both, shown(shown(picture, one), two))


def test_a_turn_that_was_asked_for_comes_last(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", [corners()])
    plain = first(path).image
    assert np.array_equal(first(path, turn=TURNED[90]).image, np.rot90(plain, -1))
    assert np.array_equal(first(path, turn=MIRRORED).image, plain[:, ::-1])


# --- pixel aspect and size --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("aspect", "size"),
    [
        (Fraction(4, 3), (86, 48)),  # 85.33 is 85, and then even
        (Fraction(2), (128, 48)),
        (Fraction(1, 2), (64, 96)),
        (Fraction(1), (64, 48)),
        (Fraction(400), (64, 48)),  # no camera makes that
    ],
)
def test_pixels_become_square(tmp_path: Path, aspect: Fraction, size: tuple[int, int]) -> None:
    path = film(tmp_path / "a.mp4", [corners()], aspect=aspect)
    wide, high = VideoFile(path).size
    assert abs(wide - size[0]) <= 2
    assert (wide % 2, high) == (0, size[1])
    image = first(path).image
    assert image.shape == (high, wide, 3)
    assert int(image[high // 4, wide // 4, 0]) == pytest.approx(40, abs=6)
    assert int(image[-high // 4, -wide // 4, 0]) == pytest.approx(220, abs=6)


@pytest.mark.parametrize(
    ("size", "cover", "becomes"),
    [
        ((3840, 2160), (1280, 720), (1280, 720)),
        ((3840, 2160), (720, 720), (1280, 720)),
        ((640, 360), (1280, 720), (640, 360)),
        ((1000, 3), (1280, 720), (1000, 3)),
        ((1001, 999), (64, 48), (64, 64)),
    ],
)
def test_a_picture_is_shrunk_until_it_just_covers(
    size: tuple[int, int], cover: tuple[int, int], becomes: tuple[int, int]
) -> None:
    assert _shrunk(size, cover) == becomes


def test_a_film_is_shrunk_upright(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", [corners(256, 128)])
    image = first(path, cover=(32, 32), turn=TURNED[90]).image
    assert image.shape == (64, 32, 3)
    assert int(image[16, 8, 0]) == pytest.approx(160, abs=3)


def test_a_frame_that_claims_gigabytes_is_refused(tmp_path: Path) -> None:
    path = film(
        tmp_path / "a.mkv", [np.zeros((16, 8200, 3), np.uint8)], codec="ffv1", pixels="bgr0"
    )
    with pytest.raises(SourceError, match="8200x16 is over 8192 pixels"):
        VideoFile(path)


def test_an_unknown_codec_is_told(tmp_path: Path) -> None:
    path = film(tmp_path / "a.avi", [corners()], codec="mpeg4")
    path.write_bytes(path.read_bytes().replace(b"FMP4", b"QQQQ"))
    with pytest.raises(SourceError, match=r"a\.avi: its codec is not known"):
        VideoFile(path)


# --- colour -----------------------------------------------------------------------------------

COLOURS = [(40, 80, 200), (180, 60, 40), (60, 170, 90), (128, 128, 128), (150, 180, 220)]  # BGR
BT601, BT709, BT2020 = 5, 1, 9
LIMITED, FULL = 1, 2


def patches(width: int, height: int) -> np.ndarray:
    """Columns of COLOURS, BGR (H, W, 3)."""
    columns = np.arange(width) * len(COLOURS) // width
    return np.tile(np.array(COLOURS, np.uint8)[columns], (height, 1, 1))


def off(image: np.ndarray) -> int:
    """How many levels the patches' middles are away from COLOURS, at most."""
    width, many = image.shape[1], len(COLOURS)
    middles = [(2 * number + 1) * width // (2 * many) for number in range(many)]
    return int(np.abs(image[image.shape[0] // 2, middles].astype(int) - COLOURS).max())


@pytest.mark.parametrize(
    ("size", "matrix", "range_"),
    [
        ((320, 180), BT601, LIMITED),
        ((320, 576), BT601, LIMITED),
        ((320, 720), BT709, LIMITED),
        ((320, 1088), BT709, LIMITED),
    ],
)
def test_untagged_colours_go_by_the_number_of_lines(
    tmp_path: Path, size: tuple[int, int], matrix: int, range_: int
) -> None:
    path = film(
        tmp_path / "a.mp4",
        [patches(*size)],
        dst_colorspace=matrix,
        dst_color_range=range_,
        options={"crf": "1"},
    )
    with av.open(str(path)) as container:
        assert next(container.decode(video=0)).colorspace == 2
    assert off(first(path).image) <= 5


@pytest.mark.parametrize("matrix", [BT601, BT709])
@pytest.mark.parametrize("range_", [LIMITED, FULL])
def test_colours_are_what_the_tags_say(tmp_path: Path, matrix: int, range_: int) -> None:
    path = film(
        tmp_path / "a.mp4",
        [patches(320, 180)],
        dst_colorspace=matrix,
        dst_color_range=range_,
        tags={"colorspace": matrix, "color_range": range_},
        options={"crf": "1"},
    )
    assert off(first(path).image) <= 5


def to_bt2020(bgr: np.ndarray) -> np.ndarray:
    """BT.709 levels, as a display of gamma 2.4 shows them, to linear BT.2020 RGB; white is 1."""
    matrix = [[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]]
    return (bgr[..., ::-1] / 255.0) ** 2.4 @ np.array(matrix).T


def hlg(light: np.ndarray) -> np.ndarray:
    """ITU-R BT.2100: from light where 203 cd/m² is 1 to the signal, for 1000 cd/m²."""
    shown = light * 203 / 1000
    luma = shown @ np.array([0.2627, 0.6780, 0.0593])
    scene = shown * np.maximum(luma, 1e-9)[..., None] ** (1 / 1.2 - 1)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(
        scene <= 1 / 12, np.sqrt(3 * scene), a * np.log(np.maximum(12 * scene - b, 1e-9)) + c
    )


def pq(light: np.ndarray) -> np.ndarray:
    """SMPTE ST 2084: from light where 203 cd/m² is 1 to the signal."""
    y = (light * 203 / 10000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * y) / (1 + 18.6875 * y)) ** 78.84375


@pytest.mark.parametrize(("curve", "trc"), [(hlg, 18), (pq, 16)], ids=["hlg", "pq"])
def test_hdr_becomes_sdr(tmp_path: Path, curve: object, trc: int) -> None:
    assert callable(curve)
    signal = np.rint(65535 * curve(to_bt2020(patches(320, 180)))).astype(np.uint16)
    path = film(
        tmp_path / "hdr.mkv",
        [signal],
        codec="ffv1",
        pixels="yuv444p10le",
        fed="rgb48le",
        tags={"colorspace": BT2020, "color_range": LIMITED, "color_trc": trc, "color_primaries": 9},
        dst_colorspace=BT2020,
        dst_color_range=LIMITED,
    )
    assert off(first(path).image) <= 12


# --- interlaced -------------------------------------------------------------------------------


def test_interlaced_video_is_deinterlaced_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A bar that jumps 8 pixels from field to field leaves no comb."""
    pictures = []
    for number in range(8):
        picture = np.full((96, 128, 3), 20, np.uint8)
        picture[::2, 10 + 8 * number : 40 + 8 * number] = 220
        picture[1::2, 14 + 8 * number : 44 + 8 * number] = 220
        pictures.append(picture)
    path = film(
        tmp_path / "a.ts", pictures, codec="mpeg2video", options={"flags": "+ilme+ildct", "b": "8M"}
    )
    with caplog.at_level(logging.INFO, "bshm_live"):
        frames = list(VideoFile(path))
    assert len(frames) == 8
    assert [frame.time for frame in frames] == pytest.approx([n / 25 for n in range(8)])
    assert [record.getMessage() for record in caplog.records] == [
        f"{path} is interlaced: it is deinterlaced"
    ]

    def comb(image: np.ndarray) -> float:
        lines = image[8:-8, :, 0].astype(float)
        return float(np.abs(lines[1:-1] - (lines[:-2] + lines[2:]) / 2).mean())

    assert comb(pictures[4]) > 10
    assert comb(frames[4].image) < 2


# --- alpha ------------------------------------------------------------------------------------


def cut_out(width: int = 128, height: int = 96) -> np.ndarray:
    """BGRA: opaque at the left, half in the middle, and a hidden magenta at the right."""
    picture = np.zeros((height, width, 4), np.uint8)
    picture[..., :3], picture[..., 3] = (60, 120, 180), 255
    picture[:, width // 3 : 2 * width // 3, 3] = 128
    picture[:, 2 * width // 3 :] = (255, 0, 255, 0)
    return picture


@pytest.mark.parametrize(
    ("name", "codec", "pixels", "options"),
    [
        ("a.mov", "prores_ks", "yuva444p10le", {"profile": "4444"}),
        ("a.mov", "png", "rgba", {}),
        ("a.webm", "libvpx-vp9", "yuva420p", {"auto-alt-ref": "0", "crf": "4", "b": "0"}),
        ("a.mkv", "ffv1", "bgra", {}),
    ],
)
def test_alpha_is_read_and_hides_colours(
    tmp_path: Path, name: str, codec: str, pixels: str, options: dict[str, str]
) -> None:
    path = film(
        tmp_path / name, [cut_out()] * 3, codec=codec, pixels=pixels, fed="bgra", options=options
    )
    frames = list(VideoFile(path))
    assert len(frames) == 3
    for frame in frames:
        assert frame.alpha is not None
        assert frame.alpha.shape == (96, 128)
        assert frame.alpha.flags.c_contiguous
        for x, level in ((20, 255), (64, 128), (110, 0)):
            assert int(frame.alpha[48, x]) == pytest.approx(level, abs=3)
        assert np.abs(frame.image[48, 20].astype(int) - (60, 120, 180)).max() <= 6
        assert (frame.image[frame.alpha < FAINT] == HIDDEN).all()


def test_what_is_opaque_has_no_alpha(tmp_path: Path) -> None:
    picture = cut_out()
    picture[..., 3] = 255
    path = film(tmp_path / "a.mkv", [picture], codec="ffv1", pixels="bgra", fed="bgra")
    assert first(path).alpha is None


def test_alpha_is_turned_and_shrunk_with_its_picture(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mkv", [cut_out(96, 96)], codec="ffv1", pixels="bgra", fed="bgra")
    frame = first(path, turn=MIRRORED, cover=(48, 48))
    assert frame.alpha is not None
    assert frame.image.shape[:2] == frame.alpha.shape == (48, 48)
    assert frame.alpha[24, [8, 24, 40]].tolist() == [0, 128, 255]
    pinkest = frame.image[..., 2].astype(int) - frame.image[..., 1]
    assert pinkest.max() <= 60  # the orange's own


# --- animations -------------------------------------------------------------------------------

RED, LIME, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def animation(path: Path, times_ms: list[int], **more: object) -> Path:
    pictures = [Image.new("RGB", (32, 24), colour) for colour in (RED, LIME, BLUE)]
    pictures[0].save(
        path, save_all=True, append_images=pictures[1:], duration=times_ms, loop=0, **more
    )
    return path


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("a.gif", {"format": "GIF"}),
        ("a.webp", {"format": "WEBP", "lossless": True}),
        ("a.apng", {"format": "PNG"}),
        ("a.png", {"format": "PNG"}),
        ("webp.gif", {"format": "WEBP"}),
    ],
)
def test_animations_keep_their_own_times(
    tmp_path: Path, name: str, more: dict[str, object]
) -> None:
    path = animation(tmp_path / name, [1000, 100, 200], **more)
    source = VideoFile(path, loop=True)
    frames = list(itertools.islice(source, 7))
    assert [frame.time for frame in frames] == pytest.approx([0, 1, 1.1, 1.3, 2.3, 2.4, 2.6])
    colours = [tuple(int(c) // 100 for c in frame.image[12, 16, ::-1]) for frame in frames]
    assert colours == [(2, 0, 0), (0, 2, 0), (0, 0, 2)] * 2 + [(2, 0, 0)]
    assert all(frame.alpha is None for frame in frames)


def test_a_film_of_uneven_times_ends_when_it_says(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"bf": "0"})
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for at in (0, 25, 26, 27):
            frame = av.VideoFrame.from_ndarray(corners(), "bgr24").reformat(format="yuv420p")
            frame.pts, frame.time_base, frame.duration = at, Fraction(1, 25), 1
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    times = [frame.time for frame in itertools.islice(VideoFile(path, loop=True), 6)]
    assert times[:4] == pytest.approx([0, 1, 1.04, 1.08])
    assert times[5] - times[4] == pytest.approx(1)
    assert times[4] == pytest.approx(1.12, abs=0.05)


def test_a_picture_is_no_animation(tmp_path: Path) -> None:
    path = tmp_path / "still.webp"
    Image.new("RGB", (32, 24), RED).save(path)
    with pytest.raises(SourceError, match="is not a video"):
        VideoFile(path)


def test_a_broken_animation_is_told(tmp_path: Path) -> None:
    path = animation(tmp_path / "a.webp", [100, 100, 100])
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(SourceError, match=r"a\.webp") as caught:
        list(VideoFile(path))
    assert "\n" not in str(caught.value)
