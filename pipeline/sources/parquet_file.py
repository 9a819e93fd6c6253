"""Extracts a Parquet file: its rows as the contract types them, and those that do not fit."""

import polars as pl
import pyarrow.parquet as pq

from pipeline.errors import InputError
from pipeline.machine import display_name
from pipeline.sources.columns import Column
from pipeline.sources.extracted import Extracted, ExtractWriter, Stamp
from pipeline.sources.source import Source
from pipeline.sources.typed_rows import type_rows
from pipeline.storage.transfer import spooled
from pipeline.storage.urls import is_url

_ROWS_AT_ONCE = 1_000_000


def extract_parquet(source: Source, path: str, stamp: Stamp, writer: ExtractWriter) -> Extracted:
    """Extract the file at a path or URL with ``writer``, some rows at a time. ``line`` of a rejected row is its number
    in the file.

    Raises InputError where the file is no Parquet or lacks a column.
    """
    if not is_url(path):
        return _extract(source, path, path, stamp, writer)
    with spooled(path, writer.folder) as copy:
        return _extract(source, path, copy.name, stamp, writer)


def _extract(source: Source, path: str, file: str, stamp: Stamp, writer: ExtractWriter) -> Extracted:
    """``extract_parquet`` of a local ``file``, which is ``path`` to people."""
    try:
        found = pq.read_schema(file).names
    except (OSError, ValueError) as fault:
        raise InputError(f"{display_name(path)} cannot be read as Parquet ({type(fault).__name__}).") from None
    columns = [_column(known, column, found, path) for known, column in source.contract.columns.items()]
    scan = pl.scan_parquet(file, glob=False, hive_partitioning=False)
    for begin in range(0, pq.read_metadata(file).num_rows, _ROWS_AT_ONCE):
        texts = scan.slice(begin, _ROWS_AT_ONCE).select(columns).collect()
        good, rejected = type_rows(texts, source.contract)
        if len(good):
            writer.add(stamp.add_to(good))
        if rejected:
            for row, reason in zip(rejected.rows, rejected.reasons.iter_rows(named=True), strict=True):
                line = begin + row + 1
                writer.reject(stamp.source, line, reason["check"], reason["column"], reason["value"], None)
    return writer.finish()


def _column(name: str, column: Column, found: list[str], path: str) -> pl.Expr:
    there = next((known for known in column.names(name) if known in found), None)
    if there:
        return pl.col(there).alias(name)
    if column.optional:
        return pl.lit(None, column.dtype).alias(name)
    raise InputError(
        f"{display_name(path)} lacks the column {' or '.join(column.names(name))}. Its columns are "
        f"{', '.join(found)}. Say in the contract (read_from=...) or the job's settings (names.SOURCE.COLUMN) what "
        "it is called there."
    )
