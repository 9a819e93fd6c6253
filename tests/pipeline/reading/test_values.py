"""Watch times, blanks, repeated headers and timestamps against rules written apart: decimals and datetimes."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import ROUND_HALF_EVEN, Decimal, localcontext

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.reading.values import blank_rows, epoch_micros, exact_micro_minutes, micro_minutes, repeated_header_rows
from tests import reference

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

digits = st.text("0123456789", min_size=1, max_size=25)
exponents = st.one_of(st.just(""), st.integers(-12, 12).map("E{}".format), st.integers(-330, 330).map("e{:+d}".format))
numbers = st.one_of(
    st.builds("{}{}.{}{}".format, st.sampled_from(["", "", "+", "-"]), digits, digits, exponents),
    st.builds("{}{}".format, digits, exponents),
    st.builds(".{}".format, digits),
    st.builds("{}.{:06d}5".format, st.integers(0, 10**9), st.integers(0, 999_999)),
    st.builds("{}.{:06d}{}".format, st.integers(10**9 - 3, 10**9 + 1), st.integers(0, 999_999), digits),
    st.builds("{}.{:06d}5{}1".format, st.integers(0, 10**9), st.integers(0, 999_999), st.text("0", max_size=30)),
    st.builds("{}.{:06d}4{}".format, st.integers(0, 10**9), st.integers(0, 999_999), st.text("9", max_size=30)),
    st.floats(0, 2e9).map(repr),
    st.floats(0, 1e-5).map(repr),
)
texts = st.text(st.sampled_from("0123456789.eE+-_ ,infaNx'\t٣１²\u00a0"), max_size=8)


def by_decimal(text: str) -> int | None:
    """Micro-minutes of a text that Decimal takes, or None where it is out of range."""
    with localcontext() as context:
        context.prec = 2000
        number = Decimal(text)
        if not 0 <= number <= 10**9:
            return None
        return int((number * 1_000_000).quantize(Decimal(1), ROUND_HALF_EVEN))


@settings(max_examples=1500)
@given(numbers)
def test_exact_watch_time_is_the_decimal_rounded_half_even(text: str) -> None:
    value, reason = exact_micro_minutes(text)
    assert (None if reason else value) == by_decimal(text)


@settings(max_examples=300)
@given(st.lists(st.one_of(numbers, texts), min_size=1, max_size=60))
def test_vectorised_watch_times_equal_the_rule(column: list[str]) -> None:
    values, reasons = micro_minutes(pl.Series(column, dtype=pl.String))
    found = [(int(value), reasons.get(row)) for row, value in enumerate(values)]
    assert found == [exact_micro_minutes(text) for text in column]
    assert found == [reference.micro_minutes(text) for text in column]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("-0", 0),
        ("-0.000e5", 0),
        ("+1.5", 1_500_000),
        ("1.", 1_000_000),
        (".5", 500_000),
        ("1E-6", 1),
        ("0.0000005", 0),
        ("0.0000015", 2),
        ("0.00000050000000000000000000001", 1),
        ("1e9", 10**15),
        ("1000000000.000", 10**15),
        ("1e-999999999999", 0),
        ("0e999999999999", 0),
        ("0.000000000000000000000000000001e36", 10**12),
        ("8.5000005", 8_500_000),
        ("999999999.9999995", 10**15),
        ("0" * 300 + "7", 7_000_000),
    ],
)
def test_valid_watch_times(text: str, expected: int) -> None:
    assert exact_micro_minutes(text) == (expected, None)
    values, reasons = micro_minutes(pl.Series([text]))
    assert (values.tolist(), reasons) == ([expected], {})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "watch_time_missing"),
        ("  ", "watch_time_missing"),
        *((text, "watch_time_not_a_number") for text in ("NaN", "inf", "-inf", "Infinity", "12,5", "abc", " 1", "1 ")),
        *((text, "watch_time_not_a_number") for text in ("1_0", "0x10", "1e", "e5", ".", "+", "--1", "1\r", "٣", "1f")),
        ("-5", "watch_time_negative"),
        ("-1e-400", "watch_time_negative"),
        ("1e999", "watch_time_too_large"),
        ("1e99999999999999999999", "watch_time_too_large"),
        ("1000000000.0000001", "watch_time_too_large"),
        ("1000000000.00000000000000000000000001", "watch_time_too_large"),
    ],
)
def test_rejected_watch_times(text: str, reason: str) -> None:
    assert exact_micro_minutes(text) == (0, reason)
    values, reasons = micro_minutes(pl.Series([text]))
    assert (values.tolist(), reasons) == ([0], {0: reason})


def test_blank_is_empty_or_white_space_of_any_script() -> None:
    column = ["", " ", "\t", "\u00a0", "\u2003\u3000", "\u0085", "a", " a ", "\u200b", "\ufeff", "é", "0", "!", "\x7f"]
    assert blank_rows(pl.Series(column)) == [0, 1, 2, 3, 4, 5]


@given(st.lists(st.text(st.one_of(st.sampled_from(reference.WHITE_SPACE), st.characters()), max_size=3), max_size=20))
def test_blank_rows_equal_the_rule(column: list[str]) -> None:
    column = [text.encode("utf-8", "replace").decode() for text in column]
    expected = [row for row, text in enumerate(column) if not text.strip(reference.WHITE_SPACE)]
    assert blank_rows(pl.Series(column, dtype=pl.String)) == expected


def test_repeated_header_is_every_name_in_its_own_column() -> None:
    columns = {
        "log_id": pl.Series(["id", "\ufeffid", "id", "user", "x"]),
        "user_id": pl.Series(["user", "user", "u", "id", "user"]),
    }
    assert repeated_header_rows(columns, {"log_id": "id", "user_id": "user"}) == [0, 1]
    assert repeated_header_rows({"log_id": pl.Series([], dtype=pl.String)}, {"log_id": "id"}) == []


moments = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30))
zones = st.integers(-23 * 60 - 59, 23 * 60 + 59)


@settings(max_examples=300)
@given(moments, st.one_of(st.none(), zones), st.sampled_from("T "), st.integers(0, 9), st.booleans())
def test_iso_timestamps_are_what_datetime_says(
    moment: datetime, offset: timezone | None, between: str, precision: int, colon: bool
) -> None:
    fraction = f"{moment.microsecond:06d}000"[:precision]
    moment = moment.replace(microsecond=int(fraction[:6].ljust(6, "0")))
    zone = "" if offset is None else f"{'-' if offset < 0 else '+'}{abs(offset) // 60:02d}:{abs(offset) % 60:02d}"
    text = moment.strftime("%m-%d") + between + moment.strftime("%H:%M:%S") + "." * bool(fraction) + fraction
    text = f"{moment.year:04d}-{text}{zone if colon else zone.replace(':', '')}"
    aware = moment.replace(tzinfo=timezone(timedelta(minutes=offset or 0)))
    assert epoch_micros(pl.Series([text])).to_list() == [(aware - EPOCH) // timedelta(microseconds=1)]


@given(st.integers(-(10**14) + 1, 10**14 - 1), st.text("0123456789", max_size=6))
def test_epoch_numbers_are_seconds_or_milliseconds_by_their_digits(number: int, fraction: str) -> None:
    text = f"{number}.{fraction}" if fraction else str(number)
    scale = 1_000_000 if len(str(abs(number))) <= 11 else 1_000
    assert epoch_micros(pl.Series([text])).to_list() == [int(Decimal(text) * scale)]


@settings(max_examples=300)
@given(
    st.sampled_from(
        [
            *("2026-01-01T00:00:00Z", "2024-02-29 23:59:60.5", "1767225600", "1969-12-31T23:59:59.9-0530"),
            *("20260101T000000Z", "2026-01-01t00:00+05", "20260101T0000", "2026-01-01 00:00:00,25"),
        ]
    ),
    st.integers(0, 25),
    st.integers(0, 3),
    st.text(st.sampled_from("019 -+:.,TtZzé\n"), max_size=3),
)
def test_timestamps_with_damage_equal_the_rule(text: str, place: int, gone: int, put: str) -> None:
    text = text[:place] + put + text[place + gone :]
    if not text.startswith("0000"):  # a year of ISO 8601 that datetime does not have
        assert epoch_micros(pl.Series([text])).to_list() == [reference.epoch_micros(text)]


@pytest.mark.parametrize(
    "text",
    [
        *("2023-06-01T10:00Z", "2023-06-01T10:00", "20230601T100000Z", "20230601T1000Z", "2023-06-01t10:00:00z"),
        *("2023-06-01T12:00:00+02", "2023-06-01T12:00+0200", "2023-06-01T10:00:00,000Z", "20230601T050000-05"),
    ],
)
def test_less_common_forms_of_iso(text: str) -> None:
    assert epoch_micros(pl.Series([text])).to_list() == [1_685_613_600_000_000]


@pytest.mark.parametrize(
    "text",
    [
        *("", "soon", "2026-02-30", "2026-13-01", "2026-1-1", "26-01-01", "12026-01-01T00:00:00", " 2026-01-01"),
        *("2026-01-01 ", "2026-01-01T25:00:00", "2026-01-01T00:00:00+25:00", "2026-01-01  00:00:00", "1e9"),
        *("123456789012345", "--5", "NaN"),
        # Found by make fuzz: minutes with a colon behind them were read as if seconds had been left out.
        *("2026-01-01T00:00:Z", "2026-01-01T00:00:", "2026-01-01 00:00:+01:00", "20260101T0000:", "20260101T0000:Z"),
    ],
)
def test_what_is_no_timestamp_is_null(text: str) -> None:
    assert epoch_micros(pl.Series([text, "1970-01-01"])).to_list() == [None, 0]
