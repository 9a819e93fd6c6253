"""Finds the rejected records with one log_id among those that Phase 1 wrote for each split."""

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from pipeline.exchange.workspace import split_file
from pipeline.history.journal import ledger_of
from pipeline.history.known_files import KnownFile
from pipeline.inspection.explain.published import Published
from pipeline.preprocess.ledger import PlacedSplit
from pipeline.privacy import mask_addresses
from pipeline.reading.header import Header
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


def find_rejected(published: Published, file: KnownFile, log_id: str) -> Iterator[RejectedCopy]:
    """Find the rejected records of a finished file that have this log_id.

    Where the bytes of rejected records are not kept, a note says so, and none are found.
    """
    if not file.finished:
        return
    for placed in ledger_of(file, file.path, at_hand=True).splits:
        path = published.store.path("rejects", split_file(placed.result.split.number))
        if not placed.result.rejected or not path.exists():
            continue
        rows = pl.scan_parquet(path, glob=False)
        if published.hidden or rows.select(pl.col("raw").null_count() == pl.len()).collect().item():
            published.notes.append(
                "some rejected records cannot be searched by log_id: their bytes are not kept "
                "(QUARANTINE_RAW, PSEUDONYMIZE_USERS, QUARANTINE_RETENTION_DAYS)"
            )
            return
        needle = log_id.encode().replace(b'"', b'""')
        for row in rows.filter(pl.col("raw").bin.contains(needle)).collect().to_dicts():
            if _log_id(row["raw"], placed.result.split.header, published.max_record) == log_id:
                value = row["value"] and mask_addresses(row["value"])
                yield RejectedCopy(
                    file.shown,
                    placed.first_line + row["line"],
                    placed.result.start + row["byte_offset"],
                    row["reason"],
                    row["column"],
                    value,
                    mask_addresses(row["raw"].decode(errors="backslashreplace")),
                )


def rejected_offsets(published: Published, placed: PlacedSplit) -> set[int]:
    """The offsets from the start of a split at which its rejected records begin."""
    path = published.store.path("rejects", split_file(placed.result.split.number))
    if not placed.result.rejected:
        return set()
    return set(pl.read_parquet(path, columns=["byte_offset"], glob=False)["byte_offset"].to_list())


def _log_id(raw: bytes, header: Header, max_record: int) -> str | None:
    """The value in the column of the log_id, also of a malformed record; None where the record is too short."""
    delimiter = header.delimiter.encode()
    values = read_record(raw + b"\n", 0, delimiter, header.fields, max_record).values or tuple(raw.split(delimiter))
    number = header.columns["log_id"]
    if number >= len(values):
        return None
    return values[number].decode(errors="backslashreplace")
