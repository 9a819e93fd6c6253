"""Thousands of polluted files: none lost, none hung, none counted wrong, each by the truth that it was built with."""

import signal
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

import polars as pl
import pytest

from pipeline.aggregate.driver import aggregate_all
from pipeline.publish.quarantine import write_quarantine
from pipeline.publish.verify import check_balance
from tests.harness import Harness, InProcessEngine, enriched, region_of
from tests.pollution.build import MAX_RECORD
from tests.pollution.positions import CHUNK_BYTES, SPLIT_BYTES, polluted_files

FILES = polluted_files()
SECONDS = 10
"""For one file; a usual one takes milliseconds."""


class TimedEngine(InProcessEngine):
    """Ends a test by name when one task hangs."""

    def map(
        self, kernel: Callable, context: object, tasks: Sequence, advance: Callable[[int], None]
    ) -> Iterator[tuple]:
        def hung(*_: object) -> None:
            raise TimeoutError(f"more than {SECONDS} seconds of CPU time for one task")

        before = signal.signal(signal.SIGPROF, hung)
        try:
            for task in tasks:
                signal.setitimer(signal.ITIMER_PROF, SECONDS)
                yield from super().map(kernel, context, [task], advance)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.signal(signal.SIGPROF, before)


def test_there_are_two_thousand_distinct_files() -> None:
    """Distinct also without the serials by which their results are told apart."""
    files = [file for group in FILES.values() for file in group]
    assert len({file.anonymous for file in files}) == len(files) >= 2000
    assert len({file.data for file in files}) == len(files)


SIZES = {"whole": {}, "chunk": {"chunk_bytes": CHUNK_BYTES}, "split": {"split_bytes": SPLIT_BYTES}}


@pytest.mark.parametrize(("group", "compiled"), [("whole", True), ("whole", False), ("chunk", True), ("split", False)])
def test_every_file_is_read_as_it_was_built(group: str, compiled: bool) -> None:
    files = FILES[group]
    sizes = {"buckets": 1, "bucket_rows": 10**6, **SIZES[group]}
    with Harness([file.data for file in files], max_record=MAX_RECORD, compiled=compiled, **sizes) as harness:
        harness.engine = TimedEngine()
        outcome = harness.read()
        totals = aggregate_all(harness.engine, harness.aggregate_context, outcome.splits, 2, lambda _: None)
        check_balance(outcome, totals)
        folder = harness.root / "version"
        write_quarantine(harness.engine, harness.publish_context, folder, outcome, totals)
        accepted = dict(zip((x.file.path for x in outcome.ledgers), harness.accepted(outcome), strict=True))
        rejects = dict(zip((x.file.path for x in outcome.ledgers), harness.rejects(outcome), strict=True))
        lost = dict(pl.read_parquet(folder / "quarantine" / "conflicts.parquet")["file"].value_counts().iter_rows())
        found = share_totals(harness.finish(outcome, totals, folder).totals)
    ledgers = {ledger.file.path: ledger for ledger in outcome.ledgers}
    assert len(ledgers) + len(outcome.refused) == len(files), "a file was lost"
    for path, file in zip(harness.paths, files, strict=True):
        if file.refused:
            assert file.refused in outcome.refused.get(path, "not refused"), file.name
            continue
        assert path in ledgers, (file.name, outcome.refused.get(path))
        ledger = ledgers[path]
        assert rejects[path] == file.rejects, file.name
        events = [(offset, enriched(e.log_id, e.user, e.ip, e.micro)) for offset, e in file.events]
        assert accepted[path] == events, file.name
        assert (ledger.records, ledger.blank_lines, ledger.preamble_lines) == (
            file.records,
            file.blank_lines,
            file.preamble_lines,
        ), file.name
        assert ledger.rejected_by_reason.total() == len(file.rejects), file.name
        assert ledger.records == len(file.rejects) + ledger.duplicates + ledger.handed_over, file.name
        assert found[file.serial] == file.totals(region_of), file.name
        contents = file.contents(region_of)
        assert lost.get(path, 0) == sum(map(len, contents.values())) - len(contents), file.name
        if group != "split":
            assert ledger.duplicates == len(file.events) - sum(map(len, contents.values())), file.name
    assert outcome_counts(totals, ledgers.values()) == (
        sum(len(file.contents(region_of)) for file in files if not file.refused),
        sum(len(f.events) - sum(map(len, f.contents(region_of).values())) for f in files if not f.refused),
    )


def share_totals(totals: dict[tuple[str, str], tuple[int, int]]) -> dict[str, dict]:
    """The totals of each file, by its serial."""
    shares: dict[str, dict] = defaultdict(dict)
    for (region, user), total in totals.items():
        start = user.index("~")
        shares[user[start : start + 7]][region, user] = total
    return shares


def outcome_counts(totals: object, ledgers: object) -> tuple[int, int]:
    """(kept, duplicates of both phases)."""
    return totals.kept, totals.duplicates + sum(ledger.duplicates for ledger in ledgers)
