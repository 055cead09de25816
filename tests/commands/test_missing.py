"""What cannot be loaded is one line with the words to type."""

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from bshm_live.cli import main
from bshm_live.commands.missing import debian_package, line_for, told, words_to_install
from bshm_live.errors import EngineError

GL = "libGL.so.1: cannot open shared object file: No such file or directory"


def no(name: str, text: str) -> ImportError:
    return ImportError(text, name=name)


@pytest.mark.parametrize(
    ("library", "version", "package"),
    [
        ("libGL", "1", "libgl1"),
        ("libxcb", "1", "libxcb1"),
        ("libX11", "6", "libx11-6"),
        ("libgomp", "1", "libgomp1"),
        ("libstdc++", "6", "libstdc++6"),
        ("libgthread-2.0", "0", "libglib2.0-0"),
        ("libglib-2.0", "0", "libglib2.0-0"),
        ("libtbb", "12.5", "libtbb12"),
        ("libGL", "", "libgl"),
    ],
)
def test_debian_s_names(library: str, version: str, package: str) -> None:
    assert debian_package(library, version) == package


def test_all_that_opencv_needs_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setattr("os.geteuid", lambda: 1000, raising=False)
    for library in ("libxcb.so.1", "libGL.so.1", "libgthread-2.0.so.0"):
        line = line_for(no("cv2", GL.replace("libGL.so.1", library)))
        want = f"cv2 needs {library} of the system; type: sudo apt-get install libgl1 libglib2.0-0"
        assert line == want
    assert line_for(no("onnxruntime.capi", GL)).endswith("; type: sudo apt-get install libgl1")


def test_fedora_finds_by_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: "/usr/bin/dnf" if name == "dnf" else None)
    monkeypatch.setattr("os.geteuid", lambda: 0, raising=False)
    assert words_to_install("libGL.so.1", "libgl1") == "dnf install 'libGL.so.1()(64bit)'"


def test_faults_of_our_own_keep_their_traceback() -> None:
    for error in (no("bshm_live.types", "cannot import name 'Nothing'"), ImportError("?")):
        with pytest.raises(ImportError), told():
            raise error
    with (
        pytest.raises(EngineError, match=r"av cannot be loaded \(wrong ELF class\).*--force"),
        told(),
    ):
        raise no("av", "wrong ELF class\nmore")


@pytest.mark.parametrize("command", [["demo"], ["--bg", "green"], ["image", "-i", "a.png"]])
@pytest.mark.parametrize(
    ("body", "words"),
    [
        (f"raise ImportError({GL!r}, name='cv2')", "libGL.so.1 of the system; type: "),
        ("raise ModuleNotFoundError('No module named cv2', name='cv2')", "pip install bshm-live"),
    ],
)
def test_a_broken_opencv_is_one_line(
    tmp_path: Path, command: list[str], body: str, words: str
) -> None:
    (tmp_path / "cv2.py").write_text(body)
    code = (
        f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(ROOT)!r}]\n"
        "from bshm_live.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *command], capture_output=True, text=True, check=False
    )
    assert done.returncode == EngineError.exit_code
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("bshm-live: ")
    assert words in done.stderr


def test_onnxruntime_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert main(["demo", "--runtime", "onnxruntime", "-o", str(tmp_path / "a.mp4")]) == 4
    assert "Traceback" not in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
