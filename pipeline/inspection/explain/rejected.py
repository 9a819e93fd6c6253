"""Finds the rejected records with one log_id among those that Phase 1 wrote for each split."""

from dataclasses import dataclass
from typing import Any

import polars as pl

from pipeline.exchange.workspace import split_file
from pipeline.history.known_files import KnownFile
from pipeline.inspection.explain.published import Published
from pipeline.inspection.explain.sources import placed_splits
from pipeline.preprocess.ledger import PlacedSplit
from pipeline.privacy import mask_addresses
from pipeline.reading.header import Header
from pipeline.reading.log_ids import id_roles, join_values, longest_value
from pipeline.reading.single_record import read_record


@dataclass(frozen=True)
class RejectedCopy:
    """A rejected record.

    Attributes:
        file: the path of its file, as it is shown.
        line: the physical line (from 1) at which the record begins.
        byte_offset: the offset in the file at which the record begins.
        reason: why the record was rejected.
        column: the column that is at fault, where one is.
        value: the value of this column; its addresses are cut.
        raw: the whole record; its addresses are cut.
    """

    file: str
    line: int
    byte_offset: int
    reason: str
    column: str | None
    value: str | None
    raw: str


def find_rejected(published: Published, file: KnownFile, log_id: str) -> tuple[list[RejectedCopy], str | None]:
    """Find the rejected records of a file that have this log_id.

    Returns (the records, None), or (those of the first splits, why the others cannot be searched).
    """
    copies: list[RejectedCopy] = []
    for placed in placed_splits(file).values():
        path = published.store.path("rejects", split_file(placed.result.split.number))
        if not placed.result.rejected or not path.exists():
            continue
        rows = pl.scan_parquet(path, glob=False)
        if published.hidden or rows.select(pl.col("raw").null_count() == pl.len()).collect().item():
            return copies, (
                "some rejected records cannot be searched by log_id: their bytes are not kept "
                "(QUARANTINE_RAW, PSEUDONYMIZE_USERS, QUARANTINE_RETENTION_DAYS)"
            )
        needle = longest_value(log_id, published.id_parts).encode().replace(b'"', b'""')
        result, max_record = placed.result, published.max_record
        found = rows.filter(pl.col("raw").bin.contains(needle)).collect().to_dicts()
        copies += [
            _describe(file, placed, row)
            for row in found
            if _log_id(row["raw"], result.header_at(row["byte_offset"]), max_record) == log_id
        ]
    return copies, None


def rejected_offsets(published: Published, placed: PlacedSplit) -> set[int]:
    """The offsets from the start of a split at which its rejected records begin."""
    path = published.store.path("rejects", split_file(placed.result.split.number))
    if not placed.result.rejected:
        return set()
    return set(pl.read_parquet(path, columns=["byte_offset"], glob=False)["byte_offset"].to_list())


def _log_id(raw: bytes, header: Header, max_record: int) -> str | None:
    """The value in the column of the log_id, also of a malformed record; None where the record is too short, or its
    header has no such column."""
    delimiter = header.delimiter.encode()
    values = read_record(raw + b"\n", 0, delimiter, header.fields, max_record).values or tuple(raw.split(delimiter))
    numbers = [header.columns[role] for role in id_roles(header.columns)]
    if not numbers or max(numbers) >= len(values):
        return None
    return join_values([values[number].decode(errors="backslashreplace") for number in numbers])


def _describe(file: KnownFile, placed: PlacedSplit, row: dict[str, Any]) -> RejectedCopy:
    return RejectedCopy(
        file.shown,
        placed.first_line + row["line"],
        placed.result.start + row["byte_offset"],
        row["reason"],
        row["column"],
        row["value"] and mask_addresses(row["value"]),
        mask_addresses(row["raw"].decode(errors="backslashreplace")),
    )
