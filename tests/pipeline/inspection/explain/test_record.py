"""Every copy of a log_id with its place, its outcome and the rule, of files whose answers are worked out by hand."""

import os
from dataclasses import astuple, replace
from typing import Any

import pytest

from pipeline.errors import InputError
from pipeline.history.known_list import KnownFiles
from pipeline.inspection.explain.record import Destination, RecordAnswer, explain_record
from tests.harness import HEADER
from tests.pipeline.inspection.explain.conftest import FILES, VERSION, Make

START = len(HEADER)
LINE = len(FILES[0].splitlines(keepends=True)[0])
TIMES = b"2026-01-0%dT00:00:00Z"


def described(answer: RecordAnswer) -> list[tuple[object, ...]]:
    return [
        (copy.file, copy.line, copy.byte_offset, copy.minutes, copy.region, copy.outcome, copy.reason)
        for copy in answer.copies
    ]


def test_a_conflict_and_a_copy_that_phase_1_dropped(make: Make) -> None:
    answer = explain_record(make().published, "a", 20)
    assert described(answer) == [
        ("f1.csv", 2, START, 12.0, "Asia", "counts", "the longest watch time counts"),
        ("f0.csv", 2, START, 10.0, "Asia", "conflict", "10.0 min is shorter than 12.0 min"),
        (
            *("f0.csv", 3, START + LINE, 10.0, "Asia", "duplicate"),
            "same content as another copy of its file (dropped in phase 1)",
        ),
    ]
    assert answer.copies[0].raw == "a,u1,2026-01-02T00:00:00Z,v,d,1.0.0.0/24,12"
    assert answer.destination == Destination(
        "u1", "Asia", 12.0, f"out.versions/{VERSION}/data/geo_region=Asia", 12.0, 1
    )
    assert (answer.log_id, answer.version, answer.keep, answer.found) == ("a", VERSION, "longest", 3)
    assert (answer.rejected_found, answer.rejected, answer.notes) == (0, (), ())


def test_a_duplicate_of_phase_2_and_a_rejected_record(make: Make) -> None:
    answer = explain_record(make().published, "b", 20)
    assert described(answer) == [
        ("f0.csv", 4, START + 2 * LINE, 2.5, "Europe", "counts", "the first of copies with equal content"),
        (
            *("f1.csv", 3, START + LINE, 2.5, "Europe", "duplicate"),
            "same content as the copy that counts (dropped in phase 2)",
        ),
    ]
    (rejected,) = answer.rejected
    raw = "b,u1,2026-01-01T00:00:00Z,v,d,2.0.0.0/24,minus"
    place = ("f0.csv", 5, START + 3 * LINE + 1)
    assert astuple(rejected) == (*place, "watch_time_not_a_number", "watch_time(min)", "minus", raw)
    assert answer.destination == Destination(
        "u1", "Europe", 2.5, f"out.versions/{VERSION}/data/geo_region=Europe", 2.5, 1
    )


def test_a_record_without_rivals(make: Make) -> None:
    one = make([b"a,u1,,,,9.9.9.9,1\n"], totals={})
    answer = explain_record(one.published, "a", 20)
    assert described(answer) == [("f0.csv", 2, START, 1.0, "UNKNOWN", "counts", "nothing contradicts it")]
    assert answer.destination == Destination(
        "u1", "UNKNOWN", 1.0, f"out.versions/{VERSION}/data/geo_region=UNKNOWN", None, None
    )


