"""Timestamps against datetime, DuckDB and the reference: every form, patterns, and the order of moments."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import duckdb
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.reading.timestamps import moments
from tests import reference
from tests.examples import tries

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
BASIC = [
    *("2026-01-01T00:00:00Z", "2024-02-29 23:59:60.5", "1767225600", "1969-12-31T23:59:59.9-0530"),
    *("20260101T000000Z", "2026-01-01t00:00+05", "20260101T0000", "2026-01-01 00:00:00,25"),
    *("2026-01-01 00:00:00 UTC", "2026-01-01 00:00:00.123456789 +0000", "1767225600123456789", "1767225600123.4567"),
    *("2026-01-01T00:00:00+01:00[Europe/Berlin]", "2026-01-01 00:00:00 +0100 CET", "2026-01-01 00:00:00 GMT+01:00"),
]


def read(texts: Sequence[str | None], *patterns: str) -> list[int | None]:
    return moments(pl.Series(texts, dtype=pl.String), patterns).to_list()


def nanoseconds(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1) * 1000


exact_moments = st.datetimes(datetime(1700, 1, 2), datetime(2249, 12, 30))
zones = st.integers(-23 * 60 - 59, 23 * 60 + 59)


stamps = st.tuples(
    exact_moments, st.one_of(st.none(), zones), st.sampled_from("T "), st.text("0123456789", max_size=12), st.booleans()
)


@tries(30)
@given(st.lists(stamps, min_size=1, max_size=30))
def test_iso_timestamps_are_what_datetime_says(parts: list[tuple[datetime, int | None, str, str, bool]]) -> None:
    texts, expected = zip(*(written(*part) for part in parts), strict=True)
    assert read(texts) == list(expected)


def written(moment: datetime, offset: int | None, between: str, fraction: str, colon: bool) -> tuple[str, int]:
    """(text of a timestamp, its nanoseconds)."""
    moment = moment.replace(microsecond=0)
    zone = "" if offset is None else f"{'-' if offset < 0 else '+'}{abs(offset) // 60:02d}:{abs(offset) % 60:02d}"
    text = moment.strftime("%m-%d") + between + moment.strftime("%H:%M:%S") + "." * bool(fraction) + fraction
    text = f"{moment.year:04d}-{text}{zone if colon else zone.replace(':', '')}"
    aware = moment.replace(tzinfo=timezone(timedelta(minutes=offset or 0)))
    return text, nanoseconds(aware) + int(fraction[:9].ljust(9, "0"))


@tries(50)
@given(st.lists(st.tuples(st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)), st.integers(0, 999)), min_size=2))
def test_moments_of_all_years_are_in_the_order_of_time(stamps: list[tuple[datetime, int]]) -> None:
    """To the nanosecond from 1700 to 2249, elsewhere to the microsecond."""
    stamps = sorted((when, nano if 1700 <= when.year < 2250 else 0) for when, nano in stamps)
    found = read([f"{when.year:04d}-{when:%m-%dT%H:%M:%S.%f}{nano:03d}" for when, nano in stamps])
    for (before, after), (low, high) in zip(pairwise(stamps), pairwise(found), strict=True):
        assert low is not None
        assert high is not None
        assert (low < high) == (before < after)
        assert (low == high) == (before == after)


@tries(50)
@given(st.lists(st.from_regex(r"-?[0-9]{1,19}(\.[0-9]{1,12})?", fullmatch=True), min_size=1, max_size=30))
def test_numbers_are_seconds_or_parts_of_them_by_their_digits(texts: list[str]) -> None:
    texts = [text for text in texts if text.isascii()]
    assert read(texts) == [reference.moment(text) for text in texts]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1795903200", 1795903200 * 10**9),
        ("1795903200000", 1795903200 * 10**9),
        ("1795903200000001", 1795903200 * 10**9 + 1000),
        ("1795903200000000001", 1795903200 * 10**9 + 1),
        ("1795903200.000000001", 1795903200 * 10**9 + 1),
        ("1795903200000.000001", 1795903200 * 10**9 + 1),
        ("1795903200000000.001", 1795903200 * 10**9 + 1),
        ("1795903200000000001.9", 1795903200 * 10**9 + 1),
        ("-0.5", -5 * 10**8),
        ("-1.000000001", -(10**9) - 1),
        ("2026-11-28 22:00:00 UTC", 1795903200 * 10**9),
        ("2026-11-28 22:00:00.000000001 UTC", 1795903200 * 10**9 + 1),
        ("2026-11-28 22:00:00Z", 1795903200 * 10**9),
        ("2026-11-28 23:00:00 +01", 1795903200 * 10**9),
        ("2026-11-28T23:00:00.0+01:00[Europe/Berlin]", 1795903200 * 10**9),
        ("2026-11-28T22:00:00Z[UTC]", 1795903200 * 10**9),
        ("2026-11-28 22:00 GMT", 1795903200 * 10**9),
        ("2026-11-28 17:00:00 -0500 EST", 1795903200 * 10**9),
        ("2026-11-28T22:00:00.0000000019", 1795903200 * 10**9 + 1),
        ("20261128220000", 1795903200 * 10**9),
        ("20261128220000.000000001", 1795903200 * 10**9 + 1),
        ("20261128230000+0100", 1795903200 * 10**9),
        ("20261128220000Z", 1795903200 * 10**9),
        ("20261128220000007", 1795903200 * 10**9 + 7 * 10**6),
        ("20261128", (1795903200 - 22 * 3600) * 10**9),
    ],
)
def test_forms_by_hand(text: str, expected: int) -> None:
    assert read([text]) == [expected]
    assert reference.moment(text) == expected


@st.composite
def damaged(draw: st.DrawFn) -> str:
    text, place = draw(st.sampled_from(BASIC)), draw(st.integers(0, 40))
    put = draw(st.text(st.sampled_from("019 -+:.,TtZzUTCé[]\n"), max_size=3))
    return text[:place] + put + text[place + draw(st.integers(0, 3)) :]


@tries(60)
@given(st.lists(damaged(), min_size=1, max_size=30))
def test_timestamps_with_damage_equal_the_rule(texts: list[str]) -> None:
    assert read(texts) == [reference.moment(text) for text in texts]


@pytest.mark.parametrize(
    "text",
    [
        *("2023-06-01T10:00Z", "2023-06-01T10:00", "20230601T100000Z", "20230601T1000Z", "2023-06-01t10:00:00z"),
        *("2023-06-01T12:00:00+02", "2023-06-01T12:00+0200", "2023-06-01T10:00:00,000Z", "20230601T050000-05"),
    ],
)
def test_less_common_forms_of_iso(text: str) -> None:
    assert read([text]) == [1_685_613_600_000_000_000]


@pytest.mark.parametrize(
    "text",
    [
        *("", "soon", "2026-02-30", "2026-13-01", "2026-1-1", "26-01-01", "12026-01-01T00:00:00", " 2026-01-01"),
        *("2026-01-01 ", "2026-01-01T25:00:00", "2026-01-01T00:00:00+25:00", "2026-01-01  00:00:00", "1e9"),
        *("17959032", "17959032.5", "20261328", "20261128250000", "20261128226000000", "-20261128"),
        *("12345678901234567890", "--5", "NaN", "0000-00-00 00:00:00", "0000-01-01", "2026-01-01 00:00:00 CET"),
        *("2026-01-01 00:00:00  UTC", "2026-01-01T00:00:00[Europe/Berlin]", "11/28/2026 10:00 PM", "28.11.2026 22:00"),
        # Found by make fuzz: minutes with a colon behind them were read as if seconds had been left out.
        *("2026-01-01T00:00:Z", "2026-01-01T00:00:", "2026-01-01 00:00:+01:00", "20260101T0000:", "20260101T0000:Z"),
    ],
)
def test_what_is_no_timestamp_is_null(text: str) -> None:
    assert read([text, None, "1970-01-01"]) == [None, None, 0]


PATTERNS = {
    "%m/%d/%Y %I:%M %p": ("11/28/2026 10:00 PM", "2026-11-28T22:00:00"),
    "%d.%m.%Y %H:%M": ("28.11.2026 22:00", "2026-11-28T22:00:00"),
    "%d/%b/%Y:%H:%M:%S %z": ("28/Nov/2026:23:00:00 +0100", "2026-11-28T22:00:00"),
    "%a %b %d %H:%M:%S %Y": ("Sat Nov 28 22:00:00 2026", "2026-11-28T22:00:00"),
    "%B %d, %Y %I:%M:%S.%f %p": ("November 28, 2026 12:00:00.000000001 AM", "2026-11-28T00:00:00.000000001"),
    "%y%m%d%H%M%S": ("261128220000", "2026-11-28T22:00:00"),
    "%Y%m%d%H%M%S": ("20261128220000", "2026-11-28T22:00:00"),
    "%Y-%j %T": ("2026-332 22:00:00", "2026-11-28T22:00:00"),
    "%D %R": ("11/28/26 22:00", "2026-11-28T22:00:00"),
    "%Y/%m/%d": ("2026/11/28", "2026-11-28"),
    "%F %T %Z": ("2026-11-28 22:00:00 gmt", "2026-11-28T22:00:00"),
    "%%%s": ("%1795903200", "2026-11-28T22:00:00"),
    "%s,%f": ("1795903200,000000001", "2026-11-28T22:00:00.000000001"),
    "[%d-%m-%y] (%H.%M)": ("[28-11-26] (22.00)", "2026-11-28T22:00:00"),
    "%d %b %y %H:%M": ("5  nov 68 1:02", "2068-11-05T01:02:00"),
}


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_reads_its_own_form_before_the_usual_ones(pattern: str) -> None:
    text, iso = PATTERNS[pattern]
    others = ["2026-11-28T22:00:00Z", "1795903200", "rubbish", None]
    assert read([text, *others], pattern) == [reference.moment(iso), 1795903200 * 10**9, 1795903200 * 10**9, None, None]
    assert read([text, *others], "%d-%Y-%m", pattern)[0] == reference.moment(iso)


@tries(30)
@given(
    st.lists(st.datetimes(datetime(1969, 1, 1), datetime(2068, 12, 31)), min_size=1, max_size=20),
    st.sampled_from(["%m/%d/%Y %I:%M:%S %p", "%d.%m.%y %H:%M:%S.%f", "%Y %j %H%M%S", "%A %d %B %Y %H:%M:%S", "%c"]),
)
def test_patterns_are_those_of_strptime(moments: list[datetime], pattern: str) -> None:
    pattern = pattern.replace("%c", "%a %b %d %H:%M:%S %Y")
    texts = [moment.strftime(pattern) for moment in moments]
    expected = [nanoseconds(datetime.strptime(text, pattern).replace(tzinfo=UTC)) for text in texts]
    assert read(texts, pattern) == expected


def test_patterns_agree_with_duckdb() -> None:
    texts = [f"{month}/{day}/2026 {hour}:0{day % 10} {half}" for month in (1, 2, 12) for day in (1, 9, 28)
             for hour in (1, 11, 12) for half in ("AM", "PM")]  # fmt: skip
    query = "select epoch_ns(strptime(text, '%m/%d/%Y %I:%M %p')) from (select unnest(?) as text)"
    assert read(texts, "%m/%d/%Y %I:%M %p") == [row[0] for row in duckdb.execute(query, [texts]).fetchall()]


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("%d.%m.%Y", "30.02.2026"),
        ("%d.%m.%Y", "29.02.2026"),
        ("%d.%m.%Y", "1.13.2026"),
        ("%d.%m.%Y", "01.01.26"),
        ("%d.%m.%Y", " 01.01.2026"),
        ("%Y-%j", "2026-366"),
        ("%m/%d/%Y %I:%M %p", "11/28/2026 22:00 PM"),
        ("%d.%m.%Y %H:%M", "28.11.2026 22:60"),
        ("%d.%m.%Y", "28a11b2026"),
    ],
)
def test_what_a_pattern_does_not_read_is_null(pattern: str, text: str) -> None:
    assert read([text], pattern) == [None]
