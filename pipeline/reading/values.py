"""Judges and converts the values of records, a column at a time (contract: records)."""

import re
from decimal import ROUND_HALF_EVEN, Context, Decimal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pipeline.quality import MAX_MINUTES, MICRO

BLANK_LOG_ID = "blank_log_id"
BLANK_USER_ID = "blank_user_id"
WATCH_TIME_MISSING = "watch_time_missing"
WATCH_TIME_NOT_A_NUMBER = "watch_time_not_a_number"
WATCH_TIME_NEGATIVE = "watch_time_negative"
WATCH_TIME_TOO_LARGE = "watch_time_too_large"
REPEATED_HEADER = "repeated_header"
"""Reasons of records with an invalid value."""

_ISO = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?(?:[Zz]|[+-][0-9]{2}:?[0-9]{2})?)?$"
"""The timestamps that the parser of Polars may see: alone, it would take years of any length and spaces."""

_ZONE = "((?:[Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)?)$"
_ISO_VARIANTS = (
    (
        r"^([0-9]{4})([0-9]{2})([0-9]{2})[Tt]([0-9]{2})([0-9]{2})([0-9]{2}(?:[.,][0-9]+)?)" + _ZONE,
        "$1-$2-${3}T$4:$5:$6$7",
    ),
    (r"^([0-9]{4})([0-9]{2})([0-9]{2})[Tt]([0-9]{2})([0-9]{2})" + _ZONE, "$1-$2-${3}T$4:$5$6"),
    (r"^([0-9]{4}-[0-9]{2}-[0-9]{2})t", "${1}T"),
    (r"^([0-9-]{10}[T ][0-9]{2}:[0-9]{2})" + _ZONE, "$1:00$2"),
    (r"^([0-9-]{10}[T ][0-9:]{8}),([0-9])", "$1.$2"),
    (r"^([0-9-]{10}[T ][0-9:]{8}(?:\.[0-9]+)?[+-][0-9]{2})$", "$1:00"),
)
"""(pattern, replacement) that rewrite other forms to ``_ISO``: basic format, small t, no seconds, a comma instead of
the point, a zone of hours alone."""

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


def exact_micro_minutes(text: str) -> tuple[int, str | None]:
    """Convert one watch time: (micro-minutes, None), or (0, reason) if it is invalid.

    Valid is a decimal number of 0 to 10^9 minutes, of ASCII digits, perhaps with a point, a sign and an exponent, and
    without white space. It is rounded half-even to whole micro-minutes.
    """
    if not text.strip():
        return 0, WATCH_TIME_MISSING
    if not _NUMBER.fullmatch(text):
        return 0, WATCH_TIME_NOT_A_NUMBER
    mantissa, _, exponent = text.lower().partition("e")
    if not mantissa.strip("+-.0"):
        return 0, None
    if text.startswith("-"):
        return 0, WATCH_TIME_NEGATIVE
    magnitude = _magnitude(mantissa.lstrip("+"), exponent)
    if magnitude > 10:
        return 0, WATCH_TIME_TOO_LARGE
    if magnitude < -7:
        return 0, None
    number = Decimal(f"{mantissa}e{exponent}" if exponent else mantissa)
    if number > MAX_MINUTES:
        return 0, WATCH_TIME_TOO_LARGE
    exact = Context(prec=len(text) + 20)
    return int(exact.multiply(number, Decimal(MICRO)).to_integral_value(ROUND_HALF_EVEN)), None


def _magnitude(mantissa: str, exponent: str) -> int:
    """Exponent of the first digit that is not 0, plus one: 1 for 5, 2 for 50, -1 for 0.05."""
    whole, _, fraction = mantissa.partition(".")
    whole = whole.lstrip("0")
    magnitude = len(whole) if whole else len(fraction.lstrip("0")) - len(fraction)
    digits = exponent.lstrip("+-").lstrip("0")
    if len(digits) > 9:  # no record has enough digits to make up for such an exponent
        return -(10**9) if exponent.startswith("-") else 10**9
    return magnitude + (int(exponent) if exponent else 0)


