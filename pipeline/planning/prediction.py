"""What a run will take: time, peak memory and disk, from its sizes, a sample of its input and this machine's pace.

The figures were measured (docs/decisions/016-planning.md); those of time are scaled by what earlier runs took here.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from pipeline.aggregate.incremental.driver import MOST_CHANGED
from pipeline.geo.table import GeoTable
from pipeline.machine import cache_folder
from pipeline.planning.pace import Pace, load_pace
from pipeline.planning.planner import Sizes
from pipeline.planning.sample import Sample, take_sample
from pipeline.reading.input_files import InputFile
from pipeline.timing import PhaseSeconds
from utils.metrics import usable_cores

_START_SECONDS = 0.15
"""Before the first split: the pool's processes and their libraries."""
_SPARK_READY_SECONDS = 7.5
"""From a run's begin until Spark takes work, beside a busy Phase 1."""
_BYTE_SECONDS = 0.3e-9
_ROW_SECONDS = 0.1e-6
_USER_BYTE_SECONDS = 2.5e-9
_SPLIT_SECONDS = 0.006
_WITHOUT_KERNEL = 2.2
"""Polars takes so many times as long for Phase 1 as the compiled parser."""
_ROW2_SECONDS = 0.03e-6
_USER_BYTE2_SECONDS = 1e-9
_RESULT_ROW2_SECONDS = 0.3e-6
_BUCKET_SECONDS = 0.006
_PUBLISH_SECONDS = 0.05
_RESULT_ROW_SECONDS = 0.15e-6
_PARENT_BYTES = 137e6
_WORKER_BYTES = 80e6
_READ_ROW_BYTES = 72
_READ_TEXT_COPIES = 2
_BUCKET_ROW_BYTES = 100
_TOTAL_BYTES = 200
_WRITTEN_ROW_BYTES = 85
_PUBLISHING_BYTES = 60e6
_JVM_BYTES = 330e6
"""A JVM that only hands out kernels."""
_STORED_ROW_BYTES = 36
_STORED_USER_COPIES = 1.8
_STORED_TOTAL_BYTES = 9
_RESULT_ROW_BYTES = 3.4


@dataclass(frozen=True)
class Work:
    """What a run has to do. ``sample``: of the files that it reads; ``known_rows``: of files that were read before;
    ``engine``: ``polars``, ``spark`` or ``sql``; ``compiled``: whether the compiled parser reads."""

    sample: Sample
    known_rows: int
    engine: str
    compiled: bool
    cores: int

    @property
    def reading(self) -> str:
        """What sets the pace of Phase 1."""
        return "compiled" if self.compiled else "plain"

    @property
    def rows_added(self) -> int:
        """Rows of Phase 2: only new ones where these are few beside those that were added up before."""
        new = self.sample.rows
        return new if new <= MOST_CHANGED * (new + self.known_rows) and self.known_rows else new + self.known_rows


@dataclass(frozen=True)
class Prediction:
    """Seconds, of the whole and of each phase, and bytes: of all processes at their peak, and on disk."""

    seconds: float
    phase1_seconds: float
    phase2_seconds: float
    publish_seconds: float
    peak_memory_bytes: int
    intermediate_bytes: int
    output_bytes: int

    def as_numbers(self) -> dict[str, float]:
        """As ``run.json`` holds it."""
        return {name: round(value, 3) for name, value in asdict(self).items()}


@dataclass(frozen=True)
class Forecast:
    """What a run will take, with what it was predicted from: the work, and the pace of this machine."""

    work: Work
    pace: Pace
    prediction: Prediction


def forecast_run(
    sizes: Sizes, files: Sequence[InputFile], known_rows: int, geo: GeoTable, adder: str, *, compiled: bool
) -> Forecast:
    """Look at some lines of the ``files`` and predict. ``known_rows``: of files that need not be read; ``adder``:
    ``polars``, ``spark`` or ``sql``; ``compiled``: whether the compiled parser reads."""
    work = Work(take_sample(files, geo), known_rows, adder, compiled, usable_cores())
    pace = load_pace(cache_folder())
    return Forecast(work, pace, predict(sizes, work, pace))


