"""Reads timestamps, a column at a time, as moments: int64 numbers that are in the order of time.

A moment is nanoseconds since 1970 UTC in the years 1700 to 2249. Nanoseconds of all years that can be written do not
fit 64 bits, so that earlier and later moments are steps of a microsecond before and behind this stretch. Moments are
compared, and nothing else (contract: deduplication).
"""

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pipeline.reading.timestamp_format import MONTHS, OFFSET, as_regex

FIRST_EXACT, LAST_EXACT = -8_520_336_000_000_000, 8_835_955_200_000_000
"""Microseconds since 1970 UTC of 1700-01-01 and of 2250-01-01; moments between them are nanoseconds. values.h has the
same numbers."""

_ZONE = rf" ?(?:[Zz]|(?:UTC|GMT|utc|gmt)?{OFFSET}(?: [A-Z]{{1,5}})?|UTC|GMT|utc|gmt)(?:\[[A-Za-z0-9_/+-]+\])?"
_FRACTION = r"(?:[.,](?P<fraction>[0-9]+))?"
_ISO = (
    r"\A(?P<year>[0-9]{4})-(?P<month>[0-9]{2})-(?P<day>[0-9]{2})"
    rf"(?:[Tt ](?P<hour>[0-9]{{2}}):(?P<minute>[0-9]{{2}})(?::(?P<second>[0-9]{{2}}){_FRACTION})?(?:{_ZONE})?)?\z",
    r"\A(?P<year>[0-9]{4})(?P<month>[0-9]{2})(?P<day>[0-9]{2})"
    rf"[Tt](?P<hour>[0-9]{{2}})(?P<minute>[0-9]{{2}})(?:(?P<second>[0-9]{{2}}){_FRACTION})?(?:{_ZONE})?\z",
)
"""The extended and the basic format of ISO 8601."""

_DAY = r"(?P<year>[0-9]{4})(?P<month>[0-9]{2})(?P<day>[0-9]{2})"
_TIME = r"(?P<hour>[0-9]{2})(?P<minute>[0-9]{2})(?P<second>[0-9]{2})"
_DIGITS = (
    rf"\A{_DAY}(?:{_TIME}{_FRACTION}(?:{_ZONE})?)?\z",
    rf"\A{_DAY}{_TIME}(?P<fraction>[0-9]{{3}})(?:{_ZONE})?\z",
)
"""Dates of 8, 14 and 17 digits."""
_DATES = 8, 14, 17
"""As numbers since 1970, so many digits would be days of the years 1970 to 1973, or of 2286 and later."""

_EPOCH = r"\A(?P<minus>-?)(?P<whole>[0-9]{1,19})(?:\.(?P<fraction>[0-9]+))?\z"

_MILLION = 10**6


def moments(texts: pl.Series, patterns: Sequence[str] = ()) -> pl.Series:
    """Read timestamps (String): moments (Int64), null for a text in no known form.

    ``patterns``, those of TIMESTAMP_FORMAT, are tried first, in their order; then these forms:

    =============  ===================================================================================================
    ISO 8601       a date; a date and a time with ``T`` or a space between them; the basic format with a time; without
                   seconds; with a fraction of the seconds behind a point or comma
    zone           ``Z``, ``UTC``, ``GMT``, hours, or hours and minutes, perhaps behind a space; the name of a zone may
                   follow the difference (``+0100 CET``, ``+01:00[Europe/Berlin]``); without a zone the time is UTC
    digits         a date (8), with a time to the second (14, perhaps with a fraction) or millisecond (17); never a
                   number since 1970
    epoch          seconds (up to 11 digits), milliseconds (12 and 13 digits), microseconds (15 and 16 digits) or
                   nanoseconds (18 and 19 digits), perhaps with a fraction
    unknown        weeks, days of the year, 24:00, names of zones without a difference to UTC
    =============  ===================================================================================================

    Fractions are cut to nine digits of a second.
    """
    found = np.zeros(len(texts), np.int64)
    unread = np.arange(len(texts))
    for regex in (*map(as_regex, patterns), *_ISO, _EPOCH, *_DIGITS):
        rest = texts if len(unread) == len(texts) else texts.gather(unread)
        read = _read_epoch(rest) if regex == _EPOCH else _read_fields(rest, regex)
        good = read.is_not_null().to_numpy()
        found[unread[good]] = read.drop_nulls().to_numpy()
        unread = unread[~good]
        if not len(unread):
            break
    moments = pl.Series("timestamp", found)
    return moments.scatter(unread, None) if len(unread) else moments


def _read_fields(texts: pl.Series, regex: str) -> pl.Series:
    """The moments of the texts that ``regex`` matches, by its named groups; null for the others and for no date."""
    groups = texts.alias("text").to_frame().select(pl.col("text").str.extract_groups(regex)).unnest("text")
    if not groups.width:
        return pl.Series([None] * len(texts), dtype=pl.Int64)
    fields = {name: groups[name] for name in groups.columns}
    matched = ~groups.select(pl.all_horizontal(pl.all().is_null())).to_series().to_numpy()
    rows = np.flatnonzero(matched)
    found = {name: values.gather(rows) for name, values in fields.items()}
    fraction = _nanoseconds(found["fraction"], len(rows)) if "fraction" in found else np.zeros(len(rows), np.int64)
    if "epoch" in found:
        seconds = _numbers(found["epoch"], 0)
        fraction = np.where(found["epoch"].str.starts_with("-").to_numpy(), -fraction, fraction)
        good = np.ones(len(rows), bool)
    else:
        seconds, good = _seconds(found, len(rows))
    micros, nanos = seconds * _MILLION + fraction // 1000, fraction % 1000
    return _scattered(len(texts), rows[good], _join(micros[good], nanos[good]))


