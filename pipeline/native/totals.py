"""TotalsTable per user and region, added up row by row in a hash table."""

from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.native.arrow import text_bounds, to_arrow
from pipeline.native.library import load


class TotalsTable:
    """A table with room for so many totals, which grows; ``free`` must end it."""

    def __init__(self, library: Path, expected: int) -> None:
        self._kernel = load(library)
        self._table = self._kernel.new_totals(expected)
        if not self._table:
            raise MemoryError
        self._count = 0

    def free(self) -> None:
        """Give its memory back; nothing else may be called afterwards."""
        self._kernel.free_totals(self._table)

    def add(
        self,
        users: pa.LargeStringArray,
        region: NDArray[np.uint16],
        micro_minutes: NDArray[np.int64],
        skipped: NDArray[np.bool_],
        sign: int,
    ) -> None:
        """Add (``sign`` 1) or subtract (-1) one event for each row that is not ``skipped``."""
        if not len(users):
            return
        _, bounds, texts = users.buffers()
        region, micro_minutes = np.ascontiguousarray(region), np.ascontiguousarray(micro_minutes)
        self._count = self._kernel.add_rows(
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
        """Add totals of earlier rows."""
        if not len(users):
            return
        bounds, texts = text_bounds(users), users.buffers()[2]
        self._count = self._kernel.add_totals(
            self._table,
            texts.address if texts else None,
            bounds.ctypes.data,
            *(array.ctypes.data for array in (region, micro_minutes, events)),
            len(users),
        )
        if self._count < 0:
            raise MemoryError

    def ordered(self) -> tuple[pa.Table, int, str | None]:
        """The totals that have events, in order of region (user_id, region, micro_minutes, event_count); of how many
        users; and a user whose sum passed int64, if any."""
        texts = np.empty(self._kernel.totals_text_bytes(self._table), np.uint8)
        bounds = np.empty(self._count + 1, np.int64)
        region = np.empty(self._count, np.uint16)
        micro_minutes, events = np.empty(self._count, np.int64), np.empty(self._count, np.int64)
        found = np.empty(3, np.int64)
        arrays = (texts, bounds, region, micro_minutes, events, found)
        self._kernel.read_totals(self._table, *(array.ctypes.data for array in arrays))
        rows, users, beyond = found.tolist()
        if users < 0:
            raise MemoryError
        user_ids = pa.LargeStringArray.from_buffers(rows, pa.py_buffer(bounds), pa.py_buffer(texts))
        numbers = [to_arrow(array[:rows]) for array in (region, micro_minutes, events)]
        table = pa.Table.from_arrays([user_ids, *numbers], ["user_id", "region", "micro_minutes", "event_count"])
        return table, users, user_ids[beyond].as_py() if beyond >= 0 else None
