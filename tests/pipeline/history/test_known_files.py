"""Files and splits as the manifest stores them: the JSON is what older versions wrote, and nothing of it is lost."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.history.known_files import (
    Hint,
    Hints,
    KnownSplit,
    files_of,
    header_from_json,
    header_to_json,
    ledger_of,
    result_from_json,
    result_to_json,
    take_hint,
)
from pipeline.preprocess.tasks import SplitResult
from pipeline.reading.header import Header
from pipeline.reading.header_changes import HeaderChange
from pipeline.reading.splits import Split
from tests.pipeline.history.samples import HEADER, HEADER_JSON, counts, known_file, split_result

SECOND = 10**9
SPLIT = Split(11, "/logs/a.csv", 100, 16, 100, True, HEADER)


def test_a_hint_has_size_times_and_inode(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"x" * 7)
    os.utime(path, ns=(0, 50 * SECOND))
    status = os.stat(path)
    hint = take_hint(str(path), 60 * SECOND)
    assert hint == Hint(7, 50 * SECOND, status.st_ctime_ns, status.st_ino, True)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        take_hint(str(path), 60 * SECOND)


NUMBERS = st.integers(-(2**63), 2**63 - 1)


@given(st.dictionaries(st.text(), st.builds(Hint, NUMBERS, NUMBERS, NUMBERS, st.integers(0, 2**64 - 1), st.booleans())))
def test_hints_are_what_was_put_in(hints: dict[str, Hint]) -> None:
    packed = Hints()
    for path, hint in hints.items():
        packed[path] = hint
    assert dict(packed) == hints
    assert "\0" not in packed or "\0" in hints


@pytest.mark.parametrize(("age", "stable"), [(0, False), (2 * SECOND, False), (2 * SECOND + 1, True)])
def test_a_file_settles_two_seconds_after_it_was_written(age: int, stable: bool, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.touch()
    os.utime(path, ns=(0, 50 * SECOND))
    assert take_hint(str(path), 50 * SECOND + age).stable == stable


@pytest.mark.parametrize("change", [{"size": 9}, {"mtime_ns": 9}, {"ctime_ns": 9}, {"inode": 9}])
def test_a_hint_proves_nothing_once_one_fact_differs(change: dict[str, int]) -> None:
    hint = Hint(1, 2, 3, 4, True)
    assert hint.proves_same(hint)
    assert hint.proves_same(replace(hint, stable=False)), "only the file that was read must have stable"
    assert not replace(hint, stable=False).proves_same(hint)
    assert not hint.proves_same(replace(hint, **change))


def test_a_split_needs_the_files_of_what_it_has() -> None:
    assert files_of(has_rows=False, has_rejects=False) == {"lines"}
    assert files_of(has_rows=True, has_rejects=False) == {"lines", "rows", "index"}
    assert files_of(has_rows=False, has_rejects=True) == {"lines", "rejects"}
    finished = KnownSplit(1, 0, 9, True, counts(handed_over=3, rejected=2))
    assert finished.needs() == {"lines", "rows", "index", "rejects"}
    assert replace(finished, result=counts(handed_over=0, rejected=0)).needs() == {"lines"}


def test_only_finished_splits_hand_rows_over() -> None:
    splits = (
        KnownSplit(1, 0, 9, True, counts(handed_over=3)),
        KnownSplit(2, 9, 18, False, None),
        KnownSplit(3, 18, 27, False, counts(handed_over=4)),
    )
    assert known_file(1, "/a.csv", splits=splits).handed_over == 7


def test_headers_are_stored_under_these_names() -> None:
    assert header_to_json(HEADER) == HEADER_JSON
    assert header_from_json(HEADER_JSON) == HEADER
    assert header_to_json(None) == ""
    assert header_from_json("") is None


@given(
    st.builds(
        Header,
        delimiter=st.sampled_from(",;\t|"),
        names=st.lists(st.text(), min_size=1).map(tuple),
        columns=st.dictionaries(st.text(), st.integers(0, 99)),
        data_start=st.integers(0),
        first_line=st.integers(1),
        row_width=st.floats(0, 1e9),
        preamble_lines=st.integers(0, 20),
        early_records=st.integers(0, 20),
    )
)
def test_a_header_comes_back_as_it_was(header: Header) -> None:
    assert header_from_json(header_to_json(header)) == header


def test_counts_are_stored_under_these_names() -> None:
    result = split_result(SPLIT, handed_over=5, rejected=2)
    assert json.loads(result_to_json(result)) == json.loads(counts(handed_over=5, rejected=2))


@given(
    st.lists(st.integers(0, 10**12), min_size=7, max_size=7),
    st.lists(st.integers(0, 10**9)).map(tuple),
    st.dictionaries(st.text(), st.integers(0, 10**9)),
    st.dictionaries(st.text(), st.integers(0, 10**9)),
)
def test_counts_come_back_as_they_were(
    numbers: list[int], bucket_rows: tuple[int, ...], rejected: dict[str, int], warned: dict[str, int]
) -> None:
    result = SplitResult(SPLIT, *numbers, bucket_rows, rejected, warned)
    assert result_from_json(SPLIT, result_to_json(result)) == result


def test_counts_of_a_version_without_warning_rules_are_read() -> None:
    stored = json.loads(counts())
    del stored["warned"]
    assert result_from_json(SPLIT, json.dumps(stored)).warned == {}


@pytest.mark.parametrize(("name", "size_on_disk"), [("a.csv", 100), ("a.csv.gz", 40), ("A.CSV.ZST", 40)])
def test_a_compressed_file_has_the_size_of_its_text(name: str, size_on_disk: int) -> None:
    file = replace(known_file(1, f"/logs/{name}", size=size_on_disk), text_size=100)
    found = file.input_file(f"/moved/{name}")
    assert (found.path, found.size, found.size_on_disk) == (f"/moved/{name}", 100, size_on_disk)
    assert found.header == HEADER
    split = file.split(KnownSplit(11, 16, 50, True, None), "/moved/a")
    assert split == Split(11, "/moved/a", 100, 16, 50, True, HEADER)


@pytest.mark.parametrize(("name", "at_hand"), [("a.csv", True), ("a.csv", False), ("a.csv.gz", True)])
def test_the_ledger_of_a_known_file_counts_lines_from_its_header(name: str, at_hand: bool) -> None:
    splits = (
        KnownSplit(11, 16, 50, True, counts(lines=7, handed_over=5, rejected=2)),
        KnownSplit(12, 50, 100, False, counts(lines=4, handed_over=4, rejected=0)),
    )
    file = known_file(3, f"/logs/{name}", splits=splits, shown="old name", read_at=12.5)
    ledger = ledger_of(file, f"/moved/{name}", at_hand)
    assert [placed.first_line for placed in ledger.splits] == [2, 2 + 7]
    assert [placed.result.split.number for placed in ledger.splits] == [11, 12]
    assert (ledger.records, ledger.handed_over, ledger.rejected_by_reason.total()) == (11, 9, 2)
    assert (ledger.file.path, ledger.listed_as, ledger.file_hash) == (f"/moved/{name}", "old name", "hash")
    assert (ledger.file.header, ledger.read_at) == (HEADER, 12.5)
    assert ledger.at_hand == (at_hand and name == "a.csv"), "a record of a compressed file has no place on the disk"


def test_a_split_comes_back_with_the_headers_that_it_was_read_by() -> None:
    later = Header(";", ("b", "a"), {"log_id": 1}, 300, 0, 20.0)
    last = Header(",", ("a",), {}, 400, 0, 20.0)
    split = replace(SPLIT, header=later)
    result = replace(split_result(split), changes=(HeaderChange(50, 3, last),), repeated=True)
    found = result_from_json(SPLIT, result_to_json(result))
    assert found == result
    assert [found.header_at(offset) for offset in (0, 49, 50)] == [later, later, last]
    assert found.last_header == last


def test_a_header_with_records_before_it_comes_back() -> None:
    header = replace(HEADER, preamble_lines=4, early_records=2)
    assert header_from_json(header_to_json(header)) == header
    assert header.begin == (0, 1)
