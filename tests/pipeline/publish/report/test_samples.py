"""Samples of rejected records: shapes, never texts."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.preprocess.reject_writer import SCHEMA
from pipeline.publish.report import samples
from pipeline.publish.report.samples import Sample, find_samples, shape


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12,5", "99,9"),
        ("-5", "-9"),
        ("NaN", "NaN"),
        ("null", "null"),
        ("user_17@example.org", "xxxx_99@xxxxxxx.xxx"),
        ("Ünïcödé ٣", "xxxxxxx 9"),
        ("a\x00\u202eb", "x\\x00\\u202ex"),
        ("1" * 101, "9" * 100 + "…"),
    ],
)
def test_samples_show_shapes_only(text: str, expected: str) -> None:
    assert shape(text) == expected


def test_samples_are_the_first_of_each_reason(tmp_path: Path) -> None:
    rows = [
        {"file": "f", "line": n, "reason": "a", "column": "c", "value": f"v{n}", "raw": b"secret"}
        if n % 100
        else {"file": "f", "line": n, "reason": "b", "raw": b"id-1,\xff9\n"}
        for n in range(1000)
    ]
    path = tmp_path / "rejected.parquet"
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), path, row_group_size=64)
    found = find_samples(path, {"a": 990, "b": 10})
    assert found["a"] == [Sample("f", n, "c", "x9") for n in (1, 2, 3)]
    assert found["b"] == [Sample("f", n, "", "xx-9,\ufffd9\\n") for n in (0, 100, 200)]


@given(st.text(max_size=150))
def test_no_letter_and_no_digit_of_a_text_is_left(text: str) -> None:
    if text.lower() in {"nan", "inf", "infinity", "null", "none", "n/a", "true", "false"}:
        return
    found = shape(text)
    assert found.isprintable()
    if text.isprintable():
        assert {char for char in found if char.isalnum()} <= {"x", "9"}
        assert len(found) == min(len(text), 101)  # the last one says that the text goes on


def test_a_search_ends_where_nothing_is_wanted_any_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"file": "f", "line": n, "reason": "late" if n == 99 else "early", "raw": b"1"} for n in range(100)]
    path = tmp_path / "rejected.parquet"
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), path, row_group_size=10)
    assert [sample.line for sample in find_samples(path, {"early": 99, "late": 1})["late"]] == [99]
    monkeypatch.setattr(samples, "_MAX_ROW_GROUPS", 9)
    assert find_samples(path, {"early": 99, "late": 1})["late"] == []
    assert find_samples(path, {}) == {}
