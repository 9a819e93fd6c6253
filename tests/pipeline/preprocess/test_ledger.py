"""Ledgers add up their splits, and balance where every record is accounted for."""

import math
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from pipeline.preprocess.ledger import FileLedger, PackedLedgers, Phase1Result, PlacedSplit, pack_many
from pipeline.preprocess.tasks import SplitResult
from pipeline.reading.header import Header
from pipeline.reading.input_files import InputFile
from pipeline.reading.splits import Split

HEADER: Any = Header(",", ("a",), {"log_id": 0}, 10, 4, 20.0, preamble_lines=2)


def placed(number: int, **more: Any) -> PlacedSplit:
    split = Split(number, "f.csv", 100, 0, 100, True, HEADER)
    result = SplitResult(split, 0, 100, 10, 1, 11, 2, 5, (5,), Counter({"bad": 2, "worse": 1}), {"odd": 4})
    return PlacedSplit(replace(result, **more), 4)


def ledger(path: str, *splits: PlacedSplit) -> FileLedger:
    return FileLedger(InputFile(path, (100, 0, 0), HEADER), splits, "hash")


def test_a_file_is_the_sum_of_its_splits() -> None:
    found = ledger("f.csv", placed(1), placed(2, rejected_by_reason={"bad": 3}, warned={"odd": 1, "other": 2}))
    assert (found.records, found.duplicates, found.handed_over, found.blank_lines) == (20, 4, 10, 2)
    assert found.rejected_by_reason == {"bad": 5, "worse": 1}
    assert found.warned == {"odd": 5, "other": 2}
    assert found.preamble_lines == 2, "the header is on line 3"
    assert found.balances()
    assert found.read_at == math.inf


def test_a_file_without_splits_is_empty() -> None:
    empty = FileLedger(InputFile("f.csv", (0, 0, 0), None))
    assert (empty.records, empty.handed_over, empty.preamble_lines) == (0, 0, 0)
    assert empty.rejected_by_reason == {}
    assert empty.balances()


@pytest.mark.parametrize("count", ["records", "duplicates", "handed_over"])
def test_one_record_more_or_less_does_not_balance(count: str) -> None:
    for amount in (-1, 1):
        wrong = placed(1, **{count: getattr(placed(1).result, count) + amount})
        assert not wrong.result.balances()
        assert not ledger("f.csv", placed(0), wrong).balances()
    assert placed(1).result.balances()
    assert not placed(1, rejected_by_reason={"bad": 2}).result.balances()


def test_results_take_in_more_files_in_order_of_their_paths() -> None:
    first = Phase1Result((ledger("b", placed(1)),), {"x": "why"}, 3)
    more = first.counting([ledger("c", placed(3)), ledger("a", placed(2))]).refusing({"y": "because"})
    assert [found.file.path for found in more.ledgers] == ["a", "b", "c"]
    assert [split.result.split.number for split in more.splits] == [2, 1, 3]
    assert more.counts.handed_over == 15
    assert (more.refused, more.resumed_splits) == ({"x": "why", "y": "because"}, 3)
    assert (len(first.ledgers), first.refused) == (1, {"x": "why"}), "the result before is as it was"


def test_a_result_is_the_sum_of_its_files() -> None:
    odd = {"undated": 3, "over_a_day": 2, "likely": {"X = 1": 4}, "warned": {"odd": 1, "other": 2}}
    counts = Phase1Result((ledger("a", placed(1), placed(2, **odd)), ledger("b", placed(3)), ledger("c"))).counts
    assert (counts.splits, counts.bytes, counts.preamble_lines, counts.changes) == (3, 300, 6, 0)
    assert (counts.records, counts.duplicates, counts.handed_over, counts.blank_lines) == (30, 6, 15, 3)
    assert (counts.undated, counts.over_a_day, counts.likely) == (3, 2, {"X = 1": 4})
    assert (counts.rejected, counts.warned) == ({"bad": 6, "worse": 3}, {"odd": 9, "other": 2})


def test_many_ledgers_are_packed_and_are_the_same_again() -> None:
    def made(number: int) -> FileLedger:
        splits = tuple(
            PlacedSplit(replace(piece.result, split=replace(piece.result.split, path=f"{number:05}")), piece.first_line)
            for piece in (placed(number), placed(number + 10_000, rejected_by_reason={}, bucket_rows=(5, number)))
        )
        rest = {"at_hand": number % 2 == 0, "listed_as": "x", "read_at": float(number)}
        return replace(ledger(f"{number:05}", *splits), **rest)

    few, many = pack_many(map(made, range(10))), pack_many(map(made, reversed(range(1_500))))
    assert few == tuple(map(made, range(10)))
    assert isinstance(many, PackedLedgers)
    assert len(many) == 1_500
    assert list(many) == list(map(made, range(1_500)))
    assert many[7] == made(7)
    assert [file.path for file in Phase1Result(many).files] == [f"{number:05}" for number in range(1_500)]
    assert list(many[3:5]) == [made(3), made(4)]
    first = next(iter(many))
    assert first.file.header is first.splits[0].result.split.header
    together = Phase1Result(many).counting([made(1_600), made(1_550)])
    assert [found.file.path for found in together.ledgers][-3:] == ["01499", "01550", "01600"]
    assert together.counts.handed_over == 10 * 1_502
    assert len(list(together.splits)) == len(list(together.splits)) == 2 * 1_502
