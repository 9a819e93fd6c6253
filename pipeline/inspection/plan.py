"""What a run would do with each file, and its time, memory and disk. Nothing is changed."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from config import Config
from pipeline.engines.capacity import Capacity
from pipeline.engines.choose import EngineChoice, choose_engine
from pipeline.errors import FileRefused, InputError
from pipeline.geo.table import GeoTable
from pipeline.inspection.status import FileState, FileStates, find_file_states
from pipeline.machine import cache_folder, display_name
from pipeline.planning.cluster_prediction import ClusterPrediction, as_if, predict_on_cluster
from pipeline.planning.pace import load_pace
from pipeline.planning.planner import Sizes, choose_sizes, fit_sizes
from pipeline.planning.prediction import Prediction, Work, forecast_run
from pipeline.planning.run_options import RunOptions
from pipeline.planning.run_settings import RunSettings, read_settings
from pipeline.planning.sample import Sample, take_sample
from pipeline.privacy import mask_addresses
from pipeline.reading.archives import Expanded, expand_beginning, is_archive
from pipeline.reading.input_files import find_inputs, refuse_outside, total_size
from pipeline.reading.no_header import without_fields
from pipeline.reading.open_inputs import HeaderRules, OpenedInputs, read_headers
from pipeline.versions.outputs import open_output
from utils.metrics import usable_cores

_GLANCE_BYTES = 512 * 2**10
"""How much of a compressed file is expanded to predict the whole."""


@dataclass(frozen=True)
class RunPlan:
    """What a run would do, and the time, memory and disk that it would need.

    Attributes:
        sizes: how the run would divide the work.
        prediction: seconds of each phase, and bytes of memory and disk.
        sample: bytes and records to read and rows of the result, estimated from lines of the files.
        files: what the run would do with each file.
        refused: the reason for each file that the run would refuse, by path.
        engine: what adds up in Phase 2: ``polars``, ``spark`` or ``sql`` (Spark's own plan).
        engine_note: why that engine, where ENGINE is auto.
        learned: whether the times follow from earlier runs on this machine.
        on_cluster: what a first run over the whole input would take on the cluster that was asked about.
    """

    sizes: Sizes
    prediction: Prediction
    sample: Sample
    files: FileStates
    refused: dict[str, str]
    engine: str
    engine_note: str | None
    learned: bool
    on_cluster: ClusterPrediction | None = None


@dataclass(frozen=True)
class ClusterAsked:
    """A cluster that a plan is about.

    ==============  ============================================================
    ``nodes``       machines, and ``cores`` of each
    ``on_storage``  whether all files lie on object storage
    ``size``        bytes of an input of this kind, in logs of 1 GB; None: the input as it is
    ==============  ============================================================
    """

    nodes: int
    cores: int
    on_storage: bool
    size: int | None = None


def check_before_work(config: Config) -> None:
    """Raise what would stop a run over test data, before it is made: the output, Java, rules, the key, the geo table.

    Raises:
        LogmillError: what would stop the run, and what to do.
    """
    settings = read_settings(config)
    open_output(config.OUTPUT_DIR).check()
    choose_engine(config, config.GENERATOR_SIZE)
    settings.load_geo()


def list_file_states(config: Config, options: RunOptions) -> list[FileState]:
    """Find what a run would do with each file. Raises LogmillError where a run could not begin."""
    settings = read_settings(config)
    return find_file_states(config, options, settings.fingerprint(settings.load_geo())).states


def choose_for_input(config: Config) -> EngineChoice:
    """The engine that a run would take. Raises LogmillError where the input cannot be listed, or Java is missing."""
    return choose_engine(config, total_size(_list_inside(config)))


def _list_inside(config: Config) -> list[str]:
    """The files of the input, without those to which a link leads out of it."""
    paths, _ = find_inputs(config.INPUT_DIR, config.ROTATED_NAMES)
    inside, _ = refuse_outside(config.INPUT_DIR, paths)
    return inside


def make_run_plan(config: Config, options: RunOptions, cluster: ClusterAsked | None = None) -> RunPlan:
    """Find what a run would do, and predict what it would need, also on a ``cluster``. Raises LogmillError where a run
    could not begin."""
    settings = read_settings(config)
    choice = choose_for_input(config)
    adder, geo = choice.adder(config), settings.load_geo()
    files = find_file_states(config, options, settings.fingerprint(geo))
    with tempfile.TemporaryDirectory(prefix="logmill-") as folder:
        logs = _read_beginnings(files.to_read, settings.headers, Path(folder))
        sizes = choose_sizes(config, logs.files, spark=adder != "polars")
        forecast = forecast_run(
            sizes, logs.files, files.known_rows, geo, adder, compiled=settings.compilable, formats=settings.formats
        )
    on_cluster = _on_cluster(config, cluster, settings, geo) if cluster else None
    hide = without_fields if config.PSEUDONYMIZE_USERS else mask_addresses  # a reason may quote a record
    refused = {path: hide(reason) for path, reason in logs.refused.items()}
    sample, learned = forecast.work.sample, forecast.pace.learned
    return RunPlan(sizes, forecast.prediction, sample, files, refused, adder, choice.note, learned, on_cluster)


def _on_cluster(config: Config, cluster: ClusterAsked, settings: RunSettings, geo: GeoTable) -> ClusterPrediction:
    """Predict a first run over the input, whatever was read of it before. Raises InputError where it has no records."""
    with tempfile.TemporaryDirectory(prefix="logmill-") as folder:
        files = _read_beginnings(_list_inside(config), settings.headers, Path(folder)).files
        work = Work(take_sample(files, geo, settings.formats), 0, "spark", settings.compilable, usable_cores())
    if not work.sample.rows:
        raise InputError(
            f"input {display_name(config.INPUT_DIR)!r} has no records from which a run on a cluster could be "
            "predicted: expected some lines of such logs."
        )
    if cluster.size is not None:
        work = as_if(work, cluster.size)
    capacity = Capacity(cluster.nodes * cluster.cores, config.SPARK_PYTHON_MEMORY // config.SPARK_EXECUTOR_CORES)
    sizes = fit_sizes(config, work.sample.text_bytes, work.sample.rows, spark=True, capacity=capacity)
    return predict_on_cluster(sizes, work, load_pace(cache_folder()), cluster.nodes, on_storage=cluster.on_storage)


def _read_beginnings(paths: Sequence[str], rules: HeaderRules, folder: Path) -> OpenedInputs:
    """Read the headers of all files. Of each compressed file only the beginning is expanded, into ``folder``."""
    expanded: dict[str, Expanded] = {}
    refused: dict[str, str] = {}
    for number, path in enumerate(path for path in paths if is_archive(path)):
        try:
            expanded[path] = expand_beginning(path, folder / str(number), _GLANCE_BYTES)
        except FileRefused as reason:
            refused[path] = str(reason)
    readable = [path for path in paths if path not in refused]
    files, headless = read_headers(readable, rules.required, rules.max_record, rules.optional, expanded)
    return OpenedInputs(files, refused | headless)
