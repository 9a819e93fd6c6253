"""Methods of payment: their many spellings, and what a provider takes of each."""

import datetime as dt

import polars as pl

METHODS = {
    "Credit Card": ("cc", "credit", "credit card", "creditcard", "card", "visa", "mastercard", "amex"),
    "Debit Card": ("dc", "debit", "debit card", "debitcard"),
    "PayPal": ("pp", "paypal", "pay pal"),
    "Bank Transfer": ("bt", "bank", "bank transfer", "wire", "wire transfer", "ach", "sepa"),
    "Cash": ("cash", "cod", "cash on delivery"),
    "Gift Card": ("gc", "gift", "gift card", "giftcard", "voucher"),
}
UNKNOWN_METHOD = "Unknown"
FEES = [("Credit Card", dt.date(1970, 1, 1), 290), ("PayPal", dt.date(1970, 1, 1), 340)]
"""(method, first day, hundredths of a percent): the usual rates, where the shop has no table ``fee_rates.csv``."""

_SPELLINGS = {spelling: method for method, spellings in METHODS.items() for spelling in spellings}


def normalise_method(column: str) -> pl.Expr:
    """The one name of a method of payment; what has no known spelling keeps its own, with capitals; null: Unknown.

    There are few spellings, so that each is looked at once.
    """
    return pl.col(column).map_batches(_normalise, return_dtype=pl.String()).fill_null(UNKNOWN_METHOD)


def _normalise(texts: pl.Series) -> pl.Series:
    different = texts.unique().drop_nulls()
    spelling = pl.col(texts.name).str.strip_chars().str.to_lowercase().str.replace_all(r"[_\-\s]+", " ")
    named = different.to_frame().select(spelling.replace(_SPELLINGS).pipe(_with_capitals, spelling)).to_series()
    return texts.replace_strict(different, named, default=None, return_dtype=pl.String())


def _with_capitals(name: pl.Expr, spelling: pl.Expr) -> pl.Expr:
    return pl.when(spelling.is_in(list(_SPELLINGS))).then(name).otherwise(name.str.to_titlecase())


def usual_fees() -> pl.LazyFrame:
    """``FEES`` as a table with the columns of the source ``fee_rates``."""
    schema = {"method": pl.String(), "valid_from": pl.Date(), "fee_points": pl.Int64()}
    return pl.LazyFrame(FEES, schema=schema, orient="row")
