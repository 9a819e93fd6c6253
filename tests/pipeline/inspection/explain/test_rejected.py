"""Rejected records with one log_id, among those that Phase 1 wrote."""

from dataclasses import replace

import polars as pl
import pytest

from pipeline.exchange.workspace import split_file
from pipeline.history.known_list import KnownFiles
from pipeline.inspection.explain.rejected import find_rejected, rejected_offsets
from pipeline.inspection.explain.sources import placed_splits
from tests.harness import HEADER
from tests.pipeline.inspection.explain.conftest import Made, Make

START = len(HEADER)
LINES = (
    b"a,u1,,,,8.8.8.8,-1\n"
    b"ab,u1,,,,8.8.8.8,-2\n"  # another id that begins with the same text
    b"b,a,,,,8.8.8.8,-3\n"  # the text in another column
    b"a,u1\n"  # too short
    b'"a",u2,,,,8.8.8.8,1 2\n'
    b'"q""uote",u2,,,,8.8.8.8,x\n'
    b"a,u1,,,,8.8.8.8,1\n"
)


def offset(line: int) -> int:
    return START + len(b"".join(LINES.splitlines(keepends=True)[: line - 2]))


def found(made: Made, log_id: str) -> list[tuple[object, ...]]:
    (file,) = made.files
    copies, note = find_rejected(made.published, file, log_id)
    assert note is None
    copies.sort(key=lambda copy: copy.line)
    return [(copy.line, copy.byte_offset, copy.reason, copy.value) for copy in copies]


def test_records_are_found_by_the_value_in_their_column(make: Make) -> None:
    made = make([LINES], totals={})
    assert found(made, "a") == [
        (2, offset(2), "watch_time_negative", "-1"),
        (5, offset(5), "wrong_field_count", None),
        (6, offset(6), "watch_time_not_a_number", "1 2"),
    ]
    assert found(made, 'q"uote') == [(7, offset(7), "watch_time_not_a_number", "x")]
    assert found(made, "u1") == found(made, "none") == []


def test_addresses_are_cut(make: Make) -> None:
    made = make([LINES], totals={})
    (file,) = made.files
    raws = {copy.raw for copy in find_rejected(made.published, file, "a")[0]}
    assert raws == {"a,u1,,,,8.8.8.0/24,-1", "a,u1", '"a",u2,,,,8.8.8.0/24,1 2'}


@pytest.mark.parametrize("hidden", [True, False], ids=["pseudonyms", "bytes were cleared"])
def test_records_whose_bytes_are_not_kept_are_a_note(hidden: bool, make: Make) -> None:
    made = make([LINES], totals={}, hidden=hidden)
    if not hidden:
        path = made.published.store.path("rejects", split_file(0))
        pl.read_parquet(path).with_columns(raw=pl.lit(None, pl.Binary)).write_parquet(path)
    copies, note = find_rejected(made.published, made.files[0], "a")
    assert copies == []
    assert str(note).startswith("some rejected records cannot be searched by log_id")


def test_a_file_whose_reading_was_interrupted_has_none(make: Make) -> None:
    made = make([LINES], totals={})
    made.published.history.known = KnownFiles([replace(made.files[0], file_hash="")])
    assert found(made, "a") == []


def test_offsets_of_rejected_records(make: Make) -> None:
    made = make([LINES, b"a,u1,,,,8.8.8.8,1\n"], totals={})
    dirty, clean = (placed_splits(file) for file in made.files)
    ((_, split),) = dirty.items()
    assert rejected_offsets(made.published, split) == {offset(line) - START for line in range(2, 8)}
    ((_, split),) = clean.items()
    assert rejected_offsets(made.published, split) == set()
