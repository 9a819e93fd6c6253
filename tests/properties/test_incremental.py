"""Totals of the version before plus what changed equal those of everything added up anew, for any files whatever."""

from collections.abc import Sequence
from dataclasses import replace
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from pipeline.aggregate.driver import aggregate_all
from pipeline.aggregate.incremental import affected_ids
from pipeline.aggregate.incremental.driver import aggregate_changes, find_change, previous_version
from pipeline.engines import no_advance
from pipeline.exchange import row_files
from pipeline.exchange.workspace import Workspace
from pipeline.preprocess.ledger import Phase1Result
from pipeline.publish.quarantine import write_quarantine
from pipeline.publish.verify import check_balance
from tests.examples import tries
from tests.harness import HEADER, Found, Harness, InProcessEngine, region_of
from tests.properties.nasty import MAX_RECORD, keeps, records, sizes
from tests.reference import run

files = st.lists(st.lists(records(broken=0.1), max_size=12).map(b"".join).map(HEADER.__add__), min_size=1, max_size=5)


class Versions:
    """One version after the other over some of a harness's files, each made from the one before."""

    def __init__(self, harness: Harness) -> None:
        self.harness = harness
        self.ledgers = {ledger.file.path: ledger for ledger in harness.read().ledgers}
        self.store = harness.workspace.root
        self.previous = None

    def make(self, paths: list[str], number: int) -> Found:
        harness = self.harness
        phase1 = Phase1Result(tuple(self.ledgers[path] for path in paths))
        workspace = Workspace(str(harness.root / f"run-{number}"), self.store)
        workspace.create()
        harness.read_context = replace(harness.read_context, workspace=workspace)
        engine, splits = InProcessEngine(), phase1.splits
        change = find_change(self.previous, splits, most_changed=1e9)
        context = harness.aggregate_context
        if change:
            phase2 = aggregate_changes(engine, context, self.previous, change, harness.workers, no_advance)
            assert phase2
        else:
            phase2 = aggregate_all(engine, context, splits, harness.workers, no_advance)
        check_balance(phase1, phase2)
        folder = harness.root / f"version-{number}"
        write_quarantine(engine, harness.publish_context, folder, phase1, phase2)
        found = harness.finish(phase1, phase2, folder)
        counts = {"buckets": context.buckets, "kept": phase2.kept, "duplicates": phase2.duplicates,
                  "conflicts": phase2.conflicts}  # fmt: skip
        counted = {split.result.split.number: split.result for split in splits}
        self.previous = previous_version(harness.root / f"run-{number}", counts, counted)
        return found


@tries(25)
@given(st.data(), files, keeps, sizes, st.sampled_from([1, 2, 8, 1024]), st.sampled_from([1, 3]), st.integers(1, 100))
def test_each_version_equals_the_reference(
    data: st.DataObject,
    contents: list[bytes],
    keep: str,
    split_bytes: int,
    buckets: int,
    workers: int,
    keys_at_once: int,
) -> None:
    compiled, page_bytes = data.draw(st.booleans()), data.draw(st.sampled_from([1, 1 << 22]))
    with (
        patch.object(affected_ids, "_KEYS_AT_ONCE", keys_at_once),
        patch.object(row_files, "_PAGE_BYTES", page_bytes),
        Harness(
            contents, max_record=MAX_RECORD, keep=keep, split_bytes=split_bytes, buckets=buckets, workers=workers,
            compiled=compiled,
        ) as harness,
    ):  # fmt: skip
        versions = Versions(harness)
        by_path = dict(zip(harness.paths, contents, strict=True))
        for number in range(3):
            paths = data.draw(st.lists(st.sampled_from(harness.paths), unique=True, min_size=1))
            found = versions.make(paths, number)
            truth = run([by_path[path] for path in paths], MAX_RECORD, keep, region_of)
            assert found.totals == truth.totals
            assert (found.kept, found.duplicates, found.conflicts) == (truth.kept, truth.duplicates, truth.conflicts)
            assert found.users == len({user for _, user in truth.totals})
            assert len(found.conflict_raws) == found.conflicts


def test_rows_are_fetched_of_ids_whose_copies_differ_alone() -> None:
    def line(number: int, user: str, minutes: str) -> bytes:
        return b"id-%d,%s,2026-01-01T00:00:00Z,v,tv,8.8.8.8,%s\n" % (number, user.encode(), minutes.encode())

    history = [line(number, "u", "1.5") for number in range(500)]
    day = [line(number, "u", "1.50") for number in range(400, 600)]  # a hundred copies, a hundred new
    day[0], day[1] = line(400, "u", "1.6"), line(401, "other", "1.5")  # the same id with another content
    contents = [HEADER + b"".join(history), HEADER + b"".join(day)]
    take, fetched = affected_ids.take_rows, []

    def count_and_take(rows: object, positions: Sequence[int]) -> object:
        fetched.append(len(positions))
        return take(rows, positions)

    with Harness(contents, max_record=MAX_RECORD) as harness, patch.object(affected_ids, "take_rows", count_and_take):
        versions = Versions(harness)
        versions.make(harness.paths[:1], 0)
        found = versions.make(harness.paths, 1)
    assert (found.kept, found.duplicates, found.conflicts) == (600, 98, 2)
    assert sum(fetched) == 4, "of each ambiguous id two"
