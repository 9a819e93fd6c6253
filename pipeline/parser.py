"""The parser: bytes of whole lines to columns of text, by Polars, and whether the scanner agrees."""

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pipeline import scanner
from pipeline.header import Header
from pipeline.stages import stage

Positions = NDArray[np.int64]


class Rejected(NamedTuple):
    """A record that is not counted. ``line`` (from 0) and ``offset`` (bytes) are relative to the split's start."""

    line: int
    offset: int
    reason: str
    column: str | None
    value: str | None
    raw: bytes


@dataclass
class TextColumns:
    """Text columns of one chunk by role, with each row's byte offset and line in the chunk.

    ``warned``: good rows that break a warning rule, by the rule's reason.
    """

    texts: dict[str, pl.Series]
    offsets: NDArray[np.int64]
    lines: NDArray[np.int64]
    rejected: list[Rejected] = field(default_factory=list)
    warned: Counter[str] = field(default_factory=Counter)

    @property
    def records(self) -> int:
        """Records that were found, good or not."""
        return len(self.offsets) + len(self.rejected)


def no_columns(header: Header) -> TextColumns:
    nothing = np.empty(0, np.int64)
    return TextColumns({role: pl.Series([], dtype=pl.String) for role in header.columns}, nothing, nothing)


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
