"""Finds where the row groups of a rows file begin, and keeps it: every bucket is read from every split
(docs/decisions/027)."""

import io
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.errors import EnvironmentFault
from pipeline.exchange.row_files import BUCKETS_KEY, GROUPS_KEY
from pipeline.native.pages import Group
from pipeline.staging import is_elsewhere, ranges_of

_FOOTER_ROOM = 2**20
"""Bytes of a read: more than a footer takes, which is some 400 kB with 1,024 buckets."""
_KEPT_BYTES = 96 * 2**20
"""Most memory of a process for where the row groups of files begin."""
_KEPT_FILE_BYTES, _KEPT_GROUP_BYTES = 1024, 8
"""Of it, for a file, and for a row group: its length, its rows and the bytes of its user_ids."""


class RowGroups(NamedTuple):
    """The row groups of a file, in the shortest integers that hold them: a process keeps those of very many files.

    ==============  =================================================================================
    ``buckets``     number of buckets that the file was written with
    ``used``        the bucket of each row group, ascending
    ``start``       first byte of the first row group; the others follow
    ``groups``      (bytes, rows, bytes of user_ids) of the row groups, an array each, where compiled code wrote them;
                    None where pyarrow did
    ``timestamps``  whether there is a column ``timestamp``
    ==============  =================================================================================
    """

    buckets: int
    used: NDArray[np.uint16]
    start: int
    groups: tuple[NDArray[np.unsignedinteger[Any]], ...] | None
    timestamps: bool

    def at(self, wanted: range) -> list[Group]:
        """The row groups ``wanted``, which compiled code wrote."""
        assert self.groups is not None
        first = self.start + int(self.groups[0][: wanted.start].sum())
        sizes, rows, text_bytes = (values[wanted.start : wanted.stop].tolist() for values in self.groups)
        bounds = list(accumulate(sizes, initial=first))
        return list(map(Group, bounds, bounds[1:], rows, text_bytes))

    @property
    def memory(self) -> int:
        """Bytes that keeping it takes, about."""
        used = 0 if self.used is _every(self.buckets) else self.used.nbytes
        return _KEPT_FILE_BYTES + used + sum(values.nbytes for values in self.groups or ())


_kept: dict[Path, tuple[int, RowGroups]] = {}
"""Path → (time of the file's last change in ns, its row groups)."""


def find_groups(path: Path) -> RowGroups:
    """The row groups of a file, kept for its other buckets while there is room."""
    changed = 0 if is_elsewhere(path) else path.stat().st_mtime_ns  # tells a file from one that replaced it
    before, groups = _kept.get(path, (0, None))
    if groups and before == changed:
        return groups
    with damage_explained(path):
        groups = _read_metadata(path)
    if path in _kept or len(_kept) < _KEPT_BYTES // groups.memory:  # the files of a run are much alike
        _kept[path] = changed, groups
    return groups


def count_kept(buckets: int) -> int:
    """Of how many files a process keeps where row groups begin, each with rows in all of ``buckets`` buckets, about."""
    return _KEPT_BYTES // (_KEPT_FILE_BYTES + _KEPT_GROUP_BYTES * buckets)


def parquet_file(
    path: Path, read_ahead: int = io.DEFAULT_BUFFER_SIZE, metadata: pq.FileMetaData | None = None
) -> pq.ParquetFile:
    """Open a file with PyArrow, wherever it lies. ``read_ahead``: bytes, of a file elsewhere; ``metadata``: of the
    file, if it was read before."""
    ranges = ranges_of(path)
    source = io.BufferedReader(ranges, read_ahead) if ranges else path
    return pq.ParquetFile(source, metadata=metadata, pre_buffer=False)


@contextmanager
def damage_explained(path: Path) -> Iterator[None]:
    """Raise EnvironmentFault where what the block reads from ``path`` is not what an earlier step has written."""
    try:
        yield
    except (ValueError, KeyError, IndexError, NotImplementedError, OSError) as fault:
        if isinstance(fault, OSError) and fault.errno:
            raise  # of the system, not of the file's content
        raise EnvironmentFault(
            f"{path} is damaged: rows that were stored there cannot be read. Nothing was published. Run again with "
            "--full-refresh, and check the disk."
        ) from fault


def _read_metadata(path: Path) -> RowGroups:
    # Not by the file's ``metadata.schema``, which refers back: a megabyte that stays until garbage is collected.
    schema = parquet_file(path, _FOOTER_ROOM).schema_arrow
    buckets, used = json.loads(schema.metadata[BUCKETS_KEY])
    written = schema.metadata.get(GROUPS_KEY)
    every = _every(buckets)
    used = every if used == every.tolist() else np.array(used, np.uint16)
    start, groups = _packed(json.loads(written)) if written else (0, None)
    return RowGroups(buckets, used, start, groups, "timestamp" in schema.names)


@lru_cache(maxsize=2)
def _every(buckets: int) -> NDArray[np.uint16]:
    """All buckets; most files have rows in each, and share this."""
    return np.arange(buckets, dtype=np.uint16)


def _packed(written: Sequence[Sequence[int]]) -> tuple[int, tuple[NDArray[np.unsignedinteger[Any]], ...]]:
    """(``start``, ``groups``) of ``RowGroups`` from the fields of each ``Group``, column by column."""
    starts, stops, rows, text_bytes = np.array(written, np.int64).reshape(len(Group._fields), -1)
    if (starts[1:] != stops[:-1]).any():
        raise ValueError("row groups do not follow each other")
    parts = (stops - starts, rows, text_bytes)
    return int(starts[:1].sum()), tuple(part.astype(np.min_scalar_type(part.max(initial=0))) for part in parts)
