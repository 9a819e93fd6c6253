"""Sizes and times as people write and read them."""

from datetime import datetime

import pytest

from utils.units import (
    format_ago,
    format_amount,
    format_count,
    format_list,
    format_moment,
    format_moment_shortly,
    format_seconds,
    format_size,
    parse_size,
)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0), ("1000", 1000), ("64B", 64), ("1kB", 1000), ("1KiB", 1024), ("8GB", 8 * 10**9),
        (" 8 gib ", 8 * 2**30),
        ("8G", 8 * 10**9), ("8g", 8 * 10**9), ("2Gi", 2 * 2**30), ("2 gi", 2 * 2**30), ("512M", 512 * 10**6),
        ("1.5K", 1500), ("3Ti", 3 * 2**40), ("3T", 3 * 10**12), ("1.5Gi", 1_610_612_736), ("64 Ki", 65536),
        ("1.5GB", 1_500_000_000), ("0.1GB", 100_000_000), ("2TB", 2 * 10**12), ("512MiB", 512 * 2**20),
        ("1PB", 10**15), ("2Pi", 2 * 2**50),
    ],
)  # fmt: skip
def test_sizes_are_read(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "GB", "G", "Gi", "8 G i", "8iB", "8E", "-1GB", "1,5GB", "1e9", "8 G B", "8GBs", "٣GB", "inf", "1_000"]
)
def test_anything_else_is_not_a_size(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        parse_size(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (250e6, "250 MB"), (999.7e6, "1 GB"), (3e15, "3,000.00 TB")],
)  # fmt: skip
def test_sizes_are_shown(size: float, text: str) -> None:
    assert format_size(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.421, "0.42 s"), (36.24, "36.2 s"), (59.96, "1 min 00 s"), (125, "2 min 05 s"), (3725, "1 h 02 min")],
)
def test_times_are_shown(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text


@pytest.mark.parametrize(
    ("number", "unit", "text"),
    [(1.5e9, "bytes", "1.5 GB"), (8e6, "rows", "8,000,000 rows"), (0.6, "files", "1 files"), (0, "rows", "0 rows")],
)
def test_amounts_are_shown_in_their_unit(number: float, unit: str, text: str) -> None:
    assert format_amount(number, unit) == text


def test_moments_are_written_as_people_read_them() -> None:
    moment = datetime(2026, 11, 7, 9, 3, 5)
    assert format_moment(moment) == "7 November 2026, 09:03 UTC"
    assert format_moment_shortly(moment) == "7 Nov 09:03"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "just now"), (59.9, "just now"), (60, "1 minute ago"), (3599, "59 minutes ago"), (3600, "1 hour ago"),
        (86_399, "23 hours ago"), (86_400, "1 day ago"), (1e9, "11,574 days ago"),
    ],
)  # fmt: skip
def test_ages_are_told(seconds: float, text: str) -> None:
    assert format_ago(seconds) == text


def test_numbers_of_things() -> None:
    found = [format_count(1, "file"), format_count(0, "file"), format_count(2000, "file")]
    assert found == ["1 file", "0 files", "2,000 files"]


def test_lists_say_how_many_more_there_are() -> None:
    assert format_list([], 2) == ""
    assert format_list(["a", "b"], 2) == "a, b"
    assert format_list(range(2002), 2, lambda number: f"<{number}>") == "<0>, <1> and 2,000 more"
