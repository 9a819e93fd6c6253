"""Finds the values of records that are blank, a column at a time (contract: records)."""

import polars as pl

BLANK_LOG_ID = "blank_log_id"
BLANK_USER_ID = "blank_user_id"
"""Reasons of records with an invalid value; watch_times.py has those of watch times."""


def blank_rows(texts: pl.Series) -> list[int]:
    """Numbers of the rows of a String column whose text is empty or white space."""
    unusual = ((texts < "!") | (texts > "\x7f")).arg_true()  # all texts that are empty or begin with white space
    return unusual.filter(texts.gather(unusual).str.strip_chars() == "").to_list()
