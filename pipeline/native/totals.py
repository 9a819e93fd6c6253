"""Adds up rows per user and region, in a hash table of the compiled library."""

from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.native.arrow import text_bounds, to_arrow
from pipeline.native.library import load

_TOTAL_BYTES = 100
"""Memory of a total without its user_id: in the table, its slots, and as it is read."""
_TEXT_COPIES = 3
"""How often a user_id is in memory: in the table, which grows by copying, and as it is read."""


class TotalsTable:
    """Totals per user and region. The memory of the table is not Python's: call ``free`` at the end.

    ``expected``: number of totals for which room is made at first. Every method but ``free`` raises MemoryError.
    """

    def __init__(self, library: Path, expected: int) -> None:
        self._library = load(library)
        self._table = self._library.new_totals(expected)
        if not self._table:
            raise MemoryError
        self._count = 0

    def free(self) -> None:
        """Free the memory of the table. Call no other method afterwards."""
        self._library.free_totals(self._table)

    def add(
        self,
        users: pa.LargeStringArray,
        region: NDArray[np.uint16],
        micro_minutes: NDArray[np.int64],
        skipped: NDArray[np.bool_],
        sign: int,
    ) -> None:
        """Add rows (``sign`` 1) or subtract them (-1), without those that are ``skipped``; a row is one event."""
        if not len(users):
            return
        _, bounds, texts = users.buffers()
        region, micro_minutes = np.ascontiguousarray(region), np.ascontiguousarray(micro_minutes)
        self._count = self._library.add_rows(
            self._table,
            texts.address if texts else None,
            bounds.address + 8 * users.offset,
            region.ctypes.data,
            micro_minutes.ctypes.data,
            np.ascontiguousarray(skipped).ctypes.data,
            sign,
            len(users),
        )
        if self._count < 0:
            raise MemoryError

    def add_totals(
        self,
        users: pa.StringArray | pa.LargeStringArray,
        region: NDArray[np.uint16],
        micro_minutes: NDArray[np.int64],
        events: NDArray[np.int64],
    ) -> None:
        """Add totals of earlier rows: for each user and region, the sum of micro-minutes and the number of events."""
        if not len(users):
            return
        bounds, texts = text_bounds(users), users.buffers()[2]
        self._count = self._library.add_totals(
            self._table,
            texts.address if texts else None,
            bounds.ctypes.data,
            *(array.ctypes.data for array in (region, micro_minutes, events)),
            len(users),
        )
        if self._count < 0:
            raise MemoryError

    @property
    def memory(self) -> int:
        """Bytes that the totals take, with the copies that ``ordered`` makes."""
        return self._count * _TOTAL_BYTES + int(self._library.totals_text_bytes(self._table)) * _TEXT_COPIES

    def ordered(self, *, whole: bool = False) -> tuple[pa.Table, int, str | None]:
        """Read the totals that have events, or all of them if ``whole``: (table in order of region, number of users
        with events, user_id or None).

        The table has the columns user_id (large_string), region (uint16), micro_minutes and event_count (int64). The
        user_id is of a user and region whose sum passed int64, if there is one.
        """
        texts = np.empty(self._library.totals_text_bytes(self._table), np.uint8)
        bounds = np.empty(self._count + 1, np.int64)
        region = np.empty(self._count, np.uint16)
        micro_minutes, events = np.empty(self._count, np.int64), np.empty(self._count, np.int64)
        found = np.empty(3, np.int64)
        columns = (texts, bounds, region, micro_minutes, events)
        self._library.read_totals(self._table, *(array.ctypes.data for array in columns), int(whole), found.ctypes.data)
        rows, users, beyond = found.tolist()
        if users < 0:
            raise MemoryError
        user_ids = pa.LargeStringArray.from_buffers(rows, pa.py_buffer(bounds), pa.py_buffer(texts))
        numbers = [to_arrow(array[:rows]) for array in (region, micro_minutes, events)]
        table = pa.Table.from_arrays([user_ids, *numbers], ["user_id", "region", "micro_minutes", "event_count"])
        return table, users, user_ids[beyond].as_py() if beyond >= 0 else None
