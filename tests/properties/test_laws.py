"""The laws over the whole data path: cutting, order and sizes change no value, and every record is accounted for."""

from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.examples import tries
from tests.harness import HEADER, Found, Harness, region_of
from tests.properties.nasty import MAX_RECORD, hostile_files, keeps, records, sizes
from tests.properties.replays import files_and_replay
from tests.reference import MALFORMED, MALFORMED_REASONS, read_file, run

run_sizes = st.fixed_dictionaries(
    {
        "chunk_bytes": sizes,
        "split_bytes": sizes,
        "buckets": st.sampled_from([1, 2, 8, 1024]),
        "bucket_rows": st.sampled_from([1, 2, 3, 1000]),
        "workers": st.sampled_from([1, 3]),
        "compiled": st.booleans(),
        "held_bytes": st.sampled_from([1, 400, 1 << 40]),
    }
)


def assert_equals_reference(files: list[bytes], keep: str, chosen: dict[str, Any]) -> Found:
    """Run the data path over ``files`` and compare totals and counts with the reference; returns what the run found."""
    truth = run(files, MAX_RECORD, keep, region_of)
    with Harness(files, max_record=MAX_RECORD, keep=keep, **chosen) as harness:
        found = harness.run()
    assert found.totals == truth.totals
    assert (found.records, found.kept, found.duplicates, found.conflicts) == (
        truth.records,
        truth.kept,
        truth.duplicates,
        truth.conflicts,
    )
    assert found.records == found.kept + found.duplicates + found.conflicts + found.rejected.total()
    assert malformed_together(found.rejected) == malformed_together(truth.rejected)
    assert found.blank_lines == truth.blank_lines
    assert found.users == len({user for _, user in truth.totals})
    assert len(found.conflict_raws) == found.conflicts
    return found


def malformed_together(reasons: Mapping[str, int]) -> dict[str, int]:
    """Counts by reason, with those of malformed records as one."""
    counts: dict[str, int] = {}
    for reason, count in reasons.items():
        name = MALFORMED if reason in {*MALFORMED_REASONS, "record_too_long"} else reason
        counts[name] = counts.get(name, 0) + count
    return counts


def content(raw: bytes) -> tuple[str, str, str, int]:
    """(log_id, user_id, region, micro-minutes) of the raw bytes of one record."""
    truth = read_file(HEADER + raw + b"\n", MAX_RECORD)
    assert truth
    ((_, event),) = truth.events
    return event.log_id, event.user_id, region_of(event.ip_address), event.micro


@st.composite
def cuts(draw: st.DrawFn, rows: list[bytes]) -> list[bytes]:
    """The same rows in another order, as one to four files."""
    rows = draw(st.permutations(rows))
    inner = sorted(draw(st.lists(st.integers(0, len(rows)), max_size=3)))
    bounds = [0, *inner, len(rows)]
    return [HEADER + b"".join(rows[a:b]) for a, b in pairwise(bounds)]


@tries(150)
@given(st.data())
def test_cutting_and_order_change_nothing(data: st.DataObject) -> None:
    rows = data.draw(st.lists(records(broken=0.1), max_size=30))
    keep = data.draw(keeps)
    results = [
        assert_equals_reference(data.draw(cuts(rows)), keep, data.draw(run_sizes)),
        assert_equals_reference(data.draw(cuts(rows)), keep, data.draw(run_sizes)),
    ]
    one, other = results
    truth = run([HEADER + b"".join(rows)], MAX_RECORD, keep, region_of)
    for result in results:
        assert Counter(map(content, result.conflict_raws)) == truth.losers
    for name in ("totals", "records", "kept", "duplicates", "conflicts", "rejected", "users"):
        assert getattr(one, name) == getattr(other, name), name


@tries(100)
@given(st.lists(hostile_files(), min_size=1, max_size=3), keeps, run_sizes)
def test_hostile_files_equal_the_reference(files: list[bytes], keep: str, chosen: dict[str, Any]) -> None:
    assert_equals_reference(files, keep, chosen)


@tries(50)
@given(hostile_files(), keeps, run_sizes)
def test_a_file_delivered_twice_adds_duplicates_alone(data: bytes, keep: str, chosen: dict[str, Any]) -> None:
    with Harness([data], max_record=MAX_RECORD, keep=keep, **chosen) as harness:
        once = harness.run()
    with Harness([data, data], max_record=MAX_RECORD, keep=keep, **chosen) as harness:
        twice = harness.run()
    assert twice.totals == once.totals
    assert (twice.kept, twice.conflicts) == (once.kept, once.conflicts)
    assert twice.records == 2 * once.records


@tries(60)
@given(files_and_replay(), keeps, run_sizes)
def test_a_replayed_file_counts_as_any_other(files: list[bytes], keep: str, chosen: dict[str, Any]) -> None:
    assert_equals_reference(files, keep, chosen)
