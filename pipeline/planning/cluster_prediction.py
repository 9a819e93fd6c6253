"""Predicts a run on a cluster: its time, its requests to a storage and what they cost, and the memory of the driver.

What one core does takes as long as on this machine (``planning.prediction``). The rest was measured or counted, as
docs/scale.md says.
"""

from dataclasses import asdict, dataclass, replace

from pipeline.aggregate.driver import JOINED_SPLITS, MOST_INDEX_READS, count_pieces, count_ranges
from pipeline.exchange.row_groups import count_kept
from pipeline.planning.pace import Pace
from pipeline.planning.planner import Sizes
from pipeline.planning.prediction import Work, adding_seconds, publishing_seconds, reading_seconds
from pipeline.storage.exchange import AT_ONCE

LOG_BYTES = 10**9
"""Of each log of an input that is only thought of: however small those are that the prediction looked at."""
START_SECONDS = 6.0
"""Until executors have started and loaded the program."""
_TASK_SECONDS = 0.02
"""What Spark adds to a task, of one core."""
_DRIVER_SPLIT_SECONDS = 0.17e-3
"""Of the driver, for each split: notes, counts, ledgers."""
_REQUEST_SECONDS = 0.03
"""Until a storage answers."""
_NODE_BYTES_PER_SECOND = 1.25e9
"""Of a node's network: 10 Gbit/s."""
_READS_AT_ONCE = 16
"""Of a task, as ``staging.at_once`` lets it."""
_FILES_OF_SPLIT = 3
"""Rows, index, lines; a split with rejected records has a fourth."""
FOOTER_REQUESTS = 2
"""That read the footer of a split with very many row groups: its end, and what comes before."""
_DRIVER_BYTES, _DRIVER_SPLIT_BYTES, _DRIVER_COUNT_BYTES = 115e6, 2.5e3, 8.2
"""Memory of the driver: in all, for each split, and for each bucket of a split."""
_READ_DOLLARS, _WRITE_DOLLARS = 0.4e-6, 5e-6
"""Of a request: list prices of S3 Standard in us-east-1. Copies and listings cost what writes cost."""


@dataclass(frozen=True)
class ClusterPrediction:
    """What a run takes on a cluster.

    =======================  ====================================================================
    ``cores``                of all nodes
    ``splits``, ``ranges``   of the input, and of the ids that are searched for copies
    ``seconds``              of the run, and of its phases
    ``reads``, ``writes``    requests to the storage; 0 where files lie on a shared disk
    ``request_dollars``      their price
    ``driver_memory_bytes``  peak of the driver's process, without its JVM
    =======================  ====================================================================
    """

    cores: int
    splits: int
    ranges: int
    seconds: float
    phase1_seconds: float
    phase2_seconds: float
    publish_seconds: float
    reads: int
    writes: int
    request_dollars: float
    driver_memory_bytes: int

    def as_numbers(self) -> dict[str, float]:
        """The fields, rounded to three digits behind the point."""
        return {name: round(value, 3) for name, value in asdict(self).items()}


def as_if(work: Work, size: int) -> Work:
    """The work of an input of ``size`` bytes of the same kind, in logs of about ``LOG_BYTES``.

    The result is taken to grow as the input does, which is the most that it can.
    """
    sample = work.sample
    times = size / sample.text_bytes
    more = {name: round(getattr(sample, name) * times) for name in ("text_bytes", "rows", "result_rows")}
    return replace(work, sample=replace(sample, files=-(-size // LOG_BYTES), **more))


def predict_on_cluster(sizes: Sizes, work: Work, pace: Pace, nodes: int, *, on_storage: bool) -> ClusterPrediction:
    """Predict a first run of these ``sizes``, whose workers are the cores of all ``nodes``, over ``work``.

    ``on_storage``: whether input, output and intermediate files lie on object storage.
    """
    cores, rows = sizes.workers, work.sample.rows
    on_all = replace(work, cores=cores)
    splits = work.sample.files * max(1, -(-work.sample.text_bytes // (max(1, work.sample.files) * sizes.split_bytes)))
    ranges = count_ranges(rows, sizes.bucket_rows, sizes.bucket_bytes, cores)
    reads = splits * (2 + sizes.buckets) + 2 * sizes.buckets * ranges
    reads += FOOTER_REQUESTS * count_footers(splits, sizes.buckets, cores) + _index_reads(splits, ranges, rows, sizes)
    writes = splits * 2 * _FILES_OF_SPLIT + 4 * sizes.buckets + 2 * ranges
    waiting = (reads if on_storage else 0) * _REQUEST_SECONDS / (cores * _READS_AT_ONCE)
    accepting = splits * _FILES_OF_SPLIT / AT_ONCE * _REQUEST_SECONDS if on_storage else 0.0
    phase1 = reading_seconds(sizes, on_all)[1] * pace.factor(work.reading) + splits * _TASK_SECONDS / cores
    arriving = work.sample.text_bytes / (nodes * _NODE_BYTES_PER_SECOND) if on_storage else 0.0
    phase1 = START_SECONDS + max(phase1, arriving, splits * _DRIVER_SPLIT_SECONDS + accepting)
    phase2 = adding_seconds(sizes, on_all) * pace.factor("spark")
    phase2 += (ranges + sizes.buckets) * _TASK_SECONDS / cores + waiting
    publish = publishing_seconds(sizes, on_all) * pace.factor("publish")
    return ClusterPrediction(
        cores=cores,
        splits=splits,
        ranges=ranges,
        seconds=phase1 + phase2 + publish,
        phase1_seconds=phase1,
        phase2_seconds=phase2,
        publish_seconds=publish,
        reads=reads if on_storage else 0,
        writes=writes if on_storage else 0,
        request_dollars=reads * _READ_DOLLARS + writes * _WRITE_DOLLARS if on_storage else 0.0,
        driver_memory_bytes=int(_DRIVER_BYTES + splits * (_DRIVER_SPLIT_BYTES + _DRIVER_COUNT_BYTES * sizes.buckets)),
    )


def count_footers(splits: int, buckets: int, cores: int) -> int:
    """How often footers are read: by each process once, as far as it keeps them, else again for each bucket."""
    kept = min(splits, count_kept(buckets))
    return kept * min(cores, buckets) + (splits - kept) * buckets


def _index_reads(splits: int, ranges: int, rows: int, sizes: Sizes) -> int:
    """Requests that read id indexes: each range of each, or of those that are joined before."""
    if splits * ranges <= MOST_INDEX_READS:
        return splits * ranges
    pieces = count_pieces(rows * JOINED_SPLITS // splits, sizes.bucket_rows, sizes.bucket_bytes)
    return splits * pieces + -(-splits // JOINED_SPLITS) * ranges