@pytest.mark.parametrize(
    ("keep", "loser", "winner", "reason"),
    [
        ("longest", (b"u1", b"1.0.0.1", 1, b"1"), (b"u1", b"1.0.0.1", 1, b"2"), "1.0 min is shorter than 2.0 min"),
        ("longest", (b"u2", b"1.0.0.1", 1, b"1"), (b"u1", b"1.0.0.1", 1, b"1"),
         "same watch time, its user_id comes later as text"),
        ("longest", (b"u1", b"2.0.0.1", 1, b"1"), (b"u1", b"1.0.0.1", 1, b"1"),
         "same watch time, same user, its region comes later as text"),
        ("first", (b"u1", b"1.0.0.1", 2, b"9"), (b"u1", b"1.0.0.1", 1, b"1"), "its timestamp is later"),
        ("last", (b"u1", b"1.0.0.1", 1, b"9"), (b"u1", b"1.0.0.1", 2, b"1"), "its timestamp is earlier"),
        ("last", (b"u1", b"1.0.0.1", 0, b"9"), (b"u1", b"1.0.0.1", 2, b"1"), "it has no timestamp"),
        ("first", (b"u1", b"1.0.0.1", 1, b"1"), (b"u1", b"1.0.0.1", 1, b"2"),
         "same timestamp, 1.0 min is shorter than 2.0 min"),
        ("first", (b"u2", b"1.0.0.1", 1, b"1"), (b"u1", b"1.0.0.1", 1, b"1"),
         "same timestamp, same watch time, its user_id comes later as text"),
    ],
    ids=str,
)  # fmt: skip
def test_the_reason_is_the_part_of_the_rule_that_decided(
    keep: str, loser: tuple[Any, ...], winner: tuple[Any, ...], reason: str, make: Make
) -> None:
    def line(user: bytes, address: bytes, day: int, minutes: bytes) -> bytes:
        return b",".join((b"a", user, TIMES % day if day else b"", b"v", b"d", address, minutes)) + b"\n"

    answer = explain_record(make([line(*loser), line(*winner)], keep=keep, totals={}).published, "a", 20)
    assert [(copy.file, copy.outcome) for copy in answer.copies] == [("f1.csv", "counts"), ("f0.csv", "conflict")]
    assert answer.copies[1].reason == reason


def test_copies_of_files_that_do_not_count(make: Make) -> None:
    made = make(counted=[1])
    answer = explain_record(made.published, "a", 20)
    assert [(copy.file, copy.outcome, copy.reason) for copy in answer.copies] == [
        ("f0.csv", "counts", "nothing contradicts it"),
        ("f0.csv", "duplicate", "same content as another copy of its file (dropped in phase 1)"),
        ("f1.csv", "not counted", "its file was read, but counts in no version"),
    ]


def test_of_a_file_that_was_read_twice_the_copies_are_listed_once(make: Make) -> None:
    made = make(FILES[:1])
    (file,) = made.files
    history = made.published.history
    history.known = KnownFiles([*history.known, replace(file, id=9)])
    assert explain_record(made.published, "a", 20).found == 2


def test_the_limit_lists_the_copy_that_counts_first(make: Make) -> None:
    answer = explain_record(make().published, "a", 1)
    assert (answer.found, [copy.outcome for copy in answer.copies]) == (3, ["counts"])
    answer = explain_record(make([*FILES[:1], *[FILES[1]] * 3], totals={}).published, "b", 2)
    assert (answer.found, len(answer.copies), answer.copies[0].outcome) == (4, 2, "counts")


def test_a_file_that_changed_has_no_lines_and_says_so(make: Make) -> None:
    made = make()
    os.truncate(made.paths[0], START)
    answer = explain_record(made.published, "a", 20)
    assert [(copy.file, copy.line, copy.byte_offset, copy.raw) for copy in answer.copies[1:]] == [
        ("f0.csv", None, START, None)
    ]
    assert answer.notes == (
        "f0.csv: it has changed since it was read: no lines and no raw records; copies that phase 1 dropped in it "
        "cannot be shown",
    )


def test_pseudonyms_hide_the_record(make: Make) -> None:
    made = make(FILES[1:], hidden=True, totals={})
    (copy,) = explain_record(made.published, "a", 20).copies
    assert (copy.line, copy.raw) == (2, None)


def test_a_log_id_that_was_never_read(make: Make) -> None:
    with pytest.raises(InputError, match=rf"no record with this log_id was read for version {VERSION}.*capitals"):
        explain_record(make().published, "A", 20)


def test_a_log_id_that_may_be_among_records_that_cannot_be_searched(make: Make) -> None:
    published = make(hidden=True).published
    with pytest.raises(InputError, match=r"capitals matter\. But some rejected records cannot be searched by log_id"):
        explain_record(published, "A", 20)
    notes = explain_record(published, "a", 20).notes
    assert [note.partition(" cannot")[0] for note in notes] == ["some rejected records"]
