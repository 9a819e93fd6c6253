"""What a run says of the records that it was asked to replay."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pipeline.aggregate.tasks import Phase2Result
from pipeline.preprocess.ledger import Phase1Result
from pipeline.publish.replay_notes import replay_notes
from tests.pipeline.publish.runs import make_bucket, make_facts, make_ledger

MEND = "output.versions/replayed/x/mend.csv"
BEFORE = make_ledger("a.csv", number=1, handed_over=10, duplicates=2)
MENDED = make_ledger(
    MEND,
    number=2,
    handed_over=5,
    duplicates=1,
    rejected_by_reason={"bad_quote": 2, "nul_byte": 1, "repeated_header": 1},
)
COUNTS = {"kept": 9, "all_duplicates": 3, "conflicts": 0}


def notes(tmp_path: Path, *, kept: int, duplicates: int, conflicts: int, **changes: Any) -> list[str]:
    bucket = make_bucket(0, {0: (1, kept, 10)}, rows=15, duplicates=duplicates, conflicts=conflicts)
    replays = SimpleNamespace(added=frozenset({MEND}))
    usual = {"counts": COUNTS, "replays": replays, "read": (MENDED,)}
    facts = make_facts(
        tmp_path, Phase1Result((BEFORE, MENDED)), Phase2Result((bucket,), duplicates, conflicts), **(usual | changes)
    )
    return list(replay_notes(facts))


def test_all_that_changed_came_from_the_replayed_records(tmp_path: Path) -> None:
    # Before: 9 counted, 3 duplicates. Now: 12 counted, 2 + 1 + 2 duplicates, 1 conflict.
    assert notes(tmp_path, kept=12, duplicates=2, conflicts=1) == [
        "replayed: 9 records: 3 counted, 2 duplicates of what counts, 1 in conflict with it, 3 rejected again "
        "(bad_quote 2, nul_byte 1)"
    ]


def test_a_warning_where_none_counts(tmp_path: Path) -> None:
    found = notes(tmp_path, kept=9, duplicates=6, conflicts=0)
    assert found[1].startswith("warning: none of the replayed records counts")
    assert len(notes(tmp_path, kept=9, duplicates=5, conflicts=1)) == 1, "one that wins a conflict replaces another"


def test_of_other_files_only_the_rejected_records_can_be_told(tmp_path: Path) -> None:
    (note,) = notes(tmp_path, kept=12, duplicates=2, conflicts=1, read=(BEFORE, MENDED))
    assert note.startswith("replayed: 9 records, 3 rejected again (bad_quote 2, nul_byte 1); what else")
    assert "1 more were read" in note


def test_other_runs_say_nothing(tmp_path: Path) -> None:
    assert notes(tmp_path, kept=12, duplicates=2, conflicts=1, replays=SimpleNamespace(added=frozenset())) == []
