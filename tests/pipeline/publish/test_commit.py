"""The end of a run: in which order things are published and removed, when nothing is, and what the machine learns."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from config import Config
from pipeline.aggregate.tasks import Phase2Result
from pipeline.history.known_list import FileIds
from pipeline.planning.pace import Pace, load_pace
from pipeline.preprocess.ledger import Phase1Result
from pipeline.publish import commit as module
from pipeline.publish.commit import commit
from pipeline.publish.result import RunResult
from pipeline.timing import PhaseSeconds
from tests.pipeline.publish.runs import Calls, StoppedWatch, make_facts, make_ledger

WATCH: Any = StoppedWatch()
RESULT = RunResult(
    WATCH.run_id, "ok", "polars", "out", kept=7, duplicates_phase1=1, duplicates_phase2=2, conflicts=3,
    seconds=PhaseSeconds(30.0, 20.0, 8.0, 2.0),
)  # fmt: skip
CURRENT = SimpleNamespace(name="v1", files=FileIds([1]), sources=("logs",))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(module, "cache_folder", lambda: tmp_path / "cache")
    return tmp_path / "cache"


def commit_run(tmp_path: Path, *, resumed: int = 0, **changes: Any) -> tuple[RunResult, list[tuple[str, Any]]]:
    """The result, and what was called, in order."""
    calls = Calls()
    config = Config(OUTPUT_DIR=str(tmp_path / "output"), KEEP_VERSIONS=3)
    facts = make_facts(
        tmp_path, Phase1Result((make_ledger("a.csv"),), resumed_splits=resumed), Phase2Result((), 0, 0),
        config=config, replays=SimpleNamespace(keep=calls.keep_replays, describe_kept=lambda _: ()), **changes,
    )  # fmt: skip
    facts.place.remove_runs = calls.remove_runs  # type: ignore[method-assign, assignment]
    facts.place.history.publish = calls.publish  # type: ignore[method-assign]
    journal: Any = SimpleNamespace(wait=calls.wait_for_journal, fingerprint="f")
    return commit(tmp_path / "new", facts, journal, RESULT, WATCH), calls.made


def test_what_earlier_runs_left_goes_only_after_the_version_is_there(tmp_path: Path) -> None:
    result, calls = commit_run(tmp_path)
    counts = {"kept": 7, "duplicates": 2, "conflicts": 3, "all_duplicates": 3, "buckets": 16}
    assert calls == [
        ("wait_for_journal", ()),
        ("publish", (tmp_path / "new", WATCH.run_id, ("logs",), FileIds([1]), counts, 3)),
        ("remove_runs", (tmp_path / "between" / "run-now",)),
        ("keep_replays", ()),
    ]
    assert (result.kept, result.profile) == (7, WATCH.profile())


def repeated(_: Path, previous: Path) -> bool:
    return previous.name == "v1"


def test_a_version_that_repeats_the_current_one_is_not_published(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "repeats", repeated)
    result, calls = commit_run(tmp_path, current=CURRENT)
    assert calls == [
        ("wait_for_journal", ()),
        ("remove_runs", (tmp_path / "between" / "run-before",)),
        ("keep_replays", ()),
    ]
    assert (result.run_id, result.version) == (WATCH.run_id, "v1")
    assert result.profile == WATCH.profile()
    assert load_pace(cache) == Pace()


@pytest.mark.parametrize(
    "changes",
    [
        {"expired": ("v0",)},
        {"forgotten": 1},
        {"ids": FileIds([1, 2])},
        {"sources": ("logs", "more")},
        {"current": SimpleNamespace(name="v2", files=FileIds([1]), sources=("logs",))},
        {"current": None},
    ],
    ids=["a quarantine expired", "texts were cleared", "other files", "another input", "another result", "the first"],
)
def test_any_difference_makes_a_new_version(
    changes: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "repeats", repeated)
    _, calls = commit_run(tmp_path, **({"current": CURRENT} | changes))
    assert "publish" in [name for name, _ in calls]


def test_the_pace_is_learned_from_a_whole_run_without_its_beginning(tmp_path: Path, cache: Path) -> None:
    """Phase 1 took 20 s, of which 5 s before the input was looked at, which only a first run needs."""
    commit_run(tmp_path, begin_seconds=5.0)
    # The input is so small that the run teaches how long starting takes: shipped figure 0.15 s.
    assert load_pace(cache).recent == {"start": (pytest.approx(20.0 - 5.0 - 0.15, abs=0.05),)}


@pytest.mark.parametrize("changes", [{"way": "changes"}, {"resumed": 1}], ids=["only changes", "resumed"])
def test_other_runs_teach_nothing(changes: dict[str, Any], tmp_path: Path, cache: Path) -> None:
    commit_run(tmp_path, **changes)
    assert load_pace(cache) == Pace()


def test_a_run_whose_journal_fails_publishes_nothing(tmp_path: Path) -> None:
    calls = Calls()
    facts = make_facts(tmp_path, Phase1Result(), Phase2Result((), 0, 0))
    facts.place.history.publish = calls.publish  # type: ignore[method-assign]

    def fail() -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        commit(tmp_path, facts, SimpleNamespace(wait=fail), RESULT, WATCH)  # type: ignore[arg-type]
    assert not calls.made
