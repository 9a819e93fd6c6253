"""Predicts time, peak memory and disk of a run from its sizes, a sample of its input and the pace of this machine.

The figures were measured (docs/decisions/016-planning.md). Seconds are scaled by what earlier runs took here.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from pipeline.aggregate.incremental.driver import MOST_CHANGED
from pipeline.exchange.row_memory import TEXT_COPIES
from pipeline.geo.table import GeoTable
from pipeline.machine import cache_folder
from pipeline.planning.pace import Pace, load_pace
from pipeline.planning.planner import Sizes
from pipeline.planning.sample import Sample, take_sample
from pipeline.reading.input_files import InputFile
from pipeline.reading.value_formats import USUAL_FORMATS, ValueFormats
from pipeline.timing import PhaseSeconds
from utils.metrics import usable_cores

_START_SECONDS = 0.15
"""Before the first split: the processes of the pool and their libraries."""
_SPARK_READY_SECONDS = 7.5
"""From the begin of a run until Spark takes work, beside a busy Phase 1."""
_WITHOUT_LIBRARY = 2.2
"""Time that Polars takes for Phase 1, in multiples of the compiled parser's."""

# Phase 1, seconds of one worker: for a byte of text, a row, a byte of a user id, a split.
_BYTE_SECONDS = 0.3e-9
_ROW_SECONDS = 0.08e-6
_USER_BYTE_SECONDS = 1.5e-9
_SPLIT_SECONDS = 0.006

# Phase 2, seconds of one worker: for a row, a byte of a user id, a row of the result (a user by region), a bucket.
_ROW2_SECONDS = 0.025e-6
_USER_BYTE2_SECONDS = 1e-9
_RESULT_ROW2_SECONDS = 0.3e-6
_BUCKET_SECONDS = 0.003

# Publication, seconds: in all, and of one worker for a row of the result.
_PUBLISH_SECONDS = 0.05
_RESULT_ROW_SECONDS = 0.15e-6

# Memory, bytes: of the main process and a worker without rows; for a row of a split and how often its user id is there;
# for a row of a bucket and a row of its totals; for a row of an output file.
_PARENT_BYTES = 137e6
_WORKER_BYTES = 80e6
_READ_ROW_BYTES = 72
_READ_TEXT_COPIES = 2
_BUCKET_ROW_BYTES = 100
_TOTAL_BYTES = 200
_USUAL_USER_BYTES = 16
"""The figures above hold for user ids of so many bytes."""
_WRITTEN_ROW_BYTES = 85
_JVM_BYTES = 330e6
"""A JVM that only hands out kernels."""
_PUBLISHING_BYTES = 60e6
"""What a run on Spark takes more in Phase 2 and while the result is written."""

# Disk, bytes: for a row between the phases, beside its user id; for a row of the totals and of the result, beside the
# compressed user id.
_STORED_ROW_BYTES = 40
_STORED_TOTAL_BYTES = 9
_RESULT_ROW_BYTES = 3.4


@dataclass(frozen=True)
class Work:
    """What a run has to do.

    ==============  ======================================================================================
    ``sample``      of the files that the run reads
    ``known_rows``  rows of other files that count: earlier runs have read them
    ``engine``      of Phase 2: ``polars``, ``spark`` (kernels on Spark) or ``sql`` (Spark's own plan)
    ``compiled``    whether the compiled parser reads
    ``cores``       that this process may use
    ==============  ======================================================================================
    """

    sample: Sample
    known_rows: int
    engine: str
    compiled: bool
    cores: int

    @property
    def reading(self) -> str:
        """The kind of work of Phase 1, as ``Pace`` names it."""
        return "compiled" if self.compiled else "plain"

    @property
    def rows_added(self) -> int:
        """Rows that Phase 2 goes over: the new ones where they are few beside the known ones, else all."""
        new, total = self.sample.rows, self.sample.rows + self.known_rows
        return new if self.known_rows and new <= MOST_CHANGED * total else total


@dataclass(frozen=True)
class Prediction:
    """Wall-clock seconds of the run and of each phase, peak memory of all its processes, and bytes on disk."""

    seconds: float
    phase1_seconds: float
    phase2_seconds: float
    publish_seconds: float
    peak_memory_bytes: int
    intermediate_bytes: int
    output_bytes: int

    def as_numbers(self) -> dict[str, float]:
        """The fields as ``run.json`` holds them, rounded to three digits."""
        return {name: round(value, 3) for name, value in asdict(self).items()}


@dataclass(frozen=True)
class Forecast:
    """The prediction of a run, and the work and pace that it was made from."""

    work: Work
    pace: Pace
    prediction: Prediction


def forecast_run(
    sizes: Sizes,
    files: Sequence[InputFile],
    known_rows: int,
    geo: GeoTable,
    adder: str,
    *,
    compiled: bool,
    formats: ValueFormats = USUAL_FORMATS,
) -> Forecast:
    """Sample the ``files`` that a run reads and predict what the run takes; the other parameters are those of ``Work``.

    Reads at most 1 MiB of the files, and the pace from the cache folder.
    """
    work = Work(take_sample(files, geo, formats), known_rows, adder, compiled, usable_cores())
    pace = load_pace(cache_folder())
    return Forecast(work, pace, predict(sizes, work, pace))


