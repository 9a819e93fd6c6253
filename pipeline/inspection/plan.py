"""What a run would do and take, and whether it could begin: nothing is changed."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from config import Config
from pipeline.engines.choose import choose_engine
from pipeline.errors import FileRefused
from pipeline.geo.table import GeoTable
from pipeline.inspection.status import FileState, Stock, take_stock
from pipeline.planning.planner import Sizes, choose_sizes
from pipeline.planning.prediction import Prediction, forecast_run
from pipeline.planning.run_options import RunOptions
from pipeline.planning.run_settings import RunSettings, read_settings
from pipeline.planning.sample import Sample
from pipeline.privacy import mask_addresses
from pipeline.reading.archives import Expanded, expand_beginning, is_archive
from pipeline.reading.header import without_fields
from pipeline.reading.open_inputs import HeaderRules, OpenedInputs, read_headers
from pipeline.versions.output_link import Output

_GLANCE_BYTES = 512 * 2**10


@dataclass(frozen=True)
class RunPlan:
    """What a run would do and take.

    ``stock``: what would happen to every file; ``refused``: reasons of files that could not be read, by path;
    ``learned``: whether times are by the pace of earlier runs on this machine.
    """

    sizes: Sizes
    prediction: Prediction
    sample: Sample
    stock: Stock
    refused: dict[str, str]
    engine: str
    learned: bool


def check_before_work(config: Config) -> None:
    """Find early what would stop a run whatever its input: the output's place, Java, rules, the key, the geo table."""
    settings = read_settings(config)
    Output(config.OUTPUT_DIR).check()
    choose_engine(config)
    settings.load_geo()


def list_file_states(config: Config, options: RunOptions) -> list[FileState]:
    """What a run would do with every file. Changes nothing; raises as a run would where it could not begin."""
    settings = read_settings(config)
    return _take_stock(settings, options, settings.load_geo()).states


def plan_run(config: Config, options: RunOptions) -> RunPlan:
    """What a run would do and take. Changes nothing; raises as a run would where it could not begin."""
    settings = read_settings(config)
    adder, geo = choose_engine(config).adder(config), settings.load_geo()
    stock = _take_stock(settings, options, geo)
    with tempfile.TemporaryDirectory(prefix="logmill-") as folder:
        logs = _glance(stock.paths, settings.headers, Path(folder))
        sizes = choose_sizes(config, logs.files, spark=adder != "polars")
        forecast = forecast_run(sizes, logs.files, stock.known_rows, geo, adder, compiled=settings.compilable)
    hide = without_fields if config.PSEUDONYMIZE_USERS else mask_addresses  # the line shown may be a record
    refused = {path: hide(reason) for path, reason in logs.refused.items()}
    return RunPlan(sizes, forecast.prediction, forecast.work.sample, stock, refused, adder, forecast.pace.learned)


def _take_stock(settings: RunSettings, options: RunOptions, geo: GeoTable) -> Stock:
    return take_stock(settings.config, options, settings.fingerprint(geo))


def _glance(paths: Sequence[str], rules: HeaderRules, folder: Path) -> OpenedInputs:
    """Headers of all files; of a compressed one only the beginning is expanded, into ``folder``."""
    expanded: dict[str, Expanded] = {}
    refused: dict[str, str] = {}
    for number, path in enumerate(path for path in paths if is_archive(path)):
        try:
            expanded[path] = expand_beginning(path, folder / str(number), _GLANCE_BYTES)
        except FileRefused as reason:
            refused[path] = str(reason)
    readable = [path for path in paths if path not in refused]
    files, headless = read_headers(readable, rules.required, rules.max_record, rules.optional, expanded)
    return OpenedInputs(tuple(files), refused | headless)
