"""Watch times of every unit and format against rules written apart: decimals, fractions, DuckDB."""

from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from fractions import Fraction

import duckdb
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.reading.value_formats import ValueFormats
from pipeline.reading.watch_times import exact_micro_minutes, likely_formats, micro_minutes
from tests import reference
from tests.examples import tries

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


@tries(1500)
@given(numbers)
def test_exact_watch_time_is_the_decimal_rounded_half_even(text: str) -> None:
    value, reason = exact_micro_minutes(text)
    assert (None if reason else value) == by_decimal(text)


@tries(300)
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


UNITS = {"minutes": 1, "seconds": 60, "milliseconds": 60_000, "microseconds": 60_000_000}


def by_fraction(minutes: Fraction) -> int | None:
    """Micro-minutes rounded half-even (as ``round`` does), or None where the time is out of range."""
    return round(minutes * 10**6) if 0 <= minutes <= 10**9 else None


def converted(texts: list[str], formats: ValueFormats) -> list[int | None]:
    """What both functions make of the texts; None for an invalid one."""
    values, reasons = micro_minutes(pl.Series(texts, dtype=pl.String), formats)
    found = [(int(value), reasons.get(row)) for row, value in enumerate(values)]
    assert found == [exact_micro_minutes(text, formats) for text in texts]
    return [None if reason else value for value, reason in found]


@pytest.mark.parametrize("unit", UNITS)
@tries(40)
@given(data=st.data())
def test_a_unit_is_converted_as_a_fraction(unit: str, data: st.DataObject) -> None:
    per_minute = UNITS[unit]
    ties = st.integers(0, 10**9).map(lambda n: Fraction(2 * n + 1, 2 * 10**6) * per_minute)
    decimals = ties.filter(lambda tie: set(_primes(tie.denominator)) <= {2, 5}).map(_as_decimal)
    texts = data.draw(st.lists(st.one_of(numbers, decimals, st.integers(0, 10**17).map(str)), min_size=1, max_size=20))
    expected = [by_fraction(Fraction(text) / per_minute) if _small(text) else None for text in texts]
    found = converted(texts, ValueFormats(unit=unit))
    assert [value for text, value in zip(texts, found, strict=True) if _small(text)] == [
        value for text, value in zip(texts, expected, strict=True) if _small(text)
    ]


def _small(text: str) -> bool:
    """Whether a fraction of the text is not too large to compute."""
    return abs(int(text.lower().partition("e")[2] or 0)) < 100


def _primes(number: int) -> list[int]:
    return [prime for prime in range(2, 62) if number % prime == 0 and all(prime % less for less in range(2, prime))]


def _as_decimal(number: Fraction) -> str:
    with localcontext() as context:
        context.prec = 100
        return format(Decimal(number.numerator) / Decimal(number.denominator), "f")