def predict(sizes: Sizes, work: Work, pace: Pace) -> Prediction:
    """Predict a run of these ``sizes`` over this ``work`` at this ``pace``."""
    start, read = reading_seconds(sizes, work)
    phase1 = start + pace.start + read * pace.factor(work.reading)
    phase2 = adding_seconds(sizes, work) * pace.factor(work.engine)
    if work.engine != "polars":
        phase2 += max(0.0, _SPARK_READY_SECONDS - phase1)
    publish = publishing_seconds(sizes, work) * pace.factor("publish")
    sample = work.sample
    totals = sample.result_rows * (_STORED_TOTAL_BYTES + sample.packed_user_bytes)
    stored = sample.rows * (_STORED_ROW_BYTES + sample.user_bytes)
    return Prediction(
        seconds=phase1 + phase2 + publish,
        phase1_seconds=phase1,
        phase2_seconds=phase2,
        publish_seconds=publish,
        peak_memory_bytes=_peak_memory(sizes, work),
        intermediate_bytes=int(stored + totals),
        output_bytes=int(sample.result_rows * (_RESULT_ROW_BYTES + sample.packed_user_bytes)),
    )


def reading_seconds(sizes: Sizes, work: Work) -> tuple[float, float]:
    """(start-up, reading) of Phase 1 by the shipped figures."""
    sample = work.sample
    splits = _splits(sizes, sample)
    seconds = sample.text_bytes * _BYTE_SECONDS
    seconds += sample.rows * (_ROW_SECONDS + sample.user_bytes * _USER_BYTE_SECONDS)
    seconds *= 1 if work.compiled else _WITHOUT_LIBRARY
    return _START_SECONDS, (seconds + splits * _SPLIT_SECONDS) / _at_once(sizes, work, splits)


def adding_seconds(sizes: Sizes, work: Work) -> float:
    """Phase 2 by the shipped figures, once its engine is ready."""
    seconds = (
        work.rows_added * (_ROW2_SECONDS + work.sample.user_bytes * _USER_BYTE2_SECONDS)
        + work.sample.result_rows * _RESULT_ROW2_SECONDS
        + sizes.buckets * _BUCKET_SECONDS
    )
    return seconds / _at_once(sizes, work, sizes.buckets)


def publishing_seconds(sizes: Sizes, work: Work) -> float:
    """Publication by the shipped figures."""
    return _PUBLISH_SECONDS + work.sample.result_rows * _RESULT_ROW_SECONDS / _at_once(sizes, work, sizes.workers)


def _splits(sizes: Sizes, sample: Sample) -> int:
    mean_file = -(-sample.text_bytes // max(1, sample.files))
    return sample.files * max(1, -(-mean_file // sizes.split_bytes))


def _at_once(sizes: Sizes, work: Work, tasks: int) -> int:
    """How many tasks run at a time."""
    return max(1, min(sizes.workers, work.cores, tasks))


def _peak_memory(sizes: Sizes, work: Work) -> int:
    """Memory of all processes. The phase that needs most decides: workers keep what they freed, and use it again."""
    sample = work.sample
    splits = _splits(sizes, sample)
    readers, adders = min(sizes.workers, max(1, splits)), min(sizes.workers, sizes.buckets)
    split_rows = sample.rows / max(1, splits)
    reading = readers * min(
        split_rows * (_READ_ROW_BYTES + _READ_TEXT_COPIES * sample.user_bytes), sizes.held_bytes * _READ_TEXT_COPIES
    )
    long_text = max(0.0, sample.user_bytes - _USUAL_USER_BYTES)
    bucket_rows = min(sizes.bucket_rows, work.rows_added / sizes.buckets)
    in_bucket = min(sizes.bucket_bytes, bucket_rows * (_BUCKET_ROW_BYTES + TEXT_COPIES * long_text))
    totals = sample.result_rows / sizes.buckets * (_TOTAL_BYTES + TEXT_COPIES * long_text)
    adding = adders * (in_bucket + min(sizes.bucket_bytes, totals))
    written_rows = min(sizes.file_rows, sample.result_rows / 3)
    writing = sizes.workers * min(sizes.bucket_bytes, written_rows * (_WRITTEN_ROW_BYTES + TEXT_COPIES * long_text))
    pool = _PARENT_BYTES + sizes.workers * _WORKER_BYTES
    if work.engine == "polars":
        return int(pool + max(reading, adding, writing))
    # Spark starts beside Phase 1; its own workers replace those of the pool.
    return int(pool + _JVM_BYTES + max(reading, max(adding, writing) + _PUBLISHING_BYTES))


def learn(pace: Pace, sizes: Sizes, work: Work, took: PhaseSeconds) -> Pace:
    """The pace after a run that did all of ``work`` in the seconds of ``took``.

    A run whose start takes most of Phase 1 teaches how long starting takes; a longer one teaches the pace of its work.
    """
    start, read = reading_seconds(sizes, work)
    if read * pace.factor(work.reading) < start:
        return pace.learn_start(start + read * pace.factor(work.reading), took.phase1)
    waited = max(0.0, _SPARK_READY_SECONDS - took.phase1) if work.engine != "polars" else 0.0
    pace = pace.learn(work.reading, read, took.phase1 - start - pace.start)
    pace = pace.learn(work.engine, adding_seconds(sizes, work), took.phase2 - waited)
    return pace.learn("publish", publishing_seconds(sizes, work), took.publish)
