"""Quarantines go when the version that they belong to is too old by its own name."""

import calendar
import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline.native.arrow import to_table
from pipeline.preprocess.reject_writer import SCHEMA
from pipeline.versions.quarantine_retention import forget_texts, remove_expired

NOON = calendar.timegm((2026, 11, 21, 12, 0, 0))


def test_only_expired_quarantines_go(tmp_path: Path) -> None:
    names = ["20261120T120000Z-aaaaaa", "20261119T120000Z-bbbbbb", "20261119T115959Z-cccccc", "20200101T000000Z-dddddd"]
    for name in [*names, "mine", ".new-20200101T000000Z-eeeeee"]:
        (tmp_path / name / "quarantine").mkdir(parents=True)
        (tmp_path / name / "quarantine" / "rejected.parquet").touch()
        (tmp_path / name / "run.json").touch()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "20200102T000000Z-ffffff").mkdir()
    os.symlink(elsewhere, tmp_path / "20200102T000000Z-ffffff" / "quarantine")
    os.utime(tmp_path / names[3], ns=(10**9, 10**9))
    assert remove_expired(tmp_path, 2, NOON) == [names[3], names[2]]
    assert {path.parent.parent.name for path in tmp_path.glob("**/rejected.parquet")} == {
        *names[:2], "mine", ".new-20200101T000000Z-eeeeee"
    }  # fmt: skip
    assert elsewhere.exists()
    assert all((tmp_path / name / "run.json").exists() for name in names)
    assert (tmp_path / names[3]).stat().st_mtime_ns == 10**9, "the order of versions stays"
    assert remove_expired(tmp_path, 2, NOON) == []


@pytest.mark.parametrize("texts", [("value", "raw"), ("value",), ("raw",), ()])
def test_texts_go_and_places_stay(texts: tuple[str, ...], tmp_path: Path) -> None:
    path = tmp_path / "split-000001.parquet"
    rows = {name: [None] * 5 for name in SCHEMA.names} | {"line": [2, 3, 5, 7, 11], "reason": ["field_count"] * 5}
    rows |= {name: [None, None, None, None, b"x" if name == "raw" else "x"] for name in texts}
    with pq.ParquetWriter(path, SCHEMA) as writer:
        for first in range(0, 5, 2):
            writer.write_table(to_table(rows, SCHEMA).slice(first, 2))
    before = path.stat().st_ino
    assert forget_texts(path) == bool(texts)
    assert forget_texts(path) is False
    assert (path.stat().st_ino == before) == (not texts), "a file that holds none is left alone"
    assert pq.read_table(path).to_pydict() == rows | {name: [None] * 5 for name in ("value", "raw")}
    assert pq.read_schema(path) == SCHEMA
    assert [path.name] == [entry.name for entry in tmp_path.iterdir()]
