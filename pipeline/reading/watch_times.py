"""Converts watch times to micro-minutes, a column at a time or one exactly (contract: records).

Whatever the unit and the format, the exact value is compared with the limit, and then rounded half-even once.
"""

import re
from collections import Counter
from decimal import ROUND_HALF_EVEN, Context, Decimal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pipeline.quality import MAX_MINUTES, MICRO
from pipeline.reading.column_names import WHITE_SPACE
from pipeline.reading.value_formats import PER_MINUTE, USUAL_FORMATS, ValueFormats

WATCH_TIME_MISSING = "watch_time_missing"
WATCH_TIME_NOT_A_NUMBER = "watch_time_not_a_number"
WATCH_TIME_WRONG_FORMAT = "watch_time_wrong_format"
WATCH_TIME_NEGATIVE = "watch_time_negative"
WATCH_TIME_TOO_LARGE = "watch_time_too_large"
"""Reasons of records with an invalid watch time; ``WATCH_TIME_WRONG_FORMAT`` where WATCH_TIME_FORMAT is no number."""

A_DAY = 1440 * MICRO
"""Micro-minutes of a day."""

Converted = tuple[int, str | None]
"""(micro-minutes, None), or (0, the reason why the text is no watch time)."""

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_CLOCK = re.compile(r"([+-]?)([0-9]+):([0-5][0-9]):([0-5][0-9])(?:[.,]([0-9]+))?")
_AMOUNT = "([0-9]+(?:[.,][0-9]+)?)"
_DURATION = re.compile(
    f"([+-]?)P(?:{_AMOUNT}Y)?(?:{_AMOUNT}M)?(?:{_AMOUNT}W)?(?:{_AMOUNT}D)?"
    f"(T(?:{_AMOUNT}H)?(?:{_AMOUNT}M)?(?:{_AMOUNT}S)?)?",
    re.IGNORECASE,
)
_DURATION_SECONDS = (None, None, 604_800, 86_400, 3600, 60, 1)
"""Seconds of one year, month, week, day, hour, minute and second; years and months have no fixed length."""

_FAST = {
    "hh:mm:ss": r"\A(?P<hours>[0-9]{1,6}):(?P<minutes>[0-5][0-9]):(?P<seconds>[0-5][0-9])"
    r"(?:[.,](?P<part>[0-9]{1,9}))?\z",
    "iso8601": r"\APT(?:(?P<hours>[0-9]{1,6})H)?(?:(?P<minutes>[0-9]{1,7})M)?"
    r"(?:(?P<seconds>[0-9]{1,9})(?:[.,](?P<part>[0-9]{1,9}))?S)?\z",
}
"""The usual texts of formats that name their units; their nanoseconds fit 64 bits."""

_NANO_PER_MICRO_MINUTE = 60_000

_LOOKS = {
    "hh:mm:ss": r"\A[0-9]+:[0-5][0-9]:[0-5][0-9](?:[.,][0-9]+)?\z",
    "iso8601": r"\AP(?:[0-9]+[WDwd])*(?:T(?:[0-9.,]+[HMShms])+)\z",
    "decimal_comma": r"\A[0-9]+,[0-9]+\z",
    "number": r"\A[0-9]+(?:\.[0-9]+)?\z",
}
"""WATCH_TIME_FORMAT → what texts in this format look like."""


def exact_micro_minutes(text: str, formats: ValueFormats = USUAL_FORMATS) -> Converted:
    """Convert one watch time: (micro-minutes, None), or (0, reason) if it is invalid.

    Valid is a time of 0 to 10^9 minutes, in ASCII characters and without white space, which is rounded half-even to
    whole micro-minutes:

    =============  ===================================================================================================
    number         a decimal number of ``formats.unit``, perhaps with a point, a sign and an exponent
    decimal_comma  the same with a comma instead of the point
    hh:mm:ss       hours of any number of digits, minutes and seconds of two, perhaps with a fraction
    iso8601        weeks, days, hours, minutes and seconds, the last of which may have a fraction; no years and months
    =============  ===================================================================================================
    """
    if not text.strip(WHITE_SPACE):
        return 0, WATCH_TIME_MISSING
    if formats.watch_time == "hh:mm:ss":
        return _convert_clock(text)
    if formats.watch_time == "iso8601":
        return _convert_duration(text)
    if formats.watch_time == "decimal_comma":
        text = text.translate({ord(","): ".", ord("."): ","})
    return _convert_number(text, PER_MINUTE[formats.unit])


