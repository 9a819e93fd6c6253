"""Progress as JSON objects, as lines and as bars."""

import io
import json
import re

import pytest
from rich.console import Console

from cli import progress as progress_module
from cli.console import Log
from cli.progress import JsonProgress, LineProgress, NullProgress, open_progress
from cli.terminal import BarProgress


def test_json_progress_adds_run_and_phase_to_all_that_follows(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    log, now = Log(), [0.0]
    log.begin(as_json=True)
    monkeypatch.setattr(progress_module, "LOG", log)
    with JsonProgress(clock=lambda: now[0]) as progress:
        progress.event("run_started", run_id="r1")
        progress.phase("Phase 1: read", 100)
        progress.advance(10)
        now[0] = 5.0
        progress.advance(20)
        progress.note("a\nnote")
        now[0] = 7.0
    progress.event("end")
    events = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert {event.pop("run_id") for event in events} == {"r1"}
    assert all(event.pop("time").endswith("+00:00") for event in events)
    assert [(event["event"], event.get("phase"), event.get("done")) for event in events] == [
        ("run_started", None, None),
        ("phase_started", "phase 1", None),
        ("progress", "phase 1", 30),
        ("note", "phase 1", None),
        ("phase_finished", "phase 1", 30),
        ("end", None, None),
    ]
    assert events[4]["seconds"] == 7.0


def test_quiet_json_progress_says_only_what_went_wrong(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Log()
    log.begin(as_json=True)
    monkeypatch.setattr(progress_module, "LOG", log)
    with JsonProgress(quiet=True) as progress:
        progress.event("run_started", run_id="r1")
        progress.phase("Phase 1: read", 100)
        progress.event("file_refused", level="error", file="x")
    (line,) = capsys.readouterr().err.splitlines()
    found = json.loads(line)
    assert (found["run_id"], found["phase"], found["file"], found["level"]) == ("r1", "phase 1", "x", "error")


def test_lines_come_every_few_seconds() -> None:
    lines: list[str] = []
    now = [0.0]
    with LineProgress(lines.append, lambda: now[0]) as progress:
        progress.phase("Phase 1", 10 * 10**9)
        for _ in range(4):
            now[0] += 2.5
            progress.advance(10**9)
        progress.note("odd\x07")
        progress.phase("Phase 2", 8_000_000, "rows")
        now[0] += 5
        progress.advance(2_000_000)
        progress.phase("Phase 3", 0)
        now[0] += 6
        progress.advance(0)
        progress.phase("extract", None, "rows")
        now[0] += 5
        progress.advance(200)
        progress.phase("tables", 100, "rows")  # an estimate that was too low
        now[0] += 5
        progress.advance(150)
    assert lines == [
        "Phase 1: 10 GB",
        "Phase 1: 2 GB of 10 GB (20%), 400 MB/s, 20.0 s left",
        "Phase 1: 4 GB of 10 GB (40%), 400 MB/s, 15.0 s left",
        "note: odd\\x07",
        "Phase 1: done in 10.0 s",
        "Phase 2: 8,000,000 rows",
        "Phase 2: 2,000,000 rows of 8,000,000 rows (25%), 400,000 rows/s, 15.0 s left",
        "Phase 2: done in 5.00 s",
        "Phase 3: 0 B",
        "Phase 3: done in 6.00 s",
        "extract",
        "extract: 200 rows, 40 rows/s",
        "extract: done in 5.00 s",
        "tables: 100 rows",
        "tables: 150 rows, 30 rows/s",
        "tables: done in 5.00 s",
    ]


def test_a_failed_phase_is_not_called_done() -> None:
    lines: list[str] = []
    progress = LineProgress(lines.append)
    progress.phase("Phase 1", 5)
    progress.__exit__(RuntimeError, RuntimeError(), None)
    assert lines == ["Phase 1: 5 B"]


def test_bars_on_a_terminal() -> None:
    stream = io.StringIO()
    console = Console(file=stream, width=100, force_terminal=True, color_system=None)
    with BarProgress(console) as progress:
        progress.advance(1)
        progress.phase("Phase 1", 2 * 10**9)
        progress.advance(10**9)
        progress.note("[red]a note")
        progress.phase("extract", None, "rows")
        progress.advance(12_345)
        progress.phase("Phase 2", 70_000, "rows")
    shown = stream.getvalue()
    assert "70,000 rows of 70,000 rows" in shown
    assert "2 GB of 2 GB" in shown
    assert "12,345 rows " in shown
    assert "note: [red]a note" in shown


@pytest.mark.parametrize("width", [60, 80, 100])
def test_bars_stay_in_one_line(width: int) -> None:
    stream = io.StringIO()
    with BarProgress(Console(file=stream, width=width, force_terminal=True, color_system=None)) as progress:
        for name, unit in (("Phase 1: read again with both databases", "bytes"), ("Phase 2: compare", "rows")):
            progress.phase(name, 41_234_567, unit)  # type: ignore[arg-type]
            progress.advance(41_000_000)
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())
    lines = {line.strip() for line in re.split(r"[\r\n]+", shown) if line.strip()}
    assert lines
    assert all(line.startswith("Phase") and len(line) <= width for line in lines), lines


def test_no_speed_is_red(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = io.StringIO()
    with BarProgress(Console(file=stream, width=80, force_terminal=True, color_system="standard")) as progress:
        progress.phase("Phase 1", 2 * 10**9)
        progress.advance(10**9)
    assert "\x1b[36m" in stream.getvalue()
    assert "\x1b[31m" not in stream.getvalue()


def test_the_progress_that_suits(monkeypatch: pytest.MonkeyPatch) -> None:
    assert type(open_progress(quiet=True)) is NullProgress
    monkeypatch.setattr("sys.stderr", io.StringIO())
    assert type(open_progress(quiet=False)) is LineProgress
