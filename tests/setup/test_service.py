"""The service: a unit that systemd accepts, with the options that were given and no others."""

from __future__ import annotations

import argparse
import logging
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from machine_twin import Systemd

from bshm_live.cli import build_parser, main, parse
from bshm_live.errors import SettingsError, SinkError
from bshm_live.setup import service
from bshm_live.setup.service import (
    UNIT,
    install,
    live_words,
    quote,
    quote_folder,
    remove,
    state,
    unit_path,
    unit_text,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="systemd is Linux's")


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    return {"XDG_CONFIG_HOME": str(tmp_path / "config")}


def systemd_words(line: str) -> list[str]:
    """What stands behind `ExecStart=:`, split as systemd.service(5) and systemd.unit(5) tell."""
    words, raw, inside, place, begun = [], b"", "", 0, False
    while place < len(line):
        sign = line[place]
        if not inside and sign in " \t":
            words += [raw] if begun else []
            raw, begun = b"", False
        elif sign == "\\":
            place += 1
            kind = line[place]
            if kind == "x":
                raw += bytes([int(line[place + 1 : place + 3], 16)])
                place += 2
            else:
                raw += {"n": b"\n", "t": b"\t", "s": b" "}.get(kind, kind.encode())
            begun = True
        elif sign in "\"'" and (sign == inside or (not inside and not begun)):
            inside = "" if inside else sign
            begun = True
        elif sign == "%":
            place += 1
            assert line[place] == "%", f"a specifier in {line}"
            raw += b"%"
        else:
            raw += sign.encode("utf-8", "surrogateescape")
            begun = True
        place += 1
    assert not inside, f"an open quote in {line}"
    words += [raw] if begun else []
    return [word.decode("utf-8", "surrogateescape") for word in words]


def exec_start(text: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if line.startswith("ExecStart=")]
    return systemd_words(line.removeprefix("ExecStart=:"))


WORDS = st.one_of(
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    st.text(st.sampled_from("%$\\\"' ;\n\t{}#~ax5ü\udcff")),
)


@settings(max_examples=50, deadline=None)  # loaded machines are slow
@given(st.lists(WORDS, max_size=5))
def test_every_word_arrives_as_it_was(words: list[str]) -> None:
    text = unit_text(["/usr/bin/bshm-live", *words], {})
    assert exec_start(text) == ["/usr/bin/bshm-live", *words]
    assert all(quote(word).isprintable() for word in words)


