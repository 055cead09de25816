"""What changes a live picture while it runs: commands, and the machine's own pace."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from dataclasses import replace
from typing import Any

from ..control.config import read_config, save_scene
from ..control.desk import Desk, Hands, Wish
from ..control.touches import AUTO
from ..control.words import changed, parse_words, words_of
from ..errors import BshmError, SettingsError
from ..loop.adapt import Adapter
from ..loop.assemble import LiveParts
from ..loop.stage import Stage, open_stage
from ..settings import PRESETS, Live, Look, Networks, Preset
from ..sinks.virtual_camera import VirtualCamera
from ..sources.live_camera import LiveCamera
from ..types import Sink, Size, Source
from .memory import give_back

log = logging.getLogger(__name__)

ANSWER_S = 0.15  # a command waits so long to hear whether its wish could be opened


class Steering:
    """The desk of a live picture, what it does with a wish, and what it answers to commands."""

    def __init__(
        self, look: Look, networks: Networks, live: Live, size: Size, stage: Stage, parts: LiveParts
    ) -> None:
        self._live, self._size, self._parts = live, size, parts
        self._source: Source | None = None
        self._sinks: Sequence[Sink] = ()
        self._adapter: Adapter | None = None
        if networks.preset is None:
            networks = replace(networks, preset=_known(parts.preset))
            self._adapt(parts.preset)
        self.status: Callable[[], dict[str, Any]] = dict
        self.page: str | None = None  # its address
        self._uses = Counter([stage.background])  # stages that show a background
        hands = Hands(self._open, self._retire, parts.load, self._tell)
        self.desk: Desk[Stage] = Desk(Wish(look, networks), stage, hands)

    def attach(self, source: Source, sinks: Sequence[Sink]) -> None:
        """Whom a pause concerns."""
        self._source, self._sinks = source, sinks
        self._tell(self.desk.now.look, self.desk.stage())

    def frame_done(self, busy_s: float, period_s: float) -> None:
        """After every frame: another preset where this one is too slow, or a better one does."""
        adapter = self._adapter
        if adapter is None or self.desk.now.look.paused:
            return
        preset = adapter(busy_s, period_s, time.monotonic())
        if preset is not None:
            log.info(f"frames took {busy_s / period_s:.0%} of their time: changing to {preset}")
            self.desk.change(lambda wish: _with_preset(wish, preset)).add_done_callback(_tell_late)

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """To a command: what runs, or what became of a wish. Raises BshmError."""
        if "open" in request:
            return {"address": self._page_address()}
        if "set" not in request:
            return {"status": self._status()}
        try:
            return {"done": self._set([str(word) for word in request["set"]])}
        except BshmError as error:
            _tell(error)
            raise

    def _set(self, given: list[str]) -> list[str]:
        """A line on each thing that was done. Raises BshmError."""
        words = parse_words(given)
        done = []
        if name := words.pop("scene", None):
            words = {**read_config().scene(name), **words}
        save = words.pop("save", None)
        if words:
            done.append(self._wished(self.desk.change(lambda wish: changed(wish, words))))
            if preset := words.get("preset"):
                self._adapter = None
                if preset == AUTO:
                    self._adapt(self._parts.preset)
        if save:
            place = save_scene(save, words_of(self.desk.now.look))
            done.append(f"saved as scene {save} in {place}")
        return done

    def close(self) -> None:
        self.desk.close()
        self.desk.stage().background.close()

    def _page_address(self) -> str:
        """Raises SettingsError where the page is not served."""
        if self.page is None:
            raise SettingsError("this program has no page; start it with --control")
        return self.page

    def _wished(self, answer: Future[None]) -> str:
        try:
            answer.result(ANSWER_S)
        except NotYet:
            answer.add_done_callback(_tell_late)
            return "opening it; the picture changes when it is ready"
        return "done"

    def _adapt(self, preset: str) -> None:
        """From now on the preset follows the machine's pace."""
        if preset in PRESETS:
            most = self._parts.most if self._parts.most in PRESETS else preset
            self._adapter = Adapter(preset, time.monotonic(), most)

    def _status(self) -> dict[str, Any]:
        wish = self.desk.now
        return {
            "name": self._live.name,
            **words_of(wish.look),
            "paused": wish.look.paused,
            "preset": wish.networks.preset or self._parts.preset,
            "preset_follows_the_machine": self._adapter is not None,
            "steady": wish.networks.steady,
            "page": self.page,
            "scenes": _scenes(),
            **self.status(),
        }

    def _open(self, look: Look) -> Stage:
        """Opens a background only where it changes: the file of the old one may be gone."""
        now = self.desk.now.look
        same = (look.background, look.depth) == (now.background, now.depth)
        stage = open_stage(
            look,
            self._size,
            self._live.on_trouble,
            live=True,
            background=self.desk.newest.background if same else None,
        )
        self._uses[stage.background] += 1
        return stage

    def _retire(self, stage: Stage) -> None:
        self._uses[stage.background] -= 1
        if not self._uses[stage.background]:
            del self._uses[stage.background]
            stage.background.close()
        give_back()

    def _tell(self, look: Look, stage: Stage) -> None:
        """Switches the camera off or on, and shows what stands in while no frame comes."""
        if isinstance(self._source, LiveCamera):
            self._source.paused = look.paused
        for sink in self._sinks:
            if isinstance(sink, VirtualCamera):
                sink.show_idle(stage.empty(self._size))


def _tell(error: BaseException) -> None:
    log.info(f"nothing changed: {error}")


def _tell_late(answer: Future[None]) -> None:
    """Of a wish that nobody waits for any more."""
    error = answer.exception()
    if isinstance(error, BshmError):
        _tell(error)


def _scenes() -> list[str]:
    """The names of the user's scenes; none where the file is wrong, which a use of it says."""
    try:
        return list(read_config().scenes)
    except SettingsError:
        return []


def _known(preset: str) -> Preset | None:
    return next((known for known in PRESETS if known == preset), None)


def _with_preset(wish: Wish, preset: str) -> Wish:
    return Wish(wish.look, replace(wish.networks, preset=_known(preset)))
