"""Columns of 64 bits in files of rows, mapped into memory: only what is looked at is read."""

import mmap
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.arrow import to_numpy

_HEADER_BYTES = 32
"""A page's header takes 17 to 29 bytes, two of them more than this."""


def map_columns(path: Path, names: Sequence[str]) -> Iterator[list[NDArray[np.uint64]]]:
    """Columns (PLAIN, uncompressed, without nulls) of each row group in turn.

    Their values are the end of a chunk that is one page, as ``intermediate.rows_writer`` writes it; others are decoded.
    """
    file = pq.ParquetFile(path)
    places = [file.schema_arrow.get_field_index(name) for name in names]
    with path.open("rb") as stream:
        content = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    for number in range(file.num_row_groups):
        group = file.metadata.row_group(number)
        columns = []
        for name, place in zip(names, places, strict=True):
            chunk = group.column(place)
            size = 8 * group.num_rows
            if chunk.total_compressed_size - size < _HEADER_BYTES:
                first = chunk.data_page_offset + chunk.total_compressed_size - size
                columns.append(np.frombuffer(content, np.uint64, group.num_rows, first))
            else:
                columns.append(_decoded(file, number, name))
        yield columns


def let_go(values: NDArray[np.generic]) -> None:
    """Take the pages of a mapped file out of the memory that counts as the process's: they stay in the page cache, and
    come back when they are looked at."""
    owner: object = values
    while isinstance(owner, np.ndarray):
        owner = owner.base
    if isinstance(owner, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        owner.madvise(mmap.MADV_DONTNEED)


def _decoded(file: pq.ParquetFile, group: int, name: str) -> NDArray[np.uint64]:
    values = file.read_row_group(group, [name], use_threads=False).combine_chunks()[name].chunk(0)
    return to_numpy(values).view(np.uint64)
