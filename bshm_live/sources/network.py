"""A camera on the network (RTSP, HTTP): its newest picture, in a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import av

from ..errors import SourceError
from ..types import Frame, Size
from .container import film_of
from .film import FPS_UNKNOWN
from .newest import Newest
from .to_bgr import Pictures

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

SCHEMES = ("rtsp", "rtsps", "http", "https")
# What an address may lead to: never a file of this machine.
PROTOCOLS = "http,https,httpproxy,rtsp,rtsps,rtp,srtp,udp,tcp,tls,crypto"
OPEN_S, READ_S = 10.0, 5.0  # without an answer, and without a picture
END_S = 1.0  # how long the end waits for the thread


def is_address(text: str) -> bool:
    """Whether a source's text is a camera on the network."""
    return text.partition("://")[0].lower() in SCHEMES and "://" in text


def shown(url: str) -> str:
    """The address without what may be secret in it: user, password and query."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"


@dataclass(frozen=True)
class News:
    """A decoded frame, its number, and time.monotonic() when it came."""

    frame: VideoFrame
    index: int
    at: float


class NetworkCamera:
    """Frames of a stream as they come, all of the first one's size.

    What the loop is too slow for is dropped. While it waits, `give_up` is asked four
    times a second and ends the iteration. Raises SourceError, also when nothing comes
    for 5 seconds; LiveCamera opens it anew.
    """

    count = None

    def __init__(self, url: str, give_up: Callable[[], bool] = lambda: False) -> None:
        self._url, self._name = url, shown(url)
        self._silent = f"camera {self._name} sends no pictures; is it on, and the network there?"
        self._newest = Newest[News](give_up)
        self.fps = FPS_UNKNOWN
        self._thread = threading.Thread(target=self._read, name="network camera", daemon=True)
        self._thread.start()
        try:
            first = self._newest.take(OPEN_S + READ_S, self._silent)
        except SourceError:
            self.close()
            raise
        if first is None:
            self.close()
            raise SourceError(f"camera {self._name} was given up before its first picture")
        self._newest.put_back(first)
        self._pictures = Pictures(first.frame)
        self.size: Size = self._pictures.size

    def describe(self) -> str:
        width, height = self.size
        return f"camera {self._name}: {width}x{height}, {self.fps:.4g} frames/s"

    def __iter__(self) -> Iterator[Frame]:
        start: float | None = None
        while (news := self._newest.take(READ_S, self._silent)) is not None:
            start = news.at if start is None else start
            try:
                image, alpha = self._pictures(news.frame)
            except av.FFmpegError as error:
                raise SourceError(self._failed(error)) from error
            yield Frame(image, news.index, news.at - start, captured=news.at, alpha=alpha)

    def close(self) -> None:
        """Ends the iteration and the connection."""
        self._newest.close()
        self._thread.join(END_S)

    def _read(self) -> None:
        """The thread: keeps the slot filled until the stream ends."""
        failure = f"camera {self._name} has ended its stream"
        try:
            options = {"rtsp_transport": "tcp", "protocol_whitelist": PROTOCOLS}
            with av.open(self._url, options=options, timeout=(OPEN_S, READ_S)) as container:
                stream = film_of(container, self._name)
                self.fps = float(stream.average_rate or stream.guessed_rate or FPS_UNKNOWN)
                for index, frame in enumerate(container.decode(stream)):
                    if self._newest.closed:
                        return
                    self._newest.put(News(frame, index, time.monotonic()))
        except av.FFmpegError as error:
            failure = self._failed(error)
        except SourceError as error:
            failure = str(error)
        self._newest.fail(failure)

    def _failed(self, error: av.FFmpegError) -> str:
        return f"camera {self._name} cannot be read ({error.strerror}); check the address"
