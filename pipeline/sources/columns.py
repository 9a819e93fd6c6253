"""The types of columns: what each is stored as, and how text becomes a value of it."""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import ClassVar, Literal

import polars as pl

_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)$"
_EXPONENTS: Mapping[str, int] = {
    **dict.fromkeys(("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "VUV"), 0),
    **dict.fromkeys(("XAF", "XOF", "XPF"), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
}
"""Digits of minor units by ISO 4217; all other currencies have two."""
_TRUE, _FALSE = ("true", "t", "yes", "y", "1"), ("false", "f", "no", "n", "0")
_PRECISION = 38


@dataclass(frozen=True)
class Column:
    """A column of a contract.

    ===============  ==========================================================================================
    ``description``  what it means, for people
    ``unit``         of its values, such as ``USD cents``
    ``nullable``     whether a value may be missing
    ``sensitive``    the class of personal data that it holds, such as ``name`` or ``email``; None: it holds none
    ``forget``       of a column that identifies a person: when the person is forgotten, the ``row`` goes, or the
                     ``value`` becomes null; None: it identifies nobody
    ``read_from``    its names in a source, of which the first one that is there is read; none: its own name
    ``optional``     whether a source may lack it; it is null then
    ===============  ==========================================================================================
    """

    description: str = ""
    _: KW_ONLY
    unit: str = ""
    nullable: bool = False
    sensitive: str | None = None
    forget: Literal["row", "value"] | None = field(default=None, repr=False)  # the fingerprint of a source has the rest
    read_from: str | tuple[str, ...] = ()
    optional: bool = False

    expected: ClassVar[str] = "text"
    """What a text must be to become a value of this type, for messages."""

    @property
    def dtype(self) -> pl.DataType:
        """The type in which values are stored."""
        raise NotImplementedError

    @property
    def may_be_null(self) -> bool:
        """Whether a row without a value is good."""
        return self.nullable or self.optional

    def names(self, name: str) -> tuple[str, ...]:
        """The names under which a source may have it. ``name``: its own."""
        given = (self.read_from,) if isinstance(self.read_from, str) else self.read_from
        return given or (name,)

    def parse(self, text: pl.Expr) -> pl.Expr:
        """Turn text into values; null where a text is none."""
        return text

    def casts(self, found: pl.DataType) -> bool:
        """Whether values of the type ``found`` become values of this one without losing anything unseen."""
        return found == self.dtype or found == pl.Null()


@dataclass(frozen=True)
class Text(Column):
    """Text; an empty field of a source is null."""

    @property
    def dtype(self) -> pl.DataType:
        """String."""
        return pl.String()

    def casts(self, found: pl.DataType) -> bool:
        """Texts of a fixed set are texts, too."""
        return super().casts(found) or isinstance(found, pl.Categorical | pl.Enum)


@dataclass(frozen=True)
class Int(Column):
    """A whole number of 64 bits."""

    expected: ClassVar[str] = "a whole number"

    @property
    def dtype(self) -> pl.DataType:
        """Int64."""
        return pl.Int64()

    def parse(self, text: pl.Expr) -> pl.Expr:
        """Digits with a sign, if any."""
        return text.cast(pl.Int64, strict=False)

    def casts(self, found: pl.DataType) -> bool:
        """Whole numbers of any width; the cast fails where one does not fit."""
        return found.is_integer() or found == pl.Null()


@dataclass(frozen=True)
class Money(Int):
    """An amount in whole minor units of ``currency`` (cents), by its exponent in ISO 4217.

    ``rounds``: amounts of a source with more digits are rounded half up, away from zero; otherwise they are rejected.
    """

    _: KW_ONLY
    currency: str = "USD"
    rounds: bool = False

    expected: ClassVar[str] = "an amount with no more digits than its currency has"

    @property
    def exponent(self) -> int:
        """How many digits of the currency are minor units."""
        return _EXPONENTS.get(self.currency.upper(), 2)

    def parse(self, text: pl.Expr) -> pl.Expr:
        """A decimal number in whole units of the currency becomes minor units."""
        if self.rounds:
            return text.map_batches(self._parse_rounded, return_dtype=self.dtype, is_elementwise=True)
        return self._parse_exact(text)

    def _parse_exact(self, text: pl.Expr) -> pl.Expr:
        number = pl.when(text.str.contains(_number_with(self.exponent))).then(text)
        return (
            number.cast(pl.Decimal(_PRECISION, self.exponent), strict=False)
            .to_physical()
            .cast(self.dtype, strict=False)
        )

    def _parse_rounded(self, texts: pl.Series) -> pl.Series:
        """Only where a text has more digits than its currency they are rounded, which takes five times as long."""
        rows, text = texts.to_frame("text").lazy(), pl.col("text")
        exact = rows.select(text, self._parse_exact(text).alias("amount")).collect()
        if exact["amount"].null_count() == exact["text"].null_count():
            return exact["amount"]
        return rows.select(_round_half_up(text, self.exponent).cast(self.dtype, strict=False)).collect().to_series()


@dataclass(frozen=True)
class Decimal(Column):
    """An exact decimal number with ``scale`` digits after the point."""

    _: KW_ONLY
    scale: int = 9

    expected: ClassVar[str] = "a decimal number with no more digits than its scale"

    @property
    def dtype(self) -> pl.DataType:
        """Decimal of 38 digits."""
        return pl.Decimal(_PRECISION, self.scale)

    def parse(self, text: pl.Expr) -> pl.Expr:
        """A decimal number."""
        number = pl.when(text.str.contains(_NUMBER) & ~_longer_than(text, self.scale)).then(text)
        return number.cast(self.dtype, strict=False)

    def casts(self, found: pl.DataType) -> bool:
        """Decimals with no more digits after the point, and whole numbers."""
        return found.is_integer() or (isinstance(found, pl.Decimal) and found.scale <= self.scale) or found == pl.Null()


@dataclass(frozen=True)
class Float(Column):
    """A floating-point number; NaN and infinity are no values."""

    expected: ClassVar[str] = "a finite number"

    @property
    def dtype(self) -> pl.DataType:
        """Float64."""
        return pl.Float64()

    def parse(self, text: pl.Expr) -> pl.Expr:
        """A finite number, also with an exponent."""
        number = text.cast(pl.Float64, strict=False)
        return pl.when(number.is_finite()).then(number)

    def casts(self, found: pl.DataType) -> bool:
        """Numbers of any kind."""
        return found.is_numeric() or found == pl.Null()


@dataclass(frozen=True)
class Bool(Column):
    """True or false."""

    expected: ClassVar[str] = f"one of {', '.join(_TRUE + _FALSE)}"

    @property
    def dtype(self) -> pl.DataType:
        """Boolean."""
        return pl.Boolean()

    def parse(self, text: pl.Expr) -> pl.Expr:
        """The usual words, in any case."""
        word = text.str.to_lowercase()
        return pl.when(word.is_in(_TRUE)).then(True).when(word.is_in(_FALSE)).then(False)


@dataclass(frozen=True)
class Date(Column):
    """A day. ``formats``: those of the source, of which the first that fits a text counts; years have four digits."""

    _: KW_ONLY
    formats: tuple[str, ...] = ("%Y-%m-%d",)

    expected: ClassVar[str] = "a date in one of its formats"

    @property
    def dtype(self) -> pl.DataType:
        """Date."""
        return pl.Date()

    def parse(self, text: pl.Expr) -> pl.Expr:
        """A date in one of the formats."""
        day = pl.coalesce(text.str.to_date(one, strict=False, exact=True) for one in self.formats)
        return pl.when(day.dt.year().is_between(1000, 9999)).then(day)


@dataclass(frozen=True)
class Time(Column):
    """A moment: naive UTC, in microseconds.

    ``formats``: those of the source. A text whose format has no ``%z`` is the time of the place ``zone``; one that the
    clocks of that place never show, or show twice, is rejected.
    """

    _: KW_ONLY
    formats: tuple[str, ...] = ("%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d")
    zone: str = "UTC"

    expected: ClassVar[str] = "a time in one of its formats"

    @property
    def dtype(self) -> pl.DataType:
        """Datetime in microseconds, without a zone."""
        return pl.Datetime("us")

    def parse(self, text: pl.Expr) -> pl.Expr:
        """A time in one of the formats."""
        moment = pl.coalesce(self._parse(text, one) for one in self.formats)
        return pl.when(moment.dt.year().is_between(1000, 9999)).then(moment)

    def _parse(self, text: pl.Expr, form: str) -> pl.Expr:
        if "z" in form:
            zulu = text.str.replace(r"[Zz]$", "+00:00")
            found = zulu.str.to_datetime(form, time_unit="us", time_zone="UTC", strict=False, exact=True)
            return found.dt.replace_time_zone(None)
        return self.to_utc(text.str.to_datetime(form, time_unit="us", strict=False, exact=True))

    def to_utc(self, moment: pl.Expr, zone: str | None = None) -> pl.Expr:
        """Times of the place ``zone`` as naive UTC; None: naive times of the place of this column."""
        if zone is None and self.zone == "UTC":
            return moment
        local = moment if zone else moment.dt.replace_time_zone(self.zone, ambiguous="null", non_existent="null")
        return local.dt.convert_time_zone("UTC").dt.replace_time_zone(None)

    def casts(self, found: pl.DataType) -> bool:
        """Times of any unit without a zone; a zone must be applied by the author, who knows it."""
        return (isinstance(found, pl.Datetime) and found.time_zone is None) or found == pl.Null()


@dataclass(frozen=True, init=False)
class ListOf(Column):
    """A list of values of another column, for results. Which order they have is the author's choice."""

    item: Column = Text()

    def __init__(self, item: Column, description: str = "", *, nullable: bool = False, unit: str = "") -> None:
        super().__init__(description, nullable=nullable, unit=unit)
        object.__setattr__(self, "item", item)

    @property
    def dtype(self) -> pl.DataType:
        """List."""
        return pl.List(self.item.dtype)

    def casts(self, found: pl.DataType) -> bool:
        """Lists whose items can be cast."""
        return (isinstance(found, pl.List) and self.item.casts(_instance(found.inner))) or found == pl.Null()


def _instance(found: object) -> pl.DataType:
    return found() if isinstance(found, type) else found  # type: ignore[return-value]


def _longer_than(text: pl.Expr, digits: int) -> pl.Expr:
    """Whether a decimal number has a digit other than 0 after so many digits behind the point."""
    return text.str.contains(rf"\.\d{{{digits}}}\d*[1-9]")


def _number_with(digits: int) -> str:
    """A decimal number that has no digit other than 0 after so many digits behind the point."""
    least = rf"\.\d{{1,{digits}}}0*" if digits else r"\.0+"
    return rf"^[+-]?(\d+(\.\d{{0,{digits}}}0*)?|{least})$"


def _round_half_up(text: pl.Expr, exponent: int) -> pl.Expr:
    """Decimal numbers as Int128 in units of 10^-exponent, rounded half up, away from zero; others are null."""
    # Only the first digit that is cut decides.
    cut = pl.when(text.str.contains(_NUMBER)).then(text.str.replace(rf"(\.\d{{{exponent + 1}}})\d*$", "$1"))
    tenths = cut.cast(pl.Decimal(_PRECISION, exponent + 1), strict=False).to_physical()
    return tenths.sign() * ((tenths.abs() + 5) // 10)
