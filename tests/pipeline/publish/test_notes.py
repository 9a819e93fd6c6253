"""Notes of the summary: each stands there when its fact does, and a plain run has none."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from config import Config
from pipeline.aggregate.tasks import Phase2Result
from pipeline.history.inventory import Inventory
from pipeline.history.known_list import FilesByPath
from pipeline.planning.run_settings import Library
from pipeline.preprocess.ledger import Phase1Result
from pipeline.publish.notes import column_layouts, make_notes, missing_columns, without_library
from pipeline.quality import Rule
from pipeline.reading.header import Header
from pipeline.reading.record_rules import BoundRule
from pipeline.timing import Span
from tests.pipeline.publish.runs import HEADER, known_file, make_facts, make_ledger

LEDGERS = (make_ledger("a.csv", handed_over=1),)
OTHER = Header(";", ("log_id", "user_id"), {"log_id": 0, "user_id": 1}, 15, 2, 20.0)


def notes_of(tmp_path: Path, phase1: Phase1Result | None = None, **changes: Any) -> list[str]:
    return make_notes(make_facts(tmp_path, phase1 or Phase1Result(LEDGERS), Phase2Result((), 0, 0), **changes))


def test_a_plain_run_has_no_notes(tmp_path: Path) -> None:
    assert notes_of(tmp_path) == []


LEFT = known_file("left.csv")
REPLACED = {
    "changed.csv": known_file("changed.csv"),
    "bad.csv": known_file("bad.csv"),
    "set.csv": known_file("set.csv"),
}


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({"config": Config(PREPROCESSING_WORKERS=9)}, "2 of 9 workers: the memory limit allows no more"),
        ({"expired": ("v1", "v2"), "config": Config(QUARANTINE_RETENTION_DAYS=30, PREPROCESSING_WORKERS=1)},
         "quarantines older than 30 days were removed, of versions v1, v2 (QUARANTINE_RETENTION_DAYS)"),
        ({"forgotten": 1200, "config": Config(QUARANTINE_RETENTION_DAYS=30, PREPROCESSING_WORKERS=1)},
         "texts of rejected records of 1,200 files, read more than 30 days ago, were removed "
         "(QUARANTINE_RETENTION_DAYS)"),
        ({"library": Library(None, "no compiler")},
         "reading took about twice as long as it could: no compiled parser, because no compiler"),
        ({"way": "sql", "config": Config(SPARK_PLAN="auto", PREPROCESSING_WORKERS=1)},
         "added up by Spark's own plan: a bucket's rows are more than fit a worker's memory (SPARK_PLAN)"),
        ({"set_aside": "it is damaged"},
         "the manifest of earlier runs could not be used, and every file was read: it is damaged"),
        ({"lost": 2}, "lost from the manifest: 2 files; what of them is in the input counts again"),
        ({"why_anew": "much changed"}, "all rows were added up anew, not only what changed: much changed"),
        ({"unknown_version": "v7"},
         "version v7 was made with another intermediate folder: every file was read, and those that had left no longer "
         "count"),
        ({"inventory": Inventory(reused=FilesByPath.of({"a": known_file("a", 2), "b": known_file("b", 3)}))},
         "not read again: 2 files of earlier runs, in 5 splits"),
        ({"inventory": Inventory(renamed=(("a", "b"), ("c", "d")))}, "renamed: a is now b, c is now d"),
        ({"inventory": Inventory(elsewhere=(LEFT,))}, "counted, outside this input: left.csv"),
        ({"inventory": Inventory(missing=(LEFT,)), "still_counted": (LEFT,)},
         "no longer there, but still counted (--prune-missing removes them): left.csv"),
        ({"inventory": Inventory(missing=(LEFT,))}, "no longer there and removed: left.csv"),
        ({"inventory": Inventory(outdated=tuple(f"{n:02}" for n in range(12)))},
         "read again, because settings, geo data or the program have changed: "
         "00, 01, 02, 03, 04, 05, 06, 07, 08, 09 and 2 more"),
    ],
)  # fmt: skip
def test_each_fact_has_its_note(changes: dict[str, Any], note: str, tmp_path: Path) -> None:
    assert notes_of(tmp_path, **changes) == [note]


def test_an_interrupted_run_that_is_continued(tmp_path: Path) -> None:
    found = notes_of(tmp_path, Phase1Result(LEDGERS, resumed_splits=1500))
    assert found == ["an interrupted run had finished 1,500 splits, not read again"]


def test_a_changed_file_is_in_one_note_alone(tmp_path: Path) -> None:
    """New contents count, or the old ones still do because the new ones were refused, or both are of older settings."""
    inventory = Inventory(replaced=REPLACED, outdated=("set.csv", "refused.csv"))
    phase1 = Phase1Result(LEDGERS, {"bad.csv": "why", "refused.csv": "why"})
    found = notes_of(tmp_path, phase1, inventory=inventory, predecessors={"bad.csv": REPLACED["bad.csv"]})
    assert found == [
        "read again, because settings, geo data or the program have changed: set.csv",
        "changed, the new contents count instead: changed.csv",
        "refused, the contents that were read before still count: bad.csv",
    ]


def test_replayed_files_are_described_with_what_the_run_counts(tmp_path: Path) -> None:
    replays = SimpleNamespace(paths=[], added=frozenset(), describe=lambda counted: (f"of {sorted(counted)}",))
    assert notes_of(tmp_path, replays=replays) == ["of ['a.csv']"]


def test_a_rule_names_the_first_files_without_its_column() -> None:
    rule = BoundRule(Rule("tv", "warn", "device", allowed=("tv",)), "rule:device", ("device", "kind"))
    with_column = Header(",", ("device",), {"rule:device": 0}, 7, 2, 20.0)
    lacking = [make_ledger(f"{n}.csv", number=n) for n in range(7)]
    empty = make_ledger("empty.csv", number=8, header=None)
    phase1 = Phase1Result((*lacking, empty, make_ledger("good.csv", number=9, header=with_column)))
    assert missing_columns([rule], phase1) == [
        "rule:tv was not applied to files without the column 'device': 0.csv, 1.csv, 2.csv, 3.csv, 4.csv and 2 more"
    ]
    assert missing_columns([rule], Phase1Result((empty,))) == []
    assert missing_columns([], phase1) == []


def test_headers_that_differ_are_counted() -> None:
    one, two = make_ledger("a.csv"), make_ledger("b.csv", number=2, header=OTHER)
    assert column_layouts(Phase1Result((one, two, make_ledger("c.csv", number=3)))) == [
        "the headers differ: 2 layouts of columns in 3 files, see run.json"
    ]
    assert column_layouts(Phase1Result((one, make_ledger("b.csv", header=HEADER)))) == []


def test_tasks_without_the_library_are_counted_with_their_machines() -> None:
    spans = [
        Span("read_parts", f"{host}:7", 0, 1, slow=slow) for host, slow in (("b", True), ("a", True), ("c", False))
    ]
    (note,) = without_library(spans)
    assert note.startswith("2 of 3 tasks took about twice as long")
    assert "processor of a, b," in note
    assert list(without_library(spans[2:])) == []
