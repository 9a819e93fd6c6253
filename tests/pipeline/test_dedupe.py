"""The rule of copies and conflicts, against plain Python over dicts."""

from collections import Counter, defaultdict

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.dedupe import CONTENT, distinct_contents, in_range, repeated_keys, resolve, rows_with_keys

NAMES = ("zulu", "Asia", "Zulu")
"""By code; in the order of their bytes zulu is the last."""
SCHEMA = {
    "id_hi": pl.Int64, "id_lo": pl.Int64, "user_id": pl.String, "region": pl.UInt16, "micro_minutes": pl.Int64,
    "timestamp": pl.Int64,
}  # fmt: skip
keys = st.lists(st.integers(0, 5) | st.integers(2**64 - 3, 2**64 - 1) | st.integers(0, 2**64 - 1), max_size=40)
CONTENTS = st.tuples(
    st.sampled_from((-(2**63), 3)),
    st.sampled_from((0, 0, 0, 1)),
    st.sampled_from(("u", "\U0001f600", "\uffff")),  # in UTF-16 the last two sort the other way
    st.integers(0, 2),
    st.sampled_from((0, 5)),
)
rows_that_meet = st.lists(CONTENTS, min_size=1, max_size=6).flatmap(
    lambda contents: st.lists(
        st.tuples(st.sampled_from(contents), st.sampled_from((None, 0, -4, 9))).map(lambda row: (*row[0], row[1])),
        max_size=20,
    )
)
"""Rows of few contents, each with several timestamps."""


def frame(rows: list[tuple], keep: str) -> pl.DataFrame:
    found = pl.DataFrame(rows, SCHEMA, orient="row").with_columns(place=pl.Series(range(len(rows)), dtype=pl.Int64))
    return found.drop("timestamp") if keep == "longest" else found


@given(keys)
def test_repeated_keys_are_those_that_count_more_than_once(values: list[int]) -> None:
    expected = sorted(key for key, count in Counter(values).items() if count > 1)
    assert repeated_keys(np.sort(np.array(values, np.uint64))).tolist() == expected


@given(keys, keys)
def test_rows_with_keys_are_found_by_their_positions(values: list[int], others: list[int]) -> None:
    wanted = sorted({*others, *values[::3]})
    found = rows_with_keys(np.array(values, np.uint64), np.array(wanted, np.uint64))
    assert found.tolist() == [position for position, key in enumerate(values) if key in set(wanted)]


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1), st.sampled_from((1, 2, 8, 1024)))
def test_each_id_lies_in_one_range_by_its_unsigned_value(ids: list[int], ranges: int) -> None:
    array = np.array(ids, np.int64)
    inside = np.stack([in_range(array, number, ranges) for number in range(ranges)])
    assert inside.sum(axis=0).tolist() == [1] * len(ids)
    assert inside.argmax(axis=0).tolist() == [id_ % 2**64 * ranges >> 64 for id_ in ids]


@given(rows_that_meet, st.sampled_from(("longest", "first", "last")))
def test_contents_have_their_copies_first_place_and_deciding_timestamp(rows: list[tuple], keep: str) -> None:
    expected: dict[tuple, list[tuple[int, int | None]]] = defaultdict(list)
    for place, row in enumerate(rows):
        expected[row[:5]].append((place, row[5]))
    found = {
        row[:5]: row[5:]
        for row in distinct_contents(frame(rows, keep), keep).select(*CONTENT, "copies", "place").rows()
    }
    assert found == {content: (len(copies), copies[0][0]) for content, copies in expected.items()}
    if keep != "longest":
        pick = min if keep == "first" else max
        stamps = {content: [stamp for _, stamp in copies if stamp is not None] for content, copies in expected.items()}
        dated = {
            row[:5]: row[5] for row in distinct_contents(frame(rows, keep), keep).select(*CONTENT, "timestamp").rows()
        }
        assert dated == {content: pick(known) if known else None for content, known in stamps.items()}


@given(rows_that_meet, st.sampled_from(("longest", "first", "last")))
def test_each_id_has_one_winner_and_all_other_contents_lose(rows: list[tuple], keep: str) -> None:
    by_id: dict[tuple, dict[tuple, list[int | None]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        by_id[row[:2]][row[:5]].append(row[5])

    def rank(content: tuple, stamps: list[int | None]) -> tuple:
        _, _, user, region, micro = content
        ties = (-micro, user.encode(), NAMES[region].encode())
        known = [stamp for stamp in stamps if stamp is not None]
        if keep == "longest":
            return ties
        return (not known, (min(known) if keep == "first" else -max(known)) if known else 0, *ties)

    winners = {min(contents, key=lambda c, of=contents: rank(c, of[c])) for contents in by_id.values()}
    losers = {content for contents in by_id.values() for content in contents} - winners
    found = resolve(frame(rows, keep), keep, NAMES)
    assert sorted(found.winners.select(CONTENT).rows()) == sorted(winners)
    assert sorted(found.losers.select(CONTENT).rows()) == sorted(losers)
    assert found.duplicates == len(rows) - len(winners) - len(losers)


@pytest.mark.parametrize(
    ("keep", "winner"),
    [
        ("longest", ("u", 2, 7)),
        ("first", ("w", 0, 1)),
        ("last", ("v", 0, 2)),
    ],
)
def test_what_the_settings_say(keep: str, winner: tuple[str, int, int]) -> None:
    rows = [
        (1, 1, "w", 0, 1, 10),
        (1, 1, "v", 0, 2, 30),
        (1, 1, "v", 0, 2, 20),
        (1, 1, "u", 2, 7, None),
        (1, 1, "u", 0, 7, None),
    ]
    found = resolve(frame(rows, keep), keep, NAMES)
    assert found.winners.select("user_id", "region", "micro_minutes").rows() == [winner], "Zulu comes before zulu"
    assert (len(found.losers), found.duplicates) == (3, 1)
