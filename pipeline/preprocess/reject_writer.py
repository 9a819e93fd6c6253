"""Writes the rejected records of one split while the split is read."""

from collections import Counter
from pathlib import Path
from types import TracebackType

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.exchange.workspace import Workspace, split_file
from pipeline.machine import writing
from pipeline.privacy import mask_addresses
from pipeline.staging import remove, staged

SCHEMA = pa.schema(
    [
        ("file", pa.string()),
        ("line", pa.int64()),
        ("byte_offset", pa.int64()),
        ("reason", pa.string()),
        ("column", pa.string()),
        ("value", pa.string()),
        ("raw", pa.binary()),
    ]
)
"""Columns of rejected records on disk. In the file of a split ``file`` is null, and ``line`` (from 0) and
``byte_offset`` count from the start of the split. ``value`` is masked; ``raw`` is null where raw bytes are not kept."""

GROUP_ROWS = 65_536
"""Most rows of a row group: short records take many times their bytes in memory."""
_FLUSH_BYTES = 4 * 2**20
"""Bytes of records that wait in memory before they are written."""


class RejectWriter:
    """Writes rejected records in columns of SCHEMA, in bounded memory; makes no file where there are none.

    ``counts``: reason → records. ``keep_raw``: whether to write the raw bytes.
    """

    def __init__(self, path: Path, keep_raw: bool) -> None:
        self.counts: Counter[str] = Counter()
        self._path = path
        self._keep_raw = keep_raw
        self._writer: pq.ParquetWriter | None = None
        self._waiting: list[pl.DataFrame] = []
        self._bytes = 0

    def __enter__(self) -> "RejectWriter":
        remove(self._path)  # of an earlier reading of the split
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._flush()
        if self._writer:
            with writing(self._path):
                self._writer.close()

    def add(self, rejected: pl.DataFrame) -> None:
        """Add rejected records, in columns of ``reading.text_parser.REJECTED``."""
        if not len(rejected):
            return
        self.counts.update(dict(rejected.group_by("reason", maintain_order=True).len().iter_rows()))
        self._waiting.append(rejected)
        self._bytes += int(rejected.estimated_size())
        if self._bytes > _FLUSH_BYTES:
            self._flush()

    def _flush(self) -> None:
        if not self._waiting:
            return
        if self._writer is None:
            self._path = staged(self._path)
            with writing(self._path):
                self._writer = pq.ParquetWriter(self._path, SCHEMA, compression="zstd")
        frame = pl.concat(self._waiting).select(
            pl.lit(None, pl.String).alias("file"),
            "line",
            pl.col("offset").alias("byte_offset"),
            "reason",
            "column",
            pl.col("value").map_batches(_mask, return_dtype=pl.String),
            "raw" if self._keep_raw else pl.lit(None, pl.Binary).alias("raw"),
        )
        table = frame.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(SCHEMA)
        with writing(self._path):
            self._writer.write_table(table, row_group_size=GROUP_ROWS)
        self._waiting, self._bytes = [], 0


def _mask(values: pl.Series) -> pl.Series:
    """The values with their IP addresses masked."""
    return pl.Series(values.name, [value and mask_addresses(value) for value in values.to_list()], dtype=pl.String)


def reject_file(workspace: Workspace, number: int) -> Path:
    """The path of the rejected records of split ``number``."""
    return workspace.path("rejects", split_file(number))
