"""Names the files between the phases, and writes arrays and frames.

A run that finds nothing new needs the names alone: arrays and frames are imported where they are used.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.faults import point
from pipeline.machine import writing
from pipeline.staging import here, staged

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

SPLIT_KINDS = {"rows": "parquet", "index": "npy", "rejects": "parquet", "lines": "npy"}
"""The folders of what Phase 1 makes of a split, and the suffix of the files there. Later runs use these files again."""
_RUN_KINDS = (
    "totals",
    "pending",
    "corrections",
    "conflicts",
    "losers",
    "joined",
    "merge",
    "repeated",
    "delta",
    "quarantine",
    "spool",
)


@dataclass(frozen=True)
class Workspace:
    """The files of one run below the intermediate folder.

    =========  ==========================================================================================
    ``root``   folder of the run's own files
    ``store``  folder of the files of splits (SPLIT_KINDS), which later runs share; empty: they are in root
    =========  ==========================================================================================
    """

    root: str
    store: str = ""

    def path(self, kind: str, name: str) -> Path:
        """Path of one file; ``kind`` is its folder (rows, index, rejects, totals, pending, corrections, ...)."""
        folder = self.store if self.store and kind in SPLIT_KINDS else self.root
        return Path(folder, kind, name)

    def create(self) -> None:
        """Make the folders. Only the owner may enter them, because rows hold personal data."""
        for kind in (*_RUN_KINDS, *(() if self.store else SPLIT_KINDS)):
            (Path(self.root) / kind).mkdir(parents=True, exist_ok=True, mode=0o700)


def split_file(number: int, suffix: str = "parquet") -> str:
    """Name of a split's file in each folder of the workspace."""
    return f"split-{number:06d}.{suffix}"


def bucket_file(bucket: int, suffix: str = "parquet") -> str:
    """Name of a bucket's file in each folder of the workspace."""
    return f"bucket-{bucket:04d}.{suffix}"


def save_array(path: Path, array: NDArray[Any]) -> None:
    """Write an array as ``np.save`` does (``write_array``)."""
    write_array(staged(path), array)


def write_array(path: Path, array: NDArray[Any]) -> None:
    """Write an array to just this path. A full disk raises its own OSError; that of ``np.save`` only counts items."""
    import numpy as np

    ordered = np.ascontiguousarray(array)
    with writing(path), path.open("wb") as stream:
        stream.write(array_head(ordered.dtype.str, ordered.shape))
        stream.write(ordered.reshape(-1).view(np.uint8).data)


@lru_cache(maxsize=64)
def array_head(dtype: str, shape: tuple[int, ...]) -> bytes:
    """What stands before the items in a .npy file."""
    from numpy.lib.format import write_array_header_1_0

    head = io.BytesIO()
    write_array_header_1_0(head, {"descr": dtype, "fortran_order": False, "shape": shape})
    return head.getvalue()


def write_frame(path: Path, frame: pl.DataFrame) -> None:
    """Write a small frame; the file has its name only when it is whole."""
    path = staged(path)
    partial = path.with_suffix(".partial")
    with writing(partial), partial.open("wb") as stream:
        frame.write_parquet(stream, compression="lz4", statistics=False)
    point("intermediate.rename")
    partial.replace(path)


_ORDERED_ROWS = 32_768
"""Rows of a row group that is read or passed over as a whole."""


def write_ordered(path: Path, frame: pl.DataFrame, name: str) -> None:
    """Write a frame in the order of its column ``name``, so that ``read_between`` reads little more than it returns."""
    path = staged(path)
    partial = path.with_suffix(".partial")
    with writing(partial), partial.open("wb") as stream:
        frame.sort(name).write_parquet(stream, compression="lz4", statistics=True, row_group_size=_ORDERED_ROWS)
    point("intermediate.rename")
    partial.replace(path)


def read_between(path: Path, name: str, least: int, most: int) -> pl.DataFrame:
    """Read the rows of ``write_ordered`` whose column ``name`` is between ``least`` and ``most``."""
    import polars as pl

    return pl.scan_parquet(here(path), glob=False).filter(pl.col(name).is_between(least, most)).collect()


def read_id_range(path: Path, number: int, ranges: int) -> pl.DataFrame:
    """Read the rows of ``write_ordered`` whose id_hi lies in range ``number`` of ``ranges`` (``dedupe.in_range``)."""
    import polars as pl

    width = 2**64 // ranges
    first = number * width - (2**64 if number * width >= 2**63 else 0)  # id_hi is signed
    return (
        pl.scan_parquet(here(path), glob=False).collect()
        if ranges == 1
        else read_between(path, "id_hi", first, first + width - 1)
    )


def read_frame(path: Path) -> pl.DataFrame:
    """Read what ``write_frame`` wrote. Brackets and stars in the path are no pattern."""
    import polars as pl

    return pl.read_parquet(here(path), glob=False)


def count_rows(path: Path) -> int:
    """The number of rows of a frame that ``write_frame`` wrote; 0 where there is no file."""
    import pyarrow.parquet as pq

    return int(pq.read_metadata(path).num_rows) if path.exists() else 0
