"""Films that are no single file: by a pipe, as numbered pictures, from the network."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from bshm_live.errors import SourceError
from bshm_live.sinks.video_file import VideoWriter
from bshm_live.sources import open_source
from bshm_live.sources.live_camera import LiveCamera
from bshm_live.sources.network import NetworkCamera, is_address, shown
from bshm_live.sources.video_file import VideoFile

SIZE = (64, 48)


def clip(path: Path, count: int = 10, kind: str | None = None) -> Path:
    with av.open(str(path), "w", format=kind) as container:
        stream = container.add_stream("mpeg2video" if path.suffix == ".ts" else "mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for number in range(count):
            grey = np.full((48, 64, 3), 20 + 20 * number % 200, np.uint8)
            frame = av.VideoFrame.from_ndarray(grey, "bgr24")
            container.mux(stream.encode(frame.reformat(format="yuv420p")))
        container.mux(stream.encode(None))
    return path


# --- numbered pictures ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "first"), [("f-%04d.png", 1), ("%d.jpg", 17), ("a%03db.png", 0)]
)
def test_numbered_pictures_are_a_film(tmp_path: Path, pattern: str, first: int) -> None:
    for number in range(12):
        Image.new("RGB", SIZE, (20 * number,) * 3).save(tmp_path / (pattern % (first + number)))
    (tmp_path / "f-note.png").write_text("not one of them")
    source = VideoFile(tmp_path / pattern)
    frames = list(source)
    assert source.size == SIZE
    assert [round(int(frame.image[24, 32, 0]) / 20) for frame in frames] == list(range(12))
    assert [frame.time for frame in frames] == pytest.approx([n / 25 for n in range(12)])
    writer = VideoWriter(tmp_path / "o.mp4", SIZE, 25, audio_from=source.path)
    writer.close(ok=False)
    assert writer.notes == []


def test_numbered_pictures_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such pictures"):
        VideoFile(tmp_path / "f-%04d.png")
    with pytest.raises(SourceError, match="check the path"):
        VideoFile(tmp_path / "gone" / "f-%04d.png")


# --- a pipe -----------------------------------------------------------------------------------

READ = """
from bshm_live.errors import BshmError
from bshm_live.sources.video_file import VideoFile
try:
    source = VideoFile("-")
    print(source.size, len(list(source)))
    list(source)
except BshmError as error:
    print(error)
"""


@pytest.mark.parametrize("name", ["a.mkv", "a.ts", "a.avi"])
def test_a_film_comes_in_by_a_pipe(tmp_path: Path, name: str) -> None:
    words = [sys.executable, "-c", READ]
    given = clip(tmp_path / name).read_bytes()
    done = subprocess.run(words, input=given, capture_output=True, check=False)
    lines = done.stdout.decode().splitlines()
    assert lines == [
        "(64, 48) 10",
        "standard input can be read only once; save it to a file first",
    ], done.stderr


def test_rubbish_by_a_pipe_is_told() -> None:
    words = [sys.executable, "-c", READ]
    done = subprocess.run(words, input=b"\x01\x02" * 5000, capture_output=True, check=False)
    assert done.stdout.decode().startswith("standard input is not a video that can be read")
    assert len(done.stdout.splitlines()) == 1


# --- the network ------------------------------------------------------------------------------


class Server(ThreadingHTTPServer):
    """Sends a clip on and on, slowly, until `cut`; then it hangs up."""

    def __init__(self, clip: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.clip, self.cut, self.silent = clip, threading.Event(), False
        self.connections = 0

    @property
    def url(self) -> str:
        return f"http://user:secret@127.0.0.1:{self.server_port}/live.ts?token=hidden"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.connections += 1
        self.send_response(200)
        self.end_headers()
        while not self.server.cut.is_set():
            if self.server.silent:
                time.sleep(0.05)
                continue
            try:
                self.wfile.write(self.server.clip)
            except OSError:
                return
            time.sleep(0.1)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(clip(tmp_path / "a.ts", 25).read_bytes())
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield made
    made.cut.set()
    made.shutdown()
    made.server_close()
    thread.join()


def test_a_network_camera_gives_its_newest_frames(server: Server) -> None:
    camera = NetworkCamera(server.url)
    assert camera.size == SIZE
    frames = [frame for frame, _ in zip(camera, range(20), strict=False)]
    camera.close()
    assert not camera._thread.is_alive()
    assert {frame.image.shape for frame in frames} == {(48, 64, 3)}
    assert (np.diff([frame.index for frame in frames]) > 0).all()
    assert (np.diff([frame.time for frame in frames]) > 0).all()
    assert frames[0].captured is not None
    assert "secret" not in camera.describe()
    assert "hidden" not in camera.describe()


def test_a_network_camera_comes_back(server: Server) -> None:
    told: list[str] = []

    def report(line: str) -> None:
        told.append(line)
        server.cut.clear()  # it answers again

    source = open_source(server.url, report=report)
    assert isinstance(source, LiveCamera)
    sessions = set()
    end = time.monotonic() + 20
    for frame in source:
        sessions.add(frame.session)
        if not told:
            server.cut.set()  # it hangs up
        if len(sessions) == 2 or time.monotonic() > end:
            source.stop()
    source.close()
    assert sessions == {0, 1}
    assert server.connections >= 2
    assert "waiting for it" in told[0]
    assert "is back: 64x48" in told[-1]
    assert not any("secret" in line for line in told)


def test_a_network_camera_that_falls_silent_is_an_error(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bshm_live.sources.network.READ_S", 0.5)
    camera = NetworkCamera(server.url)
    server.silent = True
    start = time.monotonic()
    with pytest.raises(SourceError, match=r"camera http://127.0.0.1.*/live.ts"):
        for _ in camera:
            pass
    assert time.monotonic() - start < 5
    server.cut.set()
    camera.close()


def test_a_network_camera_is_given_up(server: Server) -> None:
    server.silent = True
    start = time.monotonic()
    with pytest.raises(SourceError, match="given up"):
        NetworkCamera(server.url, lambda: time.monotonic() - start > 0.3)
    assert time.monotonic() - start < 3


def test_no_network_camera_there() -> None:
    with pytest.raises(SourceError, match=r"camera http://127.0.0.1:9/ cannot be read"):
        open_source("http://127.0.0.1:9/")


def test_an_address_leads_to_no_file(tmp_path: Path) -> None:
    """A playlist that names a file of this machine shows nothing of it."""
    inside = clip(tmp_path / "private.ts")
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:{inside}\n#EXT-X-ENDLIST\n"
    made = Server(playlist.encode())
    made.clip = playlist.encode()
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    threading.Timer(0.05, made.cut.set).start()
    with pytest.raises(SourceError):
        NetworkCamera(f"http://127.0.0.1:{made.server_port}/live.m3u8")
    made.shutdown()
    made.server_close()
    thread.join()


def test_what_is_an_address() -> None:
    assert [is_address(text) for text in ("rtsp://a/b", "HTTP://a", "a.mp4", "file:///x", "0")] == [
        True,
        True,
        False,
        False,
        False,
    ]
    assert shown("rtsp://me:pw@host:554/ch1?key=1") == "rtsp://host:554/ch1"
