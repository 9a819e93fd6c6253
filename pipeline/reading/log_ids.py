"""Ids of records that are made of several columns (LOG_ID_COLUMNS).

Such an id is one text: for each column the length of its value in bytes (UTF-8), a colon, and the value. Ids of as many
columns are equal only if all their values are, whatever the values hold.
"""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a run that finds nothing new needs the roles alone
    import polars as pl

ID_PART = "log_id "
"""Prefix of the role of a column of an id; the number of the column follows, from 1. (A single column: ``log_id``.)"""


def id_roles(roles: Mapping[str, object]) -> tuple[str, ...]:
    """The roles of the columns that make the id, in their order."""
    return ("log_id",) if "log_id" in roles else tuple(role for role in roles if role.startswith(ID_PART))


def join_columns(parts: "Sequence[pl.Series]") -> "pl.Series":
    """Make the ids of columns of values (String); a single column is the id itself."""
    import polars as pl

    if len(parts) == 1:
        return parts[0].alias("log_id")
    frame = pl.DataFrame([part.alias(str(number)) for number, part in enumerate(parts)])
    pieces = [piece for name in frame.columns for piece in (pl.col(name).str.len_bytes(), pl.lit(":"), pl.col(name))]
    return frame.select(pl.concat_str(pieces).alias("log_id")).to_series()


def join_values(values: Sequence[str]) -> str:
    """Make one id of its values."""
    return values[0] if len(values) == 1 else "".join(f"{len(value.encode())}:{value}" for value in values)


def split_id(log_id: str, parts: int) -> list[str] | None:
    """The values of an id of several columns, which is given as ``join_values`` made it, or as a JSON list of values.

    None where the text is neither.
    """
    if log_id.startswith("["):
        try:
            values = json.loads(log_id)
        except json.JSONDecodeError:
            return None
        good = isinstance(values, list) and len(values) == parts and all(isinstance(value, str) for value in values)
        return values if good else None
    values, rest = [], log_id.encode(errors="surrogateescape")
    while rest:
        length, colon, rest = rest.partition(b":")
        if not colon or not length.isdigit() or len(length) > 10 or int(length) > len(rest):
            return None
        values.append(rest[: int(length)].decode(errors="replace"))
        rest = rest[int(length) :]
    return values if len(values) == parts and join_values(values) == log_id else None


def longest_value(log_id: str, parts: int) -> str:
    """The longest value of an id; the bytes of a record with the id hold it."""
    return log_id if parts == 1 else max(split_id(log_id, parts) or [log_id], key=len)