def predict(sizes: Sizes, work: Work, pace: Pace) -> Prediction:
    """What a run by ``sizes`` will take."""
    start, read = reading_seconds(sizes, work)
    phase1 = start + pace.start + read * pace.factor(work.reading)
    phase2 = adding_seconds(sizes, work) * pace.factor(work.engine)
    if work.engine != "polars":
        phase2 += max(0.0, _SPARK_READY_SECONDS - phase1)
    publish = publishing_seconds(sizes, work) * pace.factor("publish")
    sample = work.sample
    totals = sample.result_rows * (_STORED_TOTAL_BYTES + sample.packed_user_bytes)
    stored = sample.rows * (_STORED_ROW_BYTES + _STORED_USER_COPIES * sample.packed_user_bytes)
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
    """(start-up, Phase 1 behind it) at the pace of the machine that the figures are from."""
    sample = work.sample
    splits = _splits(sizes, sample)
    seconds = sample.text_bytes * _BYTE_SECONDS
    seconds += sample.rows * (_ROW_SECONDS + sample.user_bytes * _USER_BYTE_SECONDS)
    seconds *= 1 if work.compiled else _WITHOUT_KERNEL
    return _START_SECONDS, (seconds + splits * _SPLIT_SECONDS) / _at_once(sizes, work, splits)


def adding_seconds(sizes: Sizes, work: Work) -> float:
    """Phase 2 at that pace."""
    seconds = (
        work.rows_added * (_ROW2_SECONDS + work.sample.user_bytes * _USER_BYTE2_SECONDS)
        + work.sample.result_rows * _RESULT_ROW2_SECONDS
        + sizes.buckets * _BUCKET_SECONDS
    )
    return seconds / _at_once(sizes, work, sizes.buckets)


def publishing_seconds(sizes: Sizes, work: Work) -> float:
    """Writing the result, at that pace."""
    return _PUBLISH_SECONDS + work.sample.result_rows * _RESULT_ROW_SECONDS / _at_once(sizes, work, sizes.workers)


def _splits(sizes: Sizes, sample: Sample) -> int:
    of_usual_file = -(-sample.text_bytes // max(1, sample.files))
    return sample.files * max(1, -(-of_usual_file // sizes.split_bytes))


def _at_once(sizes: Sizes, work: Work, tasks: int) -> int:
    return max(1, min(sizes.workers, work.cores, tasks))


def _peak_memory(sizes: Sizes, work: Work) -> int:
    """Workers keep what they free, and take it again for the next phase: what counts is the one that asks for most."""
    sample = work.sample
    splits = _splits(sizes, sample)
    readers, adders = min(sizes.workers, max(1, splits)), min(sizes.workers, sizes.buckets)
    split_rows = sample.rows / max(1, splits)
    reading = readers * split_rows * (_READ_ROW_BYTES + _READ_TEXT_COPIES * sample.user_bytes)
    bucket_rows = min(sizes.bucket_rows, work.rows_added / sizes.buckets)
    adding = adders * (bucket_rows * _BUCKET_ROW_BYTES + sample.result_rows / sizes.buckets * _TOTAL_BYTES)
    writing = sizes.workers * min(sizes.file_rows, sample.result_rows / 3) * _WRITTEN_ROW_BYTES
    pool = _PARENT_BYTES + sizes.workers * _WORKER_BYTES
    if work.engine == "polars":
        return int(pool + max(reading, adding, writing))
    # Spark starts beside Phase 1; its own workers take the place of the pool's.
    return int(pool + _JVM_BYTES + max(reading, max(adding, writing) + _PUBLISHING_BYTES))


def learn(pace: Pace, sizes: Sizes, work: Work, took: PhaseSeconds) -> Pace:
    """The pace with what a run took that read all of ``work``. A run that hardly does more than start tells how long
    that takes; a longer one, how fast the machine works."""
    start, read = reading_seconds(sizes, work)
    if read * pace.factor(work.reading) < start:
        return pace.learn_start(start + read * pace.factor(work.reading), took.phase1)
    waited = max(0.0, _SPARK_READY_SECONDS - took.phase1) if work.engine != "polars" else 0.0
    pace = pace.learn(work.reading, read, took.phase1 - start - pace.start)
    pace = pace.learn(work.engine, adding_seconds(sizes, work), took.phase2 - waited)
    return pace.learn("publish", publishing_seconds(sizes, work), took.publish)
