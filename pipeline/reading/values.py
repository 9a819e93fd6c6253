"""Finds the values of records that are blank or repeat the header, a column at a time (contract: records)."""

import polars as pl

BLANK_LOG_ID = "blank_log_id"
BLANK_USER_ID = "blank_user_id"
REPEATED_HEADER = "repeated_header"
"""Reasons of records with an invalid value; watch_times.py has those of watch times."""


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
