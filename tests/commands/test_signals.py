"""Signals: the program ends within a second, whatever it waits for, and files are whole or gone."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from bshm_live.commands import signals

if os.name != "posix":
    pytest.skip("Windows has no such signals", allow_module_level=True)

NUMBERS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT]


def send(number: int) -> None:
    os.kill(os.getpid(), number)


# The module


@pytest.mark.parametrize("number", NUMBERS)
def test_the_first_signal_interrupts_and_no_other_does(number: int) -> None:
    before = signal.getsignal(number)
    cleaned = []

    @signals.handled()
    def command() -> None:
        try:
            send(number)
            time.sleep(30)
        finally:
            for other in NUMBERS:
                send(other)
            time.sleep(0.01)
            cleaned.append(True)

    with pytest.raises(KeyboardInterrupt):
        command()
    assert cleaned
    assert signal.getsignal(number) is before
    assert not signals.asked()


def test_held_signals_wait() -> None:
    with signals.handled():
        with signals.held():
            send(signal.SIGTERM)
            time.sleep(0.01)
            assert signals.asked()
            with pytest.raises(KeyboardInterrupt), signals.held(hold=False):
                pytest.fail("begins what it may not end")
        with pytest.raises(KeyboardInterrupt):
            signals.end_if_asked()
    signals.end_if_asked()


def test_who_asks_again_much_later_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    with signals.handled(), signals.held():
        send(signal.SIGINT)
        monkeypatch.setattr(signals, "PATIENCE_S", -1.0)
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)


@pytest.mark.parametrize("number", NUMBERS)
def test_frames_end_while_the_source_waits(number: int) -> None:
    def source():  # type: ignore[no-untyped-def]
        yield 1
        send(number)
        time.sleep(30)
        yield 2

    with signals.handled(), signals.held():
        assert list(signals.frames(source())) == [1]
        assert signals.asked()


def test_frames_end_with_the_source_and_after_the_frame_in_hand() -> None:
    with signals.handled(), signals.held():
        assert list(signals.frames(iter("abc"))) == ["a", "b", "c"]  # type: ignore[arg-type]
        seen = []
        for frame in signals.frames(iter("abc")):  # type: ignore[arg-type]
            send(signal.SIGINT)
            seen.append(frame)
        assert seen == ["a"]


def test_an_interrupt_that_is_not_ours_is_raised() -> None:
    def source():  # type: ignore[no-untyped-def]
        yield 1
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(signals.frames(source()))


@pytest.mark.parametrize("number", NUMBERS)
def test_modules_are_loaded_to_their_end(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "loads_slowly.py").write_text(
        f"import os, time\nos.kill(os.getpid(), {int(number)})\ntime.sleep(0.1)\ndone = True\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    start = time.monotonic()

    def command() -> None:
        import loads_slowly  # type: ignore[import-not-found]  # noqa: F401

        time.sleep(30)

    with pytest.raises(KeyboardInterrupt), signals.handled():
        command()
    assert time.monotonic() - start < 10
    assert sys.modules.pop("loads_slowly").done


def test_nohup_is_respected() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with signals.handled():
            send(signal.SIGHUP)
            assert not signals.asked()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
