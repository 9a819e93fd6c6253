"""Sizes of a job's work from the memory limit: in how many buckets a data set is made, and who makes them."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl
import pyarrow.parquet as pq

from pipeline.datasets.dataset import DataSet
from pipeline.datasets.tasks import TableFiles
from pipeline.errors import EnvironmentFault
from pipeline.sources.extracted import TEXT_BYTES
from utils.units import format_size

_PROCESS_BYTES = 300_000_000
"""Memory of a process before it holds rows: interpreter, Polars, PyArrow."""
_COPIES = 3.0
"""Memory of a bucket while it is made, in multiples of its inputs: the result, its sort, and what is on the way."""
_COPIES_OF_PARTITIONS = 4.5
"""The same where the result is divided into partitions, which are sorted one by one."""
_MOST_BUCKETS = 4_096
PART_ROWS = 4_000_000
PART_BYTES = 200_000_000
"""Rows, and bytes in memory, of the keyed inputs for each file of a table without partitions."""


@dataclass(frozen=True)
class Memory:
    """Memory for rows: ``alone``, in this process with all its threads; ``shared``, in each of ``workers``.

    ``core_bytes``: on a cluster, what each worker has; on this machine all together have ``limit``.
    """

    limit: int
    workers: int
    core_bytes: int = 0

    @property
    def alone(self) -> int:
        """Bytes for rows in this process, where no worker runs."""
        return self.limit - _PROCESS_BYTES

    @property
    def shared(self) -> int:
        """Bytes for rows in each worker."""
        if self.core_bytes:
            return max(self.core_bytes // 5, self.core_bytes - _PROCESS_BYTES)
        return max(self.limit // 20, (self.limit - _PROCESS_BYTES) // self.workers - _PROCESS_BYTES)

    @property
    def has_room_for_workers(self) -> bool:
        """Whether what workers need for themselves leaves them at least half of what this process alone would have."""
        return self.shared * self.workers >= self.alone // 2


def bytes_of(table: TableFiles, schema: dict[str, pl.DataType]) -> int:
    """About how much memory the columns of a table take that are read."""
    wanted = table.columns or tuple(schema)
    total = 0
    for path in table.files:
        footer = pq.read_metadata(path)
        fixed = sum(_width(schema[name]) for name in wanted if name in schema)
        total += footer.num_rows * fixed
        texts = {name for name in wanted if isinstance(schema.get(name), pl.String)}
        if texts and footer.num_rows:
            total += _text_bytes(footer, texts)
    return total


def exact_bytes(table: TableFiles, schema: dict[str, pl.DataType]) -> int:
    """The memory of all columns of a table, the same however its rows are divided into files; 0 where files of earlier
    versions do not tell it."""
    total = 0
    for path in table.files:
        footer = pq.read_metadata(path)
        texts = (footer.metadata or {}).get(TEXT_BYTES.encode())
        if texts is None:
            return 0
        total += footer.num_rows * sum(map(_width, schema.values())) + int(texts)
    return total


def rows_of(table: TableFiles) -> int:
    """Rows of the files of a table."""
    return sum(pq.read_metadata(path).num_rows for path in table.files)


def memory_of_bucket(keyed: int, whole: int) -> int:
    """Memory of a data set whose inputs have so many bytes, while it is made in one bucket."""
    return int(keyed * _COPIES + whole * 1.5)


def choose_buckets(one: DataSet, keyed: int, whole: int, memory: Memory, *, alone: bool) -> int:
    """In how many buckets (a power of two) a data set is made. ``keyed``, ``whole``: bytes of its inputs.

    Raises EnvironmentFault where what every bucket needs whole is larger than a worker's memory.
    """
    copies = _COPIES_OF_PARTITIONS if one.partition_by else _COPIES
    room = memory.alone if alone else memory.shared
    left = room - memory_of_bucket(0, whole)
    least = int(room * 0.1)
    if left < least or (not one.by and keyed * copies > left):
        raise EnvironmentFault(
            f"data set {one.name} needs {', '.join(one.whole) or ', '.join(one.inputs)} whole, about "
            f"{format_size(whole + (0 if one.by else keyed))} in memory, and there are {format_size(room)} for it. "
            "Raise --memory-limit, read fewer columns, or divide the inputs with by and keyed."
        )
    buckets = 1
    while keyed * copies / buckets > left and buckets < _MOST_BUCKETS:
        buckets *= 2
    return buckets if alone or buckets == 1 else max(buckets, _at_least(memory.workers))


def most_rows(row_bytes: float, room: int, limit: int) -> int:
    """How many rows of so many bytes are held at a time, with what is made of them, in ``room`` bytes; at most
    ``limit``."""
    return max(1, min(limit, int(room / _COPIES / max(1.0, row_bytes))))


def threads_for(size: int, memory: Memory) -> int:
    """How many tasks run at once in this process that hold ``size`` bytes of rows each."""
    return max(1, min(memory.workers, int(memory.alone / _COPIES / max(1, size))))


def choose_parts(one: DataSet, rows: int, size: int) -> int:
    """In how many files a table without partitions is stored: a power of two by the rows and the exact size of its
    largest keyed input. How the inputs were cut, and the memory limit, change nothing."""
    if one.partition_by or not one.by or not set(one.by) <= set(one.contract.columns):
        return 1
    parts = 1
    while rows / parts > PART_ROWS or size / parts > PART_BYTES:
        parts *= 2
    return parts


def check_fits(what: str, size: int, memory: Memory, advice: str) -> None:
    """Raise EnvironmentFault where what has to be held at once cannot stay within the limit. ``size``: bytes of its
    rows."""
    if size * _COPIES > 2 * memory.limit:
        raise EnvironmentFault(
            f"{what}: its rows take about {format_size(size)} in memory, and several times as much while they are "
            f"sorted; the limit is {format_size(memory.limit)}. Raise --memory-limit, or {advice}."
        )


def _at_least(workers: int) -> int:
    buckets = 1
    while buckets < 2 * workers:
        buckets *= 2
    return buckets


def _width(kind: pl.DataType) -> int:
    if isinstance(kind, pl.String | pl.List | pl.Decimal):
        return 16
    return 4 if isinstance(kind, pl.Date | pl.Int32) else 1 if isinstance(kind, pl.Boolean) else 8


def _text_bytes(footer: pq.FileMetaData, names: set[str]) -> int:
    """Bytes of texts as they are stored without compression; a dictionary may store many equal ones once."""
    total = 0
    for number in range(footer.num_row_groups):
        group = footer.row_group(number)
        for column in range(group.num_columns):
            chunk = group.column(column)
            if chunk.path_in_schema in names:
                total += int(chunk.total_uncompressed_size)
    return total


def sum_bytes(tables: Sequence[tuple[TableFiles, dict[str, pl.DataType]]]) -> int:
    """About how much memory some tables take."""
    return sum(bytes_of(table, schema) for table, schema in tables)