def micro_minutes(texts: pl.Series, formats: ValueFormats = USUAL_FORMATS) -> tuple[NDArray[np.int64], dict[int, str]]:
    """Convert watch times (String): (micro-minutes as int64, row → reason of each invalid value, which becomes 0).

    ``exact_micro_minutes`` converts what is not certain by a faster way.
    """
    if formats.watch_time in _FAST:
        converted, certain = _convert_durations(texts, _FAST[formats.watch_time])
    else:
        converted, certain = _convert_numbers(texts, formats)
    reasons: dict[int, str] = {}
    uncertain = np.flatnonzero(~certain)
    for row, text in zip(uncertain.tolist(), texts.gather(uncertain).to_list(), strict=True):
        converted[row], reason = exact_micro_minutes(text, formats)
        if reason:
            reasons[row] = reason
    return converted, reasons


def likely_formats(texts: pl.Series) -> Counter[str]:
    """WATCH_TIME_FORMAT → how many of the texts (String), which are no watch times, look as if they were written so."""
    counts = {form: int(texts.str.contains(looks).sum()) for form, looks in _LOOKS.items()}
    return Counter({form: count for form, count in counts.items() if count})


def _convert_numbers(texts: pl.Series, formats: ValueFormats) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """(micro-minutes, whether they are certain) of numbers.

    Floating point converts a value only if its distance to the nearest tie is larger than the error of conversion,
    product and quotient, each at most half a unit in the last place.
    """
    if formats.watch_time == "decimal_comma":
        wrong = texts.str.contains(".", literal=True)
        texts = texts.str.replace(",", ".", literal=True).set(wrong, None)
    per_minute = PER_MINUTE[formats.unit]
    amount = texts.cast(pl.Float64, strict=False).fill_null(np.nan).to_numpy()
    with np.errstate(invalid="ignore", over="ignore"):
        micro = amount * MICRO
        if per_minute > 1:
            micro /= per_minute
        nearest = np.rint(micro)
        tie_distance = np.abs(np.abs(micro - nearest) - 0.5)
        in_range = amount < (MAX_MINUTES - 1) * per_minute
        certain = (tie_distance > micro * 2.0**-50) & in_range & ~np.signbit(amount)
    return np.where(certain, nearest, 0).astype(np.int64), certain


def _convert_durations(texts: pl.Series, regex: str) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """(micro-minutes, whether they are certain) of texts, by the groups of ``regex``."""
    groups = texts.alias("text").to_frame().select(pl.col("text").str.extract_groups(regex)).unnest("text")
    certain = groups.select(~pl.all_horizontal(pl.all().is_null())).to_series().to_numpy()
    numbers = [groups[name].cast(pl.Int64).fill_null(0).to_numpy() for name in ("hours", "minutes", "seconds")]
    part = groups["part"].str.pad_end(9, "0").cast(pl.Int64).fill_null(0).to_numpy()
    nanos = (numbers[0] * 3600 + numbers[1] * 60 + numbers[2]) * 10**9 + part
    micro, rest = np.divmod(nanos, _NANO_PER_MICRO_MINUTE)
    tie = _NANO_PER_MICRO_MINUTE // 2
    micro += (rest > tie) | ((rest == tie) & (micro % 2 == 1))
    return np.where(certain, micro, 0), certain


