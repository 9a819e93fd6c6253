"""Parses bytes of whole lines into columns of text by Polars, and asks the scanner whether the columns are right."""

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pipeline.reading import scanner
from pipeline.reading.header import Header
from pipeline.timing import stage

Positions = NDArray[np.int64]
REJECTED = pl.Schema(
    {
        "line": pl.Int64,
        "offset": pl.Int64,
        "reason": pl.String,
        "column": pl.String,
        "value": pl.String,
        "raw": pl.Binary,
    }
)
"""Columns of rejected records.

==========  ==================================================================================================
``line``    physical line on which the record begins, from 0, counted from the start of the split or the chunk
``offset``  first byte of the record, counted from the start of the split or the chunk
``reason``  why the record is rejected
``column``  header name of the column whose value is invalid; null if no single column is at fault
``value``   the invalid value; null as for ``column``
``raw``     the bytes of the record, without the line end
==========  ==================================================================================================
"""

NO_REJECTED = REJECTED.to_frame()
"""No rejected records. The frame is shared, because making a frame for every chunk takes time."""


@dataclass(frozen=True)
class TextColumns:
    """The records of one chunk as text. Row i of all columns and arrays is one well-formed record.

    ============  ======================================================================================
    ``texts``     role → String column without nulls
    ``offsets``   first byte of the record in the chunk
    ``stops``     the byte behind the record's last one; the line end is not part of the record
    ``lines``     physical line of the chunk on which the record begins, from 0
    ``rejected``  the malformed records, as ``REJECTED``; lines and offsets count from the chunk's start
    ============  ======================================================================================
    """

    texts: dict[str, pl.Series]
    offsets: Positions
    stops: Positions
    lines: Positions
    rejected: pl.DataFrame = field(default_factory=lambda: NO_REJECTED)

    @property
    def records(self) -> int:
        """Number of records, well-formed or rejected."""
        return len(self.offsets) + len(self.rejected)


def no_columns(header: Header) -> TextColumns:
    """No records, with a column for each role of ``header``."""
    return _no_columns(tuple(header.columns))


@lru_cache(maxsize=16)
def _no_columns(roles: tuple[str, ...]) -> TextColumns:
    nothing = np.empty(0, np.int64)
    return TextColumns(dict.fromkeys(roles, pl.Series([], dtype=pl.String)), nothing, nothing, nothing)


def rejected_frame(
    data: bytes,
    lines: Positions,
    starts: Positions,
    stops: Positions,
    reasons: pl.Series,
    columns: pl.Series | None = None,
    values: pl.Series | None = None,
) -> pl.DataFrame:
    """Make a frame (``REJECTED``) of the records that have the bytes from ``starts`` to ``stops`` of ``data``."""
    raw = [data[start:stop] for start, stop in zip(starts.tolist(), stops.tolist(), strict=True)]
    nothing = pl.repeat(None, len(lines), dtype=pl.String, eager=True)
    return pl.DataFrame(
        {
            "line": lines,
            "offset": starts,
            "reason": reasons,
            "column": nothing if columns is None else columns,
            "value": nothing if values is None else values,
            "raw": raw,
        },
        schema=REJECTED,
    )


def parse(data: bytes, header: Header) -> dict[str, pl.Series] | None:
    """Parse ``data``, lines without a header, by Polars: role → String column, or None where Polars fails.

    No type is inferred and no line is left out. Empty fields become empty strings.
    """
    schema = {f"c{index}": pl.String for index in range(header.fields)}
    try:
        with stage("parse", len(data)):
            frame = pl.read_csv(
                data,
                has_header=False,
                columns=sorted(set(header.columns.values())),
                separator=header.delimiter,
                quote_char='"' if b'"' in data else None,
                schema=schema,
                infer_schema=False,
                empty_string_is_null=False,
                low_memory=True,
            )
    except pl.exceptions.PolarsError:
        return None
    return {role: frame[f"c{index}"] for role, index in header.columns.items()}


def check(data: bytes, texts: dict[str, pl.Series], header: Header, max_record: int) -> Positions | None:
    """Compare ``texts`` (role → column) with ``data`` by the scanner: the start of every record, or None where they
    differ."""
    columns = {header.columns[role]: text for role, text in texts.items()}
    with stage("verify", len(data)):
        return scanner.check(data, ord(header.delimiter), header.fields, columns, max_record)
