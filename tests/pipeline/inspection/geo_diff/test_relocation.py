"""What moves in each bucket, against both results made by themselves in plain Python."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from pipeline.aggregate.driver import aggregate_all
from pipeline.engines import no_advance
from pipeline.inspection.geo_diff.diff import add_up
from pipeline.inspection.geo_diff.relocation import Relocation, RelocationTask, relocate
from tests.examples import tries
from tests.harness import HEADER, Harness
from tests.pipeline.inspection.geo_diff.conftest import NEW_REGIONS, OLD_REGIONS, Tables

Record = tuple[str, str, int, str, int]
"""log_id, user_id, day of the timestamp (0: none), first octet of the address, minutes."""

RECORDS = st.tuples(
    st.sampled_from("abcd"), st.sampled_from(["u1", "u2"]), st.integers(0, 2), st.sampled_from("123459"),
    st.integers(1, 2),
)  # fmt: skip
DAYS = ["", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"]


def line(record: Record) -> bytes:
    log_id, user, day, octet, minutes = record
    return f"{log_id},{user},{DAYS[day]},v,d,{octet}.1.1.1,{minutes}\n".encode()


def winners(records: Iterable[Record], keep: str, regions: dict[str, str]) -> dict[str, tuple[str, str, int]]:
    """(user, region, micro-minutes) of the content that counts, by id: the rule, once more."""
    contents: dict[str, dict[tuple[str, str, int], list[int]]] = defaultdict(lambda: defaultdict(list))
    for log_id, user, day, octet, minutes in records:
        contents[log_id][user, regions.get(octet, "UNKNOWN"), minutes * 10**6].append(day)

    def rank(content: tuple[str, str, int], days: list[int]) -> tuple[object, ...]:
        user, region, micro = content
        known = [day for day in days if day]
        moment = {"longest": 0, "first": min(known, default=9), "last": -max(known, default=-9)}[keep]
        return moment, -micro, user, region

    return {
        log_id: min(found, key=lambda content, found=found: rank(content, found[content]))  # type: ignore[misc]
        for log_id, found in contents.items()
    }


def expected(records: list[Record], keep: str) -> Relocation:
    before, after = (winners(records, keep, regions) for regions in (OLD_REGIONS, NEW_REGIONS))
    sums: list[dict[object, list[tuple[str, int]]]] = [defaultdict(list) for _ in range(3)]
    for log_id, (user, old, micro) in before.items():
        new = after[log_id][1]
        assert after[log_id] == (user, new, micro)
        for total, key in zip(sums, ((old, new), old, new), strict=True):
            total[key].append((user, micro))
    added = [{key: (len({user for user, _ in rows}), len(rows), sum(micro for _, micro in rows))
              for key, rows in total.items()} for total in sums]  # fmt: skip
    moved = {user for log_id, (user, old, _) in before.items() if after[log_id][1] != old}
    return Relocation(added[0], added[1], added[2], len(moved))  # type: ignore[arg-type]


@tries(25)
@given(
    files=st.lists(st.lists(RECORDS, min_size=1, max_size=8), min_size=1, max_size=3),
    keep=st.sampled_from(["longest", "first", "last"]),
    compiled=st.booleans(),
)
def test_moves_are_those_between_two_results(
    tables: Tables, files: list[list[Record]], keep: str, compiled: bool
) -> None:
    data = [HEADER + b"".join(map(line, records)) for records in files]
    with Harness(data, keep=keep, compiled=compiled) as run:
        run.read_context = replace(run.read_context, geo_source=tables.pairs.source)
        run.names = tables.pairs.names
        phase1 = run.read()
        context = replace(run.aggregate_context, keep_losers=True)
        phase2 = aggregate_all(run.engine, context, phase1.splits, 2, no_advance)
        numbers = tuple(split.result.split.number for split in phase1.splits)
        found = [relocate(context, RelocationTask(part.bucket, numbers), no_advance) for part in phase2.buckets]
    assert add_up(found) == expected([record for records in files for record in records], keep)
