"""Copies of affected ids: which agree, and by how much those change the duplicates."""

from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.aggregate.incremental.affected_ids import prefixes_of, save_prefixes
from pipeline.aggregate.incremental.compare_copies import compare_copies, fetch_marks
from pipeline.aggregate.incremental.tasks import CompareCopiesTask, FetchMarksTask
from pipeline.engines import no_advance
from pipeline.errors import BalanceError
from tests.examples import tries
from tests.pipeline.aggregate.by_hand import Row, Splits, make_context, write_splits
from tests.pipeline.aggregate.strategies import splits


@tries(30)
@given(splits=splits, data=st.data(), ranges=st.sampled_from((1, 2)))
def test_ids_whose_copies_agree_are_counted_without_their_rows(
    splits: Splits, data: st.DataObject, ranges: int
) -> None:
    """Of every row here the id counts as affected. Prefixes stand for ids: further ids of one are other contents."""
    numbers = sorted(splits)
    added = frozenset(data.draw(st.sets(st.sampled_from(numbers))))
    removed = frozenset(data.draw(st.sets(st.sampled_from(numbers)))) - added
    copies: dict[int, list[tuple[int, Row]]] = defaultdict(list)
    for number, rows in splits.items():
        for row in rows:
            copies[row.id_hi >> 10 << 10].append((number, row))
    duplicates, excluded, ambiguous = 0, set(), set()
    for prefix, found in copies.items():
        if len({(row.id, row.content) for _, row in found}) > 1:
            ambiguous |= {(number, prefix) for number, _ in found}
            excluded |= {(number, prefix) for number, _ in found if number in added | removed}
            continue
        before, now = ({number for number, _ in found} - without for without in (added, removed))
        duplicates += max(len(now) - 1, 0) - max(len(before) - 1, 0)
        moves = {min(before | now)} if not before or not now else set()
        excluded |= {(number, prefix) for number in (added | removed) & (before | now) - moves}
    with TemporaryDirectory() as folder:
        context = make_context(Path(folder), buckets=64)
        write_splits(context, splits)
        filled = {number: len(rows) for number, rows in splits.items() if rows}
        every = [(number, row.id_hi) for number, rows in splits.items() for row in rows]
        save_prefixes(
            context, "affected", 0, np.array([n for n, _ in every], int), np.array([k for _, k in every], np.uint64)
        )
        # A prefix stands for all rows that have it.
        distinct = np.unique(np.array([[n, k >> 10 << 10] for n, k in every], np.uint64).reshape(-1, 2), axis=0)
        save_prefixes(context, "affected", 0, distinct[:, 0].astype(int), distinct[:, 1])
        fetch_marks(context, FetchMarksTask(filled, (0,)), no_advance)
        found_duplicates, found_rows = 0, dict.fromkeys(filled, 0)
        made = []
        for n in range(ranges):
            in_range = [k for _, k in every if k * ranges >> 64 == n]
            if not in_range:
                continue
            made.append(n)
            compared = compare_copies(context, CompareCopiesTask(n, ranges, tuple(filled), added, removed), no_advance)
            found_duplicates += compared.duplicates
            for number, count in compared.ambiguous.items():
                found_rows[number] += count
        saved = {
            kind: {(number, key) for number, keys in prefixes_of(context, kind, made, numbers) for key in keys.tolist()}
            for kind in ("excluded", "ambiguous")
        }
    assert found_duplicates == duplicates
    assert saved == {"excluded": excluded, "ambiguous": ambiguous}
    assert found_rows == {
        number: sum((number, row.id_hi >> 10 << 10) in ambiguous for row in splits[number]) for number in filled
    }


def test_an_index_that_has_more_ids_than_there_are_rows_is_a_fault(tmp_path: Path) -> None:
    context = make_context(tmp_path)
    write_splits(context, {3: [Row(5 << 50, 1, "u", 0, 1)]})
    save_prefixes(context, "affected", 0, np.array([3]), np.array([5 << 50], np.uint64))
    with pytest.raises(BalanceError, match="split 3 has 1 rows of affected ids, its index 2"):
        fetch_marks(context, FetchMarksTask({3: 2}, (0,)), no_advance)
