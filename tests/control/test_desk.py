"""Wishes are opened beside the loop, taken whole, and change nothing when they fail."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from bshm_live.control.desk import Desk, Hands, Wish
from bshm_live.control.words import changed, parse_words, words_of
from bshm_live.errors import EngineError, SettingsError
from bshm_live.settings import BackgroundSpec, Look, Networks, parse_background
from bshm_live.types import Place

SOON_S = 10.0
LOOK = Look(BackgroundSpec("colour", colour=(1, 2, 3)))
START = Wish(LOOK, Networks())


class Workshop:
    """Opens looks as texts; `given_back` and `loaded` tell what was done."""

    def __init__(self) -> None:
        self.given_back: list[str] = []
        self.loaded: list[str | None] = []
        self.told: list[str] = []
        self.gate = threading.Event()
        self.gate.set()

    def open(self, look: Look) -> str:
        assert self.gate.wait(SOON_S)
        if look.background.colour == (9, 9, 9):
            raise SettingsError("broken picture; try another")
        return look.background.text

    def load(self, networks: Networks):  # type: ignore[no-untyped-def]
        if networks.preset == "quality":
            raise EngineError("no such networks; reinstall")
        return lambda: self.loaded.append(networks.preset)

    def hands(self) -> Hands[str]:
        return Hands(
            self.open,
            self.given_back.append,
            self.load,
            lambda look, stage: self.told.append(stage),
        )


@pytest.fixture
def shop() -> Workshop:
    return Workshop()


@pytest.fixture
def desk(shop: Workshop) -> Iterator[Desk[str]]:
    made = Desk(START, "the first", shop.hands())
    yield made
    made.close()


def colour(*bgr: int) -> Wish:
    return Wish(replace(LOOK, background=BackgroundSpec("colour", colour=bgr)), Networks())  # type: ignore[arg-type]


def test_a_look_is_taken_at_the_next_frame(desk: Desk[str], shop: Workshop) -> None:
    assert desk.stage() == "the first"
    desk.wish(colour(0, 0, 255)).result(SOON_S)
    assert desk.stage() == desk.stage() == "#ff0000"
    assert shop.told == ["#ff0000"]
    desk.wish(colour(0, 255, 0)).result(SOON_S)
    desk.stage()
    desk.wish(colour(0, 0, 0)).result(SOON_S)  # by then the thread has given the others back
    assert shop.given_back == ["the first", "#ff0000"]


def test_what_fails_leaves_everything_as_it_was(desk: Desk[str], shop: Workshop) -> None:
    with pytest.raises(SettingsError, match="broken picture"):
        desk.wish(colour(9, 9, 9)).result(SOON_S)
    bad = Wish(colour(0, 0, 255).look, Networks(preset="quality"))
    with pytest.raises(EngineError, match="reinstall"):
        desk.wish(bad).result(SOON_S)
    assert desk.stage() == "the first"
    assert desk.now == START
    assert shop.given_back == ["#ff0000"]  # opened for nothing
    desk.wish(Wish(LOOK, Networks(preset="fast"))).result(SOON_S)
    assert shop.loaded == ["fast"]
    assert desk.stage() == "the first"


def test_of_wishes_that_wait_the_newest_counts(desk: Desk[str], shop: Workshop) -> None:
    shop.gate.clear()
    answers = [desk.wish(colour(0, 0, level)) for level in range(5)]
    assert desk.stage() == "the first"  # the loop goes on meanwhile
    shop.gate.set()
    for answer in answers:
        answer.result(SOON_S)
    assert desk.stage() == "#040000"
    assert len(shop.told) <= 2


def test_changes_in_a_row_add_up(desk: Desk[str], shop: Workshop) -> None:
    shop.gate.clear()
    desk.change(lambda wish: changed(wish, {"bg": "#ff0000"}))
    last = desk.change(lambda wish: changed(wish, {"mirror": "on"}))
    shop.gate.set()
    last.result(SOON_S)
    assert (desk.now.look.mirror, desk.stage()) == (True, "#ff0000")


def test_a_stage_that_was_never_taken_is_given_back(desk: Desk[str], shop: Workshop) -> None:
    for level in (1, 2, 3):
        desk.wish(colour(0, 0, level)).result(SOON_S)
    assert desk.stage() == "#030000"
    desk.wish(colour(0, 0, 4)).result(SOON_S)
    assert set(shop.given_back) >= {"#010000", "#020000"}


def test_words_make_a_wish() -> None:
    words = parse_words(["bg=#00b140", "mirror=on", "light-wrap=yes", "preset=fast", "pause"])
    wish = changed(START, words)
    assert wish.look.background.colour == (0x40, 0xB1, 0x00)
    assert (wish.look.mirror, wish.look.light_wrap, wish.look.paused) == (True, True, True)
    assert wish.networks.preset == "fast"
    assert not changed(wish, parse_words(["resume"])).look.paused
    other = changed(wish, parse_words(["pause=toggle", "mirror=toggle", "steady=toggle"]))
    assert (other.look.paused, other.look.mirror, other.networks.steady) == (False, False, False)
    assert changed(other, {"paused": "toggle"}).look.paused
    assert changed(wish, {"preset": "auto"}).networks.preset is None
    assert changed(START, {"blur": "40"}).look.background.radius == 40


def test_words_for_the_person() -> None:
    wish = changed(START, parse_words(["frame=head", "subject=nearest", "place=85%,100%,40%"]))
    look = wish.look
    assert (look.framing, look.subject, look.place) == ("head", 1, Place(85, 100, 40))
    assert changed(wish, {"frame": "toggle"}).look.framing is None
    assert changed(START, {"frame": "toggle"}).look.framing == "half"
    assert changed(wish, {"frame": "on"}).look.framing == "head"
    assert changed(wish, {"place": "0"}).look.place is None
    off = changed(wish, {"frame": "off", "subject": "all", "place": "off"}).look
    assert off == START.look
    assert changed(START, {"subject": "3"}).look.subject == 3


@pytest.mark.parametrize(
    "word",
    [
        "mirror",
        "mirror=perhaps",
        "size=1x1",
        "preset=best",
        "blur=x",
        "bg=",
        "=",
        "",
        "frame=whole",
        "subject=me",
        "subject=0",
        "subject=10",
        "place=here",
    ],
)
def test_a_wrong_word_is_one_line(word: str) -> None:
    with pytest.raises(SettingsError) as error:
        changed(START, parse_words([word]))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["blur:30", "#00b140", "none", "coral"])
def test_a_look_in_words_is_the_same_look(text: str) -> None:
    look = Look(parse_background(text), mirror=True, light_wrap=True)
    person = Look(look.background, framing="loose", subject=2, place=Place(10, 20.5, 300))
    assert changed(START, {k: str(v) for k, v in words_of(person).items() if v}).look == person
    words = {key: "on" if value is True else str(value) for key, value in words_of(look).items()}
    assert changed(START, words).look == look
