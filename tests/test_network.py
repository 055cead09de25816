"""Nothing is sent, nothing is left behind: every command is watched by strace without a network.

Each runs in a fresh home and a network namespace of its own, whose default route leads nowhere:
what wants to send tries to, and is seen trying.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import pytest
from conftest import PACKAGE, goldens, portrait, write_clip

from bshm_live import SILENCE
from bshm_live.runtimes.choice import available

# ONNX Runtime calls home five seconds after it was imported: frames at 25 a second.
LONG = "250"
SECONDS = 150
CALLS = "connect,sendto,sendmsg,sendmmsg,open,openat,creat,mkdir,mkdirat,rename,renameat,renameat2"
# Whoever looks a name up reads these first.
LOOK_UP = re.compile(r"/etc/(resolv\.conf|hosts)$")
ADDRESS = re.compile(r'(?:inet_addr\(|inet_pton\(AF_INET6, )"([^"]+)"')
# A call's folder, where it has one, and the name in it; of a renaming the new ones.
OPENED = re.compile(r'(?:open|openat|creat)\((?:[^"<]*(?:<([^>]*)>)?, )?"([^"]*)"(.*)')
MADE = re.compile(
    r'(?:(?:mkdir|mkdirat)\(|rename\w*\(.*", )(?:[^"<]*(?:<([^>]*)>)?, )?"([^"]*)"(.*)'
)
OPEN_TO_WRITE = re.compile(r"O_(WRONLY|RDWR|CREAT)|^, 0\d+")
NO_FILE = ("/dev/", "/proc/", "pipe:", "socket:")
# All that is local: a route and an address, so that senders see a network and try.
NETWORK = (
    'ip link set lo up; ip address add 10.9.9.2/24 dev lo; ip route add default dev lo; exec "$@"'
)
FOUND = [name for name in ("onnxruntime", "openvino", "tensorrt") if name in available()]


@dataclass(frozen=True)
class Room:
    """A home of its own, and a process that ran in it under strace."""

    home: Path
    process: subprocess.Popen[bytes]

    def ended(self) -> int:
        """Its exit code, once it has one."""
        return self.process.wait(SECONDS)

    @property
    def output(self) -> str:
        return self.home.with_suffix(".log").read_text()

    @property
    def lines(self) -> list[str]:
        self.ended()
        return self.home.with_suffix(".trace").read_text().splitlines()

    def sent(self) -> list[str]:
        """Calls to addresses that are not this machine's, and look-ups of names."""
        return [
            line
            for line in self.lines
            if foreign(line) or LOOK_UP.search(self.place(OPENED.search(line)))
        ]

    def written(self) -> list[str]:
        """Files and folders, opened for writing or made, that are not ours."""
        done = [line for line in self.lines if " = -1 " not in line]
        opened = [call for call in map(OPENED.search, done) if call]
        calls = [call for call in opened if OPEN_TO_WRITE.search(call[3])]
        places = {self.place(call) for call in (*calls, *map(MADE.search, done)) if call}
        ours = tuple(str(self.home / part) for part in ("out", ".cache/bshm-live"))
        return sorted(place for place in places if not place.startswith((*NO_FILE, *ours)))

    def place(self, call: re.Match[str] | None) -> str:
        """What a traced call names, absolute: beside its folder where it names one."""
        if call is None:
            return ""
        return os.path.normpath(os.path.join(call[1] or self.home / "out", call[2]))


def foreign(line: str) -> bool:
    return any(not ip_address(one).is_loopback for one in ADDRESS.findall(line))


