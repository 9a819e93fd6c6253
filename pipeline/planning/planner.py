"""Sizes of a run from memory limit and input: workers, splits, buckets, output files; and the check of the disk."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass

from config import Config
from pipeline.engines.capacity import Capacity
from pipeline.errors import EnvironmentFault
from pipeline.exchange.row_memory import ROW_BYTES as _ROW_BYTES
from pipeline.exchange.row_memory import TEXT_COPIES as _TEXT_COPIES
from pipeline.reading.input_files import InputFile
from utils.units import format_size

_PARENT_BYTES = 300_000_000
"""Memory of the main process: interpreter, Polars, results."""
_WORKER_BYTES = 280_000_000
"""Memory of a worker before it holds rows: interpreter, Polars, PyArrow, geo table, one chunk with its positions."""
_JVM_OVERHEAD_BYTES = 500_000_000
"""Memory of a JVM beyond its heap."""
_COPIES = 2.4
"""Memory of a split's rows with the copies that sorting and writing make, in multiples of the rows."""
_MIN_SHARE = 60_000_000
"""Least memory for the rows of a worker: with less, it would do little but write small files."""
_PSEUDONYM_BYTES = 64
"""Length of a pseudonym, which stands for a user id in every row."""
_PSEUDONYMS_BYTES = 30_000_000
"""Memory of a worker for the pseudonyms that it remembers, and those of one chunk."""
_SPLITS_PER_WORKER = 12
_SPLIT_RANGE = (4 * 2**20, 96 * 2**20)
_SHORT_SPLIT = 16 * 2**20
"""Splits are hardly shorter, unless memory asks for it: each costs some 10 ms."""
_SHORT_SPLIT_PER_BUCKET = 2**20
"""Nor are they shorter than so many bytes for each bucket, because each bucket of a split costs 0.2 ms."""
_BUCKETS_PER_WORKER = 16
_MOST_BUCKET_ROWS = 1_500_000
_BUCKET_SHARE = 0.5
"""Share of a worker's memory for the rows of a bucket; the rest is for their totals."""
_USUAL_WIDTH = 160
"""A line of at most so many bytes has a user_id that is short beside what else a row takes."""
_FILE_BYTES = 64 * 2**20
"""An output file of long rows is about so large."""
_RECORD_COPIES = 10
"""How often a worker has a record in memory while it reads it: as bytes, as texts, as what is written of it."""
INTERMEDIATE_SHARE = 0.6
"""Bytes of intermediate files and totals, as a share of a usual input."""
_INTERMEDIATE_ROW_BYTES = 60
"""Bytes of intermediate files and totals for each row, at least: rows of little text are no shorter there."""


@dataclass(frozen=True)
class Sizes:
    """Sizes of a run.

    ================  =======================================================================================
    ``workers``       processes
    ``split_bytes``   length of a split
    ``buckets``       of the rows, by user
    ``bucket_rows``   most rows of a bucket that are aggregated at a time, where they are as long as sampled lines
    ``file_rows``     rows of an output file, about
    ``held_bytes``    most memory for the rows of one split
    ``task_rows``     most rows that fit a worker's memory, where they are as long as sampled lines
    ``bucket_bytes``  most memory for the rows of a bucket at a time, and for totals, however long they turn out to be
    ================  =======================================================================================
    """

    workers: int
    split_bytes: int
    buckets: int
    bucket_rows: int
    file_rows: int
    held_bytes: int
    task_rows: int
    bucket_bytes: int


def choose_workers(config: Config, *, spark: bool) -> int:
    """How many worker processes fit into ``MEMORY_LIMIT``: at most ``PREPROCESSING_WORKERS``.

    ``spark``: whether a JVM runs beside them. Raises EnvironmentFault where not even one worker fits.
    """
    return _share_memory(config, spark)[0]


def choose_sizes(
    config: Config,
    files: Sequence[InputFile],
    *,
    spark: bool,
    least_buckets: int = 0,
    capacity: Capacity | None = None,
) -> Sizes:
    """Fit the run over ``files`` into ``MEMORY_LIMIT``, or into the executors of a cluster: see ``fit_sizes``."""
    total, rows = sum(file.size for file in files), sum(file.expected_rows for file in files)
    return fit_sizes(config, total, rows, spark=spark, least_buckets=least_buckets, capacity=capacity)