def _convert_number(text: str, per_minute: int) -> Converted:
    if not _NUMBER.fullmatch(text):
        return 0, WATCH_TIME_NOT_A_NUMBER
    mantissa, _, exponent = text.lower().partition("e")
    if not mantissa.strip("+-.0"):
        return 0, None
    if text.startswith("-"):
        return 0, WATCH_TIME_NEGATIVE
    magnitude = _magnitude(mantissa.lstrip("+"), exponent)
    if magnitude > 10 + len(str(per_minute)):
        return 0, WATCH_TIME_TOO_LARGE
    if magnitude < -7:
        return 0, None
    return _round(Decimal(f"{mantissa}e{exponent}" if exponent else mantissa), per_minute, len(text))


def _convert_clock(text: str) -> Converted:
    match = _CLOCK.fullmatch(text)
    if not match:
        return 0, WATCH_TIME_WRONG_FORMAT
    sign, hours, minutes, seconds, part = match.groups()
    if len(hours.lstrip("0")) > 8:
        return 0, WATCH_TIME_NEGATIVE if sign == "-" else WATCH_TIME_TOO_LARGE
    whole = int(hours.lstrip("0") or 0) * 3600 + int(minutes) * 60 + int(seconds)
    return _signed(sign, Decimal(f"{whole}.{part or 0}"), len(text))


def _convert_duration(text: str) -> Converted:
    match = _DURATION.fullmatch(text)
    if not match:
        return 0, WATCH_TIME_WRONG_FORMAT
    sign, *amounts = match.groups()
    time_part = amounts.pop(4)
    given = [number for number, amount in enumerate(amounts) if amount]
    fractional = [number for number in given if not amounts[number].isdecimal()]
    if not given or (time_part and given[-1] < 4) or fractional not in ([], given[-1:]):
        return 0, WATCH_TIME_WRONG_FORMAT
    exact = Context(prec=len(text) + 30)
    total = Decimal(0)
    for number in given:
        amount, seconds = Decimal(amounts[number].replace(",", ".")), _DURATION_SECONDS[number]
        if seconds is None and amount:
            return 0, WATCH_TIME_WRONG_FORMAT
        total = exact.add(total, exact.multiply(amount, Decimal(seconds or 0)))
    return _signed(sign, total, len(text))


def _signed(sign: str, seconds: Decimal, digits: int) -> Converted:
    if sign == "-" and seconds:
        return 0, WATCH_TIME_NEGATIVE
    return _round(seconds, 60, digits)


def _round(amount: Decimal, per_minute: int, digits: int) -> Converted:
    """Micro-minutes of an amount with at most so many ``digits``, of a unit of which a minute has ``per_minute``."""
    if amount > MAX_MINUTES * per_minute:
        return 0, WATCH_TIME_TOO_LARGE
    exact = Context(prec=digits + 30)
    micro = exact.multiply(amount, Decimal(MICRO))
    if per_minute == 1:
        return int(micro.to_integral_value(ROUND_HALF_EVEN)), None
    whole = int(exact.divide_int(micro, Decimal(per_minute)))
    rest = exact.subtract(micro, Decimal(whole * per_minute))
    twice = exact.compare(exact.add(rest, rest), Decimal(per_minute))
    return whole + (twice > 0 or (twice == 0 and whole % 2 == 1)), None


def _magnitude(mantissa: str, exponent: str) -> int:
    """Exponent of the first digit that is not 0, plus one: 1 for 5, 2 for 50, -1 for 0.05."""
    whole, _, fraction = mantissa.partition(".")
    whole = whole.lstrip("0")
    magnitude = len(whole) if whole else len(fraction.lstrip("0")) - len(fraction)
    digits = exponent.lstrip("+-").lstrip("0")
    if len(digits) > 9:  # no record has enough digits to make up for such an exponent
        return -(10**9) if exponent.startswith("-") else 10**9
    return magnitude + (int(exponent) if exponent else 0)
