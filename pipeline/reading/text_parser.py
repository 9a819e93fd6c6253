"""The parser: bytes of whole lines to columns of text, by Polars, and whether the scanner agrees."""

from dataclasses import dataclass, field

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
"""Records that are not counted; ``line`` (from 0) and ``offset`` (bytes) relative to the start of split or chunk."""


NO_REJECTED = REJECTED.to_frame()
"""None of them; made once, because frames of Python's making take their time."""


@dataclass(frozen=True)
class TextColumns:
    """The records of one chunk as text. Row ``i`` of each column and array belongs to one well-formed record.

    | field | meaning |
    |---|---|
    | texts | role → String column without nulls |
    | offsets, stops | first byte of the record in the chunk, and the byte behind its last one, without the line end |
    | lines | physical line of the chunk on which the record begins, from 0 |
    | rejected | the malformed records, as ``REJECTED``, with lines and offsets in the chunk |
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
    nothing = np.empty(0, np.int64)
    return TextColumns({role: pl.Series([], dtype=pl.String) for role in header.columns}, nothing, nothing, nothing)


def rejected_frame(
    data: bytes,
    lines: Positions,
    starts: Positions,
    stops: Positions,
    reasons: pl.Series,
    columns: pl.Series | None = None,
    values: pl.Series | None = None,
) -> pl.DataFrame:
    """Rejected records (as ``REJECTED``) whose bytes in ``data`` go from ``starts`` to ``stops``."""
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
    """Text columns of ``data`` by role, as Polars reads them; None where it cannot.

    Every value is text and empty fields are empty strings: nothing is inferred, cast or left out here.
    """
    schema = {f"c{place}": pl.String for place in range(header.fields)}
    try:
        with stage("parse", len(data)):
            frame = pl.read_csv(
                data,
                has_header=False,
                columns=sorted(header.columns.values()),
                separator=header.delimiter,
                quote_char='"' if b'"' in data else None,
                schema=schema,
                infer_schema=False,
                empty_string_is_null=False,
                low_memory=True,
            )
    except pl.exceptions.PolarsError:
        return None
    return {role: frame[f"c{place}"] for role, place in header.columns.items()}


def check(data: bytes, texts: dict[str, pl.Series], header: Header, max_record: int) -> Positions | None:
    """Start of every record where the scanner finds ``texts`` to be what ``data`` says, else None."""
    columns = {header.columns[role]: text for role, text in texts.items()}
    with stage("verify", len(data)):
        return scanner.check(data, ord(header.delimiter), header.fields, columns, max_record)