def watch(home: Path, *command: object, own: bool = True) -> Room:
    """Starts a command in `home`; without `own`, it says itself what libraries may report."""
    (home / "out").mkdir(parents=True)
    loud = {name: "1" if value == "0" else "0" for name, value in SILENCE.items()} if own else {}
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "TMPDIR": str(home / "out"),
        "PYTHONPATH": str(PACKAGE.parent),
        "PYTHONDONTWRITEBYTECODE": "1",
        "BSHM_ENGINES": str(home.parent / "engines"),
        "RES_OPTIONS": "timeout:1 attempts:1",  # of a name server that never answers
        **loud,  # no CI, where libraries keep quiet by themselves
    }
    strace = ["strace", "-f", "--seccomp-bpf", "-qq", "-y", "-s", "4096", "-e", f"trace={CALLS}"]
    traced = [*strace, "-o", home.with_suffix(".trace"), *command]
    with home.with_suffix(".log").open("wb") as log:
        process = subprocess.Popen(
            [str(word) for word in (*alone(), "sh", "-c", NETWORK, "sh", *traced)],
            cwd=home / "out",
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    return Room(home, process)


def alone() -> list[str]:
    """The words that give a command a network of its own."""
    return ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-r", "-n"]


def check_possible(folder: Path) -> None:
    """Skips where the system has no strace and no namespaces, or forbids them."""
    for program in ("strace", "unshare", "ip"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    room = watch(folder / "trial", "true")
    if room.ended() != 0:
        pytest.skip(f"strace or a network namespace is not permitted here: {room.output.strip()}")


# Several commands under one strace. BSHM is the program, ME a picture, TALK a minute.
SCRIPTS = {
    "one by one": """
        $BSHM devices && $BSHM scenes && $BSHM engines list && $BSHM engines verify &&
        $BSHM engines build --runtime onnxruntime --preset balanced && $BSHM id --list &&
        export XDG_CONFIG_HOME=$PWD && $BSHM service install --bg blur && $BSHM service remove
    """,
    "stills": """
        $BSHM product -i $ME -d . --preset balanced && ls me* && $BSHM status; test $? = 2 &&
        unset BSHM_ENGINES && $BSHM id -i $ME -d . --size 35x45 --force; test $? -lt 6
    """,
    "a call": """
        $BSHM --bg green --source $TALK --sink null --control --preset balanced & CALL=$!
        until $BSHM status; do kill -0 $CALL || exit 9; done
        $BSHM set bg=blur:9 && $BSHM open && $BSHM set bg=none && kill $CALL && wait $CALL
    """,
}


def commands(folder: Path) -> dict[str, Sequence[object]]:
    """Name to words: each command that runs alone, those of networks with each runtime here."""
    clip, picture = folder / "clip.mp4", folder / "me.jpg"
    words: dict[str, Sequence[object]] = {"doctor": ["doctor"], "setup": ["setup"]}
    for name in FOUND:
        runtime = ["--runtime", name]
        live = ["--bg", "blur", "--source", "demo", "--sink", "null", "--frames", LONG]
        words |= {
            f"live {name}": [*live, *runtime],
            f"video {name}": ["video", clip, "-o", "film.mp4", "--bg", "green", *runtime],
            f"image {name}": ["image", "-i", picture, "-d", ".", "--preset", "balanced", *runtime],
            f"bench {name}": ["bench", "--frames", "5", "--size", "128x96", *runtime],
            f"demo {name}": ["demo", "-o", "demo.mp4", *runtime],
        }
    return words


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Room]:
    """All commands, at work side by side."""
    import cv2

    folder = tmp_path_factory.mktemp("network")
    check_possible(folder)
    goldens(folder / "engines", 0.0)
    write_clip(folder / "clip.mp4")
    talk = write_clip(folder / "talk.mp4", 1500)
    cv2.imwrite(str(folder / "me.jpg"), portrait(256, 144).picture)
    program = (sys.executable, "-m", "bshm_live")
    named = [f"BSHM={shlex.join(program)}", f"ME={folder / 'me.jpg'}", f"TALK={talk}"]
    named.append("BROWSER=true")
    every = {name: [*program, *words] for name, words in commands(folder).items()}
    every |= {name: ["env", *named, "sh", "-c", text] for name, text in SCRIPTS.items()}
    return {name: watch(folder / name.replace(" ", "_"), *words) for name, words in every.items()}


KINDS = ("live", "video", "image", "bench", "demo")


@pytest.mark.parametrize(
    "name",
    [
        "doctor",
        "setup",
        *SCRIPTS,
        *(f"{kind} {runtime}" for runtime in FOUND for kind in KINDS),
    ],
)
def test_a_command_sends_nothing_and_leaves_nothing(rooms: dict[str, Room], name: str) -> None:
    room = rooms[name]
    assert room.sent() == []
    assert room.written() == []
    assert room.ended() == 0, room.output
    left = {path.relative_to(room.home).parts[0] for path in room.home.rglob("*")}
    assert left <= {"out", ".cache"}


SENDERS = {
    "name": "import socket; socket.getaddrinfo('example.org', 443)",
    "connect": "import socket; socket.create_connection(('192.0.2.1', 443), 0.1)",
    "datagram": "from socket import *; socket(type=SOCK_DGRAM).sendto(b'', ('192.0.2.1', 9))",
}


@pytest.mark.parametrize("way", SENDERS)
def test_a_sender_would_be_seen(tmp_path: Path, way: str) -> None:
    check_possible(tmp_path)
    room = watch(tmp_path / "home", sys.executable, "-c", SENDERS[way], own=False)
    assert room.sent()


@pytest.mark.parametrize(
    "code",
    [
        "open('../id', 'w')",
        "import os; os.mkdir('../id')",
        "import os; open('here', 'w'); os.rename('here', '../id')",
    ],
)
def test_a_file_elsewhere_would_be_seen(tmp_path: Path, code: str) -> None:
    check_possible(tmp_path)
    room = watch(tmp_path / "home", sys.executable, "-c", code)
    assert room.written() == [str(tmp_path / "home" / "id")]


def test_the_environment_cannot_switch_it_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Our own process and those that it starts: a report that was wished for is not sent either."""
    child = "import os, json; print(json.dumps(dict(os.environ)))"
    code = f"import bshm_live, subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    for name in SILENCE:
        monkeypatch.setenv(name, "maybe")
    told = json.loads(subprocess.check_output([sys.executable, "-c", code], text=True))
    assert {name: told[name] for name in SILENCE} == SILENCE
