"""Where the files between the phases lie; arrays and frames written whole."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq
from numpy.lib.format import header_data_from_array_1_0, write_array_header_1_0
from numpy.typing import NDArray

from pipeline.faults import point

SPLIT_KINDS = {"rows": "parquet", "index": "npy", "rejects": "parquet", "lines": "npy"}
"""Folders of what Phase 1 makes of a split, and its files' endings there: later runs use it again."""


_RUN_KINDS = ("totals", "pending", "corrections", "conflicts", "merge", "delta", "quarantine", "spool")


@dataclass(frozen=True)
class Workspace:
    """The files of one run below the intermediate folder: its own in ``root``, those of splits in ``store``, if any."""

    root: str
    store: str = ""

    def path(self, kind: str, name: str) -> Path:
        """Path of one file; ``kind`` is its folder (rows, index, rejects, totals, pending, corrections, ...)."""
        place = self.store if self.store and kind in SPLIT_KINDS else self.root
        return Path(place) / kind / name

    def create(self) -> None:
        """Make the folders; only the owner may enter, because rows hold personal data."""
        for kind in (*_RUN_KINDS, *(() if self.store else SPLIT_KINDS)):
            (Path(self.root) / kind).mkdir(parents=True, exist_ok=True, mode=0o700)


def split_file(number: int, suffix: str = "parquet") -> str:
    """Name of a split's file in each folder of the workspace."""
    return f"split-{number:06d}.{suffix}"


def bucket_file(bucket: int) -> str:
    """Name of a bucket's file in each folder of the workspace."""
    return f"bucket-{bucket:04d}.parquet"


def save_array(path: Path, array: NDArray[Any]) -> None:
    """What ``np.save`` writes; but a full disk is told as such, where that says how many items were written."""
    with path.open("wb") as stream:
        ordered = np.ascontiguousarray(array)
        write_array_header_1_0(stream, header_data_from_array_1_0(ordered))
        stream.write(ordered.reshape(-1).view(np.uint8).data)


def write_frame(path: Path, frame: pl.DataFrame) -> None:
    """Write a small frame of a later step under its final name only when it is whole."""
    partial = path.with_suffix(".partial")
    with partial.open("wb") as stream:  # a full disk is then an OSError, which Polars alone would not raise
        frame.write_parquet(stream, compression="lz4", statistics=False)
    point("intermediate.rename")
    partial.replace(path)


def read_frame(path: Path) -> pl.DataFrame:
    """Read what ``write_frame`` wrote; the path is literal, whatever brackets it has."""
    return pl.read_parquet(path, glob=False)


def count_rows(path: Path) -> int:
    """How many rows the frame has that ``write_frame`` wrote; none where there is none."""
    return int(pq.read_metadata(path).num_rows) if path.exists() else 0
