"""Columns of 64 bits in files of rows, read from where they lie: nothing is decoded."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.arrow import column

_HEADER_BYTES = 32
"""A page's header takes 17 to 29 bytes, two of them more than this."""


def read_plain(path: Path, names: Sequence[str]) -> list[NDArray[np.uint64]]:
    """Columns (PLAIN, uncompressed, without nulls) of a file.

    Their values are the end of a chunk that is one page, as ``intermediate.rows_writer`` writes it; others are decoded.
    """
    file = pq.ParquetFile(path, pre_buffer=False)
    places = [file.schema_arrow.get_field_index(name) for name in names]
    columns = [np.empty(file.metadata.num_rows, np.uint64) for _ in names]
    first = 0
    with path.open("rb") as stream:
        for number in range(file.num_row_groups):
            group = file.metadata.row_group(number)
            stop = first + group.num_rows
            for name, place, values in zip(names, places, columns, strict=True):
                chunk = group.column(place)
                begin = chunk.total_compressed_size - 8 * group.num_rows
                stream.seek(chunk.data_page_offset + begin)
                if begin >= _HEADER_BYTES or stream.readinto(values[first:stop].data) < 8 * group.num_rows:
                    rows = file.read_row_group(number, [name], use_threads=False).combine_chunks()
                    values[first:stop] = column(rows, name).view(np.uint64)
            first = stop
    return columns
