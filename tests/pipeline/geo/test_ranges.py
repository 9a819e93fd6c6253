"""Compiled tables are stored and read as they are, and a file that cannot be trusted is refused."""

from dataclasses import fields, replace
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ConfigError, EnvironmentFault
from pipeline.geo.archive import read_archive, write_archive
from pipeline.geo.ranges import CountryRanges, first_of_runs, load_ranges, read_hash, save_ranges

RANGES = CountryRanges(
    v4_start=np.array([0, 1 << 24], np.uint32),
    v4_code=np.array([0, 1], np.uint16),
    v6_hi=np.array([0, 1 << 61], np.uint64),
    v6_lo=np.array([0, 5], np.uint64),
    v6_code=np.array([0, 2], np.uint16),
    labels=("", "CN", "continent:EU"),
    build="Test 2026-01-01",
    attribution="by tests",
    database_hash="ab" * 32,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    target = tmp_path / "cache" / "table.npz"
    save_ranges(RANGES, target)
    return target


@given(st.lists(st.integers(0, 2), max_size=20))
def test_runs_begin_where_groupby_begins_them(codes: list[int]) -> None:
    lengths = [len(list(group)) for _, group in groupby(codes)]
    starts = [sum(lengths[:number]) for number in range(len(lengths))]
    assert np.flatnonzero(first_of_runs(np.array(codes, np.uint16))).tolist() == starts


def test_what_is_saved_is_loaded(path: Path) -> None:
    loaded = load_ranges(path)
    for field in fields(CountryRanges):
        found, expected = getattr(loaded, field.name), getattr(RANGES, field.name)
        if isinstance(expected, np.ndarray):
            assert found.dtype == expected.dtype
            found, expected = found.tolist(), expected.tolist()
        assert found == expected
    assert read_hash(path) == "ab" * 32


def test_equal_ranges_give_equal_bytes(path: Path, tmp_path: Path) -> None:
    save_ranges(replace(RANGES), tmp_path / "other.npz")
    assert (tmp_path / "other.npz").read_bytes() == path.read_bytes()


CHANGES = {
    "v4_code": np.array([1, 1], np.uint16),
    "v6_lo": np.array([0, 6], np.uint64),
    "v6_hi": np.array([0, 1 << 61], np.int64),  # the same bytes, of another type
    "labels": ["", "CN", "continent:AS"],
    "build": "Test 2026-01-02",
    "attribution": "",
    "database_hash": "cd" * 32,
}


@pytest.mark.parametrize(("name", "value"), CHANGES.items(), ids=CHANGES)
def test_any_other_content_does_not_match_the_checksum(path: Path, name: str, value: object) -> None:
    """The archive is whole here: only the checksum of the content can notice."""
    notes, arrays = read_archive(path)
    if isinstance(value, np.ndarray):
        arrays[name] = value
    else:
        assert notes[name] != value
        notes[name] = value
    write_archive(path, notes, arrays, compressed=True)
    with pytest.raises(ConfigError, match="does not match its checksum"):
        load_ranges(path)


@pytest.mark.parametrize("read", [load_ranges, read_hash])
def test_another_format_is_refused_with_both_numbers(path: Path, read) -> None:
    notes, arrays = read_archive(path)
    write_archive(path, notes | {"format": 99}, arrays, compressed=True)
    with pytest.raises(ConfigError, match="format 99, expected 1") as raised:
        read(path)
    assert str(path) in str(raised.value)
    assert "delete the file" in str(raised.value)


@pytest.mark.parametrize("read", [load_ranges, read_hash])
def test_a_missing_or_damaged_file_is_refused(path: Path, read) -> None:
    for damage in (lambda: path.write_bytes(b"x"), path.unlink):
        damage()
        with pytest.raises(ConfigError, match="Geo table: cannot read"):
            read(path)


def test_a_folder_that_cannot_be_written_is_an_environment_fault(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EnvironmentFault, match=r"Geo cache: cannot write .*table\.npz"):
        save_ranges(RANGES, tmp_path / "file" / "table.npz")
