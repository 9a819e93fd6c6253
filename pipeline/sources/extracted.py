"""What extraction makes of a file: Parquet files of good rows, one of rejected rows, and their counts."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import polars as pl

from pipeline.machine import writing
from pipeline.sources.typed_rows import REJECTS

_REJECTS_AT_ONCE = 100_000


@dataclass(frozen=True)
class Extracted:
    """The rows of one file.

    ==============  ==============================================================
    ``rows``        good rows
    ``files``       names of the Parquet files in the folder that have them
    ``rejected``    how many rows were rejected, by reason
    ``rejects``     names of the Parquet files in the folder that have those
    ==============  ==============================================================
    """

    rows: int
    files: tuple[str, ...]
    rejected: dict[str, int] = field(default_factory=dict)
    rejects: tuple[str, ...] = ()


class RejectedRows:
    """Collects the rejected rows of one file of a source."""

    def __init__(self, table: str, file: str) -> None:
        self._table, self._file = table, file
        self._rows: list[tuple[object, ...]] = []
        self._counts: Counter[str] = Counter()

    def add(self, line: int | None, reason: str, column: str, value: str | None, raw: bytes | None) -> None:
        """Add a row: its line (from 1), why it is rejected, the column and its text, and the bytes of the record."""
        self._counts[reason] += 1
        self._rows.append((self._table, self._file, line, reason, column or None, value, None, raw))

    def finish(self, folder: Path, rows: int, files: list[str]) -> Extracted:
        """Write the rejected rows into ``folder``. Returns the counts of the file."""
        names: list[str] = []
        for begin in range(0, len(self._rows), _REJECTS_AT_ONCE):
            frame = pl.DataFrame(self._rows[begin : begin + _REJECTS_AT_ONCE], schema=REJECTS, orient="row")
            names.append(_write(folder / f"rejects-{len(names):04d}.parquet", frame))
        return Extracted(rows, tuple(files), dict(self._counts), tuple(names))


@dataclass(frozen=True)
class Stamp:
    """What extraction adds to each row: ``_source`` (its file), ``_extracted_at`` (naive UTC) and ``_run``."""

    source: str
    extracted_at: datetime
    run: str

    def write_rows(self, folder: Path, number: int, rows: pl.DataFrame) -> str:
        """Write good rows as the file of this number. Returns its name."""
        stamped = rows.with_columns(
            pl.lit(self.source).alias("_source"),
            pl.lit(self.extracted_at, pl.Datetime("us")).alias("_extracted_at"),
            pl.lit(self.run).alias("_run"),
        )
        return _write(folder / f"rows-{number:06d}.parquet", stamped)


def _write(path: Path, frame: pl.DataFrame) -> str:
    with writing(path):
        frame.write_parquet(path, compression="lz4", statistics=False)
    return path.name