def verify(tmp_path: Path, text: str) -> str:
    """What systemd itself finds wrong with a unit."""
    program = shutil.which("systemd-analyze")
    if not program:
        pytest.skip("there is no systemd-analyze")
    unit = tmp_path / UNIT
    unit.write_text(text, "utf-8")
    done = subprocess.run(
        [program, "verify", "--user", "--man=no", unit],
        env={"PATH": "/usr/bin:/bin", "XDG_RUNTIME_DIR": str(tmp_path), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    noise = (
        "Failed to open",
        "cgroup",
        "Unit default.target",
        "RestartSteps",
        "RestartMaxDelaySec",
    )
    lines = (done.stdout + done.stderr).splitlines()
    return "\n".join(line for line in lines if not any(sign in line for sign in noise))


@pytest.mark.parametrize("name", ["bshm-live", "a b%h 100% $HOME ü{x}", "tab and ; semi"])
def test_systemd_finds_nothing_wrong(tmp_path: Path, name: str) -> None:
    program = tmp_path / name
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    text = unit_text(
        [str(program), '--bg=/a b/%d "x".jpg', ";", "$HOME"],
        {"BSHM_ENGINES": "/a b/50%"},
        writable=[f"{tmp_path}/50% of ü"],
    )
    assert verify(tmp_path, text) == ""
    assert "not executable" in verify(tmp_path, text.replace(quote(str(program)), "/no/such"))


def test_systemd_says_what_is_wrong(tmp_path: Path) -> None:
    text = unit_text(["/bin/true"], {})
    assert "Protekt" in verify(tmp_path, text.replace("ProtectHome", "ProtektHome"))


def test_the_service_is_shut_in_and_comes_back() -> None:
    text = unit_text(["/bin/true"], {})
    for line in (
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        "ProtectHome=read-only",
        "PrivateTmp=yes",
        "RestrictAddressFamilies=AF_UNIX",
        "SystemCallFilter=@system-service",
        "Restart=on-failure",
        "StartLimitIntervalSec=0",
        "RestartPreventExitStatus=2",
        "WantedBy=default.target",
    ):
        assert line in text.splitlines()
    assert "User=" not in text
    assert "RestartSteps" not in text
    assert "RestartSteps" in unit_text(["/bin/true"], {}, systemd=254)


def live(*words: str) -> argparse.Namespace:
    args: argparse.Namespace = parse(["service", "install", *words])
    return args


def words_of(*words: str) -> list[str]:
    args = live(*words)
    return live_words(vars(args.live), vars(args.live_defaults))


def test_on_demand_is_always_there() -> None:
    assert words_of("--bg", "blur") == ["--bg=blur", "--on-demand"]
    assert words_of("--", "--on-demand", "--bg", "none") == ["--bg=none", "--on-demand"]


def test_paths_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my office.jpg").touch()
    words = words_of("--bg", "my office.jpg", "--sink", "vcam", "--sink", "out.mp4")
    assert f"--bg={tmp_path}/my office.jpg" in words
    assert [w for w in words if "sink" in w] == ["--sink=vcam", f"--sink={tmp_path}/out.mp4"]


def every_option() -> list[str]:
    """One use of each option of the main command that a service may have."""
    commands = build_parser()._subparsers
    assert commands is not None
    (choice,) = [a for a in commands._group_actions if isinstance(a.choices, dict)]
    assert isinstance(choice.choices, dict)
    words = ["--bg", "#00b140"]
    for action in choice.choices["live"]._actions:
        if action.dest in ("help", "bg", "preview", "on_demand"):
            continue
        words.append(action.option_strings[-1])
        if action.choices:
            words.append(next(str(c) for c in action.choices if c != action.default))
        elif action.nargs != 0:
            words.append(
                {"sink": "vcam:/dev/video12", "source": "3", "size": "640x480"}.get(
                    action.dest, "7"
                )
            )
    return words


def test_no_option_is_lost_on_the_way() -> None:
    given_words = every_option()
    again = parse(["live", *words_of(*given_words)])
    first = parse(["live", "--on-demand", *given_words])
    assert vars(again) == vars(first)


@pytest.mark.parametrize(
    "words", [["--preview", "--bg", "blur"], ["--sink", "window", "--bg", "blur"]]
)
def test_a_service_has_no_window(words: list[str]) -> None:
    with pytest.raises(SettingsError, match="screen"):
        words_of(*words)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--bg", "none.jpg"], "no such file"),
        (["--bg", "blur", "--size", "641x480"], "even"),
        (["--bg", "blur", "--sink", "null"], "vcam"),
        (["--bg", "blur", "--colour"], "--colour"),
        (["--size", "640x480"], "--bg"),
    ],
)
def test_wrong_options_are_refused_now(
    words: list[str],
    says: str,
    home: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", home["XDG_CONFIG_HOME"])
    try:
        code = main(["service", "install", *words])
    except SystemExit as leave:
        code = int(leave.code or 0)
    assert code == 2
    assert says in capsys.readouterr().err
    assert not unit_path(home).exists()


def test_remove_takes_no_options() -> None:
    with pytest.raises(SystemExit):
        parse(["service", "remove", "--bg", "blur"])


def test_installed_and_removed(home: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    systemd = Systemd()
    assert install(["--bg=blur", "--on-demand"], systemd.system(), home)
    assert exec_start(unit_path(home).read_text("utf-8"))[-2:] == ["--bg=blur", "--on-demand"]
    assert systemd.ran[-3:] == [["daemon-reload"], ["enable", UNIT], ["restart", UNIT]]
    assert state(systemd.system(), home) == (True, "service: running, enabled")
    remove(systemd.system(), home)
    assert not unit_path(home).exists()
    assert (systemd.running, systemd.enabled) == (False, False)
    good, text = state(systemd.system(), home)
    assert good
    assert "not installed" in text
    remove(systemd.system(), home)
    assert "there is no service" in caplog.text


def test_new_options_replace_the_old(home: dict[str, str]) -> None:
    systemd = Systemd(version=256)
    install(["--bg=blur"], systemd.system(), home)
    install(["--bg=none"], systemd.system(), home)
    text = unit_path(home).read_text("utf-8")
    assert exec_start(text)[-1] == "--bg=none"
    assert "RestartMaxDelaySec" in text
    assert systemd.ran.count(["restart", UNIT]) == 2


def test_without_systemd_the_file_is_written_and_said(
    home: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    systemd = Systemd(there=False)
    assert not install(["--bg=blur"], systemd.system(), home)
    assert unit_path(home).exists()
    assert systemd.ran == [["show-environment"]]
    lines = caplog.messages
    assert len(lines) == 2
    assert "No medium found" in lines[1]
    good, text = state(systemd.system(), home)
    assert not good
    assert "no systemd" in text
    link = unit_path(home).parent / "default.target.wants" / UNIT
    link.parent.mkdir()
    link.symlink_to(unit_path(home))
    remove(systemd.system(), home)
    assert not unit_path(home).exists()
    assert not link.is_symlink()


def test_a_service_that_does_not_start_is_said(home: dict[str, str]) -> None:
    systemd = Systemd(starts=False)
    with pytest.raises(SinkError, match=r"Job failed.*journalctl"):
        install(["--bg=blur"], systemd.system(), home)
    good, text = state(systemd.system(), home)
    assert not good
    assert "failed" in text


def test_a_strangers_unit_is_left_alone(home: dict[str, str]) -> None:
    path = unit_path(home)
    path.parent.mkdir(parents=True)
    path.write_text("[Service]\n")
    for change in (lambda s: install([], s, home), lambda s: remove(s, home)):
        with pytest.raises(SettingsError, match="not written by"):
            change(Systemd().system())
    assert path.read_text() == "[Service]\n"


def test_sudo_is_refused(home: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="without sudo"):
        install([], Systemd().system(root=True), home)
    assert install([], Systemd().system("root", root=True), home)


def test_what_it_writes_and_where_its_files_lie_is_let_through(
    home: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "program", lambda: ("/usr/bin/bshm-live",))
    folders = {"BSHM_ENGINES": "/opt/nets", "BSHM_CACHE": "/srv/cache", "BSHM_OTHER": "x"}
    install(["--sink=/home/anna/talk.mkv", "--bg=blur"], Systemd().system(), {**home, **folders})
    text = unit_path(home).read_text("utf-8")
    assert 'ReadWritePaths="-/home/anna"' in text
    assert 'ReadWritePaths="-/srv/cache"' in text
    assert "Environment=BSHM_ENGINES=/opt/nets" in text
    assert "BSHM_OTHER" not in text
    assert "PrivateTmp=yes" in text
    install(["--bg=/tmp/office.jpg"], Systemd().system(), home)
    assert "PrivateTmp" not in unit_path(home).read_text("utf-8")


def test_a_folder_that_systemd_cannot_name_is_refused() -> None:
    assert quote_folder("/a b/50%") == '"-/a b/50%%"'
    with pytest.raises(SettingsError, match="rename"):
        quote_folder('/a"b')


def test_the_users_folder_of_units() -> None:
    assert unit_path({}) == Path.home() / ".config/systemd/user" / UNIT
    assert unit_path({"XDG_CONFIG_HOME": "relative"}) == unit_path({})
    assert service.UNIT in str(unit_path({"XDG_CONFIG_HOME": "/x"}))
