"""Commands to the program that runs: set, status, scenes. They load nothing heavy."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any

from ..control.config import read_config
from ..control.wire import ask
from ..files import is_file, path_of


def run_set(words: Sequence[str], name: str) -> None:
    """Changes the running program. Raises SettingsError."""
    for line in ask(name, {"set": [absolute(word) for word in words]}).get("done", ()):
        if line != "done":
            print(line)


def absolute(word: str) -> str:
    """`bg=office.jpg` with the whole path: the program may run in another folder."""
    key, equals, value = word.partition("=")
    if key.strip() == "bg" and equals and is_file(path_of(value)):
        return f"bg={os.path.abspath(path_of(value))}"
    return word


def run_status(name: str, *, as_json: bool) -> None:
    """What runs, and how. Raises SettingsError."""
    status: dict[str, Any] = ask(name, {"status": True})["status"]
    if as_json:
        print(json.dumps(status))
        return
    width = max(map(len, status))
    for key, value in status.items():
        shown = {True: "yes", False: "no", None: "-"}.get(value, value) if _plain(value) else value
        print(f"{key.replace('_', ' '):{width}}  {shown}")


def _plain(value: object) -> bool:
    return value is None or isinstance(value, bool)


def run_open(name: str) -> None:
    """The control page in the user's browser. Raises SettingsError."""
    import webbrowser

    address = str(ask(name, {"open": True})["address"])
    print(address)
    webbrowser.open(address)


def run_scenes() -> None:
    """The scenes of the user's file. Raises SettingsError."""
    config = read_config()
    if not config.scenes:
        print(f"no scenes in {config.path}; bshm-live set save=NAME makes one of what runs")
    for name in config.scenes:
        words = (f"{key}={value}" for key, value in config.scene(name).items())
        print(f"{name}: {' '.join(words)}")
