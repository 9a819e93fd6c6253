"""How much memory rows take: what planning and Phase 2 count by, because rows can be short or as long as a record."""

import pyarrow as pa

from pipeline.native.arrow import text_bounds

ROW_BYTES = 120
"""Memory of a row without its user_id: two hashes, amounts, positions, sort keys and a view."""
TEXT_COPIES = 4
"""How often a user_id is in memory: in a row, in a total, and while one of them is read, compared or written."""

_TABLE_BYTES = 4_000
"""Memory of a table without its rows: there may be very many small ones."""
_BATCH_ROWS = 1024
"""How many rows pyarrow's writer takes at a time by default."""
_BATCH_BYTES = 1 << 20


def row_memory(rows: int, text_bytes: int) -> int:
    """Bytes of memory that ``rows`` rows take, whose user_ids have ``text_bytes`` bytes in all."""
    return rows * ROW_BYTES + text_bytes * TEXT_COPIES


def memory_of(rows: pa.Table) -> int:
    """Bytes of memory that the rows of a table take; its column user_id is in one chunk."""
    if not len(rows):
        return 0
    bounds = text_bounds(rows["user_id"].chunk(0))
    return table_memory(len(rows), int(bounds[-1] - bounds[0]))


def table_memory(rows: int, text_bytes: int) -> int:
    """Bytes of memory that a table of ``rows`` rows takes, whose user_ids have ``text_bytes`` bytes in all."""
    return _TABLE_BYTES + row_memory(rows, text_bytes)


def batch_rows(user_bytes: int) -> int:
    """How many rows a Parquet writer takes at a time, where a user_id has ``user_bytes`` bytes: it looks at the size of
    its page only between two batches."""
    return max(1, min(_BATCH_ROWS, _BATCH_BYTES // max(1, user_bytes)))
