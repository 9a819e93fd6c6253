"""Sizes of a run from cores, memory limit and input: workers, splits, buckets, output files; and whether the disk has
room for it."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass

from config import Config
from pipeline.errors import EnvironmentFault
from pipeline.reading.input_files import InputFile
from utils.units import format_size

_PARENT_BYTES = 300_000_000
"""The main process: interpreter, Polars, results."""
_WORKER_BYTES = 280_000_000
"""A worker before it holds rows: interpreter, Polars, PyArrow, geo table, and one chunk with its positions."""
_JVM_OVERHEAD_BYTES = 500_000_000
"""What a JVM takes beyond its heap."""
_COPIES = 2.4
"""A split's rows are sorted and written from copies: all that takes so many times as much as the rows."""
_LEAST_SHARE = 60_000_000
"""Below this share for rows a worker would do nothing but write small files."""
_PSEUDONYM_BYTES = 64
"""A pseudonym, which takes the place of a user id in every row."""
_PSEUDONYMS_BYTES = 30_000_000
"""The pseudonyms that a worker remembers, and those of one chunk."""
_SPLITS_OF_A_WORKER = 12
_SPLIT_RANGE = (4 * 2**20, 96 * 2**20)
_SHORT_SPLIT = 16 * 2**20
_BUCKET_OF_SPLIT = 2**20
"""Splits are hardly shorter than these, the latter for each bucket, unless memory asks for it: a split costs some
10 ms, and a bucket in it 0.2 ms."""
_BUCKETS_OF_A_WORKER = 16
_BUCKET_ROWS_RANGE = (50_000, 1_500_000)
INTERMEDIATE_SHARE = 0.6
"""Intermediate files and totals take about this share of a usual input."""
_ROW_BYTES = 60
"""They take at least this much of a row, however short its text is."""


@dataclass(frozen=True)
class Sizes:
    """``workers`` processes; input is cut into ``split_bytes``; ``buckets`` of at most ``bucket_rows`` rows at once;
    output files of about ``file_rows`` rows.

    ``held_bytes``: rows of one split may take as much; ``task_rows``: more rows than these fit no worker's memory.
    """

    workers: int
    split_bytes: int
    buckets: int
    bucket_rows: int
    file_rows: int
    held_bytes: int
    task_rows: int


def choose_workers(config: Config, *, spark: bool) -> int:
    """How many worker processes fit into ``MEMORY_LIMIT``: at most ``PREPROCESSING_WORKERS``.

    ``spark``: whether a JVM runs beside them. Raises EnvironmentFault where not even one worker fits.
    """
    return _share_memory(config, spark)[0]


def choose_sizes(config: Config, files: Sequence[InputFile], *, spark: bool, least_buckets: int = 0) -> Sizes:
    """Fit the run over ``files`` into ``MEMORY_LIMIT``.

    ``spark``: whether a JVM runs beside the workers; ``least_buckets``: in how many buckets the rows of files lie that
    are not read again. Raises EnvironmentFault where not even one worker fits.
    """
    workers, share = _share_memory(config, spark)
    total = sum(file.size for file in files)
    rows = sum(file.expected_rows for file in files)
    width = total / rows if rows else 100.0
    # A row in memory: two hashes, amounts, positions, sort keys and a view (about 120 bytes), and long user ids.
    row_bytes = 120 + min(width, 4096) + (2 * _PSEUDONYM_BYTES if config.PSEUDONYMIZE_USERS else 0)
    most_rows = share / row_bytes
    split_bytes = _clamp(int(most_rows * width * 0.6), _SPLIT_RANGE)
    bucket_rows = _clamp(int(most_rows * 0.5), _BUCKET_ROWS_RANGE)
    # Some room in a bucket, unless there are many: every one that a split has costs its reader 0.2 ms.
    filled = max(rows / bucket_rows, min(_BUCKETS_OF_A_WORKER * workers - 1, rows / (bucket_rows * 0.75)))
    buckets = 1 << max(2 * workers - 1, int(filled)).bit_length()
    buckets = max(least_buckets, config.BUCKETS or min(1024, buckets))
    # Every worker gets as many splits, and several of a large input, so that none waits long for the last.
    short = max(_SHORT_SPLIT, buckets * _BUCKET_OF_SPLIT)
    each = max(1, min(_SPLITS_OF_A_WORKER, -(-total // (workers * short))))
    split_bytes = min(split_bytes, max(_SHORT_SPLIT, -(-total // (workers * each))))
    return Sizes(
        workers=workers,
        split_bytes=config.SPLIT_BYTES or split_bytes,
        buckets=buckets,
        bucket_rows=bucket_rows,
        file_rows=bucket_rows,
        held_bytes=int(share / _COPIES),
        task_rows=max(bucket_rows, int(most_rows)),
    )


def _share_memory(config: Config, spark: bool) -> tuple[int, int]:
    """(workers, bytes for the rows of each): fewer workers than asked for where those would have too little each."""
    fixed = _PARENT_BYTES + (config.SPARK_DRIVER_MEMORY + _JVM_OVERHEAD_BYTES if spark else 0)
    worker = _WORKER_BYTES + (_PSEUDONYMS_BYTES if config.PSEUDONYMIZE_USERS else 0)
    for workers in range(config.PREPROCESSING_WORKERS, 0, -1):
        share = (config.MEMORY_LIMIT - fixed) // workers - worker
        if share >= _LEAST_SHARE:
            return workers, share
    least = (fixed + worker + _LEAST_SHARE) / 1e9
    raise EnvironmentFault(
        f"MEMORY_LIMIT of {config.MEMORY_LIMIT / 1e9:.1f} GB is too little for one worker"
        f"{' beside Spark' if spark else ''}: at least {least:.1f} GB is needed. "
        f"Raise --memory-limit{', or use --engine polars' if spark else ''}."
    )


def _clamp(value: int, limits: tuple[int, int]) -> int:
    return max(limits[0], min(value, limits[1]))


def check_disk(folder: str, files: Sequence[InputFile]) -> None:
    """Raises EnvironmentFault where ``folder`` has no room for the intermediate files of this input."""
    need = int(sum(max(file.size * INTERMEDIATE_SHARE, file.expected_rows * _ROW_BYTES) for file in files))
    free = shutil.disk_usage(folder).free
    if free < need:
        raise EnvironmentFault(
            f"{folder!r} has {format_size(free)} free; this input needs about {format_size(need)}. "
            "Free some room, or name a folder on another disk with --intermediate."
        )
