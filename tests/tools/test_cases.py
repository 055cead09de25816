"""The table of failing inputs sees what is wrong."""

from pathlib import Path

import pytest

from tools.cases.__main__ import main
from tools.cases.checks import Ran, verdict


def ran(folder: Path, said: str = "", code: int | None = 0) -> Ran:
    (folder / "cmd").touch()
    return Ran(folder, code, said, 1.0)


@pytest.mark.parametrize(
    ("name", "said", "code", "word"),
    [
        ("unknown", "well", 0, "look"),
        ("unknown", "Traceback (most recent call last):", 0, "WRONG"),
        ("unknown", "Segmentation fault", 0, "WRONG"),
        ("unknown", "", None, "WRONG"),
        ("latin1-bg", "rc 0\nrc 0", 0, "right"),
        ("latin1-bg", "rc 139\nrc 0", 0, "WRONG"),
        ("same-output-twice", "rc=2\nrc=2", 1, "right"),
        ("tracks", "rc 0", 0, "WRONG"),  # there is no film at all
    ],
)
def test_verdicts(tmp_path: Path, name: str, said: str, code: int | None, word: str) -> None:
    assert verdict(name, ran(tmp_path, said, code))[0] == word


def test_parts_of_files_are_seen_unless_the_script_made_them(tmp_path: Path) -> None:
    (tmp_path / ".o.part.mp4").touch()
    assert verdict("unknown", ran(tmp_path))[1] == ["left: .o.part.mp4"]
    (tmp_path / "cmd").write_text("touch .o.part.mp4")
    assert verdict("unknown", ran(tmp_path))[1] == []


def test_a_case_runs_in_a_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, script in (("one", "bshm-live --version; ls ..; touch new"), ("two", "exit 3")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "cmd").write_text(script)
        (tmp_path / name / "expect").write_text("The version.\nMore.")
    (tmp_path / "shared.txt").touch()
    monkeypatch.setattr("sys.argv", ["cases", str(tmp_path), "--keep", str(tmp_path / "said")])
    assert main() == 0
    table = capsys.readouterr().out
    assert "expect: The version." in table
    assert "two                  look  rc 3" in table
    said = (tmp_path / "said" / "one.txt").read_text()
    assert "bshm-live " in said
    assert "shared.txt" in said
    assert not (tmp_path / "one" / "new").exists()
