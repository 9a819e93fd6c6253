"""Progress as JSON objects."""

import json

from cli import progress as progress_module
from cli.console import Log
from cli.progress import JsonProgress


def test_json_progress_adds_run_and_phase_to_all_that_follows(capsys, monkeypatch) -> None:
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


def test_quiet_json_progress_says_only_what_went_wrong(capsys, monkeypatch) -> None:
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