def micro_minutes(texts: pl.Series) -> tuple[NDArray[np.int64], dict[int, str]]:
    """Convert watch times (String): (micro-minutes as int64, row → reason of each invalid value, which becomes 0).

    Floating point converts a value only if its distance to the nearest tie is larger than the error of the conversion
    and the product, each at most half a unit in the last place. ``exact_micro_minutes`` converts all other values.
    """
    minutes = texts.cast(pl.Float64, strict=False).fill_null(np.nan).to_numpy()
    with np.errstate(invalid="ignore", over="ignore"):
        micro = minutes * MICRO
        nearest = np.rint(micro)
        tie_distance = np.abs(np.abs(micro - nearest) - 0.5)
        certain = (tie_distance > micro * 2.0**-50) & (minutes < MAX_MINUTES - 1) & ~np.signbit(minutes)
    converted = np.where(certain, nearest, 0).astype(np.int64)
    reasons: dict[int, str] = {}
    uncertain = np.flatnonzero(~certain)
    for row, text in zip(uncertain.tolist(), texts.gather(uncertain).to_list(), strict=True):
        converted[row], reason = exact_micro_minutes(text)
        if reason:
            reasons[row] = reason
    return converted, reasons


def blank_rows(texts: pl.Series) -> list[int]:
    """Numbers of the rows of a String column whose text is empty or white space."""
    unusual = ((texts < "!") | (texts > "\x7f")).arg_true()  # all texts that are empty or begin with white space
    return unusual.filter(texts.gather(unusual).str.strip_chars() == "").to_list()


def repeated_header_rows(columns: dict[str, pl.Series], names: dict[str, str]) -> list[int]:
    """Numbers of the rows whose every value is the name of its column.

    ``columns``: role → String column; ``names``: role → header name. A name may follow a byte-order mark, which lies
    within a file that was concatenated from several.
    """
    rows = pl.select(pl.int_range(len(next(iter(columns.values()))))).to_series()
    for role, column in columns.items():
        texts = column if len(rows) == len(column) else column.gather(rows)
        rows = rows.filter((texts == names[role]) | (texts == f"\ufeff{names[role]}"))
    return rows.to_list()


def epoch_micros(texts: pl.Series) -> pl.Series:
    """Convert timestamps (String) to Int64 microseconds since 1970 UTC; null for a text in no known form.

    =============  ===================================================================================================
    ISO 8601       a date; a date and a time with ``T`` or a space between them; the basic format with a time; without
                   seconds; with a fraction of the seconds behind a point or comma
    zone           ``Z``, hours, or hours and minutes; without a zone the time is UTC
    epoch          seconds (up to 11 digits) or milliseconds (12 to 14 digits), perhaps with a fraction
    unknown        weeks, days of the year, 24:00
    =============  ===================================================================================================
    """
    frame = texts.alias("text").to_frame().lazy()
    text = pl.col("text")
    common = text
    for pattern, replacement in _ISO_VARIANTS:
        common = common.str.replace(pattern, replacement)
    moment = pl.when(common.str.contains(_ISO)).then(common)
    zoned = moment.str.contains(r"(?:[Zz]|[+-][0-9]{2}:?[0-9]{2})$")
    normal = moment.str.replace(" ", "T", literal=True).str.replace(r"[zZ]$", "+00:00")
    number = pl.when(text.str.contains(r"^-?\d{1,14}(?:\.\d+)?$")).then(text)
    digits = number.str.extract(r"^-?(\d+)", 1).str.len_bytes()
    decimal = number.cast(pl.Decimal(38, 9), strict=False)
    scale = pl.when(digits <= 11).then(pl.lit(1_000_000)).otherwise(pl.lit(1_000))
    iso = pl.coalesce(
        pl.when(zoned)
        .then(normal)
        .str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%z", time_unit="us", time_zone="UTC", strict=False),
        pl.when(~zoned)
        .then(normal)
        .str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", time_unit="us", strict=False)
        .dt.replace_time_zone("UTC"),
        moment.str.to_date("%Y-%m-%d", strict=False).cast(pl.Datetime("us", "UTC")),
    )
    epoch = (decimal * scale).cast(pl.Int64, strict=False)
    return frame.select(pl.coalesce(iso.dt.epoch("us"), epoch)).collect().to_series()
