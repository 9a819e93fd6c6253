"""Rejected records with one log_id, from what Phase 1 left of each split."""

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
    """A record in the quarantine; addresses in ``value`` and ``raw`` are cut."""

    file: str
    line: int
    byte_offset: int
    reason: str
    column: str | None
    value: str | None
    raw: str


def find_rejected(published: Published, file: KnownFile, log_id: str) -> Iterator[RejectedCopy]:
    """The rejected records of a finished file whose log_id this is, as far as their bytes are kept."""
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
    """Where a split's rejected records begin, counted from its start."""
    path = published.store.path("rejects", split_file(placed.result.split.number))
    if not placed.result.rejected:
        return set()
    return set(pl.read_parquet(path, columns=["byte_offset"], glob=False)["byte_offset"].to_list())


def _log_id(raw: bytes, header: Header, max_record: int) -> str | None:
    """The value in the place of the log_id, also of a record that is malformed."""
    delimiter = header.delimiter.encode()
    values = read_record(raw + b"\n", 0, delimiter, header.fields, max_record).values or tuple(raw.split(delimiter))
    place = header.columns["log_id"]
    if place >= len(values):
        return None
    return values[place].decode(errors="backslashreplace")
