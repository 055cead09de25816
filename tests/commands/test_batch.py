"""Batches: several processes, what an interrupted run left, and the report."""

import csv
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import cv2
import pytest
from conftest import portrait

from bshm_live.cli import main
from bshm_live.commands.batch import run_batch, share
from bshm_live.commands.options import Batch, check_batch
from bshm_live.commands.record import RECORD, REPORT
from bshm_live.errors import EngineError, SettingsError, SourceError
from bshm_live.settings import Networks
from bshm_live.stills.files import Outcome
from bshm_live.stills.read import Item

pytestmark = pytest.mark.usefixtures("toy_engines")


def pictures(folder: Path, count: int) -> Path:
    folder.mkdir()
    for number in range(count):
        made = portrait(90, 60, centre=(40 + 3 * number, 30), seed=number)
        cv2.imwrite(str(folder / f"{number}.png"), made.picture)
    return folder


def image(*words: object) -> int:
    return main(["image", *map(str, words), "--preset", "balanced"])


def outputs(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.png")}


def report(folder: Path) -> list[dict[str, str]]:
    with (folder / REPORT).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


# --- several processes ------------------------------------------------------------------------


def test_two_workers_make_the_bytes_of_one_process(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    given = pictures(tmp_path / "in", 6)
    one, two = tmp_path / "one", tmp_path / "two"
    assert image("-i", given, "-d", one) == 0
    cut = (given / "0.png").read_bytes()[:-40]
    (given / "broken.png").write_bytes(cut)
    words = ("-i", given, tmp_path / "gone.png", "-d", two, "--workers", 2)
    assert image(*words) == SourceError.exit_code
    assert outputs(one) == outputs(two)
    assert len(outputs(one)) == 18
    rows = report(two)
    assert [Path(row["input"]).name for row in rows][-2:] == ["broken.png", "gone.png"]
    assert ["broken" in row["error"] for row in rows] == [False] * 6 + [True, False]
    assert "no such file" in rows[-1]["error"]
    for row in rows[:6]:
        assert all(Path(file).is_file() for file in row["output"].split(";"))
        assert 0.05 < float(row["person"]) < 0.6
        assert float(row["seconds"]) > 0
    said = capfd.readouterr().err
    assert "6 done in" in said
    assert "2 failed" in said
    assert "Traceback" not in said


def test_networks_that_do_not_load_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    given = pictures(tmp_path / "in", 3)
    monkeypatch.setenv("BSHM_ENGINES", str(tmp_path / "nothing"))
    words = ("-i", given, "-d", tmp_path / "out", "--workers", 2)
    assert image(*words) == EngineError.exit_code
    (line,) = capfd.readouterr().err.splitlines()
    assert "nothing" in line


@dataclass(frozen=True)
class Deadly:
    """Work whose worker is killed in the middle of `once`, the first time, and always of `twice`.

    Every item leaves a line in `log`.
    """

    log: Path
    networks: Networks

    unit = "pictures"

    def open(self, stack: ExitStack) -> tuple[str, "Deadly"]:
        return "nothing", self

    def key(self, item: Item) -> str:
        return ""

    def __call__(self, item: Item) -> Outcome:
        before = Counter(self.log.read_text().split()) if self.log.exists() else Counter()
        with self.log.open("a") as file:
            file.write(f"{item.name}\n")
        if item.name == "twice" or (item.name == "once" and not before["once"]):
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.02)
        return Outcome(item.where, (), 0.5)


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such signals")
def test_a_worker_that_is_killed_costs_its_own_picture_only(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    names = ["a", "once", "b", "twice", "c", "d"]
    items = [Item(f"{name}.png", name) for name in names]
    work = Deadly(tmp_path / "log", Networks())
    assert run_batch(items, work, tmp_path, Batch(workers=2)) == EngineError.exit_code
    tries = Counter((tmp_path / "log").read_text().split())
    assert tries == {**dict.fromkeys(names, 1), "once": 2, "twice": 2}
    errors = {row["input"]: row["error"] for row in report(tmp_path)}
    assert [name for name in names if errors[f"{name}.png"]] == ["twice"]
    assert "SIGKILL" in errors["twice.png"]


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such signals")
def test_an_interrupted_batch_ends_its_workers_and_is_resumed(tmp_path: Path) -> None:
    given, out = pictures(tmp_path / "in", 40), tmp_path / "out"
    words = ["image", "-i", str(given), "-d", str(out), "--preset", "balanced", "--workers", "2"]
    command = [sys.executable, "-m", "bshm_live", *words]
    running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        while not outputs(out):
            assert running.poll() is None
            time.sleep(0.01)
        os.killpg(running.pid, signal.SIGINT)  # as a terminal does it
        _, said = running.communicate(timeout=60)  # returns when no worker has stderr any more
    finally:
        running.kill()
    assert running.returncode == 130
    assert "Traceback" not in said
    assert not [name for name in os.listdir(out) if ".part" in name]
    made = len(report(out))
    assert made < 40
    assert image("-i", given, "-d", out, "--resume") == 0
    assert len(outputs(out)) == 120
    assert len(report(out)) == 40


# --- resume -----------------------------------------------------------------------------------


def changed(out: Path, *words: object) -> set[str]:
    """The pictures whose files another run with --resume writes anew."""
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("*.png")}
    assert image(*words, "-d", out, "--resume") == 0
    after = {path.name: path.stat().st_mtime_ns for path in out.glob("*.png")}
    return {name[0] for name in after if after[name] != before.get(name)}


def test_only_what_is_not_finished_and_whole_is_done_again(tmp_path: Path) -> None:
    given, out = pictures(tmp_path / "in", 5), tmp_path / "out"
    words = ("-i", given)
    assert image(*words, "-d", out) == 0
    whole = outputs(out)
    assert changed(out, *words) == set()
    (out / "0_alpha.png").write_bytes(whole["0_alpha.png"][:100])
    (out / "1_composite.png").unlink()
    os.utime(given / "2.png")
    assert changed(out, *words) == {"0", "1", "2"}
    assert outputs(out) == whole
    assert changed(out, *words, "--bg", "green") == {"0", "1", "2", "3", "4"}
    record = out / RECORD
    record.write_bytes(record.read_bytes()[:-60])  # cut off in the middle of the last line
    assert changed(out, *words, "--bg", "green") == {"4"}
    assert changed(out, *words, "--bg", "green") == set()
    assert [float(row["person"]) > 0 for row in report(out)] == [True] * 5


def test_a_background_that_is_another_one_now_counts(tmp_path: Path) -> None:
    given, out, behind = pictures(tmp_path / "in", 2), tmp_path / "out", tmp_path / "bg.png"
    cv2.imwrite(str(behind), portrait(90, 60).background)
    words = ("-i", given, "--bg", behind)
    assert image(*words, "-d", out) == 0
    assert changed(out, *words) == set()
    cv2.imwrite(str(behind), portrait(90, 60).foreground)
    assert changed(out, *words) == {"0", "1"}


def test_a_record_of_anything_is_no_harm(tmp_path: Path) -> None:
    given, out = pictures(tmp_path / "in", 2), tmp_path / "out"
    out.mkdir()
    (out / RECORD).write_bytes(b'null\n[]\n{"name": 1}\n{"name": "0", "outputs": 3}\n\xff\xfe')
    assert changed(out, "-i", given) == {"0", "1"}


# --- words ------------------------------------------------------------------------------------


def test_somebody_else_s_report_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = pictures(tmp_path / "in", 2)
    (given / REPORT).write_text("my own numbers")
    assert image("-i", given, "-d", given) == SettingsError.exit_code
    assert REPORT in capsys.readouterr().err.splitlines()[-1]
    assert (given / REPORT).read_text() == "my own numbers"
    assert len(outputs(given)) == 2


def test_one_picture_leaves_its_files_alone(tmp_path: Path) -> None:
    given = pictures(tmp_path / "in", 1)
    assert image("-i", given, "-d", tmp_path / "out") == 0
    assert len(os.listdir(tmp_path / "out")) == 3


def test_a_bar_tells_how_fast_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert image("-i", pictures(tmp_path / "in", 3), "-d", tmp_path / "out") == 0
    said = capsys.readouterr().err
    assert "3/3" in said
    assert "pictures/s" in said


def test_each_worker_gets_its_share_of_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("commands.batch", "commands.options"):
        monkeypatch.setattr(f"bshm_live.{module}.cores", lambda: 8)
    counts = (1, 2, 3, 8, 16)
    threads = [share(Networks(), Batch(n)).threads for n in counts]
    assert threads == [0, 4, 2, 1, 1]
    assert share(Networks(), Batch(ray="auto")).threads == 1
    assert share(Networks(threads=3), Batch(4)).threads == 3
    for wrong in (0, -1, 33):
        with pytest.raises(SettingsError, match=f"--workers {wrong}"):
            check_batch(Batch(workers=wrong))
