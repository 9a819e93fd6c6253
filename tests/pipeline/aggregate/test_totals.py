"""Both adders: sums by user and region as Python's integers make them, and a sum beyond int64 is refused."""

from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.aggregate import totals
from pipeline.aggregate.totals import TotalsAdder, merge_totals, open_totals, order_totals
from pipeline.errors import BalanceError
from tests.examples import tries
from tests.harness import library

ROW = st.tuples(st.sampled_from(("u", "v", "é", "")), st.integers(0, 3), st.integers(0, 10**15))
SCHEMA = pa.schema({"user_id": pa.large_string(), "region": pa.uint16(), "micro_minutes": pa.int64()})
FRAME = {"user_id": pl.String, "region": pl.UInt16, "micro_minutes": pl.Int64}
COLUMNS = ["user_id", "region", "micro_minutes", "event_count"]


def adders() -> list[TotalsAdder]:
    """The compiled one and that of Polars."""
    return [open_totals(Path(library()), expected=1), open_totals(None)]


def table(rows: list[tuple[str, int, int]]) -> pa.Table:
    columns = list(zip(*rows, strict=True)) if rows else [(), (), ()]
    return pa.table([pa.array(values, field.type) for values, field in zip(columns, SCHEMA, strict=True)], SCHEMA)


def totals_table(sums: dict[tuple[str, int], tuple[int, int]]) -> pa.Table:
    frame = pl.DataFrame(
        [(*key, *value) for key, value in sums.items()],
        {"user_id": pl.String, "region": pl.UInt16, "micro_minutes": pl.Int64, "event_count": pl.Int64},
        orient="row",
    )
    return frame.to_arrow(compat_level=pl.CompatLevel.oldest())


def result(adder: TotalsAdder) -> tuple[dict[tuple[str, int], tuple[int, int]], int]:
    """({(user, region): (micro, events)}, users)"""
    found, users = adder.ordered()
    rows = [tuple(row[name] for name in COLUMNS) for row in found.to_pylist()]
    assert [region for _, region, _, _ in rows] == sorted(region for _, region, _, _ in rows)
    assert len({row[:2] for row in rows}) == len(rows)
    return {row[:2]: row[2:] for row in rows}, users


@tries(30)
@given(data=st.data(), waiting=st.sampled_from((0, 5, 2_000_000)))
def test_sums_are_those_of_pythons_integers(data: st.DataObject, waiting: int) -> None:
    batches = data.draw(st.lists(st.lists(ROW, max_size=8), max_size=4))
    skips = [data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows))) for rows in batches]
    micro: Counter[tuple[str, int]] = Counter()
    events: Counter[tuple[str, int]] = Counter()
    for rows, skipped in zip(batches, skips, strict=True):
        for (user, region, value), skip in zip(rows, skipped, strict=True):
            micro[user, region] += value * (2 - skip)  # each row a second time, by its frame
            events[user, region] += 2 - skip
    gone = data.draw(st.sets(st.sampled_from(sorted(events)))) if events else set()
    earlier = {key: (micro[key], events[key]) for key in events}
    for adder in adders():
        with pytest.MonkeyPatch.context() as patch, adder:
            patch.setattr(totals, "_WAITING_ROWS", waiting)
            adder.add(table([]), np.zeros(0, bool))
            for rows, skipped in zip(batches, skips, strict=True):
                adder.add(table(rows), np.array(skipped, bool))
                adder.add_frame(pl.DataFrame(rows, FRAME, orient="row"))
            adder.add_totals(totals_table(earlier))
            adder.add_totals(totals_table({key: (-2 * m, -2 * n) for key, (m, n) in earlier.items() if key in gone}))
            found, users = result(adder)
        expected = {key: (2 * m, 2 * n) for key, (m, n) in earlier.items() if key not in gone}
        assert found == expected
        assert users == len({user for user, _ in expected})


def test_what_is_subtracted_leaves_no_row_without_events() -> None:
    rows = [("u", 1, 5), ("u", 1, 7), ("v", 0, 9)]
    for adder in adders():
        with adder:
            adder.add(table(rows), np.zeros(3, bool))
            adder.add(table(rows[1:]), np.array([False, False]), -1)
            assert result(adder) == ({("u", 1): (5, 1)}, 1)


@pytest.mark.parametrize("beyond", [False, True], ids=["below 2^63", "2^63"])
def test_sums_beyond_int64_are_refused_with_their_user(beyond: bool) -> None:
    """Polars refuses within a billionth of it, too."""
    short = 10**11
    rows = [("w", 0, 7), ("u", 1, 2**62), ("u", 1, 2**62 - short), ("v", 1, 2**62)]
    for adder in adders():
        with adder:
            adder.add(table(rows), np.zeros(4, bool))
            if beyond:
                adder.add(table([("u", 1, short)]), np.zeros(1, bool))
                with pytest.raises(BalanceError, match=r"watch times of one user in one region .* 9\.2e12 minutes"):
                    adder.ordered()
            else:
                assert result(adder)[0]["u", 1] == (2**63 - short, 2)


def test_partial_totals_merge_and_empty_ones_vanish() -> None:
    parts = pl.from_arrow(totals_table({("u", 2): (3, 1), ("v", 1): (5, 1)}))
    more = pl.from_arrow(totals_table({("u", 2): (4, 2), ("v", 1): (-5, -1)}))
    assert isinstance(parts, pl.DataFrame)
    assert isinstance(more, pl.DataFrame)
    merged = merge_totals(pl.concat([parts, more]))
    assert sorted(merged.select(COLUMNS).rows()) == [("u", 2, 7, 3), ("v", 1, 0, 0)]
    ordered, users = order_totals(merged)
    assert ordered.select(COLUMNS).to_pylist() == [dict(zip(COLUMNS, ("u", 2, 7, 3), strict=True))]
    assert users == 1