def _seconds(fields: dict[str, pl.Series], rows: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """(seconds since 1970 UTC, whether date and time exist) of the fields of each row."""

    def number(name: str, missing: int) -> NDArray[np.int64]:
        return _numbers(fields[name], missing) if name in fields else np.full(rows, missing, np.int64)

    year = number("year", 0)
    if "short_year" in fields:  # as POSIX has it
        short = number("short_year", 0)
        year = short + np.where(short < 69, 2000, 1900)
    if "month_name" in fields:
        names = fields["month_name"].str.slice(0, 3).str.to_lowercase()
        month = names.replace_strict(MONTHS, range(1, 13), return_dtype=pl.Int64).to_numpy()
    else:
        month = number("month", 1)
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    if "day_of_year" in fields:
        day = number("day_of_year", 1)
        day_exists = day <= 365 + leap
        days = _days(year, np.ones(rows, np.int64), np.ones(rows, np.int64)) + day - 1
    else:
        day = number("day", 1)
        lengths = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
        in_year = (month >= 1) & (month <= 12)
        day_exists = in_year & (day >= 1) & (day <= lengths[np.where(in_year, month, 0)] + (leap & (month == 2)))
        days = _days(year, month, day)
    hour, minute, second = number("hour", 0), number("minute", 0), number("second", 0)
    if "half" in fields:
        afternoon = fields["half"].str.to_lowercase().str.starts_with("p").to_numpy()
        hour = number("hour12", 12) % 12 + np.where(afternoon, 12, 0)
    zone = number("zone_hours", 0) * 60 + number("zone_minutes", 0)
    if "sign" in fields:
        zone = np.where((fields["sign"] == "-").fill_null(False).to_numpy(), -zone, zone)
    good = (year >= 1) & day_exists & (hour <= 23) & (minute <= 59) & (second <= 60)  # 60 is a leap second
    return days * 86_400 + hour * 3600 + (minute - zone) * 60 + second, good


def _days(year: NDArray[np.int64], month: NDArray[np.int64], day: NDArray[np.int64]) -> NDArray[np.int64]:
    """Days since 1970-01-01 of dates of the Gregorian calendar."""
    shifted = np.where(month > 2, month - 3, month + 9)  # the year begins in March: the leap day is its last day
    year = year - (month <= 2)
    era, of_era = year // 400, year % 400
    days: NDArray[np.int64] = (
        era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + (153 * shifted + 2) // 5 + day - 1 - 719_468
    )
    return days


def _read_epoch(texts: pl.Series) -> pl.Series:
    """The moments of numbers of seconds, milliseconds, microseconds or nanoseconds; null for other texts."""
    groups = texts.alias("text").to_frame().select(pl.col("text").str.extract_groups(_EPOCH)).unnest("text")
    is_number = (groups["whole"].is_not_null() & ~groups["whole"].str.len_bytes().is_in(_DATES)).fill_null(False)
    rows = np.flatnonzero(is_number.to_numpy())
    whole = groups["whole"].gather(rows)
    digits = whole.str.len_bytes().to_numpy()
    number = whole.cast(pl.UInt64).to_numpy()
    fraction = _nanoseconds(groups["fraction"].gather(rows), len(rows)).astype(np.uint64)
    places = np.select([digits <= 11, digits <= 14, digits <= 17], [0, 3, 6], 9)  # 10^-places seconds
    unit = (10 ** (6 - np.minimum(places, 6))).astype(np.uint64)  # microseconds of one
    part = fraction // (10**places).astype(np.uint64)  # nanoseconds
    micros = np.where(places == 9, number // np.uint64(1000), number * unit + part // np.uint64(1000)).astype(np.int64)
    nanos = np.where(places == 9, number % np.uint64(1000), part % np.uint64(1000)).astype(np.int64)
    minus = (groups["minus"].gather(rows) == "-").to_numpy()
    borrow = minus & (nanos > 0)
    micros, nanos = np.where(minus, -micros, micros) - borrow, np.where(borrow, 1000 - nanos, nanos)
    return _scattered(len(texts), rows, _join(micros, nanos))


def _numbers(texts: pl.Series, missing: int) -> NDArray[np.int64]:
    return texts.cast(pl.Int64).fill_null(missing).to_numpy()


def _nanoseconds(texts: pl.Series, rows: int) -> NDArray[np.int64]:
    """The digits behind the point as billionths, cut to nine digits; 0 for null."""
    if texts.null_count() == rows:
        return np.zeros(rows, np.int64)
    return _numbers(texts.str.slice(0, 9).str.pad_end(9, "0"), 0)


def _join(micros: NDArray[np.int64], nanos: NDArray[np.int64]) -> NDArray[np.int64]:
    """The moments of microseconds since 1970 UTC and nanoseconds (0 to 999) behind them."""
    exact = (micros >= FIRST_EXACT) & (micros < LAST_EXACT)
    nearest = np.clip(micros, FIRST_EXACT, LAST_EXACT)
    moments: NDArray[np.int64] = nearest * 1000 + np.where(exact, nanos, micros - nearest)
    return moments


def _scattered(length: int, rows: NDArray[np.intp], values: NDArray[np.int64]) -> pl.Series:
    """A column of ``length`` rows with ``values`` at ``rows``, and nulls elsewhere."""
    if len(rows) == length:
        return pl.Series(values)
    column = np.zeros(length, np.int64)
    column[rows] = values
    missing = np.ones(length, bool)
    missing[rows] = False
    return pl.Series(column).scatter(np.flatnonzero(missing), None)