@pytest.mark.parametrize(
    ("unit", "text", "expected"),
    [
        ("seconds", "60", 1_000_000),
        ("seconds", "1", 16_667),
        ("seconds", "2", 33_333),
        ("seconds", "0.00003", 0),  # half a micro-minute: to the even one
        ("seconds", "0.00009", 2),
        ("seconds", "0.0000300000000000000000000000000000000001", 1),
        ("seconds", "60000000000", 10**15),
        ("seconds", "60000000000.00000000000001", None),
        ("seconds", "1e-9", 0),
        ("seconds", "+3.6e3", 60_000_000),
        ("milliseconds", "90000", 1_500_000),
        ("milliseconds", "0.03", 0),
        ("milliseconds", "0.09", 2),
        ("milliseconds", "60000000000000", 10**15),
        ("milliseconds", "60000000000001", None),
        ("microseconds", "30", 0),
        ("microseconds", "90", 2),
        ("microseconds", "150", 2),
        ("microseconds", "60000000", 1_000_000),
        ("microseconds", "60000000000000000", 10**15),
        ("microseconds", "60000000000000001", None),
        ("minutes", "1000000000.0000001", None),
        ("seconds", "-1", None),
        ("seconds", "-0", 0),
    ],
)
def test_units_by_hand(unit: str, text: str, expected: int | None) -> None:
    assert converted([text], ValueFormats(unit=unit)) == [expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("00:00:00", 0),
        ("01:02:03", 62_050_000),
        ("1:02:03", 62_050_000),
        ("0:00:01", 16_667),
        ("0:00:00.00003", 0),
        ("0:00:00,00009", 2),
        ("0:00:00.0000300000000000001", 1),
        ("100:00:00", 6_000_000_000),
        ("+1:00:00", 60_000_000),
        ("-0:00:00", 0),
        ("0000000000000001:00:00", 60_000_000),
        ("16666666:40:00", 10**15),
    ],
)
def test_hours_minutes_and_seconds(text: str, expected: int) -> None:
    assert converted([text], ValueFormats(watch_time="hh:mm:ss")) == [expected]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        *(
            (text, "watch_time_wrong_format")
            for text in ("62", "1:02", "1:60:00", "1:00:60", "1:2:3", "a:00:00", ":00:00")
        ),
        *((text, "watch_time_wrong_format") for text in (" 1:00:00", "1:00:00 ", "1:00:00.", "1:00:00Z", "1:00:00:00")),
        *((text, "watch_time_wrong_format") for text in ("PT1H", "1.5", "٣:00:00", "1 day, 0:00:00", "--1:00:00")),
        ("", "watch_time_missing"),
        (" ", "watch_time_missing"),
        ("-0:00:01", "watch_time_negative"),
        ("-999999999999:00:00", "watch_time_negative"),
        ("16666666:40:00.0000000000001", "watch_time_too_large"),
        ("999999999999:00:00", "watch_time_too_large"),
    ],
)
def test_what_is_no_clock_is_rejected(text: str, reason: str) -> None:
    formats = ValueFormats(watch_time="hh:mm:ss")
    assert exact_micro_minutes(text, formats) == (0, reason)
    assert micro_minutes(pl.Series([text]), formats)[1] == {0: reason}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("PT1H2M3S", 62_050_000),
        ("PT0S", 0),
        ("PT1.5S", 25_000),
        ("PT1,5S", 25_000),
        ("PT90M", 90_000_000),
        ("PT36H", 2_160_000_000),
        ("PT3723S", 62_050_000),
        ("P1D", 1_440_000_000),
        ("P1DT1M", 1_441_000_000),
        ("P2W", 20_160_000_000),
        ("PT0.5H", 30_000_000),
        ("PT1H0.5M", 60_500_000),
        ("P0Y0M0DT0H1M0S", 1_000_000),
        ("pt1m", 1_000_000),
        ("+PT1M", 1_000_000),
        ("-PT0S", 0),
        ("PT0.00009S", 2),
        ("PT60000000000S", 10**15),
    ],
)
def test_durations_of_iso(text: str, expected: int) -> None:
    assert converted([text], ValueFormats(watch_time="iso8601")) == [expected]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        *(
            (text, "watch_time_wrong_format")
            for text in ("P", "PT", "1H", "P1H", "P1Y", "P1M", "P0.5M", "P1DT", "PT1S1M")
        ),
        *(
            (text, "watch_time_wrong_format")
            for text in ("PT1.5H1M", "PT.5S", "PT1.S", "PT-1S", "PT1H 1M", "PT1H\n", "62")
        ),
        *((text, "watch_time_wrong_format") for text in ("PT1S ", "PT1M1M", "01:02:03", "P1D1W", "PT٣S")),
        ("", "watch_time_missing"),
        ("-PT1S", "watch_time_negative"),
        ("PT60000000000.00000000001S", "watch_time_too_large"),
        ("PT" + "9" * 500 + "H", "watch_time_too_large"),
    ],
)
def test_what_is_no_duration_is_rejected(text: str, reason: str) -> None:
    formats = ValueFormats(watch_time="iso8601")
    assert exact_micro_minutes(text, formats) == (0, reason)
    assert micro_minutes(pl.Series([text]), formats)[1] == {0: reason}


@tries(50)
@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 59), st.integers(0, 59), st.integers(0, 10**9 - 1))))
def test_durations_are_fractions_of_minutes(times: list[tuple[int, int, int, int]]) -> None:
    expected = [round((h * 60 + m + (s + Fraction(n, 10**9)) / 60) * 10**6) for h, m, s, n in times]
    clocks = [f"{h}:{m:02d}:{s:02d}.{n:09d}" for h, m, s, n in times]
    assert converted(clocks, ValueFormats(watch_time="hh:mm:ss")) == expected
    assert (
        converted([f"PT{h}H{m}M{s}.{n:09d}S" for h, m, s, n in times], ValueFormats(watch_time="iso8601")) == expected
    )


def test_seconds_and_clocks_agree_with_duckdb() -> None:
    seconds = [*range(0, 100_000, 37), 10**9]
    query = "select s * 1000000 // 60 + ((s * 1000000) % 60 > 30)::int from (select unnest(?)::hugeint as s)"  # no ties
    expected = [int(row[0]) for row in duckdb.execute(query, [seconds]).fetchall()]
    assert converted([str(second) for second in seconds], ValueFormats(unit="seconds")) == expected
    clocks = [f"{s // 3600}:{s // 60 % 60:02d}:{s % 60:02d}" for s in seconds]
    assert converted(clocks, ValueFormats(watch_time="hh:mm:ss")) == expected


def test_a_decimal_comma() -> None:
    formats = ValueFormats(watch_time="decimal_comma")
    texts = ["1,5", "0,0000005", "0,0000015", "12", ",5", "1,", "1,5e1"]
    assert converted(texts, formats) == [1_500_000, 0, 2, 12_000_000, 500_000, 1_000_000, 15_000_000]
    assert converted(["1.5", "1.000,5", "1,000,5", "1,5.", ",", "-1,5"], formats) == [None] * 6
    assert converted(["1,5"], ValueFormats(watch_time="decimal_comma", unit="seconds")) == [25_000]


def test_rejected_texts_look_like_another_format() -> None:
    texts = pl.Series(["01:02:03", "1:00:00.5", "PT5S", "P1DT2H", "1,5", "62", "soon", "1:2", "P", ""])
    assert likely_formats(texts) == {"hh:mm:ss": 2, "iso8601": 2, "decimal_comma": 1, "number": 1}