def fit_sizes(
    config: Config,
    total: int,
    rows: float,
    *,
    spark: bool,
    least_buckets: int = 0,
    capacity: Capacity | None = None,
) -> Sizes:
    """Fit a run over ``total`` bytes of ``rows`` records into ``MEMORY_LIMIT``, or into the executors of a cluster.

    ``spark``: whether a JVM runs beside the workers; ``least_buckets``: in how many buckets the rows of files lie that
    are not read again; ``capacity``: of the cluster that runs both phases, if one does. Raises EnvironmentFault where
    not even one worker fits.
    """
    workers, share = _share_executors(config, capacity) if capacity else _share_memory(config, spark)
    width = total / rows if rows else 100.0
    # The text of a row that stays in memory, its user_id, may be most of its line.
    row_bytes = _ROW_BYTES + width + (_TEXT_COPIES - 1) * max(0.0, width - _USUAL_WIDTH)
    row_bytes += 2 * _PSEUDONYM_BYTES if config.PSEUDONYMIZE_USERS else 0
    max_rows = share / row_bytes
    bucket_bytes = int(share * _BUCKET_SHARE)
    bucket_rows = _clamp(int(bucket_bytes / row_bytes), (1, _MOST_BUCKET_ROWS))
    buckets = max(least_buckets, config.BUCKETS or _choose_buckets(rows, bucket_rows, workers))
    split_bytes = min(_clamp(int(max_rows * width * 0.6), _SPLIT_RANGE), _divide_evenly(total, workers, buckets))
    return Sizes(
        workers=workers,
        split_bytes=config.SPLIT_BYTES or split_bytes,
        buckets=buckets,
        bucket_rows=bucket_rows,
        bucket_bytes=bucket_bytes,
        file_rows=max(bucket_rows, min(_MOST_BUCKET_ROWS, int(_FILE_BYTES / width))),
        held_bytes=int(share / _COPIES),
        task_rows=max(bucket_rows, int(max_rows)),
    )


def _share_memory(config: Config, spark: bool) -> tuple[int, int]:
    """(workers, bytes for the rows of each): fewer workers than asked for where those would have too little each."""
    fixed = _PARENT_BYTES + (config.SPARK_DRIVER_MEMORY + _JVM_OVERHEAD_BYTES if spark else 0)
    worker, least_share = _worker_bytes(config), _least_share(config)
    for workers in range(config.PREPROCESSING_WORKERS, 0, -1):
        share = (config.MEMORY_LIMIT - fixed) // workers - worker
        if share >= least_share:
            return workers, share
    least = (fixed + worker + least_share) / 1e9
    long_records = (
        f" for records of {format_size(config.MAX_RECORD_BYTES)} (MAX_RECORD_BYTES)" if least_share > _MIN_SHARE else ""
    )
    raise EnvironmentFault(
        f"MEMORY_LIMIT of {config.MEMORY_LIMIT / 1e9:.1f} GB is too little for one worker"
        f"{' beside Spark' if spark else ''}{long_records}: at least {least:.1f} GB is needed. "
        f"Raise --memory-limit{', or use --engine polars' if spark else ''}"
        f"{', or lower MAX_RECORD_BYTES' if long_records else ''}."
    )


def _worker_bytes(config: Config) -> int:
    return _WORKER_BYTES + (_PSEUDONYMS_BYTES if config.PSEUDONYMIZE_USERS else 0)


def _least_share(config: Config) -> int:
    return max(_MIN_SHARE, _RECORD_COPIES * config.MAX_RECORD_BYTES)


def _share_executors(config: Config, capacity: Capacity) -> tuple[int, int]:
    """(cores, bytes for the rows of the task of each). Raises EnvironmentFault where these are too few."""
    share, least = capacity.core_bytes - _worker_bytes(config), _least_share(config)
    if share < least:
        needed = (_worker_bytes(config) + least) * config.SPARK_EXECUTOR_CORES
        raise EnvironmentFault(
            f"SPARK_PYTHON_MEMORY of {format_size(config.SPARK_PYTHON_MEMORY)} is too little for an executor with "
            f"{config.SPARK_EXECUTOR_CORES} cores: at least {format_size(needed)} is needed. Raise it, or lower "
            "SPARK_EXECUTOR_CORES or MAX_RECORD_BYTES."
        )
    return capacity.cores, share


def _choose_buckets(rows: float, bucket_rows: int, workers: int) -> int:
    """A power of two, at least two for each worker and at most 1024.

    Buckets are filled to three quarters, or fully where they are many: each costs the reader of a split 0.2 ms.
    """
    filled = max(rows / bucket_rows, min(_BUCKETS_PER_WORKER * workers - 1, rows / (bucket_rows * 0.75)))
    return min(1024, 1 << max(2 * workers - 1, int(filled)).bit_length())


def _divide_evenly(total: int, workers: int, buckets: int) -> int:
    """Length of a split with which every worker gets equally many, several of a large input: they end together."""
    short = max(_SHORT_SPLIT, buckets * _SHORT_SPLIT_PER_BUCKET)
    splits = max(1, min(_SPLITS_PER_WORKER, -(-total // (workers * short))))
    return max(_SHORT_SPLIT, -(-total // (workers * splits)))


def _clamp(value: int, limits: tuple[int, int]) -> int:
    return max(limits[0], min(value, limits[1]))


def check_disk(folder: str, files: Sequence[InputFile]) -> None:
    """Raise EnvironmentFault where the disk of ``folder`` has no room for the intermediate files of ``files``."""
    need = int(sum(max(file.size * INTERMEDIATE_SHARE, file.expected_rows * _INTERMEDIATE_ROW_BYTES) for file in files))
    free = shutil.disk_usage(folder).free
    if free < need:
        raise EnvironmentFault(
            f"{folder!r} has {format_size(free)} free; this input needs about {format_size(need)}. "
            "Free some room, or name a folder on another disk with --intermediate."
        )
