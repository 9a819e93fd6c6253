"""What a run would do and take, and whether it could begin: nothing is changed."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from config import Config
from pipeline.engines.choose import choose_engine
from pipeline.errors import FileRefused
from pipeline.exchange.workspace import Workspace
from pipeline.geo.table import GeoTable
from pipeline.inspection.status import FileState, Stock, take_stock
from pipeline.machine import cache_folder
from pipeline.planning.pace import Pace, load_pace
from pipeline.planning.planner import Plan, plan
from pipeline.planning.prediction import Prediction, Work, predict
from pipeline.planning.run_settings import Request, Setup
from pipeline.planning.sample import Sample, take_sample
from pipeline.preprocess.context import fingerprint
from pipeline.privacy import mask_addresses
from pipeline.reading.archives import Expanded, expand_beginning, is_archive
from pipeline.reading.header import Names, without_fields
from pipeline.reading.input_files import InputFile
from pipeline.reading.open_inputs import open_inputs
from pipeline.reading.record_rules import rule_columns
from pipeline.versions.output_link import Output
from utils.metrics import usable_cores

_GLANCE_BYTES = 512 * 2**10


@dataclass(frozen=True)
class Forecast:
    """``stock``: what would happen to every file; ``refused``: reasons of files that could not be read, by path;
    ``learned``: whether times are by the pace of earlier runs on this machine."""

    plan: Plan
    prediction: Prediction
    sample: Sample
    stock: Stock
    refused: dict[str, str]
    engine: str
    learned: bool


def forecast(
    config: Config,
    stock: Stock,
    geo: GeoTable,
    columns: tuple[Names, Names],
    *,
    engine: str,
    compiled: bool,
    pace: Pace,
) -> Forecast:
    """Plan and predict a run over ``stock``. ``columns``: header names that are required, and others that are read.

    ``engine``: who adds up: ``polars``, ``spark`` or ``sql``. Raises EnvironmentFault where no worker fits.
    """
    with tempfile.TemporaryDirectory(prefix="logmill-") as folder:
        files, reasons = _glance(stock.paths, columns, config.MAX_RECORD_BYTES, Path(folder))
        sizes = plan(config, files, spark=engine != "polars")
        work = Work(take_sample(files, geo), stock.known_rows, engine, compiled, usable_cores())
    hide = without_fields if config.PSEUDONYMIZE_USERS else mask_addresses  # the line shown may be a record
    refused = {path: hide(reason) for path, reason in reasons.items()}
    return Forecast(sizes, predict(sizes, work, pace), work.sample, stock, refused, engine, pace.learned)


def _glance(
    paths: Sequence[str], columns: tuple[Names, Names], max_record: int, folder: Path
) -> tuple[list[InputFile], dict[str, str]]:
    """Headers of all files; of a compressed one only the beginning is expanded, into ``folder``."""
    expanded: dict[str, Expanded] = {}
    refused: dict[str, str] = {}
    for number, path in enumerate(path for path in paths if is_archive(path)):
        try:
            expanded[path] = expand_beginning(path, folder / str(number), _GLANCE_BYTES)
        except FileRefused as reason:
            refused[path] = str(reason)
    required, optional = columns
    readable = [path for path in paths if path not in refused]
    files, headless = open_inputs(readable, required, max_record, optional, expanded)
    return files, refused | headless


def check_before_work(config: Config) -> None:
    """Find early what would stop a run whatever its input: the output's place, Java, rules, the key, the geo table."""
    setup = Setup.of(config)
    Output(config.OUTPUT_DIR).check()
    choose_engine(config)
    setup.load_geo()


def plan_run(config: Config, request: Request) -> list[FileState]:
    """What a run would do with every file. Changes nothing; raises as a run would where it could not begin."""
    setup = Setup.of(config)
    return _take_stock(setup, request, setup.load_geo()).states


def forecast_run(config: Config, request: Request) -> Forecast:
    """What a run would do and take. Changes nothing; raises as a run would where it could not begin."""
    setup = Setup.of(config)
    engine, pace, geo = choose_engine(config).adder(config), load_pace(cache_folder()), setup.load_geo()
    columns = rule_columns(setup.rules, setup.columns)
    stock = _take_stock(setup, request, geo)
    return forecast(config, stock, geo, columns, engine=engine, compiled=setup.plain, pace=pace)


def _take_stock(setup: Setup, request: Request, geo: GeoTable) -> Stock:
    config = setup.config
    job = setup.make_job(Workspace(config.INTERMEDIATE_DIR), plan(config, [], spark=False), geo, None)
    return take_stock(config, request, fingerprint(job, setup.columns))
